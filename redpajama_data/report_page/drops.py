"""What the drop ledgers say of each rule: the values it measured, its limits, some records, and who stayed instead."""

from __future__ import annotations

import heapq
import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import xxhash

from redpajama_data.engine.receipts import Receipt
from redpajama_data.io import storage
from redpajama_data.io.shards import read_jsonl
from redpajama_data.report_page.documents import SEED, drawn
from redpajama_data.report_page.texts import RECORDS

LEDGERS, ENTRIES = 64, 20_000  # most ledgers of a stage, and entries of each, that are read
MOST_EXAMPLES = 20  # records of a rule that are shown on each side
CANDIDATES = 24  # ... and held, since some may have no text to be found
LIMITS = 8  # different limits of a rule that are named
COPIES = {"duplicate", "near_duplicate_book"}  # rules whose measured value is the id of the record that stayed


@dataclass(frozen=True)
class Dropped:
    """A record that a rule dropped. ``reads`` are the files that its task read."""

    id: str
    measured: Any
    limit: Any
    reads: tuple[str, ...]
    survivor: str | None = None


_Ranked = tuple[bool, float, str, int, Dropped]  # what is shown first is largest; no two have the first four alike


@dataclass
class Rule:
    """A rule of a stage of a slice or job (``owner``): how many records it dropped by the receipts, ``seen`` in the
    ledgers that were read, and what those say. ``copies`` counts the records that left for each one that stayed."""

    owner: str
    stage: str
    name: str
    count: int = 0
    seen: int = 0
    values: array[float] = field(default_factory=lambda: array("d"))
    limits: Counter[str] = field(default_factory=Counter)
    limit: float | None = None
    candidates: list[Dropped] = field(default_factory=list)
    copies: Counter[str] = field(default_factory=Counter)
    leaving: dict[str, list[Dropped]] = field(default_factory=dict)

    @property
    def one_limit(self) -> float | None:
        """The limit, when it is one number for all records."""
        return self.limit if len(self.limits) == 1 else None


def rules_of(root: str, every: Iterable[Receipt]) -> list[Rule]:
    """The rules of a slice or job by its receipts, those of a stage together, the one that dropped most first.

    Raises :class:`BrokenInput` for a damaged ledger.
    """
    found: dict[tuple[str, str], Rule] = {}
    stages: dict[str, list[Receipt]] = {}
    for receipt in every:
        stages.setdefault(receipt.stage, []).append(receipt)
        for name, count in receipt.dropped.items():
            rule = found.setdefault((receipt.stage, name), Rule(receipt.slice, receipt.stage, name))
            rule.count += count
    for stage, receipts in stages.items():
        by_path = {r.outputs["drops"].path: r for r in receipts if "drops" in r.outputs}
        heaps: dict[str, list[_Ranked]] = {}
        for path in drawn(list(by_path))[:LEDGERS]:
            for entry in itertools.islice(read_jsonl(storage.join(root, path)), ENTRIES):
                name = entry["rule"]
                rule = found.setdefault((stage, name), Rule(by_path[path].slice, stage, name))
                record = _record(entry, by_path[path])
                _see(rule, record)
                heap = heaps.setdefault(name, [])
                item = (_within_reach(record.id), -_distance(record), record.id, rule.seen, record)
                if len(heap) < CANDIDATES:
                    heapq.heappush(heap, item)
                elif item > heap[0]:
                    heapq.heapreplace(heap, item)
        for name, heap in heaps.items():
            found[stage, name].candidates = [item[-1] for item in sorted(heap, reverse=True)]
    place = {stage: n for n, stage in enumerate(stages)}
    return sorted(found.values(), key=lambda rule: (place[rule.stage], -rule.count, rule.name))


def _within_reach(id: str) -> bool:
    """Whether a text is looked for, as far as the place of a record in its file goes."""
    number = id.rpartition("#")[2]
    return number.isdigit() and int(number) < RECORDS


def _record(entry: dict[str, Any], receipt: Receipt) -> Dropped:
    survivor = entry.get("survivor")
    if survivor is None and entry["rule"] in COPIES and isinstance(entry["measured"], str):
        survivor = entry["measured"]
    return Dropped(entry["id"], entry["measured"], entry["limit"], tuple(receipt.inputs[:8]), survivor)


def _see(rule: Rule, record: Dropped) -> None:
    rule.seen += 1
    if record.limit is not None and (len(rule.limits) < LIMITS or str(record.limit) in rule.limits):
        rule.limits[str(record.limit)] += 1
        if is_number(record.limit):
            rule.limit = float(record.limit)
    if is_number(record.measured):
        rule.values.append(float(record.measured))
    if record.survivor is not None:
        rule.copies[record.survivor] += 1
        leaving = rule.leaving.setdefault(record.survivor, [])
        if len(leaving) < 2:
            leaving.append(record)


def _distance(record: Dropped) -> float:
    """How far a record is from its limit; of those without a number, a draw: the same in every run."""
    if is_number(record.measured) and is_number(record.limit):
        return abs(float(record.measured) - float(record.limit))
    return xxhash.xxh3_64_intdigest(record.id.encode(), SEED) / (1 << 64)


def is_number(value: Any) -> bool:
    """True for a number that is one: no bool, no NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def most_copied(rule: Rule, most: int) -> dict[str, int]:
    """The records that stayed of the ``most`` largest groups of copies of a rule, and how many left for each."""
    return dict(sorted(rule.copies.items(), key=lambda item: (-item[1], item[0]))[:most])


def clusters(rules: Iterable[Rule], most: int) -> Iterator[tuple[Rule, str, int, list[Dropped]]]:
    """The ``most`` largest groups of copies of each rule: the rule, the record that stayed, how many left for it, and
    some of those; the largest first."""
    groups = []
    for rule in rules:
        groups += [(count, kept, rule) for kept, count in most_copied(rule, most).items()]
    for count, kept, rule in sorted(groups, key=lambda group: (-group[0], group[2].owner, group[1])):
        yield rule, kept, count, rule.leaving[kept]
