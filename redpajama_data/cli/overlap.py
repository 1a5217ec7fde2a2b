"""The command ``rpj overlap``: what slices share, as a table or as JSON."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import click
import msgspec

from redpajama_data import api
from redpajama_data.cli import options
from redpajama_data.cli.output import echo_json, print_trouble
from redpajama_data.io import storage
from redpajama_data.reports.totals import amount

_COLUMNS = 7  # slices beside each other: a table of the seven is 100 columns wide
_NAME, _CELL = 13, 12
_KINDS = {"exact": "equal text", "near": "near-duplicate"}


@click.command()
@options.run_options
@click.option("--root", metavar="DIR", help="Where to write. Default: INPUT, when it is the root of a run.")
@click.option("--near/--no-near", default=None, help="Near-duplicates as well: takes most of the time. Default: yes.")
@click.option("--threshold", type=float, help="Jaccard similarity of near-duplicates. Default: 0.8.")
@click.option("--ngram", type=int, help="Words a shingle. Default: 5.")
@click.option("--permutations", type=int, help="Numbers in a signature. Default: 128.")
@click.argument("inputs", nargs=-1, required=True, metavar="ROOT | INPUT...")
def overlap(
    inputs: tuple[str, ...],
    root: str | None,
    near: bool | None,
    threshold: float | None,
    ngram: int | None,
    permutations: int | None,
    json_out: bool,
    **rest: Any,
) -> None:
    """What slices share: documents and tokens of each that occur in each other one.

    INPUT is JSONL shards, or the root of a run: what its slices published. A shard's slice is the name of its folder.
    A document shares its text with those that have the same (exact), and with all of its cluster of near-duplicates, as
    found by dedup fuzzy (near). The report stays in DIR/_run/overlap/report/overlap.json.

    \b
    rpj overlap out
    rpj overlap a/ b/*.jsonl.zst --root compared --json
    """
    root = options.root_or_input(root, inputs)
    settings = {"near": near, "threshold": threshold, "ngram": ngram, "permutations": permutations}
    report = api.run_job("overlap", inputs, settings, root=root, **rest)
    (part,) = report.slices
    print_trouble(part)
    for receipt in part.receipts.get("report", []):
        data = storage.read_bytes(storage.join(root, receipt.outputs["overlap"].path))
        found = msgspec.json.decode(data or b"{}")
        if json_out:
            echo_json(found)
        else:
            click.echo(render(found))
    sys.exit(report.exit_code())


def render(report: dict[str, Any]) -> str:
    """The tables of a report: each slice as a whole, then slice by slice for each kind of match."""
    slices = report["slices"]
    kinds = {kind: title for kind, title in _KINDS.items() if kind in report}
    lines = []
    if report["shards"] != report["shards_given"]:
        lines += [f"{report['shards']} of {report['shards_given']} shards: the others could not be read.", ""]
    lines += ["Each slice, and what of it is in any other slice as well:"]
    lines += _rows(
        ["documents", "tokens", *(f"{title}, {unit}" for title in kinds.values() for unit in ("documents", "tokens"))],
        {
            name: [
                *(_short(slices[name][unit]) for unit in ("documents", "tokens")),
                *(_cell(report[kind][name]["elsewhere"], unit) for kind in kinds for unit in ("documents", "tokens")),
            ]
            for name in slices
        },
    )
    for kind, title in kinds.items():
        for unit in ("documents", "tokens"):
            lines += ["", f"{title}: {unit} of the row's slice that are in the column's, and their share of the row's"]
            matrix = report[kind]
            for first in range(0, len(slices), _COLUMNS):
                columns = list(slices)[first : first + _COLUMNS]
                lines += _rows(
                    columns,
                    {
                        name: [_cell(of["within"] if other == name else of["in"].get(other), unit) for other in columns]
                        for name, of in matrix.items()
                    },
                )
    lines += ["", "A slice beside itself: documents that are not the first of their kind in it."]
    return "\n".join(lines)


def _rows(columns: list[str], rows: dict[str, list[str]]) -> list[str]:
    """Aligned rows below heads; a head of several words takes several lines."""
    heads = [textwrap.wrap(name, _CELL - 1, break_long_words=False) for name in columns]
    height = max(map(len, heads))
    heads = [[""] * (height - len(head)) + head for head in heads]
    widths = [max(_CELL, 1 + max(map(len, head))) for head in heads]
    above = [" " * _NAME + "".join(map(str.rjust, line, widths)) for line in zip(*heads, strict=True)]
    names = {name: name if len(name) <= _NAME else name[: _NAME - 1] + "~" for name in rows}
    return above + [f"{names[name]:<{_NAME}}" + "".join(map(str.rjust, row, widths)) for name, row in rows.items()]


def _cell(cell: dict[str, float] | None, unit: str) -> str:
    if cell is None or not cell["documents"]:
        return "-"
    share = cell[f"{unit}_share"]
    shown = "<0.1%" if share < 0.0005 else f"{share:.1%}" if share < 0.9995 else "100%"
    return f"{_short(cell[unit])} {shown}"


def _short(value: float) -> str:
    return amount(value).replace(" ", "")
