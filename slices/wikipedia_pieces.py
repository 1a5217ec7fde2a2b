"""Pieces of a Wikipedia dump that can be read independently.

A multistream dump is a chain of bz2 streams, one for the head, one per 100 pages, one for the closing tag, in one file
of up to 20 GB. :func:`split_dump` cuts it where a stream begins that begins with a page; a dump in one stream, or in
streams cut anywhere (pbzip2), stays one piece.
"""

from __future__ import annotations

import bz2
import re
from bisect import bisect_left
from typing import BinaryIO, NamedTuple

from redpajama_data.errors import BrokenInput
from redpajama_data.storage import open_input
from redpajama_data.streams import open_decompressed

_READ = 1 << 20
_STREAM = re.compile(rb"BZh[1-9]1AY&SY")  # head of a bz2 stream and of its first block, on a byte boundary
_MAGIC = 10  # bytes of it
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

    Cuts are taken from the index file beside a multistream dump, otherwise found by looking for a stream's first bytes
    after each multiple of ``target_bytes``. Either way a cut holds only if the stream there begins with a page. What
    cannot be cut is one piece. Raises :class:`BrokenInput` when the file cannot be opened.
    """
    if not path.lower().endswith(".bz2"):
        return [WHOLE]
    with open_input(path) as raw:
        size = raw.seek(0, 2)
        if size <= target_bytes or not _is_multistream(raw):
            return [WHOLE]
        indexed = _index_offsets(path)
        starts = [0]
        while (wanted := starts[-1] + target_bytes) < size:
            cut = _indexed_cut(raw, indexed, wanted) or _scanned_cut(raw, wanted)
            if cut is None:
                break
            starts.append(cut)
    return [Piece(start, end) for start, end in zip(starts, [*starts[1:], None], strict=True)]


def index_path(path: str) -> str | None:
    """Where the index of a multistream dump lies, by its name; None for another dump.

    ``…-pages-articles-multistream1.xml-p1p41242.bz2`` has ``…-pages-articles-multistream-index1.txt-p1p41242.bz2``.
    """
    folder, slash, name = path.rpartition("/")
    if "-multistream" not in name or ".xml" not in name:
        return None
    return folder + slash + name.replace("-multistream", "-multistream-index", 1).replace(".xml", ".txt", 1)


def _is_multistream(raw: BinaryIO) -> bool:
    """Whether the first stream holds no page and another one follows it (pbzip2's streams are cut anywhere)."""
    raw.seek(0)
    first = bz2.BZ2Decompressor()
    try:
        head = first.decompress(raw.read(_FIRST_STREAM), _FIRST_STREAM)
    except OSError:
        return False
    return first.eof and b"<page>" not in head and _STREAM.match(first.unused_data) is not None


def _index_offsets(path: str) -> list[int]:
    """The distinct stream offsets of the dump's index file (lines ``offset:page id:title``), or []."""
    index = index_path(path)
    if index is None:
        return []
    offsets: list[int] = []
    pending = b""
    try:
        with open_decompressed(index) as lines:
            while chunk := lines.read(_READ):
                *whole, pending = (pending + chunk).split(b"\n")
                for line in whole:
                    offset = int(line.partition(b":")[0])
                    if not offsets or offset != offsets[-1]:
                        offsets.append(offset)
    except (BrokenInput, ValueError):
        return []
    return sorted(offsets)


def _indexed_cut(raw: BinaryIO, offsets: list[int], wanted: int) -> int | None:
    """The first offset of the index from ``wanted`` on, if a page begins there (the index may be another dump's)."""
    at = bisect_left(offsets, wanted)
    return offsets[at] if at < len(offsets) and _begins_with_page(raw, offsets[at]) else None


def _scanned_cut(raw: BinaryIO, wanted: int) -> int | None:
    """The first stream from ``wanted`` on that begins with a page."""
    at, tail = wanted, b""
    while True:
        raw.seek(at)
        chunk = raw.read(_READ)
        if not chunk:
            return None
        window = tail + chunk
        for found in _STREAM.finditer(window):
            start = at - len(tail) + found.start()
            if _begins_with_page(raw, start):
                return start
        at += len(chunk)
        tail = window[1 - _MAGIC :]


def _begins_with_page(raw: BinaryIO, start: int) -> bool:
    """Whether a stream begins at this byte, and a page with it."""
    raw.seek(start)
    try:
        return _PAGE.match(bz2.BZ2Decompressor().decompress(raw.read(_FIRST_BLOCK), 4096)) is not None
    except OSError:
        return False
