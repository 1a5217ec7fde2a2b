"""CCNet's paragraph dedup: a line that two documents of a group have is removed from all of them.

A set of lines is a sorted array of 64-bit hashes: 8 bytes a line, where a Python set takes 70. For a group of any
size:

1. :func:`line_sets` for each raw file: its lines, and which of them are in two documents already;
2. :func:`duplicated_lines` over all files of the group, one range of hashes at a time (as many ranges as memory asks);
3. :func:`lines_of` picks those a single file has, all that :func:`remove_duplicated_lines` needs to clean it.

Shards and their order play no part in it: a line goes when two documents of the group have it, whatever their files.
Source: RedPajama-Data-1T, cc_net (dedup).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters import _native
from redpajama_data.document import Document, Drop

Hashes = npt.NDArray[np.uint64]

_PENDING = 1 << 18  # hashes gathered before they are merged in, or a quarter of what is held when that is more


class LineSets(NamedTuple):
    """Two sorted arrays without repetition: the lines of some documents, and those in at least two of these."""

    lines: Hashes
    repeated: Hashes


def line_hashes(text: str) -> Hashes:
    """The hash of every line of ``text``, in order; lines end at ``\\n`` only."""
    return np.frombuffer(_native.line_hashes(text), dtype="<u8")


def line_sets(documents: Iterable[Hashes]) -> LineSets:
    """The lines of ``documents`` (the hashes of one document each). Takes 17 bytes a different line at the most."""
    held: Hashes = np.empty(0, dtype=np.uint64)
    repeated: Hashes = np.empty(0, dtype=np.uint64)
    pending: list[Hashes] = []
    size = 0
    for hashes in documents:
        pending.append(_distinct(hashes))  # a line repeated only inside a document is not repeated
        size += len(pending[-1])
        if size >= max(_PENDING, len(held) // 4):
            held, repeated = _merge(held, repeated, pending)
            pending, size = [], 0
    return LineSets(*_merge(held, repeated, pending))


def _merge(held: Hashes, repeated: Hashes, pending: list[Hashes]) -> tuple[Hashes, Hashes]:
    """Sorted sets with ``pending`` added. Empties ``pending`` and reuses the memory of ``held``."""
    count = len(held)
    held.resize(count + sum(map(len, pending)), refcheck=False)  # realloc: a large array moves without a copy
    for hashes in pending:
        held[count : count + len(hashes)] = hashes
        count += len(hashes)
    pending.clear()
    held.sort()
    again = held[1:] == held[:-1]
    if again.any():
        repeated = _distinct(np.concatenate((repeated, held[1:][again])))
    kept = min(1, count)
    for start in range(1, count, _PENDING):  # in blocks: no second copy of the whole
        block = held[start : start + _PENDING][~again[start - 1 : start - 1 + _PENDING]]
        held[kept : kept + len(block)] = block
        kept += len(block)
    held.resize(kept, refcheck=False)
    return held, repeated


def duplicated_lines(parts: Sequence[LineSets]) -> Hashes:
    """The lines in at least two documents, sorted, from the sets of all files of a group (or one range of hashes)."""
    every = np.concatenate([part.lines for part in parts]) if parts else np.empty(0, dtype=np.uint64)
    every.sort()
    found = [every[1:][every[1:] == every[:-1]], *(part.repeated for part in parts)]
    return _distinct(np.concatenate([zero_is_duplicated(), *found]))


def _distinct(hashes: Hashes) -> Hashes:
    """Sorted, without repetition: np.unique, which goes through a hash table, in a tenth of its time."""
    hashes = np.sort(hashes)
    return hashes[np.concatenate(([True], hashes[1:] != hashes[:-1]))] if len(hashes) else hashes


def zero_is_duplicated() -> Hashes:
    """The line hash 0 counts as duplicated in any case: the published table answers so. Deliberate, as published."""
    return np.zeros(1, dtype=np.uint64)


def lines_of(part: Hashes, duplicated: Hashes) -> Hashes:
    """Those of ``duplicated`` that are in ``part``; both sorted, the result too."""
    return part[_contains(duplicated, part)]


def _contains(table: Hashes, hashes: Hashes) -> npt.NDArray[np.bool_]:
    """For each of ``hashes``: is it in the sorted ``table``?"""
    if not len(table):
        return np.zeros(len(hashes), dtype=np.bool_)
    places = np.searchsorted(table, hashes)
    found: npt.NDArray[np.bool_] = table[np.minimum(places, len(table) - 1)] == hashes
    return found


def by_first_shard(shards: Iterable[Hashes], duplicated: Hashes) -> Iterator[tuple[Hashes, Hashes]]:
    """For each shard, in order, two sorted sets of its duplicated lines: those that an earlier shard has too, and those
    that it is the first to have. All that :func:`keep_first_lines` needs to clean it."""
    seen = np.zeros(len(duplicated), dtype=np.bool_)
    for lines in shards:
        own = lines_of(lines, duplicated)
        places = np.searchsorted(duplicated, own)
        earlier = seen[places]
        seen[places] = True
        yield own[earlier], own[~earlier]


def clean_lines(text: str, hashes: Hashes, duplicated: Hashes) -> tuple[str, list[int]]:
    """``text`` without its lines in ``duplicated`` and repeats of the others; the 0-based numbers of the lines left.

    Every occurrence of a duplicated line goes, in every document, the first included (as published).
    """
    return _with_lines(text, hashes, ~_contains(duplicated, hashes))


def _with_lines(text: str, hashes: Hashes, stay: npt.NDArray[np.bool_]) -> tuple[str, list[int]]:
    """The lines of ``text`` that ``stay``, without repeats, and their numbers."""
    left = np.flatnonzero(stay)
    _, first = np.unique(hashes[left], return_index=True)
    ids: list[int] = left[np.sort(first)].tolist()
    if len(ids) == len(hashes):
        return text, ids
    lines = text.split("\n")
    return "\n".join([lines[each] for each in ids]), ids


def remove_duplicated_lines(doc: Document, *, duplicated: Hashes) -> Document | Drop:
    """Clean a document; drop it when no line is left. ``duplicated``: sorted, at least those lines its file has.

    ``nlines`` and ``length`` in meta become those of the new text, the old ones move to ``original_nlines`` and
    ``original_length``. The old length is in bytes and has the title in it, the new one is in characters (published).
    """
    return _cleaned(doc, "remove_duplicated_lines", *clean_lines(doc.text, line_hashes(doc.text), duplicated))


def keep_first_lines(doc: Document, *, earlier: Hashes, here: Hashes, seen: npt.NDArray[np.bool_]) -> Document | Drop:
    """As :func:`remove_duplicated_lines`, but of a repeated line the first occurrence stays: the repair.

    ``earlier`` are lines that a shard before has, ``here`` those of which this shard has the first, both sorted;
    ``seen`` says which of these a document had, and is kept up to date: the documents of a shard must come in order.
    What becomes of the document with the first occurrence plays no part: if its language drops it, the line is gone.
    """
    hashes = line_hashes(doc.text)
    found = _contains(here, hashes)
    places = np.searchsorted(here, hashes[found])
    gone = _contains(earlier, hashes)
    gone[found] |= seen[places]
    seen[places] = True
    return _cleaned(doc, "keep_first_lines", *_with_lines(doc.text, hashes, ~gone))


def _cleaned(doc: Document, rule: str, text: str, ids: list[int]) -> Document | Drop:
    """The document with the text and numbers of the lines left; dropped by ``rule`` when there are none."""
    meta = doc.meta
    if not ids:
        return Drop(rule, 0, 1)
    meta["original_nlines"], meta["original_length"] = meta["nlines"], meta["length"]
    meta["nlines"], meta["length"] = len(ids), len(text)
    meta["line_ids"] = ids
    doc.text = text
    return doc
