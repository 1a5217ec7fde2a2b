"""The command ``rpj sample``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from redpajama_data.defaults import RAW, config_here
from redpajama_data.errors import StorageError
from slices import NAMES, load


@click.command()
@click.argument("folder", default=RAW)
@click.option("--slice", "names", multiple=True, metavar="NAME", help="Only this slice. Default: all.")
def sample(folder: str, names: tuple[str, ...]) -> None:
    """Write small raw files of every slice to FOLDER (default: raw), to try it on.

    They have the true formats, with duplicates, bad records and damaged files planted. FOLDER/rpj.yaml is a
    configuration to run them with.

    \b
    rpj sample && rpj run --all
    rpj sample tried && rpj run --all --config tried/rpj.yaml --root out
    """
    from redpajama_data import sample as embedded

    for name in names:
        load(name)
    try:
        files = embedded.build(Path(folder), list(names) or list(NAMES))
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from error
    here = config_here(None)
    ours = here is not None and os.path.realpath(here) == os.path.realpath(os.path.join(folder, embedded.CONFIG))
    then = "rpj run --all" if ours else f"rpj run --all --config {folder}/{embedded.CONFIG} --root out"
    click.echo(f"{len(files) - 1} raw files in {folder}, and {embedded.CONFIG} to run them. Next: {then}")
