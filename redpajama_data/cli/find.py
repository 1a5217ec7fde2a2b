"""The command ``rpj find``."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from redpajama_data import api
from redpajama_data.cli import options, output
from redpajama_data.defaults import root_here
from redpajama_data.engine.executors import cores
from redpajama_data.errors import UsageError
from redpajama_data.release import find as finding
from redpajama_data.release import search
from redpajama_data.release.find import Found, Looked
from redpajama_data.reports.totals import amount


@click.command()
@click.argument("root", required=False)
@click.option("--text", metavar="TEXT", help="Documents that contain this, to the character.")
@click.option("--url", metavar="URL", help="Documents with this address.")
@click.option("--url-host", metavar="HOST", help="Documents of this host, and of those below it.")
@click.option("--id", "doc_id", metavar="ID", help="By an id: of a raw record, of a line of a shard, of a release.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Stop after N.")
@click.option("--index", "indexed", is_flag=True, help="First make an index, or bring it up to date.")
@options.run_options
def find(
    root: str | None,
    text: str | None,
    url: str | None,
    url_host: str | None,
    doc_id: str | None,
    limit: int,
    indexed: bool,
    workers: int | None,
    quiet: bool,
    json_out: bool,
    **rest: Any,
) -> None:
    """Is this in the data, where, and from which raw record? Looks through all of ROOT.

    ROOT is out by default. What slices and jobs have published is read as a stream: some minutes for 100 GB of text on
    a core. --index makes an index first, or brings it up to date; with one, only shards that may have it are read.
    Exit status 0: found, 1: not in the data.

    \b
    rpj find out --text "the quick brown fox"
    rpj find out --url https://example.org/page --json
    rpj find out --index
    rpj find out --id 'c4/c4-train.00000-of-01024.jsonl.zst#000000017'
    """
    root = root_here(root)
    asked = 4 - [text, url, url_host, doc_id].count(None)
    if asked > 1 or not (asked or indexed):
        raise UsageError("what is to be found? Give one of --text, --url, --url-host and --id.")
    if indexed:
        places = finding.places(root)
        report = api.run_job("index", places, root=root, workers=workers, quiet=quiet or json_out, **rest)
        if (json_out and not asked) or report.exit_code():
            options.finish(report, json_out=json_out)
        if not asked:
            (part,) = report.slices
            made = part.receipts["index"]
            size = sum(out.bytes for receipt in made for out in receipt.outputs.values())
            click.echo(f"Index of {len(made):,} shards: {amount(size)}B. rpj find uses it.")
            return
    at_once = workers or cores()
    looked = Looked()
    found: Iterator[Found]
    if doc_id is not None:
        found = finding.at(root, doc_id)
    elif text is not None:
        if not text:
            raise UsageError('--text "": every document has that. Give some words.')
        found = finding.find(root, search.for_text(text), text, workers=at_once, looked=looked)
    else:
        query = search.for_url(url) if url is not None else search.for_host(url_host or "")
        found = finding.find(root, query, workers=at_once, looked=looked)
    count = 0
    shown = []
    for each in itertools.islice(found, limit):
        count += 1
        if json_out:
            shown.append(asdict(each))
        else:
            click.echo(f"{each.shard}, line {each.line}: from {each.record}{f', {each.url}' if each.url else ''}")
            click.echo(f"  {each.text}")
    if json_out:
        output.echo_json(shown)
    elif count == limit:
        click.echo(f"... the first {limit}. More: --limit")
    elif not count:
        click.echo("Not in the data.")
    if looked.index and not json_out:
        click.echo(f"Looked through {looked.through:,} of {looked.of:,} shards: the index rules the others out.")
    sys.exit(0 if count else 1)
