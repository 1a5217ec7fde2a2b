"""A whole run: hold the root, run each slice, say what came of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from redpajama_data.config import RunConfig, SliceSettings
from redpajama_data.corpus import list_shards, root_shards
from redpajama_data.engine import SliceRun, list_inputs, run_slice
from redpajama_data.errors import UsageError
from redpajama_data.executors import open_executor
from redpajama_data.lock import hold
from redpajama_data.models import resolve
from redpajama_data.progress import StageProgress
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
        """0, or 3 when a shard was quarantined or could not be read to its end."""
        return PARTIAL if any(part.quarantined or part.broken() for part in self.slices) else 0


def run(
    parts: Sequence[tuple[Slice, SliceSettings]], config: RunConfig, *, quiet: bool = False, prune: bool = False
) -> RunReport:
    """Run slices, and jobs over their shards, with their settings as ``config`` says.

    A job without ``input`` reads what the slices of the root have published, or what the job of kind ``corpus`` before
    it among ``parts`` made of that. Everything that can be wrong is looked at before the first task: inputs, settings,
    models. Raises :class:`UsageError`, :class:`RootInUse`, :class:`MissingModel`, :class:`StorageError`; what goes
    wrong with single shards is in the report.
    """
    if config.root is None:
        raise UsageError("no root. Give --root DIR (or root: in --config): the folder or URL to write to.")
    inputs = [_inputs(part, settings, config.root) for part, settings in parts]
    counter = None if config.tokenizer == NO_TOKENS else resolve(config.tokenizer)
    shared = RunSettings(counter, config.max_malformed)
    for part, settings in parts:
        part.stages(settings, shared)  # a missing model shows now, not after hours of another slice
    workers = config.workers or _cores()
    report = RunReport(config.root)
    corpus: str | None = None  # the job whose shards the next one reads; None: those of the slices
    with hold(config.root), open_executor(config.executor, workers=workers, address=config.address) as executor:
        place = Workplace(config.root, config.memory // executor.workers, config.zstd_level, counter)
        for (part, settings), files in zip(parts, inputs, strict=True):
            progress = partial(StageProgress, quiet=quiet)
            found = root_shards(config.root, corpus, within=True) if files is None else files
            report.slices.append(run_slice(part, settings, shared, found, executor, place, progress, prune=prune))
            corpus = part.name if part.kind == "corpus" else corpus
        manifest.write(config.root)
    return report


def _inputs(part: Slice, settings: SliceSettings, root: str) -> list[RawFile] | None:
    """What a slice or job reads; None for a job that reads what comes before it."""
    if part.kind == "slice":
        return list_inputs(part, settings.input)
    return list_shards(settings.input, root) if settings.input else None


def _cores() -> int:
    """The cores this process may use (a container may have fewer than the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
