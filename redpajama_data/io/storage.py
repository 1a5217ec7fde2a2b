"""Files by path or URL: raw files (:mod:`redpajama_data.io.raw_files`), and those of a root: write whole, read, find,
remove.

A path without ``scheme://`` is local and takes the plain operating system calls; anything else goes through fsspec
(``s3://``, ``hf://``, ``https://`` ...). Writing is the same for both: a file appears only when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from redpajama_data.io.paths import filesystem as filesystem
from redpajama_data.io.paths import is_remote as is_remote
from redpajama_data.io.paths import join as join
from redpajama_data.io.paths import local as local
from redpajama_data.io.paths import relative_to as relative_to
from redpajama_data.io.paths import without_query as without_query
from redpajama_data.io.raw_files import RawFile as RawFile
from redpajama_data.io.raw_files import list_files as list_files
from redpajama_data.io.raw_files import open_input as open_input
from redpajama_data.io.raw_files import stat as stat
from redpajama_data.io.writing import TMP_MARK as TMP_MARK
from redpajama_data.io.writing import WholeFile as WholeFile
from redpajama_data.io.writing import in_root, upload
from redpajama_data.io.writing import is_unfinished as is_unfinished
from redpajama_data.io.writing import settle as settle
from redpajama_data.io.writing import whole_file as whole_file

_AT_ONCE = 32  # requests for small files: an S3 prefix takes 5,500 a second, a wait of 50 ms makes 640 of these
_HELD = 1 << 10  # small files held at most before they are handed on


def write_bytes(path: str, data: bytes, *, durable: bool = True) -> None:
    """Write a small file, whole or not at all (see :func:`whole_file`)."""
    with whole_file(path, durable=durable) as file:
        file.write(data)


def put(source: str, path: str) -> None:
    """Put a whole local file under a URL, with retries. Raises :class:`StorageError`."""
    in_root(path, upload, source, path)


def read_bytes(path: str) -> bytes | None:
    """A small file's bytes, or None when there is no such file."""
    return in_root(path, _read_bytes, path)


def read_each(paths: Sequence[str]) -> Iterator[bytes | None]:
    """:func:`read_bytes` of each, in order: of an object store many at a time, as a request there is a wait."""
    if not any(map(is_remote, paths)):
        yield from map(read_bytes, paths)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for first in range(0, len(paths), _HELD):
            yield from pool.map(read_bytes, paths[first : first + _HELD])


def _read_bytes(path: str) -> bytes | None:
    try:
        if not is_remote(path):
            with open(local(path), "rb") as file:
                return file.read()
        fs, inside = filesystem(path)
        fs.invalidate_cache()
        return cast(bytes, fs.cat_file(inside))
    except (FileNotFoundError, NotADirectoryError):
        return None


def find(folder: str, depth: int | None = None) -> list[str]:
    """Every file below a folder, as paths relative to it, sorted; empty when there is no folder. Folders that are links
    are not entered, nor those from the given depth on (1: files of the folder itself)."""
    return sorted(in_root(folder, _names, folder, depth))


def sizes(folder: str) -> dict[str, int]:
    """Every file below a folder, as :func:`find`, with its size in bytes."""
    return in_root(folder, _sizes, folder)


def _names(folder: str, depth: int | None) -> list[str]:
    return list(_sizes(folder, depth)) if is_remote(folder) else list(_local_names(local(folder), depth))


def _local_names(base: str, depth: int | None) -> Iterator[str]:
    """Every file below a local folder, from there. A root has several for each task, so each is touched but once."""
    for place, folders, files in os.walk(base, onerror=_unless_gone):
        below = place[len(base) :].strip(os.sep)
        if depth is not None and (below.count(os.sep) + 2 if below else 1) >= depth:
            folders.clear()
        yield from (f"{below}{os.sep}{name}" for name in files) if below else files


def _sizes(folder: str, depth: int | None = None) -> dict[str, int]:
    if not is_remote(folder):
        base = local(folder)
        local_files: dict[str, int] = {}
        for name in _local_names(base, depth):
            with contextlib.suppress(FileNotFoundError):
                local_files[name] = os.lstat(f"{base}{os.sep}{name}").st_size
        return local_files
    fs, inside = filesystem(folder)
    fs.invalidate_cache()
    try:
        found = fs.find(inside, maxdepth=depth, detail=True)
    except FileNotFoundError:
        return {}
    return {posixpath.relpath(name, inside): int(info.get("size") or 0) for name, info in found.items()}


def _unless_gone(error: OSError) -> None:
    """What is not listed would pass for not there: only a folder that is really gone may be passed over."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def remove(path: str) -> None:
    """Remove a file; no error when it is gone already."""
    in_root(path, _remove, path)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if is_remote(path):
            fs, inside = filesystem(path)
            fs.rm_file(inside)
        else:
            os.unlink(local(path))
