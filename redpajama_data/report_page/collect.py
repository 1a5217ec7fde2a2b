"""All that a page about a root says, as plain data, read from its receipts, ledgers and a sample of its documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from redpajama_data.document import Reader
from redpajama_data.engine import receipts, tombstones
from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.engine.slice_run import RunNote, slices_of
from redpajama_data.io import storage
from redpajama_data.release.description import Facts
from redpajama_data.report_page import documents, drops, examples
from redpajama_data.report_page.compare import Comparison, compare
from redpajama_data.report_page.documents import FIGURES, TOPS, Sample
from redpajama_data.report_page.examples import Cluster, RuleShown
from redpajama_data.report_page.histogram import Histogram, Series, histogram
from redpajama_data.report_page.signals import signals_of
from redpajama_data.report_page.texts import Places
from redpajama_data.report_page.trouble import Trouble, troubles
from redpajama_data.reports import against_table, waterfall_table
from redpajama_data.reports.against import explain_gaps
from redpajama_data.reports.count import count_totals
from redpajama_data.reports.published import REFERENCES
from redpajama_data.reports.root_status import root_totals
from redpajama_data.reports.stage_costs import StageCost, stage_costs
from redpajama_data.reports.totals_table import summary
from redpajama_data.reports.waterfall import waterfalls

TOP = 12  # names in a table of the most frequent


@dataclass(frozen=True)
class Top:
    """The most frequent names of a kind in a sample: (name, documents); ``others`` are the documents of the rest."""

    title: str
    names: list[tuple[str, int]]
    others: int
    documents: int


@dataclass(frozen=True)
class Part:
    """A slice, or a job over the shards of all slices; ``sampled`` ``of`` its documents were looked at."""

    name: str
    summary: str
    rules: list[RuleShown]
    sampled: int
    of: int
    shards: int
    figures: list[Histogram]
    tops: list[Top]


@dataclass(frozen=True)
class Repairs:
    """The repairs of the published recipe that a slice knows: (name, what is wrong, whether it was on)."""

    slice: str
    known: list[tuple[str, str, bool]]


@dataclass(frozen=True)
class Report:
    """A page. ``totals`` and ``waterfalls`` are as in ``rpj count-tokens --json``, ``gaps`` by name of the reference as
    its ``against``; ``against`` is what :mod:`redpajama_data.report_page.compare` says of another root. ``bytes`` are
    those of the page, 0 before it is made."""

    totals: dict[str, Any]
    waterfalls: list[dict[str, Any]]
    gaps: dict[str, dict[str, Any]]
    slices: list[Part]
    jobs: list[Part]
    clusters: list[Cluster]
    overlap: dict[str, Any] | None
    repairs: list[Repairs]
    signals: list[Histogram]
    stages: list[StageCost]
    trouble: list[Trouble]
    examples: int
    against: Comparison | None = None
    bytes: int = 0


def collect(
    root: str,
    facts: Mapping[str, Facts],
    readers: Mapping[str, Reader],
    *,
    count: int = 2,
    against: str | None = None,
) -> Report:
    """All that is said of ``root``. ``count`` examples are shown of a rule on each side of its limit; 0: no text of any
    document. ``readers`` read the raw files of slices, for the texts of records that left at once; ``against`` is
    another root.

    Raises :class:`UsageError` when it is no root of a run, :class:`BrokenInput` for a damaged shard or ledger.
    """
    notes = slices_of(root)
    totals, counted_by = count_totals([root], None)
    every = {note.slice: list(receipts.load_all(root, note.slice)) for note in notes}
    places = Places(root, readers, forgotten=tombstones.of(tombstones.load(root)))
    for note in notes:
        places.base[note.slice] = note.base
        if note.kind != "slice":
            places.jobs.add(note.slice)
        for receipt in every[note.slice]:
            places.add(receipt)
    rules = {name: drops.rules_of(root, own) for name, own in every.items()}
    samples = {note.slice: documents.sample(root, _published(every[note.slice])) for note in notes}
    shown, clusters = examples.shown(places, rules, samples, count)
    by = root_totals(root)[1]

    return Report(
        totals=summary(totals, counted_by),
        waterfalls=waterfall_table.plain(waterfalls(root)),
        gaps={
            name: against_table.plain(explain_gaps(root, totals, by, reference), reference)
            for name, reference in REFERENCES.items()
        },
        slices=[_part(note, facts, shown, samples) for note in notes if note.kind == "slice"],
        jobs=[_part(note, facts, shown, samples) for note in notes if note.kind == "corpus"],
        clusters=clusters,
        overlap=_overlap(root, every.get("overlap", [])),
        repairs=[
            _repairs(note, facts[note.slice]) for note in notes if note.slice in facts and facts[note.slice].repairs
        ],
        signals=signals_of(root, every.get("signals", [])),
        stages=stage_costs(root, notes, every),
        trouble=troubles(root, notes, every),
        examples=count,
        against=None if against is None else compare(root, against),
    )


def fewer(report: Report) -> Report:
    """The report with half as many examples and clusters."""
    count = report.examples // 2

    def cut(part: Part) -> Part:
        rules = [replace(rule, dropped=rule.dropped[:count], kept=rule.kept[:count]) for rule in part.rules]
        return replace(part, rules=rules)

    return replace(
        report,
        slices=[*map(cut, report.slices)],
        jobs=[*map(cut, report.jobs)],
        clusters=report.clusters[: 2 * count],
        examples=count,
    )


def _published(every: Sequence[Receipt]) -> list[Output]:
    found = [out for r in every for role, out in r.outputs.items() if role.partition(":")[0] == "published"]
    return sorted(found, key=lambda out: out.path)


def _part(
    note: RunNote, facts: Mapping[str, Facts], shown: Mapping[str, list[RuleShown]], samples: Mapping[str, Sample]
) -> Part:
    sample = samples[note.slice]
    about = facts[note.slice].summary if note.slice in facts else ""
    own = FIGURES if note.kind == "slice" else {"quality_score": FIGURES["quality_score"]}  # the rest is as before
    return Part(
        note.slice,
        about,
        shown[note.slice],
        len(sample.documents),
        sample.of,
        sample.shards,
        list(filter(None, (_figure(sample, name, title) for name, title in own.items()))),
        [top for name, title in TOPS.items() if (top := _top(sample, name, title))] if note.kind == "slice" else [],
    )


def _figure(sample: Sample, name: str, title: str) -> Histogram | None:
    values = [document.values[name] for document in sample.documents if name in document.values]
    return histogram(title, [Series("kept", values, sample.of / len(sample.documents))]) if values else None


def _top(sample: Sample, name: str, title: str) -> Top | None:
    counts = Counter(document.names[name] for document in sample.documents if name in document.names)
    if not counts:
        return None
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Top(title, ordered[:TOP], sum(count for _, count in ordered[TOP:]), counts.total())


def _overlap(root: str, every: Sequence[Receipt]) -> dict[str, Any] | None:
    """What ``rpj overlap`` has found in this root, as its JSON; None when it did not run."""
    for receipt in every:
        if "overlap" in receipt.outputs:
            found: dict[str, Any] = msgspec.json.decode(
                storage.read_bytes(storage.join(root, receipt.outputs["overlap"].path)) or b"{}"
            )
            return found
    return None


def _repairs(note: RunNote, facts: Facts) -> Repairs:
    on = set(note.settings.get("repairs") or ())
    return Repairs(note.slice, [(name, wrong, name in on) for name, wrong in facts.repairs])
