"""Values counted in bins, linear or by powers of ten, with the ticks of their axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 24
WIDE = 10  # the largest value over the median from which an axis goes by powers of ten


@dataclass(frozen=True)
class Series:
    """Values of one kind: ``kept`` or ``dropped``. ``weight``: for how many records each stands."""

    kind: str
    values: Sequence[float]
    weight: float = 1.0


@dataclass(frozen=True)
class Histogram:
    """Bins from ``low`` to ``high``; ``log``: by powers of ten of 1 + the value. ``counts`` by series and bin are of
    records, so they may be estimates. ``values`` is how many were measured, ``ticks`` are (place from 0 to 1, value).
    """

    name: str
    low: float
    high: float
    median: float
    log: bool
    values: int
    counts: dict[str, list[float]]
    ticks: list[tuple[float, float]]
    limit: float | None = None
    limit_at: float | None = None


def histogram(name: str, series: Sequence[Series], *, limit: float | None = None) -> Histogram | None:
    """The histogram of series together; None when all values are equal, so that there is nothing to see."""
    arrays = [np.asarray(each.values, float) for each in series]
    finite = [values[np.isfinite(values)] for values in arrays]
    every = np.concatenate(finite) if finite else np.empty(0)
    if not len(every) or every.min() == every.max():
        return None
    inside = every if limit is None else np.append(every, limit)
    low, high, median = float(inside.min()), float(inside.max()), float(np.median(every))
    log = low >= 0 and high > 20 and high > WIDE * median
    first, last = _axis(low, log), _axis(high, log)
    edges = np.linspace(first, last, BINS + 1)
    counts: dict[str, list[float]] = {}
    for each, values in zip(series, finite, strict=True):
        placed = np.clip(np.log10(1 + values), first, last) if log else values  # no value lost by a rounding
        heights = np.histogram(placed, edges)[0] * each.weight
        before = counts.get(each.kind)
        counts[each.kind] = heights.tolist() if before is None else (heights + np.asarray(before)).tolist()
    return Histogram(
        name,
        low,
        high,
        median,
        log,
        len(every),
        counts,
        [((_axis(value, log) - first) / (last - first), value) for value in _ticks(low, high, log)],
        limit,
        None if limit is None else (_axis(limit, log) - first) / (last - first),
    )


def _axis(value: float, log: bool) -> float:
    return math.log10(1 + value) if log else value


def _ticks(low: float, high: float, log: bool) -> list[float]:
    """At most five round values from ``low`` to ``high``."""
    if log:
        powers = [10.0**n for n in range(math.floor(math.log10(high)) + 1) if 10.0**n >= low]
        step = max(1, math.ceil(len(powers) / 5))
        return powers[::-step][::-1] or [low, high]
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step_size = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    first = math.ceil(low / step_size)
    count = math.floor(high / step_size) - first + 1
    return [round((first + n) * step_size, 12) for n in range(max(0, count))] or [low, high]
