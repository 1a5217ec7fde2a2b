"""The command ``rpj report``: one HTML page about a root."""

from __future__ import annotations

from dataclasses import asdict

import click
import msgspec

from redpajama_data import api
from redpajama_data.cli.options import json_option
from redpajama_data.report_page.drops import MOST_EXAMPLES
from redpajama_data.reports.totals import amount


@click.command()
@click.argument("root", required=False)
@click.option("--out", default="report.html", show_default=True, metavar="FILE", help="Where to write the page.")
@click.option("--against", metavar="ROOT", help="Another root to show beside it.")
@click.option(
    "--examples",
    default=2,
    show_default=True,
    type=click.IntRange(0, MOST_EXAMPLES),
    help="Records on each side of a limit. 0: no text of any document.",
)
@json_option
def report(root: str | None, out: str, against: str | None, examples: int, json_out: bool) -> None:
    """One HTML page about ROOT (default: out): totals, what left and why, figures.

    It is one file that asks for nothing from any network, for people who have no terminal. It is made from receipts,
    ledgers and a sample of the documents; the same root gives the same bytes. --json prints what the page is made of.

    \b
    rpj report
    rpj report out --out report.html
    rpj report out --against out-of-last-week --examples 0
    """
    found = api.report(root, out=out, against=against, examples=examples)
    if json_out:
        click.echo(msgspec.json.format(msgspec.json.encode({"out": out, **asdict(found)}), indent=1))
        return
    total = found.totals["total"]
    click.echo(
        f"{out}: {amount(found.bytes)}B, {len(found.totals['slices'])} slices, {total['documents']:,} documents, "
        f"{total['tokens']:,} tokens. Open it in a browser."
    )
