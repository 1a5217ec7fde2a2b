"""Runs the stages of a slice: plan, skip what is done, do the rest, keep account."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import msgspec

from redpajama_data.config import SliceSettings
from redpajama_data.engine import environment, ownership, receipts, tidying
from redpajama_data.engine.costs import CostBook
from redpajama_data.engine.environment import Environment
from redpajama_data.engine.executors import Executor
from redpajama_data.engine.inputs import current_base, each_once
from redpajama_data.engine.lineage import Known
from redpajama_data.engine.ownership import INPUTS, NOTE, Holdings
from redpajama_data.engine.planning import planned_tasks
from redpajama_data.engine.progress import StageProgress, size_of
from redpajama_data.engine.receipts import Output, Quarantine, Receipt
from redpajama_data.engine.run_task import Done, Underway, quarantine
from redpajama_data.engine.slice_run import RunNote, SliceRun, decoded_note
from redpajama_data.engine.stages import RunSettings, Slice, Stage, StageInput
from redpajama_data.engine.tasks import Task, Workplace
from redpajama_data.errors import BrokenInput, InputUnavailable, StorageError, UsageError
from redpajama_data.io import lease, root_paths, storage
from redpajama_data.io.credentials import name_of
from redpajama_data.io.paths import refuse_name
from redpajama_data.io.root_paths import RUN
from redpajama_data.io.shards import read_names
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile

PLAN = "(plan)"  # the name under which a stage is quarantined whose tasks could not be planned: no task has such a one
MANY = 20_000  # raw files and receipts from which a stage is planned: their plan takes seconds


def list_inputs(part: Slice, where: Sequence[str]) -> list[RawFile]:
    """The raw files of a slice, sorted by path, each once however it is spelled.

    Raises :class:`UsageError` when there is none.
    """
    if not where:
        raise UsageError(
            f"no input for {part.name}, and no folder raw/{part.name} here. Try it on the sample: rpj sample. Get the "
            f"source's files: rpj download {part.name}. With files of your own: --input (named "
            f"{' or '.join(part.patterns)}), or slices.{part.name}.input in --config."
        )
    return each_once(raw for place in where for raw in storage.list_files(place, part.patterns))


def run_slice(
    part: Slice,
    settings: SliceSettings,
    run: RunSettings,
    inputs: Sequence[RawFile],
    executor: Executor,
    place: Workplace,
    progress: Callable[[str, int, int, int], StageProgress],
    *,
    prune: bool = False,
    retry_broken: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> SliceRun:
    """Run every stage of a slice on its inputs.

    A task whose receipt matches its lineage is skipped; the others run on ``executor``. Failed tasks are quarantined
    and later stages work with what is there. What earlier runs of this root left (by their receipts) and this plan does
    not name is removed, so that the root holds exactly this run; files of anybody else stay and are named. ``prune``
    says that raw files of the run before may be missing from this one, ``retry_broken`` that tasks whose raw file was
    damaged, or on whose records a step raised, are done again. ``tell`` gets a line when planning may take long.
    Raises the errors that stop a whole run (:class:`StorageError`, :class:`RootInUse`, :class:`MissingModel`,
    :class:`UsageError`).
    """
    result = SliceRun(part.name)
    for raw in inputs:
        refuse_name(raw.path)
    names = "".join(f"{raw.path}\n" for raw in inputs).encode()
    inputs_file = Output(f"{RUN}/{part.name}/{INPUTS}", len(names), hashlib.sha256(names).hexdigest(), len(inputs))
    stages = part.stages(settings, run)
    if not prune:
        _refuse_fewer_inputs(part, inputs, place.root, storage.join(place.root, inputs_file.path))
    ownership.refuse_links(place.root, part.name)
    held = ownership.holdings(place.root, part.name)
    protected = ownership.protected_files(place.root, held)
    result.foreign, place = sorted(protected), replace(place, foreign=protected)
    tidying.remove_unfinished(place.root, held)
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
    before = decoded_note(storage.read_bytes(note_path))
    note.base = current_base((raw.path for raw in inputs), place.base)
    note.environments = _united(before.environments if before else [], [environment.current()])
    _write_if_changed(storage.join(place.root, inputs_file.path), names)
    _write_if_changed(note_path, _encoded(note, before.models if before else []))
    models: set[ModelFile] = set()
    book = CostBook(place.root, part.name, note.stages)
    for stage in stages:
        lease.check(place.root, place.lease)
        result.receipts[stage.name] = []
        if any(entry.stage in stage.whole for entry in result.quarantined) or result.left_out & {*stage.reads}:
            result.left_out.add(stage.name)
            continue
        known = {name: result.receipts[name] for name in stage.reads}
        if (many := len(inputs) + sum(map(len, known.values()))) >= MANY:
            tell(f"{part.name} {stage.name}: planning, from {many:,} raw files and finished tasks")
        try:
            planned = stage.plan(StageInput(inputs, inputs_file, known))
        except (BrokenInput, InputUnavailable) as error:  # a file that planning reads: as a task that failed
            entry = Quarantine(part.name, stage.name, PLAN, [], str(error))
            receipts.save_quarantine(place.root, entry)
            result.quarantined.append(entry)
            result.left_out.add(stage.name)
            continue
        described = Known()
        tasks = planned_tasks(part, stage, planned, described)
        models |= described.models
        book.begin_stage(planned)
        vouched = partial(_vouched, held=held, retry_broken=retry_broken)
        _run_stage(part, stage, tasks, executor, place, progress, result, held, vouched, book)
    lease.check(place.root, place.lease)
    note.finished = True
    kept = before.environments if before and result.skipped else []
    note.environments = _united(kept, [environment.current()] if result.done_now or not kept else [])
    _write_if_changed(note_path, _encoded(note, [(posixpath.basename(m.path), m.sha256) for m in models]))
    tidying.remove_stale(place.root, part, stages, result, held)
    return result


def _encoded(note: RunNote, models: Iterable[tuple[str, str]]) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(note, models=sorted(set(models)))) + b"\n"


def _united(one: Iterable[Environment], other: Iterable[Environment]) -> list[Environment]:
    return [dict(items) for items in sorted({tuple(e.items()) for e in (*one, *other)})]


def _refuse_fewer_inputs(part: Slice, inputs: Sequence[RawFile], root: str, before: str) -> None:
    """Raise :class:`UsageError` when the root holds the work of raw files that this run does not have."""
    given = {raw.path for raw in inputs}
    gone = [name for name in map(name_of, read_names(before)) if name not in given]
    if gone:
        raise UsageError(
            f"{root} holds {part.name} of {len(gone)} raw files that are not given now ({gone[0]} ...). Give all raw "
            "files of the slice in one run, or choose another --root, or remove what those gave with --prune."
        )


def _run_stage(
    part: Slice,
    stage: Stage,
    tasks: Sequence[Task],
    executor: Executor,
    place: Workplace,
    progress: Callable[[str, int, int, int], StageProgress],
    result: SliceRun,
    held: Holdings,
    vouched: Callable[[Task], Receipt | None],
    book: CostBook,
) -> None:
    finished: dict[str, Receipt] = {}
    todo: list[Task] = []
    for task in tasks:
        if (receipt := vouched(task)) is not None:
            receipt.rank = task.rank  # others came or went since
            finished[task.name] = receipt
        else:
            todo.append(task)
    result.skipped += len(finished)
    todo.sort(key=lambda task: -task.bytes)  # the largest begin first: none is left that runs alone at the end
    if (entry := root_paths.task_path("", part.name, stage.name, PLAN, "quarantine.json")) in held.files:
        storage.remove(storage.join(place.root, entry))
    if todo:
        ownership.note_named(place.root, held)
    with progress(f"{part.name} {stage.name}", len(tasks), len(finished), size_of(todo)) as shown:
        for outcome in executor.map(todo, place) if todo else ():
            shown.update(outcome)
            if isinstance(outcome, Underway):
                continue
            name = outcome.task.name
            if isinstance(outcome, Done):
                finished[name] = outcome.receipt
                book.enter(stage.name, name, outcome.cost)
                result.done_now += 1
                entry = root_paths.task_path("", part.name, stage.name, name, "quarantine.json")
                if entry in held.files:
                    storage.remove(storage.join(place.root, entry))
                continue
            if outcome.fatal is not None:
                raise outcome.fatal
            if isinstance(receipts.load_state(place.root, part.name, stage.name, name), Receipt):
                # What an earlier recipe left of this task must not pass for this one's.
                receipts.begin(place.root, receipts.Begun(part.name, stage.name, name, []))
            result.quarantined.append(quarantine(place, outcome))
    if todo:
        _settle(place.root, [finished[task.name] for task in todo if task.name in finished])
        book.end_stage(stage.name, finished)
    result.receipts[stage.name] = [finished[task.name] for task in tasks if task.name in finished]


def _settle(root: str, done: Sequence[Receipt]) -> None:
    """Wait until the disk has what the tasks of a stage wrote. Raises :class:`StorageError` when it has lost some of
    it: the receipts then vouch for nothing any more, as nobody knows of which file it was."""
    try:
        storage.settle(root)
    except StorageError:
        for receipt in done:
            files = sorted(out.path for out in receipt.outputs.values())
            receipts.begin(root, receipts.Begun(receipt.slice, receipt.stage, receipt.task, files))
        raise


def _vouched(task: Task, *, held: Holdings, retry_broken: bool) -> Receipt | None:
    """The receipt that says a task is done already: of the same lineage and raw files with the same stamps, and all it
    has written is there."""
    receipt = held.receipts.get((task.stage, task.name))
    if receipt is None or (receipt.lineage, receipt.stamps) != (task.lineage, task.stamps):
        return None
    if retry_broken and (receipt.broken or receipt.defects):
        return None
    return receipt if held.vouched(receipt) else None


def _write_if_changed(path: str, data: bytes) -> None:
    if storage.read_bytes(path) != data:
        storage.write_bytes(path, data)
