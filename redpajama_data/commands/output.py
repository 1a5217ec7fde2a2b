"""What the command line prints: tables for people, plain data for programs."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import click
from tqdm import tqdm

from redpajama_data import models, storage
from redpajama_data.account import Fate, SliceStatus, is_published, root_totals
from redpajama_data.config import SliceSettings
from redpajama_data.corpus import PATTERNS, is_root
from redpajama_data.engine import SliceRun, list_inputs
from redpajama_data.errors import UsageError
from redpajama_data.receipts import sum_drops
from redpajama_data.reports import against_table, waterfall_table
from redpajama_data.reports.against import REFERENCES, Gap, explain_gaps
from redpajama_data.reports.totals import SliceTotals, amount, check, count_files, parse_percent
from redpajama_data.reports.totals_table import render, summary
from redpajama_data.reports.waterfall import waterfalls
from redpajama_data.run import RunReport
from redpajama_data.stages import Slice
from redpajama_data.tokens import load_tokenizer

DEFAULT_TOKENIZER = "gpt-neox-20b"


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
    totals, counted_by = count([report.root], None)
    names = {part.slice for part in report.slices}
    falls = [each for each in waterfalls(report.root) if each.slice in names or names & {job for job, *_ in each.jobs}]
    if not any(each.slice in names for each in falls):  # jobs alone: not what other jobs did in this root before
        falls = [replace(each, rows=[], jobs=[job for job in each.jobs if job[0] in names]) for each in falls]
    if as_json:
        plain = [_plain(part) for part in report.slices]
        shown = {"root": report.root, "exit_code": report.exit_code(), "slices": plain}
        echo_json(
            {**shown, **(more or {}), "waterfalls": waterfall_table.plain(falls), "totals": summary(totals, counted_by)}
        )
        return
    raw = {each.slice: each.rows[0].documents for each in falls if each.rows}
    in_falls = {*raw, *(job for each in falls for job, *_ in each.jobs)}
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
        for receipt in part.broken():
            click.echo(f"  broken: {receipt.broken}", err=True)
        for entry in part.quarantined:
            click.echo(f"  quarantined: {entry.stage}/{entry.task}: {entry.reason}", err=True)
        for stage in sorted(part.left_out):
            click.echo(f"  left out: {stage} needs all of what is quarantined. Mend it, then run again.", err=True)
    if falls:
        click.echo("\n" + waterfall_table.render(falls))
    if totals:
        click.echo("\n" + render(totals, counted_by))


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
        "broken": [receipt.broken for receipt in part.broken()],
        "left_out": sorted(part.left_out),
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
            click.echo(f"  broken: {reason}")
        for reason in part.quarantined:
            click.echo(f"  quarantined: {reason}")


@dataclass
class Problems:
    """What ``rpj verify`` found: how many checks, and (place, problem) of those that failed."""

    checked: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)


def collect_problems(checks: Iterable[tuple[str, str | None]], *, quiet: bool) -> Problems:
    """Run checks to their end, with progress on a terminal."""
    problems = Problems()
    for place, problem in tqdm(checks, desc="verify", unit="file", disable=quiet or not sys.stderr.isatty()):
        problems.checked += 1
        if problem:
            problems.found.append((place, problem))
    return problems


def print_problems(problems: Problems) -> None:
    """Print the outcome of ``rpj verify``."""
    for place, problem in problems.found:
        click.echo(f"{place}: {problem}")
    click.echo(f"{problems.checked:,} checks, {len(problems.found)} problems.")


def print_fates(fates: Sequence[Fate]) -> None:
    """Print what happened to a record."""
    for fate in fates:
        if fate.drop is None:
            click.echo(f"{fate.id}: kept, {fate.kept}, line {fate.line}")
            continue
        drop = fate.drop
        values = f": {drop['measured']}" if drop["measured"] is not None else ""
        limit = f" (limit {drop['limit']})" if drop["limit"] is not None else ""
        rest = "".join(f", {key} {drop[key]}" for key in drop if key not in ("id", "rule", "measured", "limit"))
        click.echo(f"{fate.id}: dropped in {fate.slice}/{fate.stage} by {drop['rule']}{values}{limit}{rest}")


def skip_without_input(
    parts: Sequence[tuple[Slice, SliceSettings]], *, given: bool
) -> list[tuple[Slice, SliceSettings]]:
    """For ``--all``: the slices that have input; the others are named on standard error.

    A slice without any ``input`` is left out; with ``given`` (one folder for all) also one whose subfolder is not
    there: Books3, for one, is no longer distributed. Raises :class:`UsageError` when no slice has input.
    """
    kept = []
    for part, settings in parts:
        try:
            if settings.input and given:
                list_inputs(part, settings.input)
        except UsageError as error:
            click.echo(f"rpj: {part.name} is left out: {error}", err=True)
            continue
        if settings.input:
            kept.append((part, settings))
        else:
            click.echo(f"rpj: {part.name} is left out: no input configured.", err=True)
    if not kept:
        raise UsageError("no slice has input. Give --input DIR with a subfolder a slice, or --config FILE.")
    return kept


# ---------------------------------------------------------------------------------------------- totals, models


def _only_root(places: Sequence[str]) -> str | None:
    """The root of a run, when ``places`` is one and nothing else."""
    return places[0] if len(places) == 1 and is_root(places[0]) else None


def count(places: Sequence[str], tokenizer: str | None) -> tuple[list[SliceTotals], str]:
    """Totals of a root (from its receipts, unless another ``tokenizer`` is named) or of files, and what counted them.

    Raises :class:`UsageError` when roots and files are mixed.
    """
    if _only_root(places):
        totals, by = root_totals(places[0])
        if tokenizer is None or by == {load_tokenizer(tokenizer).sha256}:
            return totals, ", ".join(_tokenizer_name(sha256) for sha256 in sorted(by)) or "nothing"
        return [_recount(places[0], part, tokenizer) for part in totals], load_tokenizer(tokenizer).identity
    for place in places:
        if is_root(place):
            raise UsageError(f"{place} is the root of a run: give it alone. Roots and files are not counted together.")
    loaded = load_tokenizer(tokenizer or DEFAULT_TOKENIZER)
    if not storage.is_remote(places[0]) and len(places) == 1:
        places = [raw.path for raw in storage.list_files(places[0], PATTERNS)]
    return [_count(places, loaded, "files")], loaded.identity


def _recount(root: str, part: SliceTotals, tokenizer: str) -> SliceTotals:
    """A slice's published shards counted again with another tokenizer, one source shard a file."""
    shards = [raw.path for raw in storage.list_files(storage.join(root, part.slice), ("*.jsonl.zst",))]
    counted = _count(shards, load_tokenizer(tokenizer), part.slice)
    if len(shards) != len(part.shard_tokens):  # several shards a raw file: its part of the tokens as it was counted
        rate = counted.tokens / part.tokens if part.tokens else 0
        counted.shard_tokens = [round(tokens * rate) for tokens in part.shard_tokens]
    counted.source_shards = part.source_shards
    return counted


def _count(paths: Sequence[str], tokenizer: Any, name: str) -> SliceTotals:
    with tqdm(desc=f"count {name}", unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:

        def advance(size: int) -> None:
            bar.update(size)

        return count_files(paths, tokenizer, name=name, progress=advance)


def _tokenizer_name(sha256: str) -> str:
    known = [model.name for model in models.REGISTRY.values() if model.sha256 == sha256]
    return known[0] if known else f"the tokenizer with SHA-256 {sha256[:16]}"


def print_totals(
    totals: Sequence[SliceTotals],
    tokenizer: str,
    tolerance: str | None,
    *,
    as_json: bool,
    places: Sequence[str] = (),
    recounted_with: str | None = None,
    against: str | None = None,
) -> list[str]:
    """Print totals beside the published ones; with ``tolerance`` ("5%") check them. Returns what is off, a sentence
    each.

    When ``places`` are a root, its waterfalls come first; ``against`` (redpajama-1t or llama) then adds why each slice
    differs from the published total. ``recounted_with`` names the tokenizer when it is not that of the receipts.
    Raises :class:`UsageError` for ``against`` without a root.
    """
    failures = check(totals, parse_percent(tolerance)) if tolerance is not None else []
    root = _only_root(places)
    falls = waterfalls(root) if root is not None else []
    gaps: list[Gap] = []
    if against is not None:
        if root is None:
            raise UsageError("--against needs the root of a run: what was left out is in its receipts, not in files.")
        by = {load_tokenizer(recounted_with).sha256} if recounted_with else root_totals(root)[1]
        gaps = explain_gaps(root, totals, by, REFERENCES[against])
    if as_json:
        shown = {**summary(totals, tokenizer), "waterfalls": waterfall_table.plain(falls), "failures": failures}
        if against is not None:
            shown["against"] = against_table.plain(gaps, REFERENCES[against])
        echo_json(shown)
    else:
        if falls:
            click.echo(waterfall_table.render(falls) + "\n")
        if recounted_with and falls:
            click.echo("The tokens above are as the run counted them; those below were counted now.\n")
        click.echo(render(totals, tokenizer) if totals else "No slice was run in this root: the jobs are above.")
        if against is not None:
            click.echo("\n" + against_table.render(gaps, REFERENCES[against]))
        for failure in failures:
            click.echo(f"check failed: {failure}", err=True)
    return failures


def print_models(*, as_json: bool) -> None:
    """Print every model of the registry and its state in the cache."""
    found = list(models.list_models())
    if as_json:
        keys = ("name", "what", "licence", "size", "sha256")
        plain = [{key: getattr(each.model, key) for key in keys} for each in found]
        echo_json(
            [{**p, "state": e.state, "path": e.path, "trust": e.trust} for p, e in zip(plain, found, strict=True)]
        )
        return
    for each in found:
        size = f"{amount(each.model.size)}B" if each.model.size else "?"
        click.echo(f"{each.model.name:<16} {each.state:<8} {size:>8}  {each.model.licence:<24} {each.model.what}")
    click.echo(
        f"\nCache: {models.cache_dir()}. {sum(each.state == 'cached' for each in found)} of {len(found)} are here."
    )
