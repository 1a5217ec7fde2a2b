"""The commands ``rpj dedup exact`` and ``rpj dedup fuzzy``."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import Any

import click

from redpajama_data import api
from redpajama_data.cli import options, output
from redpajama_data.cli.exact import exact
from redpajama_data.engine.inputs import known_names
from redpajama_data.io import storage


@click.group()
def dedup() -> None:
    """Remove duplicates from shards of any slice: exact ones, and near-duplicates."""


dedup.add_command(exact)


@dedup.command()
@options.shard_options
@click.option("--threshold", type=float, metavar="J", help="Jaccard similarity that makes a duplicate. Default: 0.8.")
@click.option("--ngram", type=int, metavar="N", help="Words a shingle. Default: 5.")
@click.option("--permutations", type=int, metavar="N", help="Numbers a signature. Default: 128.")
@click.option("--priority", metavar="A,B,...", help="Slices whose copy stays, highest first. Default: input order.")
@click.option("--audit", is_flag=True, help="Measure recall on planted near-duplicates and precision on removed pairs.")
@click.option(
    "--audit-size",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Texts planted, and pairs compared.",
)
def fuzzy(
    inputs: tuple[str, ...],
    threshold: float | None,
    ngram: int | None,
    permutations: int | None,
    priority: str | None,
    audit: bool,
    audit_size: int,
    json_out: bool,
    **rest: Any,
) -> None:
    """Remove near-duplicates from JSONL shards of any slice, or from what the slices of a root published: MinHash LSH.

    Of each cluster one document stays: in the slice of highest priority, then the first in input order (shards sorted
    by path). A shard's slice is the name of its folder. What stays passes byte for byte, into DIR/fuzzy/SLICE/; the
    ledger names the survivor of every document that does not, and how like it is. The clusters are listed in
    DIR/_run/fuzzy/components/.

    \b
    rpj dedup fuzzy out --root out --priority wikipedia,books
    rpj dedup fuzzy a/*.jsonl.zst b/*.jsonl --root kept --threshold 0.7 --audit
    """
    settings = {"threshold": threshold, "ngram": ngram, "permutations": permutations, "priority": priority}
    report = api.run_job("fuzzy", inputs, settings, **rest)
    (part,) = report.slices
    if not part.receipts.get("components"):
        options.finish(report, json_out=json_out)
    clusters = storage.join(report.root, part.receipts["components"][0].outputs["clusters"].path)
    measured = None
    if audit:
        from slices.jobs.fuzzy_audit import audit_run

        made = api.job_settings("fuzzy", inputs, settings)
        names, base = known_names(report.root, "fuzzy")
        root = report.root if storage.is_remote(report.root) else os.path.abspath(storage.local(report.root))
        with storage.relative_to(base):
            measured = audit_run(root, part, names, made, count=audit_size)
    more = {"clusters": clusters, "audit": None if measured is None else asdict(measured)}
    output.print_report(report, as_json=json_out, more=more)
    if not json_out:
        click.echo(f"\nclusters: {clusters}")
        if measured is not None:
            click.echo("\n" + measured.render())
    sys.exit(report.exit_code())
