"""Addresses, telephone numbers and keys in texts, counted into the meta and masked. See :mod:`filters.personal`."""

from __future__ import annotations

from functools import partial

from pydantic import Field

from filters import personal
from redpajama_data.config import Names, SliceSettings
from redpajama_data.corpus.listing import PATTERNS, Record, pass_stage, with_meta
from redpajama_data.document import Drop
from redpajama_data.engine.stages import Job, RunSettings, Stage


class MaskSettings(SliceSettings):
    """Settings of the masking."""

    kinds: Names = Field(personal.KINDS, description="what is looked for; names of rules of your own go here too")
    only_count: bool = Field(False, description="leave the texts as they are: signals alone")
    masks: dict[str, str] = Field(default_factory=dict, description="what stands in place of a kind, if not [kind]")
    patterns: dict[str, str] = Field(
        default_factory=dict, description="further rules: a kind and its expression, in the syntax of re2"
    )


def mask(records: list[Record], *, rules: tuple[personal.Rule, ...], only_count: bool) -> list[Record | Drop]:
    """Records with ``found_<kind>`` in their meta for each kind that their text has, and masks in its place. A record
    without any passes byte for byte."""
    results: list[Record | Drop] = []
    for record in records:
        text, counts = personal.masked(record.text, rules)
        found = {f"found_{kind}": number for kind, number in counts.items()}
        results.append(with_meta(record, found, None if only_count else text) if found else record)
    return results


def rules_of(settings: MaskSettings) -> tuple[personal.Rule, ...]:
    """The rules that the settings choose, with their masks. Raises :class:`~redpajama_data.errors.UsageError`."""
    own = [personal.Rule(kind, pattern, f"[{kind}]") for kind, pattern in settings.patterns.items()]
    for rule in own:
        personal.check_pattern(rule.pattern)
    kinds = dict.fromkeys((*settings.kinds, *settings.patterns))
    rules = personal.chosen(kinds, own)
    personal.chosen(settings.masks, own)
    return tuple(
        personal.Rule(rule.kind, rule.pattern, settings.masks.get(rule.kind, rule.mask), rule.check) for rule in rules
    )


def stages(settings: MaskSettings, run: RunSettings) -> list[Stage]:
    """One task a shard."""
    step = partial(mask, rules=rules_of(settings), only_count=settings.only_count)
    return [pass_stage("mask", step=step, run=run)]


JOB = Job(
    name="mask",
    summary="e-mail and IP addresses, telephone numbers and keys: counted into the meta, and masked",
    revision=1,
    patterns=PATTERNS,
    settings=MaskSettings,
    stages=stages,
)
