"""The totals as a table for a terminal and as plain data for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from redpajama_data.reports.aligned import aligned
from redpajama_data.reports.published import PUBLISHED, REFERENCES, RERUN, published_tokens
from redpajama_data.reports.totals import SliceTotals, amount, best


def summary(totals: Sequence[SliceTotals], tokenizer: str) -> dict[str, Any]:
    """Everything the table shows as plain data, unrounded. ``tokenizer`` names what counted."""
    rows = [_row(each) for each in totals]
    whole = sum(each.tokens for each in totals)
    for row in rows:
        row["share"] = row["tokens"] / whole if whole else 0.0
    keys = ("documents", "bytes", "characters", "tokens")
    total: dict[str, Any] = {key: sum(row[key] for row in rows) for key in keys}
    total["tokens_a_document"] = _share(total["tokens"], total["documents"])
    if {row["slice"] for row in rows} >= PUBLISHED.keys():  # a sum of some slices has no published counterpart
        known = [row for row in rows if row["slice"] in PUBLISHED]
        for against in REFERENCES.values():
            total[against] = sum(row[against] for row in known)
            total[f"{against}_ratio"] = sum(row[f"{against}_ratio"] * row[against] for row in known) / total[against]
    return {
        "tokenizer": tokenizer,
        "document_ends": False,
        "slices": rows,
        "total": total,
        "published_tokenizers": {"redpajama": "GPT-NeoX (Pythia)", "llama": "LLaMA"},
        "published_document_ends": {"redpajama": True, "llama": None},
        "rerun": {name: asdict(of) | {"tokens_a_document": of.tokens / of.documents} for name, of in RERUN.items()},
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _row(totals: SliceTotals) -> dict[str, Any]:
    value, basis, projection = best(totals)
    row: dict[str, Any] = {
        "slice": totals.slice,
        "documents": totals.documents,
        "bytes": totals.bytes,
        "characters": totals.characters,
        "tokens": totals.tokens,
        "tokens_a_document": _share(totals.tokens, totals.documents),
        "shards": len(totals.shard_tokens),
        "source_shards": totals.source_shards,
        "projected": None
        if projection is None
        else {
            "tokens": projection.tokens,
            "low": projection.low,
            "high": projection.high,
            "confidence": 0.95,
            "method": projection.method,
        },
        "ratio_of": basis,
    }
    for against in REFERENCES.values():
        published = published_tokens(totals.slice, against)
        row[against] = published
        row[f"{against}_ratio"] = None if published is None else value / published
    return row


_WIDTH = 100
ACROSS_FILES = ("common_crawl", "github", "books")  # their recipes remove duplicates across raw files
_HEAD = ("slice", "docs", "bytes", "chars", "tokens", "a doc", "share", "RedPajama", "ratio", "LLaMA", "ratio")


def render(totals: Sequence[SliceTotals], tokenizer: str) -> str:
    """The table for a terminal, at most 100 columns wide, and one of what is projected."""
    data = summary(totals, tokenizer)
    rerun_of = {name: of["tokens_a_document"] for name, of in data["rerun"].items()}
    lines: list[tuple[str, ...]] = [_HEAD]
    for row in data["slices"]:
        lines.append(_cells(row, f"{row['share']:.1%}"))
    if len(totals) > 1:
        lines.append(_cells(data["total"] | {"slice": "total"}, ""))
    text = aligned(lines)
    text += ["", *textwrap.wrap(f"Tokens counted with {tokenizer}, ends of documents not among them.", _WIDTH)]
    text += ["Published: RedPajama-1T in GPT-NeoX tokens with an end a document, LLaMA in its own; rounded to 1 B."]
    if runs := [f"{row['slice']} {rerun_of[row['slice']]:,.0f}" for row in data["slices"] if row["slice"] in rerun_of]:
        text += textwrap.wrap(
            f"Tokens a document in data-juicer's run of RedPajama's scripts: {', '.join(runs)}.", _WIDTH
        )
    projected = [row for row in data["slices"] if row["projected"] and row["shards"] < row["source_shards"]]
    return "\n".join([*text, *_projections(projected)])


def _cells(row: dict[str, Any], share: str) -> tuple[str, ...]:
    def figure(key: str) -> str:
        return amount(row[key]) if row.get(key) is not None else "-"

    def ratio(key: str) -> str:
        value = row.get(key)
        if value is None:
            return "-"
        if value >= 100:
            return f"{value:,.0f}"
        return f"{value:.2f}" if value >= 0.01 or not value else f"{value:.0e}"

    counted = (figure(key) for key in ("documents", "bytes", "characters", "tokens", "tokens_a_document"))
    published = (figure("redpajama"), ratio("redpajama_ratio"), figure("llama"), ratio("llama_ratio"))
    return (row["slice"], *counted, share, *published)


def _projections(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The projected slices as a table, and once what they rest on."""
    if not rows:
        return []
    lines = [("Projected", "raw files", "tokens", "95 % confidence")]
    for row in rows:
        shown = row["projected"]
        interval = "-" if shown["low"] is None else f"{amount(shown['low'])} to {amount(shown['high'])}"
        of = f"{row['shards']:,} of {row['source_shards']:,}"
        lines.append((row["slice"], of, amount(shown["tokens"]), interval))
    basis = "The mean of the raw files that were read, times all of the source; Student's t, finite population "
    basis += "correction. It holds if they were drawn at random."
    if any(row["projected"]["low"] is None for row in rows):
        basis += " One raw file gives no confidence interval."
    if shrinking := [row["slice"] for row in rows if row["slice"] in ACROSS_FILES]:
        basis += f" More raw files have more duplicates: for {' and '.join(shrinking)} it is too high."
    return ["", *aligned(lines), *textwrap.wrap(basis, _WIDTH)]
