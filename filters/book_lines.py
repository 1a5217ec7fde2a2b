"""The lines of a typed book made text: hard line ends and the underscores of italics. Repairs of the books slice, whose
published recipe takes texts as they are.
"""

from __future__ import annotations

import re
from collections import Counter

from redpajama_data.document import Document

MIN_WIDTH = 50  # characters; what is narrower is verse, a list or a table
MAX_WIDTH = 100  # what is wider was not broken by hand
SLACK = 8  # characters by which typists fall short of the width; on the real input 95 % of the lines of prose do not
_ITALICS = re.compile(r"_(?<!\w_)(?=[^\s_])([^_]{1,1000})(?<!\s)_(?![\w_])")
_BETWEEN = re.compile(r"(\n[ \t\n]*\n)")  # paragraphs
_JOINT = "\r"  # where lines are joined, until all are: no text has one left by then
_FIRST_WORD = re.compile(r" ?(\S{1,100})")


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
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    parts = _BETWEEN.split(text)
    paragraphs = [part.split("\n") for part in parts[::2]]
    width = _width([line for lines in paragraphs for line in lines[:-1]])
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        return text
    for n, lines in enumerate(paragraphs):
        if _broken(lines, width):
            parts[2 * n] = _JOINT.join(map(str.strip, lines))
    return "".join(parts).replace(f"-{_JOINT}", "-").replace(f"\u2014{_JOINT}", "\u2014").replace(_JOINT, " ")


def _width(lines: list[str]) -> int:
    """The length that nine of ten lines do not pass, of those that are followed by another in their paragraph."""
    lengths = Counter(map(len, lines))
    del lengths[0]
    left = lengths.total() // 10
    for length in sorted(lengths, reverse=True):
        left -= lengths[length]
        if left < 0:
            return length
    return 0


def _broken(lines: list[str], width: int) -> bool:
    if len(lines) < 2 or lines[0][:2].isspace():
        return False
    least = width - SLACK
    length = len(lines[0])
    for following in lines[1:]:
        if following[:2].isspace():
            return False
        if length < least:
            word = _FIRST_WORD.match(following)
            if word is None or length + 1 + len(word[1]) <= least:
                return False
        length = len(following)
    return bool(lines[-1])


def plain_italics(doc: Document) -> Document:
    """Take away the underscores around words in italics (``_so_`` is ``so``); a single underscore, or one inside a
    word, stays."""
    doc.text = _ITALICS.sub(r"\1", doc.text)
    return doc
