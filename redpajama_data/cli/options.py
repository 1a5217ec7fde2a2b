"""Options that several commands share, and what they mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import click

from redpajama_data.cli import output
from redpajama_data.corpus.listing import is_root
from redpajama_data.errors import UsageError
from redpajama_data.whole_run import RunReport

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "json_out", is_flag=True, help="Print JSON instead of tables.")

_RUN_OPTIONS = (
    click.option("--workers", type=int, help="Tasks at once on a machine. Default: all cores."),
    click.option("--memory", metavar="SIZE", help="Memory of all workers together, as 4G. Default: 4G."),
    click.option("--executor", type=click.Choice(["serial", "local", "ray"]), help="Where tasks run. Default: local."),
    click.option("--address", metavar="ADDR", help="Ray cluster to join, as auto or HOST:PORT."),
    click.option(
        "--stall",
        type=float,
        metavar="MINUTES",
        help="A task that takes longer, and 50 times as long as others, is tried again. 0: never. Default: 15.",
    ),
    click.option(
        "--tokenizer",
        metavar="NAME_OR_PATH",
        help="Counts the published tokens; none: jobs over shards count none. Default: gpt-neox-20b.",
    ),
    click.option("--prune", is_flag=True, help="Remove what raw files gave that are no longer among the input."),
    click.option(
        "--retry-broken", is_flag=True, default=None, help="Read raw files again that were found to be damaged."
    ),
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


def root_or_input(root: str | None, inputs: Sequence[str]) -> str:
    """Where a job that makes no corpus writes: ``--root``, else the one input, when it is the root of a run."""
    if root is None and (len(inputs) != 1 or not is_root(inputs[0])):
        raise UsageError("no root. Give --root DIR: the folder or URL to write to.")
    return inputs[0] if root is None else root


def finish(report: RunReport, *, json_out: bool) -> NoReturn:
    """Print what a job did and end the process with its exit status."""
    output.print_report(report, as_json=json_out)
    sys.exit(report.exit_code())
