"""The command ``rpj plan``."""

from __future__ import annotations

import click

from redpajama_data import api, config
from redpajama_data.cli import output, output_plan
from redpajama_data.cli.options import json_option
from redpajama_data.errors import UsageError
from redpajama_data.io import terminal


@click.command()
@click.argument("config_path", required=False, metavar="CONFIG")
@click.option("--cores", type=click.IntRange(1), metavar="N", help="Cores of the machine. Default: of this one.")
@click.option("--memory", metavar="SIZE", help="Its memory, as 256G. Default: of this one.")
@click.option("--disk", metavar="SIZE", help="Its free disk, as 60T. Default: of the disk of the root.")
@click.option("--bandwidth", metavar="SIZE", help="Bytes a second of its line. Default: 125M, which is 1 Gbit/s.")
@click.option("--here", is_flag=True, help="Plan the raw files that are here, instead of the whole sources.")
@click.option("--slice", "names", multiple=True, metavar="NAME", help="Only this slice. Default: all of CONFIG.")
@click.option(
    "--seconds", type=click.FloatRange(1), default=60.0, show_default=True, metavar="N", help="To measure, about."
)
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def plan(
    config_path: str | None,
    cores: int | None,
    memory: str | None,
    disk: str | None,
    bandwidth: str | None,
    here: bool,
    names: tuple[str, ...],
    seconds: float,
    quiet: bool,
    json_out: bool,
) -> None:
    """Say what a run will take: hours, memory, disk, bytes, money, and what limits it.

    Every stage is measured on a sample: your raw files where CONFIG's input has some, else embedded ones. That is
    reckoned to the size of the sources. Nothing is fetched. More: rpj help operate.

    \b
    rpj plan redpajama-1t --cores 64 --memory 256G --disk 100T
    rpj plan redpajama-v2 --cores 512 --memory 2T --bandwidth 1250M --json
    rpj plan raw/rpj.yaml --here --slice c4
    """
    found = api.plan(
        config_path,
        slices=names or None,
        cores=cores,
        memory=_size("--memory", memory),
        disk=_size("--disk", disk),
        bandwidth=_size("--bandwidth", bandwidth),
        here=here,
        seconds=seconds,
        said=(lambda line: None) if quiet or json_out else terminal.say,
    )
    if json_out:
        output.echo_json(found.plain())
    else:
        output_plan.print_plan(found)


def _size(option: str, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        size = config.parse_size(value)
    except ValueError as error:
        raise UsageError(f"{option} {value}: {error}.") from error
    if size <= 0:
        raise UsageError(f"{option} {value}: expected more than nothing.")
    return size
