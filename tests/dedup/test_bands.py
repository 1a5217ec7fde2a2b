"""Candidate pairs out of core: the same pairs whatever the memory, the partitions and the number of members."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpajama_data.dedup import bands
from redpajama_data.io import storage

Pairs = list[tuple[int, int]]
Shard = list[tuple[list[int], list[int]]]  # of each record: its signature, its keys
PERMUTATIONS = 4
ROWS = 225  # of all shards together, at most


def write(root: Path, name: str, signatures: np.ndarray, keys: np.ndarray, batch: int = 1 << 30) -> None:
    storage.write_bytes(str(root / f"{name}.signatures"), signatures.astype("<u4").tobytes())
    with storage.whole_file(str(root / f"{name}.bands")) as file:
        writer = bands.BandWriter(file)
        for first in range(0, len(keys), batch):
            part = keys[first : first + batch]
            writer.add(part, np.arange(first, first + len(part)))
        writer.close()


def find(root: Path, names: list[tuple[int, str]], memory: int, parts: int = 1, threshold: float = 0.5) -> Pairs:
    """The pairs of all partitions together."""
    found: set[tuple[int, int]] = set()
    width = bands.BUCKETS // parts
    for first in range(0, bands.BUCKETS, width):
        edges = str(root / "edges")
        with storage.whole_file(edges) as out:
            written = bands.candidates(
                [(position, str(root / f"{name}.bands")) for position, name in names],
                out,
                signatures=[(position, str(root / f"{name}.signatures")) for position, name in names],
                permutations=PERMUTATIONS,
                threshold=threshold,
                rows=ROWS,
                buckets=(first, first + width),
                memory=memory,
            )
        rows = [pair for part in bands.read_edges(edges, memory=64) for pair in part.tolist()]
        assert rows == sorted(set(rows))
        assert len(rows) == written
        found.update(rows)
    return sorted(found)


def plain(shards: list[Shard], threshold: float = 0.5) -> Pairs:
    """Member by member, as the module says it."""
    leaders: dict[int, list[int]] = {}
    signature: dict[int, list[int]] = {}
    pairs = set()
    for position, shard in enumerate(shards):
        for n, (own, keys) in enumerate(shard):
            place = position << 40 | n
            signature[place] = own
            for key in keys:
                known = leaders.setdefault(key, [])
                if place in known:
                    continue
                for leader in known:
                    if sum(a == b for a, b in zip(signature[leader], own, strict=True)) / PERMUTATIONS >= threshold:
                        pairs.add((leader, place))
                        break
                else:
                    if len(known) < bands.MAX_LEADERS:
                        known.append(place)
    return sorted(pairs)


KEYS = st.sampled_from([0, 1, 1 << 52, 3 << 52, 2**64 - 1])  # two share a bucket
RECORDS = st.tuples(
    st.lists(st.integers(0, 2), min_size=PERMUTATIONS, max_size=PERMUTATIONS), st.lists(KEYS, min_size=3, max_size=3)
)


@settings(max_examples=40)
@given(
    shards=st.lists(st.lists(RECORDS, max_size=25), min_size=1, max_size=3),
    leaders=st.sampled_from([1, 2, 32]),
    batch=st.integers(1, 30),
    flush=st.sampled_from([16, 80, 1 << 20]),
    threshold=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_equals_the_plain_reading_at_any_memory(
    tmp_path_factory: pytest.TempPathFactory,
    shards: list[Shard],
    leaders: int,
    batch: int,
    flush: int,
    threshold: float,
) -> None:
    root = tmp_path_factory.mktemp("bands")
    before = bands._FLUSH, bands.MAX_LEADERS
    bands._FLUSH, bands.MAX_LEADERS = flush, leaders
    try:
        for position, shard in enumerate(shards):
            signatures = np.array([own for own, _ in shard], "<u4").reshape(-1, PERMUTATIONS)
            keys = np.array([keys for _, keys in shard], "<u8").reshape(-1, 3)
            write(root, str(position), signatures, keys, batch)
        names = [(position, str(position)) for position in range(len(shards))]
        expected = plain(shards, threshold)
        for memory in (1, 2 * 5 * bands._BYTES_PER_ROW, 1 << 28):  # every row, every five rows or so, all at once
            assert find(root, names, memory, parts=1, threshold=threshold) == expected
        assert find(root, names, 1 << 28, parts=4, threshold=threshold) == expected
    finally:
        bands._FLUSH, bands.MAX_LEADERS = before


def test_bytes_do_not_depend_on_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "_FLUSH", 100 * 16)
    keys = np.random.default_rng(3).integers(0, 2**64, (500, 3), dtype=np.uint64)
    for batch in (1, 7, 500):
        write(tmp_path, str(batch), np.zeros((500, PERMUTATIONS)), keys, batch)
    one, other, whole = ((tmp_path / f"{batch}.bands").read_bytes() for batch in (1, 7, 500))
    assert one == other == whole


def test_the_place_of_a_shard_is_its_position_and_not_its_turn(tmp_path: Path) -> None:
    """Positions may have gaps: a shard without records, or one that could not be read, has a place all the same."""
    for name in "ab":
        write(tmp_path, name, np.ones((2, PERMUTATIONS)), np.full((2, 1), 5, "<u8"))
    assert find(tmp_path, [(3, "a"), (9, "b")], 1 << 20) == [
        (3 << 40, 3 << 40 | 1),
        (3 << 40, 9 << 40),
        (3 << 40, 9 << 40 | 1),
    ]


def test_what_is_like_no_leader_joins_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "MAX_LEADERS", 2)
    signatures = np.array([[0] * 4, [1] * 4, [2] * 4, [2] * 4, [1] * 4])
    write(tmp_path, "a", signatures, np.zeros((5, 1), "<u8"))
    assert find(tmp_path, [(0, "a")], 1 << 20) == [(1, 4)]  # 2 and 3 are alike, but neither is a leader
    monkeypatch.setattr(bands, "MAX_LEADERS", 3)
    assert find(tmp_path, [(0, "a")], 1 << 20) == [(1, 4), (2, 3)]


def test_threshold_is_reached_by_equality(tmp_path: Path) -> None:
    write(tmp_path, "a", np.array([[1, 2, 3, 4], [1, 2, 3, 9], [1, 2, 8, 9]]), np.zeros((3, 1), "<u8"))
    assert find(tmp_path, [(0, "a")], 1 << 20, threshold=0.75) == [(0, 1)]
    assert find(tmp_path, [(0, "a")], 1 << 20, threshold=0.76) == []
    assert find(tmp_path, [(0, "a")], 1 << 20, threshold=0.5) == [(0, 1), (0, 2)]


@pytest.mark.parametrize(("kinds", "leaders"), [(3, 32), (10, 2)])  # the second: most are like no leader
def test_any_number_of_documents_with_one_key_take_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: int, leaders: int
) -> None:
    monkeypatch.setattr(bands, "_FLUSH", 4096 * bands.BAND_ROW.itemsize)
    monkeypatch.setattr(bands, "MAX_LEADERS", leaders)
    copies = 150_000
    kind = np.arange(copies) % kinds
    write(tmp_path, "a", kind[:, None] + np.zeros(PERMUTATIONS), np.zeros((copies, 1), "<u8"))
    with storage.whole_file(str(tmp_path / "edges")) as out:
        tracemalloc.start()
        written = bands.candidates(
            [(0, str(tmp_path / "a.bands"))],
            out,
            signatures=[(0, str(tmp_path / "a.signatures"))],
            permutations=PERMUTATIONS,
            threshold=0.5,
            rows=copies,
            buckets=(0, bands.BUCKETS),
            memory=2 << 20,
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    followed = min(kinds, leaders)
    assert written == copies * followed // kinds - followed
    assert peak < 7 << 20  # all at once would take 22 MB; the index of the band file is 1.2 MB of it


def test_similarity_is_the_share_of_equal_rows(tmp_path: Path) -> None:
    rng = random.Random(7)
    rows = np.array([[rng.randrange(3) for _ in range(PERMUTATIONS)] for _ in range(300)], "<u4")
    files = {}
    for position in range(3):
        storage.write_bytes(str(tmp_path / str(position)), rows[100 * position :][:100].tobytes())
        files[position] = str(tmp_path / str(position))
    pairs = [(rng.randrange(300), rng.randrange(300)) for _ in range(500)]
    low, high = (np.array([(x // 100) << 40 | x % 100 for x in side], "<u8") for side in zip(*pairs, strict=True))
    expected = [(rows[a] == rows[b]).mean() for a, b in pairs]
    for memory in (1, 10_000, 1 << 20):
        assert bands.similarity(low, high, files=files, permutations=4, memory=memory).tolist() == expected
