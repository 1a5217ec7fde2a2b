"""Hosts and their patience, kept by everything that asks them: connections, pauses, cool-downs, the rate, the hours."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping

from redpajama_data.download.manners import Manners, asked_to_wait, manners_of, used_up
from redpajama_data.errors import UsageError

PATIENCE = 3600.0  # seconds: a host that asks for more is left alone for the rest of the run
GIVE_UP = 5  # files in a row that a host failed to give: then it is down, and is left alone for the rest of the run
_SPREAD = 0.25  # of a cool-down, at most that much more, by chance: not everybody comes back at once
_SLOWEST = 60.0  # seconds between two requests to a host that keeps refusing
_EASE = 20  # answers in a row without a refusal, after which the pause is halved again


class Clock:
    """Time, and waiting; tests have one of their own."""

    def now(self) -> float:
        """Seconds that only rise."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds of the clock on the wall, since 1970."""
        return time.time()

    async def until(self, when: float) -> None:
        """Return when :meth:`now` has come to ``when``."""
        while (left := when - self.now()) > 0:
            await asyncio.sleep(left)


class Host:
    """One host, as all requests to it share it."""

    def __init__(self, name: str, manners: Manners, clock: Clock, chance: random.Random) -> None:
        self.name, self.manners = name, manners
        self.closed = ""  # why it is not asked any more in this run
        self.closed_until = 0.0  # seconds of the wall clock that it asked for itself
        self._clock, self._chance = clock, chance
        self._slots = asyncio.Semaphore(manners.connections)
        self._pause, self._next, self._cool_until = manners.pause, 0.0, 0.0
        self._refused = self._good = self._failed = 0  # in a row

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One connection, from when the host may be asked. The block must look at :attr:`closed` first."""
        async with self._slots:
            while not self.closed:
                now = self._clock.now()
                ready = max(self._next, self._cool_until)
                if now >= ready:
                    self._next = now + self._pause
                    break
                await self._clock.until(ready)
            yield

    def answered(self, headers: Mapping[str, str]) -> None:
        """A request went well. One that used up what the host allows makes the next one wait."""
        self._refused, self._good = 0, self._good + 1
        if self._good % _EASE == 0:
            self._pause = max(self.manners.pause, self._pause / 2 if self._pause > 0.1 else 0.0)
        seconds = used_up(headers, self._clock.wall())
        if seconds is not None:
            self._wait(seconds, "its RateLimit is used up")

    def refused(self, status: int, headers: Mapping[str, str]) -> None:
        """The host said "slower": all of us leave it alone for as long as it asks, else longer each time."""
        self._refused, self._good = self._refused + 1, 0
        self._pause = min(max(self._pause, self.manners.pause, 0.25) * 2, max(_SLOWEST, self.manners.pause))
        seconds = asked_to_wait(headers, self._clock.wall())
        if not seconds:  # "0" from a host that has just refused is no advice
            seconds = min(self.manners.cool_most, self.manners.cool_first * 2.0 ** min(self._refused - 1, 20))
        self._wait(seconds, f"it answers {status}")

    def _wait(self, seconds: float, why: str) -> None:
        if seconds > PATIENCE:
            self.closed = f"{why} and asks to be left alone for {seconds / 3600:,.1f} hours"
            self.closed_until = max(self.closed_until, self._clock.wall() + seconds)
        else:
            more = 1 + _SPREAD * self._chance.random()
            self._cool_until = max(self._cool_until, self._clock.now() + seconds * more)

    @property
    def cools_for(self) -> float:
        """Seconds until it may be asked again."""
        return max(0.0, self._cool_until - self._clock.now())

    def gave_a_file(self, whole: bool, why: str = "") -> None:
        """A file of the host came (``whole``), or every attempt at it failed for a reason that may pass."""
        self._failed = 0 if whole else self._failed + 1
        if self._failed >= GIVE_UP:
            self.closed = self.closed or f"{GIVE_UP} files in a row failed; the last: {why}"


class Hosts:
    """Every host of a run. ``connections`` overrides those of the table, ``seed`` makes chance repeatable."""

    def __init__(self, clock: Clock | None = None, *, connections: int | None = None, seed: int | None = None) -> None:
        self.clock = clock or Clock()
        self.chance = random.Random(seed)
        self._connections = connections
        self._hosts: dict[str, Host] = {}

    def of(self, name: str) -> Host:
        """The host of that name."""
        if name not in self._hosts:
            manners = manners_of(name)
            if self._connections:
                fields = {**vars(manners), "connections": self._connections}
                manners = Manners(**fields)
            self._hosts[name] = Host(name, manners, self.clock, self.chance)
        return self._hosts[name]

    def waits(self) -> str:
        """The hosts that are left alone at this moment, and for how long, for people; "" for none."""
        left = {host.name: host.cools_for for host in self._hosts.values() if host.cools_for}
        return ", ".join(f"waits {max(1, round(seconds))} s for {name}" for name, seconds in left.items())

    def jitter(self, tries: int, first: float = 1.0, most: float = 60.0) -> float:
        """Seconds to wait before a further attempt: any time up to a bound that doubles ("full jitter")."""
        return self.chance.uniform(0, min(most, first * 2.0 ** min(tries, 20)))


class Rate:
    """At most so many bytes a second, over everything; None: no limit."""

    def __init__(self, bytes_a_second: float | None, clock: Clock) -> None:
        if bytes_a_second is not None and bytes_a_second < 1024:
            raise UsageError(f"A rate of {bytes_a_second} bytes a second. Give one as 50M: 50 MB a second.")
        self._rate, self._clock, self._free = bytes_a_second, clock, 0.0

    async def took(self, count: int) -> None:
        """``count`` bytes came: return when the next ones may."""
        if self._rate is None:
            return
        self._free = max(self._free, self._clock.now()) + count / self._rate
        await self._clock.until(self._free)


class Hours:
    """The hours of the day, by the local clock, in which something may be fetched: ``22-06``; "" is always."""

    def __init__(self, text: str, clock: Clock) -> None:
        self._clock = clock
        self._from = self._to = 0
        if text:
            try:
                self._from, self._to = (int(part) for part in text.split("-"))
            except ValueError:
                self._from = -1
            if not (0 <= self._from <= 23 and 0 <= self._to <= 24) or self._from == self._to % 24:
                raise UsageError(f"Hours of {text!r}. Give them as 22-06: from ten in the evening to six.")

    def closed_for(self) -> float:
        """Seconds until something may be fetched; 0 when it may be now."""
        if self._from == self._to:
            return 0.0
        at = time.localtime(self._clock.wall())
        hour = at.tm_hour + at.tm_min / 60 + at.tm_sec / 3600
        end = self._to % 24 or 24
        is_open = self._from <= hour < end if self._from < end else hour >= self._from or hour < end
        return 0.0 if is_open else ((self._from - hour) % 24) * 3600 or 1.0
