"""Which records of a shard are copies, and of which: a part of a file that says it without a rank.

Verdicts name shards by rank, which changes when raw files come or go. A task that would read them would be done again
for each of those. It reads its own part instead, which names raw files, and depends on what that part says alone.

Layout of a part: its rows (:data:`COPY_ROW`), by rising number; then the names that they speak of, a JSON list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from redpajama_data.errors import NOT_JSON, BrokenInput
from redpajama_data.io.storage import open_input

COPY_ROW = np.dtype([("n", "<u8"), ("name", "<u8"), ("kept_n", "<u8")])  # name: its place in the list of the part
_ROWS = 1 << 14  # at a time; a tuple of three numbers takes 180 bytes: 3 MB


@dataclass(frozen=True)
class Copies:
    """Where the copies of a shard stand in a file of the root, and the SHA-256 of what is said there."""

    path: str
    start: int
    rows: int
    names: int  # bytes of the list of names
    sha256: str


Copy = tuple[int, str, int]
"""The number of a record; raw file and number of the one that it is a copy of."""


def write_part(file: Any, path: str, verdicts: Iterable[tuple[int, int, int]], names: Sequence[str]) -> Copies | None:
    """Write the copies of a shard behind what the binary file ``file`` has; None when there is none.

    ``verdicts`` are (number, survivor's rank and number) by rising number, ``names`` the raw files by rank.
    """
    start, rows, digest = file.tell(), 0, hashlib.sha256()
    places: dict[int, int] = {}
    verdicts = iter(verdicts)
    while found := list(islice(verdicts, _ROWS)):
        piece = np.array([(n, places.setdefault(rank, len(places)), kept) for n, rank, kept in found], COPY_ROW)
        data = piece.tobytes()
        file.write(data)
        digest.update(data)
        rows += len(piece)
    if not rows:
        return None
    listed = msgspec.json.encode([names[rank] for rank in places])
    file.write(listed)
    digest.update(listed)
    return Copies(path, start, rows, len(listed), digest.hexdigest())


def read_part(path: str, part: Copies | None) -> Iterator[Copy]:
    """The copies of a shard, by rising number; ``path`` is the full one of the part's file. Raises
    :class:`BrokenInput` for a file that is damaged."""
    if part is None:
        return
    with open_input(path) as file:
        file.seek(part.start + part.rows * COPY_ROW.itemsize)
        try:
            names = msgspec.json.decode(file.read(part.names), type=list[str])
        except NOT_JSON as error:
            raise BrokenInput(f"{path}: damaged. Delete it and run again: it is made anew.") from error
        file.seek(part.start)
        for first in range(0, part.rows, _ROWS):
            data = file.read(min(_ROWS, part.rows - first) * COPY_ROW.itemsize)
            for n, place, kept in np.frombuffer(data, COPY_ROW).tolist():
                yield n, names[place], kept
