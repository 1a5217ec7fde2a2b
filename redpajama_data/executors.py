"""Where tasks run: in this process, on local processes, on Ray. Same tasks, same bytes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from typing import Any, NamedTuple, Protocol

from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.tasks import Done, Failed, Task, Workplace, run_task

Outcome = Done | Failed

RETRIES = 2  # times a task is given to another worker when its worker died, before it is quarantined


class Executor(Protocol):
    """Runs tasks. ``workers`` is how many at once."""

    workers: int

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """Run every task once; outcomes come in the order in which they finish. Raises nothing for a task's failure."""


class SerialExecutor:
    """One task after another in this process: for debugging, and the reference for the others."""

    workers = 1

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """As :meth:`Executor.map`; in the order given."""
        for task in tasks:
            yield run_task(task, place)


class LocalExecutor:
    """Local processes. A worker that dies costs one attempt of one task; the others go on.

    Every worker is a pool of one. A pool of many shares locks between its workers: one that is killed at the wrong
    moment breaks the pool (standard library) or takes a lock along and hangs it (pebble). Workers come from a fork
    server, so that no thread or lock of this process is copied into them, and end with this process however it ends.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["redpajama_data.pipeline"])
        self._idle = [self._new_worker() for _ in range(workers)]
        self._busy: set[_Worker] = set()

    def _new_worker(self) -> _Worker:
        ended, end = self._context.Pipe(duplex=False)
        return _Worker(ProcessPoolExecutor(1, self._context, _end_with_driver, (ended,)), end)

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """As :meth:`Executor.map`."""
        waiting = deque((task, 0) for task in tasks)
        running: dict[Future[Outcome], tuple[Task, int, _Worker]] = {}
        while waiting or running:
            while waiting and self._idle:
                task, tries = waiting.popleft()
                worker = self._idle.pop()
                try:
                    future = worker.pool.submit(run_task, task, place)
                except BrokenProcessPool:  # it died while it had nothing to do
                    worker.pool.shutdown(wait=False)
                    worker = self._new_worker()
                    future = worker.pool.submit(run_task, task, place)
                self._busy.add(worker)
                running[future] = (task, tries, worker)
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                task, tries, worker = running.pop(future)
                self._busy.remove(worker)
                try:
                    outcome: Outcome = future.result()
                except BrokenProcessPool:
                    worker.pool.shutdown(wait=False)
                    self._idle.append(self._new_worker())
                    if tries < RETRIES:
                        waiting.appendleft((task, tries + 1))
                        continue
                    outcome = died(task)
                except Exception as error:  # task or outcome cannot be pickled: a defect, and this task's alone
                    self._idle.append(worker)
                    outcome = Failed(
                        task, f"{type(error).__name__}: {error}. This is a defect of rpj: please report it."
                    )
                else:
                    self._idle.append(worker)
                yield outcome

    def close(self) -> None:
        """End the workers: after an error those at work as well, at once."""
        for worker in self._busy:
            worker.end.close()
        for worker in (*self._idle, *self._busy):
            worker.pool.shutdown(wait=False, cancel_futures=True)


class _Worker(NamedTuple):
    """A pool of one process, and the pipe whose closing ends that process."""

    pool: ProcessPoolExecutor
    end: Connection


def _end_with_driver(ended: Connection) -> None:
    """Run in a new worker: end it at once when the driver is gone or asks for it, so that nothing is left at work."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    threading.Thread(target=_exit_after, args=[driver.sentinel, ended], daemon=True).start()


def _exit_after(*signals: int | Connection) -> None:
    wait_for_any(signals)
    os._exit(1)


def died(task: Task) -> Failed:
    """The failure of a task whose worker died at every try."""
    return Failed(
        task,
        f"its worker was killed {RETRIES + 1} times (out of memory?). Run again with fewer --workers or more --memory.",
    )


class RayExecutor:
    """A Ray cluster. The root, the inputs and the models must be readable from every node (shared disk or object
    store)."""

    def __init__(self, address: str | None, workers: int | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingModel("--executor ray needs Ray. Install it: pip install 'redpajama-data[ray]'") from error
        self._ray = ray
        self._started = not ray.is_initialized()
        if self._started:
            try:
                ray.init(address=address, num_cpus=None if address else workers, log_to_driver=False)
            except ConnectionError as error:
                raise UsageError(
                    f"no Ray cluster at {address!r} ({error}). Start one, or leave --address out."
                ) from error
        self.workers = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """As :meth:`Executor.map`. Ray's own retries are off: ours count the same on every executor."""
        ray = self._ray
        remote = ray.remote(run_task).options(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")
        waiting = deque((task, 0) for task in tasks)
        running: dict[Any, tuple[Task, int]] = {}
        while waiting or running:
            while waiting and len(running) < 2 * self.workers:
                task, tries = waiting.popleft()
                running[remote.remote(task, place)] = (task, tries)
            finished, _ = ray.wait(list(running), num_returns=1)
            for reference in finished:
                task, tries = running.pop(reference)
                try:
                    yield ray.get(reference)
                except (
                    ray.exceptions.WorkerCrashedError,
                    ray.exceptions.NodeDiedError,
                    ray.exceptions.OutOfMemoryError,
                ):
                    if tries < RETRIES:
                        waiting.appendleft((task, tries + 1))
                    else:
                        yield died(task)

    def close(self) -> None:
        """Leave the cluster, if this executor joined it."""
        if self._started:
            self._ray.shutdown()


@contextlib.contextmanager
def open_executor(kind: str, *, workers: int, address: str | None = None) -> Iterator[Executor]:
    """The executor of a run, ended on leaving."""
    if kind == "serial":
        yield SerialExecutor()
        return
    executor: LocalExecutor | RayExecutor = RayExecutor(address, workers) if kind == "ray" else LocalExecutor(workers)
    try:
        yield executor
    finally:
        executor.close()
