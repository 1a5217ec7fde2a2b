"""A part of a file of the root, known by what it says.

A stage that decides for every shard writes few files, and what it says of a shard is a part of one. The task of that
shard is bound to its part: it is done again when other things are said there, not when those of other shards change or
the part stands elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.errors import BrokenInput
from redpajama_data.io.storage import open_input

_ROWS = 1 << 14  # read at a time; as Python's numbers a row takes 180 bytes: 3 MB

Rows = npt.NDArray[Any]


@dataclass(frozen=True)
class FilePart:
    """Where rows stand in a file of the root, how many, and the SHA-256 of what the part says."""

    path: str
    start: int
    rows: int
    sha256: str


class PartWriter:
    """Writes a part behind what the binary file ``file`` has. ``rows`` counts them; ``path`` is that in the root."""

    def __init__(self, file: Any, path: str) -> None:
        self._file, self._path, self._start = file, path, file.tell()
        self._digest = hashlib.sha256()
        self.rows = 0

    def add(self, rows: Rows) -> None:
        """Append rows."""
        self.add_bytes(rows.tobytes())
        self.rows += len(rows)

    def add_bytes(self, data: bytes) -> None:
        """Append what is no row."""
        self._file.write(data)
        self._digest.update(data)

    def part(self) -> FilePart | None:
        """What was written; None when that is no row."""
        return FilePart(self._path, self._start, self.rows, self._digest.hexdigest()) if self.rows else None


def read_rows(path: str, part: FilePart | None, dtype: npt.DTypeLike) -> Iterator[Rows]:
    """The rows of a part, a bounded number at a time; ``path`` is the full one of its file. Raises
    :class:`BrokenInput` for a file that is too short."""
    if part is None:
        return
    kind = np.dtype(dtype)
    with open_input(path) as file:
        file.seek(part.start)
        for first in range(0, part.rows, _ROWS):
            data = file.read(size := min(_ROWS, part.rows - first) * kind.itemsize)
            if len(data) != size:
                raise BrokenInput(f"{path}: damaged. Delete it and run again: it is made anew.")
            yield np.frombuffer(data, kind)
