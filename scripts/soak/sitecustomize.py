"""Faults of the machine, put into every process of a run: Python imports this module at its start when its folder is on
the path. What fails, where and when stands in the environment variable ``RPJ_FAULT`` (see :class:`Fault`); without it
nothing happens.

The calls that fail are the system's own as the program makes them (open, read, write, fsync, rename, unlink, list), so
that no part of the program knows of it.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

FAULT = "RPJ_FAULT"


class Fault:
    """One fault: the ``at``-th to ``at + times - 1``-th call of ``op`` on a path that contains ``where``, counted over
    all processes of the run in the file ``count``, ends as ``action`` says: an error's name, ``memory`` (MemoryError),
    ``kill`` (this process), ``driver`` (the process ``driver`` is killed), ``term`` (it is told to end), ``cut`` (a
    read ends early, a write is half done)."""

    def __init__(self, op: str, where: str, at: int, times: int, action: str, count: str, driver: int = 0) -> None:
        self.op, self.where, self.at, self.times, self.action = op, where, at, times, action
        self.count, self.driver = count, driver

    def due(self, op: str, path: object) -> bool:
        """Count a call; whether it is one that fails."""
        if op != self.op or self.where not in str(path):
            return False
        counter = os.open(self.count, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(counter, b".")
            number = os.lseek(counter, 0, os.SEEK_CUR)
        finally:
            os.close(counter)
        return self.at <= number < self.at + self.times

    def strike(self, path: object) -> bool:
        """Let the call fail; True when it is to be cut short instead."""
        if self.action == "cut":
            return True
        if self.action == "memory":
            raise MemoryError
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action in ("driver", "term"):
            os.kill(self.driver or os.getpid(), signal.SIGKILL if self.action == "driver" else signal.SIGTERM)
            return False
        number = getattr(errno, self.action)
        raise OSError(number, os.strerror(number), str(path))


def install(fault: Fault) -> None:
    """Put a fault into this process, for as long as it lives."""
    for module, name, op in ((os, "fsync", "fsync"), (os, "replace", "replace"), (os, "unlink", "unlink")):
        setattr(module, name, _failing(getattr(module, name), op, fault))
    os.scandir = _failing(os.scandir, "list", fault)
    os.makedirs = _failing(os.makedirs, "mkdir", fault)
    os.pread = _cut_short(os.pread, fault)
    builtins.open = _opening(builtins.open, fault)
    with contextlib.suppress(ImportError):
        from redpajama_data.io import retries

        retries.WAIT_FIRST = retries.WAIT_MOST = retries.WAIT_JITTER = 0.0  # no faults are mended by waiting here


def _failing(call: Callable[..., Any], op: str, fault: Fault) -> Callable[..., Any]:
    def failing(*args: Any, **named: Any) -> Any:
        path = _path_of(args[-1] if op == "replace" else args[0]) if args else "."
        if fault.due(op, path):
            fault.strike(path)
        return call(*args, **named)

    return failing


def _cut_short(call: Callable[..., bytes], fault: Fault) -> Callable[..., bytes]:
    def pread(descriptor: int, size: int, offset: int) -> bytes:
        path = _path_of(descriptor)
        data = call(descriptor, size, offset)
        return data[: len(data) // 2] if fault.due("read", path) and fault.strike(path) else data

    return pread


def _path_of(place: object) -> object:
    if not isinstance(place, int):
        return place
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{place}")
    return place


def _opening(call: Callable[..., Any], fault: Fault) -> Callable[..., Any]:
    def failing_open(file: Any, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
        if isinstance(file, int) or mode not in ("rb", "wb") or fault.where not in str(file):
            return call(file, mode, buffering, *more, **named)
        if fault.due("open", file):
            fault.strike(file)
        raw = _FailingFile(os.fspath(file), mode, fault)
        if buffering == 0:
            return raw
        size = io.DEFAULT_BUFFER_SIZE if buffering < 2 else buffering
        return io.BufferedReader(raw, size) if mode == "rb" else io.BufferedWriter(raw, size)

    return failing_open


class _FailingFile(io.FileIO):
    """A file whose reads and writes may fail."""

    def __init__(self, path: str, mode: str, fault: Fault) -> None:
        super().__init__(path, mode)
        self._path, self._fault = path, fault

    def readinto(self, buffer: Any, /) -> int:
        if self._fault.due("read", self._path) and self._fault.strike(self._path):
            return super().readinto(memoryview(buffer)[:0])
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        if self._fault.due("read", self._path) and self._fault.strike(self._path):
            return b""
        return super().read(-1 if size is None else size)

    def readall(self) -> bytes:
        if self._fault.due("read", self._path) and self._fault.strike(self._path):
            return b""
        return super().readall()

    def write(self, data: Any, /) -> int:
        if self._fault.due("write", self._path) and self._fault.strike(self._path):
            return super().write(memoryview(data).cast("B")[: max(1, len(data) // 2)])
        return super().write(data)


def _main() -> Iterator[Fault]:
    given = os.environ.get(FAULT)
    if given and not sys.argv[0].endswith("soak.py"):
        yield Fault(**json.loads(given))


for _fault in _main():
    install(_fault)
