"""Rules and copies as they are shown: each rule's values about its limit, records on both sides, texts side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redpajama_data.report_page import drops
from redpajama_data.report_page.documents import FIELD_OF_RULE, FIGURES, Sample
from redpajama_data.report_page.drops import Dropped, Rule
from redpajama_data.report_page.histogram import Histogram, Series, histogram
from redpajama_data.report_page.texts import Places, texts_of

SHOWN = 480  # characters of a text that are shown
VALUE = 160  # ... of a measured value, which may be a name or a message


@dataclass(frozen=True)
class Example:
    """A record near a limit. ``text`` is the head of its text as it came to the rule; None when it was not found."""

    id: str
    measured: str
    text: str | None


@dataclass(frozen=True)
class RuleShown:
    """A rule: ``count`` records dropped, ``seen`` of them in the ledgers that were read; their values with those of the
    kept documents (``figure``), and the records nearest to the limit on both sides."""

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
    wanted = [record.id for rule in every for record in rule.candidates[: 2 * count]]
    wanted += [name for _, kept, _, leaving in groups for name in (kept, leaving[0].id)]
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


def _shown(rule: Rule, sample: Sample, texts: Mapping[str, str], count: int) -> RuleShown:
    name, limit = FIELD_OF_RULE.get(rule.name), rule.one_limit
    kept = [document for document in sample.documents if name in document.values]
    values = [document.values[name] for document in kept] if name is not None else []
    series = [Series("dropped", rule.values, rule.count / rule.seen if rule.seen else 1.0)]
    if values:
        series.append(Series("kept", values, sample.of / len(sample.documents)))
    near = sorted(kept, key=lambda d: (abs(d.values[name or ""] - limit), d.id))[:count] if limit is not None else []
    with_text = sorted(rule.candidates[: 2 * count], key=lambda record: record.id not in texts)
    return RuleShown(
        rule.owner,
        rule.stage,
        rule.name,
        rule.count,
        rule.seen,
        [text[:VALUE] for text in sorted(rule.limits)],
        histogram(FIGURES.get(name or "", rule.name), series, limit=limit) if len(rule.values) else None,
        [Example(each.id, _value(each.measured), _head(texts.get(each.id))) for each in with_text[:count]],
        [Example(each.id, _value(each.values[name or ""]), _head(each.text)) for each in near],
    )


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
