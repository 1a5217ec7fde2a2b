"""What an executor does with a task whose worker dies or hangs: how often it is tried, and how long it may take."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from redpajama_data.engine.run_task import Done, Failed
from redpajama_data.engine.tasks import Task

Outcome = Done | Failed

RETRIES = 2  # times a task is given to another worker when its worker died or hung, before it is quarantined

STALL_TIMES = 50.0  # ... nor before so many times what the others took: real shards of a slice differ 20-fold in time
STALL_ALONE = 100.0  # times STALL_MINUTES (a day) while there is nothing to measure a task against
STALL_FINISHED = 3  # tasks of a stage that must have finished before their times measure the others
_SLOWEST = 1e6  # bytes a second; a quarter of the slowest slice, for the first tasks of a stage
_LONGEST_PAUSE = 60.0  # seconds an executor waits before it looks after its tasks again


@dataclass
class Attempt:
    """A task at work: how often it was tried before, since when, and when it was reported (seconds of the stage; None:
    it has not begun, or was not)."""

    task: Task
    tries: int
    start: float | None
    warned: float | None = None


class StallWatch:
    """Knows how long the tasks of one stage take, and so when one hangs.

    ``least`` is in seconds, 0 switches the watch off; ``tell`` gets a line when a task takes long. ``clock`` gives
    seconds; time in which the driver itself did not run (Ctrl-Z, a laptop that sleeps) does not count.
    """

    def __init__(
        self, least: float, tell: Callable[[str], None] = lambda line: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._least, self._tell, self._clock = least, tell, clock
        self._seconds: list[float] = []  # of the tasks that finished, sorted
        self._per_byte: list[float] = []  # ... of those that said how much they read, sorted
        self._last, self._now = clock(), 0.0

    def now(self) -> float:
        """Seconds that this stage has run."""
        clock = self._clock()
        self._now += min(clock - self._last, 2 * _LONGEST_PAUSE)
        self._last = clock
        return self._now

    def finished(self, attempt: Attempt) -> None:
        """Count the time of a task that came to its end."""
        task, seconds = attempt.task, self.now() - (attempt.start or 0.0)
        bisect.insort(self._seconds, seconds)
        if task.bytes:
            bisect.insort(self._per_byte, seconds / task.bytes)

    def typical(self, task: Task) -> float | None:
        """Seconds that a task of this size takes by the median of those that finished; None when too few have."""
        if len(self._seconds) < STALL_FINISHED:
            return None
        return max(_median(self._seconds), _median(self._per_byte) * task.bytes)

    def allowed(self, task: Task) -> float:
        """Seconds after which a task is taken for hung."""
        if not self._least:
            return float("inf")
        typical = self.typical(task)
        if typical is None:
            return max(STALL_ALONE * self._least, STALL_TIMES * task.bytes / _SLOWEST)
        return max(self._least, STALL_TIMES * typical)

    def deadline(self, attempt: Attempt) -> float:
        """When a task is to be looked at again: at half of the time it may take it is reported, and not before another
        half is it taken for hung, however suddenly the time was measured."""
        assert attempt.start is not None
        allowed = self.allowed(attempt.task)
        if attempt.warned is None:
            return attempt.start + allowed / 2
        return max(attempt.start + allowed, attempt.warned + allowed / 2)

    def pause(self, running: Iterable[Attempt]) -> float:
        """Seconds to wait for an outcome before the tasks are looked after again."""
        deadlines = [self.deadline(attempt) for attempt in running if attempt.start is not None]
        return max(0.0, min([_LONGEST_PAUSE, *(deadline - self.now() for deadline in deadlines)]))

    def hangs(self, attempt: Attempt) -> bool:
        """True when a task is to be ended; reports it before."""
        if attempt.start is None or self.now() < self.deadline(attempt):
            return False
        if attempt.warned is not None:
            return True
        attempt.warned = self.now()
        task = attempt.task
        self._tell(
            f"{task.slice} {task.stage}: {task.name} has run for {minutes(attempt.warned - attempt.start)}"
            f"{self._others(task)}. After {minutes(self.deadline(attempt) - attempt.start)} it is taken for hung and "
            "tried again (--stall changes that)."
        )
        return False

    def hung(self, attempt: Attempt, stack: str) -> Failed:
        """Report a task that was ended, and give its failure, should this have been its last try. ``stack`` is where it
        stood, as far as its worker told."""
        assert attempt.start is not None
        task = attempt.task
        place = next((line.strip() for line in stack.splitlines() if line.strip().startswith("File ")), "")
        where = f" It stood at {place}." if place else ""
        what = f"it hung: no end after {minutes(self.now() - attempt.start)}{self._others(task)}"
        again = attempt.tries < RETRIES
        self._tell(f"{task.slice} {task.stage}: {task.name}: {what}.{where} {'Tried again.' if again else 'Given up.'}")
        return Failed(
            task,
            f"{what}; tried {attempt.tries + 1} times.{where} Run again; if it hangs again, give it longer (--stall "
            "MINUTES) or report it with the detail below.",
            stack,
        )

    def _others(self, task: Task) -> str:
        typical = self.typical(task)
        return "" if typical is None else f" (others of the stage take {minutes(typical)} for that size)"


def _median(ordered: list[float]) -> float:
    return ordered[len(ordered) // 2] if ordered else 0.0


def minutes(seconds: float) -> str:
    """A time for people: ``12 seconds``, ``15 minutes``, ``25 hours``."""
    for size, name in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds" if seconds >= 2 else f"{seconds:.1f} seconds"


def died(task: Task, how: str = "") -> Failed:
    """The failure of a task whose worker died at every try; ``how`` when it was not simply killed."""
    times = RETRIES + 1
    if how:
        return Failed(
            task,
            f"its worker crashed {times} times ({how}). This is a defect of rpj or of a library it uses: please report "
            "it with the name of the raw file.",
        )
    return Failed(
        task,
        f"its worker was killed {times} times (out of memory?). Run again with fewer --workers or more --memory.",
    )


def unsendable(task: Task, error: object) -> Failed:
    """The failure of a task that, or whose outcome, cannot be sent to or from a worker."""
    return Failed(task, f"{error}. This is a defect of rpj: please report it.")
