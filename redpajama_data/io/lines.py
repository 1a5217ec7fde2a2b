"""The lines of a file as a stream, in bounded memory: one reader for raw files, shards and ledgers."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from typing import NamedTuple

from redpajama_data.io import memory
from redpajama_data.io.frames import BetweenFrames
from redpajama_data.io.streams import open_decompressed

_STEP = 1 << 20  # decompressed bytes split into lines at a time: large enough that Python's share is small


class TooLong(NamedTuple):
    """A line longer than the limit; its bytes were passed over."""

    length: int


Held = list[bytes | TooLong]


def iter_lines(path: str, *, max_bytes: int | None) -> Iterator[bytes | TooLong]:
    """The lines of a (compressed) file without their ``\\n``, as a stream; the last one may lack it. A byte order mark
    before the first is none of it.

    A line longer than ``max_bytes`` comes as :class:`TooLong`, so memory is bounded whatever the file holds; with None
    there is none such. Raises :class:`MemoryError` for a line that the task has no memory for
    (:func:`redpajama_data.io.memory.line_limit`), and :class:`BrokenInput` where the file is damaged, after the whole
    lines before it; what was begun of a line at the damage is lost to nobody: the error's place names it.
    """
    lists = line_lists(path, max_bytes=max_bytes)
    for lines, _ in lists:
        first = lines[0]
        yield first if isinstance(first, TooLong) else first.removeprefix(codecs.BOM_UTF8)
        yield from lines[1:]
        break
    for lines, _ in lists:
        yield from lines


def line_lists(path: str, *, max_bytes: int | None) -> Iterator[tuple[Held, int]]:
    """What :func:`iter_lines` gives, byte order mark included, in lists (none empty), each with the bytes it holds.

    The lines of a list other than its first come from one piece of at most 1 MB. Raises as :func:`iter_lines`, after
    the lists before the place.
    """
    most = sys.maxsize if max_bytes is None else max_bytes
    limit = memory.line_limit(most)

    def too_long(length: int) -> TooLong:
        if length <= most:
            raise memory.refuse_line(path, length)
        return TooLong(length)

    with open_decompressed(path) as stream:
        begun: list[bytes] = []  # the pieces of a line that is not at its end yet
        length = 0  # of that line so far; over the limit its pieces are not held
        broken: BetweenFrames | None = None  # the last line before it is whole, though it lacks its end
        while True:
            try:
                chunk = stream.read(_STEP)
            except BetweenFrames as error:
                chunk, broken = b"", error
            if not chunk:
                break
            whole = chunk.split(b"\n")
            last = whole.pop()
            if whole:
                begun.append(whole[0])
                length += len(whole[0])
                lines: Held = [*whole]
                lines[0] = too_long(length) if length > limit else b"".join(begun)
                if len(chunk) > limit:
                    lines[1:] = [too_long(len(line)) if len(line) > limit else line for line in lines[1:]]
                yield lines, length + len(chunk)
                begun, length = [], 0
            begun.append(last)
            length += len(last)
            if length > limit:
                begun = []
        if length:
            yield [too_long(length) if length > limit else b"".join(begun)], length
        if broken:
            raise broken
