"""The lines of a typed book made text: hard line ends and the underscores of italics. Repairs of the books slice, whose
published recipe takes texts as they are.
"""

from __future__ import annotations

import io
import re

import numpy as np
import numpy.typing as npt

from redpajama_data.document import Document

MIN_WIDTH = 50  # characters; what is narrower is verse, a list or a table
MAX_WIDTH = 100  # what is wider was not broken by hand
SLACK = 8  # characters by which typists fall short of the width; on the real input 95 % of the lines of prose do not
_ITALICS = re.compile(r"_(?<!\w_)(?=[^\s_])([^_]{1,1000})(?<!\s)_(?![\w_])")
_FIRST_WORD = re.compile(r" ?(\S{1,100})")
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
    data = np.frombuffer(_bytes(text), np.uint8)
    ends = np.append(np.flatnonzero(data == _NEWLINE), len(data))
    begins = np.append(0, ends[:-1] + 1)
    lengths = ends - begins if text.isascii() else _characters(data, begins, ends)
    blank = lengths == 0
    indented = _begins_with(data, begins, _SPACES) & _begins_with(data, begins + 1, _SPACES)
    indented &= ~_begins_with(data, ends - 1, _SPACES) & (lengths > 2)  # of these no line is blank
    for n in np.flatnonzero(_begins_with(data, begins, _BLANK_BYTES) & (lengths > 0) & ~indented).tolist():
        line = _decoded(data, begins[n], ends[n])
        blank[n] = ends[n] - begins[n] <= _LONGEST_WORD and not line.strip(" \t")
        indented[n] = line[:2].isspace()
    follows = ~(blank[:-1] | blank[1:])  # the next line is of the same paragraph
    width = _width(lengths[:-1][follows])
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        return text
    paragraph = np.cumsum(~np.append(False, follows))
    stays = np.zeros(len(begins) + 1, np.bool_)  # by paragraph
    stays[paragraph[indented]] = True
    least = width - SLACK
    for n in np.flatnonzero(follows & (lengths[:-1] < least) & ~stays[paragraph[:-1]]).tolist():
        word = _FIRST_WORD.match(_decoded(data, begins[n + 1], ends[n + 1]))
        if word is None or lengths[n] + 1 + len(word[1]) <= least:
            stays[paragraph[n]] = True
    return _with_joints(data, begins, ends, follows & ~stays[paragraph[:-1]])


def plain_line_ends(text: str) -> str:
    """``text`` with CRLF and CR as LF: by the decoder of text files, in a third of the time of two replacements."""
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True) if "\r" in text else text


def _characters(data: Bytes, begins: Places, ends: Places) -> Places:
    """The length of each line in characters: bytes that begin none do not count."""
    inner = np.flatnonzero((data & 0xC0) == 0x80)
    return ends - begins - (np.searchsorted(inner, ends) - np.searchsorted(inner, begins))


def _begins_with(data: Bytes, places: Places, some: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """For each place: is its byte one of ``some``? One behind the end is that before it."""
    found: npt.NDArray[np.bool_] = some[data[np.minimum(places, len(data) - 1)]]
    return found


def _decoded(data: Bytes, begin: int, end: int) -> str:
    """A line, or as much of it as its first word can be."""
    return data[begin : min(end, begin + _LONGEST_WORD)].tobytes().decode("utf-8", "replace")


def _width(lengths: Places) -> int:
    """The length that nine of ten lines do not pass, of those that are followed by another in their paragraph."""
    return int(np.sort(lengths)[-1 - len(lengths) // 10]) if len(lengths) else 0


def _with_joints(data: Bytes, begins: Places, ends: Places, joins: npt.NDArray[np.bool_]) -> str:
    """The text with a blank in place of the end of each line that ``joins`` the next, and of the blanks around it; what
    is joined has none at its begin and end."""
    joints = ends[:-1][joins]
    out, kept = data.copy(), np.ones(len(data), np.bool_)
    out[joints] = _BLANK
    joined_lines = np.append(joins, False) | np.append(False, joins)
    for n in np.flatnonzero(joined_lines & _begins_with(data, begins, _BLANK_BYTES)).tolist():
        line = data[begins[n] : ends[n]].tobytes()
        kept[begins[n] : ends[n] - len(_bytes(_text(line).lstrip()))] = False
    last = ends - 1  # what a line ends with
    for n in np.flatnonzero(joined_lines & _begins_with(data, last, _LAST_BLANK_BYTES)).tolist():
        line = data[begins[n] : ends[n]].tobytes()
        last[n] = begins[n] + len(_bytes(_text(line).rstrip())) - 1
        kept[last[n] + 1 : ends[n]] = False
    last = last[:-1][joins]
    dash = (data[last] == _DASH[2]) & (data[last - 1] == _DASH[1]) & (data[last - 2] == _DASH[0])
    kept[joints[(data[last] == _HYPHEN) | dash]] = False
    return _text(out[kept].tobytes())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def plain_italics(doc: Document) -> Document:
    """Take away the underscores around words in italics (``_so_`` is ``so``); a single underscore, or one inside a
    word, stays."""
    doc.text = _ITALICS.sub(r"\1", doc.text)
    return doc
