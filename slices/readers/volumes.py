"""An archive split into volumes (``x.7z.001``, ``x.7z.002`` ...) as the one file it was."""

from __future__ import annotations

import io
import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, count
from typing import Any, BinaryIO, cast

from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io.storage import RawFile, open_input, stat

VOLUME = re.compile(r"\.7z\.(\d{3,5})$")
_BUFFER = 1 << 20  # bytes read ahead


def volumes(path: str, inputs: Iterable[RawFile] = ()) -> list[RawFile]:
    """The volumes of the archive that ``path`` is a volume of, the first to the last before a gap; none when the first
    is not there. Looked up among ``inputs``, then where the others lie."""
    known = {raw.path: raw for raw in inputs}
    parts: list[RawFile] = []
    for number in count(1):
        name = volume(path, number)
        if name not in known:
            try:
                known[name] = stat(name)
            except UsageError:
                break
        parts.append(known[name])
    return parts


def whole_archives(inputs: Sequence[RawFile]) -> list[list[RawFile]]:
    """The raw files of each dump, by its first: a file, or all volumes of a split archive."""
    dumps: list[list[RawFile]] = []
    taken: set[str] = set()
    for raw in inputs:
        if raw.path not in taken:
            parts = volumes(raw.path, inputs) if VOLUME.search(raw.path) else []
            dumps.append([raw] if raw not in parts else parts)
            taken.update(part.path for part in dumps[-1])
    return dumps


def volume(path: str, number: int) -> str:
    """The name of another volume of an archive; as many digits as ``path`` has."""
    found = VOLUME.search(path)
    assert found, path
    return f"{path[: found.start(1)]}{number:0{len(found[1])}d}"


def open_volumes(path: str) -> BinaryIO:
    """Open a file for reading, or, when its name is that of a volume, all volumes from the first on as one file.

    Raises :class:`BrokenInput` when the first volume is not there.
    """
    if not VOLUME.search(path):
        return open_input(path)
    parts = volumes(path)
    if not parts:
        first = volume(path, 1)
        raise BrokenInput(f"{first}: this volume of the archive is missing. Fetch it, then run again.", first)
    return cast(BinaryIO, io.BufferedReader(_Joined(parts), _BUFFER))


class _Joined(io.RawIOBase):
    """Files one after another; one is open at a time."""

    def __init__(self, parts: list[RawFile]) -> None:
        super().__init__()
        self._paths = [part.path for part in parts]
        self._begins = [0, *accumulate(part.bytes for part in parts)]
        self._at = 0
        self._open: tuple[int, BinaryIO] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._begins[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._begins[-1]:
            return 0
        number = bisect_right(self._begins, self._at) - 1
        if self._open is None or self._open[0] != number:
            self._drop()
            self._open = (number, open_input(self._paths[number]))
        file = self._open[1]
        file.seek(self._at - self._begins[number])
        data = file.read(min(len(buffer), self._begins[number + 1] - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._open:
            self._open[1].close()
            self._open = None
