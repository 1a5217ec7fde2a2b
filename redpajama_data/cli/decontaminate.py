"""The command ``rpj decontaminate``: n-grams that the data shares with test sets."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from redpajama_data import api
from redpajama_data.cli import options, output
from redpajama_data.io import storage
from redpajama_data.reports.aligned import aligned

_TASKS = 20  # tasks that the table names


@click.command()
@options.shard_options
@click.option("--against", required=True, multiple=True, metavar="FILE", help="Test sets: JSONL, .gz or .zst.")
@click.option("--field", "fields", multiple=True, metavar="NAME", help="Of a test, what counts. Default: every string.")
@click.option("--ngram", type=int, metavar="N", help="Words in a row that make a hit. Default: 13.")
@click.option(
    "--preset",
    type=click.Choice(["redpajama-1t", "redpajama-instruct"]),
    help="13 words; or 10 words, and whole tasks first.",
)
@click.option("--drop/--mark", "drop", default=None, help="Drop what has a hit, or mark it in its meta. Default: drop.")
@click.option(
    "--same-task", multiple=True, metavar="SET=TASK", help="A test set and the task of the data that it is; * allowed."
)
def decontaminate(
    inputs: tuple[str, ...],
    against: tuple[str, ...],
    fields: tuple[str, ...],
    ngram: int | None,
    preset: str | None,
    drop: bool | None,
    same_task: tuple[str, ...],
    json_out: bool,
    **rest: Any,
) -> None:
    """Drop or mark the records that share n-grams with test sets.

    Of JSONL shards, or what a root published. A test set is JSON lines, a test a line, with an id if it has one; the
    set is named as its file. A word is letters and digits in lower case; everything else parts words. The ledger names
    the n-gram and the test (rpj explain). What stays passes byte for byte, into DIR/decontaminate/SLICE/. Printed is
    how many tests of each set are hit, by how many documents; DIR/_run/decontaminate/decide/ has every test that is.

    \b
    rpj decontaminate out --against tests/ --root clean
    rpj decontaminate out --against hellaswag.jsonl --against boolq.jsonl.gz --ngram 8 --mark --root marked
    rpj decontaminate out --against helm/ --preset redpajama-instruct --same-task 'boolq=*boolq*' --root clean
    """
    settings = {
        "against": against,
        "fields": fields,
        "ngram": ngram,
        "preset": preset,
        "action": None if drop is None else "drop" if drop else "mark",
        "same_task": same_task,
    }
    report = api.run_job("decontaminate", inputs, settings, **rest)
    (part,) = report.slices
    found: dict[str, Any] = {}
    for receipt in part.receipts.get("decide", []):
        data = storage.read_bytes(storage.join(report.root, receipt.outputs["decontaminate"].path))
        found = msgspec.json.decode(data or b"{}")
    output.print_report(report, as_json=json_out, more={"decontaminate": found})
    if found and not json_out:
        click.echo("\n" + render(found))
    sys.exit(report.exit_code())


def render(found: dict[str, Any]) -> str:
    """The tables of a report: test sets, slices, and tasks of the data that share n-grams with tests."""
    lines = []
    if found["shards"] != found["shards_given"]:
        lines += [f"{found['shards']} of {found['shards_given']} shards: the others could not be read.", ""]
    rows = [["test set", "tests", "hit", "share", "by documents", "too short"]]
    for name, one in found["sets"].items():
        share = f"{one['hit'] / one['tests']:.1%}"
        rows.append(
            [name, f"{one['tests']:,}", f"{one['hit']:,}", share, f"{one['documents']:,}", f"{one['too_short']:,}"]
        )
    lines += [*aligned(rows), ""]
    rows = [["slice", "documents", "with a hit"]]
    rows += [[name, f"{one['documents']:,}", f"{one['found']:,}"] for name, one in found["slices"].items()]
    lines += aligned(rows)
    if found["tasks"]:
        rows = [["task of the data", "leaves", "shares with"]]
        ordered = sorted(
            found["tasks"].items(), key=lambda item: (not item[1]["leaves"], -sum(item[1]["shares_with"].values()))
        )
        for name, task in ordered[:_TASKS]:
            most = sorted(task["shares_with"].items(), key=lambda item: -item[1])[:3]
            shown = ", ".join(f"{kind} ({number:,})" for kind, number in most)
            rows.append([name, "yes" if task["leaves"] else "no", shown])
        lines += ["", *aligned(rows)]
        if len(ordered) > _TASKS:
            lines.append(f"... and {len(ordered) - _TASKS} more: --json has all.")
    lines += ["", f"A hit: {found['ngram']} words in a row. Too short: tests of fewer words, which nothing can hit."]
    return "\n".join(lines)
