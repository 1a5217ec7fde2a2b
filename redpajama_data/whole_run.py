"""A whole run: hold the root, run each slice, say what came of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from redpajama_data.config import RunConfig, SliceSettings
from redpajama_data.corpus.listing import has_shards, is_root, list_shards, path_below, root_shards
from redpajama_data.download.addresses import Addresses
from redpajama_data.engine import environment, ownership, replacing, tombstones
from redpajama_data.engine.executors import Executor, open_executor
from redpajama_data.engine.inputs import as_known, identities, identity
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun, slices_of
from redpajama_data.engine.stages import RunSettings, Slice
from redpajama_data.engine.tasks import Workplace
from redpajama_data.errors import UsageError
from redpajama_data.io import credentials, storage
from redpajama_data.io.lock import hold
from redpajama_data.io.root_paths import WITHIN
from redpajama_data.io.storage import RawFile
from redpajama_data.io.terminal import Stopped, say
from redpajama_data.models.tokens import resolve_tokenizer
from redpajama_data.reports import manifest

NO_TOKENS = "none"  # the tokenizer of a job over shards that is to count none
# Bytes a task needs whatever it reads: what its writers gather before they write (keys of dedup: 24 MB at the peak) and
# the parts of a shard that are sorted at once (lines of the crawl: 21 MB). Above it more memory makes tasks faster.
LEAST_MEMORY = 32 << 20
PARTIAL = 3  # exit status of a run that went to its end but had to leave something out


@dataclass
class RunReport:
    """What a run did, slice by slice."""

    root: str
    slices: list[SliceRun] = field(default_factory=list)

    def exit_code(self) -> int:
        """0, or 3 when a shard was quarantined or could not be read to its end, a step raised on a record, or something
        was left out."""
        wrong = (part.quarantined or part.broken() or part.defects() or part.left_out for part in self.slices)
        return PARTIAL if any(wrong) else 0


def run_parts(
    parts: Sequence[tuple[Slice, SliceSettings]], config: RunConfig, *, quiet: bool = False, prune: bool = False
) -> RunReport:
    """Run slices, and jobs over their shards, with their settings as ``config`` says.

    A job without ``input`` reads what the slices of the root have published, or what the job of kind ``corpus`` before
    it among ``parts`` made of that. Everything that can be wrong is looked at before the first task: inputs, settings,
    models. Raises :class:`UsageError`, :class:`RootInUse`, :class:`MissingModel`, :class:`StorageError`; what goes
    wrong with single shards is in the report.
    """
    config = config.model_copy(update={"root": credentials.admit(config.root or "")})
    if not config.root:
        raise UsageError("no root. Give --root DIR (or root: in --config): the folder or URL to write to.")
    Addresses(config.addresses).pass_on()  # to what fetches models and reads raw files, and to workers
    parts = [(part, _without_secrets(settings)) for part, settings in parts]
    names = {part.name for part, _ in parts}
    inputs = [_inputs(part, settings, config.root, names) for part, settings in parts]
    for part, _ in parts:
        ownership.refuse_links(config.root, part.name)
    manifest.refuse_foreign(config.root)
    counter = None if config.tokenizer == NO_TOKENS else resolve_tokenizer(config.tokenizer)
    common = RunSettings(counter, config.max_malformed)
    for part, settings in parts:
        if part.kind == "slice":
            common.tokenizer  # noqa: B018  (raises now when there is none, not when the last stage is planned)
        part.stages(settings, common)  # opens every model: what is missing or damaged shows now, not after hours
    report = RunReport(config.root)
    corpus: str | None = None  # the job whose shards the next one reads; None: those of the slices
    whole = True  # what the next job reads was made by this run
    shown = _Shown(quiet)
    with (
        shown.to_whom_it_stops(),
        hold(config.root) as token,
        open_executor(config.executor, workers=config.workers, address=config.address, stall=config.stall) as executor,
    ):
        if is_root(config.root):
            replacing.finish(config.root)
            slices_of(config.root, rerun=names)  # totals and manifest, after hours, need the notes of the other slices
        memory = memory_of_a_task(config, executor)
        here = environment.current()
        tombstones.load(config.root)  # says now when it cannot be read
        stones = tombstones.version(config.root)
        place = Workplace(
            config.root,
            memory,
            config.zstd_level,
            counter,
            lease=token,
            environment=here,
            tombstones=stones,
            addresses=credentials.known(),
        )
        for (part, settings), files in zip(parts, inputs, strict=True):
            if files is None and not (whole and has_shards(config.root, corpus, rerun=names)):
                report.slices.append(SliceRun(part.name, left_out={"every stage"}))
                continue
            raws = root_shards(config.root, corpus, within=True, rerun=names) if files is None else files
            if files is None and part.check is not None:  # what is given was looked at above
                part.check(settings, raws)
            # Shards of the root are fewer than before only when what made them has dropped or quarantined some.
            pruned = prune or files is None
            raws, settings, named = _as_known(part, settings, raws, place)
            with storage.relative_to(named.base):
                done = run_slice(
                    part,
                    settings,
                    common,
                    raws,
                    executor,
                    named,
                    shown.stage,
                    prune=pruned,
                    retry_broken=config.retry_broken,
                    tell=shown.tell,
                )
            report.slices.append(done)
            if part.kind == "corpus":
                corpus, whole = part.name, whole and not done.left_out
        if any(part.receipts for part in report.slices):
            manifest.write(config.root)
    return report


def _without_secrets(settings: SliceSettings) -> SliceSettings:
    """Settings whose input is given by names: what grants access stays in memory."""
    return settings.model_copy(update={"input": credentials.admit_all(settings.input)})


class _Shown:
    """The progress of a run's stages; whoever stops the run is told from it what was done."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._now: StageProgress | None = None

    def stage(self, title: str, tasks: int, done: int, size: int) -> StageProgress:
        """The progress of the next stage."""
        self._now = StageProgress(title, tasks, done, size, quiet=self._quiet)
        return self._now

    def tell(self, line: str) -> None:
        """Say what takes time before a stage has progress to show."""
        if not self._quiet:
            say(line)

    @contextlib.contextmanager
    def to_whom_it_stops(self) -> Iterator[None]:
        """A :class:`Stopped` that leaves the block says how far the run came."""
        try:
            yield
        except Stopped as stop:
            if self._now is not None:
                stop.kept = f"{self._now.so_far()} and kept, and all of the stages before"
            raise


def _inputs(part: Slice, settings: SliceSettings, root: str, names: set[str]) -> list[RawFile] | None:
    """What a slice or job reads; None for a job that reads what comes before it.

    Raises :class:`UsageError` for a job that would read what it writes itself.
    """
    if part.kind == "slice":
        raw_files = list_inputs(part, settings.input)
        ownership.refuse_inputs_inside(root, names, raw_files)
        if part.check is not None:
            part.check(settings, raw_files)
        return raw_files
    if not settings.input:
        return None
    for place in settings.input:
        if not is_root(place) and path_below(place, storage.join(root, part.name)) is not None:
            raise UsageError(
                f"{root} lies in the input {place}: the next run would read what this one writes. "
                "Choose a --root outside of it."
            )
    found = list_shards(settings.input, root)
    own = [raw.path for raw in found if raw.path.startswith(f"{WITHIN}{part.name}/")]
    if own:
        raise UsageError(f"{own[0]} is what {part.name} itself writes to {root}. Choose another --root.")
    ownership.refuse_inputs_inside(root, [part.name], [raw for raw in found if not raw.path.startswith(WITHIN)])
    if part.check is not None:
        part.check(settings, found)
    return found


def _as_known(
    part: Slice, settings: SliceSettings, files: list[RawFile], place: Workplace
) -> tuple[list[RawFile], SliceSettings, Workplace]:
    """Files, settings and workplace of a slice, with the names that the root knows its files by."""
    known, base = as_known(files, place.root, part.name)
    with storage.relative_to(base):
        name_of = {where: raw.path for where, raw in zip(identities(known), known, strict=True)}
    named = tuple(name_of.get(identity(where), where) for where in settings.input)
    if base and not storage.is_remote(place.root):
        place = replace(place, root=os.path.abspath(storage.local(place.root)))
    return known, settings.model_copy(update={"input": named}), replace(place, base=base)


def memory_of_a_task(config: RunConfig, executor: Executor) -> int:
    """Bytes of memory a task has: ``--memory`` is that of one machine, for the tasks that run there at once.

    Raises :class:`UsageError` when that is less than :data:`LEAST_MEMORY`, before anything has run. When ``--memory``
    is not given, a machine of many cores gets that much for each of them.
    """
    at_once = executor.workers_a_machine
    if "memory" not in config.model_fields_set:
        return max(config.memory, at_once * LEAST_MEMORY) // at_once
    if config.memory < at_once * LEAST_MEMORY:
        fewer = max(1, config.memory // LEAST_MEMORY)
        raise UsageError(
            f"--memory {config.memory >> 20}M is {config.memory // at_once >> 20} MB for each of the {at_once} tasks "
            f"that a machine runs at once; a task needs {LEAST_MEMORY >> 20} MB. "
            f"Give --memory {at_once * LEAST_MEMORY >> 20}M or more, or --workers {fewer}."
        )
    return config.memory // at_once
