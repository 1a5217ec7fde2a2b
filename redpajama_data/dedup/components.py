"""Connected components out of core: which documents hang together, given the pairs that do.

Alternating large-star and small-star (Kiveris et al., "Connected Components in MapReduce and Beyond", SoCC 2014) over
edges sorted on disk. A node's neighbours lie side by side, the lowest first, so that both steps read the edges once
from front to end and a node may have any number of neighbours. Before edges go to disk, as many as memory holds are
replaced by the stars of their own components: edges among few enough nodes never reach the disk in more than one
piece, and then nothing is left to do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.equal_rows import run_starts
from redpajama_data.dedup.external_sort import Rows, SortedRows, write_scratch

EDGE_ROW = np.dtype([("low", "<u8"), ("high", "<u8")])
COMPONENT_ROW = np.dtype([("node", "<u8"), ("root", "<u8"), ("size", "<u8")])
_MOST_EDGES = 1 << 29  # held at once: the numbers of their nodes fit 31 bits
_BYTES_PER_EDGE = 110  # peak for an edge held, measured: nodes and their numbers, edges by number, both directions

Numbers = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.bool_]


class Components:
    """The components of a graph, each named by its lowest node (its root). Nodes without an edge are not there.

    A context manager: the scratch files go with it.
    """

    def __init__(self, edges: Iterable[npt.NDArray[Any]], *, memory: int) -> None:
        """``edges``: arrays of shape (edges, 2) of uint64, or of :data:`EDGE_ROW`; either end may be the lower one,
        edges may repeat, an edge from a node to itself says nothing. They are read once. About ``memory`` bytes are
        held, whatever their number; the result does not depend on it, nor on the order of the edges.

        Raises :class:`StorageError` when the temporary folder (TMPDIR) is full.
        """
        self._memory = memory
        self._edges = _stars(edges, memory, both=True)
        while not _settled(self._edges):
            with self._edges, _stars(_large_star(self._edges), memory, both=False) as downward:
                self._edges = _stars(_small_star(downward), memory, both=True)

    def __enter__(self) -> Components:
        return self

    def __exit__(self, *_: object) -> None:
        self._edges.close()

    def by_root(self) -> Iterator[npt.NDArray[Any]]:
        """:data:`COMPONENT_ROW` of every node, roots among them, sorted by (root, node). ``size`` counts the nodes of
        the component."""
        with tempfile.TemporaryFile(buffering=0) as sizes:
            for counts in self._sizes():
                write_scratch(sizes, counts)
            sizes.seek(0)
            size = np.zeros(1, "<u8")
            for group in self._members():
                starts = np.flatnonzero(group.new)
                known = np.frombuffer(sizes.read(8 * len(starts)), "<u8")
                known = np.concatenate((size, known))
                place = np.cumsum(group.new)
                rows = np.empty(len(group.u) + len(starts), COMPONENT_ROW)  # a group's root comes before its members
                rows["node"] = np.insert(group.v, starts, group.u[starts])
                rows["root"] = np.insert(group.u, starts, group.u[starts])
                rows["size"] = np.insert(known[place], starts, known[1:])
                size = known[-1:]
                yield rows

    def by_node(self) -> Iterator[npt.NDArray[Any]]:
        """The rows of :meth:`by_root`, sorted by node."""
        with SortedRows(3, self._memory // 2) as rows:
            for found in self.by_root():
                rows.add(found.view("<u8").reshape(-1, 3))
            for piece in rows.read():
                yield np.ascontiguousarray(piece).view(COMPONENT_ROW).ravel()

    def _members(self) -> Iterator[_Groups]:
        """Every root with the other nodes of its component."""
        for group in _groups(self._edges):
            down = group.v > group.u
            if down.any():
                yield _Groups(group.u[down], group.v[down], group.first[down], group.new[down])

    def _sizes(self) -> Iterator[Numbers]:
        """The nodes of each component, in order of the roots."""
        count = 0
        for group in self._members():
            starts = np.flatnonzero(group.new)
            if not len(starts):
                count += len(group.new)
                continue
            sizes = np.diff(starts, prepend=0) + 1
            sizes[0] += count
            yield sizes[0 if count else 1 :].astype("<u8")  # the first of all has none before it
            count = len(group.new) - int(starts[-1])
        if count:
            yield np.array([count + 1], "<u8")


# ------------------------------------------------------------------------------------------------ in memory


def _contract(edges: Rows) -> tuple[Numbers, npt.NDArray[np.int32]]:
    """The nodes of some edges, rising, and for each the number (in that order) of the lowest node of its component.

    Every root hooks on to its lowest neighbour and all paths are halved until flat; the edges that are left then run
    between roots. The number of rounds is logarithmic: at least every root with a lower neighbour goes.
    """
    ends = edges.T.ravel()
    order = np.argsort(ends)
    ends = ends[order]
    new = run_starts(ends)
    nodes = ends[new]
    del ends
    number = np.empty(len(order), np.int32)
    number[order] = np.cumsum(new, dtype=np.int32) - np.int32(1)
    del order, new
    one, other = number[: len(edges)], number[len(edges) :]
    parent = np.arange(len(nodes), dtype=np.int32)
    while True:
        one, other = parent[one], parent[other]
        apart = one != other
        if not apart.any():
            return nodes, parent
        one, other = one[apart], other[apart]
        np.minimum.at(parent, np.maximum(one, other), np.minimum(one, other))
        while True:
            grand = parent[parent]
            if (grand == parent).all():
                break
            parent = grand


def _stars(edges: Iterable[npt.NDArray[Any]], memory: int, *, both: bool) -> SortedRows:
    """Edges as sorted rows, after as many at a time as memory holds were replaced by the stars of their components:
    (node, root), and with ``both`` also (root, node)."""
    limit = min(max(8, memory // 2 // _BYTES_PER_EDGE), _MOST_EDGES)
    result = SortedRows(2, memory // 4)
    held: list[Rows] = []
    count = 0
    for rows in edges:
        rest = rows.view("<u8").reshape(-1, 2) if rows.dtype.names else rows
        while len(rest):
            piece = rest[: limit - count]
            rest = rest[len(piece) :]
            held.append(piece)
            count += len(piece)
            if count >= limit:
                star = _contract(np.concatenate(held))
                held = []
                if len(star[0]) > limit // 2:
                    _spill(result, *star, both=both)
                else:  # edges that say little new do not go to disk
                    held = [_star_rows(*star)]
                count = sum(map(len, held))
    if held:
        _spill(result, *_contract(np.concatenate(held)), both=both)
    return result


def _star_rows(nodes: Numbers, root: npt.NDArray[np.int32]) -> Rows:
    leaves = np.flatnonzero(root != np.arange(len(root), dtype=root.dtype))
    return np.stack((nodes[leaves], nodes[root[leaves]]), axis=1)


def _spill(result: SortedRows, nodes: Numbers, root: npt.NDArray[np.int32], *, both: bool) -> None:
    result.add_sorted(_star_rows(nodes, root))
    if both:
        leaves = np.flatnonzero(root != np.arange(len(root), dtype=root.dtype)).astype("<u8")
        packed = root[leaves].astype("<u8") << np.uint64(32) | leaves  # a piece has fewer than 2**31 nodes
        packed.sort()
        result.add_sorted(np.stack((nodes[packed >> np.uint64(32)], nodes[packed & np.uint64(0xFFFFFFFF)]), axis=1))


# ------------------------------------------------------------------------------------------------ on disk


class _Groups(NamedTuple):
    """Distinct rows (u, v) by rising u and v: for each also the lowest v of its u, and whether it is that row."""

    u: Numbers
    v: Numbers
    first: Numbers
    new: Marks


def _groups(edges: SortedRows) -> Iterator[_Groups]:
    """The rows of a graph, piece by piece; what a piece needs of the one before is carried along."""
    last: Rows = np.empty((0, 2), "<u8")
    first = np.empty(0, "<u8")  # of the last row's u
    for piece in edges.read():
        rows = np.concatenate((last, piece))
        u, v = np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1])
        new, fresh = run_starts(u), run_starts(u, v)
        fresh[: len(last)] = False
        lowest = v.copy()
        lowest[: len(last)] = first
        lowest = lowest[np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))]
        last, first = rows[-1:], lowest[-1:]
        if fresh.any():
            yield _Groups(u[fresh], v[fresh], lowest[fresh], new[fresh])


def _settled(edges: SortedRows) -> bool:
    """True when every node has one lower neighbour or only higher ones: then each component is a star around its root.

    Neither step would change such a graph.
    """
    return not any(
        (((group.v < group.u) & ~group.new) | ((group.v > group.u) & (group.first < group.u))).any()
        for group in _groups(edges)
    )


def _large_star(edges: SortedRows) -> Iterator[Rows]:
    """Connect every node's higher neighbours with the lowest of its neighbours and itself. Takes both directions."""
    for group in _groups(edges):
        up = group.v > group.u
        yield np.stack((group.v[up], np.minimum(group.u, group.first)[up]), axis=1)


def _small_star(edges: SortedRows) -> Iterator[Rows]:
    """Connect every node and its lower neighbours with the lowest of them. Takes the direction downward."""
    for group in _groups(edges):
        yield np.stack((np.where(group.new, group.u, group.v), group.first), axis=1)
