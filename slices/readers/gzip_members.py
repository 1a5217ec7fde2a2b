"""A gzip file member by member, so that a damaged member costs itself and not the rest of the file.

A WET file has one member for each record; other tools write the whole file as one. Both are read here in one pass, in
bounded memory and at the speed of the library: a small member is checked before anything of it is given out, and small
members are handed on in blocks of about a megabyte; larger ones stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from isal import igzip_lib

from redpajama_data.errors import BrokenInput
from redpajama_data.io.frames import PADDING
from slices.readers.pieces import Pieces

_FEED = 16 << 10  # bytes given to the decompressor at a time: it copies what follows the member, so not much more
_BLOCK = 1 << 20  # bytes of text given out at a time; a member up to this size is checked before it is used
_LOOK_BACK = 1 << 20  # the search for the next member starts at most this far before the place of the damage
_MAX_DAMAGE = 1000  # unreadable places before the file counts as unreadable: bounds the time a hostile file can take
_BOMB_BYTES, _BOMB_RATIO = 1 << 30, 250  # both passed in one member: a bomb (text reaches 5 to 20, deflate allows 1032)
_LEAST_PIECE = 16  # what a cut member leaves is worth giving out from this size (a "WARC/1.0" line has up to 10 bytes)
_MAGIC = b"\x1f\x8b\x08"
_MEMBER = re.compile(re.escape(_MAGIC))


class Damage(NamedTuple):
    """A member, or what lies between two members, could not be read; what comes next is from a later member.

    ``place`` is the byte of the compressed file where the damaged member begins; ``whole`` says that nothing of it was
    given out before, ``last`` that no member comes after it.
    """

    place: int
    reason: str
    whole: bool
    last: bool = False


class _BrokenMemberError(Exception):
    """The member being read cannot be read further."""


def gzip_members(raw: BinaryIO) -> Iterator[bytes | Damage]:
    """The text of all members of ``raw`` in order, and a :class:`Damage` for every stretch that is unreadable.

    After damage, reading goes on at the next member that can be read; neighbouring unreadable members are one Damage.
    Zero bytes are padding at the end, and between members when they are too few to hide one.
    Raises :class:`BrokenInput`, after the Damage, when the file ends inside a member or no later member can be found,
    because what is missing then is not known; and for bytes after the last member, which is whole.
    """
    source = Pieces(raw, _FEED)
    ready: list[bytes] = []  # text waiting to be a block
    size = damages = 0
    reading = True  # False from a Damage until something can be read again
    end = 0  # of the last member that is whole
    while source.more():
        start, given, reason = source.tell(), False, ""
        hole = Damage(end, f"{start - end} zero bytes", whole=True) if start - end > (PADDING if end else 0) else None
        if hole and reading:
            if ready:
                yield b"".join(ready)
                ready, size = [], 0
            yield hole
        try:
            for text in _member(source):
                given = True
                ready.append(text)
                size += len(text)
                if size >= _BLOCK:
                    yield b"".join(ready)
                    ready, size = [], 0
            reading, end = True, source.tell()
            continue
        except _BrokenMemberError as broken:
            reason = str(broken)
        if ready:
            yield b"".join(ready)
            ready, size = [], 0
        damages += 1
        following = -1
        if damages <= _MAX_DAMAGE:
            following = source.find(_MEMBER, len(_MAGIC), max(start + 1, source.tell() - _LOOK_BACK))
        source.seek(start)
        if following < 0 and reading and end and not hole and not source.piece().startswith(_MAGIC[:2]):
            raise BrokenInput(
                f"{source.size() - start} bytes after the last gzip member, which ends at byte {start}. All before "
                f"them is whole and read. If nothing is missing, cut them off (truncate -s {start} FILE), then run "
                "again",
                f"byte {start}",
            )
        if (reading and not hole) or given:
            yield Damage(start, reason, whole=not given, last=following < 0)
        reading = False
        if following < 0:
            raise BrokenInput(
                f"gzip damaged at byte {start} ({reason}), no readable member after it; fetch the file again",
                f"byte {start}",
            )
        source.seek(following)
    if ready:
        yield b"".join(ready)
    if not end and not damages and source.tell():
        raise BrokenInput("nothing but zero bytes; fetch the file again", "byte 0")


def _member(source: Pieces) -> Iterator[bytes]:
    """The text of one member; leaves ``source`` at the byte after it. Raises :class:`_BrokenMemberError`."""
    start, given = source.tell(), 0
    parts: list[bytes] = []
    size = 0
    member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    while not member.eof:
        piece = source.piece() if member.needs_input else b""
        reason = "" if piece or not member.needs_input else "the file ends inside a gzip member"
        try:
            text = member.decompress(piece, _BLOCK) if not reason else b""
        except igzip_lib.error as error:  # type: ignore[misc, unused-ignore]
            reason, text = str(error), b""
        if given + size > max(_BOMB_BYTES, _BOMB_RATIO * (source.tell() - start)):
            reason = f"a member of {source.tell() - start} bytes with more than {given + size} bytes of text"
        if reason:
            # Unchecked text is used as far as it goes, unless all of it is there and known to be wrong.
            if size >= _LEAST_PIECE and "checksum" not in reason:
                yield b"".join(parts)
            raise _BrokenMemberError(reason)
        parts.append(text)
        size += len(text)
        if size >= _BLOCK and not member.eof:
            yield b"".join(parts)
            given += size
            parts, size = [], 0
    source.at -= len(member.unused_data)
    if size:
        yield b"".join(parts)
