"""A whole run: hold the root, run each slice, say what came of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from redpajama_data import storage
from redpajama_data.config import RunConfig, SliceSettings
from redpajama_data.corpus import has_shards, is_root, list_shards, path_below, root_shards
from redpajama_data.engine import SliceRun, list_inputs, run_slice
from redpajama_data.errors import UsageError
from redpajama_data.executors import open_executor
from redpajama_data.lock import hold
from redpajama_data.models import resolve
from redpajama_data.progress import StageProgress
from redpajama_data.receipts import WITHIN
from redpajama_data.reports import manifest
from redpajama_data.stages import RunSettings, Slice
from redpajama_data.storage import RawFile
from redpajama_data.tasks import Workplace

NO_TOKENS = "none"  # the tokenizer of a job over shards that is to count none
PARTIAL = 3  # exit status of a run that went to its end but had to leave something out


@dataclass
class RunReport:
    """What a run did, slice by slice."""

    root: str
    slices: list[SliceRun] = field(default_factory=list)

    def exit_code(self) -> int:
        """0, or 3 when a shard was quarantined or could not be read to its end, or something was left out."""
        return PARTIAL if any(part.quarantined or part.broken() or part.left_out for part in self.slices) else 0


def run(
    parts: Sequence[tuple[Slice, SliceSettings]], config: RunConfig, *, quiet: bool = False, prune: bool = False
) -> RunReport:
    """Run slices, and jobs over their shards, with their settings as ``config`` says.

    A job without ``input`` reads what the slices of the root have published, or what the job of kind ``corpus`` before
    it among ``parts`` made of that. Everything that can be wrong is looked at before the first task: inputs, settings,
    models. Raises :class:`UsageError`, :class:`RootInUse`, :class:`MissingModel`, :class:`StorageError`; what goes
    wrong with single shards is in the report.
    """
    if not config.root:
        raise UsageError("no root. Give --root DIR (or root: in --config): the folder or URL to write to.")
    inputs = [_inputs(part, settings, config.root) for part, settings in parts]
    counter = None if config.tokenizer == NO_TOKENS else resolve(config.tokenizer)
    shared = RunSettings(counter, config.max_malformed)
    for part, settings in parts:
        part.stages(settings, shared)  # a missing model shows now, not after hours of another slice
    workers = config.workers or _cores()
    report = RunReport(config.root)
    corpus: str | None = None  # the job whose shards the next one reads; None: those of the slices
    whole = True  # what the next job reads was made by this run
    with hold(config.root), open_executor(config.executor, workers=workers, address=config.address) as executor:
        place = Workplace(config.root, config.memory // executor.workers, config.zstd_level, counter)
        for (part, settings), files in zip(parts, inputs, strict=True):
            progress = partial(StageProgress, quiet=quiet)
            if files is None and not (whole and has_shards(config.root, corpus)):
                report.slices.append(SliceRun(part.name, left_out={"every stage"}))
                continue
            found = root_shards(config.root, corpus, within=True) if files is None else files
            # Shards of the root are fewer than before only when what made them has dropped or quarantined some.
            pruned = prune or files is None
            done = run_slice(part, settings, shared, found, executor, place, progress, prune=pruned)
            report.slices.append(done)
            if part.kind == "corpus":
                corpus, whole = part.name, whole and not done.left_out
        if any(part.receipts for part in report.slices):
            manifest.write(config.root)
    return report


def _inputs(part: Slice, settings: SliceSettings, root: str) -> list[RawFile] | None:
    """What a slice or job reads; None for a job that reads what comes before it.

    Raises :class:`UsageError` for a job that would read what it writes itself.
    """
    if part.kind == "slice":
        return list_inputs(part, settings.input)
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
    return found


def _cores() -> int:
    """The cores this process may use (a container may have fewer than the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
