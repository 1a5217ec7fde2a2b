"""The command ``rpj run``."""

from __future__ import annotations

import sys
from typing import Any

import click

from redpajama_data import config
from redpajama_data.commands import output
from redpajama_data.commands.options import run_options
from redpajama_data.errors import UsageError
from redpajama_data.run import run as run_slices
from slices import NAMES, load
from slices.shared import NAMES as SHARED
from slices.shared import load as load_shared


@click.command()
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
