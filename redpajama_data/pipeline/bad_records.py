"""Records that are no records, and steps that raise: what they cost, and how many of them a shard may have.

A record that its reader cannot make sense of is ``malformed``: the data's fault, and public data has some. A step that
raises on a record is a ``defect``: a fault of the program, which costs the record and is never normal. Any single one
is named by the receipt, and the run ends with exit 3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from redpajama_data.document import Drop
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput, RpjError, TooManyDefects
from redpajama_data.io import first_bytes
from redpajama_data.io.storage import stat
from redpajama_data.io.streams import open_decompressed

MALFORMED_MIN = 100  # malformed records before their share of a shard counts: a handful in a small file says nothing
# A text in a thousand that a step cannot take is a rare case that nobody thought of; one in a hundred is a step that
# does not work, and what it lets through is no corpus. Fewer than ten say nothing of a share, unless they are all.
DEFECT_SHARE, DEFECTS_MIN = 0.01, 10
# Real records have more than four bytes each, packed. A gzip of 512 MB of line ends has a thousand records a byte: an
# hour and a ledger of gigabytes for half a megabyte. Below so many records it costs seconds, whatever the file.
REJECTED_FREE, REJECTED_PER_BYTE = 1_000_000, 0.25

T = TypeVar("T")


def defect(step: Callable[..., Any], error: Exception) -> Drop:
    """The drop of a record on which ``step`` raised."""
    name = getattr(step.func if isinstance(step, partial) else step, "__name__", step)
    return Drop("defect", f"{name}: {type(error).__name__}: {error}"[:500])


def isolated(step: Callable[[list[T]], list[T | Drop]], batch: list[T]) -> list[T | Drop]:
    """The results of a step that takes a batch; a record on which it raises leaves as a ``defect``, alone.

    When the step raises (or loses count) nobody knows whose fault it was: it is asked again for each record by itself.
    So a batch step must do the same to a record whatever comes with it, and bear to see one twice. What is not about
    the record (no memory, a missing model) is raised.
    """
    try:
        return _counted(step, batch)
    except (RpjError, MemoryError):
        raise
    except Exception as error:
        if len(batch) == 1:
            return [defect(step, error)]
        return [result for record in batch for result in isolated(step, [record])]


def _counted(step: Callable[[list[T]], list[T | Drop]], batch: list[T]) -> list[T | Drop]:
    results = step(batch)
    if len(results) != len(batch):
        raise ValueError(f"{len(results)} results for {len(batch)} records")
    return results


def reject(context: TaskContext, record_id: str, drop: Drop) -> None:
    """Enter a record that its reader could not take in the ledger of a task.

    Raises :class:`BrokenInput` when the files read so far have more than :data:`REJECTED_FREE` of them and more than
    :data:`REJECTED_PER_BYTE` of them a byte.
    """
    context.drop(record_id, drop)
    context.rejected += 1
    if context.rejected <= max(REJECTED_FREE, context.rejected_most):
        return
    size = sum(stat(context.source(path)).bytes for path in context.files_read)
    context.rejected_most = int(size * REJECTED_PER_BYTE)
    if context.rejected > context.rejected_most:
        raise BrokenInput(
            f"{context.files_read[-1]}: over {REJECTED_FREE:,} records that are none, in {size:,} bytes (the last: "
            f"{drop.rule} {str(drop.measured)[:200]}). Such a file is made to take hours. Remove it, or fetch it again."
        )


def check_shares(context: TaskContext) -> None:
    """Look at what a task has lost, when it has seen all its records.

    Raises :class:`BrokenInput` when more than the task's share of them is malformed (from :data:`MALFORMED_MIN` on, or
    when all are), :class:`TooManyDefects` when more than :data:`DEFECT_SHARE` are defects (from :data:`DEFECTS_MIN`
    on, or when nothing else is left).
    """
    receipt = context.receipt
    records = receipt.read - receipt.dropped.get("broken_input", 0)
    malformed, defects = receipt.dropped.get("malformed", 0), receipt.dropped.get("defect", 0)
    if malformed > context.max_malformed * records and (malformed >= MALFORMED_MIN or malformed == records):
        raise BrokenInput(_malformed(context, malformed, records))
    if defects > DEFECT_SHARE * records and (defects >= DEFECTS_MIN or defects == records - malformed):
        raise TooManyDefects(
            f"a step raised on {defects} of {records} records, first {receipt.defects[0]}. "
            "Please report this defect of rpj with the record."
        )


def _malformed(context: TaskContext, malformed: int, records: int) -> str:
    files = context.files_read
    name = files[0] if len(files) == 1 else f"{files[0]} and the other {len(files) - 1} files of the shard"
    share = f"more than {context.max_malformed:.0%}" if malformed < records else "all of them"
    found = f"{name}: {malformed} of {records} records are malformed, {share} (first {context.first_malformed}). "
    kind = first_bytes.no_records(_head(context.source(files[0])))
    if kind is not None:
        return f"{found}The file is {kind.name}. {kind.advice}"
    expected = context.expected or f"It may not be of the format that {context.task.slice} reads: check --input."
    return f"{found}{expected} If these records may go, raise --set max_malformed."


def _head(path: str) -> bytes:
    try:
        with open_decompressed(path) as stream:
            return stream.read(first_bytes.LOOK)
    except (RpjError, OSError):  # it only makes the message better
        return b""
