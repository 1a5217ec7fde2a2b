"""CCNet's paragraph dedup out of core: the lines of each shard, and those that two documents of a group have.

    lines        one task a shard: read, min_length ─► its line hashes, by hash
    line_groups  one task a group of ``hash_in_mem`` shards and range of hashes ─► the duplicated lines of each shard

Memory bounds the lines held at once, by parts of a shard in the first stage and by ranges of hashes in the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from filters import ccnet
from filters.ccnet_lines import Hashes, LineSets, duplicated_lines, line_hashes, line_sets, lines_of
from redpajama_data.buckets import BucketFile, BucketWriter
from redpajama_data.document import Document
from redpajama_data.drop_sample import utf8_length
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.pipeline import MALFORMED, MALFORMED_MIN, Numbered, read_records, through
from redpajama_data.receipts import Receipt
from redpajama_data.stages import Plan, Planned, RunSettings, Stage, task_name
from redpajama_data.tasks import TaskContext
from slices.crawl_layout import crawl_shards
from slices.wet import read_wet

BUCKETS = 4096  # by the top 12 bits of a hash
_LINE_BYTES = 48  # peak for a line of a part, measured 41: 17 in the sets, the rest while the part is written
_GROUP_BYTES = 40  # peak for a line of a group, measured 29: its sets, all of them in one array, the searches
_FLUSH = 8 << 20
_MANY = 10**7  # tasks there may be: the width of a number in their names


def hash_ranges(rows: int, *, row_bytes: int, memory: int) -> list[tuple[int, int]]:
    """Ranges of the :data:`BUCKETS` buckets so that ``rows`` rows of ``row_bytes`` at the peak fit into ``memory``.

    Raises :class:`UsageError` when even a single bucket would not fit.
    """
    need = max(1, -(-rows * row_bytes // memory))
    parts = 1 << (need - 1).bit_length()
    if parts > BUCKETS:
        raise UsageError(
            f"{rows} hashes need at least {(rows * row_bytes // BUCKETS >> 20) + 1} MB a worker. Give --memory more."
        )
    width = BUCKETS // parts
    return [(first, first + width) for first in range(0, BUCKETS, width)]


def all_ranges(receipts: list[Receipt]) -> list[Receipt]:
    """The receipts of the ranges of one stage, when none is missing: without one of them the dedup would be another.

    Raises :class:`UsageError`.
    """
    if sum(end - first for first, end in (receipt.notes["buckets"] for receipt in receipts)) != BUCKETS:
        stage = receipts[0].stage if receipts else "the dedup"
        raise UsageError(f"common_crawl: a task of {stage} failed, rpj status says why. Mend that, then run again.")
    return receipts


def bucket_of(hashes: Hashes) -> npt.NDArray[np.int64]:
    """The bucket of each hash."""
    buckets: npt.NDArray[np.int64] = (hashes >> np.uint64(52)).astype(np.int64)
    return buckets


# ---------------------------------------------------------------------------------------------- lines


def lines_stage(*, shards: int, min_length: int, run: RunSettings) -> Stage:
    """One task a shard: :func:`lines_work`."""

    def plan(plan: Plan) -> list[Planned]:
        found = crawl_shards(plan.inputs, shards=shards, report=True)
        return [
            Planned(
                task_name(rank, len(found), shard.name),
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
            for rank, shard in enumerate(found)
        ]

    return Stage("lines", plan)


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

    Two files, each with a flush for every part of the shard that memory holds at once: the different lines of the
    part, and those in two documents of it.
    """
    receipt = context.receipt
    receipt.notes = {"dump": dump, "shard": number} | ({"absent": list(absent)} if absent else {})
    pages = through(context, _records(context, paths, max_malformed), [partial(ccnet.min_length, limit=min_length)])
    with context.file("lines", "lines") as out, context.file("repeated", "repeated") as again:
        writers = BucketWriter(out, BUCKETS, _FLUSH), BucketWriter(again, BUCKETS, _FLUSH)
        counts = [0, 0]
        for part in _parts((line_hashes(doc.text) for doc in _counted(receipt, pages)), context.memory // _LINE_BYTES):
            for i, hashes in enumerate(part):
                writers[i].add_rows(bucket_of(hashes), hashes)
                counts[i] += len(hashes)
        for writer in writers:
            writer.close()
    context.records("lines", counts[0])
    context.records("repeated", counts[1])


def _records(context: TaskContext, paths: Sequence[str], max_malformed: float) -> Numbered:
    """The pages of the files of a shard. A file that breaks off costs its own rest only.

    Raises :class:`BrokenInput` at the end when too many records of the whole shard are malformed.
    """
    receipt = context.receipt
    broken: list[str] = []
    for path in paths:
        yield from read_records(context, path, read_wet, 1.0)
        if message := _take_broken(receipt):
            broken.append(message if message.startswith(path) else f"{path}: {message}")
    receipt.broken = "; ".join(broken) or None
    malformed = sum(receipt.dropped.get(rule, 0) for rule in MALFORMED)
    if malformed >= MALFORMED_MIN and malformed > max_malformed * receipt.read:
        raise BrokenInput(
            f"{paths[0]} and the other {len(paths) - 1} files of the shard: {malformed} of {receipt.read} records are "
            f"malformed, more than {max_malformed:.0%}. Are these WET files? If they are, raise --set max_malformed."
        )


def _take_broken(receipt: Receipt) -> str | None:
    message, receipt.broken = receipt.broken, None
    return message


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


def line_groups_stage(*, hash_in_mem: int) -> Stage:
    """One task for each group of ``hash_in_mem`` shards of a dump and range of hashes: :func:`line_groups_work`."""

    def plan(plan: Plan) -> list[Planned]:
        planned: list[Planned] = []
        for (dump, group), receipts in shard_groups(plan.receipts["lines"], hash_in_mem).items():
            files = [[receipt.outputs["lines"], receipt.outputs["repeated"]] for receipt in receipts]
            rows = sum(lines.records for lines, _ in files)
            for first, end in hash_ranges(rows, row_bytes=_GROUP_BYTES, memory=plan.memory):
                work = partial(
                    line_groups_work,
                    dump=dump,
                    group=group,
                    files=[[out.path for out in pair] for pair in files],
                    buckets=(first, end),
                )
                name = task_name(len(planned), _MANY, f"{dump}_{group:04d}-{first:04d}-{end:04d}")
                planned.append(Planned(name, work, [out for pair in files for out in pair]))
        return planned

    return Stage("line_groups", plan, ("lines",))


def shard_groups(receipts: Iterable[Receipt], hash_in_mem: int) -> dict[tuple[str, int], list[Receipt]]:
    """The receipts of the shards of each group, both in order. Groups are of consecutive shards, within a dump."""
    groups: dict[tuple[str, int], list[Receipt]] = {}
    for receipt in receipts:
        groups.setdefault((receipt.notes["dump"], receipt.notes["shard"] // hash_in_mem), []).append(receipt)
    return groups


def line_groups_work(
    context: TaskContext, *, dump: str, group: int, files: Sequence[Sequence[str]], buckets: tuple[int, int]
) -> None:
    """Find the lines of one range that two documents of the group have, write for each shard those it has itself.

    ``files``: for each shard of the group its files of different and of repeated lines. One bucket a shard is written.
    """
    none = np.empty(0, dtype="<u8")
    shards = [_read_hashes(context, lines, buckets) for lines, _ in files]
    parts = [LineSets(hashes, none) for shard in shards for hashes in shard]
    parts += [LineSets(none, hashes) for _, again in files for hashes in _read_hashes(context, again, buckets)]
    duplicated = duplicated_lines(parts)
    del parts
    with context.file("duplicated", "duplicated") as out:
        writer = BucketWriter(out, len(files), _FLUSH)
        for n, shard in enumerate(shards):
            own = [lines_of(hashes, duplicated) for hashes in shard]
            writer.add(n, (np.unique(np.concatenate(own)) if len(own) > 1 else own[0] if own else none).tobytes())
        writer.close()
    context.records("duplicated", writer.size // none.itemsize)
    context.receipt.notes = {"dump": dump, "group": group, "buckets": buckets}


def _read_hashes(context: TaskContext, path: str, buckets: tuple[int, int]) -> list[Hashes]:
    """One range of a file of hashes: an array a flush, each sorted."""
    with BucketFile(context.upstream(path)) as file:
        return [np.frombuffer(data, dtype="<u8") for data in file.read(*buckets)]
