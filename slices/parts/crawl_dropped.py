"""What the document dedup of Common Crawl drops, shard by shard: a stage between its verdicts and what publishes.

The files of the stage ``kept_urls`` name shards by their rank, which changes when a dump comes. Here each shard gets a
part of a file of its own, and the task that publishes the shard is bound to nothing else of the dedup.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup import partitions
from redpajama_data.dedup.buckets import RowWriter
from redpajama_data.dedup.external_sort import SortedRows
from redpajama_data.dedup.file_parts import FilePart, PartWriter, read_rows
from redpajama_data.dedup.gathering import gathered, gathered_each
from redpajama_data.dedup.partitions import Pass, passes
from redpajama_data.engine.stages import Planned, Stage, StageInput, outputs
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.pipeline.copies import per_group

DROPPED_ROW = np.dtype([("n", "<u8"), ("part", "<u8")])  # a record of a shard, and the part of the shard it is in
_NUMBER = np.dtype("<u8")
BY_TEXT = np.uint64(1 << 63)  # the mark of a record's number, which is below 2**40: it goes for its text
_NUMBERS = np.uint64(BY_TEXT - np.uint64(1))


@dataclass(frozen=True)
class Dropped:
    """Of a shard: where the numbers of its dropped records stand (None: there is none), how many of each part."""

    numbers: FilePart | None
    counts: list[int]


def write_dropped(writer: RowWriter, gone: npt.NDArray[np.uint64]) -> None:
    """Write a :data:`DROPPED_ROW` for each record, by shard; ``gone`` has rank, number and part."""
    writer.add(gone[:, 0], np.ascontiguousarray(gone[:, 1:]).view(DROPPED_ROW)[:, 0])


def passes_by_shard(context: TaskContext, rows: int, buckets: tuple[int, int], row_bytes: int) -> list[Pass]:
    """The passes of a task that writes by shard. When they are several, a quarter of the memory puts the records of all
    into the order of shards."""
    taken = passes(rows, buckets, row_bytes=row_bytes, memory=context.memory)
    return taken if len(taken) == 1 else passes(rows, buckets, row_bytes=row_bytes, memory=context.memory // 2)


def write_by_shard(context: TaskContext, ranks: int, found: Iterator[npt.NDArray[np.uint64]], *, several: bool) -> None:
    """Write what each pass found, rank, number and part of records in their order."""
    with row_writer(context, "dropped", ranks) as writer, SortedRows(3, context.memory // 4) as waiting:
        for gone in found:
            if several:
                waiting.add(gone)
            else:
                write_dropped(writer, gone)
        for gone in waiting.read():
            write_dropped(writer, gone)


def places_of(
    numbers: npt.NDArray[Any], ranks: npt.NDArray[Any], parts: npt.NDArray[Any], taken: npt.NDArray[Any]
) -> npt.NDArray[np.uint64]:
    """Rank, number and part of the records taken, in their order."""
    taken = taken[np.lexsort((numbers[taken], ranks[taken]))]
    return np.stack([column[taken].astype("<u8") for column in (ranks, numbers, parts)], axis=1)


@contextlib.contextmanager
def row_writer(context: TaskContext, role: str, buckets: int) -> Iterator[RowWriter]:
    with context.file(role, role) as out:
        writer = RowWriter(out, buckets, partitions.ROWS_A_FLUSH)
        yield writer
        writer.close()
    context.records(role, writer.count)


def dropped_stage(*verdicts: str) -> Stage:
    """One task for some shards: :func:`dropped_work`. ``verdicts``: the stages that decide."""

    def plan_tasks(given: StageInput) -> list[Planned]:
        decided = [out for stage in verdicts for out in outputs(given.receipts[stage], "dropped")]
        shards = [(receipt.rank, receipt.task, len(receipt.notes["parts"])) for receipt in given.receipts["mine"]]
        work = partial(dropped_work, dropped=[out.path for out in decided])
        return per_group("dropped", work, shards, decided)

    return Stage("dropped", plan_tasks, ("mine", *verdicts), whole=verdicts)


def dropped_work(context: TaskContext, *, shards: Sequence[tuple[int, str, int]], dropped: Sequence[str]) -> None:
    """Write the numbers of the dropped records of shards, each shard's rising: a part each. ``shards`` are rising rank,
    task, and how many parts the shard has; the receipt notes for each task what :class:`Dropped` has."""
    paths = [context.upstream(path) for path in dropped]
    memory = context.memory // 2  # the other half for the order of the numbers
    by_rank = {rank: (task, parts) for rank, task, parts in shards}
    first, end = shards[0][0], shards[-1][0] + 1
    found: dict[str, Any] = {}
    with context.file("dropped", "dropped") as out:
        path = context.relative("dropped")
        each = gathered_each(paths, first, end, dtype=DROPPED_ROW, memory=memory)
        for rank, rows in enumerate(each, first):
            if rank not in by_rank:  # a shard that failed
                continue
            task, parts = by_rank[rank]
            writer = PartWriter(out, path)
            if rows is not None:
                counts = _write(writer, rows, parts)
            else:
                with gathered(paths, rank, dtype=DROPPED_ROW, memory=memory) as many:
                    counts = _write(writer, many, parts)
            found[task] = asdict(Dropped(writer.part(), counts))
    context.records("dropped", sum(sum(of["counts"]) for of in found.values()))
    context.receipt.notes["dropped"] = found


def _write(writer: PartWriter, rows: npt.NDArray[Any], parts: int) -> list[int]:
    writer.add(rows["n"][np.argsort(rows["n"] & _NUMBERS)])  # of those marked too, by the number
    counts: list[int] = np.bincount(rows["part"].astype(np.int64), minlength=parts).tolist()
    return counts


def dropped_of(given: StageInput) -> Mapping[str, Dropped]:
    """What is dropped of each shard, by its task."""
    noted = (receipt.notes["dropped"] for receipt in given.receipts["dropped"])
    return {
        task: Dropped(FilePart(**of["numbers"]) if of["numbers"] else None, of["counts"])
        for each in noted
        for task, of in each.items()
    }


def read_dropped(context: TaskContext, part: FilePart | None) -> Iterator[tuple[int, bool]]:
    """The numbers of the dropped records of a shard, rising, and whether each goes for its text."""
    for rows in read_rows(context.upstream(part.path) if part else "", part, _NUMBER):
        yield from zip((rows & _NUMBERS).tolist(), (rows >= BY_TEXT).tolist(), strict=True)
