"""Rows of documents of two roots compared: the arithmetic of :mod:`redpajama_data.reports.root_diff`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.equal_rows import run_starts

ROW = np.dtype([("id", "<u8"), ("line", "<u8"), ("shard", "<u4"), ("n", "<u4")])
KINDS = ("equal", "changed", "only_a", "only_b")

Rows = npt.NDArray[Any]
Places = list[tuple[int, int]]


class Found:
    """What was found so far: documents of each kind, and the first ``show`` places (shard, line) of those that
    differ."""

    def __init__(self, show: int) -> None:
        self.show = show
        self.counts = dict.fromkeys(KINDS, 0)
        self.places: dict[str, Places] = {kind: [] for kind in KINDS[1:]}

    def add(self, kind: str, count: int, rows: Rows) -> None:
        """Count documents of a kind; ``rows`` are those that may be examples."""
        self.counts[kind] += count
        if self.show and len(rows):
            first = rows[np.lexsort((rows["n"], rows["shard"]))[: self.show]]
            found = zip(first["shard"].tolist(), first["n"].tolist(), strict=True)
            self.places[kind] = sorted([*self.places[kind], *found])[: self.show]


def compare_rows(a: Rows, b: Rows, found: Found) -> None:
    """Compare rows of :data:`ROW` and add up what came of it.

    Of the documents of one id those with the same line are equal, as many as both sides have; of the rest, pairs are
    ``changed`` and what is left over is in one root only. Ids and lines need no order.
    """
    rows: Rows = np.concatenate([a, b])
    if not len(rows):
        return
    side = np.zeros(len(rows), dtype=np.int64)
    side[len(a) :] = 1
    order = np.lexsort((rows["n"], rows["shard"], side, rows["line"], rows["id"]))
    rows, side = rows[order], side[order]
    new_id, new_line = run_starts(rows["id"]), run_starts(rows["id"], rows["line"])
    # One entry for each different (id, line): how many documents either side has, and has more than the other.
    start = np.flatnonzero(new_line)
    of_b = np.add.reduceat(side, start)
    of_a = np.diff(np.append(start, len(rows))) - of_b
    same = np.minimum(of_a, of_b)
    more_a, more_b = of_a - same, of_b - same
    # One entry for each id.
    first = np.flatnonzero(new_id[start])
    group = np.cumsum(new_id[start]) - 1
    left_a, left_b = np.add.reduceat(more_a, first), np.add.reduceat(more_b, first)
    changed = np.minimum(left_a, left_b)
    only_a, only_b = left_a - changed, left_b - changed
    found.counts["equal"] += int(same.sum())
    # The rows of an entry are those of a, then those of b.
    found.add("changed", int(changed.sum()), rows[start[(more_a > 0) & (changed[group] > 0)]])
    found.add("only_a", int(only_a.sum()), rows[start[(more_a > 0) & (only_a[group] > 0)]])
    found.add("only_b", int(only_b.sum()), rows[(start + of_a)[(more_b > 0) & (only_b[group] > 0)]])
