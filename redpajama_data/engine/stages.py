"""Stages and slices: what runs after what, as data. A slice module builds these; the engine runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.engine.task_names import task_names
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import UsageError
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile

if TYPE_CHECKING:
    from redpajama_data.config import SliceSettings

Work = Callable[[TaskContext], None]


@dataclass(frozen=True)
class Planned:
    """One task of a stage: its name, its work, and what it reads.

    The name is made of what the task is of, never of its place among others: a raw file that comes or goes leaves the
    names of the others as they are. Neither may ``work`` be bound to that place, unless its result depends on it.
    """

    name: str
    work: Work
    reads: Sequence[RawFile | Output] = ()


@dataclass(frozen=True)
class StageInput:
    """What a stage may plan from: the raw inputs, and the receipts of earlier stages. Not from the memory or the
    workers of a run: with others the tasks would be others, and finished work would be done again.

    ``inputs_file`` is the list of raw paths in the root, a line each: tasks that must name another raw file look
    there, so that no task carries the whole list. ``receipts[stage]`` are in task order, each with the task's place in
    this run as its ``rank``; a quarantined task has none.
    """

    inputs: Sequence[RawFile]
    inputs_file: Output
    receipts: dict[str, list[Receipt]] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A name, the earlier stages it reads, and its tasks, planned when those are finished.

    ``whole`` are the stages of which no task may be missing (a verdict that is not there would let copies through):
    after a quarantine in one of them this stage is left out. Of the others a quarantined shard is simply not there.
    """

    name: str
    plan: Callable[[StageInput], list[Planned]]
    reads: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSettings:
    """What the stages of every slice share, and what may change published bytes.

    ``counter`` is the tokenizer that counts the published tokens; None: jobs over shards count none. ``max_malformed``
    is the share of a shard's records that may be malformed before the shard is quarantined instead of published.
    """

    counter: ModelFile | None
    max_malformed: float

    @property
    def tokenizer(self) -> ModelFile:
        """The tokenizer, for what cannot do without. Raises :class:`UsageError`."""
        if self.counter is None:
            raise UsageError("slices and overlap count tokens. Give --tokenizer a name or a path, or leave it out.")
        return self.counter


Kind = Literal["slice", "corpus", "report"]


@dataclass(frozen=True)
class Slice:
    """One source of the corpus; a :class:`Job` is one over the shards of all sources.

    ``patterns`` recognise its raw files in a folder; ``settings`` is the model of its configuration, with the published
    values as defaults; ``stages`` builds its stages; ``revision`` is raised when the behaviour of a function of it
    changes; ``check`` raises :class:`UsageError` for inputs that do not go together, before anything is written.
    ``unicode`` says that it looks at characters, so that the Unicode tables of Python have a say in what it gives
    (:mod:`redpajama_data.engine.environment`).
    """

    name: str
    summary: str
    revision: int
    patterns: tuple[str, ...]
    settings: type[SliceSettings]
    stages: Callable[[Any, RunSettings], list[Stage]]
    kind: Kind = "slice"
    check: Callable[[Any, Sequence[RawFile]], None] | None = None
    unicode: bool = True


@dataclass(frozen=True)
class Job(Slice):
    """A job over the published shards of every slice. ``kind`` is ``corpus`` for one that gives the corpus anew, in
    ``ROOT/<name>/<slice>/``, and ``report`` for one that only says something of it."""

    kind: Kind = "corpus"


def per_file(name: str, work: Callable[[RawFile], Work]) -> Stage:
    """A stage with one task a raw file; ``work(file)`` binds the file into its work."""

    def plan_tasks(given: StageInput) -> list[Planned]:
        names = task_names(raw.path for raw in given.inputs)
        return [Planned(task, work(raw), [raw]) for task, raw in zip(names, given.inputs, strict=True)]

    return Stage(name, plan_tasks)


def outputs(receipts: Iterable[Receipt], role: str) -> list[Output]:
    """The files of one role that receipts name."""
    return [receipt.outputs[role] for receipt in receipts if role in receipt.outputs]
