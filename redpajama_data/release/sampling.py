"""A sample of every slice: the documents whose text has the k smallest hashes. Exact, the same wherever files lie.

A document's place in the draw is XXH3 of its text with the seed, then its shard and line. So k documents are taken of a
slice, not about k; a smaller sample lies within a larger one; equal texts stand or fall together, but for the last; and
neither the order of the shards, their number nor that of the workers matters.

All documents are read once. What is likely to be taken is set aside then, so that nothing else is read again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import xxhash

from redpajama_data.config import parse_count
from redpajama_data.corpus.columns import read_batches, utf8_bytes
from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.lines import iter_lines
from redpajama_data.release.parquet import not_ours
from redpajama_data.reports.manifest import Shard

_ALL = 1 << 64
_CHUNK = 1 << 18  # hashes in memory at a time
ROW = np.dtype([("n", "<u8"), ("hash", "<u8")])  # a row of .aside: line number, hash; line by line as set aside


@dataclass(frozen=True)
class Draw:
    """How many of the documents of a slice are taken, and below which hash a document is set aside."""

    take: int
    of: int
    below: int

    @property
    def share(self) -> float:
        """The share of the documents that is taken."""
        return self.take / self.of


def parse_amount(text: str) -> tuple[float | None, int | None]:
    """``1B`` tokens (K, M, B, T are powers of 1000) as (None, tokens), ``0.1%`` of the documents as (share, None).

    Raises ValueError.
    """
    if text.endswith("%"):
        share = float(text[:-1]) / 100
        if not 0 < share <= 1:
            raise ValueError("expected more than 0% and at most 100%")
        return share, None
    try:
        tokens = parse_count(text)
    except ValueError:
        tokens = 0
    if not tokens:
        raise ValueError("expected tokens such as 1B or 10M, or a share of the documents such as 0.1%")
    return None, tokens


def draws(shards: Mapping[str, Sequence[Shard]], amount: str, shares: Mapping[str, float]) -> dict[str, Draw]:
    """How many documents of each slice make a sample of ``amount``: as many of each hundred in every slice, or with
    ``shares`` such that each slice has that part of the tokens (they are weights; a slice without one is left out).

    Raises :class:`UsageError` when there is not as much, tokens were not counted, or a slice is not there.
    """
    share, tokens = parse_amount(amount)
    unknown = sorted(set(shares) - set(shards))
    if unknown:
        raise UsageError(f"--shares {unknown[0]}: no documents of it here. The root has {', '.join(shards)}.")
    if tokens is None:
        if shares:
            raise UsageError("--shares go with a number of tokens, as --sample 1B. Give that, or leave them out.")
        return {name: _draw(cast(float, share), own) for name, own in shards.items()}
    counted = {name: sum(shard.tokens for shard in own) for name, own in shards.items()}
    for name, own in shards.items():
        if not all(shard.tokenizer for shard in own if shard.documents):
            raise UsageError(f"the tokens of {name} were not counted. Give a share: --sample 0.1%")
    weights = {name: shares.get(name, 0.0) if shares else counted[name] for name in shards}
    total = sum(weights.values())
    found = {}
    for name, own in shards.items():
        wanted = tokens * weights[name] / total if total else 0
        if wanted > counted[name]:
            raise UsageError(
                f"--sample {amount}: that takes {wanted:,.0f} tokens of {name}, which has {counted[name]:,}. "
                "Give a smaller number, other --shares, or leave --sample out to release all."
            )
        if wanted:
            found[name] = _draw(wanted / counted[name], own)
    return found


def _draw(share: float, own: Sequence[Shard]) -> Draw:
    documents = sum(shard.documents for shard in own)
    take = min(documents, max(1, math.ceil(share * documents - 1e-9)))
    # The number of hashes below a limit has a standard deviation below sqrt(take): 8 of them are never exceeded by
    # chance. Many equal texts can exceed them; then the shards of the slice are read again.
    aside = (take + 8 * math.sqrt(take) + 16) / documents
    return Draw(take, documents, min(_ALL, int(aside * _ALL)))


# ------------------------------------------------------------------------------------------------ the work


def hash_work(context: TaskContext, *, path: str, seed: int, below: int) -> None:
    """Hash every document of a shard, and set aside the lines that a sample may take."""
    receipt = context.receipt
    with (
        context.file("hashes", "hashes") as hashes,
        context.file("aside", "aside") as rows,
        context.lines("documents") as out,
    ):
        for batch in read_batches(context.source(path)):
            if batch.broken or batch.rejected:
                raise batch.broken or not_ours(path, batch.rejected[0][0])
            receipt.read += len(batch.n)
            receipt.read_bytes += utf8_bytes(batch.texts)
            found = [xxhash.xxh3_64_intdigest(text.encode(), seed) for text in batch.texts]
            hashes.write(np.array(found, "<u8").tobytes())
            aside = [(n, value) for n, value in zip(batch.n, found, strict=True) if value < below]
            rows.write(np.array(aside, ROW).tobytes())
            for line, value in zip(batch.lines, found, strict=True):
                if value < below:
                    out.write(line)
    context.records("hashes", receipt.read)
    context.records("aside", out.records)
    receipt.kept = receipt.read
    receipt.bytes = receipt.read_bytes


def cut_work(context: TaskContext, *, hashes: Sequence[str], take: int) -> None:
    """Find the ``take``-th smallest hash of a slice: what is below is taken, and of those that are equal to it as many,
    from the first on, as are missing. Both go into the notes of the receipt.

    Four passes over 8 bytes a document, 16 bits of the hash in each; memory is that of a histogram.
    """
    cut, left = 0, take
    for shift in (48, 32, 16, 0):
        counts = np.zeros(1 << 16, np.int64)
        for path in hashes:
            for chunk in _numbers(context.upstream(path)):
                if shift < 48:
                    chunk = chunk[(chunk >> np.uint64(shift + 16)) == np.uint64(cut >> (shift + 16))]
                counts += np.bincount((chunk >> np.uint64(shift)) & np.uint64(0xFFFF), minlength=1 << 16)
        upto = np.cumsum(counts)
        digit = int(np.searchsorted(upto, left))
        left -= int(upto[digit - 1]) if digit else 0
        cut |= digit << shift
    ties = []
    for place, path in enumerate(hashes):
        equal = sum(int((chunk == np.uint64(cut)).sum()) for chunk in _numbers(context.upstream(path)))
        if equal:
            ties.append([place, min(equal, left)])
            left -= min(equal, left)
    context.receipt.notes = {"cut": f"{cut:016x}", "ties": ties}


def _numbers(path: str) -> Iterator[Any]:
    with storage.open_input(path) as file:
        while data := file.read(_CHUNK * 8):
            yield np.frombuffer(data, "<u8")


@dataclass(frozen=True)
class Choice:
    """Which documents of a shard a sample takes: those with a smaller hash than ``cut``, and the first ``ties`` of
    those that have it. ``aside`` and ``documents`` are files of the release's root, rows and lines set aside;
    ``hashes`` has all hashes, for a slice of which too little was set aside (None where enough was)."""

    cut: int
    ties: int
    aside: str
    documents: str
    hashes: str | None


def choices(hashed: Sequence[Receipt], cut: Receipt, *, below: int) -> list[Choice]:
    """The choice of each shard of a slice, from the receipts of its shards, in their order, and of its cut."""
    value, ties = int(cut.notes["cut"], 16), {int(place): int(count) for place, count in cut.notes["ties"]}
    return [
        Choice(
            value,
            ties.get(place, 0),
            receipt.outputs["aside"].path,
            receipt.outputs["documents"].path,
            receipt.outputs["hashes"].path if value >= below else None,
        )
        for place, receipt in enumerate(hashed)
    ]


def reads_of(hashed: Receipt, choice: Choice) -> list[Output]:
    """The files of the release's root that are read to take what ``choice`` says."""
    roles = ("aside", "documents") if choice.hashes is None else ("hashes",)
    return [hashed.outputs[role] for role in roles]


def taken(context: TaskContext, path: str, choice: Choice) -> Iterator[tuple[int, bytes]]:
    """The number and the line of each document of a shard that a sample takes, in the order of the shard."""
    ties = choice.ties
    again = choice.hashes is not None
    for (n, value), line in zip(
        _all_hashes(context, choice.hashes) if choice.hashes is not None else _set_aside(context, choice.aside),
        iter_lines(context.source(path) if again else context.upstream(choice.documents), max_bytes=None),
        strict=True,
    ):
        if value < choice.cut or (value == choice.cut and ties):
            ties -= value == choice.cut
            yield n, cast(bytes, line)


def _set_aside(context: TaskContext, path: str) -> Iterator[tuple[int, int]]:
    with storage.open_input(context.upstream(path)) as file:
        while data := file.read(_CHUNK * ROW.itemsize):
            yield from np.frombuffer(data, ROW).tolist()


def _all_hashes(context: TaskContext, path: str) -> Iterator[tuple[int, int]]:
    yield from enumerate(value for chunk in _numbers(context.upstream(path)) for value in chunk.tolist())
