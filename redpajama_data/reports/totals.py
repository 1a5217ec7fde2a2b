"""Totals by slice beside the published figures: measured, or projected from a sample of the source's shards."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from redpajama_data.errors import UsageError
from redpajama_data.shards import read_jsonl
from redpajama_data.tokens import Tokenizer

Reference = Literal["redpajama", "llama"]


@dataclass(frozen=True)
class Published:
    """Published token counts of a slice, in billions, each rounded to a billion by its authors.

    ``redpajama``: README of RedPajama-Data-1T, GPT-NeoX (Pythia) tokens. ``llama``: the column beside it in the
    announcement of RedPajama, estimated there from table 1 of the LLaMA paper, in LLaMA's own tokens.
    """

    redpajama: int
    llama: int


PUBLISHED = {
    "common_crawl": Published(878, 852),
    "c4": Published(175, 190),
    "github": Published(59, 100),
    "books": Published(26, 25),
    "arxiv": Published(28, 33),
    "wikipedia": Published(24, 25),
    "stackexchange": Published(20, 27),
}
_BILLION = 1_000_000_000


@dataclass
class SliceTotals:
    """What was counted in one slice. ``bytes`` (UTF-8), ``characters`` and ``tokens`` are of the texts alone.

    ``shard_tokens`` has the tokens of each source shard that was processed, ``source_shards`` is how many the whole
    source has, None when nobody said.
    """

    slice: str
    documents: int = 0
    bytes: int = 0
    characters: int = 0
    tokens: int = 0
    shard_tokens: list[int] = field(default_factory=list)
    source_shards: int | None = None


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


# ------------------------------------------------------------------------------------------------ counting files


def count_files(
    paths: Iterable[str],
    tokenizer: Tokenizer,
    *,
    text_field: str = "text",
    name: str = "files",
    progress: Callable[[int], None] | None = None,
) -> SliceTotals:
    """Count the texts of JSONL files (``.jsonl``, ``.gz``, ``.zst``), one shard a file, as a stream.

    ``progress`` is called with the UTF-8 bytes of each text. Raises :class:`BrokenInput` for a file that is no JSONL,
    :class:`UsageError` for a record without the text.
    """
    totals = SliceTotals(name)
    for path in paths:
        shard = 0
        for number, record in enumerate(read_jsonl(path), 1):
            text = record.get(text_field)
            if not isinstance(text, str):
                raise UsageError(
                    f"{path}:{number}: no text in {text_field!r}; the record has {sorted(record)}. "
                    "Expected the published form, one object a line with its text in 'text'."
                )
            size = len(text.encode("utf-8", "replace"))
            shard += tokenizer.count([text])[0]
            totals.documents += 1
            totals.bytes += size
            totals.characters += len(text)
            if progress is not None:
                progress(size)
        totals.tokens += shard
        totals.shard_tokens.append(shard)
    return totals


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
    for each in totals:
        published = published_tokens(each.slice, against)
        if published is None:
            continue
        value, what, _ = best(each)
        compared[each.slice] = value, published
        failures += _off(each.slice, what, value, published, tolerance, against)
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


def published_tokens(name: str, against: Reference) -> int | None:
    """The published tokens of a slice, None when it has none."""
    figures = PUBLISHED.get(name)
    return None if figures is None else getattr(figures, against) * _BILLION


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
