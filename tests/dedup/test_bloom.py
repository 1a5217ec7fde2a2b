"""Bloom filters: as one key after the other, no copy missed, new keys taken for copies as rarely as promised."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from redpajama_data.dedup import bloom
from redpajama_data.dedup.bloom import BloomFilter
from redpajama_data.dedup.equal_keys import KeyWriter, first_wins, read_verdicts
from redpajama_data.dedup.partitions import BUCKETS
from redpajama_data.errors import BrokenInput


def keys(count: int, seed: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    made = np.random.default_rng(seed).integers(0, 1 << 64, (count, 2), np.uint64)
    return made[:, 0], made[:, 1]


def test_many_at_once_are_as_one_after_the_other() -> None:
    """A full filter, so that keys of one call take each other's bits."""
    high, low = keys(3000, 1)
    again = np.random.default_rng(2).integers(0, 3000, 4000)
    high, low = high[again], low[again]
    one, many = BloomFilter(300, 0.1), BloomFilter(300, 0.1)
    singly = [bool(one.add(high[i : i + 1], low[i : i + 1])[0]) for i in range(len(high))]
    assert many.add(high, low).tolist() == singly
    assert 0 < singly.count(False) < len(set(again.tolist()))


def test_a_key_is_known_from_the_second_time_on() -> None:
    high, low = keys(5000, 3)
    known = BloomFilter(5000, 0.01)
    known.add(high, low)
    assert known.add(high, low).all()


@pytest.mark.parametrize("error_rate", [0.1, 0.01, 0.001])
def test_new_keys_are_taken_for_copies_no_more_than_promised(error_rate: float) -> None:
    capacity = 20_000
    known = BloomFilter(capacity, error_rate)
    filling = known.add(*keys(capacity, 4)).mean()
    assert filling < error_rate / 2  # nearly empty at first
    full = BloomFilter(capacity, error_rate)
    full.add(*keys(capacity, 4))
    table = full._table.copy()
    wrong = []
    for seed in range(5, 105):  # asked of the full filter, which keeps nothing of them
        wrong.append(full.add(*keys(500, seed)).mean())
        full._table[:] = table
    assert error_rate * 0.5 < np.mean(wrong) < error_rate * 1.5  # a standard error of 14 % at a rate of 0.001


def test_a_filter_says_how_often_it_errs_now() -> None:
    known = BloomFilter(20_000, 0.01)
    assert known.error_rate == 0.0
    known.add(*keys(10_000, 7))
    assert known.error_rate < 0.001
    known.add(*keys(10_000, 8))
    assert known.error_rate == pytest.approx(0.01, rel=0.1)
    known.add(*keys(20_000, 9))  # twice what it is made for
    assert known.error_rate > 0.1


def test_memory_is_as_the_rate_asks() -> None:
    assert BloomFilter(1_000_000, 0.01).bits == pytest.approx(9.585e6, rel=0.001)
    assert BloomFilter(1_000_000, 0.01).hashes == 7
    assert BloomFilter(1_000_000, 0.5).hashes == 1
    assert BloomFilter(0, 0.01).bits == 64


def write(path: Path, made: list[bytes]) -> Path:
    with path.open("wb") as file:
        writer = KeyWriter(file)
        for n, key in enumerate(made):
            writer.add(key, n)
        writer.close()
    return path


def decide(files: list[tuple[int, str]], folder: Path, *, exact: bool) -> dict[int, list[int]]:
    """The numbers of each shard that are called copies."""
    out = io.BytesIO()
    ranks = 1 + max(rank for rank, _ in files)
    if exact:
        first_wins(files, out, ranks=ranks, rows=600, buckets=(0, BUCKETS), memory=1 << 20)
    else:
        bloom.first_seen(files, out, ranks=ranks, buckets=(0, BUCKETS), known=BloomFilter(600, 0.001))
    path = folder / "verdicts"
    path.write_bytes(out.getvalue())
    return {rank: [n for n, _, _ in read_verdicts([str(path)], rank, memory=1 << 20)] for rank, _ in files}


def test_copies_are_those_of_the_exact_mechanism_in_the_order_of_the_files(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    made = [random.bytes(16) for _ in range(300)]
    shards = [[made[i] for i in random.integers(0, 300, 200)] for _ in range(3)]
    files = [(rank, str(write(tmp_path / f"{rank}.keys", shard))) for rank, shard in enumerate(shards)]
    for order in (files, files[::-1]):
        seen: set[bytes] = set()
        expected: dict[int, list[int]] = {}
        for rank, _ in order:
            expected[rank] = []
            for n, key in enumerate(shards[rank]):
                if key in seen:
                    expected[rank].append(n)
                seen.add(key)
        assert decide(order, tmp_path, exact=True) == expected
        assert decide(order, tmp_path, exact=False) == expected


def test_a_kept_filter_knows_in_the_next_run_what_it_knew() -> None:
    high, low = keys(4000, 6)
    whole, first, then = (BloomFilter(4000, 0.01) for _ in range(3))
    expected = whole.add(high, low)
    begun = first.add(high[:1500], low[:1500])
    then.load(first.dump())
    assert np.concatenate([begun, then.add(high[1500:], low[1500:])]).tolist() == expected.tolist()
    with pytest.raises(BrokenInput, match="Give the capacity and the error rate of the run that made it"):
        BloomFilter(5000, 0.01).load(first.dump())


@pytest.mark.parametrize(("capacity", "parts"), [(1, 1), (112_000_000, 1), (113_000_000, 2), (30_000_000_000, 512)])
def test_ranges_of_kept_filters_hang_on_the_capacity(capacity: int, parts: int) -> None:
    ranges = bloom.filter_ranges(capacity, 0.01)
    assert len(ranges) == parts
    assert [first for first, _ in ranges[1:]] == [end for _, end in ranges[:-1]]
    assert (ranges[0][0], ranges[-1][1]) == (0, BUCKETS)


def test_a_range_reads_its_own_keys_and_has_its_share_of_the_capacity(tmp_path: Path) -> None:
    path = write(tmp_path / "0.keys", [np.random.default_rng(n).bytes(16) for n in range(100)])
    read = 0
    for part, share in (((0, 1024), 250), ((1024, BUCKETS), 750)):
        known = bloom.range_filter(1000, part, 0.01)
        assert known.bits == BloomFilter(share, 0.01).bits
        read += bloom.first_seen([(0, str(path))], io.BytesIO(), ranks=1, buckets=part, known=known)[0]
    assert read == 100
