"""The command ``rpj run``."""

from __future__ import annotations

import sys
from typing import Any

import click

from redpajama_data import api, config
from redpajama_data.cli import output
from redpajama_data.cli.options import run_options
from redpajama_data.defaults import config_here
from redpajama_data.errors import UsageError
from slices import BESIDE, NAMES
from slices.jobs import NAMES as JOBS


@click.command()
@click.option(
    "--slice", "names", multiple=True, metavar="NAME", help=f"A slice to run: {', '.join((*NAMES, *BESIDE))}."
)
@click.option("--all", "every", is_flag=True, help="Run the seven slices of RedPajama-1T.")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="YAML file: run settings and `slices: {NAME: {...}}`. Default: rpj.yaml or raw/rpj.yaml, "
    "if it is there. redpajama-1t: the published run, which rpj brings.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="GLOB_OR_DIR",
    help="Raw files: path, URL, glob or folder. With several slices: a folder with a subfolder a slice. Default: what "
    "--config says, else raw/<slice>.",
)
@click.option("--root", metavar="DIR", help="Where to write: a folder or URL. Default: what --config says, else out.")
@click.option("--job", "job_names", metavar="NAME", multiple=True, help=f"A job over every slice: {', '.join(JOBS)}.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the slice, or SLICE.KEY=VALUE.")
@run_options
def run(
    names: tuple[str, ...],
    every: bool,
    config_path: str | None,
    inputs: tuple[str, ...],
    job_names: tuple[str, ...],
    sets: tuple[str, ...],
    prune: bool,
    quiet: bool,
    json_out: bool,
    **options: Any,
) -> None:
    """Run slices: raw files in, published shards and an account of every document out.

    Jobs over every slice (--job, or `jobs:` in --config) come after them, each reading what the one before left
    of the corpus. Running the same command again does what is missing and nothing else.

    \b
    rpj run --slice github
    rpj run --slice github --input raw/github --root out
    rpj run --slice arxiv --input s3://bucket/arXiv_src_*.tar --root s3://bucket/out --executor ray
    rpj run --all --config redpajama-1t --root out --memory 64G
    rpj run --slice github --slice books --input raw --root out --job exact --job fuzzy
    """
    if every and names:
        raise UsageError("--all and --slice exclude each other. Give one of them.")
    if not every and not names:
        raise UsageError(f"which slice? Give --slice NAME ({', '.join((*NAMES, *BESIDE))}) or --all.")
    if config_path is None and not quiet and (here := config_here(None)):
        click.echo(f"rpj: settings of {here}", err=True)
    report = api.run(
        None if every else names,
        config=config_path,
        input=inputs,
        jobs=job_names,
        settings=config.parse_sets(sets),
        quiet=quiet,
        prune=prune,
        left_out=lambda said: click.echo(f"rpj: {said}", err=True),
        **options,
    )
    output.print_report(report, as_json=json_out)
    if report.exit_code():
        click.echo(
            f"\nrpj: done, but not all was whole (exit status 3). What, and why: rpj status {report.root}", err=True
        )
    sys.exit(report.exit_code())
