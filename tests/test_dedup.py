"""Exact dedup out of core: the first of equal keys stays, whatever the partitions."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpajama_data import dedup, storage
from redpajama_data.buckets import BucketFile, BucketWriter
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.receipts import Receipt
from redpajama_data.tasks import Task, TaskContext, Workplace


def context(root: Path, name: str, memory: int = 1 << 28) -> TaskContext:
    task = Task("s", "dedup", name, 0, print, "lineage")
    return TaskContext(task, Workplace(str(root), memory), Receipt("s", "dedup", name, 0, "lineage"))


def verdicts_of(
    root: Path, shards: list[list[bytes]], parts: int, memory: int = 1 << 28
) -> list[list[tuple[int, int, int]]]:
    """Write each shard's keys, decide in ``parts`` partitions, read the verdicts back."""
    keys = []
    for rank, shard in enumerate(shards):
        with storage.whole_file(str(root / f"{rank}.keys")) as file:
            writer = dedup.KeyWriter(file)
            for n, key in enumerate(shard):
                writer.add(key, n)
            writer.close()
        keys.append((rank, f"{rank}.keys"))
    width = dedup.BUCKETS // parts
    paths = []
    for first in range(0, dedup.BUCKETS, width):
        work = context(root, f"p{parts}-{first}", memory)
        dedup.first_wins(work, keys=keys, ranks=len(shards), buckets=(first, first + width))
        paths.append(work.upstream(work.receipt.outputs["verdicts"].path))
    return [list(dedup.read_verdicts(paths, rank, memory=1 << 20)) for rank in range(len(shards))]


def plain_verdicts(shards: list[list[bytes]]) -> list[list[tuple[int, int, int]]]:
    first: dict[bytes, tuple[int, int]] = {}
    result: list[list[tuple[int, int, int]]] = [[] for _ in shards]
    for rank, shard in enumerate(shards):
        for n, key in enumerate(shard):
            kept = first.setdefault(key, (rank, n))
            if kept != (rank, n):
                result[rank].append((n, *kept))
    return result


# Keys that share their upper half, their lower half or their bucket: each must be told apart.
KEYS = st.sampled_from(
    [hashlib.md5(bytes([i])).digest() for i in range(12)]
    + [bytes(8) + bytes([i]) + bytes(7) for i in range(4)]
    + [bytes([i]) + bytes(15) for i in range(4)]
)


@settings(max_examples=60, deadline=None)
@given(shards=st.lists(st.lists(KEYS, max_size=20), min_size=1, max_size=4), flush=st.sampled_from([24, 72, 1 << 20]))
def test_first_wins_equals_the_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[bytes]], flush: int
) -> None:
    before, dedup._FLUSH = dedup._FLUSH, flush
    try:
        expected = plain_verdicts(shards)
        for parts in (1, 4):
            for memory in (1 << 28, 4 * dedup._BYTES_PER_KEY):  # the small one settles every few rows
                assert verdicts_of(tmp_path_factory.mktemp("keys"), shards, parts, memory) == expected
    finally:
        dedup._FLUSH = before


def test_copies_of_one_key_take_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal keys cannot be divided among partitions: the bound must hold without."""
    monkeypatch.setattr(dedup, "_FLUSH", 4096 * dedup.KEY_ROW.itemsize)
    copies = 200_000
    with storage.whole_file(str(tmp_path / "0.keys")) as file:
        writer = dedup.KeyWriter(file)
        for n in range(copies):
            writer.add(bytes(16), n)
        writer.close()
    work = context(tmp_path, "hot", memory=1 << 20)
    tracemalloc.start()
    dedup.first_wins(work, keys=[(0, "0.keys")], ranks=1, buckets=(0, dedup.BUCKETS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert work.receipt.outputs["verdicts"].records == copies - 1
    assert peak < 5 << 20  # all at once would take 27 MB; the index of the key file is 1.6 MB of it


@pytest.mark.parametrize(
    ("keys", "memory", "parts"),
    [(0, 1 << 20, 1), (1_000_000, 140_000_000, 1), (1_000_001, 140_000_000, 2), (10_000_000, 200 << 20, 8)],
)
def test_partitions_are_as_many_as_memory_asks_for(keys: int, memory: int, parts: int) -> None:
    ranges = dedup.partition_ranges(keys, memory)
    assert len(ranges) == parts
    assert [first for first, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == dedup.BUCKETS


def test_too_little_memory_says_how_much_is_needed() -> None:
    with pytest.raises(UsageError, match=r"at least 3260 MB"):
        dedup.partition_ranges(10**11, 1 << 20)


def test_buckets_keep_order_and_sizes(tmp_path: Path) -> None:
    path = str(tmp_path / "a.buckets")
    with storage.whole_file(path) as file:
        writer = BucketWriter(file, 4, buffer=8)
        for bucket, record in [(3, b"aaa"), (0, b"b"), (3, b"cc"), (1, b"ddd"), (3, b"e")]:
            writer.add(bucket, record)
        writer.close()
    with BucketFile(path) as found:
        assert found.sizes().tolist() == [1, 3, 0, 6]
        assert b"".join(found.read(3, 4)) == b"aaacce"
        assert b"".join(found.read(0, 2)) == b"bddd"
        assert [len(piece) for piece in found.read(3, 4, chunk=2)] == [2, 2, 1, 1]


def test_a_damaged_bucket_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    with pytest.raises(BrokenInput, match="made anew"):
        BucketFile(str(tmp_path / "a"))
