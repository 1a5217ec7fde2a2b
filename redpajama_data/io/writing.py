"""Files that appear only when they are whole."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import os
import posixpath
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar

from redpajama_data.errors import RpjError
from redpajama_data.io.paths import filesystem, is_remote, local
from redpajama_data.io.retries import failures, not_written, retried

TMP_MARK = ".tmp-"  # every unfinished local file has it in its name
_UNFINISHED = re.compile(re.escape(TMP_MARK) + r"\d+-[0-9a-f]{8}$")  # ... with the process and a random number

Result = TypeVar("Result")


def is_unfinished(path: str) -> bool:
    """True for the name that :func:`whole_file` gives a file until it is whole."""
    return bool(_UNFINISHED.search(path))


class WholeFile(io.RawIOBase):
    """A file being written under a temporary name; it counts its bytes and their SHA-256 on the way."""

    def __init__(self, path: str, file: BinaryIO, place: str | None = None) -> None:
        self._path, self._file, self._place = path, file, place
        self.bytes, self._sha = 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.bytes

    def write(self, data: Any) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            raise not_written(self._path, error, self._place) from error
        self._sha.update(data)
        size = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        self.bytes += size
        return size

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of what was written so far."""
        return self._sha.hexdigest()


@contextlib.contextmanager
def whole_file(path: str, *, durable: bool = True) -> Iterator[WholeFile]:
    """Write a file that appears under its name only when the block ends without an error.

    Local: a temporary name in the same folder, flushed to the disk, renamed. Remote: written to a local temporary
    file, then uploaded in one piece, with retries, so that no half object is ever seen. Not ``durable``: a power cut
    before :func:`settle` may leave it empty or short, which spares the wait for the disk.
    Raises :class:`StorageError` when it cannot be written; errors of the block pass as they are.
    """
    remote = is_remote(path)
    folder = tempfile.gettempdir() if remote else os.path.dirname(local(path)) or "."
    temporary = os.path.join(folder, f"{posixpath.basename(path)}{TMP_MARK}{os.getpid()}-{secrets.token_hex(4)}")
    place = temporary if remote else None
    try:
        raw = retried(temporary, _open_new, temporary, 0o600 if remote else 0o666)  # /tmp is everybody's
    except OSError as error:
        raise not_written(path, error, place) from error
    try:
        yield WholeFile(path, raw, place)
        try:
            raw.flush()
            if not remote and durable:
                os.fsync(raw.fileno())
            raw.close()
            if not remote:
                os.replace(temporary, local(path))
        except OSError as error:
            raise not_written(path, error, place) from error
        if remote:
            in_root(path, upload, temporary, path)
    finally:
        with contextlib.suppress(OSError):  # what is still buffered may not fit either: it is thrown away
            raw.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _open_new(path: str, mode: int) -> BinaryIO:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    # New, whatever lies or leads from there: a link that somebody put in its place is not followed.
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    return open(number, "wb", buffering=1 << 20)


def settle(folder: str) -> None:
    """Wait until all that was written to the disk of a local folder is there: one wait for the files of many tasks. It
    returns at once for a URL, where what is uploaded is there.

    Raises :class:`StorageError` when the disk has lost something.
    """
    if is_remote(folder):
        return
    try:
        number = os.open(local(folder), os.O_RDONLY | os.O_CLOEXEC)
        try:
            _sync_filesystem(number)
        finally:
            os.close(number)
    except OSError as error:
        raise not_written(folder, error) from error


def _sync_filesystem(number: int) -> None:
    """``syncfs(2)`` of Linux, which Python does not have; elsewhere every disk is waited for."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        os.sync()
    elif call(number) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def upload(temporary: str, path: str) -> None:
    """One attempt to put a local file under a URL, whole."""
    fs, inside = filesystem(path)
    fs.put_file(temporary, inside)


def in_root(path: str, call: Callable[..., Result], *arguments: object) -> Result:
    """A call on a file of a root, with retries; raises :class:`StorageError` when it fails to the end."""
    try:
        return retried(path, call, *arguments)
    except failures(path) as error:
        if isinstance(error, (RpjError, MemoryError)):
            raise
        raise not_written(path, error) from error
