"""The bytes of a compressed file in pieces for a decoder, with a place to return to after damage."""

from __future__ import annotations

import re
from typing import BinaryIO

_READ = 1 << 20  # bytes asked of the file at a time


class Pieces:
    """Bytes ``start`` to ``end`` (None: all) of a file, ``feed`` at a time.

    ``block[at:]`` is what is read and not used yet; its first byte is byte ``base`` of the file. A decoder that took
    too much gives it back by lowering ``at``.
    """

    def __init__(self, raw: BinaryIO, feed: int, start: int = 0, end: int | None = None) -> None:
        self.raw, self.feed, self.end = raw, feed, end
        self.base, self.block, self.at = raw.seek(start), b"", 0

    def tell(self) -> int:
        """The byte of the file that comes next."""
        return self.base + self.at

    def seek(self, place: int) -> None:
        """Go to a byte of the file."""
        if self.base <= place <= self.base + len(self.block):
            self.at = place - self.base
        else:
            self.base, self.block, self.at = self.raw.seek(place), b"", 0

    def size(self) -> int:
        """The bytes of the whole file; the place stays."""
        place = self.tell()
        size = self.raw.seek(0, 2)
        self.base, self.block, self.at = self.raw.seek(place), b"", 0
        return size

    def piece(self) -> bytes:
        """The next bytes, ``b""`` at the end of the range."""
        if self.at >= len(self.block):
            self.base += len(self.block)
            left = _READ if self.end is None else min(_READ, self.end - self.base)
            self.block, self.at = self.raw.read(left), 0
        piece = self.block[self.at : self.at + self.feed]
        self.at += len(piece)
        return piece

    def more(self) -> bool:
        """Skip zero bytes; True when something follows."""
        while self.at >= len(self.block) or not self.block[self.at]:
            piece = self.piece()
            if not piece:
                return False
            self.at -= len(piece.lstrip(b"\0"))
        return True

    def find(self, pattern: re.Pattern[bytes], width: int, place: int) -> int:
        """Where the first match of ``pattern``, which has at most ``width`` bytes, begins at or after ``place``; -1
        when there is none, and then the place is the end of the range."""
        self.seek(place)
        window = b""
        while piece := self.piece():
            window = window[1 - width :] + piece
            match = pattern.search(window)
            if match:
                return self.tell() - len(window) + match.start()
        return -1
