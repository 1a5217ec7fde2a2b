"""The members of a tar, one header after the other, from any stream and never to disk.

The standard library's reader is not bounded against hostile archives: it reads a long-name or pax record of any size at
once, searches it in quadratic time, recurses once per record, and can be sent backwards for ever by a negative size.
This one keeps its view of what is a member, and drops the rest of its features.
"""

from __future__ import annotations

import contextlib
import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 512
_PIECE = 1 << 20  # bytes read at a time where a header is looked for
_CHECKSUM = re.compile(rb"[ 0-7]{6}[ 0\0]")
# Headers and long-name or pax records before one member. Real ones have up to 3, of a few hundred bytes.
_MAX_RECORDS = 16
_MAX_RECORD_BYTES = 64 << 10
_LONG_NAME, _LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
_PLAIN_FILE = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_KINDS = {
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
    tarfile.GNUTYPE_SPARSE: "sparse file",
}


class Member(NamedTuple):
    """One member: name as stored, "file" or what else it is, size in bytes, mtime in seconds, offset of its data, and
    where the next header would stand."""

    name: str
    kind: str
    size: int
    mtime: float
    offset: int
    end: int


class TarDamagedError(Exception):
    """The stream is not a tar, or not beyond the byte it names; the members before it were whole."""


class TarTooLargeError(Exception):
    """A bound was passed: ``measured`` against ``limit``."""

    def __init__(self, measured: str, limit: str) -> None:
        super().__init__(f"{measured}, limit {limit}")
        self.measured, self.limit = measured, limit


def iter_members(file: BinaryIO, *, max_bytes: int, max_members: int, start: int = 0) -> Iterator[Member]:
    """Yield the members of a tar that begins at byte ``start``, where ``file`` stands. The consumer may read
    ``member.size`` bytes before it asks for the next one.

    ``file`` needs ``read``, ``tell`` and a forward ``seek``; no more than 64 KiB of it is held. Ends quietly where the
    standard library does: at a block of zeros, at the end between two members, at a block after the first that is no
    header. Raises :class:`TarDamagedError` when the first block is no header or a member is cut,
    :class:`TarTooLargeError` at more than ``max_bytes`` of archive or ``max_members``.
    """
    position = start
    shared: dict[str, str] = {}  # pax records for every member that follows
    for _ in range(max_members + 1):
        found = _next_member(file, position, shared, first=position == start)
        if found is None:
            return
        member, position = found
        if position > max_bytes:
            raise TarTooLargeError(f"{position} bytes", f"{max_bytes} bytes")
        yield member
        if file.tell() < position:  # one byte before the end proves that the member is whole
            file.seek(position - 1)
            if not file.read(1):
                raise TarDamagedError(f"member {member.name!r} at byte {member.offset} is cut")
    raise TarTooLargeError(f"over {max_members} members", f"{max_members} members")


def _next_member(file: BinaryIO, position: int, shared: dict[str, str], *, first: bool) -> tuple[Member, int] | None:
    """The member whose first header is at ``position``, and where the next one starts; None at the archive's end."""
    of_member: dict[str, str] = {}
    long_name: str | None = None
    for record in range(_MAX_RECORDS):
        try:
            header = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            ends = not first or isinstance(error, tarfile.EOFHeaderError)  # type: ignore[attr-defined]
            if record == 0 and ends:
                return None
            raise TarDamagedError(f"no tar header at byte {position} ({error})") from None
        size = header.size
        if size < 0:
            raise TarDamagedError(f"negative size at byte {position}")
        if header.type in _PAX or header.type in (_LONG_NAME, _LONG_LINK):
            if size > _MAX_RECORD_BYTES:
                raise TarTooLargeError(f"a header record of {size} bytes", f"{_MAX_RECORD_BYTES} bytes")
            data = file.read(_padded(size))
            if header.type == _LONG_NAME:
                name = data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
                long_name = name if long_name is None else long_name  # the first of several wins, as in tarfile
            elif header.type in _PAX:
                records = shared if header.type == tarfile.XGLTYPE else of_member
                new = pax_records(data[:size])
                records.update(new if records is shared else {**new, **of_member})
            continue
        return _member(file, header, {**shared, **of_member}, long_name)
    raise TarTooLargeError(f"over {_MAX_RECORDS} header records for one member", f"{_MAX_RECORDS} records")


def _member(file: BinaryIO, header: tarfile.TarInfo, pax: dict[str, str], long_name: str | None) -> tuple[Member, int]:
    sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in pax)
    if header.type == tarfile.GNUTYPE_SPARSE:
        _skip_sparse_maps(file, header)
    offset = file.tell()
    size = header.size
    mtime = float(header.mtime)
    with contextlib.suppress(ValueError):
        size = int(pax.get("size", size))
    with contextlib.suppress(ValueError):
        mtime = float(pax.get("mtime", mtime))
    if size < 0:
        raise TarDamagedError(f"negative size at byte {offset}")
    kind = "file" if header.type in _PLAIN_FILE else _KINDS.get(header.type, "file")
    holds_data = kind in ("file", "sparse file")
    name = pax["path"].rstrip("/") if "path" in pax else long_name if long_name is not None else header.name
    end = offset + (_padded(size) if holds_data else 0)
    return Member(name, "sparse file" if sparse else kind, size, mtime, offset, end), end


def _skip_sparse_maps(file: BinaryIO, header: tarfile.TarInfo) -> None:
    extended = bool(header._sparse_structs[1])  # type: ignore[attr-defined]
    while extended:
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            raise TarDamagedError(f"a sparse map of {header.name!r} is cut")
        extended = bool(block[504])


def pax_records(data: bytes) -> dict[str, str]:
    """The ``key=value`` records of a pax header, up to the first that is not well formed."""
    records: dict[str, str] = {}
    position = 0
    while True:
        blank = data.find(b" ", position, position + 20)  # the digits of a length: 20 are enough for any
        digits = data[position:blank]
        if blank < 0 or not digits.isdigit():
            return records
        end = position + int(digits)
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if not equals or not key or end <= blank:
            return records
        records[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        position = end


def find_header(file: BinaryIO, place: int) -> int | None:
    """The first header of a member at or after byte ``place``, at a multiple of 512; None when there is none."""
    place = _padded(place)
    if place >= file.seek(0, 2):
        return None
    file.seek(place)
    while blocks := file.read(_PIECE):
        for at in range(0, len(blocks) - BLOCK + 1, BLOCK):
            if _CHECKSUM.match(blocks, at + 148) and is_header(blocks[at : at + BLOCK]):
                return place + at
        place += len(blocks)
    return None


def is_header(block: bytes) -> bool:
    """True for a block of 512 bytes that is the header of a member, by its checksum."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def after_zeros(file: BinaryIO, place: int) -> int | None:
    """The block (by 512 bytes from ``place``) of the first byte that is not zero; None when only zeros follow."""
    file.seek(place)
    while data := file.read(_PIECE):
        rest = data.lstrip(b"\0")
        if rest:
            return place + (len(data) - len(rest)) // BLOCK * BLOCK
        place += len(data)
    return None


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
