"""What jobs over the shards made of the documents of a map: dropped as a duplicate, by a score, by a condition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redpajama_data.engine import receipts
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.explorer.points import Map
from redpajama_data.io import storage
from redpajama_data.io.root_paths import WITHIN
from redpajama_data.io.shards import read_jsonl

Verdict = tuple[str, str]
"""The job with its rule, ``fuzzy: near_duplicate``; and all that its ledger says, in a line."""
_KNOWN = ("id", "rule", "measured", "limit")
COPIES = 20  # copies of a document that are named


@dataclass
class Verdicts:
    """By id (``root:/c4/NAME.jsonl.zst#17``) the verdicts on a document, and the ids of those that left as its copies,
    some of many. ``jobs``: whether any job read the same shards; a document without a verdict stayed in all of them.
    """

    of: dict[str, list[Verdict]] = field(default_factory=dict)
    copies: dict[str, list[str]] = field(default_factory=dict)
    jobs: bool = False


def verdicts(root: str, of: Map) -> Verdicts:
    """The verdicts on the documents of a map, from the ledgers of the jobs that read the same shards."""
    wanted = {f"{of.shards[shard]}#{line}" for shard, line in of.points[["shard", "line"]].tolist()}
    shards = {path for path in of.shards if path.startswith(WITHIN)}
    found = Verdicts()
    for note in slices_of(root):
        if note.kind != "corpus":
            continue
        for receipt in receipts.load_all(root, note.slice):
            if "drops" not in receipt.outputs or shards.isdisjoint(receipt.inputs):
                continue
            for entry in read_jsonl(storage.join(root, receipt.outputs["drops"].path)):
                found.jobs = True
                if entry["id"] in wanted:
                    found.of.setdefault(entry["id"], []).append((f"{note.slice}: {entry['rule']}", said(entry)))
                stayed = entry.get("survivor", entry["measured"])
                if isinstance(stayed, str) and stayed in wanted:
                    copies = found.copies.setdefault(stayed, [])
                    if len(copies) < COPIES and entry["id"] not in copies:
                        copies.append(entry["id"])
    return found


def said(entry: dict[str, Any]) -> str:
    """What a ledger says of a record, in a line."""
    more: Iterable[str] = (f", {key} {value}" for key, value in entry.items() if key not in _KNOWN)
    return f"measured {entry['measured']}, limit {entry['limit']}{''.join(more)}"


def kind_of(found: Sequence[Verdict]) -> str:
    """What a document is coloured by: the first verdict."""
    return found[0][0] if found else "stayed"
