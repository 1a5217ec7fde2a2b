"""Dedup, out of core: key -> group -> decide. One mechanism for every kind of duplicate.

A per-shard task writes a 128-bit key and the record's number for each document; a per-partition task reads one range
of keys from all shards, groups equal ones and writes verdicts; a per-shard task applies them. The survivor rule: of
equal keys the record that comes first in (input order, record order) stays. It does not depend on workers, partitions
or restarts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from redpajama_data.buckets import BucketFile, BucketWriter
from redpajama_data.errors import UsageError
from redpajama_data.storage import open_input
from redpajama_data.tasks import TaskContext

BUCKETS = 4096  # by the top 12 bits of a key: the finest partition; its index takes 32 KiB a flush
KEY_ROW = np.dtype([("hi", "<u8"), ("lo", "<u8"), ("n", "<u8")])
VERDICT_ROW = np.dtype([("n", "<u8"), ("kept_rank", "<u8"), ("kept_n", "<u8")])
_FLUSH = 6 << 20  # bytes of key rows gathered before they are written: 262,144 keys; the peak is four times as much
# Peak while grouping, as scripts/dedup_memory.py measures it: 56 when all keys differ (rows, shard ranks, sort order
# and its work space), 90 when half are copies, 136 when all are (the verdicts, and the order to write them in).
_BYTES_PER_KEY = 140

Rows = npt.NDArray[Any]


class KeyWriter:
    """Writes a shard's keys: :meth:`add` once a document, in order."""

    def __init__(self, file: Any) -> None:
        self._buckets = BucketWriter(file, BUCKETS, _FLUSH)
        self._rows = bytearray()
        self.count = 0

    def add(self, key: bytes, n: int) -> None:
        """Add the 16-byte key of the task's n-th record."""
        self._rows += key
        self._rows += n.to_bytes(8, "little")
        self.count += 1
        if len(self._rows) >= _FLUSH:
            self._flush(len(self._rows))

    def add_many(self, keys: bytes, numbers: npt.NDArray[np.uint64]) -> None:
        """Add the keys of several records, 16 bytes each, one behind the other: the same bytes as :meth:`add` one by
        one, in a tenth of the time."""
        rows = np.empty(len(numbers), KEY_ROW)
        halves = np.frombuffer(keys, dtype="<u8").reshape(-1, 2)
        rows["hi"], rows["lo"], rows["n"] = halves[:, 0], halves[:, 1], numbers
        self._rows += rows.tobytes()
        self.count += len(rows)
        flush = -(-_FLUSH // KEY_ROW.itemsize) * KEY_ROW.itemsize
        while len(self._rows) >= flush:
            self._flush(flush)

    def _flush(self, size: int) -> None:
        rows = np.frombuffer(bytes(memoryview(self._rows)[:size]), dtype=KEY_ROW)
        self._rows = self._rows[size:]
        self._buckets.add_rows((rows["hi"] >> np.uint64(52)).astype(np.int64), rows)

    def close(self) -> None:
        """Write what is held, and the index."""
        if self._rows:
            self._flush(len(self._rows))
        self._buckets.close()


def partition_ranges(total_keys: int, memory: int, *, row_bytes: int | None = None) -> list[tuple[int, int]]:
    """Bucket ranges so that one range's keys can be grouped within ``memory`` bytes, of which each takes ``row_bytes``
    (default: as much as :func:`first_wins` takes; keys are hashes: evenly spread).

    Raises :class:`UsageError` when even one bucket would not fit.
    """
    row_bytes = row_bytes or _BYTES_PER_KEY
    need = max(1, -(-total_keys * row_bytes // memory))
    parts = 1 << (need - 1).bit_length()
    if parts > BUCKETS:
        enough = total_keys * row_bytes // BUCKETS >> 20
        raise UsageError(f"{total_keys} keys need at least {enough + 1} MB a worker. Give --memory more.")
    width = BUCKETS // parts
    return [(first, first + width) for first in range(0, BUCKETS, width)]


def first_wins(context: TaskContext, *, keys: Sequence[tuple[int, str]], ranks: int, buckets: tuple[int, int]) -> None:
    """Work of one partition task: read the ``buckets`` range of every key file, group, write the verdicts.

    ``keys`` are (rank of the shard, key file relative to the root), in input order; ``ranks`` is one more than the
    highest rank. The verdict file has a bucket a shard, with a row for each record that is a later copy: its number,
    and the survivor's rank and number. Only the first of equal keys is carried along, so that any number of copies of
    one key stays within the memory of the task.
    """
    limit = max(1, context.memory // _BYTES_PER_KEY)
    held = _Holders([], [])
    fresh = total = decided = 0
    with context.file("verdicts", "verdicts") as out:
        writer = BucketWriter(out, ranks, _FLUSH)
        for rank, path in keys:
            with BucketFile(context.upstream(path)) as file:
                for data in file.read(*buckets):
                    rows = np.frombuffer(data, dtype=KEY_ROW)
                    held.rows.append(rows)
                    held.ranks.append(np.full(len(rows), rank, dtype="<u4"))
                    fresh += len(rows)
                    # A quarter of the limit must be new, or nearly full tables would be sorted for each small flush.
                    if fresh >= limit // 4 and sum(map(len, held.rows)) > limit:
                        decided += _decide(held, writer)
                        total, fresh = total + fresh, 0
        decided += _decide(held, writer)
        writer.close()
    context.records("verdicts", decided)
    context.receipt.notes["keys"] = total + fresh


class _Holders(NamedTuple):
    """Key rows and the rank of each one's shard, in input order."""

    rows: list[Rows]
    ranks: list[npt.NDArray[np.uint32]]


def _decide(held: _Holders, writer: BucketWriter) -> int:
    """Write a verdict for every held row that is not the first of its key, and keep only the first ones."""
    rows, ranks = np.concatenate([np.empty(0, KEY_ROW), *held.rows]), np.concatenate([np.empty(0, "<u4"), *held.ranks])
    held.rows.clear()
    held.ranks.clear()
    # Rows come in (rank, flush, bucket) order and numbers rise within a key, so a stable sort by key alone leaves
    # equal keys in input order. The first holders of earlier rounds come before all others.
    order = np.lexsort((rows["lo"], rows["hi"]))
    hi, lo = rows["hi"][order], rows["lo"][order]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1])
    del hi, lo
    later = np.flatnonzero(~new)
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))[later]]
    verdicts = np.empty(len(later), VERDICT_ROW)
    verdicts["n"] = rows["n"][order[later]]
    verdicts["kept_rank"], verdicts["kept_n"] = ranks[first], rows["n"][first]
    shard = ranks[order[later]]
    place = np.lexsort((verdicts["n"], shard))
    if len(later):
        writer.add_rows(shard[place].astype(np.int64), verdicts[place])
    firsts = np.sort(order[new])
    held.rows.append(rows[firsts])
    held.ranks.append(ranks[firsts])
    return len(later)


def read_verdicts(paths: Sequence[str], rank: int, *, memory: int) -> Iterator[tuple[int, int, int]]:
    """The verdicts on one shard from every partition's file, by rising record number: (number, survivor's rank and
    number).

    Streams: at most about a quarter of ``memory`` bytes are held, in one chunk a file.
    """
    chunk = max(1, memory // 4 // VERDICT_ROW.itemsize // max(1, len(paths))) * VERDICT_ROW.itemsize
    return heapq.merge(*(_verdicts(path, rank, chunk) for path in paths))


def _verdicts(path: str, rank: int, chunk: int) -> Iterator[tuple[int, int, int]]:
    with BucketFile(path) as file:
        spans = file.spans(rank, rank + 1, chunk)
    for start, stop in spans:  # closed in between: there may be more partitions than a process may open files
        with open_input(path) as verdicts:
            verdicts.seek(start)
            data = verdicts.read(stop - start)
        yield from np.frombuffer(data, dtype=VERDICT_ROW).tolist()
