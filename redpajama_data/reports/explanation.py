"""The fate of one record, from the ledgers and the ids of what was published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redpajama_data.engine import receipts
from redpajama_data.engine.inputs import known_name
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.slice_run import RunNote, slices_of
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.root_paths import RUN, WITHIN
from redpajama_data.io.shards import read_jsonl


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
    notes = slices_of(root)
    fates = _fates(root, notes, doc_id)
    path, _, number = doc_id.rpartition("#")
    for note in notes if not fates else ():
        name = known_name(path, root, note.slice)
        if name is not None and name != path:  # another spelling of a file that the root knows
            fates += _fates(root, [note], f"{name}#{number}")
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
    fates = []
    for receipt in among:
        for role, out in receipt.outputs.items():
            kind, _, name = role.partition(":")
            if kind == "drops":
                fates += [
                    Fate(doc_id, receipt.slice, receipt.stage, drop=entry)
                    for entry in read_jsonl(storage.join(root, out.path))
                    if entry["id"] == doc_id
                ]
            elif kind == "ids":
                published = receipt.outputs.get(f"published:{name}" if name else "published")
                if published is None:  # ids that a job keeps for itself, as tokenize does: of no published shard
                    continue
                shard = published.path
                wanted = doc_id.encode()
                lines = iter_lines(storage.join(root, out.path), max_bytes=1 << 20)
                fates += [
                    Fate(doc_id, receipt.slice, receipt.stage, kept=shard, line=number)
                    for number, line in enumerate(lines, 1)
                    if line == wanted
                ]
            elif kind == "joined":  # a part of another record's document: its fate is that document's
                for entry in read_jsonl(storage.join(root, out.path)):
                    if entry["id"] == doc_id:
                        fates += explain(root, entry["document"])
    return fates
