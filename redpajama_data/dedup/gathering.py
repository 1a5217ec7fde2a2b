"""Buckets of many files, gathered: that of one shard, or those of several shards with one look at each file.

There may be more files than a process may open (1,024 by default on Linux, 256 on macOS): one is open at a time.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.buckets import BucketFile
from redpajama_data.dedup.external_sort import write_scratch

_PIECE = 8 << 20  # bytes read at a time

Rows = npt.NDArray[Any]


@contextlib.contextmanager
def gathered(paths: Sequence[str], bucket: int, *, dtype: npt.DTypeLike, memory: int) -> Iterator[Rows]:
    """The rows of one bucket of every file, one file after the other, as an array that may be written to; from a
    quarter of ``memory`` on it lies in a scratch file that is mapped. Raises :class:`StorageError` when the temporary
    folder (TMPDIR) is full."""
    held = bytearray()
    with contextlib.ExitStack() as stack:
        spill: Any = None
        for path in paths:
            with BucketFile(path) as file:
                for data in file.read(bucket, bucket + 1, chunk=_PIECE):
                    if spill is None and len(held) + len(data) > memory // 4:
                        spill = stack.enter_context(tempfile.TemporaryFile(buffering=0))
                        write_scratch(spill, np.frombuffer(held, "u1"))
                        held = bytearray()
                    if spill is None:
                        held += data
                    else:
                        write_scratch(spill, np.frombuffer(data, "u1"))
        yield np.frombuffer(held, dtype) if spill is None else np.memmap(spill, dtype, mode="r+")


def gathered_each(
    paths: Sequence[str], first: int, end: int, *, dtype: npt.DTypeLike, memory: int
) -> Iterator[Rows | None]:
    """The rows of each bucket from ``first`` to ``end`` (not included), as :func:`gathered` gives them; None for a
    bucket that is larger than a quarter of ``memory``, which is then for the caller to read.

    Each file is opened twice for as many buckets as a quarter of ``memory`` holds: a thousand files that each say
    something of a thousand shards would be opened a million times, bucket by bucket.
    """
    sizes = np.zeros(end - first, dtype="<u8")
    for path in paths:
        with BucketFile(path) as file:
            sizes += file.sizes(first, end)
    at = 0
    while at < len(sizes):
        fitting = int(np.searchsorted(np.cumsum(sizes[at:]), memory // 4, side="right"))
        if fitting == 0:
            yield None
        else:
            yield from _several(paths, first + at, first + at + fitting, dtype)
        at += max(1, fitting)


def _several(paths: Sequence[str], first: int, end: int, dtype: npt.DTypeLike) -> Iterator[Rows]:
    held = [bytearray() for _ in range(first, end)]
    for path in paths:
        with BucketFile(path) as file:
            for bucket, data in file.read_each(first, end):
                held[bucket - first] += data
    for rows in held:
        yield np.frombuffer(rows, dtype)
