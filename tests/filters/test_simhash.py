from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.books import (
    beyond_published_chunks,
    lost_by_pg19_overwrite,
    near_duplicate_book,
    published_first_ids,
    published_id_collision,
)
from filters.simhash import first_of_cluster, smallest_id_within
from redpajama_data.document import Drop


def search(hashes: list[int], ids: list[int], distance: int) -> list[int]:
    found = smallest_id_within(np.array(hashes, dtype=np.uint64), np.array(ids, dtype=np.int64), distance=distance)
    return list(found.tolist())


def plain_search(hashes: list[int], ids: list[int], distance: int) -> list[int]:
    return [min(i for h, i in zip(hashes, ids, strict=True) if (h ^ own).bit_count() <= distance) for own in hashes]


@st.composite
def near_hashes(draw: st.DrawFn) -> list[int]:
    """Hashes a few flipped bits away from a few centres: pairs on both sides of the limit, and equal ones."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    flips = st.sets(st.integers(0, 63), max_size=7)
    chosen = draw(st.lists(st.tuples(st.sampled_from(centres), flips), max_size=40))
    return [centre ^ sum(1 << bit for bit in bits) for centre, bits in chosen]


@given(near_hashes(), st.integers(0, 9), st.randoms(use_true_random=False))
def test_search_equals_all_pairs(hashes: list[int], distance: int, random) -> None:  # type: ignore[no-untyped-def]
    ids = [random.randrange(60) for _ in hashes]
    assert search(hashes, ids, distance) == plain_search(hashes, ids, distance)


def test_both_sides_of_the_distance() -> None:
    assert search([0, 0b11111], [1, 2], 5) == [1, 1]
    assert search([0, 0b111111], [1, 2], 5) == [1, 2]


def test_no_chain_is_followed() -> None:
    """The third is near the second only, which is itself a duplicate and still drops it; not down to the first's id."""
    assert search([0, 0b11111, 0b1111111111], [1, 2, 3], 5) == [1, 1, 2]


def test_ids_as_wide_as_they_come() -> None:
    assert search([7, 7], [2**62, -5], 5) == [-5, -5]


def test_nothing_to_search() -> None:
    assert search([], [], 5) == []


def test_one_crowded_block_is_still_exact() -> None:
    rng = np.random.default_rng(1)
    hashes = [int(h) & 0xFFFF for h in rng.integers(0, 2**63, 400)]
    ids = list(range(400))
    assert search(hashes, ids, 5) == plain_search(hashes, ids, 5)


@pytest.mark.parametrize("distance", [-1, 64])
def test_distance_out_of_range(distance: int) -> None:
    with pytest.raises(ValueError, match="distance must be in"):
        search([1], [1], distance)


def test_lengths_that_differ() -> None:
    with pytest.raises(ValueError, match="of one length"):
        search([1, 2], [1], 5)


def test_first_ids_when_train_fills_few_chunks() -> None:
    files = [("pg19-train", 6), ("pg19-test", 3), ("pg19-validation", 2), ("books3-train", 5)]
    assert published_first_ids(files, chunk_lines=2000, tail_chunk=14) == [0, 28000, 28003, 0]  # type: ignore[arg-type]


def test_first_ids_over_several_files() -> None:
    files = [("pg19-train", 1500), ("pg19-train", 900), ("pg19-test", 100), ("pg19-test", 1), ("pg19-validation", 7)]
    files += [("books3-train", 4000), ("books3-train", 2)]
    expected = [0, 1500, 28000, 28100, 28101, 0, 4000]
    assert published_first_ids(files, chunk_lines=2000, tail_chunk=14) == expected  # type: ignore[arg-type]


def test_pg19_tail_is_lost() -> None:
    assert lost_by_pg19_overwrite("pg19-train", 27_999, limit=28_000) is None
    assert lost_by_pg19_overwrite("pg19-train", 28_000, limit=28_000) == Drop("lost_by_pg19_overwrite", 28_000, 28_000)
    assert lost_by_pg19_overwrite("pg19-test", 28_000, limit=28_000) is None
    assert lost_by_pg19_overwrite("books3-train", 28_000, limit=28_000) is None


def test_books3_after_its_last_chunk() -> None:
    limit = 198_000
    assert beyond_published_chunks("books3-train", limit - 1, limit=limit) is None
    assert beyond_published_chunks("books3-train", limit, limit=limit) == Drop("beyond_published_chunks", limit, limit)
    assert beyond_published_chunks("pg19-validation", limit, limit=limit) is None


@pytest.mark.parametrize(
    ("ids", "in_books3", "decides"),
    [
        ([4, 4], [False, True], [1, 1]),
        ([4, 5], [False, True], [0, 1]),
        ([0, 3, 7, 7, 3, 1], [False, False, False, True, True, True], [0, 4, 3, 3, 4, 5]),
        ([2, 9], [False, False], [0, 1]),
        ([], [], []),
    ],
)
def test_books3_decides_for_pg19(ids: list[int], in_books3: list[bool], decides: list[int]) -> None:
    assert published_id_collision(np.array(ids, np.int64), np.array(in_books3, bool)).tolist() == decides


def test_near_duplicate_needs_a_smaller_id() -> None:
    assert near_duplicate_book(np.array([4, 4, 0]), np.array([3, 4, 0])).tolist() == [True, False, False]


@given(near_hashes(), st.randoms(use_true_random=False))
def test_clusters_are_those_of_a_plain_walk(hashes: list[int], random: Any) -> None:
    """Against a walk from book to book: the smallest place that a chain of near-duplicates leads to."""
    places = list(range(len(hashes)))
    random.shuffle(places)
    expected = []
    for start in range(len(hashes)):
        seen, todo = {start}, [start]
        while todo:
            own = todo.pop()
            near = {b for b, h in enumerate(hashes) if (h ^ hashes[own]).bit_count() <= 5} - seen
            seen |= near
            todo += near
        expected.append(min(places[book] for book in seen))
    found = first_of_cluster(np.array(hashes, dtype=np.uint64), np.array(places, dtype=np.int64), distance=5)
    assert found.tolist() == expected
