"""What a root says of itself: status, verification, the fate of one record, totals. Read from receipts, ledgers and
ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from redpajama_data import receipts, storage, streams
from redpajama_data.engine import NOTE, RunNote
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.receipts import RUN, WITHIN, Receipt
from redpajama_data.reports.totals import PUBLISHED, SliceTotals
from redpajama_data.shards import read_jsonl


@dataclass
class StageStatus:
    """One stage of a slice: tasks done and quarantined, and the documents through it."""

    stage: str
    tasks: int = 0
    quarantined: int = 0
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass
class SliceStatus:
    """One slice of a root. ``broken`` and ``quarantined`` name what was reported, with the reason."""

    slice: str
    inputs: int
    finished: bool = True
    stages: list[StageStatus] = field(default_factory=list)
    shards: int = 0
    documents: int = 0
    tokens: int = 0
    broken: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)

    def complete(self) -> bool:
        """True when the last run came to its end, nothing was quarantined or broken and every stage has run."""
        return self.finished and not self.broken and not self.quarantined and all(stage.tasks for stage in self.stages)


def slices_of(root: str) -> list[RunNote]:
    """The slices that were run in a root, in the published order. Raises :class:`UsageError` when no run was there."""
    names = [
        name for name in storage.find(storage.join(root, RUN)) if name.count("/") == 1 and name.endswith("/" + NOTE)
    ]
    notes = [storage.read_bytes(storage.join(root, RUN, name)) for name in names]
    found = [msgspec.json.decode(data, type=RunNote) for data in notes if data]
    if not found:
        raise UsageError(f"{root}: no run there. Start one: rpj run --slice github --input ... --root {root}")
    order = list(PUBLISHED)  # the published table's
    return sorted(found, key=lambda note: order.index(note.slice) if note.slice in order else len(order))


def is_published(receipt: Receipt) -> bool:
    """True for the receipt of a task that published a shard."""
    return any(role.split(":")[0] == "published" for role in receipt.outputs)


def status(root: str) -> list[SliceStatus]:
    """How far every slice of a root is. Raises :class:`UsageError` when it is no root of a run."""
    result = []
    for note in slices_of(root):
        shown = SliceStatus(note.slice, note.inputs, note.finished)
        stages = {name: StageStatus(name) for name in note.stages}
        for receipt in receipts.load_all(root, note.slice):
            stage = stages.setdefault(receipt.stage, StageStatus(receipt.stage))
            stage.tasks += 1
            stage.read += receipt.read
            stage.kept += receipt.kept
            for rule, count in receipt.dropped.items():
                stage.dropped[rule] = stage.dropped.get(rule, 0) + count
            if is_published(receipt):
                shown.shards += sum(role.split(":")[0] == "published" for role in receipt.outputs)
                shown.documents += receipt.kept
                shown.tokens += receipt.tokens
            if receipt.broken:
                shown.broken.append(receipt.broken)
        for entry in receipts.quarantined(root, note.slice):
            stages.setdefault(entry.stage, StageStatus(entry.stage)).quarantined += 1
            shown.quarantined.append(f"{entry.stage}/{entry.task}: {entry.reason}")
        shown.stages = list(stages.values())
        result.append(shown)
    return result


def verify(root: str) -> Iterator[tuple[str, str | None]]:
    """Check a root: every receipt balances (read == kept + dropped), its ledger has as many entries, every file it
    names has its size and SHA-256, and no published file is without a receipt.

    Yields (file or receipt, problem or None) one by one.
    """
    for note in slices_of(root):
        known = set()
        for receipt in receipts.load_all(root, note.slice):
            name = f"{receipt.slice}/{receipt.stage}/{receipt.task}"
            yield name, _receipt_problem(receipt)
            for out in receipt.outputs.values():
                known.add(out.path)
                yield out.path, _file_problem(storage.join(root, out.path), out.bytes, out.sha256)
        for name in storage.find(storage.join(root, note.slice)):
            if f"{note.slice}/{name}" not in known:
                yield f"{note.slice}/{name}", "no receipt names this file. Run again to remove it."


def _receipt_problem(receipt: Receipt) -> str | None:
    if not receipt.balanced():
        return f"read {receipt.read}, but kept {receipt.kept} and dropped {sum(receipt.dropped.values())}"
    entries = receipt.outputs["drops"].records if "drops" in receipt.outputs else 0
    if entries != sum(receipt.dropped.values()):
        return f"{sum(receipt.dropped.values())} dropped, but {entries} entries in the ledger"
    return None


def _file_problem(path: str, size: int, sha256: str) -> str | None:
    digest, seen = hashlib.sha256(), 0
    try:
        with storage.open_input(path) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                seen += len(chunk)
    except BrokenInput as error:
        return f"{error.message}"
    if seen != size:
        return f"{seen} bytes, the receipt says {size}. Delete it and run again."
    return None if digest.hexdigest() == sha256 else "SHA-256 differs from the receipt. Delete it and run again."


@dataclass
class Fate:
    """What happened to one raw record: ``kept`` names shard and line (from 1), else the rule, measured value and
    limit."""

    id: str
    slice: str
    stage: str
    kept: str | None = None
    line: int | None = None
    drop: dict[str, Any] | None = None


def explain(root: str, doc_id: str) -> list[Fate]:
    """What happened to the raw record ``<raw path>#<ordinal>``; more than one entry when a record left in parts, or
    when jobs over the shards went on with it.

    Raises :class:`UsageError` when the root knows no such record.
    """
    fates = _fates(root, slices_of(root), doc_id)
    if not fates:
        raise UsageError(
            f"{doc_id}: {root} has no such record. An id is <raw path as given to the run>#<record number from 0>; "
            f"the raw paths are in {storage.join(root, RUN)}/<slice>/inputs.txt."
        )
    return fates


def _fates(root: str, notes: list[RunNote], doc_id: str) -> list[Fate]:
    path = doc_id.rpartition("#")[0]
    fates = []
    for note in notes:
        every = list(receipts.load_all(root, note.slice))
        tasks = {receipt.task for receipt in every if path in receipt.inputs}
        likely = [receipt for receipt in every if receipt.task in tasks]
        rest = [receipt for receipt in every if receipt.task not in tasks]
        fates += _search(root, likely, doc_id) or ([] if path.startswith(WITHIN) else _search(root, rest, doc_id))
    jobs = [note for note in notes if note.kind == "corpus"]
    for fate in list(fates):
        if fate.kept is not None and fate.line is not None:  # its id for the jobs that read that shard
            fates += _fates(root, jobs, f"{WITHIN}{fate.kept}#{fate.line - 1}")
    return fates


def _search(root: str, among: list[Receipt], doc_id: str) -> list[Fate]:
    found = []
    for receipt in among:
        for role, out in receipt.outputs.items():
            kind, _, name = role.partition(":")
            if kind == "drops":
                found += [
                    Fate(doc_id, receipt.slice, receipt.stage, drop=entry)
                    for entry in read_jsonl(storage.join(root, out.path))
                    if entry["id"] == doc_id
                ]
            elif kind == "ids":
                shard = receipt.outputs[f"published:{name}" if name else "published"].path
                wanted = doc_id.encode()
                lines = streams.iter_lines(storage.join(root, out.path), max_bytes=1 << 20)
                found += [
                    Fate(doc_id, receipt.slice, receipt.stage, kept=shard, line=number)
                    for number, line in enumerate(lines, 1)
                    if line == wanted
                ]
            elif kind == "joined":  # a part of another record's document: its fate is that document's
                for entry in read_jsonl(storage.join(root, out.path)):
                    if entry["id"] == doc_id:
                        found += explain(root, entry["document"])
    return found


def root_totals(root: str) -> tuple[list[SliceTotals], set[str]]:
    """The totals of every slice of a root, from its receipts, and the SHA-256 of the tokenizers that counted.

    What jobs over all slices made of them is not counted again: :mod:`redpajama_data.reports.waterfall` shows it.
    """
    totals, tokenizers = [], set()
    for note in slices_of(root):
        if note.kind != "slice":
            continue
        published = [receipt for receipt in receipts.load_all(root, note.slice) if is_published(receipt)]
        by_source: dict[str, int] = {}
        for receipt in published:
            source = receipt.notes.get("source", receipt.inputs[0] if receipt.inputs else receipt.task)
            by_source[source] = by_source.get(source, 0) + receipt.tokens
        tokenizers |= {receipt.tokenizer for receipt in published if receipt.kept}
        totals.append(
            SliceTotals(
                slice=note.slice,
                documents=sum(receipt.kept for receipt in published),
                bytes=sum(receipt.bytes for receipt in published),
                characters=sum(receipt.characters for receipt in published),
                tokens=sum(receipt.tokens for receipt in published),
                shard_tokens=list(by_source.values()),
                source_shards=note.source_shards,
            )
        )
    return totals, tokenizers
