"""Tasks on a Ray cluster."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redpajama_data.config import STALL_MINUTES
from redpajama_data.engine.attempts import RETRIES, Attempt, Outcome, StallWatch, died, unsendable
from redpajama_data.engine.progress import say
from redpajama_data.engine.run_task import Failed, run_task
from redpajama_data.engine.tasks import Task, Workplace
from redpajama_data.errors import MissingModel, UsageError, WorkersLost

PROCESS_MEMORY = 256 << 20  # bytes of a worker beside what its task may use: Python, models, one batch; measured 180 MB
_STARTED = "started"  # what a task says first
_LEAST_AHEAD = 8  # tasks for which a cluster is asked that has no CPU yet
_LOOK_EVERY = 5.0  # seconds between two looks at the size of the cluster
_NO_ROOM = 60.0  # seconds after which it is said that no task has started
# Read when Ray is imported: without clusters its processes listen on 127.0.0.1 alone, else on every interface. Ray has
# no other way to say it: an address of this machine's own that init is given is replaced by that of the network.
_LOOPBACK = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
_SOCKET_FOLDER = 40  # characters: a socket has 107, and Ray puts up to 64 behind its folder


class RayExecutor:
    """A Ray cluster. The root, the inputs and the models must be readable from every node (shared disk or object
    store). Without an address one is started for this run, which nobody beyond this machine can reach.

    Ray's own retries are off: ours count the same on every executor. Whatever Ray says went wrong with a task (a worker
    or node that died, an object that was lost, an environment that could not be made) costs it an attempt; only a lost
    connection to the cluster ends the run. ``stall`` and ``tell`` are as for local workers.

    The cluster may grow and shrink. Twice as many tasks as it has CPUs are handed over, so that one which grows with
    demand doubles while there is work. ``workers`` is how many run at once on a machine, the CPUs of the largest when
    None; with fewer each task asks for more than one CPU.
    """

    def __init__(
        self,
        address: str | None,
        workers: int | None,
        stall: float = STALL_MINUTES,
        tell: Callable[[str], None] = say,
    ) -> None:
        if not address and "ray" not in sys.modules:
            os.environ.setdefault(*_LOOPBACK)
        try:
            import ray
        except ImportError as error:
            raise MissingModel("--executor ray needs Ray. Install it: pip install 'redpajama-data[ray]'") from error
        self._ray, self._stall, self._tell = ray, 60 * stall, tell
        self._started, self._folder = not ray.is_initialized(), ""
        if self._started:
            try:
                with _own_signals():
                    ray.init(log_to_driver=False, **({"address": address} if address else self._alone(workers)))
            except ConnectionError as error:
                raise UsageError(
                    f"no Ray cluster at {address!r} ({error}). Start one, or leave --address out."
                ) from error
        largest = max((int(node.get("CPU", 0)) for node in self._nodes()), default=0)
        if not largest and not workers:
            raise UsageError(
                "the Ray cluster has no machine with a CPU yet. Give --workers, the CPUs of one machine: its tasks "
                "share --memory."
            )
        self.workers_a_machine = workers or largest
        self._cpus_a_task = max(1, math.ceil(largest / self.workers_a_machine))  # Ray takes whole ones above 1

    def _alone(self, workers: int | None) -> dict[str, Any]:
        """What starts Ray for this run alone. Whoever reaches its ports may run code as this user: it listens on the
        loopback address (:data:`_LOOPBACK`), has no dashboard, and its sockets and logs lie within a folder of this
        user's own (Ray opens the one that it is given to everybody)."""
        self._folder = tempfile.mkdtemp(prefix="rpj-ray-")
        folder = {"_temp_dir": os.path.join(self._folder, "r")} if len(self._folder) <= _SOCKET_FOLDER else {}
        return {"num_cpus": workers, "include_dashboard": False, **folder}

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """As :meth:`redpajama_data.engine.executors.Executor.map`. Raises :class:`UsageError` before the first task
        when no node has the memory of one, :class:`WorkersLost` when the cluster is gone."""
        ray = self._ray
        memory = place.memory + PROCESS_MEMORY
        self._check_memory(memory)
        remote = ray.remote(announced).options(
            num_cpus=self._cpus_a_task,
            memory=memory,
            max_retries=0,
            num_returns="streaming",
            scheduling_strategy="SPREAD",
        )
        waiting = deque((task, 0) for task in tasks)
        running: dict[Any, Attempt] = {}
        watch = StallWatch(self._stall, self._tell)
        ahead, looked, at_work = self._ahead(), watch.now(), watch.now()
        try:
            while waiting or running:
                if watch.now() - looked > _LOOK_EVERY:
                    ahead, looked = self._ahead(), watch.now()
                while waiting and len(running) < ahead:
                    task, tries = waiting.popleft()
                    try:
                        running[remote.remote(task, place)] = Attempt(task, tries, None)
                    except ray.exceptions.RayError as error:
                        yield from self._again(waiting, task, tries, error)
                    except ConnectionError:
                        raise
                    except Exception as error:
                        yield unsendable(task, f"{type(error).__name__}: {error}")
                yield from self._collect(waiting, running, watch)
                yield from self._look_after(waiting, running, watch)
                if any(attempt.start is not None for attempt in running.values()):
                    at_work = watch.now()
                elif running and watch.now() - at_work > _NO_ROOM:
                    self._tell(
                        f"for {_NO_ROOM:.0f} seconds no task has started: the Ray cluster has no room (ray status says "
                        f"why). A task asks for {self._cpus_a_task} CPU and {memory >> 20} MiB. Still waiting."
                    )
                    at_work = math.inf  # said once a stage
        except ConnectionError as error:
            raise _lost(error) from error
        finally:
            for stream in running:
                self._cancel(stream)

    def _ahead(self) -> int:
        """Tasks to hand over: some wait in the cluster, and not all of 100,000 do."""
        cpus = self._ray.cluster_resources().get("CPU", 0)  # type: ignore[no-untyped-call]
        return max(_LEAST_AHEAD, 2 * int(cpus) // self._cpus_a_task)

    def _collect(
        self, waiting: deque[tuple[Task, int]], running: dict[Any, Attempt], watch: StallWatch
    ) -> Iterator[Outcome]:
        ray = self._ray
        if not running:
            return
        try:
            finished, _ = ray.wait(list(running), num_returns=1, timeout=watch.pause(running.values()))
        except ray.exceptions.RayError as error:
            raise _lost(error) from error
        for stream in finished:
            task, tries = running[stream].task, running[stream].tries
            try:
                answer = ray.get(next(stream))
            except (ray.exceptions.RayError, StopIteration) as error:
                del running[stream]
                yield from self._again(waiting, task, tries, error)
                continue
            if isinstance(answer, str):
                running[stream].start = watch.now()
                continue
            watch.finished(running.pop(stream))
            yield answer

    def _again(
        self, waiting: deque[tuple[Task, int]], task: Task, tries: int, error: BaseException
    ) -> Iterator[Outcome]:
        """Try a task again that Ray could not do, or give it up."""
        ray = self._ray
        if not ray.is_initialized():
            raise _lost(error) from error
        killed = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError,
        )
        if tries < RETRIES:
            waiting.appendleft((task, tries + 1))
        elif isinstance(error, killed):
            yield died(task)
        else:
            said = next(iter(str(error).strip().splitlines()), "")[:300]
            yield Failed(
                task,
                f"Ray could not do it, {tries + 1} times ({type(error).__name__}: {said}). Look at the cluster (ray "
                "status), then run again.",
                str(error),
            )

    def _look_after(
        self, waiting: deque[tuple[Task, int]], running: dict[Any, Attempt], watch: StallWatch
    ) -> Iterator[Outcome]:
        """Report tasks that take too long; end those that hang. A task that waits for a node does not hang."""
        for stream, attempt in list(running.items()):
            if not watch.hangs(attempt):
                continue
            del running[stream]
            self._cancel(stream)
            failed = watch.hung(attempt, "")
            if attempt.tries < RETRIES:
                waiting.appendleft((attempt.task, attempt.tries + 1))
            else:
                yield failed

    def _cancel(self, stream: Any) -> None:
        with contextlib.suppress(Exception):  # of a cluster that may be gone; the worker ends then as well
            self._ray.cancel(stream, force=True)

    def _check_memory(self, memory: int) -> None:
        """A task that asks for more than any node has would wait for ever."""
        most = max((node["memory"] for node in self._nodes() if node.get("CPU") and "memory" in node), default=None)
        if most is not None and memory > most:
            raise UsageError(
                f"a task asks for {memory >> 20} MiB (its share of --memory and {PROCESS_MEMORY >> 20} MiB for its "
                f"process), and no node of the Ray cluster has more than {int(most) >> 20} MiB. Give less --memory, or "
                "join larger nodes."
            )

    def _nodes(self) -> list[dict[str, float]]:
        """What each living node offers."""
        known: list[dict[str, Any]] = self._ray.nodes()  # type: ignore[no-untyped-call]
        return [node["Resources"] for node in known if node["Alive"]]

    def close(self) -> None:
        """Leave the cluster, if this executor joined it."""
        if self._started:
            self._ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def announced(task: Task, place: Workplace) -> Iterator[str | Outcome]:
    """Run on a node: say that the task has begun (it may have waited for hours), then do it."""
    yield _STARTED
    yield run_task(task, place)


def _lost(error: BaseException) -> WorkersLost:
    return WorkersLost(
        f"the connection to the Ray cluster is lost ({type(error).__name__}: {str(error).strip()[:300]}). Nothing is "
        "lost: when the cluster is back, run the same command again; it goes on where it stopped."
    )


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it starts; give it back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
