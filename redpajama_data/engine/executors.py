"""Where tasks run: in this process, on local processes, on Ray. Same tasks, same bytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Protocol

from redpajama_data.config import STALL_MINUTES
from redpajama_data.engine.attempts import Outcome
from redpajama_data.engine.local_workers import LocalExecutor
from redpajama_data.engine.ray_workers import RayExecutor
from redpajama_data.engine.run_task import Underway, run_task
from redpajama_data.engine.tasks import Task, Workplace


class Executor(Protocol):
    """Runs tasks, ``workers_a_machine`` at once on one machine at most."""

    workers_a_machine: int

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome | Underway]:
        """Run every task once; outcomes come in the order in which they finish, and before them, where that can be
        known, how far a task is. Raises nothing for a task's failure; :class:`WorkersLost` when nothing can run tasks
        any more."""


class SerialExecutor:
    """One task after another in this process: for debugging, and the reference for the others."""

    workers_a_machine = 1

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """As :meth:`Executor.map`; in the order given. Nothing watches for a task that hangs."""
        for task in tasks:
            yield run_task(task, place)


@contextlib.contextmanager
def open_executor(
    kind: str, *, workers: int | None, address: str | None = None, stall: float = STALL_MINUTES
) -> Iterator[Executor]:
    """The executor of a run, ended on leaving. ``workers`` is how many tasks run at once on a machine, None: as many as
    it has cores. ``stall`` is how many minutes a task may take at least before it can be
    taken for hung (:class:`redpajama_data.engine.attempts.StallWatch`); 0: it never is."""
    if kind == "serial":
        yield SerialExecutor()
        return
    here = workers or cores()
    executor = (
        RayExecutor(address, workers if address else here, stall) if kind == "ray" else LocalExecutor(here, stall)
    )
    try:
        yield executor
    finally:
        executor.close()


def cores() -> int:
    """The cores this process may use (a container may have fewer than the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
