"""Partitions hang on the data alone; passes on the memory, and together they are the partition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redpajama_data.dedup import partitions
from redpajama_data.dedup.partitions import BUCKETS, key_ranges, passes


@pytest.mark.parametrize(("rows", "parts"), [(0, 1), (1 << 22, 1), ((1 << 22) + 1, 2), (5 << 22, 8), (10**12, 4096)])
def test_tasks_are_as_many_as_the_rows_ask_for(rows: int, parts: int) -> None:
    ranges = key_ranges(rows)
    assert len(ranges) == parts
    assert [first for first, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == BUCKETS


@pytest.mark.parametrize(
    ("rows", "buckets", "memory", "expected"),
    [
        (1000, (0, BUCKETS), 10_000, 1),
        (1000, (0, BUCKETS), 9_999, 2),
        (1000, (1024, 2048), 2_500, 1),  # a quarter of the rows
        (1000, (1024, 2048), 2_499, 2),
        (BUCKETS * 100, (7, 8), 1_000, 1),
        (BUCKETS * 100, (7, 8), 999, 2),  # a bucket is divided by the bits that follow
        (BUCKETS * 100, (7, 9), 999, 4),
        (100, (0, BUCKETS), 0, 128),  # never more than a pass a row
    ],
)
def test_passes_are_as_many_as_the_memory_asks_for(
    rows: int, buckets: tuple[int, int], memory: int, expected: int
) -> None:
    assert len(passes(rows, buckets, row_bytes=10, memory=memory)) == expected


@given(
    keys=st.lists(st.integers(0, 2**64 - 1), max_size=50),
    first=st.integers(0, BUCKETS - 1),
    width=st.sampled_from([1, 2, 64, 4096]),
    memory=st.sampled_from([1, 100, 10_000]),
    rows=st.sampled_from([1, 100, 10**7]),
)
def test_passes_take_every_key_once_and_in_order(
    keys: list[int], first: int, width: int, memory: int, rows: int
) -> None:
    first -= first % width
    end = min(BUCKETS, first + width)
    # Half of them in the range: chance would hit a narrow one too seldom.
    inside = [key % 2**52 | (first + key % (end - first)) << 52 if n % 2 else key for n, key in enumerate(keys)]
    hashes = np.array(sorted(inside), "<u8")
    bucket = hashes >> np.uint64(52)
    taken = [
        part.of(own, own).tolist()
        for part in passes(min(rows, 2**9), (first, end), row_bytes=10, memory=memory)
        for own in [hashes[(bucket >= part.first) & (bucket < part.end)]]
    ]
    assert [key for part in taken for key in part] == hashes[(bucket >= first) & (bucket < end)].tolist()


def test_the_settings_are_not_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "ROWS_A_TASK", 10)
    assert len(key_ranges(40)) == 4
