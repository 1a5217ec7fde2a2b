"""Options that several commands share, and what they mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import click

from redpajama_data import config
from redpajama_data.commands import output
from redpajama_data.run import RunReport
from redpajama_data.run import run as run_parts
from slices.shared import load

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "json_out", is_flag=True, help="Print JSON instead of tables.")

_RUN_OPTIONS = (
    click.option("--workers", type=int, help="Tasks at once. Default: all cores."),
    click.option("--memory", metavar="SIZE", help="Memory of all workers together, as 4G. Default: 4G."),
    click.option("--executor", type=click.Choice(["serial", "local", "ray"]), help="Where tasks run. Default: local."),
    click.option("--address", metavar="ADDR", help="Ray cluster to join, as auto or HOST:PORT."),
    click.option(
        "--tokenizer",
        metavar="NAME_OR_PATH",
        help="Counts the published tokens; none: stages over shards count none. Default: gpt-neox-20b.",
    ),
    click.option("--prune", is_flag=True, help="Remove what raw files gave that are no longer among the input."),
    click.option("--quiet", is_flag=True, help="No progress."),
    json_option,
)


def run_options(command: Command) -> Command:
    """The options of every command that runs tasks: where, how many, how much memory, how to print."""
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


def shard_options(command: Command) -> Command:
    """The arguments of a job over shards: INPUT..., --root (or --out), and :func:`run_options`."""
    command = run_options(command)
    command = click.option("--root", "--out", "root", required=True, metavar="DIR", help="Where to write.")(command)
    return click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")(command)


def run_job(name: str, inputs: tuple[str, ...], settings: Mapping[str, Any], options: Mapping[str, Any]) -> RunReport:
    """Run one job over shards, alone, with the options of :func:`shard_options`.

    ``settings`` are the job's own; None is the default. Raises what :func:`redpajama_data.run.run` raises.
    """
    given = {key: value for key, value in options.items() if key not in ("prune", "quiet", "json_out")}
    parts = [(load(name), job_settings(name, inputs, settings))]
    return run_parts(parts, config.load_config(None, given), quiet=options["quiet"], prune=options["prune"])


def job_settings(name: str, inputs: tuple[str, ...], settings: Mapping[str, Any]) -> Any:
    """The settings of a job over shards, validated; None is the default. Raises :class:`UsageError`."""
    given = {key: value for key, value in settings.items() if value is not None}
    return config.slice_settings(
        load(name).settings, name, config.load_config(None, {}), {**given, "input": inputs}, None
    )


def finish(report: RunReport, *, json_out: bool) -> NoReturn:
    """Print what a job did and end the process with its exit status."""
    output.print_report(report, as_json=json_out)
    sys.exit(report.exit_code())
