"""Progress for people: a bar with rates on a terminal, plain lines elsewhere, on standard error."""

from __future__ import annotations

import time
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Any

from redpajama_data.engine.run_task import Done, Failed, Underway
from redpajama_data.engine.tasks import Task
from redpajama_data.io.terminal import bar, is_drawn_on, whatever_happens
from redpajama_data.io.terminal import say as say

if TYPE_CHECKING:
    from tqdm import tqdm

_PLAIN_EVERY = 30.0  # seconds between plain lines: a log of a day's run stays readable


def size_of(tasks: Collection[Task]) -> int:
    """The bytes of the raw files that tasks read, each file once, though several tasks may read a piece of it; 0 when
    some read other files as well: those are often read in part."""
    if any(task.bytes != task.raw_bytes for task in tasks):
        return 0
    files = {raw.path: raw.bytes for task in tasks for raw in task.raw_files}
    unnamed = sum(task.raw_bytes - sum(raw.bytes for raw in task.raw_files) for task in tasks)
    return sum(files.values()) + unnamed


class StageProgress:
    """Shows one stage: tasks done, documents and megabytes read a second, and how much of ``size`` bytes is read (0:
    not known). A context manager; it never raises for what it cannot show."""

    def __init__(self, title: str, tasks: int, done: int, size: int = 0, *, quiet: bool = False) -> None:
        self._title, self._tasks, self._done, self._quiet = title, tasks, done, quiet
        self._documents = self._bytes = self._failed = 0
        self._size = size
        self._at_work: dict[str, int] = {}  # bytes that each task at work has read
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

    def update(self, outcome: Done | Failed | Underway) -> None:
        """Count a finished task, or what one at work has read."""
        name, finished = outcome.task.name, not isinstance(outcome, Underway)
        if isinstance(outcome, Underway):
            self._at_work[name] = outcome.read
        elif isinstance(outcome, Done):
            self._documents += outcome.receipt.read
            self._bytes += outcome.read
        else:
            self._failed += 1
            self._bytes += self._at_work.get(name, 0)
        if finished:
            self._done += 1
            self._at_work.pop(name, None)
        if self._bar is not None:
            with whatever_happens():
                self._bar.set_postfix_str(self._rates())
                self._bar.update(int(finished))
        elif not self._quiet and time.monotonic() - self._told > _PLAIN_EVERY:
            self._told = time.monotonic()
            self._say("running")

    def _rates(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-3)
        failed = f", {self._failed} quarantined" if self._failed else ""
        # While the first tasks are at work nobody knows their documents.
        rates = [f"{self._documents / seconds:,.0f} docs/s"] if self._documents or not self._at_work else []
        if read := self._bytes + sum(self._at_work.values()):
            rates.append(f"{read / 1e6 / seconds:,.1f} MB/s")
        if self._at_work:
            of = f" of {self._size / 1e6:,.0f}" if self._size >= read else ""
            rates.append(f"{read / 1e6:,.0f}{of} MB read")
        return ", ".join(rates) + failed

    def _say(self, what: str) -> None:
        say(f"{self._title}: {what}, {self._done}/{self._tasks} tasks, {self._rates()}")

    def so_far(self) -> str:
        """How far the stage is: ``github clean: 3 of 8 tasks done``."""
        return f"{self._title}: {self._done - self._failed} of {self._tasks} tasks are done"
