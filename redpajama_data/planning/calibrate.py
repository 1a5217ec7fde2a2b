"""A slice or job, run on a sample by the engine, with the time and memory of each of its stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from redpajama_data.config import SliceSettings
from redpajama_data.engine.attempts import Outcome
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.run_slice import run_slice
from redpajama_data.engine.run_task import run_task
from redpajama_data.engine.stages import RunSettings, Slice
from redpajama_data.engine.tasks import Task, Workplace
from redpajama_data.io.storage import RawFile
from redpajama_data.planning import measure

TASK_MEMORY = 256 << 20  # bytes for the tables of a task: more than a sample fills


@dataclass
class StageSeen:
    """What a stage took: its tasks, the seconds of the processor of all of them, the highest memory in bytes."""

    stage: str
    tasks: int = 0
    cpu: float = 0.0
    peak: int = 0


@dataclass
class Seen:
    """A slice or job as it ran on a sample. ``raw`` are bytes of the files read, ``text`` those of the texts in them,
    ``published`` those of the texts that came out, ``records`` how many were read, ``final`` and ``steps`` what lies
    on the disk of shards and of the rest, ``trouble`` what went wrong, in a sentence each."""

    name: str
    raw: int
    text: int = 0
    published: int = 0
    records: int = 0
    final: int = 0
    steps: int = 0
    stages: dict[str, StageSeen] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        """Seconds of all stages."""
        return sum(stage.cpu for stage in self.stages.values())


class Stopwatch:
    """An executor: one task after another in this process, each with its time and memory. As the serial one, it does
    what workers do; none of them waits for another, so the times are those of the work alone."""

    workers_a_machine = 1

    def __init__(self) -> None:
        self.stages: dict[str, StageSeen] = {}

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """As :meth:`redpajama_data.engine.executors.Executor.map`; in the order given."""
        for task in tasks:
            seen = self.stages.setdefault(task.stage, StageSeen(task.stage))
            measure.forget_peak()
            before = measure.cpu_seconds()
            outcome = run_task(task, place)
            seen.cpu += measure.cpu_seconds() - before
            seen.tasks += 1
            seen.peak = max(seen.peak, measure.peak_memory())
            yield outcome


def watch(part: Slice, settings: SliceSettings, common: RunSettings, files: Sequence[RawFile], root: str) -> Seen:
    """Run a slice, or a job over shards, on ``files`` into ``root``, and say what each stage took.

    Raises what :func:`redpajama_data.engine.run_slice.run_slice` raises; what goes wrong with single files is in
    ``trouble``.
    """
    stopwatch = Stopwatch()
    place = Workplace(root, TASK_MEMORY, tokenizer=common.counter)
    done = run_slice(part, settings, common, files, stopwatch, place, _silent, prune=True)
    seen = Seen(part.name, sum(raw.bytes for raw in files), stages=stopwatch.stages)
    for stage, receipts in done.receipts.items():
        seen.stages.setdefault(stage, StageSeen(stage))
        seen.text = max(seen.text, sum(receipt.read_bytes for receipt in receipts))
        seen.records = max(seen.records, sum(receipt.read for receipt in receipts))
        for receipt in receipts:
            final = sum(out.bytes for role, out in receipt.outputs.items() if _is_final(role))
            seen.final += final
            seen.steps += sum(out.bytes for out in receipt.outputs.values()) - final
            seen.published += receipt.bytes if _publishes(receipt) else 0
    seen.trouble = [f"{entry.stage}/{entry.task}: {entry.reason}" for entry in done.quarantined]
    return seen


def _is_final(role: str) -> bool:
    return role.split(":")[0] in ("published", "exported")


def _publishes(receipt: Receipt) -> bool:
    return any(map(_is_final, receipt.outputs))


def _silent(title: str, tasks: int, done: int, size: int) -> StageProgress:
    return StageProgress(title, tasks, done, size, quiet=True)
