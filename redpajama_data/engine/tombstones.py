"""Documents that a root must not hold: a list of hashes, in the root, that every task looks at before it publishes.

The list is no part of the lineage of a task. It would redo the last stage of every shard for one document; instead
`rpj forget` takes the document out of all that is published, under the lock, when it adds to the list, and every task
that runs later leaves it out. So what is published never holds one, whenever its task ran.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from redpajama_data.document import Drop
from redpajama_data.errors import NOT_JSON, UsageError
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN

TOMBSTONES = f"{RUN}/tombstones.jsonl"
RULE = "forgotten"  # of the drop ledger


class Tombstone(msgspec.Struct, frozen=True):
    """A document that is not to come back: the SHA-256 of its text as published, and of the id of its raw record; the
    day on which it went (YYYY-MM-DD), and why."""

    text: str
    record: str
    date: str
    reason: str = ""


_decode = msgspec.json.Decoder(Tombstone).decode


@dataclass(frozen=True)
class Forgotten:
    """The tombstones of a root, to be asked for texts and ids."""

    texts: dict[bytes, Tombstone]
    records: dict[bytes, Tombstone]

    def of_text(self, text: str) -> Tombstone | None:
        """The tombstone of a document with that text."""
        return self.texts.get(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())

    def of_record(self, doc_id: str) -> Tombstone | None:
        """The tombstone of a raw record."""
        return self.records.get(hashlib.sha256(doc_id.encode("utf-8", "surrogatepass")).digest())


def drop_of(stone: Tombstone) -> Drop:
    """How a forgotten document stands in the ledger: since when, and why."""
    return Drop(RULE, stone.date, stone.reason or None)


def digest(text: str) -> str:
    """SHA-256 (hex) of a text or an id."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def encoded(stones: Iterable[Tombstone]) -> bytes:
    """The bytes of the list."""
    return b"".join(msgspec.json.encode(stone) + b"\n" for stone in stones)


def load(root: str) -> list[Tombstone]:
    """The tombstones of a root; none where there is no list. Raises :class:`UsageError` for a list that cannot be read:
    without it what was forgotten would come back."""
    path = storage.join(root, TOMBSTONES)
    try:
        return [_decode(line) for line in (storage.read_bytes(path) or b"").splitlines()]
    except NOT_JSON as error:
        raise UsageError(
            f"{path} cannot be read ({error}). Put a copy back, or remove the damaged lines and forget those documents "
            "again."
        ) from error


def version(root: str) -> str:
    """What tells one list from the next: its SHA-256; "" for none."""
    data = storage.read_bytes(storage.join(root, TOMBSTONES))
    return hashlib.sha256(data).hexdigest() if data else ""


@functools.lru_cache(maxsize=2)
def forgotten(root: str, wanted: str) -> Forgotten:
    """The tombstones of a root, in the version of that name: loaded once in a process."""
    return of(load(root))


def of(stones: Iterable[Tombstone]) -> Forgotten:
    """Tombstones to be asked."""
    found = list(stones)
    return Forgotten(
        {bytes.fromhex(stone.text): stone for stone in found if stone.text},
        {bytes.fromhex(stone.record): stone for stone in found if stone.record},
    )
