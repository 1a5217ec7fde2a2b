"""The matrix of what slices share, from rows of (group, tokens): out of core, one range of groups at a time.

A group is a text, or a cluster of near-duplicates. Rows are :data:`redpajama_data.dedup.equal_keys.KEY_ROW` with the
group's 128-bit key and, in ``n``, the tokens of one document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.buckets import BucketFile
from redpajama_data.dedup.equal_keys import KEY_ROW
from redpajama_data.dedup.equal_rows import run_starts
from redpajama_data.dedup.partitions import Pass, passes
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import to_json

# Peak while rows are brought together, measured: 106 when all groups differ, 155 when each is in four slices.
_BYTES_PER_ROW = 280

Numbers = npt.NDArray[np.uint64]
Cells = dict[tuple[int, int], tuple[int, int]]  # (slice, other slice) -> documents and tokens of the first


class _Groups(NamedTuple):
    """What each group has of each slice, a row for both, columns side by side: documents, their tokens, and those of
    the first document."""

    hi: Numbers
    lo: Numbers
    part: npt.NDArray[np.uint32]
    documents: Numbers
    tokens: Numbers
    first: Numbers


def matrix_work(
    context: TaskContext,
    *,
    files: Sequence[tuple[int, str]],
    slices: Sequence[str],
    rows: int,
    buckets: tuple[int, int],
) -> None:
    """Work of one partition task: the cells of the matrix for the ``buckets`` range of every file of rows.

    ``files`` are (place of its slice in ``slices``, file relative to the root), in input order; ``rows`` is how many
    all of them have. The file of role ``cells`` is a JSON list of [slice, other slice, documents, tokens]: documents of
    the slice whose group has a document of the other one; with itself, documents that are not the first of their group
    in the slice; with null, documents whose group has one of any other slice. The range is taken in as many passes as
    the memory asks for, and only one row for each group and slice is carried along: any number of documents of one
    group stays within it.
    """
    limit = max(1, context.memory // _BYTES_PER_ROW)
    cells: Cells = {}
    total = 0
    for taken in passes(rows, buckets, row_bytes=_BYTES_PER_ROW, memory=context.memory):
        held: list[_Groups] = []
        fresh = 0
        for part, path in files:
            for found in _read(context.upstream(path), part, taken):
                held.append(found)
                fresh += len(found.hi)
                total += len(found.hi)
                # A quarter of the limit must be new, or nearly full tables would be sorted for each small flush.
                if fresh >= limit // 4 and sum(len(groups.hi) for groups in held) > limit:
                    held, fresh = [_together(held)], 0
        for cell, (documents, tokens) in (cells_of(_together(held)) if held else {}).items():
            before = cells.get(cell, (0, 0))
            cells[cell] = (before[0] + documents, before[1] + tokens)
    named = [
        [slices[a], slices[b] if b >= 0 else None, documents, tokens]
        for (a, b), (documents, tokens) in sorted(cells.items())
    ]
    with context.file("cells", "cells.json") as file:
        file.write(to_json(named) + b"\n")
    context.records("cells", len(named))
    context.receipt.notes["rows"] = total


def _read(path: str, part: int, taken: Pass) -> Iterator[_Groups]:
    with BucketFile(path) as file:
        for data in file.read(taken.first, taken.end):
            rows = np.frombuffer(data, dtype=KEY_ROW)
            rows = taken.of(rows["hi"], rows)
            tokens = rows["n"].copy()
            one = np.ones(len(rows), "<u8")
            yield _Groups(rows["hi"].copy(), rows["lo"].copy(), np.full(len(rows), part, "<u4"), one, tokens, tokens)


def _together(held: list[_Groups]) -> _Groups:
    """One row for each group and slice, sorted by them. Rows of both come in input order."""
    hi, lo, part, documents, tokens, first = (np.concatenate(columns) for columns in zip(*held, strict=True))
    held.clear()
    order = np.lexsort((part, lo, hi))  # stable: the first document of the slice comes first
    hi, lo, part = hi[order], lo[order], part[order]
    starts = np.flatnonzero(run_starts(hi, lo, part))
    if not len(starts):
        return _Groups(hi, lo, part, documents, tokens, first)
    documents = np.add.reduceat(documents[order], starts)
    tokens = np.add.reduceat(tokens[order], starts)
    return _Groups(hi[starts], lo[starts], part[starts], documents, tokens, first[order[starts]])


def cells_of(groups: _Groups) -> Cells:
    """The cells of rows that are sorted by group and slice; -1 is any other slice. Empty cells are not there."""
    cells: Cells = {}
    number = np.cumsum(run_starts(groups.hi, groups.lo))
    later = groups.documents > 1
    _add(
        cells,
        groups.part[later],
        groups.part[later],
        (groups.documents - 1)[later],
        (groups.tokens - groups.first)[later],
    )
    # Rows of a group lie side by side: those with a neighbour at a distance, for every distance that occurs.
    left = np.arange(len(number) - 1) if len(number) else np.arange(0)
    shared = np.zeros(len(number), dtype=bool)
    distance = 1
    while len(left := left[number[left] == number[left + distance]]):
        right = left + distance
        shared[left] = shared[right] = True
        for one, other in ((left, right), (right, left)):
            _add(cells, groups.part[one], groups.part[other], groups.documents[one], groups.tokens[one])
        distance += 1
        left = left[left + distance < len(number)]
    anywhere = np.full(int(shared.sum()), -1)
    _add(cells, groups.part[shared], anywhere, groups.documents[shared], groups.tokens[shared])
    return cells


def _add(cells: Cells, one: npt.NDArray[Any], other: npt.NDArray[Any], documents: Numbers, tokens: Numbers) -> None:
    pairs, place = np.unique(one.astype(np.int64) << 32 | (other.astype(np.int64) + 1), return_inverse=True)
    sums = np.zeros((2, len(pairs)), np.int64)
    np.add.at(sums[0], place, documents.astype(np.int64))
    np.add.at(sums[1], place, tokens.astype(np.int64))
    for pair, added, more in zip(pairs.tolist(), *sums.tolist(), strict=True):
        cell = (pair >> 32, (pair & 0xFFFFFFFF) - 1)
        before = cells.get(cell, (0, 0))
        cells[cell] = (before[0] + added, before[1] + more)
