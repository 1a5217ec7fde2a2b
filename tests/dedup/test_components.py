"""Connected components out of core: the same as a plain union-find, whatever the memory."""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redpajama_data.dedup import external_sort
from redpajama_data.dedup.components import EDGE_ROW, Components
from redpajama_data.dedup.external_sort import SortedRows
from redpajama_data.errors import StorageError

Edges = list[tuple[int, int]]
MEMORIES = (1, 6_000, 1 << 20)  # bytes: 8 edges at a time, 27, all


def union_find(edges: Edges) -> list[tuple[int, int, int]]:
    """(root, node, size), the plain way."""
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for one, other in edges:
        if one != other:
            parent.setdefault(one, one)
            parent.setdefault(other, other)
            a, b = root(one), root(other)
            parent[max(a, b)] = min(a, b)
    roots = {node: root(node) for node in parent}
    sizes: dict[int, int] = {}
    for found in roots.values():
        sizes[found] = sizes.get(found, 0) + 1
    return sorted((found, node, sizes[found]) for node, found in roots.items())


def found(edges: Edges, memory: int, piece: int = 1 << 30) -> list[tuple[int, int, int]]:
    """What ``Components`` says; that both its orders say the same."""
    array = np.array(edges, dtype="<u8").reshape(-1, 2)
    with Components((array[i : i + piece] for i in range(0, len(array), piece)), memory=memory) as graph:
        rows = [(r, n, s) for part in graph.by_root() for n, r, s in part.tolist()]
        by_node = [(n, r, s) for part in graph.by_node() for n, r, s in part.tolist()]
    assert by_node == sorted((n, r, s) for r, n, s in rows)
    return rows


NODES = (
    st.integers(0, 30) | st.integers(0, 2**64 - 1) | st.sampled_from([0, 1 << 40, (1 << 63) - 1, 1 << 63, 2**64 - 1])
)


@settings(max_examples=40)
@given(edges=st.lists(st.tuples(NODES, NODES), max_size=60), piece=st.integers(1, 50))
@example(edges=[], piece=1)
@example(edges=[(7, 7)], piece=1)  # an edge to itself makes no component
@example(edges=[(2, 1), (1, 2), (2, 1)], piece=1)
def test_equals_union_find_at_any_memory(edges: Edges, piece: int) -> None:
    expected = union_find(edges)
    for memory in MEMORIES:
        assert found(edges, memory, piece) == expected


def path_by_halves(length: int) -> list[int]:
    """Places along a path so that its low numbers are spread out: 0 8 4 12 2 10 ... reversed bits."""
    bits = (length - 1).bit_length()
    return [int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits)]


PATHS = {
    "rising": list(range(160)),
    "falling": list(range(160, 0, -1)),
    "reversed bits": path_by_halves(128),
    "zigzag": [n // 2 if n % 2 else 1000 - n // 2 for n in range(160)],
    "shuffled": random.Random(5).sample(range(160), 160),
}


@pytest.mark.parametrize("order", ["along", "shuffled"])
@pytest.mark.parametrize("path", PATHS)
def test_long_paths(path: str, order: str) -> None:
    nodes = PATHS[path]
    edges = list(pairwise(nodes))
    if order == "shuffled":
        random.Random(1).shuffle(edges)
    for memory in MEMORIES:
        rows = found(edges, memory, 64)
        assert {(root, size) for root, _, size in rows} == {(min(nodes), len(nodes))}
        assert [node for _, node, _ in rows] == sorted(nodes)


@pytest.mark.parametrize("centre", [0, 100, 10_000])
def test_stars_whose_centre_has_more_neighbours_than_memory(centre: int) -> None:
    edges = [(centre, node) for node in range(200) if node != centre]
    for memory in MEMORIES:
        assert found(edges, memory, 64) == union_find(edges)


def test_runs_are_merged_in_several_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_sort, "FAN_IN", 2)
    edges = [(random.Random(n).randrange(200), n) for n in range(200)]
    assert found(edges, 1) == union_find(edges)


def test_edges_that_come_again_far_apart_count_once() -> None:
    edges = [(n, n + 100) for n in range(16)] * 3
    for memory in MEMORIES:
        assert found(edges, memory) == union_find(edges)


def test_takes_rows_with_names() -> None:
    rows = np.array([(1, 5), (5, 9)], EDGE_ROW)
    with Components([rows[:1], rows[:0], rows[1:]], memory=1) as graph:
        assert [part.tolist() for part in graph.by_root()] == [[(1, 1, 3), (5, 1, 3), (9, 1, 3)]]


def far_apart(groups: int) -> Iterator[np.ndarray]:
    """Groups of four nodes, whose three edges come as far from each other as can be."""
    for member in range(3):
        for first in range(0, groups, 10_000):
            group = np.arange(first, min(groups, first + 10_000), dtype="<u8") * np.uint64(0x9E3779B97F4A7C15)
            yield np.stack((group ^ np.uint64(member), group ^ np.uint64(member + 1)), axis=1)


def test_memory_does_not_grow_with_the_edges() -> None:
    memory, peaks = 4 << 20, []
    for groups in (10_000, 30_000):
        tracemalloc.start()
        with Components(far_apart(groups), memory=memory) as graph:
            assert sum(len(part) for part in graph.by_root()) == 4 * groups
            assert sum(len(part) for part in graph.by_node()) == 4 * groups
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < memory + (1 << 20)  # all 30,000 groups at once take 10 MB


# ------------------------------------------------------------------------------------------------ sorting


@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(NODES, NODES, st.integers(0, 3)), max_size=150),
    piece=st.integers(1, 40),
    fan_in=st.sampled_from([2, 3, 64]),
)
def test_sorted_rows_equal_a_plain_sort(rows: list[tuple[int, int, int]], piece: int, fan_in: int) -> None:
    before, external_sort.FAN_IN = external_sort.FAN_IN, fan_in
    try:
        for memory in (1, 3_000, 1 << 20):
            with SortedRows(3, memory) as table:
                array = np.array(rows, "<u8").reshape(-1, 3)
                for first in range(0, len(rows), piece):
                    table.add(array[first : first + piece])
                once = [tuple(row) for part in table.read() for row in part.tolist()]
                again = [tuple(row) for part in table.read() for row in part.tolist()]
            assert once == again
            assert sorted(once) == sorted(rows)
            assert [row[:2] for row in once] == sorted(row[:2] for row in rows)
    finally:
        external_sort.FAN_IN = before


def test_a_full_scratch_disk_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    table = SortedRows(2, 1)
    table._file.close()
    table._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115  # type: ignore[assignment]
    with pytest.raises(StorageError, match=r"No space left.*TMPDIR"):
        table.add(np.zeros((8, 2), "<u8"))
    table.close()


def test_scratch_files_have_no_name(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with SortedRows(2, 1) as table:
        table.add(np.zeros((100, 2), "<u8"))
        assert len(table._runs) > 1
        assert os.listdir(str(tmp_path)) == []
