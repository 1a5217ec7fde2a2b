"""Files by path or URL: raw files (:mod:`redpajama_data.io.raw_files`), and those of a root: write whole, read, find,
remove.

A path without ``scheme://`` is local and takes the plain operating system calls; anything else goes through fsspec
(``s3://``, ``hf://``, ``https://`` ...). Writing is the same for both: a file appears only when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
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
from redpajama_data.io.writing import whole_file as whole_file


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
    return sorted(in_root(folder, _sizes, folder, depth))


def sizes(folder: str) -> dict[str, int]:
    """Every file below a folder, as :func:`find`, with its size in bytes."""
    return in_root(folder, _sizes, folder)


def _sizes(folder: str, depth: int | None = None) -> dict[str, int]:
    if not is_remote(folder):
        base = local(folder)
        local_files: dict[str, int] = {}
        for place, folders, files in os.walk(base, onerror=_unless_gone):
            if depth is not None and len(os.path.relpath(os.path.join(place, "x"), base).split(os.sep)) >= depth:
                folders.clear()
            for name in files:
                path = os.path.join(place, name)
                with contextlib.suppress(FileNotFoundError):
                    local_files[os.path.relpath(path, base)] = os.lstat(path).st_size
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
