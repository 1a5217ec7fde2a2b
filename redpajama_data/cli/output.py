"""What the command line prints: tables for people, plain data for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import click

from redpajama_data.engine.receipts import is_published, sum_drops
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.io.terminal import bar, in_one_line, is_drawn_on
from redpajama_data.reports import waterfall_table
from redpajama_data.reports.count import count_totals
from redpajama_data.reports.explanation import Fate
from redpajama_data.reports.root_status import SliceStatus
from redpajama_data.reports.totals_table import render, summary
from redpajama_data.reports.waterfall import waterfalls
from redpajama_data.whole_run import RunReport

_FALLS = 2  # slices whose waterfalls a run prints: of more they would be pages


def echo_json(value: Any) -> None:
    """Print plain data as JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def drops_line(dropped: dict[str, int]) -> str:
    """Drops by rule, the most frequent first: ``duplicate 164, not_empty 9``."""
    ordered = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{rule} {count:,}" for rule, count in ordered) or "nothing"


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)


def print_report(report: RunReport, *, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """Print what a run did, slice by slice, the waterfalls of those slices, and the totals of the root; what was left
    out is on standard error, with the next action. ``more`` is what else the JSON has."""
    totals, counted_by = count_totals([report.root], None)
    names = {part.slice for part in report.slices}
    falls = [fall for fall in waterfalls(report.root) if fall.slice in names or names & {job for job, *_ in fall.jobs}]
    if not any(fall.slice in names for fall in falls):  # jobs alone: not what other jobs did in this root before
        falls = [replace(fall, rows=[], jobs=[job for job in fall.jobs if job[0] in names]) for fall in falls]
    if as_json:
        plain = [_plain(part) for part in report.slices]
        shown = {"root": report.root, "exit_code": report.exit_code(), "slices": plain}
        echo_json(
            {**shown, **(more or {}), "waterfalls": waterfall_table.plain(falls), "totals": summary(totals, counted_by)}
        )
        return
    raw = {fall.slice: fall.rows[0].documents for fall in falls if fall.rows}
    in_falls = {*raw, *(job for fall in falls for job, *_ in fall.jobs)}
    for part in report.slices:
        kept, tokens = _published(part)
        dropped = sum_drops(part.all_receipts())
        read = raw.get(part.slice, kept + sum(dropped.values()))
        counted = "tokens not counted" if tokens is None else f"{tokens:,} tokens"
        click.echo(
            f"{part.slice}: {read:,} records read, {kept:,} documents published, {counted}"
            f" ({part.done_now} tasks done, {part.skipped} were done before)"
        )
        if part.slice not in in_falls and dropped:
            click.echo(_wrapped(f"dropped: {drops_line(dropped)}", "  "))
        print_trouble(part, indent="  ")
    if len(falls) > _FALLS:
        click.echo(f"\nRule by rule: rpj count-tokens {report.root}")
    elif falls:
        click.echo("\n" + waterfall_table.render(falls))
    if totals:
        click.echo("\n" + render(totals, counted_by))


def print_trouble(part: SliceRun, *, indent: str = "") -> None:
    """Print on standard error what of a slice or job is damaged, a defect, quarantined, of somebody else, left out."""
    for receipt in part.broken():
        for place in receipt.broken:
            click.echo(f"{indent}broken: {in_one_line(place)}", err=True)
    for record in part.defects():
        click.echo(f"{indent}defect: {in_one_line(record)}. Please report it with the record.", err=True)
    for entry in part.quarantined:
        click.echo(in_one_line(f"{indent}quarantined: {entry.stage}/{entry.task}: {entry.reason}"), err=True)
    if part.foreign:
        click.echo(_wrapped(f"left alone, not of this root: {_few(part.foreign)}", indent), err=True)
    for stage in sorted(part.left_out):
        click.echo(f"{indent}left out: {stage} needs all of what is quarantined. Mend it, then run again.", err=True)


def _few(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _published(part: SliceRun) -> tuple[int, int | None]:
    """Documents and tokens; None where no tokenizer counted."""
    last = [receipt for receipt in part.all_receipts() if is_published(receipt)]
    counted = all(receipt.tokenizer for receipt in last if receipt.kept)
    return sum(receipt.kept for receipt in last), sum(receipt.tokens for receipt in last) if counted else None


def _plain(part: SliceRun) -> dict[str, Any]:
    kept, tokens = _published(part)
    return {
        "slice": part.slice,
        "documents": kept,
        "tokens": tokens,
        "dropped": sum_drops(part.all_receipts()),
        "tasks_done": part.done_now,
        "tasks_skipped": part.skipped,
        "broken": [place for receipt in part.broken() for place in receipt.broken],
        "defects": part.defects(),
        "left_out": sorted(part.left_out),
        "left_alone": part.foreign,
        "quarantined": [{"stage": e.stage, "task": e.task, "reason": e.reason} for e in part.quarantined],
    }


def print_status(found: Sequence[SliceStatus]) -> None:
    """Print how far each slice is."""
    for part in found:
        state = "complete" if part.complete() else "incomplete"
        click.echo(
            f"{part.slice}: {state}, {part.inputs:,} raw files, {part.shards:,} shards, {part.documents:,} documents, "
            f"{part.tokens:,} tokens"
        )
        for stage in part.stages:
            left = f", {stage.quarantined} quarantined" if stage.quarantined else ""
            click.echo(f"  {stage.stage:<12} {stage.tasks:>6} tasks{left}; read {stage.read:,}, kept {stage.kept:,}")
            if stage.dropped:
                click.echo(_wrapped(f"dropped: {drops_line(stage.dropped)}", " " * 15))
        for reason in part.broken:
            click.echo(f"  broken: {in_one_line(reason)}")
        for named in part.defects:
            click.echo(f"  defect: {in_one_line(named)}. Please report it with the record.")
        for reason in part.quarantined:
            click.echo(f"  quarantined: {in_one_line(reason)}")


@dataclass
class Problems:
    """What ``rpj verify`` found: how many checks, and (place, problem) of those that failed."""

    checked: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)


def collect_problems(checks: Iterable[tuple[str, str | None]], *, quiet: bool) -> Problems:
    """Run checks to their end, with progress on a terminal."""
    problems = Problems()
    for place, problem in bar(checks, desc="verify", unit="file", disable=quiet or not is_drawn_on()):
        problems.checked += 1
        if problem:
            problems.found.append((place, problem))
    return problems


def print_problems(problems: Problems) -> None:
    """Print the outcome of ``rpj verify``."""
    for place, problem in problems.found:
        click.echo(in_one_line(f"{place}: {problem}"))
    click.echo(f"{problems.checked:,} checks, {len(problems.found)} problems.")


def print_fates(fates: Sequence[Fate]) -> None:
    """Print what happened to a record."""
    for fate in fates:
        if fate.drop is None:
            click.echo(in_one_line(f"{fate.id}: kept, {fate.kept}, line {fate.line}"))
            continue
        drop = fate.drop
        values = f": {drop['measured']}" if drop["measured"] is not None else ""
        limit = f" (limit {drop['limit']})" if drop["limit"] is not None else ""
        rest = "".join(f", {key} {drop[key]}" for key in drop if key not in ("id", "rule", "measured", "limit"))
        place = f"{fate.slice}/{fate.stage}"
        click.echo(in_one_line(f"{fate.id}: dropped in {place} by {drop['rule']}{values}{limit}{rest}"))
