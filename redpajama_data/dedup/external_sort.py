"""Rows of numbers, sorted out of core: sorted runs on a scratch file, merged as they are read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.errors import StorageError

FAN_IN = 64  # runs merged at once; more are merged in several passes
_PEAK = 6  # memory for each byte of rows while they are sorted: held, joined, order and its work space, sorted, pieces

Rows = npt.NDArray[np.uint64]


def sort_rows(rows: Rows) -> Rows:
    """``rows`` (rows, columns) by the first column, then the second. Fast where pieces are in order already."""
    first = rows[:, 0]
    if not (first[1:] >= first[:-1]).all():
        rows = np.take(rows, np.argsort(first, kind="stable"), axis=0)
    first, second = rows[:, 0], rows[:, 1]
    same = first[1:] == first[:-1]
    if (same & (second[1:] < second[:-1])).any():  # only rows that share their first number can still be out of order
        tied = np.zeros(len(rows), dtype=bool)
        tied[1:] |= same
        tied[:-1] |= same
        place = np.flatnonzero(tied)
        rows = rows.copy()
        rows[place] = np.take(rows, place[np.lexsort((second[place], first[place]))], axis=0)
    return rows


class SortedRows:
    """Rows of ``columns`` uint64 (two at least): added in any order, then read as often as wanted, sorted by the first
    two columns.

    Holds about ``memory`` bytes, whatever the number of rows. What does not fit lies in a file of the temporary folder
    (TMPDIR) that has no name, so that nothing is left of it however the process ends. A context manager.
    Raises :class:`StorageError` when that folder is full.
    """

    def __init__(self, columns: int, memory: int) -> None:
        self._columns, self._memory = columns, memory
        self._limit = max(8, memory // (8 * columns * _PEAK))
        self._held: list[Rows] = []
        self._count = 0
        self._runs: list[tuple[int, int]] = []  # first row and end of each run in the file
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (closed by close)

    def __enter__(self) -> SortedRows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the scratch file back."""
        self._held.clear()
        self._file.close()

    def add(self, rows: Rows) -> None:
        """Add rows (rows, columns), in any order."""
        while len(rows):
            piece = rows[: self._limit - self._count]
            rows = rows[len(piece) :]
            self._held.append(piece)
            self._count += len(piece)
            if self._count >= self._limit:
                self._spill()

    def add_sorted(self, rows: Rows) -> None:
        """Write rows that are sorted already, as a run of their own."""
        if len(rows):
            self._runs.append(_write(self._file, [rows], self._columns))

    def read(self) -> Iterator[Rows]:
        """All rows in order, in pieces. Equal rows come as often as they were added."""
        self._spill()
        while len(self._runs) > 1:
            self._merge_runs()
        for run in self._runs:
            head = _Run(self._file, run, self._columns, self._limit)
            while head.fill():
                yield head.take(None)

    def _spill(self) -> None:
        if self._count:
            rows = np.concatenate(self._held)
            self._held.clear()
            self._count = 0
            self.add_sorted(sort_rows(rows))

    def _merge_runs(self) -> None:
        """One pass: every ``FAN_IN`` runs become one, in a new file."""
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (takes the place of the other)
        groups = (self._runs[i : i + FAN_IN] for i in range(0, len(self._runs), FAN_IN))
        runs = [_write(file, self._merged(group), self._columns) for group in groups]
        self._file.close()
        self._file, self._runs = file, runs

    def _merged(self, runs: list[tuple[int, int]]) -> Iterator[Rows]:
        block = max(1, self._limit // len(runs))
        heads = [_Run(self._file, run, self._columns, block) for run in runs]
        while heads := [head for head in heads if head.fill()]:
            # What is not above the last row of any block that has more behind it can be given out.
            ends = [head.last() for head in heads if head.left()]
            bound = min(ends) if ends else None
            yield sort_rows(np.concatenate([head.take(bound) for head in heads]))


class _Run:
    """A run being read: one block of it at a time."""

    def __init__(self, file: Any, run: tuple[int, int], columns: int, block: int) -> None:
        self._file, self._columns, self._block = file, columns, block
        self._next, self._end = run
        self._rows: Rows = np.empty((0, columns), "<u8")

    def left(self) -> bool:
        return self._next < self._end

    def fill(self) -> bool:
        """Read the next block when this one is used up; False at the end of the run."""
        if not len(self._rows) and self.left():
            count = min(self._block, self._end - self._next)
            width = 8 * self._columns
            data = bytearray(count * width)
            view, done = memoryview(data), 0
            while done < len(data):
                got = os.preadv(self._file.fileno(), [view[done:]], self._next * width + done)
                if not got:
                    raise StorageError(f"{tempfile.gettempdir()}: a scratch file was cut short. Run again.")
                done += got
            self._rows = np.frombuffer(data, "<u8").reshape(count, self._columns)
            self._next += count
        return len(self._rows) > 0

    def last(self) -> tuple[int, int]:
        first, second = self._rows[-1, :2].tolist()
        return first, second

    def take(self, bound: tuple[int, int] | None) -> Rows:
        """The rows up to ``bound``, those equal to it among them."""
        end = len(self._rows)
        if bound is not None:
            first, second = self._rows[:, 0], self._rows[:, 1]
            same, after = (_place(first, 0, end, bound[0], above) for above in (False, True))
            end = _place(second, same, after, bound[1], True)
        taken, self._rows = self._rows[:end], self._rows[end:]
        return taken


def _place(column: Rows, start: int, end: int, value: int, above: bool) -> int:
    """Where ``value`` belongs in a sorted column: before the entries equal to it, or behind them with ``above``.

    (numpy's own copies a column of several first.)
    """
    while start < end:
        middle = (start + end) // 2
        entry = int(column[middle])
        if entry < value or (above and entry == value):
            start = middle + 1
        else:
            end = middle
    return start


def _write(file: Any, pieces: Any, columns: int) -> tuple[int, int]:
    """Append rows to a scratch file; the first row's place and the end."""
    width = 8 * columns
    first = end = os.fstat(file.fileno()).st_size // width
    for piece in pieces:
        write_scratch(file, np.ascontiguousarray(piece, "<u8"))
        end += len(piece)
    return first, end


def write_scratch(file: Any, numbers: npt.NDArray[Any]) -> None:
    """Write an array's bytes at the end of an unbuffered scratch file. Raises :class:`StorageError` on a full disk."""
    view = numbers.data.cast("B")
    try:
        while len(view):
            view = view[file.write(view) :]
    except OSError as error:
        raise StorageError(
            f"{tempfile.gettempdir()}: a scratch file cannot be written ({error.strerror}). Free some space, or name "
            "another folder with TMPDIR, then run again."
        ) from error
