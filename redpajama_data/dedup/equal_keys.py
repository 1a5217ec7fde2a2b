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

from redpajama_data.dedup import partitions
from redpajama_data.dedup.buckets import BucketFile, BucketWriter, RowWriter, read_closed
from redpajama_data.dedup.equal_rows import run_starts
from redpajama_data.dedup.external_sort import SortedRows
from redpajama_data.dedup.gathering import gathered_each
from redpajama_data.dedup.partitions import BUCKETS, Pass, passes

KEY_ROW = np.dtype([("hi", "<u8"), ("lo", "<u8"), ("n", "<u8")])
VERDICT_ROW = np.dtype([("n", "<u8"), ("kept_rank", "<u8"), ("kept_n", "<u8")])
_FLUSH = 6 << 20  # bytes of key rows gathered before they are written: 262,144 keys; the peak is four times as much
# Peak while grouping, as scripts/dedup_memory.py measures it: 56 when all keys differ (rows, shard ranks, sort order
# and its work space), 90 when half are copies, 136 when all are (the verdicts, and the order to write them in).
_BYTES_PER_KEY = 140
_SORTED = 1 << 14  # verdicts turned into Python's numbers at a time: 3 MB
_BYTES_PER_VERDICT = 180  # of one being read: its row, and a tuple of three numbers

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


def first_wins(
    keys: Sequence[tuple[int, str]], out: Any, *, ranks: int, rows: int, buckets: tuple[int, int], memory: int
) -> tuple[int, int]:
    """Read the ``buckets`` range of every key file, group, write the verdicts to the binary file ``out``; returns how
    many keys were read and how many verdicts written.

    ``keys`` are (rank of the shard, key file), in input order; ``ranks`` is one more than the highest rank, ``rows``
    how many keys all the files have. The verdict file has a bucket a shard, with a row for each record that is a later
    copy: its number, and the survivor's rank and number. It does not depend on ``memory`` (bytes): a range is taken in
    as many passes as that asks for, and of equal keys only the first is carried along, so that any number of copies of
    one key stays within it.
    """
    taken = passes(rows, buckets, row_bytes=_BYTES_PER_KEY, memory=memory)
    if len(taken) > 1:  # then a quarter of the memory puts the verdicts of all passes into one order
        taken = passes(rows, buckets, row_bytes=_BYTES_PER_KEY, memory=memory // 2)
    rank_of = np.array([rank for rank, _ in keys], "<u8")
    total = 0
    with SortedRows(4, memory // 4) as waiting:
        writer = RowWriter(out, ranks, partitions.ROWS_A_FLUSH)

        def write(found: Rows) -> None:  # rows of: place of the shard in ``keys``, number, survivor's place and number
            verdicts = np.empty(len(found), VERDICT_ROW)
            verdicts["n"], verdicts["kept_rank"], verdicts["kept_n"] = found[:, 1], rank_of[found[:, 2]], found[:, 3]
            writer.add(rank_of[found[:, 0]], verdicts)

        for part in taken:
            held = _Holders([], [])
            fresh = 0
            limit = max(1, memory // (1 if len(taken) == 1 else 2) // _BYTES_PER_KEY)
            put = write if len(taken) == 1 else waiting.add
            for place, found in _read_keys(keys, part):
                held.rows.append(found)
                held.places.append(np.full(len(found), place, dtype="<u4"))
                fresh += len(found)
                total += len(found)
                # A quarter of the limit must be new, or nearly full tables would be sorted for each small flush.
                if fresh >= limit // 4 and sum(map(len, held.rows)) > limit:
                    put(_decide(held))
                    fresh = 0
            put(_decide(held))
        for found in waiting.read():
            write(found)
        writer.close()
    return total, writer.count


def _read_keys(keys: Sequence[tuple[int, str]], part: Pass) -> Iterator[tuple[int, Rows]]:
    for place, (_, path) in enumerate(keys):
        with BucketFile(path) as file:
            for data in file.read(part.first, part.end):
                rows = np.frombuffer(data, dtype=KEY_ROW)
                yield place, part.of(rows["hi"], rows)


class _Holders(NamedTuple):
    """Key rows and the place of each one's shard, in input order."""

    rows: list[Rows]
    places: list[npt.NDArray[np.uint32]]


def _decide(held: _Holders) -> Rows:
    """What is to be said on every held row that is not the first of its key, in order of shard and number: its shard's
    place and its number, the first one's place and number. Only the first ones stay held."""
    rows = np.concatenate([np.empty(0, KEY_ROW), *held.rows])
    places = np.concatenate([np.empty(0, "<u4"), *held.places])
    held.rows.clear()
    held.places.clear()
    # Rows come in (shard, flush, bucket) order and numbers rise within a key, so a stable sort by key alone leaves
    # equal keys in input order. The first holders of earlier rounds come before all others.
    order = np.lexsort((rows["lo"], rows["hi"]))
    new = run_starts(rows["hi"][order], rows["lo"][order])
    later = np.flatnonzero(~new)
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))[later]]
    later = order[later]
    by_place = np.lexsort((rows["n"][later], places[later]))
    later, first = later[by_place], first[by_place]
    verdicts = np.empty((len(later), 4), "<u8")
    verdicts[:, 0], verdicts[:, 1] = places[later], rows["n"][later]
    verdicts[:, 2], verdicts[:, 3] = places[first], rows["n"][first]
    firsts = np.sort(order[new])
    held.rows.append(rows[firsts])
    held.places.append(places[firsts])
    return verdicts


def read_verdicts(paths: Sequence[str], rank: int, *, memory: int) -> Iterator[tuple[int, int, int]]:
    """The verdicts on one shard from every partition's file, by rising record number: (number, survivor's rank and
    number).

    Streams: at most about a quarter of ``memory`` bytes are held, in one chunk a file; no file stays open.
    """
    rows = max(1, memory // 4 // _BYTES_PER_VERDICT // max(1, len(paths)))
    return heapq.merge(*(_verdicts(path, rank, rows) for path in paths))


def _verdicts(path: str, rank: int, rows: int) -> Iterator[tuple[int, int, int]]:
    for data in read_closed(path, rank, chunk=rows * VERDICT_ROW.itemsize):
        yield from np.frombuffer(data, dtype=VERDICT_ROW).tolist()


def each_verdicts(
    paths: Sequence[str], ranks: Sequence[int], *, memory: int
) -> Iterator[Iterator[tuple[int, int, int]]]:
    """:func:`read_verdicts` of each of some shards, of rising ``ranks``: those of shards near each other with one look
    at each file. One is to be read before the next is asked for."""
    wanted = {*ranks}
    first, end = (ranks[0], ranks[-1] + 1) if ranks else (0, 0)
    # Its numbers are put into order, which takes their size once more: an eighth is held, an eighth for that.
    for rank, rows in enumerate(gathered_each(paths, first, end, dtype=VERDICT_ROW, memory=memory // 2), first):
        if rank in wanted:
            yield read_verdicts(paths, rank, memory=memory) if rows is None else _in_order(rows)


def _in_order(rows: Rows) -> Iterator[tuple[int, int, int]]:
    order = np.argsort(rows["n"])  # no number is there twice: a record, or a line of one, has one key
    for at in range(0, len(order), _SORTED):
        yield from rows[order[at : at + _SORTED]].tolist()
