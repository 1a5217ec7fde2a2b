"""Hosts as every process of this user on this machine shares them: workers that read from one host are one guest.

Between processes stand files in a folder of this user's own (:mod:`redpajama_data.io.private`): a lock for each
connection that a host allows, and one small file a host with its pause and cool-down. A process takes one connection's
lock, however many files it has open there: one that waited for a second would wait for others that do the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping

import msgspec

from redpajama_data.download.hosts import Host, Hosts
from redpajama_data.download.manners import manners_of
from redpajama_data.io.private import private_folder

_LOOK = 0.1  # seconds between two looks for a connection that has become free
_GUARD = threading.Lock()
_held: dict[tuple[int, str], list[int]] = {}  # by process and host: the file of the lock, how many use it


class State(msgspec.Struct):
    """What processes tell each other of a host, in seconds of the wall clock: when it may be asked next, until when it
    is left alone, by its own word for longer than a run waits (``closed``, and why), how often in a row it refused, and
    the pause between two requests."""

    next: float = 0.0
    cool_until: float = 0.0
    closed: str = ""
    closed_until: float = 0.0
    refused: int = 0
    pause: float = 0.0


class SharedHosts(Hosts):
    """As :class:`Hosts`, for all processes together."""

    def of(self, name: str) -> Host:
        """The host of that name."""
        if name not in self._hosts:
            self._hosts[name] = SharedHost(name, manners_of(name), self.clock, self.chance)
        return self._hosts[name]


class SharedHost(Host):
    """As :class:`Host`, for all processes together. Where nothing can be locked, each is on its own."""

    def _locked(self, ending: str, how: int) -> int | None:
        """A lock on one of the host's files, as :func:`_locked`."""
        folder = private_folder("hosts")
        if folder is None:
            return -1
        return _locked(os.path.join(folder, re.sub(r"[^a-z0-9.-]", "_", self.name) + ending), how)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the host's connections, from when it may be asked; for this process, which may have it already."""
        await self._take()
        try:
            await self._turn()
            yield
        finally:
            self._give_back()

    async def _turn(self) -> None:
        """Return when the next request may start, whoever makes it."""
        while not self.closed:
            with self._shared():
                now, ready = self._clock.now(), max(self._next, self._cool_until)
                if now >= ready:
                    self._next = now + self._pause
                    return
            await self._clock.until(ready)

    def answered(self, headers: Mapping[str, str]) -> None:
        """As :meth:`Host.answered`."""
        with self._shared():
            super().answered(headers)

    def refused(self, status: int, headers: Mapping[str, str]) -> None:
        """As :meth:`Host.refused`."""
        with self._shared():
            super().refused(status, headers)

    async def _take(self) -> None:
        key = (os.getpid(), self.name)
        while True:
            with _GUARD:
                if key in _held:
                    _held[key][1] += 1
                    return
                number = self._free_lock()
                if number is not None:
                    _held[key] = [number, 1]
                    return
            await asyncio.sleep(_LOOK)

    def _free_lock(self) -> int | None:
        """The file of a lock that is ours now; -1 where nothing can be locked, None when all are taken."""
        for n in range(self.manners.connections):
            number = self._locked(f".{n}", fcntl.LOCK_EX | fcntl.LOCK_NB)
            if number is not None:
                return number
        return None

    def _give_back(self) -> None:
        key = (os.getpid(), self.name)
        with _GUARD:
            entry = _held[key]
            entry[1] -= 1
            if not entry[1]:
                del _held[key]
                if entry[0] >= 0:
                    os.close(entry[0])

    @contextlib.contextmanager
    def _shared(self) -> Iterator[None]:
        """The state of all processes within the block, and what it becomes there for all of them."""
        number = self._locked(".json", fcntl.LOCK_EX)
        if number is None or number < 0:
            yield
            return
        try:
            with contextlib.suppress(msgspec.DecodeError, OSError):
                self._put(msgspec.json.decode(os.pread(number, 4096, 0), type=State))
            yield
            with contextlib.suppress(OSError):
                data = msgspec.json.encode(self._state())
                os.pwrite(number, data, 0)
                os.ftruncate(number, len(data))
        finally:
            os.close(number)

    def _put(self, state: State) -> None:
        away = self._clock.now() - self._clock.wall()  # the clocks of processes differ in where they begin
        most = self.manners.cool_most * 2  # a wall clock that was set back must not hold the host for ever
        self._next = min(state.next + away, self._clock.now() + most)
        self._cool_until = min(state.cool_until + away, self._clock.now() + most)
        self._refused, self._pause = state.refused, max(self.manners.pause, state.pause)
        if state.closed_until > self._clock.wall():
            self.closed, self.closed_until = state.closed, state.closed_until

    def _state(self) -> State:
        away = self._clock.wall() - self._clock.now()
        word = self.closed if self.closed_until else ""  # that it failed too often, each process finds by itself
        cool = self._cool_until + away
        return State(self._next + away, cool, word, self.closed_until, self._refused, self._pause)


def _locked(path: str, how: int) -> int | None:
    """A lock on a file, as the number of the file: closing it gives the lock back. None when it is taken, -1 where
    there are no locks."""
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return -1
    try:
        fcntl.flock(number, how)
    except BlockingIOError:
        os.close(number)
        return None
    except OSError:
        os.close(number)
        return -1
    return number
