"""Rules and copies as they are shown: each rule's values about its limit, records on both sides, texts side by side."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from redpajama_data.engine.tombstones import RULE as FORGOTTEN
from redpajama_data.report_page import drops
from redpajama_data.report_page.documents import FIELD_OF_RULE, FIGURES, NAME_OF_RULE, SEED, Published, Sample
from redpajama_data.report_page.drops import Dropped, Rule
from redpajama_data.report_page.histogram import Histogram, Series, histogram
from redpajama_data.report_page.texts import Places, texts_of

SHOWN = 480  # characters of a text that are shown
VALUE = 160  # ... of a measured value, which may be a name or a message
PASSED = "it passed; what the rule measures is not in a published record"


@dataclass(frozen=True)
class Example:
    """A record near a limit. ``text`` is the head of its text: of one that left as it came to the rule, of one that
    stayed as it was published; None when it was not found. ``note`` says what it is a copy of, or why it stayed."""

    id: str
    measured: str
    text: str | None
    note: str = ""


@dataclass(frozen=True)
class RuleShown:
    """A rule: ``count`` records dropped, ``seen`` of them in the ledgers that were read; their values with those of the
    kept documents (``figure``), and records on both sides: the nearest to the limit where it is a number that published
    records have, those that stayed for copies, else some that were drawn."""

    owner: str
    stage: str
    name: str
    count: int
    seen: int
    limits: list[str]
    figure: Histogram | None
    dropped: list[Example]
    kept: list[Example]


@dataclass(frozen=True)
class Cluster:
    """Records that are copies of one: ``left`` left because of it. ``texts`` has the one that stayed, then others."""

    owner: str
    rule: str
    left: int
    texts: list[Example]


def shown(
    places: Places, rules: Mapping[str, Sequence[Rule]], samples: Mapping[str, Sample], count: int
) -> tuple[dict[str, list[RuleShown]], list[Cluster]]:
    """The rules of each slice and job, and the largest clusters of copies; with ``count`` 0 no record of either."""
    every = [rule for own in rules.values() for rule in own]
    groups = list(drops.clusters(every, count))
    wanted = [
        record.id
        for rule in every
        for record in rule.candidates[: 2 * count]
        if not _of_forgotten(places, rule, record)
    ]
    wanted += [record.survivor for rule in every for record in rule.candidates[: 2 * count] if record.survivor]
    wanted += [
        name
        for rule, kept, _, leaving in groups
        if not _of_forgotten(places, rule, leaving[0])
        for name in (kept, leaving[0].id)
    ]
    texts = texts_of(places, wanted)
    clusters = [
        Cluster(
            rule.owner,
            rule.name,
            left,
            [
                Example(kept, "stayed", _head(texts.get(kept))),
                Example(leaving[0].id, _likeness(leaving[0]), _head(texts.get(leaving[0].id))),
            ],
        )
        for rule, kept, left, leaving in groups
    ]
    return {
        name: [_shown(rule, samples.get(name, Sample()), texts, count) for rule in own] for name, own in rules.items()
    }, clusters


def _of_forgotten(places: Places, rule: Rule, record: Dropped) -> bool:
    """Whether a record is one that was forgotten, or a copy of one."""
    stone = record.survivor is not None and places.forgotten.of_record(record.survivor)
    return rule.name == FORGOTTEN or bool(stone)


def _shown(rule: Rule, sample: Sample, texts: Mapping[str, str], count: int) -> RuleShown:
    name = FIELD_OF_RULE.get(rule.name)
    values = [document.values[name] for document in sample.documents if name in document.values] if name else []
    series = [Series("dropped", rule.values, rule.count / rule.seen if rule.seen else 1.0)]
    if values:
        series.append(Series("kept", values, sample.of / len(sample.documents)))
    chosen = _chosen(rule, texts, count)
    return RuleShown(
        rule.owner,
        rule.stage,
        rule.name,
        rule.count,
        rule.seen,
        [text[:VALUE] for text in sorted(rule.limits)],
        histogram(FIGURES.get(name or "", rule.name), series, limit=rule.one_limit) if len(rule.values) else None,
        [_left(each, texts) for each in chosen],
        _stayed(rule, chosen, sample, texts, count),
    )


def _chosen(rule: Rule, texts: Mapping[str, str], count: int) -> list[Dropped]:
    """Records that left, to be shown: the nearest to the limit that have a text, of copies first one of each group."""
    ordered = sorted(rule.candidates[: 2 * count], key=lambda record: record.id not in texts)
    of_groups: dict[str, Dropped] = {}
    for record in ordered:
        of_groups.setdefault(record.survivor or record.id, record)
    first = [*of_groups.values()]
    return [*first, *(record for record in ordered if record not in first)][:count]


def _left(record: Dropped, texts: Mapping[str, str]) -> Example:
    measured = "" if record.measured == record.survivor else _value(record.measured)
    note = "" if record.survivor is None else f"a copy of {record.survivor}"
    return Example(record.id, measured, _head(texts.get(record.id)), note)


def _stayed(rule: Rule, left: Sequence[Dropped], sample: Sample, texts: Mapping[str, str], count: int) -> list[Example]:
    """Records on the other side of a rule. What was published has passed every rule of its slice."""
    if rule.copies:
        copied = {each.survivor: rule.copies[each.survivor] for each in left if each.survivor is not None}
        return [
            Example(kept, "", _head(texts.get(kept)), f"{n:,} cop{'y' if n == 1 else 'ies'} of it left")
            for kept, n in copied.items()
        ]
    name, limit = FIELD_OF_RULE.get(rule.name, ""), rule.one_limit
    near = [document for document in sample.documents if limit is not None and name in document.values]
    if limit is not None and near:
        near = heapq.nsmallest(count, near, key=lambda d: (abs(d.values[name] - limit), d.id))
        return [Example(each.id, _value(each.values[name]), _head(each.text)) for each in near]

    def draw(document: Published) -> tuple[int, str]:
        return xxhash.xxh3_64_intdigest(f"{rule.name} {document.id}".encode(), SEED), document.id

    kind = NAME_OF_RULE.get(rule.name, "")
    drawn = heapq.nsmallest(count, sample.documents, key=draw)
    measured = [each.names.get(kind, "") for each in drawn]
    return [
        Example(each.id, value, _head(each.text), "" if value else PASSED)
        for each, value in zip(drawn, measured, strict=True)
    ]


def _likeness(record: Dropped) -> str:
    """How a record that left is like the one that stayed, where that was measured."""
    return f"left, {record.measured:.1%} alike" if isinstance(record.measured, float) else "left"


def _head(text: str | None) -> str | None:
    if text is None:
        return None
    return text if len(text) <= SHOWN else text[:SHOWN] + " [...]"


def _value(value: Any) -> str:
    """A measured value for people: four figures, or the beginning of a text."""
    if isinstance(value, bool) or value is None:
        return "nothing" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)[:VALUE]
