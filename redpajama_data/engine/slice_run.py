"""What a run of a slice is of, and what came of it."""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import msgspec

from redpajama_data.engine.environment import Environment
from redpajama_data.engine.ownership import NOTE
from redpajama_data.engine.receipts import Quarantine, Receipt
from redpajama_data.engine.stages import Kind
from redpajama_data.errors import NOT_JSON, UsageError
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN

UNREADABLE = "cannot be read. Run the slice or job again as before: it is written anew."
ORDER = ("common_crawl", "c4", "github", "books", "arxiv", "wikipedia", "stackexchange")  # of the published table


class RunNote(msgspec.Struct):
    """What a run is of, for those who read its root: stages in order, how many raw files, how many the whole source
    has. ``kind`` as in :class:`~redpajama_data.engine.stages.Slice`; ``settings`` without the inputs; ``models`` (base
    name, SHA-256) are those that the tasks of the last finished run were bound to. ``base`` is the folder that relative
    names of raw files are relative to; ``environments`` are those in which the tasks were done."""

    slice: str
    revision: int
    stages: list[str]
    inputs: int
    source_shards: int | None
    kind: Kind = "slice"
    settings: dict[str, Any] = {}
    models: list[tuple[str, str]] = []
    finished: bool = True  # False from the start of a run to its end
    base: str = ""
    environments: list[Environment] = []


@dataclass
class SliceRun:
    """What one run did to a slice: all receipts of its stages, how many tasks were done now, and what is wrong.

    ``left_out`` are the stages that did not run because one they need whole has a quarantined task. ``foreign`` are
    files in the slice's folders that are not the root's: nobody touches them.
    """

    slice: str
    receipts: dict[str, list[Receipt]] = field(default_factory=dict)
    done_now: int = 0
    skipped: int = 0
    quarantined: list[Quarantine] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    foreign: list[str] = field(default_factory=list)

    def all_receipts(self) -> list[Receipt]:
        """Receipts of every stage, in stage order."""
        return [receipt for stage in self.receipts.values() for receipt in stage]

    def defects(self) -> list[str]:
        """The records on which a step raised, with their tasks: at most as many of each as its receipt names."""
        return [f"{r.slice}/{r.stage}/{r.task}: {named}" for r in self.all_receipts() for named in r.defects]

    def broken(self) -> list[Receipt]:
        """Receipts of shards whose raw file could not be read to its end."""
        return [receipt for receipt in self.all_receipts() if receipt.broken]


def notes_of(root: str) -> dict[str, RunNote | None]:
    """What every slice of a root was run as, in the published order; None for a note that cannot be read."""
    names = [name for name in storage.find(storage.join(root, RUN), depth=2) if name.endswith("/" + NOTE)]
    notes = {posixpath.dirname(name): decoded_note(storage.read_bytes(storage.join(root, RUN, name))) for name in names}
    return {name: notes[name] for name in sorted(notes, key=lambda name: ORDER.index(name) if name in ORDER else 99)}


def decoded_note(data: bytes | None) -> RunNote | None:
    """A note by the bytes of its file; None when there is none that can be read."""
    try:
        return msgspec.json.decode(data or b"", type=RunNote)
    except NOT_JSON:
        return None


def slices_of(root: str, *, rerun: Collection[str] = ()) -> list[RunNote]:
    """The slices that were run in a root, in the published order.

    A note that cannot be read is passed over when a run of that slice is about to write it anew (``rerun``). Raises
    :class:`UsageError` for any other one, since nothing says then what is missing, and when no run was there.
    """
    notes = notes_of(root)
    for name, note in notes.items():
        if note is None and name not in rerun:
            raise UsageError(f"{storage.join(root, RUN, name, NOTE)} {UNREADABLE}")
    if not notes:
        raise no_run(root)
    return [note for note in notes.values() if note is not None]


def no_run(root: str) -> UsageError:
    """What is said of a folder that is no root."""
    return UsageError(
        f"{root}: no run there. Start one: rpj run --all --root {root} (rpj sample gives raw files to try it)"
    )
