"""The commands that hold one root against another."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from redpajama_data import config
from redpajama_data.cli import output, output_compare
from redpajama_data.cli.options import json_option
from redpajama_data.defaults import root_here
from redpajama_data.errors import UsageError
from redpajama_data.io import terminal
from redpajama_data.reports.root_diff import diff as diff_roots

MEMORY_MIN = 16 << 20  # bytes; less than the program itself takes


@click.command("diff")
@click.argument("roots", nargs=-1, required=True, metavar="[ROOT] OTHER")
@click.option("--memory", default="1G", show_default=True, metavar="SIZE", help="Memory for the comparison.")
@click.option("--show", default=3, show_default=True, metavar="N", help="Examples of each kind of difference.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def diff(roots: tuple[str, ...], memory: str, show: int, quiet: bool, json_out: bool) -> None:
    """Documents that are only in one of two roots, changed, or equal, slice by slice. Exit status 1: they differ.

    ROOT is out, if only the OTHER is given. A document is told by the name of its raw file and its number in it,
    wherever the raw files lie.

    \b
    rpj diff out-of-last-week
    rpj diff out out-of-last-week --show 10
    """
    if len(roots) > 2:
        raise UsageError(f"two roots, or one to hold against the default, not {len(roots)}.")
    root_a, root_b = root_here(roots[0] if len(roots) == 2 else None), roots[-1]
    try:
        size = config.parse_size(memory)
    except ValueError as error:
        raise UsageError(f"--memory {memory}: {error}.") from error
    if size < MEMORY_MIN:
        raise UsageError(f"--memory {memory}: too little to compare documents. Give {MEMORY_MIN >> 20}M or more.")
    if show < 0:
        raise UsageError(f"--show {show}: expected 0 or more.")
    with terminal.bar(desc="diff", unit="doc", disable=quiet or json_out or not terminal.is_drawn_on()) as bar:

        def advance(documents: int) -> None:
            bar.update(documents)

        found = diff_roots(root_a, root_b, memory=size, show=show, progress=advance)
    if json_out:
        output.echo_json([asdict(part) for part in found])
    else:
        output_compare.print_diff(found, root_a, root_b)
    if any(part.differs() for part in found):
        sys.exit(1)
