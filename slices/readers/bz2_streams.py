"""A bzip2 file stream by stream, so that damage costs a stream and not the rest of the file.

The library's reader ends in silence at the first thing behind a stream that is no stream. Here that is damage, and
reading goes on at the next stream. A text is given out when the checksum of its block was right, never before: text
of a damaged block would be that of another page. Going on at the next block of the same stream is not tried: blocks
begin at any bit, and a multistream dump of Wikipedia begins a stream every 100 pages.
"""

from __future__ import annotations

import bz2
import re
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from slices.readers.pieces import Pieces

STREAM = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")  # head of a stream and of its first block, or of its end
STREAM_BYTES = 10  # of it
_FEED = 64 << 10  # bytes given to the decoder at a time
_GIVE = 1 << 20  # most bytes of text given out at a time
# A block has up to 900,000 bytes, of which five can stand for 259 equal ones: more text than this belongs to two.
_BLOCK_TEXT = 900_000 // 5 * 259
# The search for the next stream starts at most this far before the place where damage showed, and not before the block
# that is damaged: of 18,002 groups of 50 symbols of 20 bits, and some tables.
_LOOK_BACK = 4 << 20
_MAX_DAMAGE = 1000  # unreadable places before the file counts as unreadable: bounds the time a hostile file can take


class Damage(NamedTuple):
    """Bytes ``start`` to ``end`` of the compressed file could not be read, at least in part; a stream that begins at
    ``start`` may have given text of its first blocks. ``last``: no stream follows."""

    start: int
    end: int
    reason: str
    last: bool


class _BrokenStreamError(Exception):
    """The stream being read cannot be read further."""


def bz2_streams(raw: BinaryIO, start: int = 0, end: int | None = None) -> Iterator[bytes | Damage]:
    """The text of all streams of ``raw`` from byte ``start`` to ``end`` (None: of the file) in order, in pieces of up
    to a megabyte, and a :class:`Damage` for every stretch that is unreadable. Memory: up to 50 MB, for a hostile block.

    Neighbouring unreadable streams are one Damage. Zero bytes up to the end of the file are padding; anything else
    that is no stream is damage. Beyond 1000 damaged places nothing more is read: the last Damage says so.
    """
    source = Pieces(raw, _FEED, start, end)
    damaged, reason, damages = -1, "", 0
    while True:
        at, given = source.tell(), False
        if not source.more() and (end is None or source.tell() == at):
            break
        source.seek(at)
        try:
            for text in _stream(source):
                if damaged >= 0:
                    yield Damage(damaged, at, reason, last=False)
                    damaged = -1
                given = True
                yield text
            if damaged >= 0:  # a stream without text
                yield Damage(damaged, at, reason, last=False)
                damaged = -1
            continue
        except _BrokenStreamError as broken:
            why = str(broken)
        if damaged < 0 or given:
            damaged, reason = at, why
        damages += 1
        if damages > _MAX_DAMAGE:
            yield Damage(at, source.tell(), f"more than {_MAX_DAMAGE} damaged places, the last", last=True)
            return
        following = source.find(STREAM, STREAM_BYTES, max(at + 1, source.tell() - _LOOK_BACK))
        if following < 0:
            yield Damage(damaged, source.tell(), reason, last=True)
            return
        source.seek(following)
    if damaged >= 0:
        yield Damage(damaged, source.tell(), reason, last=True)


def _stream(source: Pieces) -> Iterator[bytes]:
    """The text of one stream, each block when its checksum was right; leaves ``source`` at the byte after it.

    The decoder gives a block's text before it knows of its checksum. It has looked at that when it has no more text to
    give and asks for input. Raises :class:`_BrokenStreamError`.
    """
    decoder = bz2.BZ2Decompressor()
    held: deque[bytes] = deque()
    size = 0
    while not decoder.eof:
        piece = source.piece()
        if not piece:
            raise _BrokenStreamError("the compressed data ends early")
        text = b"-"
        while text and not decoder.eof:
            try:
                text = decoder.decompress(piece, _GIVE)
            except OSError as error:
                raise _BrokenStreamError(f"damaged ({error})") from None
            piece = b""
            held.append(text)
            size += len(text)
            while size - len(held[0]) > _BLOCK_TEXT:
                size -= len(held[0])
                yield held.popleft()
        yield from filter(None, held)
        held.clear()
        size = 0
    source.at -= len(decoder.unused_data)
