"""Where tasks run: in this process, on local processes, on Ray. Same tasks, same bytes."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol

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
    """Local processes. A worker that dies costs one attempt of one task; the pool goes on.

    The standard library's pool breaks as a whole when a worker is killed; pebble replaces the worker and tells which
    task it was on. Workers come from a fork server, so that no thread or lock of this process is copied into them.
    """

    def __init__(self, workers: int) -> None:
        from pebble import ProcessPool

        self.workers = workers
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["redpajama_data.pipeline"])
        self._pool = ProcessPool(max_workers=workers, context=context)

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """As :meth:`Executor.map`."""
        waiting = deque((task, 0) for task in tasks)
        running: dict[Future[Outcome], tuple[Task, int]] = {}
        while waiting or running:
            # Two tasks a worker are enough to keep it busy; a longer queue would only pickle tasks early.
            while waiting and len(running) < 2 * self.workers:
                task, tries = waiting.popleft()
                running[self._pool.schedule(run_task, args=[task, place])] = (task, tries)
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                task, tries = running.pop(future)
                outcome = _outcome(future, task)
                if outcome is not None:
                    yield outcome
                elif tries < RETRIES:
                    waiting.appendleft((task, tries + 1))
                else:
                    yield died(task)

    def close(self, *, now: bool = False) -> None:
        """End the workers: after their tasks, or now."""
        self._pool.stop() if now else self._pool.close()  # type: ignore[no-untyped-call]
        self._pool.join()


def _outcome(future: Future[Outcome], task: Task) -> Outcome | None:
    """A future's outcome, or None when its worker died."""
    from pebble import ProcessExpired

    try:
        return future.result()
    except (ProcessExpired, EOFError, ConnectionError):
        return None
    except Exception as error:  # the result or the task could not be pickled: a defect, and the task's alone
        return Failed(task, f"{type(error).__name__}: {error}. This is a defect of rpj: please report it.")


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

    def close(self, *, now: bool = False) -> None:
        """Leave the cluster, if this executor joined it."""
        if self._started:
            self._ray.shutdown()


@contextlib.contextmanager
def open_executor(kind: str, *, workers: int, address: str | None = None) -> Iterator[Executor]:
    """The executor of a run, ended on leaving: at once after an error, else when its tasks are done."""
    if kind == "serial":
        yield SerialExecutor()
        return
    executor: LocalExecutor | RayExecutor = RayExecutor(address, workers) if kind == "ray" else LocalExecutor(workers)
    try:
        yield executor
    except BaseException:
        executor.close(now=True)
        raise
    executor.close()
