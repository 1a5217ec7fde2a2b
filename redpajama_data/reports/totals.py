"""Totals by slice beside the published figures: measured, or projected from a sample of the source's shards."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from redpajama_data.errors import UsageError
from redpajama_data.reports.published import PUBLISHED, Reference, published_tokens


@dataclass
class SliceTotals:
    """What was counted in one slice. ``bytes`` (UTF-8), ``characters`` and ``tokens`` are of the texts alone.

    ``shard_tokens`` has the tokens of each source shard that was processed, ``source_shards`` is how many the whole
    source has, None when nobody said. ``unread`` lines of files could not be counted, the first at ``first_unread``.
    """

    slice: str
    documents: int = 0
    bytes: int = 0
    characters: int = 0
    tokens: int = 0
    shard_tokens: list[int] = field(default_factory=list)
    source_shards: int | None = None
    unread: int = 0
    first_unread: str = ""


# ------------------------------------------------------------------------------------------------ projection


@dataclass(frozen=True)
class Projection:
    """The whole slice's tokens as far as ``shards`` of ``source_shards`` tell. ``low`` and ``high`` bound the 95 %
    confidence interval; they are None when one shard gives no spread, and equal when every shard was counted."""

    tokens: float
    low: float | None
    high: float | None
    shards: int
    source_shards: int
    method: str


# Student's t, 97.5 % quantile, by degrees of freedom 1 to 30 (standard table, e.g. NIST/SEMATECH e-Handbook 1.3.6.7.2).
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def student_t(freedom: int) -> float:
    """97.5 % quantile of Student's t with ``freedom`` >= 1 degrees of freedom, to 0.001.

    Beyond the table the expansion of the quantile around the normal one, 1.95996 (Abramowitz and Stegun, 26.7.5).
    """
    if freedom <= len(_T):
        return _T[freedom - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def project(totals: SliceTotals) -> Projection | None:
    """Project the tokens of the whole slice from the shards counted; None when their number in the source is unknown,
    or nothing was counted.

    Expansion estimator for a simple random sample without replacement: N times the mean shard; 95 % interval by
    Student's t on the shards' totals, with the finite population correction sqrt(1 - k/N) (Cochran, Sampling
    Techniques, chapter 2). The whole can never be less than what was counted, so ``low`` stops there.
    Raises :class:`UsageError` when more shards were counted than the source is said to have.
    """
    k, n = len(totals.shard_tokens), totals.source_shards
    if n is None or k == 0:
        return None
    if k > n:
        raise UsageError(
            f"{totals.slice}: {k} raw files were processed, but source_shards says the source has {n}. "
            "Correct source_shards in the configuration."
        )
    counted = sum(totals.shard_tokens)
    if k == n:
        return Projection(counted, counted, counted, k, n, "all shards of the source were counted")
    total = n * counted / k
    method = f"{n:,} x mean of {k:,} shards counted (expansion estimator"
    if k == 1:
        return Projection(total, None, None, k, n, method + "); one shard gives no confidence interval")
    error = n * statistics.stdev(totals.shard_tokens) / math.sqrt(k) * math.sqrt(1 - k / n)
    half = student_t(k - 1) * error
    method += ", Student's t, finite population correction); holds if the shards were drawn at random"
    return Projection(total, max(float(counted), total - half), total + half, k, n, method)


# ------------------------------------------------------------------------------------------------ checking


def parse_percent(text: str) -> float:
    """ "5%" or "0.05" as 0.05. Raises :class:`UsageError` for anything else, below 0 included."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError(f"{text!r} is no tolerance. Give a percentage, as 5%, or a fraction, as 0.05.")
    return value


def check(totals: Sequence[SliceTotals], tolerance: float, against: Reference = "redpajama") -> list[str]:
    """What is off the published figures by more than ``tolerance`` (0.05 = 5 %), one sentence each; empty: nothing.

    A slice is compared by its projected total where ``source_shards`` is known (measured when every shard was
    counted), else by what was counted. The sum is compared when all seven slices are there. Nothing to compare is a
    failure too: a check must not pass because it looked at nothing.
    """
    failures, compared = [], {}
    for part in totals:
        published = published_tokens(part.slice, against)
        if published is None:
            continue
        value, what, _ = best(part)
        compared[part.slice] = value, published
        failures += _off(part.slice, what, value, published, tolerance, against)
    if not compared:
        return [f"nothing to check: no slice of {', '.join(PUBLISHED)} is there"]
    if compared.keys() == PUBLISHED.keys():
        value, published = (sum(column) for column in zip(*compared.values(), strict=True))
        failures += _off("all slices", "sum", value, int(published), tolerance, against)
    return failures


def best(totals: SliceTotals) -> tuple[float, str, Projection | None]:
    """The number that stands for the whole slice, what it is, and the projection it comes from, if any."""
    projection = project(totals)
    if projection is None:
        return float(totals.tokens), "counted, size of the source not configured", None
    if projection.shards == projection.source_shards:
        return projection.tokens, "counted, whole source", projection
    return projection.tokens, f"projected from {projection.shards:,} of {projection.source_shards:,} shards", projection


def _off(name: str, what: str, value: float, published: int, tolerance: float, against: str) -> list[str]:
    off = value / published - 1
    if abs(off) <= tolerance:
        return []
    whose = {"redpajama": "RedPajama-1T", "llama": "LLaMA"}[against]
    return [
        f"{name}: {amount(value)} tokens ({what}) is {off:+.1%} off {whose}'s {amount(published)}; "
        f"allowed is {tolerance:.1%}"
    ]


def amount(value: float) -> str:
    """A number for people: three figures and K, M, B (10^9) or T (10^12)."""
    for power, letter in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " K")):
        scaled = value / power
        if scaled >= 0.9995:
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{letter}"
    return f"{value:.0f}"
