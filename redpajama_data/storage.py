"""Paths and URLs, whole files only.

A path without ``scheme://`` is local and takes the plain operating system calls; anything else goes through fsspec
(``s3://``, ``hf://``, ``https://`` ...). Writing is the same for both: a file appears only when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob as local_glob
import hashlib
import io
import os
import posixpath
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from redpajama_data.errors import BrokenInput, StorageError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TMP_MARK = ".tmp-"  # every unfinished local file has it in its name, and nothing else has
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+://")
_REMOTE_BLOCK = 8 << 20  # bytes read ahead from an object store: fewer requests, bounded memory
_LOCAL_GAP, _LOCAL_PIECE = 8 << 10, 1 << 20  # read_rows: bytes between rows of one piece, and of the largest piece
_REMOTE_GAP, _REMOTE_PIECE = 256 << 10, 8 << 20
_ROWS_AT_ONCE = 1 << 14  # rows whose pieces are listed
_REMOTE_PIECES = 32 << 20  # bytes of pieces asked for at once


def is_remote(path: str) -> bool:
    """True for ``scheme://...``; ``file://`` counts as local."""
    return bool(_SCHEME.match(path)) and not path.startswith("file://")


def local(path: str) -> str:
    """A local path without its ``file://``."""
    return path.removeprefix("file://")


def join(root: str, *parts: str) -> str:
    """Join below a path or URL."""
    return posixpath.join(root, *parts)


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path inside it.

    Raises :class:`UsageError` with the pip line when the scheme's package is missing.
    """
    import fsspec

    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(path))
    except ImportError as error:
        scheme = path.split("://")[0]
        raise UsageError(f"{path}: {error}. For {scheme}:// install: pip install 'redpajama-data[{scheme}]'") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}. Use a local path or one of s3://, hf://, https://.") from error


# ---------------------------------------------------------------------------------------------- reading


def open_input(path: str) -> BinaryIO:
    """Open a raw file for reading bytes (seekable). The caller closes it.

    Raises :class:`BrokenInput` when it is missing or may not be read.
    """
    try:
        if not is_remote(path):
            return open(local(path), "rb")
        fs, inside = filesystem(path)
        return cast(BinaryIO, fs.open(inside, "rb", block_size=_REMOTE_BLOCK))
    except FileNotFoundError as error:
        raise BrokenInput(f"{path}: no such file. Check the path, or remove it from --input.") from error
    except PermissionError as error:
        raise BrokenInput(f"{path}: may not be read. Give this user the right to read it, then run again.") from error
    except OSError as error:
        raise BrokenInput(f"{path}: {error}. Check the file, then run again.") from error


# ---------------------------------------------------------------------------------------------- listing


class RawFile(NamedTuple):
    """One raw file: path or URL, size in bytes, and a stamp that changes when its content does (mtime or etag)."""

    path: str
    bytes: int
    stamp: str


def stat(path: str) -> RawFile:
    """Size and stamp of a file. Raises :class:`UsageError` when there is none."""
    try:
        if not is_remote(path):
            info = os.stat(local(path))
            return RawFile(path, info.st_size, str(info.st_mtime_ns))
        fs, inside = filesystem(path)
        return _raw_file(path, fs.info(inside))
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file. Check --input.") from error


def _raw_file(path: str, info: dict[str, Any]) -> RawFile:
    stamp = next((info[k] for k in ("ETag", "etag", "LastModified", "mtime", "created") if info.get(k)), "")
    return RawFile(path, int(info.get("size") or 0), str(stamp))


def list_files(where: str, patterns: Iterable[str]) -> list[RawFile]:
    """Every file that ``where`` means, sorted by path: one file, a glob, or a folder's files (at any depth) whose name
    matches one of ``patterns``.

    Raises :class:`UsageError` when there is nothing.
    """
    names = tuple(patterns)

    def wanted(path: str) -> bool:
        base = path.rsplit("/", 1)[-1]
        return TMP_MARK not in base and any(fnmatch.fnmatchcase(base, p) for p in names)

    if is_remote(where):
        found = _list_remote(where, wanted)
    else:
        place = local(where)
        if os.path.isdir(place):
            walked = (os.path.join(folder, name) for folder, _, files in os.walk(place) for name in files)
            found = [stat(path) for path in walked if wanted(path)]
        elif os.path.isfile(place):
            found = [stat(where)]
        else:
            found = [stat(path) for path in local_glob.glob(place, recursive=True) if os.path.isfile(path)]
    if not found:
        raise UsageError(
            f"{where}: no input there. Expected a file, a glob, or a folder with files named {' or '.join(names)}."
        )
    return sorted(found)


def _list_remote(where: str, wanted: Callable[[str], bool]) -> list[RawFile]:
    fs, inside = filesystem(where)
    prefix = where.split("://", 1)[0] + "://"

    def url(name: str) -> str:
        return name if is_remote(name) else prefix + name.lstrip("/")

    try:
        if any(mark in inside for mark in "*?["):
            return [_raw_file(url(name), info) for name, info in fs.glob(inside, detail=True).items()]
        if not where.endswith("/") and fs.isfile(inside):  # a web server calls its listing a file
            return [_raw_file(where, fs.info(inside))]
        return [_raw_file(url(n), info) for n, info in fs.find(inside, detail=True).items() if wanted(n)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{where}: {error}. Check the address and your credentials.") from error


# ---------------------------------------------------------------------------------------------- writing


class WholeFile(io.RawIOBase):
    """A file being written under a temporary name; it counts its bytes and their SHA-256 on the way."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path, self._file, self.bytes, self._sha = path, file, 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.bytes

    def write(self, data: Any) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            raise _storage_error(self._path, error) from error
        self._sha.update(data)
        size = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        self.bytes += size
        return size

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of what was written so far."""
        return self._sha.hexdigest()


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[WholeFile]:
    """Write a file that appears under its name only when the block ends without an error.

    Local: a temporary name in the same folder, flushed to the disk, renamed. Remote: written to a local temporary
    file, then uploaded in one piece, so that no half object is ever seen.
    Raises :class:`StorageError` when it cannot be written; errors of the block pass as they are.
    """
    remote = is_remote(path)
    folder = tempfile.gettempdir() if remote else os.path.dirname(local(path)) or "."
    temporary = os.path.join(folder, f"{posixpath.basename(path)}{TMP_MARK}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        if not remote:
            os.makedirs(folder, exist_ok=True)
        raw = open(temporary, "wb", buffering=1 << 20)  # noqa: SIM115  (closed below, after its flush can fail)
    except OSError as error:
        raise _storage_error(path, error) from error
    try:
        yield WholeFile(path, raw)
        try:
            raw.flush()
            if not remote:
                os.fsync(raw.fileno())
            raw.close()
            if remote:
                fs, inside = filesystem(path)
                fs.put_file(temporary, inside)
            else:
                os.replace(temporary, local(path))
        except OSError as error:
            raise _storage_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # what is still buffered may not fit either: it is thrown away
            raw.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _storage_error(path: str, error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        message = "no space left. Free some, then run the same command again: it goes on where it stopped."
    elif is_remote(path):
        message = f"upload failed: {error}. Check address, credentials and quota, then run again."
    else:
        message = f"cannot be written ({error.strerror}). Choose a --root that this user may write to."
    return StorageError(f"{path}: {message}")


def write_bytes(path: str, data: bytes) -> None:
    """Write a small file, whole or not at all."""
    with whole_file(path) as file:
        file.write(data)


def read_bytes(path: str) -> bytes | None:
    """A small file's bytes, or None when there is no such file."""
    try:
        if not is_remote(path):
            with open(local(path), "rb") as file:
                return file.read()
        fs, inside = filesystem(path)
        fs.invalidate_cache()
        return cast(bytes, fs.cat_file(inside))
    except (FileNotFoundError, NotADirectoryError):
        return None


def find(folder: str) -> list[str]:
    """Every file below a folder, as paths relative to it, sorted; empty when there is no folder."""
    if not is_remote(folder):
        base = local(folder)
        walked = (os.path.join(place, name) for place, _, files in os.walk(base) for name in files)
        return sorted(os.path.relpath(path, base) for path in walked)
    fs, inside = filesystem(folder)
    fs.invalidate_cache()
    try:
        return sorted(posixpath.relpath(name, inside) for name in fs.find(inside))
    except FileNotFoundError:
        return []


def remove(path: str) -> None:
    """Remove a file; no error when it is gone already."""
    with contextlib.suppress(FileNotFoundError):
        if is_remote(path):
            fs, inside = filesystem(path)
            fs.rm_file(inside)
        else:
            os.unlink(local(path))


def create(path: str, data: bytes) -> bool:
    """Create an object that must not exist yet; False when it does. Stores without such a call check first, then
    write."""
    fs, inside = filesystem(path)
    fs.invalidate_cache()
    try:
        fs.pipe_file(inside, data, mode="create")
    except FileExistsError:
        return False
    except (NotImplementedError, TypeError):
        if fs.exists(inside):
            return False
        fs.pipe_file(inside, data)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error}). Check the address and your credentials.") from error
    return True


# ------------------------------------------------------------------------------------------------ rows


def read_rows(path: str, rows: npt.NDArray[np.integer[Any]], row_bytes: int) -> npt.NDArray[np.uint8]:
    """Rows of a file of rows of ``row_bytes`` each, as an array (rows, row_bytes). ``rows`` are their numbers, rising;
    one may come several times.

    Rows that lie close to each other are read in one piece: close is where reading what lies between costs less than
    another call. On an object store many pieces are asked for at once. Little is held beside the result: one piece of
    1 MiB, from an object store 32 MiB of pieces.
    Raises :class:`BrokenInput` when the file is missing or ends before a row.
    """
    import numpy as np

    gap, most = (_REMOTE_GAP, _REMOTE_PIECE) if is_remote(path) else (_LOCAL_GAP, _LOCAL_PIECE)
    result = np.empty((len(rows), row_bytes), np.uint8)
    for begin in range(0, len(rows), _ROWS_AT_ONCE):
        number = rows[begin : begin + _ROWS_AT_ONCE].astype(np.int64)
        window = number // max(1, most // row_bytes)  # no piece reaches from one into the next: that bounds its size
        apart = (np.diff(number) > gap // row_bytes) | (np.diff(window) > 0)
        edges = [0, *(np.flatnonzero(apart) + 1).tolist(), len(number)]
        spans = [(int(number[a]) * row_bytes, (int(number[b - 1]) + 1) * row_bytes) for a, b in pairwise(edges)]
        for (first, end), (start, stop), data in zip(pairwise(edges), spans, _read_spans(path, spans), strict=True):
            if len(data) != stop - start:
                found = start + len(data)
                raise BrokenInput(f"{path}: it ends at byte {found}. Delete it and run again: it is made anew.")
            piece = np.frombuffer(data, np.uint8).reshape(-1, row_bytes)
            result[begin + first : begin + end] = piece[number[first:end] - number[first]]
    return result


def _read_spans(path: str, spans: list[tuple[int, int]]) -> Iterator[bytes]:
    """The bytes of each span of a file; a span that goes beyond its end comes shorter."""
    if not is_remote(path):
        with open_input(path) as file:
            for start, stop in spans:
                yield os.pread(file.fileno(), stop - start, start)
        return
    fs, inside = filesystem(path)
    at_once = max(1, _REMOTE_PIECES // max((stop - start for start, stop in spans), default=1))
    for i in range(0, len(spans), at_once):
        starts, stops = zip(*spans[i : i + at_once], strict=True)
        try:
            yield from fs.cat_ranges([inside] * len(starts), list(starts), list(stops), on_error="raise")
        except FileNotFoundError as error:
            raise BrokenInput(f"{path}: no such file. Run again: it is made anew.") from error
        except OSError as error:
            raise BrokenInput(f"{path}: {error}. Check the address and your credentials, then run again.") from error
