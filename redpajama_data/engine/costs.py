"""What tasks cost: the time and memory of each, in a file beside the receipts that nothing is compared by.

Receipts hold none of it: equal work gives equal receipts, and the manifest, the lineage and every comparison of roots
rest on that. A slice has one file of costs and not one a task: a task then costs some 20 microseconds more, not a
write to the disk.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Container, Iterable, Sequence

import msgspec

from redpajama_data.engine.ownership import COSTS
from redpajama_data.engine.stages import Planned
from redpajama_data.errors import NOT_JSON
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN

SAVED_EACH = 60.0  # seconds of a stage after which its costs are written though it goes on

_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")


class Cost(msgspec.Struct, array_like=True, frozen=True):
    """What a task took: ``wall`` and ``cpu`` are seconds on the clock and of processors, ``memory`` is the most that
    its process had held by its end, with libraries and models (bytes; 0: not known). ``bytes`` are those of the files
    that it reads; of a file that several tasks of a stage read, each has its part."""

    wall: float
    cpu: float
    memory: int
    bytes: int


class Meter:
    """Measures one task, from when it is made, in the process that does it."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self, size: int) -> Cost:
        """What was taken until now, by a task that reads files of ``size`` bytes."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Cost(round(wall, 4), round(cpu, 4), _peak(), size)


def _peak() -> int:
    """The most that this process has held. Linux could let it begin anew for each task; then every other program that
    asks for the peak of a run would be told too little."""
    with contextlib.suppress(OSError):
        file = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = _PEAK.search(os.read(file, 1 << 14))
        finally:
            os.close(file)
        return int(found[1]) << 10 if found else 0
    return 0


def load(root: str, slice_name: str) -> dict[str, dict[str, Cost]]:
    """The costs of a slice's tasks, by stage and task. One that was ended before its costs were written has none, nor
    has any in a root of an rpj that kept none."""
    data = storage.read_bytes(storage.join(root, RUN, slice_name, COSTS))
    with contextlib.suppress(*NOT_JSON):
        return msgspec.json.decode(data or b"{}", type=dict[str, dict[str, Cost]])
    return {}


class CostBook:
    """The costs of a slice's tasks while it runs: those of the tasks done now, and of those done before."""

    def __init__(self, root: str, slice_name: str, stages: Iterable[str]) -> None:
        self._path = storage.join(root, RUN, slice_name, COSTS)
        known = load(root, slice_name)
        self._costs = {stage: known.get(stage, {}) for stage in stages}
        self._planned: Sequence[Planned] = ()
        self._part: float | None = None
        self._saved = time.monotonic()

    def begin_stage(self, planned: Sequence[Planned]) -> None:
        """Tell which tasks the next stage has."""
        self._planned, self._part = planned, None

    def enter(self, stage: str, task: str, cost: Cost) -> None:
        """Note a task that is done; what is noted is on the disk within :data:`SAVED_EACH`."""
        if self._part is None:
            self._part = _once(self._planned)
        self._costs[stage][task] = msgspec.structs.replace(cost, bytes=round(cost.bytes * self._part))
        if time.monotonic() - self._saved > SAVED_EACH:
            self._save()

    def end_stage(self, stage: str, finished: Container[str]) -> None:
        """Write what is noted, at the end of a stage in which tasks were done; of it only those that are there."""
        self._costs[stage] = {task: cost for task, cost in self._costs[stage].items() if task in finished}
        self._save()

    def _save(self) -> None:
        ordered = {stage: dict(sorted(costs.items())) for stage, costs in self._costs.items() if costs}
        storage.write_bytes(self._path, msgspec.json.encode(ordered) + b"\n", durable=False)
        self._saved = time.monotonic()


def _once(planned: Sequence[Planned]) -> float:
    """The bytes of all files that tasks open, each file once, over those that they open: less than 1 where each of them
    reads a range of keys of the same files."""
    lists = {id(task.reads): task.reads for task in planned}  # a long one is shared by many tasks
    sizes = {key: sum(file.bytes for file in reads) for key, reads in lists.items()}
    opened = sum(sizes[id(task.reads)] for task in planned)
    files = {file.path: file.bytes for reads in lists.values() for file in reads}
    return sum(files.values()) / opened if opened else 1.0
