"""Two roots beside each other: what each slice has, what each rule dropped, and which settings differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redpajama_data.engine.slice_run import slices_of
from redpajama_data.reports.root_status import root_totals
from redpajama_data.reports.waterfall import waterfalls


@dataclass(frozen=True)
class Comparison:
    """What differs between this root and another: (slice, here, there) of documents and tokens, (slice, stage, rule,
    here, there) of drops that are not alike, (slice, setting, here, there) of settings. None: not run there."""

    totals: list[tuple[str, dict[str, int | None], dict[str, int | None]]]
    rules: list[tuple[str, str, str, int, int]]
    settings: list[tuple[str, str, str, str]]


def compare(root: str, other: str) -> Comparison:
    """The comparison of two roots, by receipts alone. Raises :class:`UsageError` for what is no root of a run."""
    (one, two), (here, there) = (_totals(root), _totals(other)), (_drops(root), _drops(other))
    mine, theirs = _settings(root), _settings(other)
    nothing: dict[str, int | None] = {"documents": None, "tokens": None}
    return Comparison(
        [(name, one.get(name, nothing), two.get(name, nothing)) for name in dict.fromkeys((*one, *two))],
        [
            (*key, here.get(key, 0), there.get(key, 0))
            for key in dict.fromkeys((*here, *there))
            if here.get(key, 0) != there.get(key, 0)
        ],
        [
            (*key, str(mine.get(key, "not run")), str(theirs.get(key, "not run")))
            for key in sorted({*mine, *theirs})
            if mine.get(key, "not run") != theirs.get(key, "not run")
        ],
    )


def _totals(root: str) -> dict[str, dict[str, int | None]]:
    return {part.slice: {"documents": part.documents, "tokens": part.tokens} for part in root_totals(root)[0]}


def _drops(root: str) -> dict[tuple[str, str, str], int]:
    found = {}
    for fall in waterfalls(root):
        for row in fall.rows:
            if row.kind == "dropped":
                found[fall.slice, row.stage, row.rule] = row.documents
        for job, _, rows in fall.jobs:
            for row in rows:
                if row.kind == "dropped":
                    found[fall.slice, f"{job}/{row.stage}", row.rule] = row.documents
    return found


def _settings(root: str) -> dict[tuple[str, str], Any]:
    return {(note.slice, name): value for note in slices_of(root) for name, value in note.settings.items()}
