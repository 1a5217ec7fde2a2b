"""The stage between verdicts and the tasks that apply them: for each shard its copies, named by raw file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy.typing as npt

from redpajama_data.dedup import equal_keys
from redpajama_data.dedup.copies import COPY_ROW, Copies, read_part, write_part
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.stages import Planned, Stage, StageInput, outputs
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import read_names

SHARDS_A_TASK = 64  # their copies are one file, made with two looks at each file of verdicts


def copies_stage(name: str, *, reads: str, verdicts: str) -> Stage:
    """One task for some shards that the stage ``reads`` has read: :func:`copies_work`."""

    def plan_tasks(given: StageInput) -> list[Planned]:
        decided = outputs(given.receipts[verdicts], "verdicts")
        shards = [(receipt.rank, receipt.task) for receipt in given.receipts[reads]]
        work = partial(copies_work, inputs=given.inputs_file.path, verdicts=[out.path for out in decided])
        return per_group("copies", work, shards, [given.inputs_file, *decided])

    return Stage(name, plan_tasks, (reads, verdicts), whole=(verdicts,))


def per_group(name: str, work: partial[None], shards: Sequence[Any], reads: Sequence[Output]) -> list[Planned]:
    """One task for each :data:`SHARDS_A_TASK` shards: ``work`` with them as ``shards``; all read the same files."""
    groups = [shards[first : first + SHARDS_A_TASK] for first in range(0, len(shards), SHARDS_A_TASK)]
    return [Planned(f"{name}-{number:04d}", partial(work, shards=group), reads) for number, group in enumerate(groups)]


def copies_work(
    context: TaskContext, *, shards: Sequence[tuple[int, str]], inputs: str, verdicts: Sequence[str]
) -> None:
    """Write the copies of shards, given by rising rank and task; the receipt notes where those of each task stand."""
    names = read_names(context.upstream(inputs))
    paths = [context.upstream(path) for path in verdicts]
    with context.file("copies", "copies") as out:
        path = context.relative("copies")
        each = equal_keys.each_verdicts(paths, [rank for rank, _ in shards], memory=context.memory)
        found = {task: write_part(out, path, rows, names) for (_, task), rows in zip(shards, each, strict=True)}
    note_copies(context, found)


def note_copies(context: TaskContext, found: Mapping[str, Copies | None]) -> None:
    """Enter in the receipt where the copies of each task stand in the file of role ``copies``."""
    context.records("copies", sum(part.rows for part in found.values() if part))
    context.receipt.notes["copies"] = {task: asdict(part) for task, part in found.items() if part}


def copies_of(given: StageInput, stage: str) -> Mapping[str, Copies]:
    """The copies of each shard that has some, by its task; ``stage`` is that of :func:`copies_stage`."""
    noted = (receipt.notes["copies"] for receipt in given.receipts[stage])
    return {task: Copies(**part) for parts in noted for task, part in parts.items()}


def read_copies(context: TaskContext, part: Copies | None, dtype: npt.DTypeLike = COPY_ROW) -> Iterator[Any]:
    """The copies of a shard, by rising number: :data:`~redpajama_data.dedup.copies.Copy`, or with what else ``dtype``
    has."""
    return read_part(context.upstream(part.path) if part else "", part, dtype)
