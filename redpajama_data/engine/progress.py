"""Progress for people: a bar with rates on a terminal, plain lines elsewhere, on standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from redpajama_data.engine.run_task import Done, Failed
from redpajama_data.io.terminal import bar, is_drawn_on, whatever_happens
from redpajama_data.io.terminal import say as say

if TYPE_CHECKING:
    from tqdm import tqdm

_PLAIN_EVERY = 30.0  # seconds between plain lines: a log of a day's run stays readable


class StageProgress:
    """Shows one stage: tasks done, documents and megabytes a second. A context manager; it never raises for what it
    cannot show."""

    def __init__(self, title: str, tasks: int, done: int, *, quiet: bool = False) -> None:
        self._title, self._tasks, self._done, self._quiet = title, tasks, done, quiet
        self._documents = self._bytes = self._failed = 0
        self._start = self._told = time.monotonic()
        self._terminal = is_drawn_on() and not quiet
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> StageProgress:
        if self._terminal:
            with whatever_happens():
                self._bar = bar(total=self._tasks, initial=self._done, desc=self._title, unit="task", leave=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with whatever_happens():
                self._bar.close()
        elif not self._quiet and kind is None:
            self._say("done")

    def update(self, outcome: Done | Failed) -> None:
        """Count a finished task."""
        self._done += 1
        if isinstance(outcome, Done):
            self._documents += outcome.receipt.read
            self._bytes += outcome.task.bytes
        else:
            self._failed += 1
        if self._bar is not None:
            with whatever_happens():
                self._bar.set_postfix_str(self._rates())
                self._bar.update()
        elif not self._quiet and time.monotonic() - self._told > _PLAIN_EVERY:
            self._told = time.monotonic()
            self._say("running")

    def _rates(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-3)
        failed = f", {self._failed} quarantined" if self._failed else ""
        rates = f"{self._documents / seconds:,.0f} docs/s"
        if self._bytes:
            rates += f", {self._bytes / 1e6 / seconds:,.1f} MB/s"
        return rates + failed

    def _say(self, what: str) -> None:
        say(f"{self._title}: {what}, {self._done}/{self._tasks} tasks, {self._rates()}")

    def so_far(self) -> str:
        """How far the stage is: ``github clean: 3 of 8 tasks done``."""
        return f"{self._title}: {self._done - self._failed} of {self._tasks} tasks are done"
