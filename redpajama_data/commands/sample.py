"""The command ``rpj sample``."""

from __future__ import annotations

from pathlib import Path

import click

from redpajama_data.errors import StorageError
from slices import NAMES, load


@click.command()
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
