"""Compressed files as streams of bytes and lines: bounded memory, and every byte before a damage."""

from __future__ import annotations

import bz2
import contextlib
import io
import posixpath
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, cast

from redpajama_data.errors import BrokenInput, RpjError
from redpajama_data.storage import open_input

_LINE_STEP = 1 << 20  # decompressed bytes split into lines at a time: large enough that Python's share is small
_ZSTD_WINDOW = 1 << 27  # 128 MiB, the format's recommended limit for decoders


class _Decompressed(io.RawIOBase):
    """A decompressed stream whose damage shows as :class:`BrokenInput` with the place in the raw file."""

    def __init__(self, path: str, raw: BinaryIO, stream: Any) -> None:
        self._path, self._raw, self._stream, self._done = path, raw, stream, 0

    def readable(self) -> bool:
        return True

    def _broken(self, error: BaseException) -> BrokenInput:
        what = "the compressed stream ends early" if isinstance(error, EOFError) else f"damaged ({error})"
        return BrokenInput(
            f"{self._path}: {what}. What was read before is kept; fetch the file again, then run again.",
            f"after {self._done} decompressed bytes",
        )

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except RpjError:
            raise
        except Exception as error:  # each codec has its own error classes; all mean the same here
            raise self._broken(error) from error
        self._done += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(Exception):
                self._stream.close()
            self._raw.close()
        super().close()


class _Frames:
    """Compressed frames (gzip members, zstd frames, bz2 streams) one after another, as a stream.

    The libraries' own readers throw away what they have gathered when a stream breaks off, and zstandard's does not
    even notice the break; here every byte before the damage comes out first.
    """

    def __init__(self, raw: BinaryIO, codec: _Codec) -> None:
        self._raw, self._codec = raw, codec
        self._decoder: Any = None
        self._rest = b""  # compressed bytes behind the end of a frame
        self._out = b""
        self._given = 0  # bytes of _out that were handed out

    def read(self, size: int) -> bytes:
        while not self._out:
            data = b""
            if self._decoder is None or getattr(self._decoder, "needs_input", True):
                data = self._rest or self._raw.read(self._codec.step)
                self._rest = b""
                if not data:
                    if self._decoder is not None:
                        raise EOFError("inside a frame")
                    return b""
            if self._decoder is None:
                data = data.lstrip(b"\0")  # padding between frames, as tapes and gzip have it
                if not data:
                    continue
                self._decoder = self._codec.decoder()
            out = self._decoder.decompress(data, *self._codec.bound)
            if self._decoder.eof:
                self._rest = self._decoder.unused_data
                self._decoder = None
            self._out, self._given = out, 0
        chunk = self._out[self._given : self._given + size]
        self._given += len(chunk)
        if self._given == len(self._out):
            self._out, self._given = b"", 0
        return chunk

    def close(self) -> None:
        self._out = b""


def _gzip_decoder() -> Any:
    from isal import isal_zlib  # 2.4 times the speed of the standard library's

    return isal_zlib.decompressobj(wbits=31)


def _zstd_decoder() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()


class _Codec(NamedTuple):
    """How to decode one kind of frame, and the compressed bytes fed at a time, which bound what a bomb can do."""

    decoder: Callable[[], Any]
    step: int
    bound: tuple[int, ...] = ()  # the most bytes of one call's output, where the decoder takes such a limit


_CODECS = {
    ".gz": _Codec(_gzip_decoder, 64 << 10),  # at most 1032 : 1, 64 MiB a step
    ".zst": _Codec(_zstd_decoder, 4 << 10),  # at most 128 KiB from 4 bytes, 128 MiB a step
    ".bz2": _Codec(bz2.BZ2Decompressor, 64 << 10, (1 << 20,)),  # 1 GiB from 785 bytes, so it takes the limit
}


def open_decompressed(path: str) -> BinaryIO:
    """Open a file as a stream of decompressed bytes, by its ending: ``.gz``, ``.zst``, ``.bz2``, anything else as it
    is.

    ``read(n)`` returns at most n bytes, b"" at the end, and raises :class:`BrokenInput` with the place where the stream
    is damaged or cut. Memory is bounded by n.
    """
    raw = open_input(path)
    codec = _CODECS.get(posixpath.splitext(path.lower())[1])
    return cast(BinaryIO, _Decompressed(path, raw, raw if codec is None else _Frames(raw, codec)))


class TooLong(NamedTuple):
    """A line longer than the limit; its bytes were passed over."""

    length: int


def iter_lines(path: str, *, max_bytes: int) -> Iterator[bytes | TooLong]:
    """The lines of a (compressed) file without their ``\\n``, as a stream; the last one may lack it.

    A line longer than ``max_bytes`` comes as :class:`TooLong`, so memory is bounded whatever the file holds.
    Raises :class:`BrokenInput` where the file is damaged, after the whole lines before it; what was begun of a line
    at the damage is lost to nobody: the error's place names it.
    """
    with open_decompressed(path) as stream:
        pending: list[bytes] = []  # the pieces of a line that is not at its end yet
        held = 0
        dropped = False
        while True:
            chunk = stream.read(_LINE_STEP)
            if not chunk:
                break
            lines = chunk.split(b"\n")
            if len(lines) == 1:
                held += len(chunk)
                dropped = dropped or held > max_bytes
                pending = [] if dropped else [*pending, chunk]
                continue
            held += len(lines[0])
            if dropped or held > max_bytes:
                yield TooLong(held)
            else:
                pending.append(lines[0])
                yield b"".join(pending)
            last = lines.pop()
            for line in lines[1:]:
                yield line if len(line) <= max_bytes else TooLong(len(line))
            pending, held, dropped = ([last] if last else []), len(last), False
        if held:
            yield TooLong(held) if dropped or held > max_bytes else b"".join(pending)
