"""The command ``rpj report``: one HTML page about a root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial

import click
import msgspec

from redpajama_data.cli.facts import facts
from redpajama_data.cli.options import json_option
from redpajama_data.defaults import root_here
from redpajama_data.document import Reader
from redpajama_data.io import storage
from redpajama_data.report_page.collect import Report, collect, fewer
from redpajama_data.report_page.compare import Comparison, compare
from redpajama_data.report_page.page import render
from redpajama_data.reports.totals import amount
from slices.github import GithubSettings, read_bigquery
from slices.readers.wet import read_wet

LARGEST = 6_000_000  # bytes of a page, so that it opens on a phone and goes into a mail
MOST_EXAMPLES = 20
READERS: Mapping[str, Reader] = {  # of slices whose raw records have a text before any step
    "common_crawl": read_wet,
    "github": partial(read_bigquery, max_record_bytes=GithubSettings.model_fields["max_record_bytes"].default),
}


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
    root = root_here(root)
    comparison = None if against is None else compare(root, against)
    found = collect(root, facts(), READERS, count=examples)
    page, found = _fitting(found, comparison)
    storage.write_bytes(out, page)
    if json_out:
        shown = {"out": out, "bytes": len(page), **asdict(found)}
        shown["against"] = None if comparison is None else asdict(comparison)
        click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=1))
        return
    total = found.totals["total"]
    click.echo(
        f"{out}: {amount(len(page))}B, {len(found.totals['slices'])} slices, {total['documents']:,} documents, "
        f"{total['tokens']:,} tokens. Open it in a browser."
    )


def _fitting(found: Report, comparison: Comparison | None) -> tuple[bytes, Report]:
    """The page, with fewer examples where it would be larger than :data:`LARGEST`."""
    while True:
        page = render(found, comparison).encode("utf-8", "replace")
        if len(page) <= LARGEST or not found.examples:
            return page, found
        found = fewer(found)
