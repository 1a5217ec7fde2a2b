"""Partitions: which tasks the rows of a stage go to, and in how many passes a task takes its own.

How many tasks there are hangs on the data alone, so that another ``--memory`` or ``--workers`` redoes nothing. Memory
decides how many rows a task holds at once: it takes its range of keys in as many passes as that asks for, and writes
what it would have written in one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

BUCKETS = 4096  # by the top 12 bits of a key: the finest range a task can have
_BUCKET_BITS = 12
# Rows of a task: 4 million keys of dedup are 100 MB to read and some seconds of work. More would leave cores of a
# laptop idle, fewer would make more files than a publishing task should look into: there are BUCKETS tasks at most, and
# beyond 17e9 rows a task has more of them.
ROWS_A_TASK = 1 << 22
ROWS_A_FLUSH = 1 << 17  # of what a task writes by bucket: 3 MB of verdicts, four times that at the peak

Ranges = list[tuple[int, int]]


def key_ranges(rows: int) -> Ranges:
    """Ranges of the :data:`BUCKETS` buckets, one a task, for so many rows (keys are hashes: evenly spread)."""
    parts = min(BUCKETS, _power_of_two(-(-rows // ROWS_A_TASK)))
    width = BUCKETS // parts
    return [(first, first + width) for first in range(0, BUCKETS, width)]


class Pass(NamedTuple):
    """What a task takes at once: the buckets from ``first`` to ``end`` (not included), and of those, where a single
    bucket is too much, the keys whose next ``bits`` bits are ``value``. Passes come in the order of keys."""

    first: int
    end: int
    bits: int = 0
    value: int = 0

    def of(self, keys: npt.NDArray[np.uint64], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The rows of this pass among those of its buckets; ``keys`` are theirs."""
        if not self.bits:
            return rows
        next_bits = (keys >> np.uint64(64 - _BUCKET_BITS - self.bits)) & np.uint64((1 << self.bits) - 1)
        found: npt.NDArray[Any] = rows[next_bits == np.uint64(self.value)]
        return found


def passes(rows: int, buckets: tuple[int, int], *, row_bytes: int, memory: int) -> list[Pass]:
    """The passes over a range of ``buckets`` so that one pass fits into ``memory`` bytes. ``rows`` are those of the
    whole stage, each of ``row_bytes`` at the peak.

    As many as are needed, whatever the memory: no stage of rows has a least memory that grows with the data.
    """
    first, end = buckets
    own = -(-rows * (end - first) // BUCKETS)
    parts = _power_of_two(min(own, -(-own * row_bytes // max(1, memory))))
    if parts <= end - first:
        bounds = [first + (end - first) * part // parts for part in range(parts + 1)]
        return [Pass(*bounds[part : part + 2]) for part in range(parts)]
    bits = (-(-parts // (end - first)) - 1).bit_length()
    return [Pass(bucket, bucket + 1, bits, value) for bucket in range(first, end) for value in range(1 << bits)]


def _power_of_two(number: int) -> int:
    """The least power of two that is at least ``number``."""
    return 1 << (max(1, number) - 1).bit_length()
