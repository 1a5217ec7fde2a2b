"""Buckets of many files, gathered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from redpajama_data.dedup.buckets import BucketFile, BucketWriter
from redpajama_data.dedup.gathering import gathered, gathered_each

BUCKETS = 9


def write(path: Path, seed: int, flushes: int) -> str:
    chance = np.random.default_rng(seed)
    with open(path, "wb") as file:
        writer = BucketWriter(file, BUCKETS, 1)
        for _ in range(flushes):
            rows = chance.integers(0, 1 << 40, chance.integers(1, 20)).astype("<u8")
            writer.add_rows(chance.integers(0, BUCKETS, len(rows)), rows)
        writer.close()
    return str(path)


@pytest.mark.parametrize("memory", [0, 32, 256, 1024, 1 << 20])
@pytest.mark.parametrize(("first", "end"), [(0, 9), (3, 4), (2, 8), (5, 5)])
def test_each_bucket_is_what_it_is_alone(tmp_path: Path, first: int, end: int, memory: int) -> None:
    paths = [write(tmp_path / f"{n}", n, n) for n in range(4)]
    found = gathered_each(paths, first, end, dtype="<u8", memory=memory)
    each = [None if rows is None else rows.tolist() for rows in found]
    assert len(each) == end - first
    for bucket, rows in enumerate(each, first):
        with gathered(paths, bucket, dtype="<u8", memory=1 << 20) as alone:
            assert rows == (alone.tolist() if alone.nbytes <= memory // 4 else None)


def test_files_are_opened_twice_when_all_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path / f"{n}", n, 2) for n in range(5)]
    opened: list[str] = []
    init = BucketFile.__init__
    monkeypatch.setattr(BucketFile, "__init__", lambda self, path: (opened.append(path), init(self, path))[1])
    assert len([*gathered_each(paths, 0, BUCKETS, dtype="<u8", memory=1 << 20)]) == BUCKETS
    assert opened == 2 * paths
