"""From what a stage plans to tasks: lineages, sizes, places in the order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from redpajama_data.engine import environment
from redpajama_data.engine.environment import UNICODE
from redpajama_data.engine.lineage import LONG, Known, lineage
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.stages import Planned, Slice, Stage
from redpajama_data.engine.tasks import Task
from redpajama_data.io.root_paths import WITHIN
from redpajama_data.io.storage import RawFile

NAMED_INPUTS = 16  # files that a task names, and looks at before and after it has read them
ENGINE_REVISION = 2  # raised when a change of the engine changes the bytes of its outputs


def planned_tasks(part: Slice, stage: Stage, planned: Sequence[Planned], known: Known | None = None) -> list[Task]:
    """The tasks of a stage, in its order. Long lists that they share are looked at once. ``known`` has then the
    models that they have bound.

    Raises ValueError when two tasks have one name, or names that differ in case alone: on a disk that takes them for
    one, each would write over the files of the other.
    """
    [(name, count)] = Counter(piece.name.casefold() for piece in planned).most_common(1) or [("", 0)]
    if count > 1:
        raise ValueError(f"{part.name} {stage.name}: {count} tasks are named {name}")
    known, reads_of = known or Known(), _SharedReads()
    tables = environment.current()[UNICODE] if part.unicode else ""
    recipe = (ENGINE_REVISION, part.name, part.revision, tables, stage.name)
    tasks = []
    for rank, piece in enumerate(planned):
        reads = reads_of(piece.reads)
        of_task = lineage(*recipe, piece.work, reads.contents, known=known)
        sizes = reads.raw_bytes, reads.bytes
        task = Task(
            part.name, stage.name, piece.name, rank, piece.work, of_task, reads.paths, *sizes, reads.stamps, reads.raw
        )
        tasks.append(task)
    return tasks


@dataclass(frozen=True)
class _Reads:
    """What a task says of the files it reads: their contents for its lineage, and the first of them by name."""

    contents: list[tuple[str, ...]]
    paths: tuple[str, ...]
    raw: tuple[RawFile, ...]
    raw_bytes: int
    bytes: int
    stamps: str


class _SharedReads:
    """:class:`_Reads` of the files of a task; of a long list once, however many tasks read it."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[object, _Reads]] = {}

    def __call__(self, reads: Sequence[RawFile | Output]) -> _Reads:
        if len(reads) < LONG:
            return _of(reads)
        if id(reads) not in self._found:
            self._found[id(reads)] = reads, _of(reads)
        return self._found[id(reads)][1]


def _of(reads: Sequence[RawFile | Output]) -> _Reads:
    raw_files = [x for x in reads if isinstance(x, RawFile)]
    return _Reads(
        [_content(x) for x in reads],
        # A later stage may read every shard: its receipt names the lineage, not a hundred thousand files.
        tuple(x.path for x in reads[:NAMED_INPUTS]),
        tuple(raw_files[:NAMED_INPUTS]),
        sum(raw.bytes for raw in raw_files),
        sum(x.bytes for x in reads),
        # Beside the lineage, which is the same wherever the same work is done: times of files are not.
        lineage(*(raw.stamp for raw in raw_files)) if raw_files else "",
    )


def _content(read: RawFile | Output) -> tuple[str, ...]:
    """What the lineage says of a file read. The stamp of a shard of this root is the SHA-256 of what is in it."""
    if isinstance(read, Output):
        return read.path, read.sha256
    return read.path, str(read.bytes), read.stamp if read.path.startswith(WITHIN) else ""
