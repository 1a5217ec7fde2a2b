"""Why the totals of a root differ from the published ones: what was not processed, what cannot be compared, what was
removed.

Figures of the references stand in :mod:`redpajama_data.reports.published`. Where nobody published a figure, none is
given.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from redpajama_data.engine import receipts
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN
from redpajama_data.io.shards import read_names
from redpajama_data.models.known import REGISTRY, known_name
from redpajama_data.reports.published import PARTS, PUBLISHED, Reference, published_tokens
from redpajama_data.reports.totals import SliceTotals, amount, best, project
from redpajama_data.reports.waterfall import Row, Waterfall, waterfalls

TOP_RULES = 3  # rules named for a slice
NEOX = "gpt-neox-20b"

Cause = Literal["slice", "shards", "source", "tokenizer", "quarantined", "broken", "missing", "rule", "job"]


@dataclass(frozen=True)
class Reason:
    """One reason, as a sentence and as numbers. ``tokens`` is its effect on the slice's total where it can be told
    (negative: so much less), ``estimated`` when it was not counted."""

    cause: Cause
    sentence: str
    tokens: float | None = None
    estimated: bool = False
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gap:
    """A slice beside its published total. ``value`` stands for the whole slice, ``basis`` says how it was found."""

    slice: str
    tokens: int
    value: float
    basis: str
    published: int
    reasons: list[Reason]

    @property
    def difference(self) -> float:
        """By how much the slice is above (below: negative) the published total."""
        return self.value - self.published


def explain_gaps(root: str, totals: Sequence[SliceTotals], tokenizers: set[str], against: Reference) -> list[Gap]:
    """For each slice of the reference, in its order, how far the root's total is off and why.

    ``totals`` are the root's and ``tokenizers`` the SHA-256 of what counted them. Raises :class:`UsageError` when it is
    no root of a run.
    """
    notes = {note.slice: note for note in slices_of(root)}
    of = {each.slice: each for each in totals}
    falls = {each.slice: each for each in waterfalls(root)}
    gaps = []
    for name in PUBLISHED:
        published = published_tokens(name, against)
        assert published is not None
        if name not in notes or name not in of:
            missing = Reason("slice", f"{name} was not run: all of it is missing.", -float(published))
            gaps.append(Gap(name, 0, 0.0, "not run", published, [missing]))
            continue
        value, basis, _ = best(of[name])
        reasons = [
            *_shards(of[name]),
            *_sources(name, read_names(storage.join(root, RUN, name, "inputs.txt")), against),
            *_tokenizer(of[name], tokenizers, against),
            *_failures(root, name),
            *_missing(falls.get(name)),
            *_rules(falls.get(name)),
        ]
        gaps.append(Gap(name, of[name].tokens, value, basis, published, reasons))
    return gaps


# ------------------------------------------------------------------------------------------------ reasons


def _shards(totals: SliceTotals) -> Iterable[Reason]:
    done, whole = len(totals.shard_tokens), totals.source_shards
    if whole is None:
        yield Reason(
            "shards",
            f"{done:,} raw {'shard was' if done == 1 else 'shards were'} processed; how many the source has is not "
            "configured (source_shards), so it cannot be told how much of the difference is what was not processed.",
            numbers={"done": done, "source": None},
        )
        return
    numbers = {"done": done, "source": whole}
    projection = project(totals)
    if projection is None or done == whole:
        yield Reason("shards", f"{done:,} of {whole:,} shards of the source were processed.", numbers=numbers)
        return
    rest = projection.tokens - totals.tokens
    yield Reason(
        "shards",
        f"{done:,} of {whole:,} shards of the source done ({done / whole:.1%}): the other {whole - done:,} "
        f"would bring about {amount(rest)} tokens.",
        -rest,
        estimated=True,
        numbers=numbers,
    )


def _sources(name: str, inputs: Sequence[str], against: Reference) -> Iterable[Reason]:
    parts = [] if (name, against) == ("common_crawl", "llama") else PARTS.get(name, [])
    there = [part for part in parts if any(re.search(part.pattern, path) for path in inputs)]
    missing = [part for part in parts if part not in there]
    if not missing:
        return
    have = ", ".join(part.name for part in there) or "nothing of these"
    sentence = f"missing: {', '.join(part.name for part in missing)}. There: {have} ({_base_names(inputs)})."
    notes = {part.note: part.name for part in reversed(missing) if part.note}
    for note in reversed(notes):
        named = [part.name for part in missing if part.note == note]
        sentence += f" {named[0]} is {note}." if len(named) == 1 else f" Each is {note}."
    published = published_tokens(name, against) or 0
    shares = [part.share for part in missing if part.share is not None]
    tokens = -sum(shares) * published if shares else None
    if tokens is not None:
        sentence += f" By bytes that is about {amount(-tokens)} tokens of the published {amount(published)}."
    yield Reason(
        "source",
        sentence,
        tokens,
        estimated=True,
        numbers={"missing": [part.name for part in missing], "there": [part.name for part in there]},
    )


def _base_names(paths: Sequence[str]) -> str:
    shown = ", ".join(posixpath.basename(path) for path in paths[:3])
    return f"{shown} and {len(paths) - 3:,} more" if len(paths) > 3 else shown


def _tokenizer(totals: SliceTotals, tokenizers: set[str], against: Reference) -> Iterable[Reason]:
    if not totals.tokens:
        return
    ours = ", ".join(sorted(known_name(sha256) or f"sha256:{sha256[:16]}" for sha256 in tokenizers))
    numbers = {"ours": sorted(tokenizers), "reference": "GPT-NeoX" if against == "redpajama" else "LLaMA"}
    if against == "llama":
        yield Reason(
            "tokenizer",
            f"counted with {ours}; LLaMA's figure is in LLaMA's own tokens, and RedPajama's authors estimated it from "
            "table 1 of the LLaMA paper. No factor between the two is published: read the difference as rough, or "
            "count again with --tokenizer llama/tokenizer.model.",
            numbers=numbers,
        )
    elif tokenizers != {REGISTRY[NEOX].sha256}:
        yield Reason(
            "tokenizer",
            f"counted with {ours}; RedPajama-1T's figure is in GPT-NeoX tokens, so the two cannot be compared one to "
            f"one. Count again with --tokenizer {NEOX}.",
            numbers=numbers,
        )
    else:
        yield Reason("tokenizer", "counted with the tokenizer of the published figure (GPT-NeoX).", numbers=numbers)


def _failures(root: str, name: str) -> Iterable[Reason]:
    entries = list(receipts.quarantined(root, name))
    if entries:
        first = f"{entries[0].stage}/{entries[0].task}: {entries[0].reason}"
        yield Reason(
            "quarantined",
            f"{len(entries):,} {_tasks(len(entries))} quarantined, what they hold is missing ({first})",
            numbers={"tasks": [f"{entry.stage}/{entry.task}" for entry in entries]},
        )
    broken = [receipt.broken for receipt in receipts.load_all(root, name) if receipt.broken]
    if broken:
        yield Reason(
            "broken",
            f"{len(broken):,} {_tasks(len(broken))} had a damaged raw file, a part is missing ({broken[0][0]})",
            numbers={"files": [place for places in broken for place in places]},
        )


def _missing(fall: Waterfall | None) -> Iterable[Reason]:
    for row in fall.rows if fall is not None else ():
        if row.kind == "missing":
            yield Reason(
                "missing",
                f"{row.documents:,} documents never came to {row.stage}: a task of it is quarantined or has not run.",
                None if row.tokens is None else -row.tokens,
                estimated=True,
                numbers={"stage": row.stage, "documents": row.documents, "bytes": row.bytes},
            )


def _tasks(count: int) -> str:
    return "task" if count == 1 else "tasks"


def _rules(fall: Waterfall | None) -> Iterable[Reason]:
    if fall is None:
        return
    dropped = sorted((row for row in fall.rows if row.kind == "dropped"), key=_weight, reverse=True)
    for row in dropped[:TOP_RULES]:
        yield _removed("rule", f"{row.rule} ({row.stage})", row)
    for job, _, rows in fall.jobs:
        for row in sorted((row for row in rows if row.kind == "dropped"), key=_weight, reverse=True)[:TOP_RULES]:
            yield _removed("job", f"{job}: {row.rule} (after this total, and no stage of the published run)", row)


def _weight(row: Row) -> tuple[float, int]:
    return (row.tokens or 0, row.documents)


def _removed(cause: Literal["rule", "job"], what: str, row: Row) -> Reason:
    size = "" if row.bytes is None else f", {amount(row.bytes)} bytes"
    tokens = "" if row.tokens is None else f", {'about ' if row.estimated else ''}{amount(row.tokens)} tokens"
    return Reason(
        cause,
        f"{what} removed {row.documents:,} {'document' if row.documents == 1 else 'documents'}{size}{tokens}.",
        None if row.tokens is None else -row.tokens,
        row.estimated,
        {"stage": row.stage, "rule": row.rule, "documents": row.documents, "bytes": row.bytes},
    )
