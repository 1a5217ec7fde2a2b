"""What the commands print that hold a root against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from redpajama_data.cli.output import Problems, echo_json, print_problems
from redpajama_data.engine import environment
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.reports import manifest
from redpajama_data.reports.aligned import aligned
from redpajama_data.reports.manifest import Manifest
from redpajama_data.reports.manifest_compare import compare, render, reproduced
from redpajama_data.reports.root_diff import SliceDiff

_KINDS = {"changed": "changed", "only_a": "only in A", "only_b": "only in B"}


def print_verified(root: str, problems: Problems, against: Manifest | None, *, as_json: bool) -> bool:
    """Print the outcome of ``rpj verify``, with ``against`` (a manifest or its root) also how the root compares with
    it; True when all is well.

    Raises :class:`UsageError` when there is no manifest at ``against``.
    """
    mine = None if against is None else manifest.build(root)
    differences = [] if mine is None or against is None else compare(mine, against)
    if as_json:
        shown: dict[str, Any] = {"checked": problems.checked, "problems": problems.found}
        if against is not None:
            plain = [asdict(difference) for difference in differences]
            shown |= {"reproduced": reproduced(differences), "differences": plain}
        echo_json(shown)
    else:
        print_problems(problems)
        if mine is not None:
            click.echo(render(differences, len(mine.shards)))
    return not problems.found and reproduced(differences)


def print_diff(found: Sequence[SliceDiff], root_a: str, root_b: str) -> None:
    """Print the documents that two roots have in common and not, with examples."""
    head = ("slice", "equal", *_KINDS.values())
    lines = [head, *((p.slice, *(f"{n:,}" for n in (p.equal, p.changed, p.only_a, p.only_b))) for p in found)]
    for line in aligned(lines):
        click.echo(line)
    for part in found:
        for kind, names in part.examples.items():
            click.echo(f"{part.slice}, {_KINDS[kind]}:")
            for name in names:
                click.echo(f"  {name}")
    click.echo(f"A: {root_a}\nB: {root_b}")
    for what, in_a, in_b in environment.differences(
        *(manifest.environments_of(slices_of(r)) for r in (root_a, root_b))
    ):
        click.echo(f"made with other versions: {what}: A {in_a}, B {in_b}")
