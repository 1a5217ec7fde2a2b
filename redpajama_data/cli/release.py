"""The command ``rpj release``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from redpajama_data import config
from redpajama_data.cli import options, output
from redpajama_data.defaults import root_here
from redpajama_data.facts import facts
from redpajama_data.release import folder
from redpajama_data.release import push as hub
from redpajama_data.release.folder import Made
from redpajama_data.reports.totals import amount


@click.command()
@click.argument("root", required=False)
@click.option("--to", required=True, metavar="DIR", help="Where to write the release; not in ROOT.")
@click.option(
    "--format", type=click.Choice(["parquet", "jsonl"]), help="jsonl: the shards as they are. Default: parquet."
)
@click.option("--parquet", is_flag=True, help="The same as --format parquet.")
@click.option("--sample", metavar="SIZE", help="Only a sample: tokens, as 1B, or a share of the documents, as 0.1%.")
@click.option("--seed", type=int, metavar="N", help="Another seed, another sample. Default: 0.")
@click.option("--shares", metavar="A=W,B=W", help="Of the sample's tokens by slice, as weights. Default: as in ROOT.")
@click.option(
    "--job", metavar="NAME", help="Release what this job left (exact, fuzzy, ...), not what slices published."
)
@click.option("--file-size", metavar="SIZE", help="Text a Parquet file holds, about. Default: 1G.")
@click.option("--row-group", metavar="SIZE", help="Most bytes of a row group, unpacked. Default: 100M.")
@click.option("--name", default="", metavar="TEXT", help="Title of the card.")
@click.option("--contact", default="", metavar="ADDRESS", help="Who may be asked, and told of what should go.")
@click.option("--push", "repository", metavar="REPO", help="Upload to this data set repository, USER/NAME.")
@click.option("--private", is_flag=True, help="With --push: a repository that is made new is private.")
@click.option("--dry-run", is_flag=True, help="Say which files there would be, and how large; write nothing.")
@options.run_options
def release(
    root: str | None,
    to: str,
    format: str | None,
    parquet: bool,
    sample: str | None,
    seed: int | None,
    shares: str | None,
    job: str | None,
    file_size: str | None,
    row_group: str | None,
    name: str,
    contact: str,
    repository: str | None,
    private: bool,
    dry_run: bool,
    quiet: bool,
    json_out: bool,
    prune: bool,
    **rest: Any,
) -> None:
    """Make a data set repository of ROOT (default: out), one that loads everywhere.

    DIR gets data/SLICE/*.parquet, README.md with what is in it and how it was made, croissant.json with every checksum,
    and ROOT's manifest. With --sample it holds a random sample, exact to the document, that anybody draws alike. The
    same command again does what is missing; after rpj forget it takes out what is gone. More: rpj help release.

    \b
    rpj release out --to release
    rpj release out --to sample-1b --sample 1B
    rpj release out --to release --contact data@example.org --push me/redpajama --dry-run
    """
    root = root_here(root)
    if parquet and format == "jsonl":
        raise click.UsageError("--parquet and --format jsonl exclude each other.")
    given = {
        "format": format,
        "sample": sample,
        "seed": seed,
        "shares": shares,
        "job": job,
        "file_size": file_size,
        "row_group": row_group,
    }
    if dry_run:
        _show_plan(folder.planned(root, folder.settings_of(root, given)), json_out=json_out)
        return
    run_config = config.load_config(None, rest)
    url = f"https://huggingface.co/datasets/{repository}" if repository else ""
    made = folder.release(
        root, to, given, run_config, facts(), name=name, contact=contact, url=url, quiet=quiet or json_out
    )
    pushed = None
    if repository and not made.report.exit_code():
        pushed = hub.push(to, repository, private=private, say=lambda text: click.echo(f"rpj: {text}", err=True))
    _show(made, pushed, json_out=json_out)
    sys.exit(made.report.exit_code())


def _show_plan(wanted: list[folder.Wanted], *, json_out: bool) -> None:
    if json_out:
        output.echo_json([asdict(file) for file in wanted])
        return
    for file in wanted:
        click.echo(f"{file.path}  {file.documents:,} documents, {amount(file.bytes)}B")
    total = sum(file.bytes for file in wanted)
    click.echo(
        f"{len(wanted):,} files, {sum(f.documents for f in wanted):,} documents, {amount(total)}B. Nothing was written."
    )


def _show(made: Made, pushed: hub.Pushed | None, *, json_out: bool) -> None:
    (part,) = made.report.slices
    if json_out:
        output.echo_json(
            {
                "root": made.root,
                "exit_code": made.report.exit_code(),
                "tasks_done": part.done_now,
                "tasks_skipped": part.skipped,
                "files": [asdict_of(shard) for own in made.files.values() for shard in own],
                "quarantined": [{"stage": e.stage, "task": e.task, "reason": e.reason} for e in part.quarantined],
                "left_alone": [*part.foreign, *made.left_alone],
                "pushed": asdict(pushed) if pushed is not None else None,
            }
        )
        return
    for name, own in made.files.items():
        documents, size = sum(shard.documents for shard in own), sum(shard.bytes for shard in own)
        click.echo(f"{name}: {documents:,} documents in {len(own):,} files, {amount(size)}B")
    click.echo(f"{made.root}: {part.done_now:,} tasks done, {part.skipped:,} were done before")
    for entry in part.quarantined:
        click.echo(f"  failed: {entry.stage}/{entry.task}: {entry.reason}", err=True)
    for stage in sorted(part.left_out):
        click.echo(f"  left out: {stage} needs all of what failed. Mend it, then run again.", err=True)
    for path in [*part.foreign, *made.left_alone]:
        click.echo(f"  left alone, somebody else's or changed since: {path}", err=True)
    if pushed is not None:
        click.echo(
            f"{pushed.url}: {len(pushed.files):,} files are there as they are here, {pushed.there_before:,} were "
            f"before, {len(pushed.removed):,} were removed"
        )


def asdict_of(shard: Any) -> dict[str, Any]:
    """A file of a release as plain data."""
    return {key: getattr(shard, key) for key in ("path", "bytes", "sha256", "documents", "text_bytes")}
