"""The commands that read a root: status, verify, explain, count-tokens."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from redpajama_data import api
from redpajama_data.cli import output, output_compare, output_download, output_totals
from redpajama_data.cli.options import json_option
from redpajama_data.defaults import RAW, root_here
from redpajama_data.download import receipts as download_receipts
from redpajama_data.download.stand import stands_of
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.reports import manifest
from redpajama_data.reports.count import count_totals


@click.command()
@click.argument("root", required=False)
@json_option
def status(root: str | None, json_out: bool) -> None:
    """How far the run of ROOT (default: out) is: tasks, documents, what is broken.

    Of the folder that `rpj download` fetches to: what is here, what is still to come, what could not be had.

    \b
    rpj status out
    rpj status raw
    """
    here, root = root is None, root_here(root)
    fetched = stands_of(root)
    if fetched:
        output_download.print_stands(fetched, as_json=json_out)
        sys.exit(0 if all(stand.complete() for stand in fetched) else 3)
    found = api.status(root)
    if json_out:
        output.echo_json([asdict(part) for part in found])
    else:
        output.print_status(found)
        if here:
            output_download.print_still_to_come(stands_of(RAW), RAW)
    if not all(part.complete() for part in found):
        sys.exit(3)


@click.command()
@click.argument("root", required=False)
@click.option(
    "--against", metavar="MANIFEST", help="Compare with another reproduction: its manifest.json, or its root."
)
@json_option
def verify(root: str | None, against: str | None, json_out: bool) -> None:
    """Check ROOT (default: out): every file's checksum, and read == kept + dropped.

    With --against also compare its shards with those of another reproduction, by its manifest, and name the first
    difference. Of a folder that `rpj download` fetches to: every raw file is read and held against its receipt; no
    network is asked. Exit status 1: something is wrong, or differs.

    \b
    rpj verify out
    rpj verify raw
    rpj verify out --against manifest-of-last-week.json
    """
    root = root_here(root)
    fetched = stands_of(root)
    if fetched and against is None:
        receipts = {stand.plan.slice: download_receipts.verify(root, stand.plan.slice) for stand in fetched}
        if not output_download.print_verified(receipts, as_json=json_out):
            sys.exit(1)
        return
    theirs = None if against is None else manifest.load(against)  # before hours of checksums
    problems = output.collect_problems(api.verify(root), quiet=json_out)
    if not output_compare.print_verified(root, problems, theirs, as_json=json_out):
        sys.exit(1)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[ROOT] ID")
@json_option
def explain(words: tuple[str, ...], json_out: bool) -> None:
    """What happened to one raw record: kept, where; or dropped, by which rule and limit.

    ROOT is out, if only the ID is given. ID is the raw path as given to the run, `#`, and the record's number from 0.
    A record that was kept is followed through the jobs over every slice; ID may also be a shard's, as
    root:/github/NAME.jsonl.zst#17.

    \b
    rpj explain out 'raw/github_0003.gz#17'
    """
    if len(words) > 2:
        raise UsageError(f"a root and an id, not {len(words)} words. Quote an id that has blanks.")
    fates = api.explain(words[0] if len(words) == 2 else None, words[-1])
    if json_out:
        output.echo_json([asdict(fate) for fate in fates])
    else:
        output.print_fates(fates)


@click.command("count-tokens")
@click.argument("places", nargs=-1, metavar="[ROOT | FILES...]")
@click.option(
    "--tokenizer", metavar="NAME_OR_PATH", help="Count with this tokenizer: tokenizer.json or SentencePiece .model."
)
@click.option("--check", metavar="PERCENT", help="Exit with 1 when a total is off the published one by more, as 5%.")
@click.option(
    "--against",
    type=click.Choice(["redpajama-1t", "llama", "redpajama-v2"]),
    help="Explain the difference to these published totals, slice by slice; of redpajama-v2 by language.",
)
@json_option
def count_tokens(
    places: tuple[str, ...], tokenizer: str | None, check: str | None, against: str | None, json_out: bool
) -> None:
    """Totals of ROOT (default: out), or of any JSONL files, beside the published ones.

    A line that is no record with a text is named and not counted. Exit status 3: there were such.

    \b
    rpj count-tokens
    rpj count-tokens out
    rpj count-tokens out --check 5% --json
    rpj count-tokens out --against llama
    rpj count-tokens out --against redpajama-v2
    rpj count-tokens out/github/*.jsonl.zst --tokenizer llama/tokenizer.model
    """
    if not places:
        places = (root_here(None),)
        slices_of(places[0])  # says how to start a run, where there is none
    totals, counted_by = count_totals(places, tokenizer)
    failures = output_totals.print_totals(
        totals, counted_by, check, as_json=json_out, places=places, recounted_with=tokenizer, against=against
    )
    if failures:
        sys.exit(1)
    if any(part.unread for part in totals):
        sys.exit(BrokenInput.exit_code)
