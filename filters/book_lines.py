"""The lines of a typed book made text: hard line ends and the underscores of italics. Repairs of the books slice, whose
published recipe takes texts as they are.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from redpajama_data.document import Document

MIN_WIDTH = 50  # characters; what is narrower is verse, a list or a table
MAX_WIDTH = 100  # what is wider was not broken by hand
SLACK = 8  # characters by which typists fall short of the width; on the real input 95 % of the lines of prose do not
_ITALICS = re.compile(r"_(?<!\w_)(?=[^\s_])([^_]{1,1000})(?<!\s)_(?![\w_])")
_FIRST_WORD = re.compile(r" ?(\S{1,100})")
_FIRST_WORD_BYTES = re.compile(rb" ?([^\s\x1c-\x1f]{1,100})")  # white space below 128 is that of str
_LONGEST_WORD = 404  # bytes that have one and the blanks before it
_NEWLINE, _BLANK, _HYPHEN, _DASH = 10, 32, 45, "\u2014".encode()
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


def _table(some: bytes) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(some)] = True
    return table


# What white space of any kind begins with in UTF-8; what it ends with, of the kinds that stand at line ends.
_BLANK_BYTES = _table(b" \t\v\f\x1c\x1d\x1e\x1f\xc2\xe1\xe2\xe3")
_LAST_BLANK_BYTES = _table(b" \t\v\f\xa0\x80")
_SPACES = _table(b" \t")


def join_lines(doc: Document) -> Document:
    """Make one line of each paragraph of prose that was broken at a fixed width; see :func:`joined`."""
    doc.text = joined(doc.text)
    return doc


def joined(text: str) -> str:
    """``text`` with the lines of its broken paragraphs joined.

    The width is that of the book: nine of ten lines of its paragraphs are not longer. A paragraph is joined when none
    of its lines is indented by more than one blank and every line end was needed: the first word of the next line would
    have come within :data:`SLACK` characters of the width. Verse, tables and lists have shorter lines and stay. Behind
    a hyphen or a dash at a line end no blank is put. CRLF and CR become LF before. A text whose width is not within 50
    to 100 characters stays.
    """
    text = plain_line_ends(text)
    if len(text) < MIN_WIDTH:
        return text
    raw = _bytes(text)
    data = np.frombuffer(raw, np.uint8)
    ends = np.append(np.flatnonzero(data == _NEWLINE), len(data))
    begins = np.append(0, ends[:-1] + 1)
    lengths = ends - begins if text.isascii() else _characters(data, begins, ends)
    blank = lengths == 0
    indented = _begins_with(data, begins, _SPACES) & _begins_with(data, begins + 1, _SPACES)
    indented &= ~_begins_with(data, ends - 1, _SPACES) & (lengths > 2)  # of these no line is blank
    looked_at = np.flatnonzero(_begins_with(data, begins, _BLANK_BYTES) & (lengths > 0) & ~indented)
    lines = [(end - begin, _decoded(raw, begin, end)) for begin, end in _spans(begins, ends, looked_at)]
    blank[looked_at] = [size <= _LONGEST_WORD and not line.strip(" \t") for size, line in lines]
    indented[looked_at] = [line[:2].isspace() for _, line in lines]
    follows = ~(blank[:-1] | blank[1:])  # the next line is of the same paragraph
    width = _width(lengths[:-1][follows])
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        return text
    paragraph = np.cumsum(~np.append(False, follows))
    stays = np.zeros(len(begins) + 1, np.bool_)  # by paragraph
    stays[paragraph[indented]] = True
    least = width - SLACK
    short = np.flatnonzero(follows & (lengths[:-1] < least) & ~stays[paragraph[:-1]])
    room = (least - 1 - lengths[short]).tolist()  # a first word of the next line that fits into this was not in need
    following = _spans(begins, ends, short + 1)
    fits = [_first_word(raw, *span) <= most for span, most in zip(following, room, strict=True)]
    stays[paragraph[short[fits]]] = True
    return _with_joints(raw, begins, ends, follows & ~stays[paragraph[:-1]])


def _spans(begins: Places, ends: Places, lines: Places) -> Iterator[tuple[int, int]]:
    """Begin and end of some lines."""
    return zip(begins[lines].tolist(), ends[lines].tolist(), strict=True)


def _first_word(raw: bytes, begin: int, end: int) -> int:
    """How long the first word of a line is, in characters; 0 where it does not begin with one, or a blank and one."""
    word = _FIRST_WORD_BYTES.match(raw, begin, end)
    if word is None or word[1].isascii():
        return len(word[1]) if word else 0
    decoded = _FIRST_WORD.match(_decoded(raw, begin, end))
    return len(decoded[1]) if decoded else 0


def plain_line_ends(text: str) -> str:
    """``text`` with CRLF and CR as LF: by the decoder of text files, in a third of the time of two replacements."""
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True) if "\r" in text else text


def _characters(data: Bytes, begins: Places, ends: Places) -> Places:
    """The length of each line in characters: bytes that begin none do not count."""
    inner = np.flatnonzero(data.view(np.int8) < -64)  # 0x80 to 0xBF
    return ends - begins - (np.searchsorted(inner, ends) - np.searchsorted(inner, begins))


def _begins_with(data: Bytes, places: Places, some: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """For each place: is its byte one of ``some``? One behind the end is that before it."""
    found: npt.NDArray[np.bool_] = some[data[np.minimum(places, len(data) - 1)]]
    return found


def _decoded(raw: bytes, begin: int, end: int) -> str:
    """A line, or as much of it as its first word can be."""
    return raw[begin : min(end, begin + _LONGEST_WORD)].decode("utf-8", "replace")


def _width(lengths: Places) -> int:
    """The length that nine of ten lines do not pass, of those that are followed by another in their paragraph."""
    return int(np.sort(lengths)[-1 - len(lengths) // 10]) if len(lengths) else 0


def _with_joints(raw: bytes, begins: Places, ends: Places, joins: npt.NDArray[np.bool_]) -> str:
    """The text with a blank in place of the end of each line that ``joins`` the next, and of the blanks around it; what
    is joined has none at its begin and end."""
    data = np.frombuffer(raw, np.uint8)
    joined_lines = np.append(joins, False) | np.append(False, joins)
    gone: list[tuple[int, int]] = []  # ranges of bytes
    looked_at = np.flatnonzero(joined_lines & _begins_with(data, begins, _BLANK_BYTES))
    for begin, end in _spans(begins, ends, looked_at):
        gone.append((begin, end - len(_bytes(_text(raw[begin:end]).lstrip()))))
    last = ends - 1  # what a line ends with
    looked_at = np.flatnonzero(joined_lines & _begins_with(data, last, _LAST_BLANK_BYTES))
    for n, (begin, end) in zip(looked_at.tolist(), _spans(begins, ends, looked_at), strict=True):
        last[n] = begin + len(_bytes(_text(raw[begin:end]).rstrip())) - 1
        gone.append((last[n] + 1, end))
    joints, last = ends[:-1][joins], last[:-1][joins]
    dash = (data[last] == _DASH[2]) & (data[last - 1] == _DASH[1]) & (data[last - 2] == _DASH[0])
    gone += [(at, at + 1) for at in joints[(data[last] == _HYPHEN) | dash].tolist()]
    out = data.copy()
    out[joints] = _BLANK
    return _text(_without(memoryview(out), sorted(gone)))


def _without(data: memoryview, gone: list[tuple[int, int]]) -> bytes:
    """Bytes without some ranges of them, which are in order."""
    parts, at = [], 0
    for begin, end in gone:
        parts.append(data[at:begin])
        at = max(at, end)
    return b"".join([*parts, data[at:]])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def plain_italics(doc: Document) -> Document:
    """Take away the underscores around words in italics (``_so_`` is ``so``); a single underscore, or one inside a
    word, stays."""
    doc.text = _ITALICS.sub(r"\1", doc.text)
    return doc
