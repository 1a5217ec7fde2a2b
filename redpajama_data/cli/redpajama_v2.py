"""The command ``rpj redpajama-v2``: the folders of RedPajama-V2."""

from __future__ import annotations

import sys
from typing import Any

import click

from redpajama_data import api
from redpajama_data.cli import options, output
from redpajama_data.cli.signals import list_options, settings_of
from redpajama_data.reports.aligned import aligned
from redpajama_data.reports.language_totals import LanguageTotals, language_totals

FULL = (
    1.5  # times the rate that was asked for: a tenth more documents than the capacity; a small filter varies by chance
)


@click.command("redpajama-v2")
@options.run_options
@click.option("--root", "--out", "root", metavar="DIR", help="Where to write. Default: INPUT, when it is a root.")
@click.option(
    "--dedup",
    type=click.Choice(["bloom", "exact"]),
    help="bloom: as published, takes few new documents for copies; exact: none. Default: bloom.",
)
@click.option(
    "--error-rate", type=float, metavar="SHARE", help="Of bloom: new documents taken for copies. Default: 0.01."
)
@click.option("--capacity", metavar="N", help="Of bloom: documents of all dumps, as 30B; filters are kept for --after.")
@click.option(
    "--after", metavar="ROOT", help="Of bloom: root of the next newer dump, whose filters know what came before."
)
@list_options
@click.argument("inputs", nargs=-1, required=True, metavar="ROOT | INPUT...")
def redpajama_v2(
    inputs: tuple[str, ...],
    root: str | None,
    dedup: str | None,
    error_rate: float | None,
    capacity: str | None,
    after: str | None,
    json_out: bool,
    **rest: Any,
) -> None:
    """The folders of RedPajama-V2, from what common_crawl_v2 published.

    DIR/redpajama_v2 gets documents, quality_signals, minhash and duplicates, each with a file for every dump, shard,
    language and bucket, as the published data set has them. Of the tail there are documents only. A document is in
    duplicates when its page came before, in a newer dump or in the order of the files; none is removed. Parquet needs
    pip install 'redpajama-data[release]'.

    \b
    rpj redpajama-v2 out
    rpj redpajama-v2 out --dedup exact --root exact
    rpj redpajama-v2 older --capacity 30B --after newer
    rpj redpajama-v2 out --stop-words stopwords-all.json --bad-words LDNOOBW --classifiers models
    """
    root = options.root_or_input(root, inputs)
    settings = {**settings_of(rest), "dedup": dedup, "error_rate": error_rate, "capacity": capacity, "after": after}
    report = api.run_job("redpajama_v2", inputs, settings, root=root, **rest)
    (part,) = report.slices
    found = language_totals(part.all_receipts())
    filters = [receipt.notes for receipt in part.receipts.get("dedup", []) if "error_rate" in receipt.notes]
    worst = max((notes["error_rate"] for notes in filters), default=0.0)
    if json_out:
        rows = {name: {"documents": x.documents, "copies": x.copies or 0, "tail": x.tail} for name, x in found.items()}
        output.echo_json({"root": report.root, "exit_code": report.exit_code(), "languages": rows, "error_rate": worst})
    else:
        click.echo("\n".join([*_table(found), "", f"Written to {report.root}/redpajama_v2"]))
        if worst:
            click.echo(f"Bloom filters: at the end {worst:.2%} of new documents would be taken for copies.")
    if any(notes["error_rate"] > FULL * notes["asked"] for notes in filters):
        click.echo("  fuller than asked for: give --capacity the documents of all dumps, or --dedup exact.", err=True)
    output.print_trouble(part, indent="  ")
    sys.exit(report.exit_code())


def _table(found: dict[str, LanguageTotals]) -> list[str]:
    rows = [["", "head and middle", "of these copies", "without copies", "tail"]]
    for name, each in found.items():
        numbers = (each.documents, each.copies or 0, each.documents_left, each.tail)
        rows.append([name, *(f"{number:,}" for number in numbers)])
    return aligned(rows)
