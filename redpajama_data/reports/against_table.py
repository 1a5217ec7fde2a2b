"""Differences to the published totals as a table with sentences for a terminal and as plain data for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from redpajama_data.reports.against import Gap
from redpajama_data.reports.aligned import aligned
from redpajama_data.reports.published import Reference
from redpajama_data.reports.totals import amount

WIDTH = 100
_NAMES = {"redpajama": "RedPajama-1T", "llama": "LLaMA"}
_HEAD = ("slice", "counted", "whole slice", "published", "difference", "")


def plain(gaps: Sequence[Gap], against: Reference) -> dict[str, Any]:
    """Everything the table and the sentences show as plain data, unrounded."""
    return {
        "reference": _NAMES[against],
        "slices": [asdict(gap) | {"difference": gap.difference, "ratio": gap.value / gap.published} for gap in gaps],
    }


def render(gaps: Sequence[Gap], against: Reference) -> str:
    """A table, at most 100 columns wide, and below it a sentence for every reason."""
    lines = [_HEAD, *(_cells(gap) for gap in gaps)]
    text = [f"Tokens against {_NAMES[against]}'s. The rules named are those that removed most.", ""]
    text += aligned(lines)
    counting = {reason.sentence for gap in gaps for reason in gap.reasons if reason.cause == "tokenizer"}
    for sentence in counting if len(counting) == 1 else ():  # the same for all slices: said once
        text += ["", *textwrap.wrap(f"Tokens are {sentence}", WIDTH, break_on_hyphens=False)]
    for gap in gaps:
        text += ["", f"{gap.slice} ({gap.basis})"]
        for reason in gap.reasons:
            if reason.cause == "tokenizer" and len(counting) == 1:
                continue
            text += textwrap.wrap(
                reason.sentence, WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
            )
    return "\n".join(text)


def _cells(gap: Gap) -> tuple[str, ...]:
    off = f"{gap.difference / gap.published:+.1%}"
    sign = "-" if gap.difference < 0 else "+"
    return (
        gap.slice,
        amount(gap.tokens),
        amount(gap.value),
        amount(gap.published),
        f"{sign}{amount(abs(gap.difference))}",
        off,
    )
