"""What ``rpj plan`` prints: a line a slice, the sum, what limits it, where the figures are from."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import click

from redpajama_data.download.progress import amount
from redpajama_data.planning.forecast import Machine, SlicePlan
from redpajama_data.planning.whole import Plan
from redpajama_data.reports.aligned import aligned

_HEAD = (
    "", "core time", "fetching", "running", "memory", "raw", "steps", "final", "to fetch", "requests", "$", "limit",
)  # fmt: skip


def print_plan(plan: Plan) -> None:
    """Print a plan for people."""
    click.echo(f"{_machine(plan.machine)}\n")
    rows = [_HEAD, *map(_row, [*plan.parts, *([plan.total] if len(plan.parts) > 1 else [])])]
    click.echo("\n".join(aligned(rows)))
    click.echo(f"\n{_limit(plan.total, plan.machine)}")
    for part in plan.parts:
        for note in part.notes:
            _say(f"{part.name}: {note}")
    embedded = [name for name, each in plan.calibrated.items() if each.embedded]
    if embedded:
        _say(
            f"Measured on the embedded sample, and corrected to real texts as measured before: {', '.join(embedded)}. "
            "Put a raw file of each where CONFIG looks for them, and plan again: that is better."
        )
    for name, reason in plan.left_out.items():
        click.echo(f"left out: {name}: {reason}", err=True)


def _say(text: str) -> None:
    click.echo(textwrap.fill(text, 100, subsequent_indent="  ", break_on_hyphens=False))


def _row(part: SlicePlan) -> Sequence[str]:
    return (
        part.name,
        hours(part.core_hours),
        hours(part.fetch_hours),
        hours(part.run_hours),
        amount(part.memory),
        amount(part.raw),
        amount(part.steps),
        amount(part.final),
        amount(part.fetch),
        f"{part.requests:,}",
        f"{part.usd:,.0f}",
        part.limit,
    )


def hours(number: float) -> str:
    """A time that is given in hours, in a unit that suits it: ``3,712 h``, ``8.4 h``, ``3.1 min``, ``0.9 s``, ``0``."""
    unit, size = ("h", number) if number >= 1 else ("min", number * 60) if number >= 1 / 60 else ("s", number * 3600)
    return f"{size:,.0f} {unit}" if size >= 100 else f"{size:.1f} {unit}" if size else "0"


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}" if number == 1 else f"{number:,} {of}s"


def _machine(machine: Machine) -> str:
    return (
        f"{_count(machine.cores, 'core')}, {amount(machine.memory)} of memory, {amount(machine.disk)} of disk, "
        f"{amount(machine.bandwidth)} a second"
    )


def _limit(total: SlicePlan, machine: Machine) -> str:
    days = total.wall_hours / 24
    run = f"{hours(total.run_hours)} to run with {_count(total.workers, 'worker')}"
    whole = hours(total.wall_hours) + (f" ({days:,.1f} days)" if days >= 2 else "")
    said = (
        f"In all {whole}: {hours(total.fetch_hours)} to fetch, then {run}." if total.fetch_hours else f"In all {run}."
    )
    more = {
        "cores": "What limits it: cores.",
        "memory": "What limits it: memory. Each worker needs its own; with more, more of them run at once.",
        "disk": f"What limits it: disk. {amount(total.disk)} are needed and {amount(machine.disk)} are there.",
        "network": "What limits it: network, the line or what hosts give.",
        "one file": "What limits it: one file, for which most workers wait. More of them do not help.",
    }
    return textwrap.fill(f"{said} {more[total.limit]}", 100)
