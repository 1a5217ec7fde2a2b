"""One task: the unit that is done whole or not at all, and what its work writes through."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from redpajama_data.document import Drop
from redpajama_data.engine import receipts, tombstones
from redpajama_data.engine.drop_sample import DropSample, Text, utf8_length
from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.engine.tombstones import Forgotten
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io import root_paths, storage
from redpajama_data.io.shards import LineWriter, to_json
from redpajama_data.models.model_file import ModelFile

INTERMEDIATE_LEVEL = 1  # zstd level of what only the next stage reads: 170 MB/s to write, against 120 at level 3


@dataclass(frozen=True)
class Task:
    """A piece of a stage. ``work`` gets a :class:`TaskContext` and writes through it; ``inputs`` name what it reads.

    ``lineage`` is the hash of all that ``work`` depends on; ``rank`` the task's place in the stage's order;
    ``bytes`` is the size of all it reads, ``raw_bytes`` that of the raw files among it, ``stamps`` the hash of their
    stamps: with another lineage or other stamps the task is done again. ``raw_files`` are the first of the raw files,
    as they were when the task was planned: a task that finds another one there fails.
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
    stamps: str = ""
    raw_files: tuple[storage.RawFile, ...] = ()


@dataclass(frozen=True)
class Workplace:
    """What every task of a run shares: where it writes, and its limits. Nothing here may change a byte of a result.

    ``memory`` is bytes per task. ``tokenizer`` counts the samples of dropped texts (estimates, no results). ``foreign``
    are the files in the slice's folder that are not the root's: no task writes over them. ``lease`` is the token of the
    run that holds the root, as :func:`redpajama_data.io.lock.hold` gives it. ``base`` is the folder that relative names
    of raw files are relative to ("": the current one), ``environment`` that of the process that plans: no task runs in
    another one. ``tombstones`` is the version of the root's list of what it must not hold ("": there is none).
    ``addresses`` are those that hold what grants access, by their names (:mod:`redpajama_data.io.credentials`): they go
    from memory to memory.
    """

    root: str
    memory: int
    published_level: int = 3
    tokenizer: ModelFile | None = None
    foreign: frozenset[str] = frozenset()
    lease: str = ""
    base: str = ""
    environment: Mapping[str, str] | None = None
    tombstones: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass
class TaskContext:
    """What a task's work writes through: files that appear whole, the drop ledger, and the counts of the receipt.

    ``max_malformed`` is the share of its records that may be malformed, ``files_read`` the files they are from,
    ``expected`` what to expect of these, where all tasks read the same; ``first_malformed`` what is wrong with the
    first record that is, ``rejected`` how many records their reader refused, ``rejected_most`` how many that may be by
    the size of the files: all for :mod:`redpajama_data.pipeline.bad_records`.
    """

    task: Task
    place: Workplace
    receipt: Receipt
    max_malformed: float = 1.0
    files_read: list[str] = field(default_factory=list)
    expected: str = ""
    first_malformed: str = ""
    rejected: int = 0
    rejected_most: int = 0
    _ledger: LineWriter | None = None
    _sample: DropSample = field(default_factory=DropSample)
    _stack: contextlib.ExitStack[bool | None] = field(default_factory=contextlib.ExitStack)
    _announced: set[str] | None = None  # the files named by this task's word that it is at work; None: not given yet

    @property
    def memory(self) -> int:
        """Bytes of memory this task may use for what grows with its input."""
        return self.place.memory

    @property
    def forgotten(self) -> Forgotten | None:
        """What the root must not hold; None when there is no such list."""
        place = self.place
        return tombstones.forgotten(place.root, place.tombstones) if place.tombstones else None

    def upstream(self, path: str) -> str:
        """The full path of a file of this root, from the relative one in a receipt."""
        return storage.join(self.place.root, path)

    def relative(self, ending: str) -> str:
        """The path, from the root, of the file of this task with that ending."""
        return root_paths.task_path("", self.task.slice, self.task.stage, self.task.name, ending)

    def source(self, path: str) -> str:
        """The full path of an input of this task."""
        return root_paths.locate(self.place.root, path)

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
        if drop.rule == "malformed" and not self.first_malformed:
            self.first_malformed = f"{drop.measured} in {doc_id}"[:300]
        if drop.rule == "defect" and len(self.receipt.defects) < receipts.BROKEN_NAMED:
            self.receipt.defects.append(f"{drop.measured} in {doc_id}")
        if text is not None:
            dropped = self.receipt.dropped_bytes
            dropped[drop.rule] = dropped.get(drop.rule, 0) + utf8_length(text)
            self._sample.add(drop.rule, doc_id, text)

    def damaged(self, doc_id: str, error: BrokenInput) -> None:
        """Enter a damaged place of a raw file: a record of its own in the ledger, and a word in the receipt."""
        self.count_read()
        self.drop(doc_id, Drop("broken_input", error.place or error.message))
        if len(self.receipt.broken) < receipts.BROKEN_NAMED:
            self.receipt.broken.append(f"{error.message} ({error.place})" if error.place else error.message)

    def _begin(self, *published: str) -> None:
        """Before the first byte: the task's old receipt must vouch for nothing any more, and what it publishes must be
        known for its own should it be ended before its receipt."""
        if self._announced is None or not self._announced.issuperset(published):
            self._announced = {*(self._announced or ()), *published}
            task = self.task
            begun = receipts.Begun(task.slice, task.stage, task.name, sorted(self._announced))
            receipts.begin(self.place.root, begun)

    def count_sample(self) -> None:
        """Enter the samples of dropped texts in the receipt; the last of a task."""
        self.receipt.samples = self._sample.count(self.place.tokenizer)
        if self.receipt.samples and self.place.tokenizer is not None:
            self.receipt.sample_tokenizer = self.place.tokenizer.sha256

    @contextlib.contextmanager
    def file(self, role: str, ending: str) -> Iterator[storage.WholeFile]:
        """A binary file of this task, ``<task>.<ending>``, entered in the receipt under ``role`` when it is whole.

        :meth:`records` then tells the receipt how many records it holds. It is durable at the end of its stage: after a
        power cut before, it is missing or short, the receipt does not vouch for it, and the task is done again.
        """
        relative = self.relative(ending)
        self._begin()
        with storage.whole_file(self.upstream(relative), durable=False) as file:
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
        with self.published_file(name, "jsonl.zst") as file:
            writer = LineWriter(cast(Any, file), self.place.published_level)
            yield writer
            writer.close()
        self.records(f"published:{name}" if name else "published", writer.records)

    @contextlib.contextmanager
    def published_file(self, name: str | None, ending: str) -> Iterator[storage.WholeFile]:
        """A published file of any form, ``ROOT/<slice>/<name or task>.<ending>``; :meth:`records` then tells the
        receipt how many records it holds."""
        role = f"published:{name}" if name else "published"
        with self._file_for_others(role, f"{name or self.task.name}.{ending}") as file:
            yield file

    @contextlib.contextmanager
    def exported(self, name: str) -> Iterator[storage.WholeFile]:
        """A file for other programs, ``ROOT/<job>/<name>``, entered in the receipt as ``exported:<name>``."""
        with self._file_for_others(f"exported:{name}", name) as file:
            yield file

    @contextlib.contextmanager
    def _file_for_others(self, role: str, name: str) -> Iterator[storage.WholeFile]:
        relative = f"{self.task.slice}/{name}"
        if relative in self.place.foreign:
            raise UsageError(
                f"{self.upstream(relative)} is there, and no run of this root wrote it. Move it away, or choose "
                "another --root, then run again."
            )
        self._begin(relative)
        with storage.whole_file(self.upstream(relative)) as file:
            yield file
        self.receipt.outputs[role] = Output(relative, file.bytes, file.sha256, 0)
