"""Exact dedup out of core: the first of equal keys stays, whatever the partitions."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpajama_data.dedup import equal_keys, partitions
from redpajama_data.dedup.buckets import BucketFile, BucketWriter
from redpajama_data.errors import BrokenInput
from redpajama_data.io import storage


def verdicts_of(
    root: Path, shards: list[list[bytes]], parts: int, memory: int = 1 << 28
) -> list[list[tuple[int, int, int]]]:
    """Write each shard's keys, decide in ``parts`` partitions, read the verdicts back."""
    keys = []
    for rank, shard in enumerate(shards):
        with storage.whole_file(str(root / f"{rank}.keys")) as file:
            writer = equal_keys.KeyWriter(file)
            for n, key in enumerate(shard):
                writer.add(key, n)
            writer.close()
        keys.append((rank, str(root / f"{rank}.keys")))
    width = equal_keys.BUCKETS // parts
    paths = []
    for first in range(0, equal_keys.BUCKETS, width):
        paths.append(str(root / f"p{parts}-{first}.verdicts"))
        rows, buckets = sum(map(len, shards)), (first, first + width)
        with storage.whole_file(paths[-1]) as out:
            equal_keys.first_wins(keys, out, ranks=len(shards), rows=rows, buckets=buckets, memory=memory)
    return [list(equal_keys.read_verdicts(paths, rank, memory=1 << 20)) for rank in range(len(shards))]


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


@settings(max_examples=60)
@given(shards=st.lists(st.lists(KEYS, max_size=20), min_size=1, max_size=4), flush=st.sampled_from([24, 72, 1 << 20]))
def test_first_wins_equals_the_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[bytes]], flush: int
) -> None:
    before, equal_keys._FLUSH = equal_keys._FLUSH, flush
    try:
        expected = plain_verdicts(shards)
        for parts in (1, 4):
            written = []
            # All at once, a few passes, a pass a key: the same verdicts in the same bytes.
            for memory in (1 << 28, 4 * equal_keys._BYTES_PER_KEY, 1):
                root = tmp_path_factory.mktemp("keys")
                assert verdicts_of(root, shards, parts, memory) == expected
                written.append([path.read_bytes() for path in sorted(root.rglob("*.verdicts"))])
            assert written[0] == written[1] == written[2]
    finally:
        equal_keys._FLUSH = before


def test_copies_of_one_key_take_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal keys cannot be divided among partitions: the bound must hold without."""
    monkeypatch.setattr(equal_keys, "_FLUSH", 4096 * equal_keys.KEY_ROW.itemsize)
    monkeypatch.setattr(partitions, "ROWS_A_FLUSH", 4096)
    copies = 200_000
    with storage.whole_file(str(tmp_path / "0.keys")) as file:
        writer = equal_keys.KeyWriter(file)
        for n in range(copies):
            writer.add(bytes(16), n)
        writer.close()
    keys, buckets = [(0, str(tmp_path / "0.keys"))], (0, equal_keys.BUCKETS)
    with storage.whole_file(str(tmp_path / "hot.verdicts")) as out:
        tracemalloc.start()
        counts = equal_keys.first_wins(keys, out, ranks=1, rows=copies, buckets=buckets, memory=1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert counts == (copies, copies - 1)
    assert peak < 5 << 20  # all at once would take 27 MB; the index of the key file is 1.6 MB of it


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
