"""The frames of compressed files one after another: gzip members, zstd frames, bzip2 streams, and what is none."""

from __future__ import annotations

import bz2
import re
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, cast

from redpajama_data.errors import BrokenInput
from redpajama_data.io.first_bytes import LOOK, not_that

PADDING = 17  # zero bytes between two frames that hide nothing: the smallest gzip member has 18
_GATHER = 64 << 10  # decompressed bytes gathered before they are handed on: Python's share of a small piece is large
_ZSTD_WINDOW = 1 << 27  # 128 MiB, the format's recommended limit for decoders


class BetweenFrames(BrokenInput):
    """The file breaks off where a frame is whole: what was read before needs no more bytes to be whole."""


class DamagedFrameError(Exception):
    """The decoder cannot go on, or the file ends inside a frame."""


class Frames:
    """Compressed frames (gzip members, zstd frames, bz2 streams) one after another, as a stream.

    The libraries' own readers throw away what they have gathered when a stream breaks off, and zstandard's does not
    even notice the break; here every byte before the damage comes out first. What does not begin as a frame is named:
    a file of another kind, zeros in the place of frames, bytes after the last one.
    """

    def __init__(self, path: str, raw: BinaryIO, codec: Codec) -> None:
        self._path, self._raw, self._codec = path, raw, codec
        self._decoder: Any = None
        self._rest = b""  # compressed bytes behind the end of a frame
        self._taken = 0  # compressed bytes read so far
        self._zeros = 0  # zero bytes since the last frame
        self._frames = 0  # whole ones so far
        self._hole: BrokenInput | None = None  # zeros before a frame: raised when all that is there was given
        self._out = b""
        self._given = 0  # bytes of _out that were handed out
        self._errors = codec.errors()
        self._damage: DamagedFrameError | BrokenInput | None = None  # comes out after the bytes before it

    def read(self, size: int) -> bytes:
        if not self._out:
            self._out, self._given = self._gather(), 0
        chunk = self._out[self._given : self._given + size]
        self._given += len(chunk)
        if self._given == len(self._out):
            self._out = b""
        return chunk

    def _gather(self) -> bytes:
        """The next decompressed bytes, at least :data:`_GATHER` where there are as many; b"" at the end."""
        pieces: list[bytes] = []
        held = 0
        while held < _GATHER and self._damage is None:
            try:
                piece = self._step()
            except (DamagedFrameError, BrokenInput) as damage:
                self._damage = damage
                break
            if piece is None:
                break
            pieces.append(piece)
            held += len(piece)
        if self._damage is not None and not held:
            raise self._damage
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _step(self) -> bytes | None:
        """What one call of the decoder gives, which may be nothing; None at the end of the file."""
        data = b""
        if self._decoder is None or getattr(self._decoder, "needs_input", True):
            data = self._rest or self._fetch()
            self._rest = b""
            if not data:
                self._end()
                return None
        if self._decoder is None:
            data = self._begin(data)
            if not data:
                return b""
        try:
            out: bytes = self._decoder.decompress(data, *self._codec.bound)
        except self._errors as error:  # no failure of a read: those come from above, and have their own
            raise DamagedFrameError(f"damaged ({error})") from error
        if self._decoder.eof:
            self._rest = self._decoder.unused_data
            self._decoder = None
            self._frames += 1
        return out

    def _fetch(self) -> bytes:
        data = self._raw.read(self._codec.step)
        self._taken += len(data)
        return data

    def _begin(self, data: bytes) -> bytes:
        """Start a frame with ``data``; b"" when it was padding. Raises :class:`BrokenInput` for what is no frame."""
        head = data.lstrip(b"\0")  # padding between frames, as tapes and gzip have it
        self._zeros += len(data) - len(head)
        if not head:
            return b""
        while len(head) < LOOK and (more := self._fetch()):
            head += more
        place = self._taken - len(head)
        if not self._codec.begins.match(head):
            if not self._frames:
                raise not_that(self._path, head[:LOOK], self._codec.name)
            raise self._trailing(head, place)
        if self._zeros > (PADDING if self._frames else 0):
            self._hole = self._hole or BetweenFrames(
                f"{self._path}: {self._zeros} zero bytes where {self._codec.name} data should be, as a part of a "
                "download that failed. What is before and after them is kept; fetch the file again, then run again.",
                f"byte {place - self._zeros}",
            )
        self._zeros = 0
        self._decoder = self._codec.decoder()
        return head

    def _trailing(self, found: bytes, place: int) -> BrokenInput:
        """What bytes after a whole frame are: a damaged frame with others behind it, or something that was added."""
        frame, later = self._codec.frame, self._codec.later
        damaged = self._zeros > PADDING or later in found
        size, tail = len(found), found[-len(later) :]
        while piece := self._fetch():
            damaged = damaged or later in tail + piece
            size, tail = size + len(piece), piece[-len(later) :]
        if damaged:
            message = (
                f"damaged, no {frame} begins at byte {place}. What was read before is kept; fetch the file again, "
                "then run again."
            )
        else:
            message = (
                f"{size} bytes after the last {frame}, which ends at byte {place}. All before them is whole and read. "
                f"If nothing is missing, cut them off (truncate -s {place} FILE), then run again."
            )
        return BetweenFrames(f"{self._path}: {message}", f"byte {place}")

    def _end(self) -> None:
        """The end of the file. Raises what is wrong with it as a whole."""
        if self._decoder is not None:
            raise DamagedFrameError("the compressed stream ends early")
        if not self._frames:
            raise not_that(self._path, bytes(min(self._zeros, LOOK)), self._codec.name)
        if self._hole:
            raise self._hole

    def close(self) -> None:
        self._out = b""


def _gzip_decoder() -> Any:
    from isal import isal_zlib  # 2.4 times the speed of the standard library's

    return isal_zlib.decompressobj(wbits=31)


def _zstd_decoder() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()


def _gzip_errors() -> tuple[type[Exception], ...]:
    from isal import isal_zlib

    return cast("tuple[type[Exception]]", (isal_zlib.error,))


def _zstd_errors() -> tuple[type[Exception], ...]:
    import zstandard

    return (zstandard.ZstdError,)


def _bz2_errors() -> tuple[type[Exception], ...]:
    return (OSError, ValueError, EOFError)


class Codec(NamedTuple):
    """How to decode one kind of frame, and the compressed bytes fed at a time. They bound what a bomb can do, and what
    is lost at a damage: a decoder that fails gives nothing of the bytes it was fed last."""

    name: str
    frame: str
    begins: re.Pattern[bytes]  # a frame, or what is there of one that is cut in its first bytes
    later: bytes  # how a frame begins that is looked for among other bytes
    decoder: Callable[[], Any]
    errors: Callable[[], tuple[type[Exception], ...]]
    step: int
    bound: tuple[int, ...] = ()  # the most bytes of one call's output, where the decoder takes such a limit


CODECS = {
    # at most 1032 : 1, 4 MiB a step
    ".gz": Codec(
        "gzip",
        "gzip member",
        re.compile(rb"\x1f(?:\x8b|\Z)"),
        b"\x1f\x8b\x08",
        _gzip_decoder,
        _gzip_errors,
        4 << 10,
    ),
    # at most 128 KiB from 4 bytes, 128 MiB a step; a frame to be skipped begins in its own way
    ".zst": Codec(
        "zstd",
        "zstd frame",
        re.compile(rb"\x28(?:\xb5\x2f\xfd|(?:\xb5\x2f?)?\Z)|[\x50-\x5f]\x2a\x4d\x18"),
        b"\x28\xb5\x2f\xfd",
        _zstd_decoder,
        _zstd_errors,
        4 << 10,
    ),
    # 1 GiB from 785 bytes, so it takes the limit
    ".bz2": Codec(
        "bzip2",
        "bzip2 stream",
        re.compile(rb"B(?:Zh|Z?\Z)"),
        b"1AY&SY",
        bz2.BZ2Decompressor,
        _bz2_errors,
        64 << 10,
        (64 << 10,),
    ),
}
