"""What a stage costs as numbers: so much a task, so much a byte of text, from its times at two sizes."""

from __future__ import annotations

from dataclasses import dataclass

from redpajama_data.dedup.partitions import key_ranges
from redpajama_data.planning.calibrate import Seen, StageSeen


@dataclass(frozen=True)
class StageCost:
    """``task`` seconds of the processor for each task, ``byte`` for each byte of text of the slice, ``peak`` bytes of
    memory of a worker. ``each`` are tasks for each of the first stage; 0 for a stage that takes all of them together,
    by ranges of keys."""

    stage: str
    task: float
    byte: float
    peak: int
    each: float

    def seconds(self, tasks: float, text: float) -> float:
        """Seconds of the processor for so many tasks with so much text in all."""
        return self.task * tasks + self.byte * text

    def tasks(self, first: float, records: float) -> float:
        """How many tasks it has, when the first stage has ``first`` and reads so many records."""
        return max(1.0, self.each * first) if self.each else float(len(key_ranges(int(records))))


@dataclass(frozen=True)
class Cost:
    """A slice or job. The rest is for each byte of text that is read: bytes ``published`` of texts, ``records``, bytes
    on the disk in the end (``final``) and of intermediate files (``steps``), and bytes of text in a byte of raw files
    (``text``). ``start`` are seconds for each worker before its first task."""

    name: str
    stages: tuple[StageCost, ...]
    text: float
    published: float
    records: float
    final: float
    steps: float
    start: float = 0.0

    @property
    def peak(self) -> int:
        """Bytes of memory of a worker, at most."""
        return max((stage.peak for stage in self.stages), default=0)

    def seconds(self, tasks: float, text: float) -> float:
        """Seconds of the processor of all stages, without the start of workers."""
        records = self.records * text
        return sum(stage.seconds(stage.tasks(tasks, records), text) for stage in self.stages)


def fit(small: Seen, large: Seen, start: float = 0.0) -> Cost:
    """The costs of a slice by two runs of it, of which the second had more text.

    Raises ValueError when the larger one read no text: nothing follows from that.
    """
    if not large.text:
        raise ValueError(f"{large.name}: no text in the sample")
    stages = tuple(
        _stage(small.stages.get(name, StageSeen(name)), seen, small, large) for name, seen in large.stages.items()
    )
    text = float(large.text)
    return Cost(
        large.name,
        stages,
        text / large.raw if large.raw else 1.0,
        large.published / text,
        large.records / text,
        large.final / text,
        large.steps / text,
        start,
    )


def _stage(less: StageSeen, more: StageSeen, small: Seen, large: Seen) -> StageCost:
    task, byte = two_points((less.tasks, small.text, less.cpu), (more.tasks, large.text, more.cpu))
    first = next(iter(large.stages.values())).tasks
    together = more.tasks == 1 < first
    return StageCost(more.stage, task, byte, max(less.peak, more.peak), 0.0 if together else more.tasks / max(1, first))


def two_points(one: tuple[int, int, float], other: tuple[int, int, float]) -> tuple[float, float]:
    """Seconds a task and seconds a byte, so that both of (tasks, bytes, seconds) come out; neither is negative.

    Where the two are alike (as many bytes a task) nothing tells the one from the other: all is laid on the bytes. So it
    is where the noise of a clock would make one of them negative: then the larger point alone counts.
    """
    (tasks, size, seconds), (tasks_more, size_more, seconds_more) = one, other
    across = tasks * size_more - tasks_more * size
    if abs(across) > 0.05 * max(1, tasks_more * size_more):
        byte = (tasks * seconds_more - tasks_more * seconds) / across
        task = (seconds * size_more - seconds_more * size) / across
        if task >= 0 and byte >= 0:
            return task, byte
        if byte < 0:
            return seconds_more / max(1, tasks_more), 0.0
    return 0.0, seconds_more / max(1, size_more)
