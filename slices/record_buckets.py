"""Records in numbered buckets, packed: what the Stack Exchange stages hand on, held by redpajama_data.buckets.

Records are msgpack. Those of one bucket that a flush writes are one piece: bucket and length (two uint32), then a zstd
frame of one msgpack array. So a reader of a range of buckets holds the range packed and unpacks one bucket at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import zstandard

from redpajama_data.buckets import BucketFile, BucketWriter
from redpajama_data.errors import BrokenInput

_PIECE = struct.Struct("<II")
_ARRAY = struct.Struct(">BI")  # msgpack's array of up to 2^32 elements
_ARRAY_32 = 0xDD
_LEVEL = 1  # posts shrink to 37 %, in 4 % of the time that the slice takes for them
_UNREACHED = 1 << 62

Packed = Sequence[bytes | memoryview]
T = TypeVar("T")


class RecordWriter:
    """Writes records into ``buckets`` numbered buckets. ``buffer`` is the bytes of records held before a flush."""

    def __init__(self, file: Any, buckets: int, buffer: int) -> None:
        self._out = BucketWriter(file, buckets, _UNREACHED)  # flushed from here, when a piece of each bucket is packed
        self._limit = buffer
        self._held: dict[int, bytearray] = {}
        self._counts: dict[int, int] = {}
        self._bytes = 0
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self.size = 0  # bytes of all records, unpacked

    def add(self, bucket: int, record: bytes) -> None:
        """Append one msgpack record to a bucket; records of one bucket keep their order."""
        held = self._held.get(bucket)
        if held is None:
            held = self._held[bucket] = bytearray()
        held += record
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._bytes += len(record)
        self.size += len(record)
        if self._bytes >= self._limit:
            self._flush()

    def _flush(self) -> None:
        for bucket in sorted(self._held):
            records = self._held.pop(bucket)
            frame = self._compressor.compress(_ARRAY.pack(_ARRAY_32, self._counts[bucket]) + records)
            self._out.add(bucket, _PIECE.pack(bucket, len(frame)) + frame)
        self._out.flush()
        self._counts, self._bytes = {}, 0

    def close(self) -> None:
        """Write what is held, and the index; the file stays open."""
        self._flush()
        self._out.close()


def packed_sizes(path: str, first: int, end: int) -> list[int]:
    """Bytes on the disk of each bucket from ``first`` to ``end`` (not included)."""
    with BucketFile(path) as file:
        return [int(size) for size in file.sizes()[first:end]]


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
