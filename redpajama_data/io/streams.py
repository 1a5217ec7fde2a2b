"""Compressed files as streams of bytes and lines: bounded memory, and every byte before a damage."""

from __future__ import annotations

import io
import posixpath
from typing import Any, BinaryIO, cast

from redpajama_data.errors import BrokenInput
from redpajama_data.io.frames import CODECS, DamagedFrameError, Frames
from redpajama_data.io.storage import open_input, without_query

_LINE_STEP = 1 << 20  # decompressed bytes split into lines at a time: large enough that Python's share is small


class _Decompressed(io.RawIOBase):
    """A decompressed stream whose damage shows as :class:`BrokenInput` with the place in the raw file."""

    def __init__(self, path: str, raw: BinaryIO, stream: Any) -> None:
        self._path, self._raw, self._stream, self._done = path, raw, stream, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except DamagedFrameError as damage:
            raise BrokenInput(
                f"{self._path}: {damage}. What was read before is kept; fetch the file again, then run again.",
                f"after {self._done} decompressed bytes",
            ) from damage
        self._done += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._raw.close()
        super().close()


def open_decompressed(path: str) -> BinaryIO:
    """Open a file as a stream of decompressed bytes, by the ending of its path: ``.gz``, ``.zst``, ``.bz2``, anything
    else as it is.

    ``read(n)`` returns at most n bytes, b"" at the end, and raises :class:`BrokenInput` with the place where the stream
    is damaged or cut. Memory is bounded by n.
    """
    raw = open_input(path)
    codec = CODECS.get(posixpath.splitext(without_query(path).lower())[1])
    return cast(BinaryIO, _Decompressed(path, raw, raw if codec is None else Frames(path, raw, codec)))
