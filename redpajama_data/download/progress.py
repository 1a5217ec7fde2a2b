"""How far a download is: a bar for all of it and one a file on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from redpajama_data.io.terminal import bar, is_drawn_on, say

_PLAIN_EVERY = 60.0  # seconds
_BARS = 8  # files that have a bar of their own
_NAMED = 3  # files that a line names


class Progress:
    """Shows a download. ``total`` bytes of ``files`` files are in the plan, ``here`` of them already. ``waits`` says
    what is waited for, if anything; ``clock`` gives seconds. A context manager; it never raises for what it cannot
    show."""

    def __init__(
        self,
        title: str,
        files: int,
        total: int,
        here: int,
        *,
        quiet: bool = False,
        waits: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._files, self._total, self._quiet = title, files, total, quiet
        self._here, self._came, self._done, self._failed = here, 0, 0, 0
        self._under_way: dict[str, list[int]] = {}  # bytes that are here, and in all (0: not known)
        self._waits, self._clock = waits, clock
        self._start = self._told = clock()
        self._bar: tqdm[Any] | None = None
        self._bars: dict[str, tqdm[Any]] = {}
        self._places = list(range(_BARS, 0, -1))
        self._terminal = is_drawn_on() and not quiet

    def __enter__(self) -> Progress:
        if self._terminal:
            self._bar = bar(
                total=self._total or None, initial=self._here, desc=self._title, unit="B", unit_scale=True, position=0
            )
        return self

    def __exit__(self, *_: object) -> None:
        for drawn in (*self._bars.values(), self._bar):
            if drawn is not None:
                with contextlib.suppress(OSError, ValueError):
                    drawn.close()
        if not self._terminal and not self._quiet and (self._done or self._failed):
            say(self.line())

    def begin(self, path: str, total: int | None) -> None:
        """A file is begun."""
        self._under_way[path] = [0, total or 0]
        if self._terminal and self._places:
            with contextlib.suppress(OSError, ValueError):
                self._bars[path] = bar(
                    total=total, desc=path[-40:], unit="B", unit_scale=True, position=self._places.pop(), leave=False
                )

    def came(self, path: str, place: int, count: int) -> None:
        """``count`` bytes of it came, and ``place`` are here now: a file may go on from another run, or begin again."""
        self._came += count
        more = place - self._under_way.get(path, [place])[0]
        if path in self._under_way:
            self._under_way[path][0] = place
        self._here += more
        if self._terminal:
            with contextlib.suppress(OSError, ValueError):
                for drawn in (self._bar, self._bars.get(path)):
                    if drawn is not None:
                        drawn.update(more)
        self.tick()

    def tick(self) -> None:
        """Time passes: without a terminal, a line a minute, also while nothing comes."""
        if not self._terminal and not self._quiet and self._clock() - self._told >= _PLAIN_EVERY:
            self._told = self._clock()
            say(self.line())

    def end(self, path: str, *, whole: bool) -> None:
        """A file is whole, or put aside."""
        self._under_way.pop(path, None)
        self._done, self._failed = self._done + whole, self._failed + (not whole)
        drawn = self._bars.pop(path, None)
        if drawn is not None:
            self._places.append(abs(drawn.pos) or 1)
            with contextlib.suppress(OSError, ValueError):
                drawn.close()

    def line(self) -> str:
        """``c4: 12 of 1,032 files fetched, 3.2 GB of 326.8 GB, 51.0 MB/s, 1:45:10 left; a.gz 45 %``."""
        rate = self._came / max(self._clock() - self._start, 1e-3)
        have = self._here
        size = f"{amount(have)} of {amount(self._total)}" if self._total > have else amount(have)
        text = f"{self._title}: {self._done:,} of {self._files:,} files fetched, {size}, {amount(rate)}/s"
        if self._total > have and rate > 0:
            text += f", {tqdm.format_interval((self._total - have) / rate)} left"
        if self._failed:
            text += f", {self._failed:,} put aside"
        files = [f"{p} {100 * n // t} %" if t else p for p, (n, t) in list(self._under_way.items())[:_NAMED]]
        waits = self._waits()
        return text + (f"; {', '.join(files)}" if files else "") + (f"; {waits}" if waits else "")


def amount(size: float) -> str:
    """Bytes for people: ``1.2 GB``, powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def duration(seconds: float) -> str:
    """A time for people: ``3.4 days``, ``2.0 hours``, ``5 minutes``."""
    if seconds >= 86400:
        return f"{seconds / 86400:,.1f} days"
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} hours"
    return f"{round(seconds / 60)} minutes" if seconds >= 90 else "a minute"


def files_text(count: int) -> str:
    """A number of files for people: ``1 file``, ``1,032 files``."""
    return f"{count:,} file" if count == 1 else f"{count:,} files"
