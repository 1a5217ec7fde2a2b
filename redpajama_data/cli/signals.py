"""The command ``rpj signals``, and its options for commands that measure signals too."""

from __future__ import annotations

import sys
from typing import Any

import click

from redpajama_data import api
from redpajama_data.cli import options, output
from redpajama_data.cli.options import Command
from redpajama_data.engine.receipts import sum_drops

_LIST_OPTIONS = (
    click.option("--language", metavar="LL", help="Language of records whose meta names none. Default: en."),
    click.option("--stop-words", metavar="FILE", help="stopwords-all.json of github.com/6/stopwords-json."),
    click.option(
        "--bad-words", metavar="DIR", help="Lists of github.com/LDNOOBW: files en, de, ... or en.txt, de.txt, ..."
    ),
    click.option("--bad-domains", metavar="PATH", help="UT1's folder of categories, or domain_to_category_id.json."),
    click.option(
        "--classifiers", metavar="DIR", help="fastText models: en/wikiref.bin, en/palm.bin, de/wikipedia.bin, ..."
    ),
    click.option(
        "--dsir", metavar="DIR", help="Hash counts: en/ccnet.en.10000.counts.npy, en/books.en.lambda.npy, ..."
    ),
    click.option(
        "--siphash", type=click.Choice(["13", "24"]), help="The counts' hash: Python 3.11 on, or before. Default: 13."
    ),
    click.option(
        "--words",
        type=click.Choice(["regex", "re"]),
        help="Raw words as NLTK splits them: 3.10 on, or before. Default: regex.",
    ),
)
SETTINGS = ("language", "stop_words", "bad_words", "bad_domains", "classifiers", "dsir", "words", "siphash")


def list_options(command: Command) -> Command:
    """The options that name lists and models of the signals: :data:`SETTINGS` of the job."""
    for option in reversed(_LIST_OPTIONS):
        command = option(command)
    return command


def settings_of(given: dict[str, Any]) -> dict[str, Any]:
    """Take :data:`SETTINGS` out of the options of a command."""
    settings = {name: given.pop(name) for name in SETTINGS}
    return {**settings, "siphash": None if settings["siphash"] is None else int(settings["siphash"])}


@click.command()
@options.shard_options
@list_options
def signals(inputs: tuple[str, ...], json_out: bool, **rest: Any) -> None:
    """The quality signals of RedPajama-V2, for JSONL shards or what a root published.

    A file a shard, DIR/signals/SLICE/*.signals.jsonl.zst, with a line a document in RedPajama-V2's form: id, id_int,
    metadata, and the signals with their spans. All signals that need no list are always there (26), those of CCNet
    where the meta has them; one whose list or model is not given is left out. Documents pass nowhere: nothing is
    filtered (rpj filter --where does).

    \b
    rpj signals out --root out
    rpj signals web/*.jsonl.zst --out signals --stop-words stopwords-all.json --bad-words LDNOOBW
    rpj signals ccnet/2023-06 --out rpv2 --classifiers models --bad-domains blacklists
    """
    report = api.run_job("signals", inputs, settings_of(rest), **rest)
    part = report.slices[0]
    kept = sum(receipt.kept for receipt in part.all_receipts())
    dropped = sum_drops(part.all_receipts())
    if json_out:
        quarantined = [{"stage": e.stage, "task": e.task, "reason": e.reason} for e in part.quarantined]
        broken = [place for receipt in part.broken() for place in receipt.broken]
        shown = {"root": report.root, "exit_code": report.exit_code(), "documents": kept, "dropped": dropped}
        output.echo_json({**shown, "broken": broken, "quarantined": quarantined})
    else:
        left = f", {sum(dropped.values()):,} lines without ({output.drops_line(dropped)})" if dropped else ""
        click.echo(f"signals of {kept:,} documents in {report.root}/signals{left}")
        output.print_trouble(part, indent="  ")
    sys.exit(report.exit_code())
