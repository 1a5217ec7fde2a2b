"""Which records of a shard are copies, and of which: a part of a file that says it without a rank.

Verdicts name shards by rank, which changes when raw files come or go. A task that would read them would be done again
for each of those. It reads its own part instead (:mod:`redpajama_data.dedup.file_parts`), which names raw files.

Layout of a part: its rows (:data:`COPY_ROW`, or those of another kind that begins so), by rising number; then the names
that they speak of, a JSON list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.file_parts import FilePart, PartWriter, read_rows
from redpajama_data.errors import NOT_JSON, BrokenInput
from redpajama_data.io.storage import open_input

COPY_ROW = np.dtype([("n", "<u8"), ("name", "<u8"), ("kept_n", "<u8")])  # name: its place in the list of the part
_ROWS = 1 << 14  # at a time; a tuple of three numbers takes 180 bytes: 3 MB


@dataclass(frozen=True)
class Copies(FilePart):
    """The part that names the copies of a shard; behind its rows, ``names`` bytes of the list of names."""

    names: int


Copy = tuple[int, str, int]
"""The number of a record; raw file and number of the one that it is a copy of."""


def write_part(
    file: Any, path: str, verdicts: Iterable[tuple[Any, ...]], names: Sequence[str], dtype: np.dtype[Any] = COPY_ROW
) -> Copies | None:
    """Write the copies of a shard behind what the binary file ``file`` has; None when there is none.

    ``verdicts`` are (number, survivor's rank and number, what else ``dtype`` has) by rising number, ``names`` the raw
    files by rank.
    """
    out = PartWriter(file, path)
    places: dict[int, int] = {}
    verdicts = iter(verdicts)
    while found := list(islice(verdicts, _ROWS)):
        out.add(np.array([(n, places.setdefault(rank, len(places)), *rest) for n, rank, *rest in found], dtype))
    if not out.rows:
        return None
    listed = msgspec.json.encode([names[rank] for rank in places])
    out.add_bytes(listed)
    part = out.part()
    assert part is not None
    return Copies(part.path, part.start, part.rows, part.sha256, len(listed))


def read_part(path: str, part: Copies | None, dtype: npt.DTypeLike = COPY_ROW) -> Iterator[tuple[Any, ...]]:
    """The copies of a shard, by rising number: (number, raw file, number there, what else ``dtype`` has); ``path`` is
    the full one of the part's file. Raises :class:`BrokenInput` for a file that is damaged."""
    if part is None:
        return
    with open_input(path) as file:
        file.seek(part.start + part.rows * np.dtype(dtype).itemsize)
        try:
            names = msgspec.json.decode(file.read(part.names), type=list[str])
        except NOT_JSON as error:
            raise BrokenInput(f"{path}: damaged. Delete it and run again: it is made anew.") from error
    for rows in read_rows(path, part, dtype):
        for n, place, *rest in rows.tolist():
            yield n, names[place], *rest
