"""What a root says of itself: status, verification, totals. Read from receipts and ledgers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from redpajama_data.engine import receipts
from redpajama_data.engine.ownership import NOTE
from redpajama_data.engine.receipts import Receipt, is_published
from redpajama_data.engine.slice_run import UNREADABLE, no_run, notes_of, slices_of
from redpajama_data.errors import InputUnavailable, UsageError
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN
from redpajama_data.reports.totals import SliceTotals


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
    """One slice of a root. ``broken``, ``defects`` and ``quarantined`` name what was reported, with the reason."""

    slice: str
    inputs: int
    finished: bool = True
    stages: list[StageStatus] = field(default_factory=list)
    shards: int = 0
    documents: int = 0
    tokens: int = 0
    broken: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)

    def complete(self) -> bool:
        """True when the last run came to its end, nothing was quarantined or broken, no step raised, and every stage
        has run."""
        wrong = self.broken or self.defects or self.quarantined
        return self.finished and not wrong and all(stage.tasks for stage in self.stages)


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
            shown.broken += receipt.broken
            shown.defects += [f"{receipt.stage}/{receipt.task}: {named}" for named in receipt.defects]
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
    notes = notes_of(root)
    if not notes:
        raise no_run(root)
    for slice_name, note in notes.items():
        if note is None:
            yield storage.join(RUN, slice_name, NOTE), UNREADABLE
        known = set()
        for path, receipt in receipts.load_states(root, slice_name):
            if receipt is None:
                yield path, "cannot be read. Run again: the task is done anew."
            if not isinstance(receipt, Receipt):
                continue
            yield f"{receipt.slice}/{receipt.stage}/{receipt.task}", _receipt_problem(receipt)
            for out in receipt.outputs.values():
                known.add(out.path)
                yield out.path, _file_problem(storage.join(root, out.path), out.bytes, out.sha256)
        for name in storage.find(storage.join(root, slice_name)):
            if f"{slice_name}/{name}" not in known:
                yield (
                    f"{slice_name}/{name}",
                    "no receipt names this file. Runs leave it alone: remove it if not wanted.",
                )


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
        storage.stat(path)
    except UsageError:
        return "no such file. Run again: it is made anew."
    try:
        with storage.open_input(path) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                seen += len(chunk)
    except InputUnavailable as error:
        return str(error)
    if seen != size:
        return f"{seen} bytes, the receipt says {size}. Delete it and run again."
    return None if digest.hexdigest() == sha256 else "SHA-256 differs from the receipt. Delete it and run again."


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
