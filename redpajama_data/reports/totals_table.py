"""The totals as a table for a terminal and as plain data for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from redpajama_data.reports.totals import PUBLISHED, Reference, SliceTotals, amount, best, published_tokens

REFERENCES: tuple[Reference, ...] = ("redpajama", "llama")


def summary(totals: Sequence[SliceTotals], tokenizer: str) -> dict[str, Any]:
    """Everything the table shows as plain data, unrounded. ``tokenizer`` names what counted."""
    rows = [_row(each) for each in totals]
    whole = sum(each.tokens for each in totals)
    for row in rows:
        row["share"] = row["tokens"] / whole if whole else 0.0
    keys = ("documents", "bytes", "characters", "tokens")
    total: dict[str, Any] = {key: sum(row[key] for row in rows) for key in keys}
    if {row["slice"] for row in rows} >= PUBLISHED.keys():  # a sum of some slices has no published counterpart
        known = [row for row in rows if row["slice"] in PUBLISHED]
        for against in REFERENCES:
            total[against] = sum(row[against] for row in known)
            total[f"{against}_ratio"] = sum(row[f"{against}_ratio"] * row[against] for row in known) / total[against]
    return {
        "tokenizer": tokenizer,
        "slices": rows,
        "total": total,
        "published_tokenizers": {"redpajama": "GPT-NeoX (Pythia)", "llama": "LLaMA"},
    }


def _row(totals: SliceTotals) -> dict[str, Any]:
    value, basis, projection = best(totals)
    row: dict[str, Any] = {
        "slice": totals.slice,
        "documents": totals.documents,
        "bytes": totals.bytes,
        "characters": totals.characters,
        "tokens": totals.tokens,
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
    for against in REFERENCES:
        published = published_tokens(totals.slice, against)
        row[against] = published
        row[f"{against}_ratio"] = None if published is None else value / published
    return row


_WIDTH = 100
_HEAD = ("slice", "docs", "bytes", "chars", "tokens", "share", "RedPajama", "ratio", "LLaMA", "ratio")


def render(totals: Sequence[SliceTotals], tokenizer: str) -> str:
    """The table for a terminal, at most 100 columns wide, with a line for each projection."""
    data = summary(totals, tokenizer)
    lines: list[tuple[str, ...]] = [_HEAD]
    for row in data["slices"]:
        lines.append(_cells(row, f"{row['share']:.1%}"))
    if len(totals) > 1:
        lines.append(_cells(data["total"] | {"slice": "total"}, ""))
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    text += ["", f"Tokens counted with {tokenizer}."]
    text += ["Published: RedPajama-1T in GPT-NeoX tokens, LLaMA in its own; both rounded to 1 B."]
    for row in data["slices"]:
        if row["projected"] and row["shards"] < row["source_shards"]:
            text += ["", *_projected(row)]
    return "\n".join(text)


def _cells(row: dict[str, Any], share: str) -> tuple[str, ...]:
    def figure(key: str) -> str:
        return amount(row[key]) if row.get(key) is not None else "-"

    def ratio(key: str) -> str:
        value = row.get(key)
        if value is None:
            return "-"
        return f"{value:.2f}" if value >= 0.01 or not value else f"{value:.0e}"

    counted = (amount(row[key]) for key in ("documents", "bytes", "characters", "tokens"))
    published = (figure("redpajama"), ratio("redpajama_ratio"), figure("llama"), ratio("llama_ratio"))
    return (row["slice"], *counted, share, *published)


def _projected(row: dict[str, Any]) -> list[str]:
    shown = row["projected"]
    interval = "" if shown["low"] is None else f", 95 % confidence {amount(shown['low'])} to {amount(shown['high'])}"
    return [
        f"{row['slice']}: {row['shards']:,} of {row['source_shards']:,} shards, "
        f"projected {amount(shown['tokens'])} tokens{interval}",
        *textwrap.wrap(shown["method"], width=_WIDTH, initial_indent="  ", subsequent_indent="  "),
    ]
