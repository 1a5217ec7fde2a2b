"""The last stage of a job that decides which records of a shard stay: the shard is read once more, what stays is
published."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from redpajama_data.corpus.columns import Batch, Columns, publishing, read_batches, refuse_change, utf8_bytes
from redpajama_data.corpus.listing import published_name
from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.engine.stages import Planned, StageInput
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.models.model_file import ModelFile

Verdict = TypeVar("Verdict", bound=tuple[Any, ...])


def keep_tasks(
    given: StageInput,
    *,
    reads: str,
    work: Callable[[Receipt], partial[None]],
    tokenizer: ModelFile | None,
    beside: Sequence[Output] = (),
) -> list[Planned]:
    """One task for each shard that the stage ``reads`` has read: ``work`` of its receipt, bound to what :func:`keep`
    needs. Each task reads the files ``beside`` as well."""
    planned = []
    for receipt in given.receipts[reads]:
        raw = given.inputs[receipt.rank]
        bound = partial(
            work(receipt),
            path=raw.path,
            name=published_name(receipt.task, raw.path),
            records=receipt.kept,
            tokenizer=tokenizer,
        )
        planned.append(Planned(receipt.task, bound, [raw, *beside]))
    return planned


def keep(
    context: TaskContext,
    staying: Callable[[Batch], Columns],
    *,
    path: str,
    name: str,
    records: int,
    tokenizer: ModelFile | None,
) -> None:
    """Publish of a shard what ``staying`` gives for each batch of it; what it leaves out it enters in the ledger.

    ``records`` is how many the stage before has read. Raises :class:`BrokenInput` when there are not as many now.
    """
    receipt = context.receipt
    with publishing(context, path=path, name=name, tokenizer=tokenizer) as put:
        for batch in read_batches(context.source(path)):
            receipt.read += len(batch.n)
            receipt.read_bytes += utf8_bytes(batch.texts)
            put(*staying(batch))
    refuse_change(path, records=receipt.read, before=records)


def without(batch: Batch, leaving: Container[int]) -> Columns:
    """The columns of a batch without the records of these numbers."""
    stay = [place for place, n in enumerate(batch.n) if n not in leaving]
    return [batch.n[i] for i in stay], [batch.lines[i] for i in stay], [batch.texts[i] for i in stay]


class VerdictsByNumber(Generic[Verdict]):
    """Verdicts on the records of a shard, each a tuple that begins with the record's number, in the order of these."""

    def __init__(self, verdicts: Iterator[Verdict]) -> None:
        self._verdicts = verdicts
        self._next = next(verdicts, None)

    def on(self, batch: Batch) -> list[Verdict]:
        """The verdicts on the records of the next batch."""
        taken = []
        while self._next is not None and batch.n and self._next[0] <= batch.n[-1]:
            taken.append(self._next)
            self._next = next(self._verdicts, None)
        return taken
