"""One member of a .7z archive as a stream of bytes: nothing is written to the disk, memory is bounded.

py7zr reads the archive's header and decodes; its own extraction pushes whole chunks of up to 128 MB into a writer, so
the decoder is pulled here instead. No name in the archive is ever used as a path, so ``..`` and links reach nothing.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Iterator
from lzma import LZMAError
from typing import Any, BinaryIO

from py7zr.exceptions import ArchiveError, PasswordRequired, UnsupportedCompressionMethodError

from redpajama_data.errors import BrokenInput
from redpajama_data.io import seven_zip
from redpajama_data.io.first_bytes import LOOK, not_that
from slices.readers.volumes import VOLUME, open_volumes, volume, volumes

_MAGIC = b"7z\xbc\xaf\x27\x1c"
_FEED = 128 << 10  # compressed bytes given to the decoder at a time
_CHUNK = 16 << 20  # most bytes asked of the decoder at a time: input waits in memory only beyond a ratio of 128
_HOLD = 1 << 20  # decoded bytes kept back: bzip2 finds damage after up to 900 kB of nonsense, LZMA soon
_BOMB_BYTES, _BOMB_RATIO = 1 << 30, 200  # both passed by the declared sizes: a bomb (dumps reach a ratio of 4 to 8)
_MAX_HEADER = 256 << 20  # bytes of a header, for py7zr holds it in memory (dumps have a few hundred)
_DECODER = (ArchiveError, LZMAError, zlib.error, EOFError, ValueError)  # what damaged data make the decoders raise
# A damaged header also leads py7zr to places that are not there, which surfaces as whatever Python has for it.
_HEADER = (*_DECODER, struct.error, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError)


def read_member(path: str, name: str) -> Iterator[bytes]:
    """The bytes of the archive's one file called ``name``, in whatever folder, as chunks of up to 16 MB; upper and
    lower case count only when there are several.

    ``path`` is a local path or a URL; of a split archive it is any of its volumes, ``<archive>.7z.001``. What lies
    before the member in the same solid block is decoded and passed over.
    Raises :class:`BrokenInput` for anything that is no 7z archive, lacks a volume, has no such file or several, is
    encrypted, declares absurd sizes, and, after the chunks up to a megabyte before it, for damage or a wrong checksum.
    Errors of reading the file itself pass.
    """
    with open_volumes(path) as raw:
        archive = _open(path, raw)
        member, skip, position, packed = _find(path, archive, name)
        try:
            yield from _decode(path, raw, member, skip, position, packed)
        finally:
            archive.close()


def _open(path: str, raw: BinaryIO) -> Any:
    start = raw.read(LOOK)
    size = raw.seek(0, 2)
    raw.seek(0)
    if not start.startswith(_MAGIC):
        raise not_that(path, start, "a 7z archive")
    header_at, header = int.from_bytes(start[12:20], "little"), int.from_bytes(start[20:28], "little")
    if header > _MAX_HEADER:
        raise BrokenInput(f"{path}: it declares a header over {_MAX_HEADER >> 20} MB. Download it again.", "byte 20")
    whole = 32 + header_at + header
    if len(start) >= 32 and size < whole:
        raise _cut(path, size, whole)
    try:
        archive = seven_zip.open_archive(raw)
    except PasswordRequired as error:
        raise BrokenInput(f"{path}: the archive is encrypted. Unpack it yourself and give what is in it.") from error
    except _HEADER as error:
        raise BrokenInput(f"{path}: the 7z header cannot be read ({error!r}). Download it again.", "header") from error
    return archive


def _cut(path: str, size: int, whole: int) -> BrokenInput:
    """The error of an archive that ends before the header at its end; of volumes the next one is missing."""
    if not VOLUME.search(path):
        message = f"{path}: it ends at byte {size:,} of {whole:,}, before the 7z header. Download it again."
        return BrokenInput(message, f"byte {size:,}")
    missing = volume(path, len(volumes(path)) + 1)
    return BrokenInput(f"{missing}: this volume of the archive is missing. Fetch it, then run again.", missing)


def _find(path: str, archive: Any, name: str) -> tuple[Any, int, int, int]:
    """The member, the bytes to pass over before it in its block, the byte where the block begins, its packed size."""
    entries = getattr(archive, "files", ())  # an archive of nothing has no such attribute
    named = [(file.filename.replace("\\", "/").rsplit("/", 1)[-1], file) for file in entries if not file.is_directory]
    files = [file for own, file in named if own == name] or [file for own, file in named if own.lower() == name.lower()]
    if len(files) != 1:
        names = ", ".join(file.filename for file in entries)[:200] or "nothing"
        raise BrokenInput(f"{path}: {len(files)} files {name} in the archive ({names}). Give an archive with one.")
    member = files[0]
    if member.is_symlink or member.is_junction:
        raise BrokenInput(f"{path}: {member.filename} is a link. Give an archive that holds the file.", member.filename)
    if member.emptystream or not member.uncompressed:
        raise BrokenInput(f"{path}: {member.filename} is empty. Download it again.", member.filename)
    try:
        folders = archive.header.main_streams.unpackinfo.folders
        number = next(i for i, folder in enumerate(folders) if folder is member.folder)
        positions = archive.header.main_streams.packinfo.packpositions
        begin, end = positions[number], positions[number + 1]
    except (AttributeError, LookupError, TypeError, StopIteration) as error:
        raise BrokenInput(f"{path}: the 7z header contradicts itself. Download it again.", "header") from error
    before = [file for file in entries if file.folder is member.folder and file.id < member.id]
    skip = sum(file.uncompressed for file in before)
    if skip + member.uncompressed > max(_BOMB_BYTES, _BOMB_RATIO * (end - begin)):
        raise BrokenInput(
            f"{path}: {member.filename} is said to unpack {end - begin:,} to {skip + member.uncompressed:,} bytes; "
            f"beyond {_BOMB_RATIO} times it counts as a decompression bomb. Unpack it yourself if it is genuine.",
            member.filename,
        )
    return member, skip, archive.afterheader + begin, end - begin


def _decode(path: str, raw: BinaryIO, member: Any, skip: int, position: int, packed: int) -> Iterator[bytes]:
    raw.seek(position)
    source = _Slow(raw)
    done, crc, end = 0, 0, skip + member.uncompressed
    held: deque[bytes] = deque()
    try:
        decoder = member.folder.get_decompressor(packed, reset=True)
        while done < end:
            before = source.given
            wanted = (skip if done < skip else end) - done
            chunk = bytes(decoder.decompress(source, min(wanted, _CHUNK)))
            if not chunk and source.given == before:
                raise EOFError("the compressed data ends early")
            done += len(chunk)
            if chunk and done > skip:
                crc = zlib.crc32(chunk, crc)
                held.append(chunk)
                while sum(map(len, held)) - len(held[0]) >= _HOLD:
                    yield held.popleft()
    except PasswordRequired as error:
        raise BrokenInput(f"{path}: the archive is encrypted. Unpack it yourself and give what is in it.") from error
    except UnsupportedCompressionMethodError as error:
        raise BrokenInput(f"{path}: {error}. Pack it again as LZMA2 or BZip2, or give what is in it.") from error
    except (*_DECODER, OSError) as error:  # OSError is bz2's; those of the file itself come as InputUnavailable
        place = f"{member.filename}, byte {max(0, done - skip - sum(map(len, held))):,}"
        raise BrokenInput(f"{path}: damaged after {place} ({error!r}). Download it again.", place) from error
    if member.crc32 is not None and crc != member.crc32:
        raise BrokenInput(f"{path}: {member.filename} has a wrong checksum. Download it again.", member.filename)
    yield from held


class _Slow:
    """The file in small reads, so that little compressed data waits inside the decoder."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw, self.given = raw, 0

    def read(self, size: int) -> bytes:
        data = self.raw.read(min(size, _FEED))
        self.given += len(data)
        return data
