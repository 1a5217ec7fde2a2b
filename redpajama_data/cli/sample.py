"""The command ``rpj sample``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from redpajama_data.defaults import RAW, config_here
from redpajama_data.errors import StorageError, UsageError
from slices import NAMES, load


@click.command()
@click.argument("folder", default=RAW)
@click.option("--slice", "names", multiple=True, metavar="NAME", help="Only this slice. Default: the seven.")
def sample(folder: str, names: tuple[str, ...]) -> None:
    """Write small raw files of every slice to FOLDER (default: raw), to try it on.

    They have the true formats, with duplicates, bad records and damaged files planted. FOLDER/rpj.yaml is a
    configuration to run them with. `--slice instruct` writes instructions, and test sets to decontaminate with.

    \b
    rpj sample && rpj run --all
    rpj sample --slice instruct && rpj run --slice instruct
    rpj sample tried && rpj run --all --config tried/rpj.yaml --root out
    """
    from redpajama_data import sample as embedded

    for name in names:
        load(name)
        if name not in (*embedded.SLICES, *embedded.OPTIONAL):
            raise UsageError(
                f"the sample has no raw files of {name} alone. Leave --slice out: it reads those of others."
            )
    try:
        files = embedded.build(Path(folder), list(names) or list(NAMES))
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from error
    here = config_here(None)
    ours = here is not None and os.path.realpath(here) == os.path.realpath(os.path.join(folder, embedded.CONFIG))
    slices = " ".join(f"--slice {name}" for name in names) if {*names} & {*embedded.OPTIONAL} else "--all"
    then = f"rpj run {slices}" if ours else f"rpj run {slices} --config {folder}/{embedded.CONFIG} --root out"
    click.echo(f"{len(files) - 1} raw files in {folder}, and {embedded.CONFIG} to run them. Next: {then}")
