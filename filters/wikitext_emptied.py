"""What removed markup leaves behind in a page's text, and how it goes: emptied brackets and items, bare headings."""

from __future__ import annotations

import re

from redpajama_data.document import Document

_BLANK = " \t\u00a0"
# What stands before a match is looked at behind its first characters: at every character it would cost ten times more.
_EMPTY = re.compile(rf"[(\uff08](?<!\S[(\uff08])(?<!for \()[{_BLANK},;:]{{0,50}}[)\uff09]")
_BEGINS = re.compile(rf"([(\uff08])(?<!for \()[{_BLANK}]{{0,9}}[,;][{_BLANK},;]{{0,50}}(?=[^{_BLANK},;)])")
_ENDS = re.compile(rf"[,;](?<![(,;].)[{_BLANK},;]{{1,50}}([)\uff09])")
_GAP = re.compile(rf"  (?<=\S  )[{_BLANK}]*(?=\S)")
_BEFORE_STOP = re.compile(r" (?=[.,](?:\s|\Z))(?<=\w )")
# Of blanks, or of one sign: a list's item of which {{cite}} left the full stop.
_EMPTY_LINE = re.compile(rf"\n[{_BLANK}]*(?:(?<=[{_BLANK}])|[.,;:][{_BLANK}]*)(?=\n|\Z)")
_INSIDE = f"{_BLANK},;:)\uff09"  # what an emptied bracket has beside it; "" too, beside another

# A heading is marked by a character that no text has, one for each level, so that it is known again in the text.
_MARKS = "\ufdd0\ufdd1\ufdd2\ufdd3\ufdd4\ufdd5"
_UNMARK = dict.fromkeys(map(ord, _MARKS))
_NO_TEXT = f"{_BLANK}.,;:{_MARKS}"
_HEADING = re.compile(r"\n(={1,6})(?=[^=\n])([^\n]*[^=\n])\1[ \t]*(?=\n|\Z)")


def no_emptied(doc: Document) -> Document:
    """Take out what lost its content with a template: brackets, signs between nothing in them, items of lists.

    Brackets go where nothing but blanks and ``, ; :`` is in them, with a blank or a line's start before them: of a
    function, ``f()``, they stay. Of blanks in a row inside a line one stays, as a browser shows them; lines of nothing
    but blanks, or of one ``. , ; :``, go; of empty ones in a row one stays.
    """
    text = doc.text
    wide = "\uff08" in text
    # Few pages have such brackets; to look at what stands beside each costs a third of the expressions.
    if "(" in text or wide:
        if wide or any(part[:1] in _INSIDE for part in text.split("(")[1:]):
            text = _BEGINS.sub(r"\1", _EMPTY.sub("", text))
        if "\uff09" in text or any(part[-1:] in _INSIDE for part in text.split(")")[:-1]):
            text = _ENDS.sub(r"\1", text)
    text = _BEFORE_STOP.sub("", _GAP.sub(" ", text))
    text = _EMPTY_LINE.sub("", text)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    doc.text = text
    return doc


def mark_headings(doc: Document) -> Document:
    """Mark the headings in ``doc.text`` (wikitext), for :func:`no_bare_headings` once the page is text."""
    text = doc.text
    if _has_marks(text):
        text = text.translate(_UNMARK)
    doc.text = _HEADING.sub(lambda found: f"\n{found[1]}{_MARKS[len(found[1]) - 1]}{found[2]}{found[1]}", f"\n{text}")[
        1:
    ]
    return doc


def no_bare_headings(doc: Document) -> Document:
    """Take out headings below which nothing is left up to the next one of their level or above: of references, tables,
    lists of templates. Takes the marks of :func:`mark_headings` off."""
    if not _has_marks(doc.text):
        return doc
    kept: list[str] = []  # from the end
    filled = [False] * len(_MARKS)  # for each level: is there text before the next heading of that level or above
    full = False  # at every level
    for line in reversed(doc.text.split("\n")):
        level = _MARKS.find(line[:1]) if line else -1
        if level < 0:
            kept.append(line)
            if not full and line.strip(_NO_TEXT):
                filled, full = [True] * len(_MARKS), True
            continue
        if filled[level]:
            title = line[1:]
            kept.append((title.translate(_UNMARK) if _has_marks(title) else title).lstrip())
        else:
            while kept and not kept[-1].strip(_NO_TEXT):
                kept.pop()
        filled[level:], full = [False] * (len(_MARKS) - level), False
    text = "\n".join(reversed(kept))
    if _has_marks(text):  # of pages that have such characters themselves
        text = text.translate(_UNMARK)
    doc.text = text if kept and kept[0] else text.rstrip("\n")
    return doc


def _has_marks(text: str) -> bool:
    return any(mark in text for mark in _MARKS)
