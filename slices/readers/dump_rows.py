"""The rows of a table of the Stack Exchange data dump, out of a stream of bytes, wherever its line breaks are.

XML allows no ``<`` in an attribute and a row has nothing but attributes, so each row is what lies between two ``<``:
the stream is split there and lxml parses each row by itself. A parser of the whole document would end at the first byte
that XML forbids; here that costs its row alone. Splitting at ``<`` is as fast as splitting at line ends, and the dumps
hold as many of the one as of the other.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

from redpajama_data.errors import BrokenInput
from redpajama_data.io.first_bytes import LOOK
from slices.readers.xml_bytes import as_utf8

MAX_ROW = 8 << 20  # bytes of a row; the sites allow a post 30,000 characters, so real rows stay below 200 kB
_MAX_DEPTH = 4  # elements around the rows; the dumps have one
_OTHER_TABLES = frozenset({b"badges", b"comments", b"posthistory", b"postlinks", b"tags", b"users", b"votes"})
_LONG_MARKUP = ((b"!--", b"-->"), (b"?", b"?>"), (b"![CDATA[", b"]]>"))  # these may hold a "<"
_NAME = re.compile(rb"/?([A-Za-z_][\w.:-]{0,200})(?=[\s/>])")
_ROW = re.compile(rb"row(?:\s+[^\s=<>/\"']+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")


class Row(NamedTuple):
    """A row, whole or damaged, and the 1-based line it begins in."""

    line: int
    xml: bytes


class Stray(NamedTuple):
    """A place between the rows, or a row, that is none: where it begins, what was found, and what was expected."""

    line: int
    found: str
    expected: str


def rows(path: str, chunks: Iterator[bytes]) -> Iterator[Row | Stray]:
    """Every row of a table in order, whatever the element around them is called.

    Comments, processing instructions and a document type without declarations are passed over; anything else between
    the rows comes as :class:`Stray`, once a place. Raises :class:`BrokenInput` when the bytes are no such table or
    declare entities, and, after all that is whole, when they end before the closing tag or ``chunks`` raises.
    """
    reader = _Reader(path)
    for line, token in _tokens(as_utf8(path, chunks, "Posts.xml of a dump")):
        if reader.until or isinstance(token, _Long) or not token.startswith((b"row ", b"row\n", b"row\r", b"row\t")):
            yield from reader.other(line, token)
            continue
        row = token.rstrip()
        if reader.quiet and row.find(b">") == len(row) - 1 and row.endswith(b"/>") and len(row) < MAX_ROW:
            reader.rows += 1
            yield Row(line, b"<" + row)
        else:
            yield from reader.row(line, row)
    reader.end()


class _Reader:
    """Where a table stands: in its head, among its rows (``quiet`` when nothing else is open), or behind its end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.until = b""  # the end of the comment that is open
        self.quiet = False
        self.rows = 0
        self._first = True  # the text before the first "<"
        self._in_head, self._ended, self._in_row = True, False, False
        self._around: list[bytes] = []  # elements that are open
        self._root = b""
        self._torn: Row | None = None  # a row without its end, while what follows it may be part of it
        self._stray = False  # in the middle of a place that is reported

    def row(self, line: int, row: bytes) -> Iterator[Row | Stray]:
        """A row that is not plain or comes after something else."""
        yield from self._tear()
        self._in_head, self._ended, self._stray, self._in_row = False, False, False, False
        self.rows += 1
        self.quiet = True
        if len(row) >= MAX_ROW:
            yield Stray(line, f"{len(row) + 1:,} bytes", f"{MAX_ROW:,} bytes")
            return
        whole = _ROW.match(row)
        if row.endswith(b"/>") and (not whole or whole.end() == len(row)):
            yield Row(line, b"<" + row)
            return
        self.quiet = False
        if not whole:
            self._torn = Row(line, b"<" + row)
            return
        self._in_row = not whole[0].endswith(b"/>")
        yield Row(line, b"<" + (whole[0][:-1] + b"/>" if self._in_row else whole[0]))
        yield from self._text(line, row[whole.end() :])

    def other(self, line: int, token: bytes | _Long) -> Iterator[Row | Stray]:
        """Anything that is not a row."""
        if isinstance(token, _Long):
            yield from self._tear()
            self._in_head, self._ended, self.quiet = False, False, False
            yield Stray(line, f"{token.bytes + 1:,} bytes", f"{MAX_ROW:,} bytes")
        elif self._first:
            self._first = False  # as_utf8 has seen that there is nothing but white space
        elif self.until:
            yield from self._close(line, token)
        elif token.startswith((b"row/", b"row>")):
            yield from self.row(line, token.rstrip())
        else:
            self.quiet = False
            yield from self._markup(line, token)

    def end(self) -> None:
        """The end of the bytes. Raises :class:`BrokenInput` when it is not that of the table."""
        root = (self._root or b"posts").decode("ascii", "replace")
        torn_row = self._torn is not None and self._torn.xml.startswith(b"<row")
        place = f"record {self.rows - torn_row}"
        if self.until:
            raise BrokenInput(f"{self.path}: it ends inside a comment. Download it again.", place)
        if self._in_head and not self._root:
            raise BrokenInput(f"{self.path}: no Posts.xml of a dump, for it has no <row>. Give Posts.xml.")
        if not self._ended or self._torn:
            raise BrokenInput(f"{self.path}: it ends without </{root}>, so it is cut off. Download it again.", place)
        if self._in_head and self._root != b"posts":
            raise BrokenInput(f"{self.path}: no Posts.xml of a dump, for <{root}> has no <row>. Give Posts.xml.")

    def _tear(self) -> Iterator[Row]:
        if self._torn:
            yield self._torn
            self._torn = None

    def _markup(self, line: int, token: bytes) -> Iterator[Row | Stray]:
        for begin, end in _LONG_MARKUP:
            if token.startswith(begin):
                if begin.startswith(b"!["):
                    yield from self._report(line, token)
                else:
                    yield from self._tear()
                self.until = end
                yield from self._close(line, token[len(begin) :])
                return
        if token.startswith(b"!DOCTYPE") and self._in_head:
            if b"[" in token:
                raise BrokenInput(
                    f"{self.path}: the document type declares entities, which no dump does. Remove line {line}."
                )
            yield from self._text(line, token.partition(b">")[2])
            return
        name = _NAME.match(token)
        tag, closed, text = token.partition(b">")
        if not closed and not self._in_head:  # cut off, or damaged
            self._torn = self._torn or Row(line, b"<" + token)
        elif not name or not closed:
            yield from self._report(line, token)
        elif token.startswith(b"/"):
            yield from self._close_element(line, name[1], token, text)
        elif (self._in_head and self._around[-1:] != [b"posts"]) or self._ended:
            yield from self._tear()
            self._open_element(name[1])
            if tag.endswith(b"/"):
                self._around.pop()
                self._ended = not self._around
                if not self._ended:
                    yield from self._report(line, token)
                    return
            yield from self._text(line, text)
        else:
            yield from self._report(line, token)

    def _open_element(self, name: bytes) -> None:
        shown = name.decode("ascii", "replace")
        if name.lower() in _OTHER_TABLES:
            raise BrokenInput(f"{self.path}: root element <{shown}>, another table of the dump. Give Posts.xml.")
        if len(self._around) >= _MAX_DEPTH:
            root = self._root.decode("ascii", "replace")
            raise BrokenInput(f"{self.path}: no Posts.xml of a dump: <{root}> holds <{shown}>. Give Posts.xml.")
        self._ended = False
        self._around.append(name)
        self._root = self._root or name

    def _close_element(self, line: int, name: bytes, token: bytes, text: bytes) -> Iterator[Row | Stray]:
        if name == b"row" and self._in_row:
            self._in_row = False
        elif name in self._around:
            yield from self._tear()
            del self._around[self._around.index(name) :]
            self._ended = not self._around
        elif not self._around and not self._ended and name == b"posts":  # a dump without its head
            yield from self._tear()
            self._ended, self._root = True, name
        else:
            yield from self._report(line, token)
            return
        yield from self._text(line, text)

    def _close(self, line: int, token: bytes) -> Iterator[Row | Stray]:
        _, closed, text = token.partition(self.until)
        if closed:
            self.until = b""
            yield from self._text(line, text)

    def _text(self, line: int, text: bytes) -> Iterator[Row | Stray]:
        if text.replace(codecs.BOM_UTF8, b"").strip():
            yield from self._report(line, text)
        else:
            self._stray = False

    def _report(self, line: int, found: bytes) -> Iterator[Row | Stray]:
        """One entry for a place up to the next thing that is known; what follows a torn row is part of that row."""
        if self._in_head and self._root != b"posts":
            shown = f"line {line} holds {found[:20]!r}"
            raise BrokenInput(f"{self.path}: {shown}, so it is no Posts.xml of a dump. Give Posts.xml.")
        self.quiet = False
        if self._torn is None and not self._stray:
            self._stray = True
            yield Stray(line, found.strip()[:20].decode("utf-8", "replace"), "<row")


class _Long(NamedTuple):
    """A piece over the limit, of which nothing was kept."""

    bytes: int


def _tokens(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes | _Long]]:
    """What lies before, between and behind each ``<``, with its line. At a damage of the stream the last piece is given
    only when it is a row that is whole."""
    limit = MAX_ROW + LOOK  # white space behind a row does not count
    line = 1
    rest: list[bytes] = []  # the pieces of what is not at its end yet, their bytes and line breaks
    held = breaks = 0
    try:
        for chunk in chunks:
            *whole, tail = chunk.split(b"<")
            for piece in whole:
                if held:
                    held += len(piece)
                    yield (
                        line,
                        b"".join((*rest, piece)) if held <= limit else _Long(held - len(piece) + len(piece.rstrip())),
                    )
                    line += breaks
                    rest, held, breaks = [], 0, 0
                else:
                    yield line, piece
                line += piece.count(b"\n")
            if tail:
                held += len(tail)
                breaks += tail.count(b"\n")
                rest = [*rest, tail] if held <= limit else []
    except BrokenInput:
        piece = b"".join(rest)
        if piece.startswith(b"row") and piece[-1:].isspace() and piece.rstrip().endswith(b"/>"):
            yield line, piece
        raise
    if held:
        yield line, b"".join(rest) if rest else _Long(held)
