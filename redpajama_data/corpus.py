"""Shards as input: what the stages over every slice read and write.

Any JSON lines with a string ``text`` will do: published shards of a run, or files of anybody's making. A shard's slice
is the name of its folder. Kept records pass byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from redpajama_data import receipts, storage
from redpajama_data.account import is_published, slices_of
from redpajama_data.document import Drop
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.fingerprint import ModelFile
from redpajama_data.pipeline import BATCH_CHARACTERS, BATCH_DOCUMENTS, MALFORMED_MIN
from redpajama_data.receipts import RUN
from redpajama_data.shards import MAX_LINE, to_json
from redpajama_data.stages import Plan, Planned, RunSettings, Stage, Work, task_name
from redpajama_data.storage import RawFile
from redpajama_data.streams import TooLong, iter_lines
from redpajama_data.tasks import TaskContext
from redpajama_data.tokens import tokenizer_for

PATTERNS = ("*.jsonl", "*.jsonl.zst", "*.jsonl.gz", "*.json.gz")
_RANK = re.compile(r"^\d{5,}-")  # what a run has put before a shard's name


class _Line(msgspec.Struct):
    text: str
    meta: msgspec.Raw = msgspec.Raw(b"{}")


_decode_line = msgspec.json.Decoder(_Line).decode


@dataclass(slots=True)
class Record:
    """The n-th line (from 0) of a shard: its bytes without the newline, its text, and its meta, not yet decoded."""

    n: int
    line: bytes
    text: str
    raw_meta: msgspec.Raw

    def meta(self) -> dict[str, Any]:
        """The record's ``meta``; empty when it is absent or no object."""
        try:
            found = msgspec.json.decode(self.raw_meta)
        except (msgspec.DecodeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


# ---------------------------------------------------------------------------------------------------- listing


def is_root(place: str) -> bool:
    """True when a run has written to ``place``."""
    return bool(storage.find(storage.join(place, RUN)))


def list_shards(places: Sequence[str]) -> list[RawFile]:
    """The shards that ``places`` mean, sorted by path, each once: files, globs, folders at any depth, URLs; of the root
    of a run the shards its slices published.

    Raises :class:`UsageError` when there is none.
    """
    if not places:
        raise UsageError("no input. Give JSONL files, globs, folders, or the root of a run.")
    found = {}
    for place in places:
        shards = root_shards(place) if is_root(place) else storage.list_files(place, PATTERNS)
        found.update({raw.path: raw for raw in shards if f"/{RUN}/" not in raw.path})
    return sorted(found.values())


def root_shards(root: str, job: str | None = None) -> list[RawFile]:
    """What the slices of a root published, or the ``corpus`` job of that name, sorted by path.

    A shard's stamp is its SHA-256, so that one that was made again with the same bytes is the same input.
    Raises :class:`UsageError` when nothing was published.
    """
    notes = slices_of(root)
    wanted = [note.slice for note in notes if (note.slice == job if job else note.kind == "slice")]
    published = [receipt for name in wanted for receipt in receipts.load_all(root, name) if is_published(receipt)]
    found = [
        RawFile(storage.join(root, out.path), out.bytes, out.sha256)
        for receipt in published
        for role, out in receipt.outputs.items()
        if role.split(":")[0] == "published"
    ]
    if not found:
        raise UsageError(f"{root}: no shards of {job or 'a slice'} there. Run a slice first, or name files or folders.")
    return sorted(found)


def slice_of(path: str) -> str:
    """The slice a shard belongs to: the name of its folder (``files`` for a path without one)."""
    folders = path.split("/")[:-1]
    return folders[-1] if folders and folders[-1] not in ("", ".", "..") else "files"


def shard_task_name(rank: int, total: int, path: str) -> str:
    """A task's name for a shard. Sorts as ``rank`` does; the number an earlier run put before the name goes."""
    return task_name(rank, total, _RANK.sub("", path.rsplit("/", 1)[-1]))


def published_name(task: str, path: str) -> str:
    """Where a job publishes what it keeps of a shard, below ``ROOT/<job>/``: ``<slice>/<task>``."""
    return f"{slice_of(path)}/{task}"


def per_shard(name: str, work: Callable[[RawFile, str], Work]) -> Stage:
    """A stage with one task an input shard; ``work(shard, published name)`` binds them into its work."""
    return Stage(name, partial(_plan_shards, work=work))


def _plan_shards(plan: Plan, *, work: Callable[[RawFile, str], Work]) -> list[Planned]:
    names = [shard_task_name(rank, len(plan.inputs), raw.path) for rank, raw in enumerate(plan.inputs)]
    return [
        Planned(name, work(raw, published_name(name, raw.path)), [raw])
        for name, raw in zip(names, plan.inputs, strict=True)
    ]


# ---------------------------------------------------------------------------------------------------- reading, writing


def read_shard(context: TaskContext, path: str, *, max_malformed: float) -> Iterator[Record]:
    """The records of a shard in order; a line that is no JSON object with a string ``text`` goes to the ledger.

    ``receipt.read`` counts every line. Raises :class:`BrokenInput` at the end when more than ``max_malformed`` of them
    are malformed; a shard that breaks off keeps what came before, as raw files do.
    """
    lines = enumerate(iter_lines(path, max_bytes=MAX_LINE))
    receipt, malformed = context.receipt, 0
    while True:
        try:
            n, line = next(lines, (0, None))
        except BrokenInput as error:
            n = receipt.read
            receipt.read += 1
            receipt.broken = f"{error.message} ({error.place})" if error.place else error.message
            context.drop(f"{path}#{n}", Drop("broken_input", error.place or error.message))
            break
        if line is None:
            break
        receipt.read += 1
        if isinstance(line, TooLong):
            context.drop(f"{path}#{n}", Drop("max_record_bytes", line.length, MAX_LINE))
            continue
        try:
            found = _decode_line(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            malformed += 1
            context.drop(f"{path}#{n}", Drop("malformed", f"line {n + 1}: {error}", "a JSON object with a text"))
            continue
        yield Record(n, line, found.text, found.meta)
    if malformed >= MALFORMED_MIN and malformed > max_malformed * receipt.read:
        raise BrokenInput(
            f"{path}: {malformed} of {receipt.read} lines are malformed, more than {max_malformed:.0%}. "
            "Expected JSON lines with a string in 'text'.",
        )


def with_meta(record: Record, added: dict[str, Any]) -> Record:
    """The record with fields added to its ``meta`` (after those that are there; equal names are replaced)."""
    whole = msgspec.json.decode(record.line)
    whole["meta"] = {**record.meta(), **added}
    return replace(record, line=to_json(whole))


def with_text(record: Record, text: str) -> Record:
    """The record with another text; its other fields and their order stay."""
    whole = msgspec.json.decode(record.line)
    whole["text"] = text
    return replace(record, line=to_json(whole), text=text)


def publish_records(
    context: TaskContext, records: Iterable[Record], *, path: str, name: str, tokenizer: ModelFile
) -> None:
    """Write what a job keeps of the shard ``path`` to ``ROOT/<job>/<name>.jsonl.zst``, count its tokens, and note the
    ids beside it for ``rpj explain``."""
    receipt = context.receipt
    receipt.tokenizer = tokenizer.sha256
    count = tokenizer_for(tokenizer).count
    texts: list[str] = []
    size = 0
    with context.published(name) as out, context.lines(f"ids:{name}", "ids.zst") as ids:
        for record in records:
            out.write(record.line)
            ids.write(f"{path}#{record.n}".encode())
            texts.append(record.text)
            size += len(record.text)
            if len(texts) >= BATCH_DOCUMENTS or size >= BATCH_CHARACTERS:
                receipt.tokens += sum(count(texts))
                _measure(context, texts)
                texts, size = [], 0
        receipt.tokens += sum(count(texts))
        _measure(context, texts)
    receipt.kept += out.records


def _measure(context: TaskContext, texts: list[str]) -> None:
    receipt = context.receipt
    receipt.characters += sum(map(len, texts))
    receipt.bytes += sum(len(text) if text.isascii() else len(text.encode()) for text in texts)


# ---------------------------------------------------------------------------------------------------- one-pass jobs

RecordStep = Callable[[list[Record]], list[Record | Drop]]
"""What a one-pass job does: a batch of records in; for each, in order, the record (changed or not) or its drop."""


def pass_work(
    context: TaskContext, *, path: str, name: str, step: RecordStep, max_malformed: float, tokenizer: ModelFile
) -> None:
    """Read a shard, run ``step`` on its records in batches, publish what stays."""

    def kept() -> Iterator[Record]:
        for batch in batches(read_shard(context, path, max_malformed=max_malformed)):
            for record, result in zip(batch, step(batch), strict=True):
                if isinstance(result, Drop):
                    context.drop(f"{path}#{record.n}", result)
                else:
                    yield result

    publish_records(context, kept(), path=path, name=name, tokenizer=tokenizer)


def batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records in lists of at most :data:`BATCH_DOCUMENTS`, or :data:`BATCH_CHARACTERS` of text, so that long ones do
    not add up."""
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.text)
        if len(batch) >= BATCH_DOCUMENTS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def pass_stage(name: str, *, step: RecordStep, run: RunSettings) -> Stage:
    """One task a shard: :func:`pass_work`. ``step`` is a named function or a ``partial`` of one."""

    def work(raw: RawFile, published: str) -> Work:
        return partial(
            pass_work,
            path=raw.path,
            name=published,
            step=step,
            max_malformed=run.max_malformed,
            tokenizer=run.tokenizer,
        )

    return per_shard(name, work)
