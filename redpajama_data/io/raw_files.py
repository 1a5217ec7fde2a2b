"""Raw files: which there are at a path, glob, folder or URL, what each is, and opening them."""

from __future__ import annotations

import fnmatch
import glob as local_glob
import io
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

from redpajama_data.errors import RpjError, UsageError
from redpajama_data.io.credentials import admit, name_of
from redpajama_data.io.paths import filesystem, is_remote, local, without_query
from redpajama_data.io.reading import RetriedFile
from redpajama_data.io.retries import failures, retried, unavailable, without_credentials
from redpajama_data.io.walk import check_file, files_below, is_passed_over
from redpajama_data.io.writing import TMP_MARK

Result = TypeVar("Result")

_BUFFER = 64 << 10  # bytes asked of the system at a time, so that a call of Python for each does not show


def open_input(path: str) -> BinaryIO:
    """Open a file for reading bytes (seekable). The caller closes it.

    What fails here or in a later read is tried again (see :mod:`redpajama_data.io.retries`); raises
    :class:`InputUnavailable` when it fails to the end, and never says anything about the content.
    """
    return cast(BinaryIO, io.BufferedReader(RetriedFile(admit(path)), _BUFFER))


class RawFile(NamedTuple):
    """One raw file: path or URL (without what grants access: :func:`redpajama_data.io.credentials.name_of`), size in
    bytes, and a stamp that changes when its content does (mtime or etag)."""

    path: str
    bytes: int
    stamp: str


def stat(path: str) -> RawFile:
    """Size and stamp of a file. Raises :class:`UsageError` when there is none or credentials are missing,
    :class:`InputUnavailable` when it cannot be looked at."""
    path = admit(path)
    try:
        return _seen(path, _stat, path)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file. Check --input.") from error


def _stat(path: str) -> RawFile:
    if not is_remote(path):
        info = os.stat(local(path))
        return RawFile(path, info.st_size, str(info.st_mtime_ns))
    fs, inside = filesystem(path)
    return _raw_file(path, fs.info(inside))


def _seen(path: str, call: Callable[..., Result], *arguments: object) -> Result:
    """A look at an input, with retries; that nothing is there is an answer."""

    def asked() -> Result | FileNotFoundError:
        try:
            return call(*arguments)
        except FileNotFoundError as error:
            return error

    try:
        answer = retried(path, asked)
    except failures(path) as error:
        if isinstance(error, (RpjError, MemoryError)):
            raise
        failed = unavailable(path, error)
        raise UsageError(str(failed)) if without_credentials(error) else failed from error
    if isinstance(answer, FileNotFoundError):
        raise answer
    return answer


def _raw_file(path: str, info: dict[str, Any]) -> RawFile:
    stamp = next((info[k] for k in ("ETag", "etag", "LastModified", "mtime", "created") if info.get(k)), "")
    return RawFile(path, int(info.get("size") or 0), str(stamp))


def list_files(where: str, patterns: Iterable[str]) -> list[RawFile]:
    """Every file that ``where`` means, sorted by path: one file, a glob, or a folder's files (at any depth, links
    followed) whose name matches one of ``patterns``, capitals or not.

    Hidden files and folders and unfinished downloads (:func:`~redpajama_data.io.walk.is_passed_over`) are no input.
    Raises :class:`UsageError` when there is nothing, or for what may be input and cannot be read
    (:func:`~redpajama_data.io.walk.files_below`).
    """
    where = admit(where)
    names = tuple(patterns)
    lowered = tuple(name.lower() for name in names)

    def wanted(path: str) -> bool:
        base = without_query(path).rsplit("/", 1)[-1].lower()
        return not is_passed_over(base) and TMP_MARK not in base and any(fnmatch.fnmatchcase(base, p) for p in lowered)

    if is_remote(where):
        files = _list_remote(where, wanted)
    else:
        place = local(where)
        if os.path.isdir(place):
            files = [stat(path) for path in files_below(place, wanted)]
        elif os.path.lexists(place):
            check_file(place)
            files = [stat(where)]
        else:
            files = _globbed(place, wanted)
    if not files:
        raise UsageError(
            f"{where}: no input there{_instead(where)}. Expected a file, a glob, or a folder with files named "
            f"{' or '.join(names)}."
        )
    return sorted(files)


def _globbed(pattern: str, wanted: Callable[[str], bool]) -> list[RawFile]:
    """The files that a local glob names, and the wanted ones below the folders that it names."""
    files: dict[str, RawFile] = {}
    for path in local_glob.glob(pattern, recursive=True):
        if os.path.isdir(path):
            files.update((below, stat(below)) for below in files_below(path, wanted))
        elif not is_passed_over(os.path.basename(path)) and TMP_MARK not in os.path.basename(path):
            check_file(path)
            files[path] = stat(path)
    return list(files.values())


def _instead(where: str) -> str:
    """Some files that are in a local folder without input, for the message."""
    if is_remote(where) or not os.path.isdir(local(where)):
        return ""
    others = sorted(islice(files_below(local(where), lambda path: True), 1000))
    return f"; it has {', '.join(map(os.path.basename, others[:3]))}{' ...' if others[3:] else ''}" if others else ""


def _list_remote(where: str, wanted: Callable[[str], bool]) -> list[RawFile]:
    prefix = where.split("://", 1)[0] + "://"

    def url(name: str) -> str:
        return name_of(name) if is_remote(name) else prefix + name.lstrip("/")

    def below(fs: Any, folder: str, options: dict[str, Any]) -> Iterator[RawFile]:
        for name, info in fs.find(folder, detail=True, **options).items():
            inner = name[len(folder.rstrip("/")) :] if name.startswith(folder.rstrip("/")) else name.rsplit("/", 1)[-1]
            if wanted(name) and not any(is_passed_over(part) for part in inner.split("/")):
                yield _raw_file(url(name), info)

    def listed() -> list[RawFile]:
        fs, inside = filesystem(where)
        # fsspec passes over what it cannot list; of object stores only the one over the web does
        options = {"on_error": _unless_absent} if where.startswith(("http://", "https://")) else {}
        if any(mark in without_query(inside) for mark in "*?["):  # on the web a ? begins the query
            globbed: dict[str, RawFile] = {}
            for name, info in fs.glob(inside, detail=True, **options).items():
                files = below(fs, name, options) if info.get("type") == "directory" else [_raw_file(url(name), info)]
                globbed.update((file.path, file) for file in files)
            return list(globbed.values())
        if not where.endswith("/"):  # a web server calls its listing a file
            try:
                info = fs.info(inside)
            except FileNotFoundError as error:
                _unless_absent(error)
            else:
                if info["type"] == "file":
                    return [_raw_file(where, info)]
        return list(below(fs, inside, options))

    try:
        return _seen(where, listed)
    except FileNotFoundError:
        return []


def _unless_absent(error: Exception) -> None:
    """Raise what is no answer that nothing is there. The file system of the web calls every failure that."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError):
        raise error
    if type(cause).__module__.startswith("aiohttp") and getattr(cause, "status", None) not in (404, 410):
        raise OSError(f"{type(cause).__name__}: {cause}") from error
