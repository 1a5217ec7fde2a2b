"""What a run removes at its beginning and end: its own files that are unfinished, or that nothing names any more."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from redpajama_data.engine import ownership, receipts
from redpajama_data.engine.ownership import COSTS, INPUTS, NOTE, Holdings
from redpajama_data.engine.receipts import Begun, Receipt
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import Slice, Stage
from redpajama_data.io import root_paths, storage
from redpajama_data.io.root_paths import RUN


def remove_unfinished(root: str, held: Holdings) -> None:
    """Remove the temporary files of killed runs; nobody else can be writing, the root is held."""
    for path in held.files:
        if storage.is_unfinished(path):
            storage.remove(storage.join(root, path))


def remove_stale(root: str, part: Slice, stages: Sequence[Stage], result: SliceRun, before: Holdings) -> None:
    """Remove the root's own files that no receipt of this run names: those of other recipes, removed inputs, failures.

    What this run could not even try stays, as it has nothing to put in its place: all of a stage that was left out, and
    the tasks of a stage that would have gone on with a task that is quarantined.
    """
    named = {out.path for receipt in result.all_receipts() for out in receipt.outputs.values()}
    keep = named | {f"{RUN}/{part.name}/{name}" for name in (INPUTS, NOTE, COSTS, ownership.NAMED)}
    for receipt in result.all_receipts():
        keep.add(root_paths.task_path("", part.name, receipt.stage, receipt.task, "receipt.json"))
    for entry in result.quarantined:
        keep.add(root_paths.task_path("", part.name, entry.stage, entry.task, "quarantine.json"))
        state = receipts.load_state(root, part.name, entry.stage, entry.task)
        if isinstance(state, Begun):
            named.update(state.begun)
            if result.left_out:  # what it names stays, in folders that are kept: so must the word that it is the root's
                keep.add(root_paths.task_path("", part.name, entry.stage, entry.task, "receipt.json"))
    for receipt in _waiting(stages, result, before):
        keep |= {out.path for out in receipt.outputs.values()}
        keep.add(root_paths.task_path("", part.name, receipt.stage, receipt.task, "receipt.json"))
    kept_folders = [f"{RUN}/{part.name}/{stage}/" for stage in result.left_out]
    if result.left_out:
        kept_folders.append(f"{part.name}/")
    now = replace(before, files=ownership.listed(root, part.name))
    for path in sorted(ownership.own_files(now, named) - keep):
        if not path.startswith(tuple(kept_folders)):
            storage.remove(storage.join(root, path))
    if not result.left_out:  # else what it names may still lie in the folders that are kept
        ownership.forget_named(root, now)


def _waiting(stages: Sequence[Stage], result: SliceRun, before: Holdings) -> Iterator[Receipt]:
    """The receipts of an earlier run whose tasks could not be planned now, because a task of an earlier stage that they
    are named after is quarantined."""
    failed: dict[str, set[str]] = {stage.name: set() for stage in stages}
    for entry in result.quarantined:
        failed[entry.stage].add(entry.task)
    for stage in stages:  # in their order: what waits for a stage waits for those that it waits for
        upstream = set().union(*(failed[name] for name in stage.reads))
        failed[stage.name] |= upstream
        if not upstream:
            continue
        known = upstream.union(task for name, task in before.receipts if name in stage.reads)
        now = {receipt.task for receipt in result.receipts.get(stage.name, ())}
        for (name, task), receipt in before.receipts.items():
            if name == stage.name and task not in now and _named_after(task, known) in upstream:
                yield receipt


def _named_after(task: str, known: Collection[str]) -> str | None:
    """Which of the known tasks a task goes on with, by its name: the same, or the same and numbers of its own. Of
    ``x`` and ``x-1`` it is the longer name: the raw files of both may be there."""
    while task not in known:
        task, numbered = re.subn(r"-\d+$", "", task)
        if not numbered:
            return None
    return task
