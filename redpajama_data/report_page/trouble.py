"""What is wrong in a root, and what to do: quarantined tasks, damaged raw files, defects, runs that did not end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.slice_run import RunNote

NAMED = 50  # troubles of a kind that a page names, of one slice

_DO = {
    "quarantined": "Mend what the reason says, then run the same command again: only what is missing is done.",
    "broken": "Fetch the file again, then run again. If its bytes did not change: rpj run ... --retry-broken",
    "defect": "Please report it with the record: rpj explain ROOT ID says where it lies. The others were not touched.",
    "unfinished": "The last run did not come to its end. Run the same command again: it goes on where it was.",
    "missing stage": "It needs all of an earlier stage. Mend what is quarantined there, then run again.",
}


@dataclass(frozen=True)
class Trouble:
    """One kind of trouble of a slice or job: what (at most :data:`NAMED`), how many, and what to do."""

    owner: str
    kind: str
    count: int
    what: list[str]
    todo: str


def troubles(root: str, notes: Iterable[RunNote], every: Mapping[str, Sequence[Receipt]]) -> list[Trouble]:
    """All that is wrong in a root, slice by slice; empty when it is whole."""
    found = []
    for note in notes:
        own = every[note.slice]
        done = {receipt.stage for receipt in own}
        tasks = [f"{e.stage}/{e.task}: {e.reason}" for e in receipts.quarantined(root, note.slice)]
        kinds = {
            "quarantined": tasks,
            "broken": [place for receipt in own for place in receipt.broken],
            "defect": [f"{r.stage}/{r.task}: {named}" for r in own for named in r.defects],
            "unfinished": [] if note.finished else [note.slice],
            "missing stage": [stage for stage in note.stages if stage not in done and note.finished],
        }
        for kind, what in kinds.items():
            if what:
                found.append(Trouble(note.slice, kind, len(what), what[:NAMED], _DO[kind]))
    return found
