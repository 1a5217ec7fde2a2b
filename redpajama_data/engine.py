"""Runs the stages of a slice: plan, skip what is done, do the rest, keep account."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from redpajama_data import receipts, storage
from redpajama_data.config import SliceSettings
from redpajama_data.errors import UsageError
from redpajama_data.executors import Executor
from redpajama_data.fingerprint import ModelFile, lineage, models_of
from redpajama_data.progress import StageProgress
from redpajama_data.receipts import RUN, Output, Quarantine, Receipt
from redpajama_data.shards import read_names
from redpajama_data.stages import Kind, Plan, Planned, RunSettings, Slice, Stage
from redpajama_data.storage import RawFile
from redpajama_data.tasks import Done, Task, Workplace, quarantine

NOTE = "run.json"  # ROOT/_run/<slice>/run.json
ENGINE_REVISION = 1  # raised when a change of the engine changes the bytes of its outputs


class RunNote(msgspec.Struct):
    """What a run is of, for those who read its root: stages in order, how many raw files, how many the whole source
    has. ``kind`` as in :class:`~redpajama_data.stages.Slice`; ``settings`` without the inputs; ``models`` (base name,
    SHA-256) are those that the tasks of the last finished run were bound to."""

    slice: str
    revision: int
    stages: list[str]
    inputs: int
    source_shards: int | None
    kind: Kind = "slice"
    settings: dict[str, Any] = {}
    models: list[tuple[str, str]] = []
    finished: bool = True  # False from the start of a run to its end


@dataclass
class SliceRun:
    """What one run did to a slice: all receipts of its stages, how many tasks were done now, and what is wrong.

    ``left_out`` are the stages that did not run because one they need whole has a quarantined task.
    """

    slice: str
    receipts: dict[str, list[Receipt]] = field(default_factory=dict)
    done_now: int = 0
    skipped: int = 0
    quarantined: list[Quarantine] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)

    def all_receipts(self) -> list[Receipt]:
        """Receipts of every stage, in stage order."""
        return [receipt for stage in self.receipts.values() for receipt in stage]

    def broken(self) -> list[Receipt]:
        """Receipts of shards whose raw file could not be read to its end."""
        return [receipt for receipt in self.all_receipts() if receipt.broken]


def list_inputs(part: Slice, where: Sequence[str]) -> list[RawFile]:
    """The raw files of a slice, sorted by path, each once.

    Raises :class:`UsageError` when there is none.
    """
    if not where:
        raise UsageError(
            f"no input for {part.name}. Give --input (files named {' or '.join(part.patterns)}), "
            f"or slices.{part.name}.input in --config."
        )
    found = {raw.path: raw for place in where for raw in storage.list_files(place, part.patterns)}
    return sorted(found.values())


def run_slice(
    part: Slice,
    settings: SliceSettings,
    run: RunSettings,
    inputs: Sequence[RawFile],
    executor: Executor,
    place: Workplace,
    progress: Callable[[str, int, int], StageProgress],
    *,
    prune: bool = False,
) -> SliceRun:
    """Run every stage of a slice on its inputs.

    A task whose receipt matches its lineage is skipped; the others run on ``executor``. Failed tasks are quarantined
    and later stages work with what is there. What earlier runs left and this plan does not name is removed, so that
    the root holds exactly this run; ``prune`` says that raw files of the run before may be missing from this one.
    Raises the errors that stop a whole run (:class:`StorageError`, :class:`MissingModel`, :class:`UsageError`).
    """
    result = SliceRun(part.name)
    for raw in inputs:
        if "\n" in raw.path or not _is_utf8(raw.path):
            raise UsageError(f"{raw.path!r}: a name with a line end, or not in UTF-8. Rename it, then run again.")
    names = "".join(f"{raw.path}\n" for raw in inputs).encode()
    inputs_file = Output(f"{RUN}/{part.name}/inputs.txt", len(names), hashlib.sha256(names).hexdigest(), len(inputs))
    stages = part.stages(settings, run)
    if not prune:
        _refuse_fewer_inputs(part, inputs, place.root, storage.join(place.root, inputs_file.path))
    _remove_unfinished(place.root, part)
    note = RunNote(
        part.name,
        part.revision,
        [stage.name for stage in stages],
        len(inputs),
        settings.source_shards,
        part.kind,
        settings.model_dump(mode="json", exclude={"input"}),
        finished=False,
    )
    note_path = storage.join(place.root, RUN, part.name, NOTE)
    _write_if_changed(storage.join(place.root, inputs_file.path), names)
    _write_if_changed(note_path, _encoded(note, _models_before(note_path)))
    models: set[ModelFile] = set()
    for stage in stages:
        result.receipts[stage.name] = []
        if any(entry.stage in stage.whole for entry in result.quarantined) or result.left_out & {*stage.reads}:
            result.left_out.add(stage.name)
            continue
        known = {name: result.receipts[name] for name in stage.reads}
        planned = stage.plan(Plan(inputs, inputs_file, place.memory, known))
        models |= {model for piece in planned for model in models_of(piece.work)}
        tasks = [_task(part, stage, rank, piece) for rank, piece in enumerate(planned)]
        _run_stage(part, stage, tasks, executor, place, progress, result)
    note.finished = True
    _write_if_changed(note_path, _encoded(note, [(posixpath.basename(m.path), m.sha256) for m in models]))
    _remove_stale(place.root, part, stages, result)
    return result


def _encoded(note: RunNote, models: Iterable[tuple[str, str]]) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(note, models=sorted(set(models)))) + b"\n"


def _models_before(note_path: str) -> list[tuple[str, str]]:
    """The models of the run before, so that a note is not written twice when nothing has changed."""
    data = storage.read_bytes(note_path)
    try:
        return msgspec.json.decode(data, type=RunNote).models if data else []
    except msgspec.DecodeError:
        return []


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_fewer_inputs(part: Slice, inputs: Sequence[RawFile], root: str, before: str) -> None:
    """Raise :class:`UsageError` when the root holds the work of raw files that this run does not have."""
    given = {raw.path for raw in inputs}
    gone = [path for path in read_names(before) if path not in given]
    if gone:
        raise UsageError(
            f"{root} holds {part.name} of {len(gone)} raw files that are not given now ({gone[0]} ...). Give all raw "
            "files of the slice in one run, or choose another --root, or remove what those gave with --prune."
        )


def _task(part: Slice, stage: Stage, rank: int, piece: Planned) -> Task:
    reads = [tuple(x) if isinstance(x, RawFile) else (x.path, x.sha256) for x in piece.reads]
    made = lineage(ENGINE_REVISION, part.name, part.revision, stage.name, rank, piece.work, reads)
    raw_bytes = sum(x.bytes for x in piece.reads if isinstance(x, RawFile))
    # A later stage may read every shard: its receipt names the lineage, not a hundred thousand files.
    paths = tuple(x.path for x in piece.reads[:16])
    return Task(
        part.name, stage.name, piece.name, rank, piece.work, made, paths, raw_bytes, sum(x.bytes for x in piece.reads)
    )


def _run_stage(
    part: Slice,
    stage: Stage,
    tasks: Sequence[Task],
    executor: Executor,
    place: Workplace,
    progress: Callable[[str, int, int], StageProgress],
    result: SliceRun,
) -> None:
    there = set(storage.find(storage.join(place.root, RUN, part.name, stage.name)))
    published = set(storage.find(storage.join(place.root, part.name)))
    finished: dict[str, Receipt] = {}
    todo: list[Task] = []
    for task in tasks:
        receipt = None
        if f"{task.name}.receipt.json" in there:
            receipt = receipts.load(place.root, part.name, stage.name, task.name)
        if receipt is not None and receipt.lineage == task.lineage and _outputs_there(receipt, there, published):
            finished[task.name] = receipt
        else:
            todo.append(task)
    result.skipped += len(finished)
    with progress(f"{part.name} {stage.name}", len(tasks), len(finished)) as shown:
        for outcome in executor.map(todo, place) if todo else ():
            shown.update(outcome)
            name = outcome.task.name
            if isinstance(outcome, Done):
                finished[name] = outcome.receipt
                result.done_now += 1
                if f"{name}.quarantine.json" in there:
                    storage.remove(receipts.task_path(place.root, part.name, stage.name, name, "quarantine.json"))
                continue
            if outcome.fatal is not None:
                raise outcome.fatal
            # What an earlier recipe left of this task must not pass for this one's.
            storage.remove(receipts.task_path(place.root, part.name, stage.name, name, "receipt.json"))
            result.quarantined.append(quarantine(place, outcome))
    result.receipts[stage.name] = [finished[task.name] for task in tasks if task.name in finished]


def _outputs_there(receipt: Receipt, there: set[str], published: set[str]) -> bool:
    work = f"{RUN}/{receipt.slice}/{receipt.stage}/"
    return all(
        out.path.removeprefix(work) in there
        if out.path.startswith(work)
        else out.path.removeprefix(f"{receipt.slice}/") in published
        for out in receipt.outputs.values()
    )


def _write_if_changed(path: str, data: bytes) -> None:
    if storage.read_bytes(path) != data:
        storage.write_bytes(path, data)


def _remove_unfinished(root: str, part: Slice) -> None:
    """Remove the temporary files of killed runs; nobody else can be writing, the root is held."""
    for base in (f"{RUN}/{part.name}", part.name):
        for name in storage.find(storage.join(root, base)):
            if storage.TMP_MARK in name.rsplit("/", 1)[-1]:
                storage.remove(storage.join(root, base, name))


def _remove_stale(root: str, part: Slice, stages: Sequence[Stage], result: SliceRun) -> None:
    """Remove what no receipt of this run names: outputs of other recipes, removed inputs, killed runs.

    What a stage that was left out wrote before stays: this run has nothing to put in its place.
    """
    keep = {out.path for receipt in result.all_receipts() for out in receipt.outputs.values()}
    keep |= {f"{RUN}/{part.name}/{name}" for name in ("inputs.txt", NOTE)}
    for receipt in result.all_receipts():
        keep.add(receipts.task_path("", part.name, receipt.stage, receipt.task, "receipt.json"))
    for entry in result.quarantined:
        keep.add(receipts.task_path("", part.name, entry.stage, entry.task, "quarantine.json"))
    kept_folders = tuple(f"{RUN}/{part.name}/{stage}/" for stage in result.left_out)
    for base in (f"{RUN}/{part.name}", *([] if result.left_out else [part.name])):
        for name in storage.find(storage.join(root, base)):
            if f"{base}/{name}" not in keep and not f"{base}/{name}".startswith(kept_folders or "\0"):
                storage.remove(storage.join(root, base, name))
