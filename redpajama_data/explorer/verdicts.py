"""What jobs over the shards made of the documents of a map: dropped as a duplicate, by a score, by a condition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def verdicts(root: str, of: Map) -> dict[str, list[Verdict]]:
    """The verdicts on the documents of a map, by id (``root:/c4/NAME.jsonl.zst#17``), from the ledgers of the jobs that
    read the same shards; a document without one stayed in all of them."""
    wanted = {f"{of.shards[shard]}#{line}" for shard, line in of.points[["shard", "line"]].tolist()}
    shards = {path for path in of.shards if path.startswith(WITHIN)}
    found: dict[str, list[Verdict]] = {}
    for note in slices_of(root):
        if note.kind != "corpus":
            continue
        for receipt in receipts.load_all(root, note.slice):
            if "drops" not in receipt.outputs or shards.isdisjoint(receipt.inputs):
                continue
            for entry in read_jsonl(storage.join(root, receipt.outputs["drops"].path)):
                if entry["id"] in wanted:
                    verdict = (f"{note.slice}: {entry['rule']}", _said(entry))
                    found.setdefault(entry["id"], []).append(verdict)
    return found


def _said(entry: dict[str, Any]) -> str:
    more: Iterable[str] = (f", {key} {value}" for key, value in entry.items() if key not in _KNOWN)
    return f"measured {entry['measured']}, limit {entry['limit']}{''.join(more)}"


def kind_of(found: Sequence[Verdict]) -> str:
    """What a document is coloured by: the first verdict."""
    return found[0][0] if found else "stayed"
