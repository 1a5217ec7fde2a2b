"""Receipts: what a finished task read, kept, dropped and wrote. A run's receipts are its manifest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from redpajama_data.errors import NOT_JSON
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN, task_path

BROKEN_NAMED = 20  # damaged places, or defects, that a receipt names; a file of noise must not make one of megabytes
RECEIPT, QUARANTINE = ".receipt.json", ".quarantine.json"  # endings, after a task's name


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that a task wrote. ``path`` is relative to the root; ``records`` counts its lines or rows.

    ``text_bytes`` (UTF-8) and ``tokens`` are those of the texts of a published shard.
    """

    path: str
    bytes: int
    sha256: str
    records: int
    text_bytes: int = 0
    tokens: int = 0


class Sample(msgspec.Struct, array_like=True):
    """Some of the texts that a rule dropped in a task (see :mod:`redpajama_data.engine.drop_sample`): how many, their
    bytes (UTF-8) and tokens."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0


class Receipt(msgspec.Struct):
    """One finished task. ``read == kept + sum(dropped.values())``, always.

    ``read_bytes``, ``bytes`` and ``dropped_bytes`` are UTF-8 bytes of texts: of those read, of those kept, and of those
    that each rule dropped, as they were when they came to the steps; steps that change texts make up the difference. A
    record that never became a document has no text. ``characters`` and ``tokens`` are those of the texts of a published
    shard, counted by ``tokenizer``; ``samples`` estimate the tokens of what each rule dropped, counted by
    ``sample_tokenizer`` ("" when nothing counted). ``raw_bytes`` is the size of the raw file read. ``broken`` names the
    damaged places of raw files, at most :data:`BROKEN_NAMED` of them; the ledger has all. ``defects`` names records on
    which a step raised, with step and error, as many at most. ``notes`` is what a stage tells the stages that read it.
    No times and no host names: equal work gives equal receipts, but for ``stamps``, the hash of the stamps (times,
    ETags) of the raw files read. ``rank``, the task's place in its stage, is known in a run only: it is not in the
    file, as it changes when other raw files come or go.
    """

    slice: str
    stage: str
    task: str
    lineage: str
    inputs: list[str] = []
    outputs: dict[str, Output] = {}
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}
    dropped_bytes: dict[str, int] = {}
    samples: dict[str, Sample] = {}
    sample_tokenizer: str = ""
    raw_bytes: int = 0
    read_bytes: int = 0
    bytes: int = 0
    characters: int = 0
    tokens: int = 0
    tokenizer: str = ""
    broken: list[str] = []
    stamps: str = ""
    defects: list[str] = []
    notes: dict[str, Any] = {}
    rank: int = 0

    def balanced(self) -> bool:
        """True when every document read is kept or in the ledger."""
        return self.read == self.kept + sum(self.dropped.values())


class Begun(msgspec.Struct):
    """A task at work, or ended at work. It stands where the receipt will stand, from before the first byte that the
    task writes: a receipt of an earlier setting never vouches for a file of this one.

    ``begun`` are the shards, from the root, that the task is to publish: the next run takes them for its own.
    """

    slice: str
    stage: str
    task: str
    begun: list[str]


class Quarantine(msgspec.Struct):
    """A task that could not be done: why, and what to do. The next run tries it again."""

    slice: str
    stage: str
    task: str
    inputs: list[str]
    reason: str
    detail: str = ""


def save(root: str, receipt: Receipt) -> None:
    """Write a receipt; always the last file of a task. Durable at the end of its stage: a power cut before may leave it
    empty, which vouches for nothing."""
    path = task_path(root, receipt.slice, receipt.stage, receipt.task, "receipt.json")
    storage.write_bytes(path, encoded(receipt), durable=False)


def encoded(receipt: Receipt) -> bytes:
    """The bytes of a receipt: indented JSON."""
    plain = msgspec.to_builtins(receipt)
    del plain["rank"]
    return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def save_quarantine(root: str, entry: Quarantine) -> None:
    """Write a quarantine entry."""
    path = task_path(root, entry.slice, entry.stage, entry.task, "quarantine.json")
    storage.write_bytes(path, msgspec.json.encode(entry) + b"\n")


def begin(root: str, begun: Begun) -> None:
    """Put the word that a task is at work in the place of its receipt. Not durable: after a power cut it may be empty,
    which vouches for nothing either."""
    path = task_path(root, begun.slice, begun.stage, begun.task, "receipt.json")
    storage.write_bytes(path, msgspec.json.encode(begun) + b"\n", durable=False)


def load_state(root: str, slice_name: str, stage: str, task: str) -> Receipt | Begun | None:
    """A task's receipt, or the word that it was at work; None when there is neither, or none that can be read."""
    return _state(storage.read_bytes(task_path(root, slice_name, stage, task, "receipt.json")))


def states_at(root: str, paths: Sequence[str]) -> Iterator[Receipt | Begun | None]:
    """What :func:`load_state` gives for receipts at these paths from the root, in order."""
    return map(_state, storage.read_each([storage.join(root, path) for path in paths]))


def _state(data: bytes | None) -> Receipt | Begun | None:
    with contextlib.suppress(*NOT_JSON):
        return msgspec.json.decode(data or b"", type=Receipt)
    with contextlib.suppress(*NOT_JSON):
        return msgspec.json.decode(data or b"", type=Begun)
    return None


def load_all(root: str, slice_name: str | None = None) -> Iterator[Receipt]:
    """Every receipt of a root (of one slice), sorted by slice, stage and task; not of tasks that are or were at work,
    and none that cannot be read: those tasks are done again."""
    for _, state in load_states(root, slice_name):
        if isinstance(state, Receipt):
            yield state


def load_states(root: str, slice_name: str | None = None) -> Iterator[tuple[str, Receipt | Begun | None]]:
    """The path (from the root) of every task's receipt, and what :func:`load_state` finds there."""
    for path, data in _load_ending(root, slice_name, RECEIPT):
        yield path, _state(data)


def quarantined(root: str, slice_name: str | None = None) -> Iterator[Quarantine]:
    """Every quarantine entry of a root (of one slice), sorted."""
    for _, data in _load_ending(root, slice_name, QUARANTINE):
        with contextlib.suppress(*NOT_JSON):
            yield msgspec.json.decode(data, type=Quarantine)


def _load_ending(root: str, slice_name: str | None, ending: str) -> Iterator[tuple[str, bytes]]:
    base = storage.join(RUN, *([slice_name] if slice_name else []))
    found = storage.find(storage.join(root, base))
    paths = [storage.join(base, name) for name in found if name.endswith(ending)]
    for path, data in zip(paths, storage.read_each([storage.join(root, path) for path in paths]), strict=True):
        if data is not None:
            yield path, data


def sum_drops(receipts: Iterable[Receipt]) -> dict[str, int]:
    """Drops by rule over receipts, in order of first appearance."""
    total: dict[str, int] = {}
    for receipt in receipts:
        for rule, count in receipt.dropped.items():
            total[rule] = total.get(rule, 0) + count
    return total


def is_published(receipt: Receipt) -> bool:
    """True for the receipt of a task that published a shard."""
    return any(role.split(":")[0] == "published" for role in receipt.outputs)
