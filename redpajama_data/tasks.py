"""One task: the unit that is done whole or not at all, on any worker, with the same bytes."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from redpajama_data import receipts, storage
from redpajama_data.document import Drop
from redpajama_data.drop_sample import DropSample, Text, utf8_length
from redpajama_data.errors import BrokenInput, MissingModel, StorageError, UsageError
from redpajama_data.fingerprint import ModelFile
from redpajama_data.receipts import Output, Quarantine, Receipt
from redpajama_data.shards import LineWriter, to_json

INTERMEDIATE_LEVEL = 1  # zstd level of what only the next stage reads: 170 MB/s to write, against 120 at level 3


@dataclass(frozen=True)
class Task:
    """A piece of a stage. ``work`` gets a :class:`TaskContext` and writes through it; ``inputs`` name what it reads.

    ``lineage`` is the hash of all that ``work`` depends on; ``rank`` the task's place in the stage's order;
    ``bytes`` is the size of all it reads, ``raw_bytes`` that of the raw files among it.
    """

    slice: str
    stage: str
    name: str
    rank: int
    work: Callable[[TaskContext], None]
    lineage: str
    inputs: tuple[str, ...] = ()
    raw_bytes: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Workplace:
    """What every task of a run shares: where it writes, and its limits. Nothing here may change a byte of a result.

    ``memory`` is bytes per task. ``tokenizer`` counts the samples of dropped texts (estimates, no results).
    """

    root: str
    memory: int
    published_level: int = 3
    tokenizer: ModelFile | None = None


@dataclass
class TaskContext:
    """What a task's work writes through: files that appear whole, the drop ledger, and the counts of the receipt."""

    task: Task
    place: Workplace
    receipt: Receipt
    _ledger: LineWriter | None = None
    _sample: DropSample = field(default_factory=DropSample)
    _stack: contextlib.ExitStack[bool | None] = field(default_factory=contextlib.ExitStack)

    @property
    def memory(self) -> int:
        """Bytes of memory this task may use for what grows with its input."""
        return self.place.memory

    def upstream(self, path: str) -> str:
        """The full path of a file of this root, from the relative one in a receipt."""
        return storage.join(self.place.root, path)

    def source(self, path: str) -> str:
        """The full path of an input of this task."""
        return receipts.locate(self.place.root, path)

    def count_read(self, text: Text | None = None) -> None:
        """Count one record read, and the bytes of its text as it comes to this task; None for one without a text."""
        self.receipt.read += 1
        if text is not None:
            self.receipt.read_bytes += utf8_length(text)

    def drop(self, doc_id: str, drop: Drop, *, text: Text | None = None, detail: dict[str, Any] | None = None) -> None:
        """Write one record's drop to the ledger and count it. ``detail`` is what else a user may want to know of it.

        ``text`` is the record's as it came to the steps: its bytes are counted, its tokens by sample. None for a record
        that never became a document.
        """
        if self._ledger is None:
            self._ledger = self._stack.enter_context(self.lines("drops"))
        entry = {"id": doc_id, "rule": drop.rule, "measured": drop.measured, "limit": drop.limit, **(detail or {})}
        self._ledger.write(to_json(entry))
        self.receipt.dropped[drop.rule] = self.receipt.dropped.get(drop.rule, 0) + 1
        if text is not None:
            dropped = self.receipt.dropped_bytes
            dropped[drop.rule] = dropped.get(drop.rule, 0) + utf8_length(text)
            self._sample.add(drop.rule, doc_id, text)

    def count_sample(self) -> None:
        """Enter the samples of dropped texts in the receipt; the last of a task."""
        self.receipt.samples = self._sample.count(self.place.tokenizer)
        if self.receipt.samples and self.place.tokenizer is not None:
            self.receipt.sample_tokenizer = self.place.tokenizer.sha256

    @contextlib.contextmanager
    def file(self, role: str, ending: str) -> Iterator[storage.WholeFile]:
        """A binary file of this task, ``<task>.<ending>``, entered in the receipt under ``role`` when it is whole.

        :meth:`records` then tells the receipt how many records it holds.
        """
        relative = receipts.task_path("", self.task.slice, self.task.stage, self.task.name, ending)
        with storage.whole_file(self.upstream(relative)) as file:
            yield file
        self.receipt.outputs[role] = Output(relative, file.bytes, file.sha256, 0)

    def records(self, role: str, count: int) -> None:
        """Enter how many records the file of ``role`` holds."""
        self.receipt.outputs[role] = msgspec.structs.replace(self.receipt.outputs[role], records=count)

    def texts(self, role: str, *, text_bytes: int, tokens: int) -> None:
        """Enter the bytes and tokens of the texts of a published shard, and add them to those of the receipt."""
        out = self.receipt.outputs[role]
        self.receipt.outputs[role] = msgspec.structs.replace(out, text_bytes=text_bytes, tokens=tokens)
        self.receipt.bytes += text_bytes
        self.receipt.tokens += tokens

    @contextlib.contextmanager
    def lines(self, role: str, ending: str | None = None) -> Iterator[LineWriter]:
        """An intermediate JSONL file of this task (zstd), entered in the receipt under ``role``."""
        with self.file(role, ending or f"{role}.jsonl.zst") as file:
            writer = LineWriter(cast(Any, file), INTERMEDIATE_LEVEL)
            yield writer
            writer.close()
        self.records(role, writer.records)

    @contextlib.contextmanager
    def published(self, name: str | None = None) -> Iterator[LineWriter]:
        """The published shard of this task, ``ROOT/<slice>/<name or task>.jsonl.zst``; :meth:`texts` then tells the
        receipt of its texts."""
        relative = f"{self.task.slice}/{name or self.task.name}.jsonl.zst"
        with storage.whole_file(self.upstream(relative)) as file:
            writer = LineWriter(cast(Any, file), self.place.published_level)
            yield writer
            writer.close()
        role = f"published:{name}" if name else "published"
        self.receipt.outputs[role] = Output(relative, file.bytes, file.sha256, writer.records)


@dataclass(frozen=True)
class Done:
    """A task that left its receipt."""

    task: Task
    receipt: Receipt


@dataclass(frozen=True)
class Failed:
    """A task that left nothing. ``fatal`` is the error when the whole run must stop (disk full, model missing)."""

    task: Task
    reason: str
    detail: str = ""
    fatal: StorageError | MissingModel | UsageError | None = None


def run_task(task: Task, place: Workplace) -> Done | Failed:
    """Do one task on this process: outputs first, ledger, then the receipt. Never raises."""
    receipt = Receipt(
        task.slice, task.stage, task.name, task.rank, task.lineage, list(task.inputs), raw_bytes=task.raw_bytes
    )
    context = TaskContext(task, place, receipt)
    try:
        with context._stack:  # an error leaves through it, so that no half ledger appears
            task.work(context)
        context.count_sample()
        if not receipt.balanced():
            raise AssertionError(f"read {receipt.read} != kept {receipt.kept} + dropped {receipt.dropped}")
        receipts.save(place.root, receipt)
        return Done(task, receipt)
    except (StorageError, MissingModel, UsageError) as error:
        return Failed(task, str(error), fatal=error)
    except BrokenInput as error:
        return Failed(task, error.message, error.place)
    except MemoryError:
        return Failed(task, "out of memory. Give the run more --memory or fewer --workers.", traceback.format_exc())
    except Exception as error:
        reason = f"{type(error).__name__}: {error}. This is a defect of rpj: please report it with the detail below."
        return Failed(task, reason, traceback.format_exc())


def quarantine(place: Workplace, failed: Failed) -> Quarantine:
    """Write the quarantine entry of a failed task beside where its receipt would lie."""
    task = failed.task
    entry = Quarantine(task.slice, task.stage, task.name, list(task.inputs), failed.reason, failed.detail)
    path = receipts.task_path(place.root, task.slice, task.stage, task.name, "quarantine.json")
    storage.write_bytes(path, to_json(entry) + b"\n")
    return entry
