"""Where a Project Gutenberg file has its book: the lines that begin and end header, small print, book and licence.

The marks changed over the years, and people translated them:

    until 2003   header, small print from "***START**THE SMALL PRINT!" to "*END*THE SMALL PRINT!", book, "End of ..."
    2001-2004    header, perhaps "*** START OF ...", book, "*** END OF ..." or "End of ...", small print at the end
    since 2004   header, "*** START OF ... ***", credits, book, "End of ...", "*** END OF ... ***", licence

A file may hold several books, each between marks of its own: all are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

HEAD = 60_000  # characters in which a header, its small print included, ends; the longest known has about 20,000
_TAIL = 30_000  # characters in which the licence at the end lies, when no mark precedes it; it has about 19,000
_LONGEST_LINE = 500  # of a mark
_AFTERTHOUGHT = 1000  # characters behind the last small print that are no book of their own
_GAP = 3000  # characters in which a licence or header speaks of such; in the real ones it is 1,100 at most
_NAME_LINES = 4  # a mark names its book, over several lines at times

_PROJECT = r"PRO(?:JE[CK]?T\w*|GETTO|YECTO|SJE[KC]T\w*)[ -]{0,2}GUTENBERG"
_START = r"START|BEGIN(?:NING|N)?|D[EÉ]BUT|ANFANG|INICIO|IN[IÍ]CIO|COMIENZO|INIZIO|ALKU|B[OÖ]RJAN|BEGYNDELSE|KEZDETE"
_END = r"END|ENDE|FIN|FINE|EINDE|FIM|FINAL|SLUTT?|SLUTET|SLUTNING|LOPPU|V[EÉ]GE|KONIEC|KONEC|FINIS|T[EÉ]LOS|ΤΈΛΟΣ|КОНЕЦ"
_EBOOK = r"(?:E-?BOO?KS?|E-?TEXT\w*|EBOEK|LIVRE|LIBRO)"
_LEGAL = re.compile(
    r"gutenberg|licen[cs]e|e-?text|e-?book|copyright|trademark|donation|small print|public domain|legal"
    r"|\.(?:txt|zip)\b",
    re.IGNORECASE,
)

Kind = Literal["start", "end", "print_start", "print_end", "licence", "closing"]

# Lines by what they say, the first that fits. "start" and "end" are marks with asterisks or in full; "closing" is a
# sentence that also may stand in a book, so it counts only where a licence or nothing follows.
_TABLE: tuple[tuple[Kind, str], ...] = (
    ("print_start", r"\W{0,8}START\W{0,4}THE SMALL PRINT"),
    ("print_end", r"\W{0,8}END\W{0,3}(?:OF )?THE SMALL PRINT"),
    ("print_end", r"\*{0,4}[ \t]*SMALL PRINT!.{0,200}\*END\*"),
    ("print_end", r"\[\"?SMALL PRINT\"? V\."),
    ("print_end", r"\*{2,6}[ \t]*SMALL PRINT! "),
    ("licence", r"\W{0,8}START: FULL LICEN[CS]E"),
    ("licence", r"(?:SECTION 1\. {1,3}|\W{0,5}1\.[A-Z]?\.? {1,3})?GENERAL TERMS OF USE AND REDISTRIBUTING"),
    ("licence", r"THE FULL PROJECT GUTENBERG(?:-TM|™)? LICEN[CS]E\W*$"),
    ("licence", r"UPDATED EDITIONS WILL REPLACE THE PREVIOUS ONE"),
    ("start", rf"[ \t]*\*{{2,6}}[ \t]*(?:{_START})\b.{{0,60}}{_PROJECT}"),
    ("start", rf"[ \t]*START OF (?:THE |THIS )?(?:COPYRIGHTED )?PROJECT GUTENBERG {_EBOOK}"),
    ("start", rf"[ \t]*BEGINNING OF (?:THE |THIS )?(?:COPYRIGHTED )?PROJECT GUTENBERG(?:'S)? {_EBOOK}"),
    ("end", rf"[ \t]*\*{{2,6}}[ \t]*(?:THE )?(?:{_END})\b.{{0,60}}{_PROJECT}"),
    (
        "closing",
        rf"[\s\W]{{0,8}}(?:THE |DAS |LE |LA |EL |O )?(?:{_END})\b.{{0,80}}(?:{_PROJECT}|PROJECT GUTENBERG)",
    ),
    ("closing", r".{0,80}GUTENBERG.{0,120}\b(?:LOPPU|SLUTT?|V[EÉ]GE|ENDE)\W{0,5}$"),
    ("closing", rf"[\s\W]{{0,8}}(?:THE )?END OF (?:THE |THIS )?{_EBOOK}\b"),
    ("closing", rf"[\s\W]{{0,8}}ENDE (?:DIESES|DIESER|DES) {_EBOOK}"),
    ("closing", r"[\s\W]{0,8}END OF THIS IS COPYRIGHTED"),
    ("closing", r"\W{0,8}THIS IS A COPYRIGHTED PROJECT GUTENBERG E-?(?:TEXT|BOOK), DETAILS ABOVE"),
    ("closing", r"MORE INFORMATION ABOUT THIS BOOK IS AT THE TOP OF THIS FILE"),
    ("closing", r"CE DOCUMENT FUT PR[EÉ]SENT[EÉ] EN LECTURE"),
)
_KINDS: list[Kind] = [kind for kind, _ in _TABLE]
_MARK = re.compile("|".join(f"({pattern})" for _, pattern in _TABLE), re.IGNORECASE)  # a group each, none in another
# Every mark has one of these, which are found at memory speed: at begin and end, and around what names Gutenberg.
_NAMED = ("utenberg", "UTENBERG")
_NEAR = 30_000  # characters; a mark that is farther from all of these is none
_WORDS = (
    *("gutenberg", "small print", "etext", "e-text", "ebook", "e-book", "details above", "top of this file"),
    *("general terms of use", "start: full", "updated editions", "ce document fut"),
)

# What headers consist of, where no mark ends them.
_FIRST_LINE = re.compile(r"\W{0,10}(?:The |This is the )?Project Gutenberg\b", re.IGNORECASE)
_HEADER = re.compile(
    r"\W{0,10}(?:The |This is the )?Project Gutenberg\b"
    r"|(?:Title|Subtitle|Author|Editor|Translator|Illustrator|Contributor|Commentator|Language|Character ?set ?encoding"
    r"|(?:Official )?(?:Release|Posting) date|Last updated|Most recently updated|Edition|Date|Credits|Encoding)\s{0,3}:"
    r"|Copyright laws are changing|This header should be the first|We have moved most of|Please (?:do not|take a look)"
    r"|\W{0,10}Welcome to the world of free plain vanilla|\W{0,10}(?:e-?books|e-?texts) readable by both humans"
    r"|\W{0,10}These (?:e-?books|e-?texts) (?:are|were) prepared by|Information on contacting Project Gutenberg"
    r"|\W{0,10}This is a COPYRIGHTED Project Gutenberg|\W{0,10}Please follow the copyright guidelines"
    r"|This e-?(?:book|text) is for the use of anyone|almost no restrictions|Most people start at our"
    r"|\[?(?:This file was first posted|(?:Most recently|Last) updated|Date last updated|Yes, we are)"
    r"|[A-Z][a-z]{2,8},? (?:\d{1,2}, )?\d{4}\s{1,8}\[E-?(?:text|book) ?#",
    re.IGNORECASE,
)


class Mark(NamedTuple):
    """A line that says where something begins or ends: its place, its end (behind the name of the book)."""

    kind: Kind
    begin: int
    end: int


def marks(text: str) -> Iterator[Mark]:
    """The marks of a text in order. Lines end in ``\\n``."""
    seen = -1
    for place in _places(text):
        if place < seen:
            continue
        begin = text.rfind("\n", 0, place) + 1
        end = text.find("\n", place)
        seen = end if end >= 0 else len(text)
        if seen - begin > _LONGEST_LINE:
            continue
        found = _MARK.match(text[begin:seen].lstrip("\ufeff"))
        if found and found.lastindex:
            kind = _KINDS[found.lastindex - 1]
            yield Mark(kind, begin, _behind_name(text, begin, seen) if kind in ("start", "end") else seen)


def _places(text: str) -> list[int]:
    """Where one of the words stands, in order."""
    places = []
    for begin, end in _searched(text):
        lower = text[begin:end].replace("\u0130", "I").lower()  # the one character whose lower case is longer
        places += [begin + at for word in _WORDS for at in _found(lower, word)]
    return sorted(places)


def _searched(text: str) -> list[tuple[int, int]]:
    """The parts of a text in which a mark may stand, in order, none in another."""
    if len(text) <= HEAD:
        return [(0, len(text))]
    named = (at for name in _NAMED for at in _found(text, name))
    around = [(0, HEAD), (max(0, len(text) - _TAIL), len(text)), *((max(0, at - _NEAR), at + _NEAR) for at in named)]
    parts: list[tuple[int, int]] = []
    for begin, end in sorted(around):
        joins = bool(parts) and begin <= parts[-1][1]
        first, last = parts.pop() if joins else (begin, end)
        parts.append((first, max(end, last)))
    return parts


def _found(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _behind_name(text: str, begin: int, end: int) -> int:
    """The end of a mark's line, or of the lines that go on with the name of the book until the asterisks come."""
    if text[begin:end].rstrip().endswith("*") or "*" not in text[begin:end]:
        return end
    at = end
    for _ in range(_NAME_LINES):
        following = text.find("\n", at + 1)
        line = text[at + 1 : following if following >= 0 else len(text)]
        if not line.strip() or len(line) > _LONGEST_LINE:
            return end
        at = following if following >= 0 else len(text)
        if line.rstrip().endswith("*"):
            return at
    return end


def bodies(text: str) -> tuple[list[str], int]:
    """The books of a text, without header, small print and licence, and where the first header ends (0: none).

    What lies behind the end of a book is kept unless it speaks of Project Gutenberg, licences and the like: nothing
    that may be of a book is lost.
    """
    found = list(marks(text))
    begin = at = _begin(text, found)
    parts: list[str] = []
    inside, legal = True, False  # in a book; in small print or a licence
    for mark in found:
        if mark.begin < at or mark.kind == "closing":
            continue
        part = text[at : mark.begin]
        if inside or not (legal or _is_foot(part)):
            parts.append(part)
        starts = mark.kind in ("start", "print_end")
        if starts and inside and _LEGAL.search(part) and _is_foot(part):  # a header between two marks that end it
            parts.pop()
        inside, legal, at = starts, mark.kind in ("print_start", "licence"), mark.end
    rest = text[at:]
    afterthought = bool(parts) and len(rest.strip()) < _AFTERTHOUGHT and bool(_LEGAL.search(rest))
    if (inside and not afterthought) or not (inside or legal or _is_foot(rest)):
        parts.append(rest)
    return [part for part in (_without_closing(part).strip("\n\f ") for part in parts) if part], begin


def _begin(text: str, in_order: list[Mark]) -> int:
    """Where the first book begins."""
    heads: list[Mark] = []
    printed = None
    for mark in in_order:
        if (
            mark.begin > HEAD
            or mark.kind in ("end", "licence")
            or (mark.kind == "closing" and _is_foot(text[mark.end : mark.end + _TAIL]))
        ):
            break
        if mark.kind == "print_start":
            printed = mark
            if any(m.kind == "start" for m in heads):  # small print behind a start is that of the end, or is cut out
                break
        elif mark.kind in ("start", "print_end"):
            heads.append(mark)
    if not heads:
        return _header_end(text, in_order)
    last = heads[-1]
    if printed is not None and all(mark.kind == "print_end" for mark in heads) and in_order[-1] == last:
        after = text[last.end :].strip()  # nothing closes a book behind the small print: it is at the end itself
        if not after or (len(after) < _AFTERTHOUGHT and _LEGAL.search(after)):
            return _header_end(text, in_order)
    return heads[0].end


def _is_foot(text: str) -> bool:
    """True for what may stand behind a book and is none: nothing, a line or two, small print, licence, a header."""
    text = text.strip()
    if len(text) < 600:
        return True
    at = 0
    for word in _LEGAL.finditer(text):
        if word.start() - at > _GAP:
            return False
        at = word.end()
    return at > 0 and len(text) - at <= _GAP


def _header_end(text: str, found: list[Mark]) -> int:
    """The end of a header without a mark: of its last paragraph that says what headers say. 0 for a text without."""
    first = re.compile(r"\S").search(text.lstrip("\ufeff"))
    if not first or not _FIRST_LINE.match(text.lstrip("\ufeff")[first.start() : first.start() + 200]):
        return 0
    limit = min([HEAD, *(m.begin for m in found if m.kind in ("end", "print_start", "licence"))])
    end = strange = 0
    for paragraph in re.finditer(r"[^\n]+(?:\n[^\n]+)*", text[:limit]):
        if any(_HEADER.match(line) for line in paragraph[0].split("\n")[:3]):
            end, strange = paragraph.end(), 0
        else:
            strange += 1
            if strange > 2 or len(paragraph[0]) > _AFTERTHOUGHT:
                break
    return end


def _without_closing(part: str) -> str:
    """A book without the sentence that closes it and what follows that, when this is no more of the book."""
    tail = max(0, len(part) - _TAIL)
    for mark in marks(part[tail:]):
        if mark.kind == "closing" and _is_foot(part[tail + mark.end :]):
            return part[: tail + mark.begin]
    return part
