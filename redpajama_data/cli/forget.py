"""The command ``rpj forget``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from filters.signals import VALUE_SIGNALS
from filters.where import read_condition
from redpajama_data.cli import output
from redpajama_data.cli.options import json_option
from redpajama_data.corpus.listing import Record
from redpajama_data.defaults import root_here
from redpajama_data.engine.executors import cores
from redpajama_data.errors import UsageError
from redpajama_data.models.tokens import resolve_tokenizer
from redpajama_data.release import search
from redpajama_data.release.forget import forget as take_out
from redpajama_data.release.search import Query
from slices.jobs.filter import measure


@click.command()
@click.argument("root", required=False)
@click.option(
    "--ids", "ids_file", metavar="FILE", help="File of ids, one a line: of raw records, or of lines of shards."
)
@click.option("--url", metavar="URL", help="Documents with this address.")
@click.option("--url-host", metavar="HOST", help="Documents of this host, and of those below it.")
@click.option("--where", metavar="CONDITION", help="Documents that meet a condition, as of rpj filter.")
@click.option("--reason", default="", metavar="TEXT", help="Stays with the tombstone, as the number of a request.")
@click.option(
    "--tokenizer", default="gpt-neox-20b", show_default=True, metavar="NAME_OR_PATH", help="That of the root."
)
@click.option("--dry-run", is_flag=True, help="Say what would be taken out; change nothing.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes. Default: all cores.")
@json_option
def forget(
    root: str | None,
    ids_file: str | None,
    url: str | None,
    url_host: str | None,
    where: str | None,
    reason: str,
    tokenizer: str,
    dry_run: bool,
    workers: int | None,
    json_out: bool,
) -> None:
    """Take documents out of ROOT (default: out), and let no later run bring them back.

    They leave every shard that slices and jobs have published, and every document with an equal text with them. A
    tombstone stays, of hashes, date and reason. Raw files stay as they are. Run `rpj release` again for its files.
    Exit status 1: there was no such document.

    \b
    rpj forget out --url-host example.org --reason "request 17" --dry-run
    rpj forget out --ids ids.txt
    rpj forget out --where 'meta.license == "gpl-3.0"'
    """
    root = root_here(root)
    if [ids_file, url, url_host, where].count(None) != 3:
        raise UsageError("what is to be forgotten? Give one of --ids, --url, --url-host and --where.")
    query: Query | None = None
    ids: list[str] = []
    if ids_file is not None:
        try:
            ids = [line for line in Path(ids_file).read_text(encoding="utf-8").split("\n") if line]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--ids {ids_file}: cannot be read ({error}). Give a file of one id a line.") from error
    elif url is not None:
        query = search.for_url(url)
    elif url_host is not None:
        query = search.for_host(url_host)
    elif where is not None:
        read_condition(where, VALUE_SIGNALS)  # says now what is wrong with it
        query = Query(b"", partial(_meets, expression=where))
    found = take_out(
        root,
        query=query,
        ids=ids,
        reason=reason,
        tokenizer=resolve_tokenizer(tokenizer),
        dry_run=dry_run,
        workers=workers or cores(),
    )
    if json_out:
        output.echo_json({**asdict(found), "documents": found.documents, "dry_run": dry_run})
    else:
        for path, count in found.shards.items():
            click.echo(f"{path}: {count:,} {'would go' if dry_run else 'gone'}")
        for doc_id in found.unknown:
            click.echo(f"not published: {doc_id}", err=True)
        for path in found.may_hold if found.documents else []:
            click.echo(f"may hold the text still, on its way to a shard: {path}", err=True)
        said = "would go" if dry_run else "are gone; rpj verify looks for what is left"
        click.echo(f"{found.documents:,} documents {said}." if found.documents else "No such document.")
    sys.exit(0 if found.documents else 1)


def _meets(record: Record, *, expression: str) -> bool:
    condition = read_condition(expression, VALUE_SIGNALS)
    return condition.holds(measure(condition, record))
