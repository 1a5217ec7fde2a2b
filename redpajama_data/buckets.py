"""The container of the out-of-core stages: rows or records of one task, laid out by bucket.

A per-shard task appends rows to buckets; a per-partition task reads one range of buckets from every task's file.
Memory is bounded on both sides: the writer flushes when its buffer is full, the reader takes as small a range as it
can hold.

Layout: the buckets of the first flush in ascending order, those of the second, ...; then an index of uint64 (flushes x
(buckets + 1) byte offsets); then 24 bytes: flushes, buckets, magic.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from redpajama_data.errors import BrokenInput
from redpajama_data.storage import open_input

_MAGIC = int.from_bytes(b"rpjbkt01", "little")
_TAIL = struct.Struct("<QQQ")

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

    def _write(self, data: bytes | bytearray) -> None:
        self._file.write(data)
        self.size += len(data)

    def close(self) -> None:
        """Write what is held, and the index; the file stays open."""
        self.flush()
        for offsets in self._index:
            self._file.write(offsets.tobytes())
        self._file.write(_TAIL.pack(len(self._index), self.buckets, _MAGIC))


class BucketFile:
    """A file written by :class:`BucketWriter`, open for reading ranges of buckets. A context manager."""

    def __init__(self, path: str) -> None:
        """Raises :class:`BrokenInput` when the file is not such a file."""
        self._path = path
        self._file: BinaryIO = open_input(path)
        end = self._file.seek(0, 2)
        if end >= _TAIL.size:
            self._file.seek(end - _TAIL.size)
            flushes, self.buckets, magic = _TAIL.unpack(self._file.read(_TAIL.size))
        if end < _TAIL.size or magic != _MAGIC:
            raise BrokenInput(f"{path}: damaged. Delete it and run again: it is made anew.")
        size = flushes * (self.buckets + 1) * 8
        self._file.seek(end - _TAIL.size - size)
        self._index = np.frombuffer(self._file.read(size), dtype="<u8").reshape(flushes, self.buckets + 1)

    def __enter__(self) -> BucketFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def sizes(self) -> npt.NDArray[np.uint64]:
        """Bytes in each bucket."""
        if not len(self._index):
            return np.zeros(self.buckets, dtype="<u8")
        widths: npt.NDArray[np.uint64] = np.diff(self._index, axis=1).sum(axis=0)
        return widths

    def spans(self, first: int, end: int, chunk: int) -> list[tuple[int, int]]:
        """Where the bytes of buckets ``first`` to ``end`` (not included) lie, in pieces of at most ``chunk`` bytes."""
        ranges = [(int(offsets[first]), int(offsets[end])) for offsets in self._index]
        return [(at, min(at + chunk, stop)) for start, stop in ranges for at in range(start, stop, chunk)]

    def read(self, first: int, end: int, *, chunk: int | None = None) -> Iterator[bytes]:
        """The bytes of buckets ``first`` to ``end`` (not included): flush by flush, bucket by bucket within a flush.

        With ``chunk``, in pieces of at most that many bytes.
        """
        for offsets in self._index:
            start, stop = int(offsets[first]), int(offsets[end])
            step = chunk or max(stop - start, 1)
            for place in range(start, stop, step):
                self._file.seek(place)
                yield self._file.read(min(step, stop - place))
