"""The container of the out-of-core stages: rows or records of one task, laid out by bucket.

A per-shard task appends rows to buckets; a per-partition task reads one range of buckets from every task's file.
Memory is bounded on both sides: the writer flushes when its buffer is full, the reader takes as small a range as it
can hold.

Layout: the buckets of the first flush in ascending order, those of the second, ...; then an index of uint64 (flushes x
(buckets + 1) byte offsets); then 24 bytes: flushes, buckets, magic.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from redpajama_data.errors import BrokenInput
from redpajama_data.io.storage import open_input

_MAGIC = int.from_bytes(b"rpjbkt01", "little")
_TAIL = struct.Struct("<QQQ")
_SMALL_INDEX = 256 << 10  # bytes of an index that is read at once: less than two requests to an object store cost

Rows = npt.NDArray[Any]


class BucketWriter:
    """Writes records into numbered buckets. ``buffer`` is the bytes held before a flush; ``size`` the bytes written."""

    def __init__(self, file: Any, buckets: int, buffer: int) -> None:
        self._file, self.buckets, self._limit = file, buckets, buffer
        self._held: dict[int, bytearray] = {}
        self._bytes = self.size = 0
        self._index: list[npt.NDArray[np.uint64]] = []

    def add(self, bucket: int, record: bytes) -> None:
        """Append one record's bytes to a bucket; records of one bucket keep their order."""
        held = self._held.get(bucket)
        if held is None:
            held = self._held[bucket] = bytearray()
        held += record
        self._bytes += len(record)
        if self._bytes >= self._limit:
            self.flush()

    def add_rows(self, bucket_of: npt.NDArray[np.integer[Any]], rows: Rows) -> None:
        """Write rows (one flush of their own) into the bucket that ``bucket_of`` names for each; order is kept."""
        self.flush()
        order = np.argsort(bucket_of, kind="stable")
        counts = np.bincount(bucket_of.astype(np.int64), minlength=self.buckets)
        ends = np.concatenate([[0], np.cumsum(counts)]) * rows.dtype.itemsize
        self._index.append((ends + self.size).astype("<u8"))
        self._write(rows[order].tobytes())

    def flush(self) -> None:
        """Write what is held."""
        if not self._bytes:
            return
        lengths = np.zeros(self.buckets + 1, dtype="<u8")
        for bucket, held in self._held.items():
            lengths[bucket + 1] = len(held)
        self._index.append(np.cumsum(lengths, dtype="<u8") + np.uint64(self.size))
        for bucket in sorted(self._held):
            self._write(self._held[bucket])
        self._held, self._bytes = {}, 0

    def add_buckets(self, found: Iterable[tuple[int, bytes]]) -> None:
        """Write buckets as they come, ascending, each once (one flush of their own): none is held."""
        self.flush()
        lengths = np.zeros(self.buckets + 1, dtype="<u8")
        start = self.size
        for bucket, data in found:
            lengths[bucket + 1] = len(data)
            self._write(data)
        self._index.append(np.cumsum(lengths, dtype="<u8") + np.uint64(start))

    def _write(self, data: bytes | bytearray) -> None:
        self._file.write(data)
        self.size += len(data)

    def close(self) -> None:
        """Write what is held, and the index; the file stays open."""
        self.flush()
        for offsets in self._index:
            self._file.write(offsets.tobytes())
        self._file.write(_TAIL.pack(len(self._index), self.buckets, _MAGIC))


class RowWriter:
    """Writes rows into numbered buckets, ``flush`` of them at a time: how they come does not show in the file."""

    def __init__(self, file: Any, buckets: int, flush: int) -> None:
        self._out, self._flush = BucketWriter(file, buckets, 1), flush
        self._held: list[tuple[npt.NDArray[np.int64], Rows]] = []
        self._waiting = self.count = 0

    def add(self, bucket_of: npt.NDArray[np.integer[Any]], rows: Rows) -> None:
        """Append rows to the buckets that ``bucket_of`` names; rows of one bucket keep their order."""
        numbers = bucket_of.astype(np.int64)
        self.count += len(rows)
        while self._waiting + len(rows) >= self._flush:
            missing = self._flush - self._waiting
            self._held.append((numbers[:missing], rows[:missing]))
            numbers, rows = numbers[missing:], rows[missing:]
            self._write()
        if len(rows):
            self._held.append((numbers, rows))
            self._waiting += len(rows)

    def _write(self) -> None:
        numbers, rows = (np.concatenate(columns) for columns in zip(*self._held, strict=True))
        self._held, self._waiting = [], 0
        self._out.add_rows(numbers, rows)

    def close(self) -> None:
        """Write what is held, and the index; the file stays open."""
        if self._held:
            self._write()
        self._out.close()


class BucketFile:
    """A file written by :class:`BucketWriter`, open for reading ranges of buckets. A context manager.

    Of the index no more is read than what is asked for, where it is large: a task that reads one range of every shard's
    file would else read most of a terabyte of indexes for a dump.
    """

    def __init__(self, path: str) -> None:
        """Raises :class:`BrokenInput` when the file is not such a file."""
        self._path = path
        self._file: BinaryIO = open_input(path)
        try:
            end = self._file.seek(0, 2)
            self._file.seek(max(0, end - _TAIL.size))
            tail = self._file.read(_TAIL.size)
            self._flushes, self.buckets, magic = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, 0, 0)
            size = self._flushes * (self.buckets + 1) * 8
            self._index_at = end - _TAIL.size - size
            if magic != _MAGIC or self._index_at < 0:
                raise BrokenInput(f"{path}: damaged. Delete it and run again: it is made anew.")
            self._index = self._entries(0, size // 8) if size <= _SMALL_INDEX else None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> BucketFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _entries(self, first: int, count: int) -> npt.NDArray[np.uint64]:
        self._file.seek(self._index_at + 8 * first)
        return np.frombuffer(self._file.read(8 * count), dtype="<u8")

    def _offsets(self, first: int, end: int) -> Iterator[npt.NDArray[np.uint64]]:
        """For each flush where the buckets from ``first`` to ``end`` begin, and where the last ends."""
        for flush in range(self._flushes):
            at = flush * (self.buckets + 1) + first
            count = end - first + 1
            yield self._entries(at, count) if self._index is None else self._index[at : at + count]

    def sizes(self, first: int = 0, end: int | None = None) -> npt.NDArray[np.uint64]:
        """Bytes in each bucket from ``first`` to ``end`` (not included); of all."""
        end = self.buckets if end is None else end
        widths = np.zeros(end - first, dtype="<u8")
        for offsets in self._offsets(first, end):
            widths += np.diff(offsets)
        return widths

    def spans(self, first: int, end: int, chunk: int) -> list[tuple[int, int]]:
        """Where the bytes of buckets ``first`` to ``end`` (not included) lie, in pieces of at most ``chunk`` bytes."""
        ranges = [(int(offsets[0]), int(offsets[-1])) for offsets in self._offsets(first, end)]
        return [(at, min(at + chunk, stop)) for start, stop in ranges for at in range(start, stop, chunk)]

    def read(self, first: int, end: int, *, chunk: int | None = None) -> Iterator[bytes]:
        """The bytes of buckets ``first`` to ``end`` (not included): flush by flush, bucket by bucket within a flush.

        With ``chunk``, in pieces of at most that many bytes.
        """
        for span in self.spans(first, end, chunk or sys.maxsize):
            yield self.read_at(*span)

    def read_each(self, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of the buckets from ``first`` to ``end`` (not included) that have some: flush by flush, all
        that is asked for of a flush at once."""
        for offsets in self._offsets(first, end):
            data = self.read_at(start := int(offsets[0]), int(offsets[-1]))
            for place in np.flatnonzero(np.diff(offsets)).tolist():
                yield first + place, data[int(offsets[place]) - start : int(offsets[place + 1]) - start]

    def read_at(self, start: int, stop: int) -> bytes:
        """The bytes of a span."""
        self._file.seek(start)
        return self._file.read(stop - start)


# There may be more files than a process may open (1,024 by default on Linux, 256 on macOS). What reads a bucket of all
# of them opens one at a time.


def read_closed(path: str, bucket: int, *, chunk: int) -> Iterator[bytes]:
    """The bytes of one bucket, in pieces of at most ``chunk``; the file is closed whenever a piece is handed out."""
    with BucketFile(path) as file:
        spans = file.spans(bucket, bucket + 1, chunk)
        data = file.read_at(*spans[0]) if spans else b""
    yield data
    for start, stop in spans[1:]:
        with open_input(path) as again:
            again.seek(start)
            data = again.read(stop - start)
        yield data
