"""The command line: parse, call one library function, print. The one place that knows the slices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from redpajama_data import config, output
from redpajama_data.commands import models, root
from redpajama_data.commands.options import run_options
from redpajama_data.errors import RpjError, StorageError, UsageError
from redpajama_data.run import run as run_slices
from slices import NAMES, load
from slices.shared import NAMES as SHARED
from slices.shared import load as load_shared


class Group(click.Group):
    """Prints the project's errors in one piece, without a traceback, and exits with their status."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, with :class:`RpjError` shown to the user."""
        try:
            return super().invoke(ctx)
        except RpjError as error:
            click.echo(f"rpj: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("rpj: stopped. Nothing is lost: the same command goes on where it stopped.", err=True)
            ctx.exit(130)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="redpajama-data")
def cli() -> None:
    """Reproduce the LLaMA pre-training corpus, RedPajama-Data-1T.

    \b
    Try it:   rpj sample sample && rpj run --all --config sample/rpj.yaml --root out
    One slice: rpj run --slice github --input 'raw/github_*.gz' --root out
    Totals:    rpj count-tokens out

    Exit status: 0 done, 1 a check failed, 2 wrong usage or missing model, 3 done but shards were
    quarantined or broken, 4 root in use, 5 root cannot be written.
    """


@cli.command()
@click.option("--slice", "names", multiple=True, metavar="NAME", help=f"A slice to run: {', '.join(NAMES)}.")
@click.option("--all", "every", is_flag=True, help="Run all slices.")
@click.option("--config", "config_path", metavar="FILE", help="YAML file: run settings and `slices: {NAME: {...}}`.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="GLOB_OR_DIR",
    help="Raw files: path, URL, glob or folder. With several slices: a folder with a subfolder a slice.",
)
@click.option("--root", metavar="DIR", help="Where to write: a folder or URL.")
@click.option("--shared", metavar="NAME", multiple=True, help=f"A stage over every slice: {', '.join(SHARED)}.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the slice, or SLICE.KEY=VALUE.")
@run_options
def run(
    names: tuple[str, ...],
    every: bool,
    config_path: str | None,
    inputs: tuple[str, ...],
    shared: tuple[str, ...],
    sets: tuple[str, ...],
    prune: bool,
    quiet: bool,
    json_out: bool,
    **options: Any,
) -> None:
    """Run slices: raw files in, published shards and an account of every document out.

    Stages over every slice (--shared, or `shared:` in --config) come after them, each reading what the one before left
    of the corpus. Running the same command again does what is missing and nothing else.

    \b
    rpj run --slice github --input raw/github --root out
    rpj run --slice arxiv --input s3://bucket/arXiv_src_*.tar --root s3://bucket/out --executor ray
    rpj run --all --config configs/redpajama-1t.yaml --root out --memory 64G
    rpj run --slice github --slice books --input raw --root out --shared exact --shared fuzzy
    """
    if every and names:
        raise UsageError("--all and --slice exclude each other. Give one of them.")
    if not every and not names:
        raise UsageError(f"which slice? Give --slice NAME ({', '.join(NAMES)}) or --all.")
    chosen = [load(name) for name in (NAMES if every else dict.fromkeys(names))]
    run_config = config.load_config(config_path, options)
    jobs = [load_shared(name) for name in dict.fromkeys((*run_config.shared, *shared))]
    run_sets, set_of = config.split_sets(sets, {part.name: part.settings for part in (*chosen, *jobs)})
    run_config = config.load_config(config_path, {**options, **run_sets})
    for name in run_config.slices:
        load(name)
    parts = []
    for part in chosen:
        overrides: dict[str, Any] = dict(set_of[part.name])
        if inputs:
            overrides["input"] = [f"{place.rstrip('/')}/{part.name}" for place in inputs] if len(chosen) > 1 else inputs
        parts.append((part, config.slice_settings(part.settings, part.name, run_config, overrides, config_path)))
    if every:
        parts = output.skip_without_input(parts, given=bool(inputs))
    for job in jobs:
        parts.append((job, config.slice_settings(job.settings, job.name, run_config, set_of[job.name], config_path)))
    report = run_slices(parts, run_config, quiet=quiet, prune=prune)
    output.print_report(report, as_json=json_out)
    sys.exit(report.exit_code())


@cli.command()
@click.argument("folder")
@click.option("--slice", "names", multiple=True, metavar="NAME", help="Only this slice. Default: all.")
def sample(folder: str, names: tuple[str, ...]) -> None:
    """Write the embedded sample: raw input of every slice in its true format, and a configuration to run it.

    \b
    rpj sample sample && rpj run --all --config sample/rpj.yaml --root out
    """
    from redpajama_data import sample as embedded

    for name in names:
        load(name)
    try:
        files = embedded.build(Path(folder), list(names) or list(NAMES))
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from error
    click.echo(f"{len(files)} raw files in {folder}. Next: rpj run --all --config {folder}/rpj.yaml --root out")


for command in (
    root.status,
    root.verify,
    root.explain,
    root.count_tokens,
    models.models_group,
    models.train,
    models.extract,
):
    cli.add_command(command)
