"""A walk through the content of a file, to its last byte: is it whole, as its format has it?"""

from __future__ import annotations

import bz2
import lzma
import os
import struct
import xml.parsers.expat
import zlib
from typing import Any, BinaryIO

from redpajama_data.download.content import WrongContent
from redpajama_data.io import seven_zip, tar_members
from redpajama_data.io.retries import unavailable

_READ = 1 << 20  # bytes that come out at a time
_PIECE = 64 << 10  # bytes that go in at a time: what lies behind the end of a stream is copied once for each stream
_XML_TOKEN = 16 << 20  # bytes of one tag, comment or text; the longest rows of a dump have some megabytes
_XML_DEPTH = 64  # elements inside each other; a dump has five
_SEVEN_ZIP_HEAD = struct.Struct("<12xQQ")  # where the header lies, behind these and its CRC, and how long it is


def walk(path: str, kind: str) -> None:
    """Read a local file through to its last byte, as its format has it. Raises :class:`WrongContent` with the place,
    :class:`InputUnavailable` when it cannot be read.

    gzip, bz2, zstd: every member or stream with its checks, nothing behind the last (zeros are padding); tar: every
    header, and the two blocks of zeros at the end; 7z: the CRC of every file; xml: well-formed to the end.
    """
    try:
        with open(path, "rb") as file:
            _WALKS[kind](file)
    except (zlib.error, xml.parsers.expat.ExpatError, EOFError, ValueError) as error:
        raise WrongContent(f"it is damaged: {error}") from error
    except OSError as error:
        raise unavailable(path, error) from error


def _streams(file: BinaryIO, new: Any, errors: Any) -> None:
    """A file of compressed streams, one behind the other."""
    decoder, place, begun, count = new(), 0, False, 0
    while data := file.read(_PIECE):
        while data:
            if not begun and count:
                data = data.lstrip(b"\0")
                if not data:
                    break
            begun = True
            try:
                decoder.decompress(data)
            except errors as error:
                raise WrongContent(f"it is damaged near byte {place:,}, in stream {count + 1}: {error}") from error
            if not decoder.eof:
                break
            data, decoder, begun, count = decoder.unused_data, new(), False, count + 1
        place = file.tell()
    if begun or not count:
        raise WrongContent(f"it ends at byte {place:,}, in the middle of stream {count + 1}")


def _gzip(file: BinaryIO) -> None:
    from isal import isal_zlib

    _streams(file, lambda: _Bounded(isal_zlib.decompressobj(31)), (isal_zlib.error, zlib.error, OSError, ValueError))


class _Bounded:
    """A zlib decoder with bz2's interface, whose output is thrown away in pieces: a bomb costs time, not memory."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def decompress(self, data: bytes) -> None:
        while data and not self._decoder.eof:
            self._decoder.decompress(data, _READ)
            data = self._decoder.unconsumed_tail

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._decoder.unused_data)


class _Bz2:
    """As above."""

    def __init__(self) -> None:
        self._decoder = bz2.BZ2Decompressor()

    def decompress(self, data: bytes) -> None:
        self._decoder.decompress(data, _READ)
        while not self._decoder.eof and not self._decoder.needs_input:
            self._decoder.decompress(b"", _READ)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data


class _Zstd:
    """As above. Its decoder knows no bound for what comes out, and four bytes in may be 128 kB out; so it gets little
    at a time."""

    _IN = 1 << 10  # bytes: at most 32 MB come of them

    def __init__(self) -> None:
        import zstandard

        self._decoder, self.unused_data = zstandard.ZstdDecompressor().decompressobj(), b""

    def decompress(self, data: bytes) -> None:
        for at in range(0, len(data), self._IN):
            self._decoder.decompress(data[at : at + self._IN])
            if self._decoder.eof:
                self.unused_data = self._decoder.unused_data + data[at + self._IN :]
                return

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)


def _zstd(file: BinaryIO) -> None:
    import zstandard

    _streams(file, _Zstd, (zstandard.ZstdError,))


def _tar(file: BinaryIO) -> None:
    """By our own reader: the standard library's has no bounds against an archive that was made to do harm."""
    size, end = os.fstat(file.fileno()).st_size, 0
    try:
        for member in tar_members.iter_members(file, max_bytes=size, max_members=size // tar_members.BLOCK):
            end = member.end
    except (tar_members.TarDamagedError, tar_members.TarTooLargeError) as error:
        raise WrongContent(f"it is a damaged tar archive: {error}") from error
    file.seek(end)
    zeros = file.read(2 * tar_members.BLOCK)
    if len(zeros) < 2 * tar_members.BLOCK or zeros.strip(b"\0"):
        raise WrongContent(f"it ends at byte {end + len(zeros):,} without the two blocks of zeros of a tar archive")


def _seven_zip(file: BinaryIO) -> None:
    import py7zr

    decoding = (py7zr.exceptions.ArchiveError, lzma.LZMAError, zlib.error, EOFError, ValueError, IndexError, TypeError)
    head = file.read(_SEVEN_ZIP_HEAD.size)
    file.seek(0)
    try:
        with seven_zip.open_archive(file) as archive:
            damaged = archive.testzip()
    except (*decoding, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; that of a bz2 stream has no number
        raise WrongContent(f"it is a damaged 7z archive: {error}") from error
    if damaged is not None:
        raise WrongContent(f"its member {damaged} is damaged")
    place, size = _SEVEN_ZIP_HEAD.unpack(head)
    if (end := len(head) + 4 + place + size) != (found := os.fstat(file.fileno()).st_size):
        raise WrongContent(f"it has {found:,} bytes, and its own header says {end:,}")


def _xml(file: BinaryIO) -> None:
    """Without document types, whose entities are bombs; what the parser holds at a time is bounded."""
    parser = xml.parsers.expat.ParserCreate()
    depth = 0

    def refuse(*_: object) -> None:
        raise WrongContent("it has a document type, which no dump has")

    def begin(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _XML_DEPTH:
            raise WrongContent(f"it has over {_XML_DEPTH} elements inside each other, near byte {file.tell():,}")

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    while data := file.read(_READ):
        parser.Parse(data, False)
        if file.tell() - parser.CurrentByteIndex > _XML_TOKEN:
            raise WrongContent(f"a tag, comment or text is longer than {_XML_TOKEN:,} bytes, near byte {file.tell():,}")
    parser.Parse(b"", True)


_WALKS = {
    "gzip": _gzip,
    "bz2": lambda file: _streams(file, _Bz2, (OSError, ValueError)),
    "zstd": _zstd,
    "tar": _tar,
    "7z": _seven_zip,
    "xml": _xml,
}
