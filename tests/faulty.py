"""Files that fail on purpose: on this disk, and on an object store in memory (``faulty://``)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from redpajama_data.io import reading

Fault = Callable[[str, str, int], "Exception | int | None"]
"""Asked at every call (its name, the path, how many calls of that name the path has had): an error to raise, for a read
also the most bytes that come (0: the body is cut here), or None."""


class Faults:
    """What fails, and what was called."""

    def __init__(self) -> None:
        self.fault: Fault = lambda call, path, n: None
        self.calls: dict[tuple[str, str], int] = {}

    def ask(self, call: str, path: str) -> int | None:
        n = self.calls[call, path] = self.calls.get((call, path), 0) + 1
        answer = self.fault(call, path, n)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def count(self, call: str) -> int:
        """How often that call was made, on all paths."""
        return sum(n for (name, _), n in self.calls.items() if name == call)


FAULTS = Faults()


class LocalFile(io.FileIO):
    """A local file whose reads may fail."""

    def readinto(self, buffer: Any) -> int:
        most = FAULTS.ask("read", str(self.name))
        view = memoryview(buffer)
        return super().readinto(view if most is None else view[:most]) or 0


class RemoteFile(io.BytesIO):
    """A file of the store whose reads may fail."""

    def __init__(self, path: str, data: bytes) -> None:
        super().__init__(data)
        self.path, self.size, self.details = path, len(data), {"ETag": str(hash(data))}

    def readinto(self, buffer: Any) -> int:
        most = FAULTS.ask("read", self.path)
        view = memoryview(buffer)
        return super().readinto(view if most is None else view[:most])


class FaultyFileSystem(MemoryFileSystem):
    """An object store in memory whose calls may fail."""

    protocol = "faulty"
    store: dict[str, Any] = {}
    pseudo_dirs: list[str] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("faulty://", "memory://", 1)))

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        FAULTS.ask("open", path)
        return RemoteFile(path, self.store_of(path)) if mode == "rb" else super().open(path, mode, **options)

    def store_of(self, path: str) -> bytes:
        """The bytes of an object."""
        found = self.store.get(self._strip_protocol(path))
        if not isinstance(found, MemoryFile):
            raise FileNotFoundError(path)
        return bytes(found.getvalue())

    def info(self, path: str, **options: Any) -> Any:
        FAULTS.ask("info", path)
        return super().info(path, **options)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        most = FAULTS.ask("cat", path)
        return self.store_of(path)[start:end][:most]

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        FAULTS.ask("put", rpath)
        super().put_file(lpath, rpath, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        FAULTS.ask("pipe", path)
        super().pipe_file(path, value, mode, **options)

    def find(self, path: str, *arguments: Any, **options: Any) -> Any:
        FAULTS.ask("find", path)
        return super().find(path, *arguments, **options)

    def rm_file(self, path: str) -> None:
        FAULTS.ask("rm", path)
        super().rm_file(path)


@contextmanager
def faults(patch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Let local reads and everything on ``faulty://`` ask :attr:`Faults.fault` first. The store begins empty."""
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.store.clear()
    FAULTS.__init__()  # type: ignore[misc]
    patch.setattr(reading, "open", lambda path, mode, buffering: LocalFile(path, mode), raising=False)
    yield FAULTS
    FAULTS.__init__()  # type: ignore[misc]
