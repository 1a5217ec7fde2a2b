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
_NO_TEXT = f"{_BLANK}.,;:"
_NEWLINES = re.compile(r"\n{3,}")

# A heading is marked by a character that no text has, one for each level, so that it is known again in the text.
_MARKS = "\ufdd0\ufdd1\ufdd2\ufdd3\ufdd4\ufdd5"
_UNMARK = dict.fromkeys(map(ord, _MARKS))
_ANY_MARK = re.compile(f"[{_MARKS}]")
_HEADING = re.compile(r"\n(={1,6})(?=[^=\n])([^\n]*[^=\n])\1[ \t]*(?=\n|\Z)")


def no_emptied(doc: Document) -> Document:
    """Take out what lost its content with a template: brackets, signs between nothing in them, items of lists.

    Brackets go where nothing but blanks and ``, ; :`` is in them, with a blank or a line's start before them: of a
    function, ``f()``, they stay. Of blanks in a row inside a line one stays, as a browser shows them; lines of nothing
    but blanks, or of one ``. , ; :``, go; of empty ones in a row one stays.
    """
    text = doc.text
    if "(" in text or "\uff08" in text:
        text = _EMPTY.sub("", text)
        text = _BEGINS.sub(r"\1", text)
        text = _ENDS.sub(r"\1", text)
    text = _BEFORE_STOP.sub("", _GAP.sub(" ", text))
    text = _EMPTY_LINE.sub("", text)
    doc.text = _NEWLINES.sub("\n\n", text) if "\n\n\n" in text else text
    return doc


def mark_headings(doc: Document) -> Document:
    """Mark the headings in ``doc.text`` (wikitext), for :func:`no_bare_headings` once the page is text."""
    text = doc.text
    if _ANY_MARK.search(text):
        text = text.translate(_UNMARK)
    doc.text = _HEADING.sub(lambda found: f"\n{found[1]}{_MARKS[len(found[1]) - 1]}{found[2]}{found[1]}", f"\n{text}")[
        1:
    ]
    return doc


def no_bare_headings(doc: Document) -> Document:
    """Take out headings below which nothing is left up to the next one of their level or above: of references, tables,
    lists of templates. Takes the marks of :func:`mark_headings` off."""
    if not _ANY_MARK.search(doc.text):
        return doc
    kept: list[str] = []  # from the end
    filled = [False] * len(_MARKS)  # for each level: is there text before the next heading of that level or above
    for line in reversed(doc.text.split("\n")):
        level = _MARKS.find(line[:1]) if line else -1
        if level < 0:
            line = line.translate(_UNMARK) if _ANY_MARK.search(line) else line
            kept.append(line)
            if line.strip(_NO_TEXT):
                filled = [True] * len(_MARKS)
            continue
        if filled[level]:
            kept.append(line[1:].translate(_UNMARK).lstrip())
        else:
            while kept and not kept[-1].strip(_NO_TEXT):
                kept.pop()
        filled[level:] = [False] * (len(_MARKS) - level)
    text = "\n".join(reversed(kept))
    doc.text = text if kept and kept[0] else text.rstrip("\n")
    return doc
