"""Single rows of files of rows, in few calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from redpajama_data.errors import BrokenInput, RpjError
from redpajama_data.io.paths import filesystem, is_remote
from redpajama_data.io.reading import RetriedFile
from redpajama_data.io.retries import retried, unavailable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LOCAL_GAP, _LOCAL_PIECE = 8 << 10, 1 << 20  # bytes between rows of one piece, and of the largest piece
_REMOTE_GAP, _REMOTE_PIECE = 256 << 10, 8 << 20
_ROWS_AT_ONCE = 1 << 14  # rows whose pieces are listed
_REMOTE_PIECES = 32 << 20  # bytes of pieces asked for at once

Span = tuple[int, int]


def read_rows(path: str, rows: npt.NDArray[np.integer[Any]], row_bytes: int) -> npt.NDArray[np.uint8]:
    """Rows of a file of rows of ``row_bytes`` each, as an array (rows, row_bytes). ``rows`` are their numbers, rising;
    one may come several times.

    Rows that lie close to each other are read in one piece: close is where reading what lies between costs less than
    another call. On an object store many pieces are asked for at once. Little is held beside the result: one piece of
    1 MiB, from an object store 32 MiB of pieces.
    Raises :class:`BrokenInput` when the file ends before a row, :class:`InputUnavailable` when it cannot be read.
    """
    import numpy as np

    gap, most = (_REMOTE_GAP, _REMOTE_PIECE) if is_remote(path) else (_LOCAL_GAP, _LOCAL_PIECE)
    result = np.empty((len(rows), row_bytes), np.uint8)
    for begin in range(0, len(rows), _ROWS_AT_ONCE):
        number = rows[begin : begin + _ROWS_AT_ONCE].astype(np.int64)
        window = number // max(1, most // row_bytes)  # no piece reaches from one into the next: that bounds its size
        apart = (np.diff(number) > gap // row_bytes) | (np.diff(window) > 0)
        edges = [0, *(np.flatnonzero(apart) + 1).tolist(), len(number)]
        spans = [(int(number[a]) * row_bytes, (int(number[b - 1]) + 1) * row_bytes) for a, b in pairwise(edges)]
        for (first, end), data in zip(pairwise(edges), _read_spans(path, spans), strict=True):
            piece = np.frombuffer(data, np.uint8).reshape(-1, row_bytes)
            result[begin + first : begin + end] = piece[number[first:end] - number[first]]
    return result


def _read_spans(path: str, spans: list[Span]) -> Iterator[bytes]:
    """The bytes of each span of a file."""
    if is_remote(path):
        at_once = max(1, _REMOTE_PIECES // max((stop - start for start, stop in spans), default=1))
        for i in range(0, len(spans), at_once):
            yield from _remote(path, spans[i : i + at_once])
        return
    with RetriedFile(path) as file:
        for start, stop in spans:
            try:
                data = os.pread(file.fileno(), stop - start, start)
            except OSError:
                data = b""
            yield data if len(data) == stop - start else _again(path, file, start, stop)


def _again(path: str, file: RetriedFile, start: int, stop: int) -> bytes:
    """A span that did not come at once: read with retries."""
    file.seek(start)
    data = b""
    while len(data) < stop - start:
        more = file.read(stop - start - len(data))
        if not more:
            raise _ends_early(path, start + len(data))
        data += more
    return data


def _remote(path: str, spans: list[Span]) -> list[bytes]:
    try:
        return retried(path, _remote_once, path, spans)
    except Exception as error:
        if isinstance(error, (RpjError, MemoryError)):
            raise
        raise unavailable(path, error) from error


def _remote_once(path: str, spans: list[Span]) -> list[bytes]:
    fs, inside = filesystem(path)
    starts, stops = zip(*spans, strict=True)
    try:
        pieces: list[bytes] = fs.cat_ranges([inside] * len(starts), list(starts), list(stops), on_error="raise")
        short = any(len(data) != stop - start for (start, stop), data in zip(spans, pieces, strict=True))
        if short:
            raise OSError(errno.EIO, "fewer bytes came than were asked for")
    except OSError:  # cut on the way, or a range that S3 refuses because it lies behind the end
        size = fs.info(inside)["size"]
        if size < stops[-1]:
            raise _ends_early(path, size) from None
        raise
    return pieces


def _ends_early(path: str, size: int) -> BrokenInput:
    return BrokenInput(f"{path}: it ends at byte {size}. Delete it and run again: it is made anew.")
