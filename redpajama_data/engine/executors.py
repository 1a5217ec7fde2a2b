"""Where tasks run: in this process, on local processes, on Ray. Same tasks, same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from redpajama_data.config import STALL_MINUTES
from redpajama_data.engine.attempts import Outcome
from redpajama_data.engine.local_workers import LocalExecutor
from redpajama_data.engine.ray_workers import RayExecutor
from redpajama_data.engine.run_task import Underway, run_task
from redpajama_data.engine.tasks import Task, Workplace


class Executor(Protocol):
    """Runs tasks. ``workers`` is how many at once, ``workers_a_machine`` how many of them on one machine at most."""

    workers: int
    workers_a_machine: int

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome | Underway]:
        """Run every task once; outcomes come in the order in which they finish, and before them, where that can be
        known, how far a task is. Raises nothing for a task's failure; :class:`WorkersLost` when nothing can run tasks
        any more."""


class SerialExecutor:
    """One task after another in this process: for debugging, and the reference for the others."""

    workers = workers_a_machine = 1

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """As :meth:`Executor.map`; in the order given. Nothing watches for a task that hangs."""
        for task in tasks:
            yield run_task(task, place)


@contextlib.contextmanager
def open_executor(
    kind: str, *, workers: int, address: str | None = None, stall: float = STALL_MINUTES
) -> Iterator[Executor]:
    """The executor of a run, ended on leaving. ``stall`` is how many minutes a task may take at least before it can be
    taken for hung (:class:`redpajama_data.engine.attempts.StallWatch`); 0: it never is."""
    if kind == "serial":
        yield SerialExecutor()
        return
    executor = RayExecutor(address, workers, stall) if kind == "ray" else LocalExecutor(workers, stall)
    try:
        yield executor
    finally:
        executor.close()
