"""Waterfalls as tables for a terminal and as plain data for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from redpajama_data.engine.drop_sample import ONE_IN
from redpajama_data.reports.totals import amount
from redpajama_data.reports.waterfall import Row, Waterfall

WIDTH = 100
_LABELS = {
    "joined": "part of another record's document",
    "missing": "not there: quarantined, or not run",
    "changed": "text changed by steps",
}
_GONE = ("dropped", "joined", "missing", "changed")
FOOTNOTE = (
    f"~ tokens that were not all counted: of dropped text estimated from a sample (1 document in {ONE_IN}, and the "
    "first of each rule in a task), of changed or missing text from the tokens a byte of the published text. A record "
    "that never became a document has no text: 0 bytes."
)


def plain(falls: Iterable[Waterfall]) -> list[dict[str, Any]]:
    """Everything the tables show as plain data, unrounded but for the tokens."""
    return [
        {
            "slice": fall.slice,
            "rows": [_plain_row(row) for row in fall.rows],
            "jobs": [
                {"job": job, "source": source, "rows": [_plain_row(row) for row in rows]}
                for job, source, rows in fall.jobs
            ],
            "sample_tokenizers": sorted(fall.tokenizers),
        }
        for fall in falls
    ]


def _plain_row(row: Row) -> dict[str, Any]:
    return asdict(row) | {"tokens": None if row.tokens is None else round(row.tokens)}


def render(found: Sequence[Waterfall]) -> str:
    """The tables for a terminal, at most 100 columns wide, one below the other, with a footnote."""
    blocks = [_table(each) for each in found if each.rows or each.jobs]
    rows = [row for each in found for part in (each.rows, *(rows for *_, rows in each.jobs)) for row in part]
    if any(row.estimated and row.tokens for row in rows):
        blocks.append(textwrap.fill(FOOTNOTE, WIDTH, subsequent_indent="  "))
    return "\n\n".join(blocks)


def _table(each: Waterfall) -> str:
    lines = [(each.slice, "", "documents", "bytes", "tokens"), *(_cells(row) for row in each.rows)]
    last, before = (each.rows[-1] if each.rows else None), None
    for job, source, rows in each.jobs:
        if last is None or source != before or _amounts(rows[0])[:2] != _amounts(last)[:2]:
            read = f"read by {job}, from {source}" if source else f"read by {job}"
            lines.append(("", read, *_amounts(rows[0])))
        lines += [_cells(row, job) for row in rows[1:]]
        last, before = rows[-1], job
    stage = max(len(line[0]) for line in lines[1:] if line[1]) if len(lines) > 1 else 0
    labels = [lines[0][0]] + [f"{first.ljust(stage)}  {rule}" if first else rule for first, rule, *_ in lines[1:]]
    widths = [max(map(len, column)) for column in zip(*(line[2:] for line in lines), strict=True)]
    label = min(max(map(len, labels)), WIDTH - sum(widths) - 2 * len(widths))
    return "\n".join(
        "  ".join([_fit(text, label), *map(str.rjust, line[2:], widths)]).rstrip()
        for text, line in zip(labels, lines, strict=True)
    )


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 3] + "..."


def _cells(row: Row, job: str = "") -> tuple[str, str, str, str, str]:
    if row.kind not in _GONE:
        name = {"raw": "raw records", "published": "published", "left": f"left after {job}"}[row.kind]
        return ("", name, *_amounts(row))
    stage = f"{job}: {row.stage}" if job and job != row.stage else row.stage
    return (f"  {stage}", row.rule or _LABELS[row.kind], *_amounts(row))


def _amounts(row: Row) -> tuple[str, str, str]:
    sign = -1 if row.kind in _GONE else 1
    documents = "" if row.kind == "changed" else f"{sign * row.documents:,}"
    if row.kind == "joined":
        return documents, "", ""
    size = "-" if row.bytes is None else _bytes(sign * row.bytes)
    tokens = "-" if row.tokens is None else ("~" if row.estimated and row.tokens else "") + _signed(sign * row.tokens)
    return documents, size, tokens


def _bytes(value: int) -> str:
    shown = _signed(value)
    return (shown if " " in shown else f"{shown} ").replace("K", "k") + "B"


def _signed(value: float) -> str:
    shown = amount(abs(value))
    return f"-{shown}" if value < 0 and shown != "0" else shown
