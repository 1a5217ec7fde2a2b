"""How a command is stopped: Ctrl-C, SIGTERM and SIGHUP end it in order, and say what is kept; a second one ends it at
once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:  # 50 ms, which only downloads spend
    import asyncio

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
