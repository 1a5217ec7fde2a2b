"""How good a search for near-duplicates is: recall on planted ones, precision on pairs it removed.

Recall goes by the true Jaccard similarity (filters/minhash.py) of what was planted (slices/jobs/planted.py), since
such a search finds closer pairs more surely. Precision needs the texts of pairs that were removed: a :func:`sample` of
them is compared in full. Nothing here reads or writes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from filters.minhash import Scheme, band_keys, jaccard, signatures, similarity
from slices.jobs.planted import EDITS, Planted

STEP = 0.05  # of true Jaccard, in the table

T = TypeVar("T")


class Checked(NamedTuple):
    """A pair that was removed: the similarity that the search had estimated, and the true Jaccard."""

    estimate: float
    true: float


@dataclass(frozen=True)
class Recall:
    """What was found of the planted pairs with ``low <= true < high`` (the last band has 1 too).

    ``expected`` is the share that the bands alone give by theory: the mean of ``1 - (1 - s**rows)**bands``.
    """

    low: float
    high: float
    planted: int
    found: int
    expected: float


@dataclass(frozen=True)
class Audit:
    """Both results; ``None`` where there was nothing to measure.

    ``recall``: found among planted pairs whose true Jaccard is at least the threshold. ``precision``: the share of the
    checked pairs, removed text and survivor, whose true Jaccard is. A survivor may be reached through a chain of
    near-duplicates, so below the threshold is not always a wrong estimate. ``error``: mean absolute error of estimates.
    """

    scheme: Scheme
    recall: float | None
    expected: float | None
    bands: tuple[Recall, ...]
    edits: dict[str, tuple[int, int]]  # planted at or above the threshold, found
    checked: int
    precision: float | None
    lowest: float | None
    error: float | None

    def render(self) -> str:
        """The result as a few lines of text."""
        limit = f"{self.scheme.threshold:g}"
        planted = sum(n for n, _ in self.edits.values())
        lines = [
            f"recall     {_share(self.recall)} of {planted:,} planted texts with true Jaccard {limit} or more",
            f"           ({_share(self.expected)} expected of {self.scheme.bands} bands of {self.scheme.rows} rows)",
            "           true Jaccard    planted     found    recall  expected",
        ]
        for band in self.bands:
            found = _share(band.found / band.planted if band.planted else None)
            expected = _share(band.expected if band.planted else None)
            label = f"{band.low:.2f} to {band.high:.2f}"
            lines.append(f"           {label:14}{band.planted:>9,}{band.found:>10,}{found:>10}{expected:>10}")
        by_edit = (f"{name} {_share(found / n if n else None)}" for name, (n, found) in self.edits.items())
        lines.append(f"           by edit: {', '.join(by_edit)}")
        lowest = "" if self.lowest is None else f" (lowest {self.lowest:.3f})"
        lines.append(
            f"precision  {_share(self.precision)} of {self.checked:,} removed texts have true Jaccard {limit} or more "
            f"with their survivor{lowest}"
        )
        error = "-" if self.error is None else f"{self.error:.4f}"
        lines.append(f"estimates  {error} mean absolute error on these pairs")
        return "\n".join(lines)


def found_by_bands(texts: Sequence[str], planted: Sequence[Planted], scheme: Scheme) -> list[bool]:
    """Whether each planted text shares a band with its source and their estimate reaches the threshold.

    That is what the two texts alone give; a whole run may join them through others.
    """
    ours, has = signatures([one.text for one in planted], scheme)
    theirs, _ = signatures([texts[one.source] for one in planted], scheme)
    shared = (band_keys(ours, scheme) == band_keys(theirs, scheme)).any(axis=1)
    found: list[bool] = (has & shared & (similarity(ours, theirs) >= scheme.threshold)).tolist()
    return found


def sample(items: Iterable[T], *, count: int, seed: int) -> list[T]:
    """``count`` of the items, each as likely as any other, in one pass; all of them if there are fewer.

    The same for the same items in the same order. Source: Vitter's algorithm R.
    """
    generator = random.Random(seed)
    held: list[T] = []
    for n, item in enumerate(items):
        if n < count:
            held.append(item)
        elif (place := generator.randrange(n + 1)) < count:
            held[place] = item
    return held


def check(removed: str, survivor: str, *, estimate: float, ngram: int) -> Checked:
    """Compare a removed text with its survivor in full."""
    return Checked(estimate, jaccard(removed, survivor, ngram=ngram))


def audit(planted: Sequence[Planted], found: Sequence[bool], checked: Sequence[Checked], scheme: Scheme) -> Audit:
    """The result of a search: of each planted text whether it was ``found`` (it ended in one cluster with its source),
    and of each sampled pair that was removed what :func:`check` gave.

    Raises ``ValueError`` when ``planted`` and ``found`` differ in length.
    """
    true = np.array([one.true for one in planted])
    hit = np.array(found, dtype=bool)
    if len(true) != len(hit):
        raise ValueError(f"{len(true)} planted texts, but {len(hit)} answers")
    likely = 1 - (1 - true**scheme.rows) ** scheme.bands
    bands = []
    edges = _edges(scheme.threshold)
    for low, high in edges:
        within = (true >= low) & ((true < high) | ((low, high) == edges[-1]))
        expected = float(likely[within].mean()) if within.any() else 0.0
        bands.append(Recall(low, high, int(within.sum()), int(hit[within].sum()), expected))
    close = true >= scheme.threshold
    edits = {}
    for name in EDITS:
        by = close & np.array([one.edit == name for one in planted], dtype=bool)
        edits[name] = (int(by.sum()), int(hit[by].sum()))
    real = np.array([pair.true for pair in checked])
    estimated = np.array([pair.estimate for pair in checked])
    return Audit(
        scheme,
        recall=float(hit[close].mean()) if close.any() else None,
        expected=float(likely[close].mean()) if close.any() else None,
        bands=tuple(bands),
        edits=edits,
        checked=len(checked),
        precision=float((real >= scheme.threshold).mean()) if len(real) else None,
        lowest=float(real.min()) if len(real) else None,
        error=float(np.abs(real - estimated).mean()) if len(real) else None,
    )


def _edges(threshold: float) -> list[tuple[float, float]]:
    """The bands of the table: all below the threshold in one, then steps up to 1."""
    lows = [threshold]
    while lows[-1] + STEP < 1 - STEP / 10:
        lows.append(round(lows[-1] + STEP, 10))
    return [(0.0, threshold), *zip(lows, [*lows[1:], 1.0], strict=True)]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
