"""The command ``rpj find``."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import asdict

import click

from redpajama_data.cli import output
from redpajama_data.cli.options import json_option
from redpajama_data.defaults import root_here
from redpajama_data.errors import UsageError
from redpajama_data.release import find as finding
from redpajama_data.release import search
from redpajama_data.release.find import Found
from redpajama_data.whole_run import cores


@click.command()
@click.argument("root", required=False)
@click.option("--text", metavar="TEXT", help="Documents that contain this, to the character.")
@click.option("--url", metavar="URL", help="Documents with this address.")
@click.option("--url-host", metavar="HOST", help="Documents of this host, and of those below it.")
@click.option("--id", "doc_id", metavar="ID", help="By an id: of a raw record, of a line of a shard, of a release.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Stop after N.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes. Default: all cores.")
@json_option
def find(
    root: str | None,
    text: str | None,
    url: str | None,
    url_host: str | None,
    doc_id: str | None,
    limit: int,
    workers: int | None,
    json_out: bool,
) -> None:
    """Is this in the data, where, and from which raw record? Looks through all of ROOT.

    ROOT is out by default. What slices and jobs have published is read as a stream: some minutes for 100 GB of text on
    a core. Exit status 0: found, 1: not in the data.

    \b
    rpj find out --text "the quick brown fox"
    rpj find out --url https://example.org/page --json
    rpj find out --id 'c4/c4-train.00000-of-01024.jsonl.zst#000000017'
    """
    root = root_here(root)
    if [text, url, url_host, doc_id].count(None) != 3:
        raise UsageError("what is to be found? Give one of --text, --url, --url-host and --id.")
    at_once = workers or cores()
    found: Iterator[Found]
    if doc_id is not None:
        found = finding.at(root, doc_id)
    elif text is not None:
        if not text:
            raise UsageError('--text "": every document has that. Give some words.')
        found = finding.find(root, search.for_text(text), text, workers=at_once)
    else:
        query = search.for_url(url) if url is not None else search.for_host(url_host or "")
        found = finding.find(root, query, workers=at_once)
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
    sys.exit(0 if count else 1)
