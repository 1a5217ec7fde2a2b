"""Copies found by Bloom filters: bits instead of keys, and a known share of documents taken for copies that are none.

The verdicts have the form of :mod:`redpajama_data.dedup.equal_keys`, which is exact. Here each range of keys has a
filter of its own, in input order: what comes out depends on the keys and their order alone, not on memory or workers.
A filter can be kept in a file, and know its keys in the next run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup import partitions
from redpajama_data.dedup.buckets import BucketFile, RowWriter
from redpajama_data.dedup.equal_keys import KEY_ROW, VERDICT_ROW
from redpajama_data.errors import BrokenInput

_AT_ONCE = 1 << 14  # keys looked at together: 6 MB at seven hashes
_FILTER_BYTES = 128 << 20  # of a filter that is kept, at most: a larger capacity makes more ranges

Rows = npt.NDArray[Any]


class BloomFilter:
    """A filter for ``capacity`` different keys: at most so many, and a new key is taken for a known one with the
    probability ``error_rate``, or less as long as it is not full.

    ``-capacity * ln(error_rate) / ln(2)**2`` bits and ``-log2(error_rate)`` hashes (Bloom 1970), from the two halves of
    a 128-bit key by double hashing (Kirsch and Mitzenmacher 2006).
    """

    def __init__(self, capacity: int, error_rate: float) -> None:
        self.bits = _bits(capacity, error_rate)
        self.hashes = max(1, round(-math.log2(error_rate)))
        self._table = np.zeros(-(-self.bits // 8), np.uint8)

    @property
    def error_rate(self) -> float:
        """The probability with which a new key is taken for a known one now: the share of bits set, once for each
        hash. Above the rate that was asked for when the filter holds more than its capacity."""
        pieces = range(0, len(self._table), _AT_ONCE)
        filled = sum(int(np.unpackbits(self._table[at : at + _AT_ONCE]).sum(dtype=np.int64)) for at in pieces)
        return float((filled / self.bits) ** self.hashes)

    def load(self, data: bytes | memoryview) -> None:
        """Take over what a filter of the same capacity and rate knew. Raises :class:`BrokenInput` for another size."""
        if len(data) != len(self._table):
            raise BrokenInput(
                f"a filter of {len(data):,} bytes, {len(self._table):,} were expected. Give the capacity and the error "
                "rate of the run that made it."
            )
        self._table[:] = np.frombuffer(data, np.uint8)

    def dump(self) -> memoryview:
        """What :meth:`load` takes."""
        return self._table.data

    def add(self, high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Add keys one after the other; for each whether the filter knew it before: as one call a key would say."""
        steps = np.arange(self.hashes, dtype=np.uint64)
        places = (high[:, None] + steps * (low[:, None] | np.uint64(1))) % np.uint64(self.bits)
        byte, bit = (places >> np.uint64(3)).astype(np.int64), np.uint8(1) << (places & np.uint64(7)).astype(np.uint8)
        was_set = (self._table[byte] & bit) != 0
        # A key also knows the bits that keys before it in this call set: those whose first setter is an earlier row.
        _, first, of = np.unique(places.ravel(), return_index=True, return_inverse=True)
        setter = (first // self.hashes)[of.ravel()].reshape(places.shape)
        known: npt.NDArray[np.bool_] = (was_set | (setter < np.arange(len(places))[:, None])).all(axis=1)
        np.bitwise_or.at(self._table, byte.ravel(), bit.ravel())
        return known


def _bits(capacity: int, error_rate: float) -> int:
    return max(64, math.ceil(-max(1, capacity) * math.log(error_rate) / math.log(2) ** 2))


def filter_ranges(capacity: int, error_rate: float) -> partitions.Ranges:
    """Ranges of keys whose filters take a bounded number of bytes each; they hang on no input."""
    parts = 1
    while parts < partitions.BUCKETS and _bits(capacity, error_rate) // 8 > parts * _FILTER_BYTES:
        parts *= 2
    width = partitions.BUCKETS // parts
    return [(first, first + width) for first in range(0, partitions.BUCKETS, width)]


def range_filter(capacity: int, buckets: tuple[int, int], error_rate: float) -> BloomFilter:
    """The filter of a range, for its share of ``capacity`` keys (keys are hashes: evenly spread)."""
    first, end = buckets
    return BloomFilter(-(-capacity * (end - first) // partitions.BUCKETS), error_rate)


def first_seen(
    keys: Sequence[tuple[int, str]], out: Any, *, ranks: int, buckets: tuple[int, int], known: BloomFilter
) -> tuple[int, int]:
    """Read the ``buckets`` range of every key file in the order of ``keys``, and write a verdict for each record whose
    key the filter knew; returns how many keys were read and how many verdicts written.

    Arguments as :func:`redpajama_data.dedup.equal_keys.first_wins`; the file has the same form, but a filter cannot say
    which record was first: each verdict names its own.
    """
    writer = RowWriter(out, ranks, partitions.ROWS_A_FLUSH)
    total = 0
    for rank, path in keys:
        with BucketFile(path) as file:
            read = [np.frombuffer(data, KEY_ROW) for data in file.read(*buckets)]
        found = np.concatenate([np.empty(0, KEY_ROW), *read])
        found = found[np.argsort(found["n"], kind="stable")]
        total += len(found)
        for start in range(0, len(found), _AT_ONCE):
            part = found[start : start + _AT_ONCE]
            copies = part["n"][known.add(part["hi"], part["lo"])]
            verdicts = np.empty(len(copies), VERDICT_ROW)
            verdicts["n"], verdicts["kept_rank"], verdicts["kept_n"] = copies, rank, copies
            writer.add(np.full(len(copies), rank), verdicts)
    writer.close()
    return total, writer.count
