"""The stages that a slice is put together of: a task for each raw file, range of keys, or intermediate shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from redpajama_data.dedup import equal_keys
from redpajama_data.dedup.partitions import key_ranges
from redpajama_data.document import Document, Reader
from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.engine.stages import Planned, RunSettings, Stage, StageInput, Work, outputs, per_file
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.storage import RawFile
from redpajama_data.pipeline.copies import copies_of
from redpajama_data.pipeline.work import Steps, TextOf, clean_work, publish_stored_work, publish_work, text_of


def clean_stage(
    name: str,
    *,
    reader: Reader,
    steps: Steps,
    run: RunSettings,
    key: Callable[[Document], bytes] | None = None,
) -> Stage:
    """One task a raw file: :func:`clean_work`."""

    def work(raw: RawFile) -> Work:
        return partial(clean_work, path=raw.path, reader=reader, steps=steps, max_malformed=run.max_malformed, key=key)

    return per_file(name, work)


def publish_stage(name: str, *, reader: Reader, steps: Steps, run: RunSettings, text_of: TextOf = text_of) -> Stage:
    """One task a raw file: :func:`publish_work`."""

    def work(raw: RawFile) -> Work:
        return partial(
            publish_work,
            path=raw.path,
            reader=reader,
            steps=steps,
            max_malformed=run.max_malformed,
            tokenizer=run.tokenizer,
            text_of=text_of,
        )

    return per_file(name, work)


def dedup_stage(name: str, *, reads: str) -> Stage:
    """One task a range of keys: of equal keys the first wins."""

    def plan_tasks(given: StageInput) -> list[Planned]:
        receipts = given.receipts[reads]
        return first_wins_tasks(receipts, ranks=1 + max((receipt.rank for receipt in receipts), default=0))

    return Stage(name, plan_tasks, (reads,))


def first_wins_tasks(receipts: Sequence[Receipt], *, ranks: int) -> list[Planned]:
    """One task a range of the ``keys`` that receipts name, in the order of preference: :func:`first_wins_work`."""
    files = outputs(receipts, "keys")
    keys = [(receipt.rank, out.path) for receipt, out in zip(receipts, files, strict=True)]
    return per_range("keys", partial(first_wins_work, keys=keys, ranks=ranks), files)


def first_wins_work(
    context: TaskContext, *, keys: Sequence[tuple[int, str]], ranks: int, rows: int, buckets: tuple[int, int]
) -> None:
    """:func:`redpajama_data.dedup.equal_keys.first_wins` over files of this root; the receipt notes the ``keys``."""
    files = [(rank, context.upstream(path)) for rank, path in keys]
    with context.file("verdicts", "verdicts") as out:
        read, written = equal_keys.first_wins(
            files, out, ranks=ranks, rows=rows, buckets=buckets, memory=context.memory
        )
    context.records("verdicts", written)
    context.receipt.notes["keys"] = read


def per_range(name: str, work: partial[None], files: Sequence[Output], beside: Sequence[Output] = ()) -> list[Planned]:
    """One task for each range of the rows of ``files``: ``work`` with ``rows``, how many all of them have, and
    ``buckets``, its range. Each task reads the files ``beside`` as well."""
    rows, reads = sum(out.records for out in files), [*files, *beside]
    return [
        Planned(f"{name}-{first:04d}-{end:04d}", partial(work, rows=rows, buckets=(first, end)), reads)
        for first, end in key_ranges(rows)
    ]


def publish_stored_stage(name: str, *, reads: str, verdicts: str, copies: str, steps: Steps, run: RunSettings) -> Stage:
    """One task an intermediate shard: :func:`publish_stored_work`. ``copies`` is the stage that says what of each shard
    is a copy, by the verdicts of the stage ``verdicts``."""

    def plan_tasks(given: StageInput) -> list[Planned]:
        found = copies_of(given, copies)
        return [
            Planned(
                receipt.task,
                partial(
                    publish_stored_work,
                    shard=receipt.outputs["shard"].path,
                    steps=steps,
                    tokenizer=run.tokenizer,
                    copies=found.get(receipt.task),
                ),
                [receipt.outputs["shard"]],
            )
            for receipt in given.receipts[reads]
        ]

    return Stage(name, plan_tasks, (reads, copies), whole=(verdicts, copies))
