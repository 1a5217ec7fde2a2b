"""Tasks on processes of this machine, each held on a pipe of its own."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.context import ForkServerContext
from multiprocessing.reduction import ForkingPickler

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from redpajama_data.config import STALL_MINUTES
from redpajama_data.engine.attempts import RETRIES, Attempt, Outcome, StallWatch, died, unsendable
from redpajama_data.engine.child_processes import deaf_to_interrupts, modules_of_this_process
from redpajama_data.engine.progress import say
from redpajama_data.engine.run_task import Underway, run_task
from redpajama_data.engine.tasks import Task, Workplace
from redpajama_data.errors import WorkersLost
from redpajama_data.io import read_so_far

_STARTS = 5  # tries to start a worker, over about 3 seconds: a fork server that died is replaced at the next
_STACK_WAIT = 2.0  # seconds for a hung worker to tell where it stands; one in a dead disk's read never does
_END_WAIT = 5.0  # seconds for a killed process to be gone
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}


class LocalExecutor:
    """Local processes. A worker that dies or hangs costs one attempt of one task; the others go on.

    Workers share nothing: in a pool with common queues one that is killed at the wrong moment breaks the pool (standard
    library) or takes a lock along and hangs it (pebble). They come from a fork server, so that no thread or lock of
    this process is copied into them, are started when there is a task for them, do not hear Ctrl-C, and end with this
    process however it ends. ``stall`` is in minutes, 0 for never; ``tell`` gets a line when a task takes suspiciously
    long. ``told_each`` are the seconds between two words of a worker about how much it has read.
    """

    def __init__(
        self, workers: int, stall: float = STALL_MINUTES, tell: Callable[[str], None] = say, told_each: float = 2.0
    ) -> None:
        self._told_each = told_each
        self.workers = self.workers_a_machine = workers
        self._stall, self._tell = 60 * stall, tell
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, "redpajama_data.pipeline.work"])
        resource_tracker.ensure_running()  # it would unblock what the next line blocks
        with modules_of_this_process(), deaf_to_interrupts():
            forkserver.ensure_running()
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, Attempt]] = {}

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome | Underway]:
        """As :meth:`redpajama_data.engine.executors.Executor.map`."""
        waiting = deque((task, 0) for task in tasks)
        watch = StallWatch(self._stall, self._tell)
        try:
            while waiting or self._busy:
                while waiting and len(self._busy) < self.workers:
                    task, tries = waiting.popleft()
                    try:
                        data = bytes(ForkingPickler.dumps((task, place)))
                    except Exception as error:
                        yield unsendable(task, f"{type(error).__name__}: {error}")
                        continue
                    worker = self._give(data)
                    if worker is None:
                        waiting.appendleft((task, tries))
                        break
                    self._busy[worker.talk] = worker, Attempt(task, tries, watch.now())
                yield from self._collect(waiting, watch)
                yield from self._look_after(waiting, watch)
        finally:  # left before its end: what is still at work must not answer the next call
            self._end([worker for worker, _ in self._busy.values()])
            self._busy.clear()

    def _give(self, data: bytes) -> _Worker | None:
        """Send a task to a worker; None when none can be started now but others are at work."""
        while True:
            try:
                worker = self._idle.pop() if self._idle else self._new_worker()
            except (OSError, EOFError) as error:
                if self._busy:
                    return None
                raise WorkersLost(
                    f"no worker process can be started ({error or type(error).__name__}): too little memory, or too "
                    "many processes (ulimit -u). Free some or give fewer --workers, then run the same command again."
                ) from error
            try:
                worker.talk.send_bytes(data)
            except OSError:  # it died while it had nothing to do
                self._end([worker])
            else:
                return worker

    def _new_worker(self) -> _Worker:
        for attempt in Retrying(
            retry=retry_if_exception_type((OSError, EOFError)),
            stop=stop_after_attempt(_STARTS),
            wait=wait_exponential(0.1),
            reraise=True,
        ):
            with attempt:
                return _Worker(self._context, self._told_each)
        raise AssertionError  # the last attempt has raised

    def _collect(self, waiting: deque[tuple[Task, int]], watch: StallWatch) -> Iterator[Outcome | Underway]:
        for talk in wait_for_any(list(self._busy), watch.pause(attempt for _, attempt in self._busy.values())):
            assert isinstance(talk, Connection)
            worker, attempt = self._busy.pop(talk)
            task = attempt.task
            try:
                answer: Outcome | int | str | None = talk.recv()
            except (EOFError, OSError):
                self._end([worker])
                if attempt.tries < RETRIES:
                    waiting.appendleft((task, attempt.tries + 1))
                else:
                    yield died(task, worker.crash())
                continue
            except MemoryError:
                raise
            except Exception as error:  # an outcome that cannot be read here
                answer = f"{type(error).__name__}: {error}"
            if answer is None:  # a new worker had to start first
                attempt.start = watch.now()
                self._busy[talk] = worker, attempt
                continue
            if isinstance(answer, int):
                self._busy[talk] = worker, attempt
                yield Underway(task, answer)
                continue
            self._idle.append(worker)
            watch.finished(attempt)
            yield unsendable(task, answer) if isinstance(answer, str) else answer

    def _look_after(self, waiting: deque[tuple[Task, int]], watch: StallWatch) -> Iterator[Outcome]:
        """Report tasks that take too long; end those that hang."""
        for worker, attempt in list(self._busy.values()):
            if not watch.hangs(attempt) or worker.talk.poll():  # poll: it came to its end just now
                continue
            del self._busy[worker.talk]
            failed = watch.hung(attempt, worker.stack())
            self._end([worker])
            if attempt.tries < RETRIES:
                waiting.appendleft((attempt.task, attempt.tries + 1))
            else:
                yield failed

    def _end(self, workers: list[_Worker]) -> None:
        for worker in workers:
            worker.process.kill()
        for worker in workers:  # after this nothing of it writes into the root any more
            worker.process.join(_END_WAIT)
            worker.talk.close()
            worker.trace.close()

    def close(self) -> None:
        """End the workers, those at work as well, at once."""
        self._end([*self._idle, *(worker for worker, _ in self._busy.values())])
        self._idle.clear()
        self._busy.clear()


class _Worker:
    """A process, the pipe on which it takes tasks, and the pipe on which it tells where it stands."""

    def __init__(self, context: ForkServerContext, told_each: float) -> None:
        self.talk, talk = context.Pipe()
        self.trace, trace = context.Pipe(duplex=False)
        self.process = context.Process(target=_serve, args=(talk, trace, told_each), daemon=True)
        try:
            with modules_of_this_process(), deaf_to_interrupts():
                self.process.start()
        except BaseException:
            self.talk.close()
            self.trace.close()
            raise
        finally:
            talk.close()
            trace.close()

    def stack(self) -> str:
        """Where the worker stands: the stack of its main thread, also while that is in C code; "" when it cannot."""
        with contextlib.suppress(OSError):
            os.kill(self.process.pid or 0, signal.SIGUSR1)
            pieces: list[bytes] = []
            while self.trace.poll(0.1 if pieces else _STACK_WAIT) and (piece := os.read(self.trace.fileno(), 1 << 16)):
                pieces.append(piece)
            return b"".join(pieces).decode(errors="replace")
        return ""

    def crash(self) -> str:
        """The signal by which a dead worker crashed by itself; "" when it was killed, or that is not known."""
        code = -(self.process.exitcode or 0)
        return signal.Signals(code).name if code in _CRASHES else ""


def _serve(talk: Connection, trace: Connection, told_each: float) -> None:
    """The life of a worker: take a task, do it, answer, until the driver is gone."""
    for number in (signal.SIGINT, signal.SIGHUP):  # the driver hears them, and ends its workers
        signal.signal(number, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1, file=trace.fileno(), all_threads=False)
    driver = multiprocessing.parent_process()
    assert driver is not None
    threading.Thread(target=_exit_after, args=[driver.sentinel], daemon=True).start()
    while True:
        try:
            data = talk.recv_bytes()
        except (EOFError, OSError):
            return
        talk.send(None)  # it begins
        with read_so_far.told(partial(_tell, talk), told_each):
            answer = _answer(data)
        talk.send_bytes(answer)


def _tell(talk: Connection, read: int) -> None:
    """Tell the driver how many bytes the task has read. One that is gone is no failure of what is read."""
    with contextlib.suppress(OSError):
        talk.send(read)


def _answer(data: bytes) -> bytes:
    """The outcome of a task, pickled; a sentence when the task, or its outcome, cannot pass between processes."""
    try:
        task, place = pickle.loads(data)
        return bytes(ForkingPickler.dumps(run_task(task, place)))
    except MemoryError:
        os._exit(1)
    except Exception as error:
        return bytes(ForkingPickler.dumps(f"{type(error).__name__}: {error}"))


def _exit_after(sentinel: int) -> None:
    """End this worker when the driver is gone, so that nothing is left at work."""
    wait_for_any([sentinel])
    os._exit(1)
