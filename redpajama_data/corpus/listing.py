"""Shards as input: which there are, and jobs that look at their records one by one
(:mod:`redpajama_data.corpus.columns` for those that must be faster).

Any JSON lines with a string ``text`` will do: published shards of a run, or files of anybody's making. A shard's slice
is the name of its folder. Kept records pass byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from redpajama_data.corpus.columns import Batch, counted_batches, publishing
from redpajama_data.document import Drop
from redpajama_data.engine import receipts
from redpajama_data.engine.inputs import each_once, identity
from redpajama_data.engine.ownership import NOTE
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.engine.stages import Planned, RunSettings, Stage, StageInput, Work
from redpajama_data.engine.task_names import bounded, task_names
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN, WITHIN
from redpajama_data.io.shards import to_json
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.bad_records import isolated

PATTERNS = ("*.jsonl", "*.jsonl.zst", "*.jsonl.gz", "*.json.gz")
_LONGEST_SLICE = 40  # bytes of a folder's name in that of a task, which has a shard's name and endings as well
_OF_SLICE = "~"  # between slice and shard in a task's name: no shard's name has it, so no two tasks can share one
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


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
    return any(name.endswith(f"/{NOTE}") for name in storage.find(storage.join(place, RUN), depth=2))


def list_shards(places: Sequence[str], root: str | None = None) -> list[RawFile]:
    """The shards that ``places`` mean, sorted by path, each once: files, globs, folders at any depth, URLs; of the root
    of a run the shards its slices published. Those that lie in ``root`` itself are named from there.

    Raises :class:`UsageError` when there is none.
    """
    if not places:
        raise UsageError("no input. Give JSONL files, globs, folders, or the root of a run.")
    listed = (
        raw
        for place in places
        for raw in (root_shards(place) if is_root(place) else storage.list_files(place, PATTERNS))
        if f"/{RUN}/" not in raw.path
    )
    shards = each_once(listed)
    return sorted(_named_from(root, shards) if root is not None else shards)


def root_shards(
    root: str, job: str | None = None, *, within: bool = False, rerun: Collection[str] = ()
) -> list[RawFile]:
    """What the slices of a root published, or the ``corpus`` job of that name, sorted by path; ``within``: named from
    the root (:data:`~redpajama_data.io.root_paths.WITHIN`). ``rerun`` as in
    :func:`~redpajama_data.engine.slice_run.slices_of`.

    A shard's stamp is its SHA-256, so that one that was made again with the same bytes is the same input.
    Raises :class:`UsageError` when nothing was published.
    """
    notes = slices_of(root, rerun=rerun)
    wanted = [note.slice for note in notes if (note.slice == job if job else note.kind == "slice")]
    published = [out for name in wanted for out in _published(root, name)]
    if not published:
        raise UsageError(f"{root}: no shards of {job or 'a slice'} there. Run a slice first, or name files or folders.")
    return sorted(
        RawFile(WITHIN + out.path if within else storage.join(root, out.path), out.bytes, out.sha256)
        for out in published
    )


def has_shards(root: str, job: str | None = None, *, rerun: Collection[str] = ()) -> bool:
    """Whether :func:`root_shards` would find any."""
    try:
        return bool(root_shards(root, job, rerun=rerun))
    except UsageError:
        return False


def _published(root: str, name: str | None = None) -> list[Output]:
    return [
        out
        for receipt in receipts.load_all(root, name)
        for role, out in receipt.outputs.items()
        if role.split(":")[0] == "published"
    ]


def _named_from(root: str, shards: Sequence[RawFile]) -> list[RawFile]:
    """The shards; those in the root by their path from there, with the SHA-256 of their receipt as the stamp."""
    inside = {raw.path: path for raw in shards if (path := path_below(root, raw.path)) is not None}
    known = {out.path: out.sha256 for out in _published(root)} if inside else {}
    return [
        RawFile(WITHIN + inside[raw.path], raw.bytes, known.get(inside[raw.path], raw.stamp))
        if raw.path in inside
        else raw
        for raw in shards
    ]


def path_below(folder: str, path: str) -> str | None:
    """The path from a folder on, None for one that is not in it."""
    base, path = identity(folder).rstrip("/") + "/", identity(path)
    return path.removeprefix(base) if path.startswith(base) else None


def slice_of(path: str) -> str:
    """The slice a shard belongs to: the name of its folder (``files`` for a path without one)."""
    folders = path.split("/")[:-1]
    return folders[-1] if folders and folders[-1] not in ("", ".", "..") else "files"


def shard_task_names(paths: Sequence[str]) -> list[str]:
    """The tasks' names for shards, ``c4~c4-train.00012``: the slice, and its shard as among those of the slice
    :func:`~redpajama_data.engine.task_names.task_names` names it."""
    slices: dict[str, list[int]] = {}
    for place, path in enumerate(paths):
        slices.setdefault(slice_of(path), []).append(place)
    names = [""] * len(paths)
    for name, places in slices.items():
        shards = task_names(_without_slice(paths[place]) for place in places)
        for place, shard in zip(places, shards, strict=True):
            names[place] = f"{bounded(name, _LONGEST_SLICE, name)}{_OF_SLICE}{shard}"
    return names


def _without_slice(path: str) -> str:
    """A path without the slice's own folder, which the others of the slice have as well. One that lies in no such
    folder stays apart from those in a folder ``files``: no listed path begins with ``./``."""
    *folders, name = path.split("/")
    named = folders and folders[-1] == slice_of(path)
    return "/".join([*folders[:-1], name]) if named else f"./{path}"


def published_name(task: str, path: str) -> str:
    """Where a job publishes what it keeps of a shard, below ``ROOT/<job>/``: ``<slice>/<shard>``, by its task."""
    return f"{slice_of(path)}/{task.rpartition(_OF_SLICE)[2]}"


def per_shard(name: str, work: Callable[[RawFile, str], Work]) -> Stage:
    """A stage with one task an input shard; ``work(shard, published name)`` binds them into its work."""
    return Stage(name, partial(_plan_shards, work=work))


def _plan_shards(given: StageInput, *, work: Callable[[RawFile, str], Work]) -> list[Planned]:
    names = shard_task_names([raw.path for raw in given.inputs])
    return [
        Planned(name, work(raw, published_name(name, raw.path)), [raw])
        for name, raw in zip(names, given.inputs, strict=True)
    ]


# ---------------------------------------------------------------------------------------------------- reading, writing


def records_of(batch: Batch) -> list[Record]:
    """The records of a batch, one by one."""
    return list(map(Record, batch.n, batch.lines, batch.texts, batch.metas))


def with_meta(record: Record, added: dict[str, Any], text: str | None = None) -> Record:
    """The record with fields added to its ``meta`` (after those that are there; equal names are replaced), and with
    another ``text``, if one is given. All other values keep their bytes; a ``meta`` that is no object is replaced."""
    whole = _decode_fields(record.line)
    try:
        meta = _decode_fields(record.raw_meta)
    except msgspec.DecodeError:
        meta = {}
    raw_meta = msgspec.Raw(to_json({**meta, **added}))
    whole["meta"] = raw_meta
    if text is None:
        return replace(record, line=to_json(whole), raw_meta=raw_meta)
    whole["text"] = msgspec.Raw(to_json(text))
    return replace(record, line=to_json(whole), raw_meta=raw_meta, text=text)


# ---------------------------------------------------------------------------------------------------- one-pass jobs

RecordStep = Callable[[list[Record]], list[Record | Drop]]
"""What a one-pass job does: a batch of records in; for each, in order, the record (changed or not) or its drop."""


def pass_work(
    context: TaskContext, *, path: str, name: str, step: RecordStep, max_malformed: float, tokenizer: ModelFile | None
) -> None:
    """Read a shard, run ``step`` on its records in batches, publish what stays."""

    with publishing(context, path=path, name=name, tokenizer=tokenizer) as put:
        for batch in counted_batches(context, path, max_malformed=max_malformed):
            kept: list[Record] = []
            records = records_of(batch)
            results: list[Record | Drop] = isolated(step, records)
            for record, result in zip(records, results, strict=True):
                if isinstance(result, Drop):
                    context.drop(f"{path}#{record.n}", result, text=record.text)
                else:
                    kept.append(result)
            put([record.n for record in kept], [record.line for record in kept], [record.text for record in kept])


def pass_stage(name: str, *, step: RecordStep, run: RunSettings) -> Stage:
    """One task a shard: :func:`pass_work`. ``step`` is a named function or a ``partial`` of one."""

    def work(raw: RawFile, published: str) -> Work:
        return partial(
            pass_work,
            path=raw.path,
            name=published,
            step=step,
            max_malformed=run.max_malformed,
            tokenizer=run.counter,
        )

    return per_shard(name, work)
