"""CCNet's paragraph dedup out of core: the lines of each shard, and those that two documents of a group have.

    lines        one task a shard: read, min_length ─► its line hashes, by hash
    line_groups  one task a group of ``hash_in_mem`` shards and range of hashes ─► the duplicated lines of each shard

The lines held at once are bounded: by parts of a shard in the first stage, by passes over a range in the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from filters import ccnet, ccnet_lines
from filters.ccnet_lines import Hashes, LineSets, by_first_shard, duplicated_lines, line_sets, lines_of
from redpajama_data.dedup import partitions
from redpajama_data.dedup.buckets import BucketFile, BucketWriter, RowWriter
from redpajama_data.dedup.external_sort import SortedRows
from redpajama_data.dedup.partitions import BUCKETS, Pass, key_ranges, passes
from redpajama_data.document import Document
from redpajama_data.engine.drop_sample import utf8_length
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Planned, RunSettings, Stage, StageInput
from redpajama_data.engine.task_names import shortened, task_names
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.pipeline.work import Numbered, read_records, through
from slices.parts.crawl_layout import crawl_shards
from slices.readers.wet import read_wet

# Lines of a shard that are one flush of its files, whatever the memory: another number would give other bytes. The peak
# for a line is 41 bytes, 21 MB in all: 17 in the sets, the rest while the part is written.
LINES_A_PART = 1 << 19
_GROUP_BYTES = 40  # peak for a line of a group, measured 29: its sets, all of them in one array, the searches


def bucket_of(hashes: Hashes) -> npt.NDArray[np.int64]:
    """The bucket of each hash."""
    buckets: npt.NDArray[np.int64] = (hashes >> np.uint64(52)).astype(np.int64)
    return buckets


# ---------------------------------------------------------------------------------------------- lines


def lines_stage(*, shards: int, min_length: int, run: RunSettings) -> Stage:
    """One task a shard: :func:`lines_work`."""

    def plan_tasks(given: StageInput) -> list[Planned]:
        layout = crawl_shards(given.inputs, shards=shards, report=True)
        return [
            Planned(
                task,
                partial(
                    lines_work,
                    dump=shard.dump,
                    number=shard.number,
                    paths=[raw.path for raw in shard.files],
                    absent=shard.absent,
                    min_length=min_length,
                    max_malformed=run.max_malformed,
                ),
                shard.files,
            )
            for task, shard in zip(task_names(shard.name for shard in layout), layout, strict=True)
        ]

    return Stage("lines", plan_tasks)


def lines_work(
    context: TaskContext,
    *,
    dump: str,
    number: int,
    paths: Sequence[str],
    absent: Sequence[str],
    min_length: int,
    max_malformed: float,
) -> None:
    """Read a shard's files, write the hashes of its lines; every record that is no document is in this ledger.

    Two files, each with a flush for every :data:`LINES_A_PART` lines of the shard: the different lines of the part, and
    those in two documents of it.
    """
    receipt = context.receipt
    receipt.notes = {"dump": dump, "shard": number} | ({"absent": list(absent)} if absent else {})
    pages = through(context, _records(context, paths, max_malformed), [partial(ccnet.min_length, limit=min_length)])
    with context.file("lines", "lines") as out, context.file("repeated", "repeated") as again:
        writers = BucketWriter(out, BUCKETS, 1), BucketWriter(again, BUCKETS, 1)  # flushed by part
        counts = [0, 0]
        for part in _parts((ccnet_lines.line_hashes(doc.text) for doc in _counted(receipt, pages)), LINES_A_PART):
            for i, hashes in enumerate(part):
                writers[i].add_rows(bucket_of(hashes), hashes)
                counts[i] += len(hashes)
        for writer in writers:
            writer.close()
    context.records("lines", counts[0])
    context.records("repeated", counts[1])


def _records(context: TaskContext, paths: Sequence[str], max_malformed: float) -> Numbered:
    """The pages of the files of a shard. A file that breaks off costs its own rest only."""
    for path in paths:
        yield from read_records(context, path, read_wet, max_malformed)


def _counted(receipt: Receipt, documents: Numbered) -> Iterator[Document]:
    for _, doc in documents:
        receipt.kept += 1
        receipt.bytes += utf8_length(doc.text)
        yield doc


def _parts(documents: Iterator[Hashes], lines: int) -> Iterator[LineSets]:
    """The line sets of documents, of about ``lines`` lines at a time."""
    for first in documents:
        yield line_sets(_until(first, documents, lines))


def _until(first: Hashes, documents: Iterator[Hashes], lines: int) -> Iterator[Hashes]:
    yield first
    size = len(first)
    while size < lines and (hashes := next(documents, None)) is not None:
        size += len(hashes)
        yield hashes


# ---------------------------------------------------------------------------------------------- line_groups


def line_groups_stage(*, hash_in_mem: int | None, first_stays: bool = False) -> Stage:
    """One task for each group of ``hash_in_mem`` shards of a dump and range of hashes: :func:`line_groups_work`."""
    more: dict[str, Any] = {"first_stays": True} if first_stays else {}

    def plan_tasks(given: StageInput) -> list[Planned]:
        planned: list[Planned] = []
        for (dump, group), receipts in shard_groups(given.receipts["lines"], hash_in_mem).items():
            files = [[receipt.outputs["lines"], receipt.outputs["repeated"]] for receipt in receipts]
            rows = sum(lines.records for lines, _ in files)
            paths, reads = [[out.path for out in pair] for pair in files], [out for pair in files for out in pair]
            for first, end in key_ranges(rows):
                work = partial(
                    line_groups_work,
                    dump=dump,
                    group=group,
                    files=paths,
                    rows=rows,
                    buckets=(first, end),
                    **more,
                )
                name = f"{shortened(dump)}_{group:04d}-{first:04d}-{end:04d}"
                planned.append(Planned(name, work, reads))
        return planned

    return Stage("line_groups", plan_tasks, ("lines",))


def shard_groups(receipts: Iterable[Receipt], hash_in_mem: int | None) -> dict[tuple[str, int], list[Receipt]]:
    """The receipts of the shards of each group, both in order. Groups are of consecutive shards, within a dump; None:
    of all its shards."""
    groups: dict[tuple[str, int], list[Receipt]] = {}
    for receipt in receipts:
        group = 0 if hash_in_mem is None else receipt.notes["shard"] // hash_in_mem
        groups.setdefault((receipt.notes["dump"], group), []).append(receipt)
    return groups


def line_groups_work(
    context: TaskContext,
    *,
    dump: str,
    group: int,
    files: Sequence[Sequence[str]],
    rows: int,
    buckets: tuple[int, int],
    first_stays: bool = False,
) -> None:
    """Find the lines of one range that two documents of the group have, write for each shard those it has itself.

    ``files``: for each shard of the group its files of different and of repeated lines; ``rows`` is how many lines the
    former have in all. One bucket a shard is written, its hashes sorted, in the same way whatever the memory. With
    ``first_stays`` it is two: lines that an earlier shard of the group has too, and those of which this has the first.
    """
    find = _by_first_shard_in if first_stays else _duplicated_in
    taken = passes(rows, buckets, row_bytes=_GROUP_BYTES, memory=context.memory)
    if len(taken) > 1:  # then a quarter of the memory puts the lines of all passes into the order of shards
        taken = passes(rows, buckets, row_bytes=_GROUP_BYTES, memory=context.memory // 2)
    with context.file("duplicated", "duplicated") as out, SortedRows(2, context.memory // 4) as waiting:
        writer = RowWriter(out, (2 if first_stays else 1) * len(files), partitions.ROWS_A_FLUSH)
        for part in taken:
            for n, hashes in find(context, files, part):
                numbers = np.full(len(hashes), n, "<u8")
                if len(taken) == 1:
                    writer.add(numbers, hashes)
                else:
                    waiting.add(np.stack((numbers, hashes), axis=1))
        for rows_in_order in waiting.read():
            writer.add(rows_in_order[:, 0], np.ascontiguousarray(rows_in_order[:, 1]))
        writer.close()
    context.records("duplicated", writer.count)
    context.receipt.notes = {"dump": dump, "group": group, "buckets": buckets}


def _duplicated_in(context: TaskContext, files: Sequence[Sequence[str]], part: Pass) -> Iterator[tuple[int, Hashes]]:
    """The lines of one pass that two documents of the group have: for each shard those it has itself, sorted."""
    shards, duplicated = _lines_in(context, files, part)
    for n, shard in enumerate(shards):
        yield n, _own(shard, duplicated)


def _by_first_shard_in(
    context: TaskContext, files: Sequence[Sequence[str]], part: Pass
) -> Iterator[tuple[int, Hashes]]:
    """As :func:`_duplicated_in`, for each shard under two numbers: :func:`filters.ccnet_lines.by_first_shard`."""
    shards, duplicated = _lines_in(context, files, part)
    for n, (earlier, here) in enumerate(by_first_shard((_own(shard, duplicated) for shard in shards), duplicated)):
        yield 2 * n, earlier
        yield 2 * n + 1, here


def _lines_in(context: TaskContext, files: Sequence[Sequence[str]], part: Pass) -> tuple[list[list[Hashes]], Hashes]:
    """The lines of one pass: those of each shard, and those that two documents of the group have."""
    none = np.empty(0, dtype="<u8")
    shards = [_read_hashes(context, lines, part) for lines, _ in files]
    parts = [LineSets(hashes, none) for shard in shards for hashes in shard]
    parts += [LineSets(none, hashes) for _, again in files for hashes in _read_hashes(context, again, part)]
    return shards, duplicated_lines(parts)


def _own(shard: Sequence[Hashes], duplicated: Hashes) -> Hashes:
    """Those of ``duplicated`` that a shard has, sorted."""
    own = [lines_of(hashes, duplicated) for hashes in shard]
    return np.unique(np.concatenate(own)) if len(own) > 1 else own[0] if own else np.empty(0, dtype="<u8")


def _read_hashes(context: TaskContext, path: str, part: Pass) -> list[Hashes]:
    """What a pass takes of a file of hashes: an array a flush, each sorted."""
    with BucketFile(context.upstream(path)) as file:
        found = (np.frombuffer(data, dtype="<u8") for data in file.read(part.first, part.end))
        return [part.of(hashes, hashes) for hashes in found]
