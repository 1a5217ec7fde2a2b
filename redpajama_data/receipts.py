"""Receipts: what a finished task read, kept, dropped and wrote. A run's receipts are its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from redpajama_data import storage

RUN = "_run"  # everything of a root that is not a published shard lies below ROOT/_run
WITHIN = "root:/"  # a path below the root itself, wherever that lies: equal runs in two roots leave equal receipts


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that a task wrote. ``path`` is relative to the root; ``records`` counts its lines or rows.

    ``text_bytes`` (UTF-8) and ``tokens`` are those of the texts of a published shard.
    """

    path: str
    bytes: int
    sha256: str
    records: int
    text_bytes: int = 0
    tokens: int = 0


class Sample(msgspec.Struct, array_like=True):
    """Some of the texts that a rule dropped in a task (see :mod:`redpajama_data.drop_sample`): how many, their bytes
    (UTF-8) and tokens."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0


class Receipt(msgspec.Struct):
    """One finished task. ``read == kept + sum(dropped.values())``, always.

    ``read_bytes``, ``bytes`` and ``dropped_bytes`` are UTF-8 bytes of texts: of those read, of those kept, and of those
    that each rule dropped, as they were when they came to the steps; steps that change texts make up the difference. A
    record that never became a document has no text. ``characters`` and ``tokens`` are those of the texts of a published
    shard, counted by ``tokenizer``; ``samples`` estimate the tokens of what each rule dropped, counted by
    ``sample_tokenizer`` ("" when nothing counted). ``raw_bytes`` is the size of the raw file read. ``broken`` is the
    reason why a raw file could not be read to its end. ``notes`` is what a stage tells the stages that read it,
    ``rank`` the task's place in its stage. No times and no host names: equal work gives equal receipts.
    """

    slice: str
    stage: str
    task: str
    rank: int
    lineage: str
    inputs: list[str] = []
    outputs: dict[str, Output] = {}
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}
    dropped_bytes: dict[str, int] = {}
    samples: dict[str, Sample] = {}
    sample_tokenizer: str = ""
    raw_bytes: int = 0
    read_bytes: int = 0
    bytes: int = 0
    characters: int = 0
    tokens: int = 0
    tokenizer: str = ""
    broken: str | None = None
    notes: dict[str, Any] = {}

    def balanced(self) -> bool:
        """True when every document read is kept or in the ledger."""
        return self.read == self.kept + sum(self.dropped.values())


class Quarantine(msgspec.Struct):
    """A task that could not be done: why, and what to do. The next run tries it again."""

    slice: str
    stage: str
    task: str
    inputs: list[str]
    reason: str
    detail: str = ""


def locate(root: str, path: str) -> str:
    """The full path of an input: one that begins with :data:`WITHIN` lies in the root."""
    return storage.join(root, path.removeprefix(WITHIN)) if path.startswith(WITHIN) else path


def task_path(root: str, slice_name: str, stage: str, task: str, ending: str) -> str:
    """Where a task's file of that ending lies: ``ROOT/_run/<slice>/<stage>/<task>.<ending>``."""
    return storage.join(root, RUN, slice_name, stage, f"{task}.{ending}")


def save(root: str, receipt: Receipt) -> None:
    """Write a receipt; always the last file of a task."""
    path = task_path(root, receipt.slice, receipt.stage, receipt.task, "receipt.json")
    storage.write_bytes(path, msgspec.json.format(msgspec.json.encode(receipt), indent=1) + b"\n")


def load(root: str, slice_name: str, stage: str, task: str) -> Receipt | None:
    """A task's receipt, or None when there is none (or none that can be read: then the task is done again)."""
    data = storage.read_bytes(task_path(root, slice_name, stage, task, "receipt.json"))
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=Receipt)
    except msgspec.DecodeError:
        return None


def load_all(root: str, slice_name: str | None = None) -> Iterator[Receipt]:
    """Every receipt of a root (of one slice), sorted by slice, stage and task."""
    yield from _load_ending(root, slice_name, ".receipt.json", Receipt)


def quarantined(root: str, slice_name: str | None = None) -> Iterator[Quarantine]:
    """Every quarantine entry of a root (of one slice), sorted."""
    yield from _load_ending(root, slice_name, ".quarantine.json", Quarantine)


def _load_ending(root: str, slice_name: str | None, ending: str, kind: Any) -> Iterator[Any]:
    base = storage.join(root, RUN, *([slice_name] if slice_name else []))
    for name in storage.find(base):
        if name.endswith(ending) and storage.TMP_MARK not in name:
            data = storage.read_bytes(storage.join(base, name))
            if data is not None:
                yield msgspec.json.decode(data, type=kind)


def sum_drops(receipts: Iterable[Receipt]) -> dict[str, int]:
    """Drops by rule over receipts, in order of first appearance."""
    total: dict[str, int] = {}
    for receipt in receipts:
        for rule, count in receipt.dropped.items():
            total[rule] = total.get(rule, 0) + count
    return total
