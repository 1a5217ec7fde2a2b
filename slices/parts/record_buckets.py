"""Records in numbered buckets, packed: what the Stack Exchange stages hand on, held by redpajama_data.dedup.buckets.

Records are msgpack. Those of one bucket that a flush writes are one piece: bucket and length (two uint32), then a zstd
frame of one msgpack array. So a reader of a range of buckets holds the range packed and unpacks one bucket at a time.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
import zstandard

from redpajama_data.dedup.buckets import BucketFile, BucketWriter
from redpajama_data.dedup.external_sort import write_scratch
from redpajama_data.errors import BrokenInput

_PIECE = struct.Struct("<II")
_ARRAY = struct.Struct(">BI")  # msgpack's array of up to 2^32 elements
_ARRAY_32 = 0xDD
_LEVEL = 1  # posts shrink to 37 %, in 4 % of the time that the slice takes for them
# Bytes of records a flush: 4096 buckets of Stack Overflow's 60 GB have pieces of 60 KB then, and an index of 8 MB.
FLUSH_BYTES = 256 << 20

Packed = Sequence[bytes | memoryview]
T = TypeVar("T")


class RecordWriter:
    """Writes records into ``buckets`` numbered buckets, a flush for every :data:`FLUSH_BYTES` of records.

    ``memory`` is how many bytes of records are held: a flush with more of them waits in a scratch file. It does not
    show in what is written. A context manager: the scratch file goes with it.
    """

    def __init__(self, file: Any, buckets: int, memory: int) -> None:
        self._out = BucketWriter(file, buckets, 1)
        self._memory = memory
        self._held: dict[int, bytearray] = {}
        self._counts: dict[int, int] = {}
        self._bytes = self._waiting = 0  # held; and of this flush in all
        self._scratch = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (closed by __exit__)
        self._spilled: dict[int, list[tuple[int, int]]] = {}  # of each bucket: start and end of its pieces in there
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self.size = 0  # bytes of all records, unpacked

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    def add(self, bucket: int, record: bytes) -> None:
        """Append one msgpack record to a bucket; records of one bucket keep their order."""
        held = self._held.get(bucket)
        if held is None:
            held = self._held[bucket] = bytearray()
        held += record
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        size = len(record)
        self._bytes += size
        self._waiting += size
        self.size += size
        if self._waiting >= FLUSH_BYTES:
            self._flush()
        elif self._bytes >= self._memory:
            self._spill()

    def _spill(self) -> None:
        end = self._scratch.seek(0, 2)
        for bucket, records in self._held.items():
            write_scratch(self._scratch, np.frombuffer(records, np.uint8))
            self._spilled.setdefault(bucket, []).append((end, end + len(records)))
            end += len(records)
        self._held, self._bytes = {}, 0

    def _flush(self) -> None:
        self._out.add_buckets((bucket, self._packed(bucket)) for bucket in sorted(self._counts))
        self._held, self._counts, self._spilled = {}, {}, {}
        self._bytes = self._waiting = 0
        self._scratch.truncate(0)

    def _packed(self, bucket: int) -> bytes:
        records = bytearray(_ARRAY.pack(_ARRAY_32, self._counts[bucket]))
        for start, end in self._spilled.get(bucket, ()):
            records += os.pread(self._scratch.fileno(), end - start, start)
        records += self._held.pop(bucket, b"")
        frame = self._compressor.compress(records)
        return _PIECE.pack(bucket, len(frame)) + frame

    def close(self) -> None:
        """Write what is held, and the index; the file stays open."""
        if self._waiting:
            self._flush()
        self._out.close()


def packed_sizes(path: str, first: int, end: int) -> list[int]:
    """Bytes on the disk of each bucket from ``first`` to ``end`` (not included)."""
    with BucketFile(path) as file:
        return [int(size) for size in file.sizes(first, end)]


def read_packed(path: str, first: int, end: int) -> Iterator[tuple[int, Packed]]:
    """The buckets from ``first`` to ``end`` (not included) that hold anything, ascending, each as its packed pieces.

    The whole range is read, packed, before the first comes out.
    """
    pieces: dict[int, list[memoryview]] = {}
    with BucketFile(path) as file:
        for data in file.read(first, end):
            view, place = memoryview(data), 0
            while place < len(view):
                bucket, length = _PIECE.unpack_from(view, place)
                place += _PIECE.size
                pieces.setdefault(bucket, []).append(view[place : place + length])
                place += length
    for bucket in sorted(pieces):
        yield bucket, pieces.pop(bucket)


def unpack(pieces: Packed, decode: Callable[[bytes], list[T]]) -> list[T]:
    """The records of packed pieces, in order; ``decode`` reads a msgpack array of them.

    Raises :class:`BrokenInput` when a piece is damaged.
    """
    decompressor = zstandard.ZstdDecompressor()
    try:
        return [record for piece in pieces for record in decode(decompressor.decompress(piece))]
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise BrokenInput(
            f"an intermediate file is damaged ({error}). rpj verify names it; delete it and run again."
        ) from error
