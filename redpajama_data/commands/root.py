"""The commands that read a root: status, verify, explain, count-tokens."""

from __future__ import annotations

import itertools
import sys
from dataclasses import asdict

import click

from redpajama_data import account
from redpajama_data.commands import output, output_compare
from redpajama_data.commands.options import json_option
from redpajama_data.reports import manifest


@click.command()
@click.argument("root")
@json_option
def status(root: str, json_out: bool) -> None:
    """How far the run of ROOT is: tasks, documents, drops by rule, what is broken.

    \b
    rpj status out
    """
    found = account.status(root)
    if json_out:
        output.echo_json([asdict(part) for part in found])
    else:
        output.print_status(found)
    if not all(part.complete() for part in found):
        sys.exit(3)


@click.command()
@click.argument("root")
@click.option(
    "--against", metavar="MANIFEST", help="Compare with another reproduction: its manifest.json, or its root."
)
@json_option
def verify(root: str, against: str | None, json_out: bool) -> None:
    """Check ROOT: checksums of every file, and read == kept + dropped for every receipt.

    With --against also compare its shards with those of another reproduction, by its manifest, and name the first
    difference. Exit status 1: something is wrong, or differs.

    \b
    rpj verify out
    rpj verify out --against manifest-of-last-week.json
    """
    theirs = None if against is None else manifest.load(against)  # before hours of checksums
    checks = itertools.chain(account.verify(root), manifest.check(root))
    problems = output.collect_problems(checks, quiet=json_out)
    if not output_compare.print_verified(root, problems, theirs, as_json=json_out):
        sys.exit(1)


@click.command()
@click.argument("root")
@click.argument("doc_id", metavar="ID")
@json_option
def explain(root: str, doc_id: str, json_out: bool) -> None:
    """What happened to one raw record: kept, where; or dropped, by which rule, measured value and limit.

    ID is the raw path as given to the run, `#`, and the record's number from 0. A record that was kept is followed
    through the stages over every slice; ID may also be a shard's, as root:/github/NAME.jsonl.zst#17.

    \b
    rpj explain out 'raw/github_0003.gz#17'
    """
    fates = account.explain(root, doc_id)
    if json_out:
        output.echo_json([asdict(fate) for fate in fates])
    else:
        output.print_fates(fates)


@click.command("count-tokens")
@click.argument("places", nargs=-1, required=True, metavar="ROOT | FILES...")
@click.option(
    "--tokenizer", metavar="NAME_OR_PATH", help="Count with this tokenizer: tokenizer.json or SentencePiece .model."
)
@click.option("--check", metavar="PERCENT", help="Exit with 1 when a total is off the published one by more, as 5%.")
@click.option(
    "--against",
    type=click.Choice(["redpajama-1t", "llama"]),
    help="Explain the difference to these published totals, slice by slice.",
)
@json_option
def count_tokens(
    places: tuple[str, ...], tokenizer: str | None, check: str | None, against: str | None, json_out: bool
) -> None:
    """Totals of a run's ROOT (from its receipts, at once) or of any JSONL files, beside the published ones.

    \b
    rpj count-tokens out
    rpj count-tokens out --check 5% --json
    rpj count-tokens out --against llama
    rpj count-tokens out/github/*.jsonl.zst --tokenizer llama/tokenizer.model
    """
    totals, counted_by = output.count(places, tokenizer)
    failures = output.print_totals(
        totals, counted_by, check, as_json=json_out, places=places, recounted_with=tokenizer, against=against
    )
    if failures:
        sys.exit(1)
