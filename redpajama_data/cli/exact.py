"""The command ``rpj dedup exact``."""

from __future__ import annotations

from typing import Any

import click

from redpajama_data import api
from redpajama_data.cli import options


@click.command()
@options.shard_options
@click.option(
    "--by",
    type=click.Choice(["document", "line", "url"]),
    help="What is compared: the whole text, every line of it, or meta.url. Default: document.",
)
@click.option("--priority", metavar="A,B,...", help="Slices whose copy stays, highest first. Default: input order.")
def exact(inputs: tuple[str, ...], by: str | None, priority: str | None, json_out: bool, **rest: Any) -> None:
    """Remove exact duplicates from JSONL shards of any slice, or from what the slices of a root published.

    The first copy stays: in the slice of highest priority, then in input order (shards sorted by path). A shard's slice
    is the name of its folder. Records that stay pass byte for byte, into DIR/exact/SLICE/; the ledger names the
    surviving copy of every one that does not (rpj explain). Records without a URL stay (--by url). Lines are compared
    without the white space around them and in lower case; a record goes when no line is left (--by line).

    \b
    rpj dedup exact out --root out --priority wikipedia,books
    rpj dedup exact a/*.jsonl.zst b/*.jsonl --root kept
    rpj dedup exact web --root kept --by line
    """
    settings = {"by": by, "priority": priority}
    report = api.run_job("exact", inputs, settings, **rest)
    if by == "line" and not json_out:
        notes = [receipt.notes for receipt in report.slices[0].receipts["keep"]]
        lines, size = (sum(note[name] for note in notes) for name in ("lines_removed", "bytes_removed"))
        click.echo(f"{lines:,} lines removed, {size:,} bytes of text")
    options.finish(report, json_out=json_out)
