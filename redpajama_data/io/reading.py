"""A file open for reading that outlives the failures of its disk or network."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from io import FileIO, RawIOBase
from typing import Any, NamedTuple

from redpajama_data.errors import InputUnavailable, RpjError
from redpajama_data.io import read_so_far
from redpajama_data.io.paths import filesystem, is_remote, local
from redpajama_data.io.retries import failures, retried, unavailable

REMOTE_BLOCK = 8 << 20  # bytes read ahead from an object store: fewer requests, bounded memory
_PASS_OVER = 1 << 20  # bytes read at a time to come to a place in what has no seek


class _Version(NamedTuple):
    """What tells one content under a name from the next: size in bytes (None: not known), time or validator."""

    size: int | None
    stamp: str


class RetriedFile(RawIOBase):
    """The bytes of a file. A read that fails is tried again at the same byte, on the file opened anew.

    A file that ends before the size it had at opening was cut on the way, so that is such a failure as well. Raises
    :class:`InputUnavailable` when no attempt succeeds, and when the file has become another one in between.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path, self._at = path, 0
        self._file: Any = None
        self._version: _Version | None = None  # that of the first byte read
        self._failures = failures(path)
        self._call(self._reopen)

    def _call(self, call: Any, *arguments: object) -> Any:
        try:
            return retried(self._path, call, *arguments)
        except self._failures as error:
            if isinstance(error, (RpjError, MemoryError)):
                raise
            raise unavailable(self._path, error) from error

    # ------------------------------------------------------------------------------------------ as io.RawIOBase

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def fileno(self) -> int:
        number: int = self._file.fileno()
        return number

    def readinto(self, buffer: Any) -> int:
        count: int = self._call(self._readinto, buffer)
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = self._call(self._seek, offset, whence)
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()

    # ------------------------------------------------------------------------------------------ one attempt

    def _readinto(self, buffer: Any) -> int:
        if self._file is None:
            self._reopen()
        try:
            count: int = self._file.readinto(buffer)
            if not count and len(buffer):
                self._end_reached()
        except BaseException:
            self._drop()
            raise
        self._at += count
        read_so_far.count(count)
        return count

    def _end_reached(self) -> None:
        size = self._version.size if self._version is not None else None
        if size is not None and self._at < size:
            raise OSError(errno.EIO, f"it ended at byte {self._at:,} of {size:,}")
        if size and self._at > size:
            raise self._changed()

    def _seek(self, offset: int, whence: int) -> int:
        if self._file is None:
            self._reopen()
        try:
            place: int = self._file.seek(offset, whence)
        except BaseException:
            self._drop()
            raise
        return place

    def _reopen(self) -> None:
        file = _open(self._path)
        try:
            if self._at:  # before its version is looked at: a file on the web is then asked for from there
                _go_to(file, self._at)
            version = _version_of(file)
            if self._version is not None and self._at and version != self._version:
                raise self._changed()
        except BaseException:
            _close(file)
            raise
        self._file, self._version = file, version

    def _changed(self) -> InputUnavailable:
        return InputUnavailable(
            f"{self._path}: it changed while it was read. Run the same command again when nothing writes to it."
        )

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            _close(file)


def _open(path: str) -> Any:
    if not is_remote(path):
        return open(local(path), "rb", buffering=0)
    fs, inside = filesystem(path)
    return fs.open(inside, "rb", block_size=REMOTE_BLOCK)


def _version_of(file: Any) -> _Version:
    if isinstance(file, FileIO):
        info = os.fstat(file.fileno())
        regular = stat.S_ISREG(info.st_mode)
        return _Version(info.st_size if regular else None, str(info.st_mtime_ns) if regular else "")
    details = getattr(file, "details", None)
    stamp = details.get("ETag", "") if isinstance(details, dict) else ""
    return _Version(getattr(file, "size", None), str(stamp))


def _go_to(file: Any, place: int) -> None:
    try:
        file.seek(place)
    except ValueError:  # a web server that gives a file only from its beginning
        left = place
        while left and (data := file.read(min(left, _PASS_OVER))):
            left -= len(data)
        if left:
            raise OSError(errno.EIO, f"it ended at byte {place - left:,}, before byte {place:,}") from None


def _close(file: Any) -> None:
    with contextlib.suppress(Exception):  # nothing was written, so nothing can be lost
        file.close()
