"""Pieces of a Wikipedia dump that can be read independently.

A multistream dump is a chain of bz2 streams, one for the head, one per 100 pages, one for the closing tag, in one file
of up to 20 GB. :func:`split_dump` cuts it where a stream begins that begins with a page; a dump in one stream, or in
streams cut anywhere (pbzip2), stays one piece. The index file beside a multistream dump is not read: a stream's first
bytes are found in a megabyte, and the index of a large wiki is 230 MB that may be another dump's, or away.
"""

from __future__ import annotations

import bz2
import re
from typing import BinaryIO, NamedTuple

from redpajama_data.io.storage import open_input, without_query
from slices.readers.bz2_streams import STREAM, STREAM_BYTES

_READ = 1 << 20
_PAGE = re.compile(rb"\s*<page>")
_FIRST_STREAM = 1 << 20  # a multistream dump's first stream is its head alone: some 2 kB, compressed well below 1 kB
_FIRST_BLOCK = 1 << 20  # compressed bytes that hold any whole block: a block is at most 900 kB before compression


class Piece(NamedTuple):
    """A range of bytes of the compressed file, on stream boundaries; ``end`` None is the end of the file."""

    start: int
    end: int | None


WHOLE = Piece(0, None)


def split_dump(path: str, target_bytes: int) -> list[Piece]:
    """Cut a dump into pieces of about ``target_bytes`` (compressed), in file order; together they are the file.

    A cut is the first stream after a multiple of ``target_bytes`` that can be read and begins with a page; so what lies
    between two cuts belongs to the piece before, damaged or not. What cannot be cut is one piece.
    """
    if not without_query(path).lower().endswith(".bz2"):
        return [WHOLE]
    with open_input(path) as raw:
        size = raw.seek(0, 2)
        if size <= target_bytes or not _is_multistream(raw):
            return [WHOLE]
        starts = [0]
        while (wanted := starts[-1] + target_bytes) < size:
            cut = _first_cut(raw, wanted)
            if cut is None:
                break
            starts.append(cut)
    return [Piece(start, end) for start, end in zip(starts, [*starts[1:], None], strict=True)]


def _is_multistream(raw: BinaryIO) -> bool:
    """Whether the first stream holds no page and another one follows it (pbzip2's streams are cut anywhere)."""
    raw.seek(0)
    packed = raw.read(_FIRST_STREAM)
    first = bz2.BZ2Decompressor()
    try:
        head = first.decompress(packed, _FIRST_STREAM)
    except OSError:
        return False
    return first.eof and b"<page>" not in head and STREAM.match(first.unused_data) is not None


def _first_cut(raw: BinaryIO, wanted: int) -> int | None:
    """The first stream from ``wanted`` on that begins with a page."""
    at, tail = wanted, b""
    while True:
        raw.seek(at)
        chunk = raw.read(_READ)
        if not chunk:
            return None
        window = tail + chunk
        for found in STREAM.finditer(window):
            start = at - len(tail) + found.start()
            if _begins_with_page(raw, start):
                return start
        at += len(chunk)
        tail = window[1 - STREAM_BYTES :]


def _begins_with_page(raw: BinaryIO, start: int) -> bool:
    """Whether a stream begins at this byte, and a page with it."""
    raw.seek(start)
    packed = raw.read(_FIRST_BLOCK)
    try:
        return _PAGE.match(bz2.BZ2Decompressor().decompress(packed, 4096)) is not None
    except OSError:
        return False
