"""Candidate pairs of near-duplicates, out of core: documents that share a band, compared by signature.

A per-shard task writes a row for each band of each document, by key, and the signatures in record order; a
per-partition task reads one range of keys from all shards, groups equal ones and compares within each group. A document
is a place: ``position << 40 | n``, the position of its shard in the order of preference and its record number. The
lower place is the preferred one.

**Which pairs of a group are compared.** In order of place, each member is compared with the group's leaders so far (a
leader is a member that joined no other) and joins the first whose estimated similarity is at least the threshold; one
that joins none becomes a leader, as long as there are fewer than :data:`MAX_LEADERS`. So a group of n equal texts costs
n comparisons, and one of false collisions is not compared all with all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.buckets import BucketFile, BucketWriter
from redpajama_data.dedup.components import EDGE_ROW
from redpajama_data.dedup.equal_rows import run_starts
from redpajama_data.dedup.external_sort import Rows, SortedRows
from redpajama_data.dedup.partitions import BUCKETS, Pass, passes
from redpajama_data.io.rows import read_rows
from redpajama_data.io.storage import open_input

BAND_ROW = np.dtype([("key", "<u8"), ("n", "<u8")])
PLACE_BITS = 40  # of a record's number; what is above is its shard's position
MAX_LEADERS = 32  # of a group: what is like none of them joins nobody by this key
_FLUSH = 6 << 20  # bytes of rows a flush
_BYTES_PER_ROW = 100  # peak while grouping, measured: 58 when no two share a key, 95 when nearly all do

Numbers = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.bool_]
Compare = Callable[[Numbers, Numbers], Marks]


class BandWriter:
    """Writes a shard's bands: :meth:`add` for documents in order. ``count`` is the rows written."""

    def __init__(self, file: Any) -> None:
        self._buckets = BucketWriter(file, BUCKETS, _FLUSH)
        self._rows: list[npt.NDArray[Any]] = []
        self._held = self.count = 0

    def add(self, keys: Numbers, numbers: npt.NDArray[np.integer[Any]]) -> None:
        """Add the keys (documents, bands) of records with these ``numbers`` (documents,), rising."""
        rows = np.empty(keys.size, BAND_ROW)
        rows["key"] = keys.ravel()
        rows["n"] = np.repeat(numbers.astype(np.uint64), keys.shape[1])
        self.count += len(rows)
        most = _FLUSH // BAND_ROW.itemsize
        while self._held + len(rows) >= most:  # by rows, not by calls: the bytes do not depend on the batches
            first, rows = rows[: most - self._held], rows[most - self._held :]
            self._rows.append(first)
            self._flush()
        if len(rows):
            self._rows.append(rows)
            self._held += len(rows)

    def _flush(self) -> None:
        rows = np.concatenate(self._rows)
        self._rows, self._held = [], 0
        self._buckets.add_rows((rows["key"] >> np.uint64(52)).astype(np.int64), rows)

    def close(self) -> None:
        """Write what is held, and the index."""
        if self._rows:
            self._flush()
        self._buckets.close()


def _rows_share(memory: int) -> int:
    """Bytes for rows: a half; a quarter is for signatures, a quarter for sorting edges."""
    return max(1, memory // 2)


def candidates(
    bands: Sequence[tuple[int, str]],
    out: Any,
    *,
    signatures: Sequence[tuple[int, str]],
    permutations: int,
    threshold: float,
    rows: int,
    buckets: tuple[int, int],
    memory: int,
) -> int:
    """Read the ``buckets`` range of every band file, group, compare, write the edges to the binary file ``out``;
    returns how many.

    ``bands`` and ``signatures`` are (position of the shard, file), by rising position; a signature file has a row of
    ``permutations`` uint32 for each record; ``rows`` is how many all band files have. The edges are the pairs that are
    alike, :data:`~redpajama_data.dedup.components.EDGE_ROW`, sorted and distinct. They do not depend on ``memory``
    (bytes): a range is taken in as many passes as that asks for, and as only the leaders of a key are carried along,
    any number of documents may share one.
    """
    limit = max(1, _rows_share(memory) // _BYTES_PER_ROW)
    alike = partial(similar, files=dict(signatures), permutations=permutations, threshold=threshold, memory=memory // 4)
    with SortedRows(2, memory // 4) as edges:
        for part in passes(rows, buckets, row_bytes=_BYTES_PER_ROW, memory=_rows_share(memory)):
            held = _Held(np.empty(0, "<u8"), np.empty(0, "<u8"))
            fresh: list[_Held] = []
            waiting = 0
            for found in _read(bands, part):
                fresh.append(found)
                waiting += len(found.keys)
                # A quarter of the limit must be new, or nearly full tables would be sorted for each small flush.
                if waiting >= limit // 4 and len(held.keys) + waiting > limit:
                    held = _settle(held, fresh, alike, edges)
                    fresh, waiting = [], 0
            _settle(held, fresh, alike, edges)
        return _write_edges(edges, out)


class _Held(NamedTuple):
    """Band rows; those of one key in order of place."""

    keys: Numbers
    places: Numbers


def _read(bands: Sequence[tuple[int, str]], part: Pass) -> Iterator[_Held]:
    for position, path in bands:
        with BucketFile(path) as file:
            for data in file.read(part.first, part.end):
                rows = np.frombuffer(data, dtype=BAND_ROW)
                rows = part.of(rows["key"], rows)
                yield _Held(rows["key"].copy(), rows["n"] | np.uint64(position << PLACE_BITS))


def _settle(held: _Held, fresh: list[_Held], alike: Compare, edges: SortedRows) -> _Held:
    """Decide on the fresh rows, and keep the leaders of every key. ``held`` are the leaders so far.

    Rows come in order of place within a key, the leaders first: a stable sort by key leaves them so.
    """
    keys = np.concatenate([held.keys, *(rows.keys for rows in fresh)])
    places = np.concatenate([held.places, *(rows.places for rows in fresh)])
    leaders = len(held.keys)
    fresh.clear()
    order = np.argsort(keys, kind="stable")
    keys, places, is_fresh = keys[order], places[order], order >= leaders
    del order
    new = run_starts(keys)
    stays = run_starts(keys, places)  # a document may have the same key twice
    live = np.flatnonzero(stays)
    group = np.cumsum(new, dtype=np.int64)[live] - 1
    shared = np.bincount(group)[group] > 1 if len(group) else stays
    live, group = live[shared], group[shared]
    for _ in range(MAX_LEADERS):
        # Every round compares what is undecided with its group's next leader: the first one undecided.
        open_groups = np.zeros(int(group[-1]) + 1 if len(group) else 0, dtype=bool)
        open_groups[group[is_fresh[live]]] = True
        live, group = live[open_groups[group]], group[open_groups[group]]
        if not len(live):
            break
        leads = run_starts(group)
        leader = places[live[leads]][np.cumsum(leads) - 1]
        tested = np.flatnonzero(is_fresh[live] & ~leads)  # earlier leaders are known to be unlike this one
        low, high = leader[tested], places[live[tested]]
        joins = alike(low, high)
        edges.add(np.stack((low[joins], high[joins]), axis=1))
        stays[live[tested[joins]]] = False
        undecided = ~leads
        undecided[tested[joins]] = False
        live, group = live[undecided], group[undecided]
    stays[live[is_fresh[live]]] = False  # there are leaders enough
    return _Held(keys[stays], places[stays])


def _write_edges(edges: SortedRows, out: Any) -> int:
    count = 0
    last: Rows = np.empty((0, 2), "<u8")
    for piece in edges.read():
        rows = np.concatenate((last, piece))
        new = run_starts(rows[:, 0], rows[:, 1])
        new[: len(last)] = False
        out.write(rows[new].tobytes())
        count += int(new.sum())
        last = piece[-1:]
    return count


def read_edges(path: str, *, memory: int) -> Iterator[npt.NDArray[Any]]:
    """The rows of an ``edges`` file, in pieces of at most ``memory`` bytes."""
    with open_input(path) as file:
        while data := file.read(max(1, memory // EDGE_ROW.itemsize) * EDGE_ROW.itemsize):
            yield np.frombuffer(data, EDGE_ROW)


# ---------------------------------------------------------------------------------------------- signatures


def similar(
    low: Numbers, high: Numbers, *, files: dict[int, str], permutations: int, threshold: float, memory: int
) -> Marks:
    """For each pair of places: is the estimated similarity (:func:`similarity`) at least ``threshold``?"""
    return similarity(low, high, files=files, permutations=permutations, memory=memory) >= threshold


def similarity(
    low: Numbers, high: Numbers, *, files: dict[int, str], permutations: int, memory: int
) -> npt.NDArray[np.float64]:
    """The estimated Jaccard similarity of each pair of places: the share of equal rows of their signatures.

    ``files`` are the signature files by position. Pairs are taken in batches that fit in about ``memory`` bytes, in
    order of the lower place; each document of a batch is read once.
    """
    result = np.empty(len(low), np.float64)
    order = np.argsort(low, kind="stable")
    step = max(1, memory // (5 * 4 * permutations + 200))  # two rows a pair, as read and as compared, and what is equal
    for first in range(0, len(order), step):
        batch = order[first : first + step]
        places, number = np.unique(np.concatenate((low[batch], high[batch])), return_inverse=True)
        found = _signatures(places, files, permutations)
        equal = found[number[: len(batch)]] == found[number[len(batch) :]]
        result[batch] = np.count_nonzero(equal, axis=1) / permutations
    return result


def _signatures(places: Numbers, files: dict[int, str], permutations: int) -> npt.NDArray[np.uint32]:
    """The signatures of rising places, (places, permutations)."""
    result = np.empty((len(places), permutations), "<u4")
    positions = places >> np.uint64(PLACE_BITS)
    edges = np.flatnonzero(np.diff(positions)) + 1
    for part in np.split(np.arange(len(places)), edges):
        if len(part):
            rows = places[part] & np.uint64((1 << PLACE_BITS) - 1)
            found = read_rows(files[int(positions[part[0]])], rows, 4 * permutations)
            result[part] = found.view("<u4")
    return result
