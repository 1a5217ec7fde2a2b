"""What a command owes its terminal, and no more: a run never ends because nobody can read what it prints, and ends in
order when it is asked to."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:  # 50 ms, which only downloads spend
    import asyncio

UNWRITABLE = 6  # exit status of work that was done, but whose result could not be written to standard output


_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """Somebody ended the run: Ctrl-C, SIGTERM (a scheduler, a shutdown) or SIGHUP (the terminal went away).

    ``kept`` says what was done by then; :func:`redpajama_data.whole_run.run_parts` fills it in.
    """

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(signum)
        self.signum = signum
        self.kept = ""

    def __str__(self) -> str:
        how = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}.get(self.signum)  # type: ignore[call-overload]
        return (
            f"stopped ({how or f'signal {self.signum}'}). {self.kept or 'Nothing is lost'}: the same command goes on."
        )

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signum


def catch_signals() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise :class:`Stopped` once; a second one ends the process at once, and
    its workers with it. A signal that was ignored from outside (nohup) stays ignored."""
    for number in _STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


@contextlib.contextmanager
def heard_between_steps(task: asyncio.Task[Any]) -> Iterator[None]:
    """Within it the loop of ``task`` is run; a signal is heard when the loop is between two steps, ends the task, and
    is raised in the end. Amid a step it could come between a write and the note that it was done, and what was written
    would be written again. A second one before that ends the process at once."""
    loop = task.get_loop()
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in _STOPPING}
    if threading.current_thread() is not threading.main_thread():
        handlers = {}  # signals come to the main thread alone
    before = {number: handler for number, handler in handlers.items() if callable(handler)}
    heard: list[int] = []
    raised: list[BaseException] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if heard:
            _end_now(number)
        heard.append(number)
        loop.call_soon_threadsafe(tell)

    def tell() -> None:
        if heard:
            number = heard.pop()
            try:
                before[number](number, None)
            except BaseException as error:
                raised.append(error)
                task.cancel()

    for number in before:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        tell()  # what came in the last step
        if raised:
            raise raised[0]


_stopping = False


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopping
    if _stopping:
        _end_now(number)
    _stopping = True
    raise Stopped(number)


def _end_now(number: int) -> NoReturn:
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(128 + number)


def say(line: str) -> None:
    """Print a line on standard error, above a bar that may be there. Where it cannot be printed, it is not."""
    from tqdm import tqdm

    with whatever_happens():
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()


def whatever_happens() -> contextlib.suppress:
    """For what is only printed: a terminal that is closed, full or gone is no reason to end a run."""
    return contextlib.suppress(OSError, ValueError, AttributeError)  # AttributeError: sys.stderr is None


# ------------------------------------------------------------------------------------------------ streams


class _Patient(io.FileIO):
    """A file descriptor that takes everything; the first error is kept, and what comes after it is thrown away."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        size = len(memoryview(data).cast("B"))
        while self.error is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.error = error
            else:
                if written is not None:
                    return written
                select.select([], [self], [])  # another program has made the terminal non-blocking
        return size


class Output:
    """Standard output and standard error for the life of the process, neither of which can end it."""

    def __init__(self) -> None:
        """Put streams in place that never raise, and open what is closed: the next file would get its number, and all
        that libraries print."""
        closed = [number for number in (0, 1, 2) if not _is_open(number)]
        for _ in closed:  # each gets the lowest number that is free: the one that is closed
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        self._out, sys.stdout = _stream(1, sys.stdout)
        _, sys.stderr = _stream(2, sys.stderr)
        if 1 in closed:
            self._out.error = OSError(0, "it is closed")

    def problem(self) -> str | None:
        """Why standard output has not taken all that was printed; None when it has."""
        with contextlib.suppress(ValueError):  # closed by somebody
            sys.stdout.flush()
        error = self._out.error
        return None if error is None else error.strerror or str(error)


def _stream(number: int, before: TextIO | None) -> tuple[_Patient, TextIO]:
    """A text stream on a file descriptor, with the encoding of the one it replaces. What that cannot say (a lone
    surrogate in a file's name) is written as an escape."""
    if before is not None:
        with contextlib.suppress(OSError, ValueError):
            before.flush()
    raw = _Patient(number, "w", closefd=False)
    lines = number == 2 or raw.isatty()
    encoding = getattr(before, "encoding", None) or "utf-8"
    return raw, io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=lines)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
