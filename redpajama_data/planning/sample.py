"""A part of raw files that is small enough to measure: their beginnings, cut where their format bears it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from redpajama_data.io import storage
from redpajama_data.io.storage import RawFile, without_query

WHOLE = (".7z", ".zip")  # their directory is at the end: the beginning alone says nothing
FILES = 2  # files that a sample is of: two of them are not one odd file
_LINES = (".jsonl", ".txt")  # cut at a line's end
_CHUNK = 1 << 20


def take(files: Sequence[RawFile], folder: str, size: int) -> list[RawFile]:
    """Write about ``size`` bytes of raw files into ``folder``, each under its name in a folder of its folder's name
    (a dump of the crawl is known by that). Of what cannot be cut the smallest are taken whole, while they fit.

    Returns what was written, sorted; empty when not even the smallest fits. What is cut ends amid a record, which the
    readers count as damage. Raises :class:`InputUnavailable` for a file that cannot be read.
    """
    whole = [raw for raw in files if _is_whole(raw.path)]
    cut = [raw for raw in files if not _is_whole(raw.path) and raw.bytes]
    chosen: list[tuple[RawFile, int]] = []
    left = size
    for raw in sorted(whole, key=lambda raw: raw.bytes):
        if not cut and 0 < raw.bytes <= left:
            chosen.append((raw, raw.bytes))
            left -= raw.bytes
    for raw in spread(cut, FILES) if _many(cut, size) else cut:
        chosen.append((raw, min(raw.bytes, size // (FILES if _many(cut, size) else len(cut)))))
    return sorted(storage.stat(_copied(raw, folder, most)) for raw, most in chosen)


def spread(files: Sequence[RawFile], number: int) -> list[RawFile]:
    """So many of the files, at even distances: the first alone are often of another age."""
    step = max(1.0, len(files) / number)
    return [files[int(step * n)] for n in range(min(number, len(files)))]


def _many(files: Sequence[RawFile], size: int) -> bool:
    """Whether all of the files are more than ``size`` bytes."""
    return sum(raw.bytes for raw in files) > size


def _is_whole(path: str) -> bool:
    name = without_query(path).lower()
    return name.endswith(WHOLE) or name.rpartition(".")[0].endswith(WHOLE)


def _copied(raw: RawFile, folder: str, most: int) -> str:
    plain = without_query(raw.path).rstrip("/")
    above, name = os.path.basename(os.path.dirname(plain)), os.path.basename(plain)
    path = os.path.join(folder, above, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with storage.open_input(raw.path) as file, open(path, "wb") as out:
        left = most
        while left and (data := file.read(min(left, _CHUNK))):
            left -= len(data)
            if not left and name.endswith(_LINES) and most < raw.bytes:
                data = data[: data.rfind(b"\n") + 1] or data
            out.write(data)
    return path
