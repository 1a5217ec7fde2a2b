"""Paths and URLs, whole files only.

A path without ``scheme://`` is local and takes the plain operating system calls; anything else goes through fsspec
(``s3://``, ``hf://``, ``https://`` ...). Writing is the same for both: a file appears only when it is whole.
"""

from __future__ import annotations

import bz2
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
from typing import Any, BinaryIO, NamedTuple, cast

from redpajama_data.errors import BrokenInput, RpjError, StorageError, UsageError

TMP_MARK = ".tmp-"  # every unfinished local file has it in its name, and nothing else has
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+://")
_REMOTE_BLOCK = 8 << 20  # bytes read ahead from an object store: fewer requests, bounded memory
_LINE_STEP = 1 << 20  # decompressed bytes split into lines at a time: large enough that Python's share is small
_ZSTD_WINDOW = 1 << 27  # 128 MiB, the format's recommended limit for decoders


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


class _Decompressed(io.RawIOBase):
    """A decompressed stream whose damage shows as :class:`BrokenInput` with the place in the raw file."""

    def __init__(self, path: str, raw: BinaryIO, stream: Any) -> None:
        self._path, self._raw, self._stream, self._done = path, raw, stream, 0

    def readable(self) -> bool:
        return True

    def _broken(self, error: BaseException) -> BrokenInput:
        what = "the compressed stream ends early" if isinstance(error, EOFError) else f"damaged ({error})"
        return BrokenInput(
            f"{self._path}: {what}. What was read before is kept; fetch the file again, then run again.",
            f"after {self._done} decompressed bytes",
        )

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except RpjError:
            raise
        except Exception as error:  # each codec has its own error classes; all mean the same here
            raise self._broken(error) from error
        self._done += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(Exception):
                self._stream.close()
            self._raw.close()
        super().close()


class _Frames:
    """Compressed frames (gzip members, zstd frames, bz2 streams) one after another, as a stream.

    The libraries' own readers throw away what they have gathered when a stream breaks off, and zstandard's does not
    even notice the break; here every byte before the damage comes out first.
    """

    def __init__(self, raw: BinaryIO, codec: _Codec) -> None:
        self._raw, self._codec = raw, codec
        self._decoder: Any = None
        self._rest = b""  # compressed bytes behind the end of a frame
        self._out = b""
        self._given = 0  # bytes of _out that were handed out

    def read(self, size: int) -> bytes:
        while not self._out:
            data = b""
            if self._decoder is None or getattr(self._decoder, "needs_input", True):
                data = self._rest or self._raw.read(self._codec.step)
                self._rest = b""
                if not data:
                    if self._decoder is not None:
                        raise EOFError("inside a frame")
                    return b""
            if self._decoder is None:
                data = data.lstrip(b"\0")  # padding between frames, as tapes and gzip have it
                if not data:
                    continue
                self._decoder = self._codec.decoder()
            out = self._decoder.decompress(data, *self._codec.bound)
            if self._decoder.eof:
                self._rest = self._decoder.unused_data
                self._decoder = None
            self._out, self._given = out, 0
        chunk = self._out[self._given : self._given + size]
        self._given += len(chunk)
        if self._given == len(self._out):
            self._out, self._given = b"", 0
        return chunk

    def close(self) -> None:
        self._out = b""


def _gzip_decoder() -> Any:
    from isal import isal_zlib  # 2.4 times the speed of the standard library's

    return isal_zlib.decompressobj(wbits=31)


def _zstd_decoder() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()


class _Codec(NamedTuple):
    """How to decode one kind of frame, and the compressed bytes fed at a time, which bound what a bomb can do."""

    decoder: Callable[[], Any]
    step: int
    bound: tuple[int, ...] = ()  # the most bytes of one call's output, where the decoder takes such a limit


_CODECS = {
    ".gz": _Codec(_gzip_decoder, 64 << 10),  # at most 1032 : 1, 64 MiB a step
    ".zst": _Codec(_zstd_decoder, 4 << 10),  # at most 128 KiB from 4 bytes, 128 MiB a step
    ".bz2": _Codec(bz2.BZ2Decompressor, 64 << 10, (1 << 20,)),  # 1 GiB from 785 bytes, so it takes the limit
}


def open_decompressed(path: str) -> BinaryIO:
    """Open a file as a stream of decompressed bytes, by its ending: ``.gz``, ``.zst``, ``.bz2``, anything else as it
    is.

    ``read(n)`` returns at most n bytes, b"" at the end, and raises :class:`BrokenInput` with the place where the stream
    is damaged or cut. Memory is bounded by n.
    """
    raw = open_input(path)
    codec = _CODECS.get(posixpath.splitext(path.lower())[1])
    return cast(BinaryIO, _Decompressed(path, raw, raw if codec is None else _Frames(raw, codec)))


class TooLong(NamedTuple):
    """A line longer than the limit; its bytes were passed over."""

    length: int


def iter_lines(path: str, *, max_bytes: int) -> Iterator[bytes | TooLong]:
    """The lines of a (compressed) file without their ``\\n``, as a stream; the last one may lack it.

    A line longer than ``max_bytes`` comes as :class:`TooLong`, so memory is bounded whatever the file holds.
    Raises :class:`BrokenInput` where the file is damaged, after the whole lines before it; what was begun of a line
    at the damage is lost to nobody: the error's place names it.
    """
    with open_decompressed(path) as stream:
        pending: list[bytes] = []  # the pieces of a line that is not at its end yet
        held = 0
        dropped = False
        while True:
            chunk = stream.read(_LINE_STEP)
            if not chunk:
                break
            lines = chunk.split(b"\n")
            if len(lines) == 1:
                held += len(chunk)
                dropped = dropped or held > max_bytes
                pending = [] if dropped else [*pending, chunk]
                continue
            held += len(lines[0])
            if dropped or held > max_bytes:
                yield TooLong(held)
            else:
                pending.append(lines[0])
                yield b"".join(pending)
            last = lines.pop()
            for line in lines[1:]:
                yield line if len(line) <= max_bytes else TooLong(len(line))
            pending, held, dropped = ([last] if last else []), len(last), False
        if held:
            yield TooLong(held) if dropped or held > max_bytes else b"".join(pending)


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
        if fs.isfile(inside):
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
