"""Licence headers of source files, by the comment syntax of each language: the repair of
:func:`filters.code.strip_copyright_header`.

Nothing but comments at the head of a file goes, and of those only what speaks of copyright or licence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from redpajama_data.document import Document


@dataclass(frozen=True)
class Syntax:
    """How a language writes comments: the head of a line that is one, and the marks around a block."""

    line: re.Pattern[str] | None = None
    blocks: tuple[tuple[str, str], ...] = ()


def _line(marks: str) -> re.Pattern[str]:
    return re.compile(rf"[ \t]*(?:{marks})")


_C = Syntax(_line("//"), (("/*", "*/"),))
_HASH = Syntax(_line("#"))
_MARKUP = Syntax(None, (("<!--", "-->"),))
_FREE_FORTRAN = Syntax(_line("!"))
_BATCH = Syntax(_line(r"::|@?[Rr][Ee][Mm](?=[ \t\r\n]|$)"))
_POWERSHELL = Syntax(_line("#"), (("<#", "#>"),))

_LANGUAGES: tuple[tuple[str, Syntax], ...] = (
    (".c .h .cs .cpp .hpp .c++ .h++ .cc .hh .C .H .go .java .js .rs .scala .ts .tsx", _C),
    (".css", Syntax(None, (("/*", "*/"),))),
    (".m", Syntax(_line("//|%"), (("/*", "*/"),))),  # Objective-C and MATLAB share the ending
    (".php .php3 .php4 .php5 .phps .phpt", Syntax(_line("//|#"), (("/*", "*/"), ("<!--", "-->")))),
    (".py .rb .pl .pm .pod .perl .sh .bash .command .zsh .cmake .dockerfile .smali Dockerfile Makefile", _HASH),
    (".jl", Syntax(_line("#"), (("#=", "=#"),))),
    (".ps1 .psd1 .psm1", _POWERSHELL),
    (".sql", Syntax(_line("--"), (("/*", "*/"),))),
    (".lua", Syntax(_line("--"), (("--[[", "]]"),))),
    (".hs", Syntax(_line("--"), (("{-", "-}"),))),
    (".tex", Syntax(_line("%"))),
    (".asm", Syntax(_line(";|#|//"), (("/*", "*/"),))),
    (".f90 .f03 .f08 .f95", _FREE_FORTRAN),
    (".f .f77 .for .fpp", Syntax(re.compile(r"[ \t]*!|[Cc*](?=[ \t\r\n*=-]|$)"))),
    (".bat .cmd", _BATCH),
    (".vb", Syntax(_line("'"))),
    (".html .xml .md .markdown .rst", _MARKUP),
)
SYNTAX: dict[str, Syntax] = {ending: syntax for endings, syntax in _LANGUAGES for ending in endings.split()}
"""By the ending of a path; files without an ending that are known by name have that name here."""

HEAD = 1 << 18  # characters in which a header must end; the longest licence, the GPL in full, has 35,000
LICENCE = re.compile(
    r"copyright|\(c\)\s{0,3}\d{4}|©|licen[sc]e|SPDX-|all rights reserved|permission is hereby granted"
    r"|redistribution and use|warrant(?:y|ies)\b",
    re.IGNORECASE,
)
# What stands before the comments: byte order mark, shebang, the line that opens PHP, XML or HTML.
_BEFORE = re.compile(
    r"\ufeff?(?:#!(?!\[)[^\n]*(?:\n|$))?(?:\s*<\?(?:php\b|xml\b[^>\n]*>)|\s*<!doctype\b[^>\n]*>)?", re.I
)
_CODING = re.compile(r"[ \t\f]*#.{0,200}?coding[:=][ \t]{0,9}[-\w.]")  # PEP 263: in one of the first two lines
_BLANK = re.compile(r"[ \t\r\f\v]*(?:\n|$)")
_SPACES = re.compile(r"[ \t\r\f\v\n]*")
_NOTHING_SAID = re.compile(r"[\W_]*$")


def cut_licence_header(doc: Document) -> Document:
    """Remove the comments at the head of a file that speak of copyright or licence, with the blank lines behind them.

    Head is what lies behind a byte order mark, a shebang, a coding line and the line that opens PHP, XML or HTML; those
    stay. A block comment goes whole, line comments up to the last paragraph that matches :data:`LICENCE` (an empty
    comment line parts paragraphs). One comment that does not match may stand first and stays (a mode line). What comes
    next is looked at in the same way, as long as it is comment and matches.
    """
    doc.text = without_licence_header(doc.text, doc.meta["path"])
    return doc


def without_licence_header(text: str, path: str) -> str:
    """``text`` of the file ``path`` as :func:`cut_licence_header` leaves it. Looks at :data:`HEAD` characters."""
    syntax = _syntax_of(path)
    if syntax is None:
        return text
    head = text[:HEAD]
    before = _BEFORE.match(head)
    kept: list[str] = []
    done = 0
    passed = False  # over a comment that is no licence
    for begin, end in _comments(head, before.end() if before else 0, syntax):
        if end == HEAD < len(text):
            break
        cut = _licence_end(head, begin, end, syntax)
        if cut is None:
            if passed or done:
                break
            passed = True
            continue
        kept += [head[done:begin], *_coding_lines(head, begin, cut)]
        if begin and head[begin - 1] not in "\n\ufeff":  # behind <?php on one line
            kept.append("\n")
        done = _behind_blank_lines(head, cut)
        if cut < end:
            break
    return "".join(kept) + text[done:]


def _syntax_of(path: str) -> Syntax | None:
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    if dot >= 0:
        return SYNTAX.get(name[dot:])
    return next((SYNTAX[known] for known in ("Dockerfile", "Makefile") if name.endswith(known)), None)


def _comments(text: str, at: int, syntax: Syntax) -> Iterator[tuple[int, int]]:
    """Begin and end of each comment from ``at`` on, blank lines between them; lines of comment in a row are one.

    The end lies behind the last line's newline; of a block comment only when nothing else stands on that line.
    """
    while True:
        at = _behind_blank_lines(text, at)
        end = _block_end(text, at, syntax)
        if end is None:
            end = at
            while syntax.line is not None and end < len(text) and syntax.line.match(text, end):
                if end > at and _block_end(text, end, syntax) is not None:
                    break
                newline = text.find("\n", end)
                end = len(text) if newline < 0 else newline + 1
        if end == at:
            return
        yield at, end
        at = end


def _block_end(text: str, at: int, syntax: Syntax) -> int | None:
    """The end of the block comment that begins at ``at`` or behind blanks there; None when there is none."""
    start = at
    while text.startswith((" ", "\t"), start):
        start += 1
    for opening, closing in syntax.blocks:
        if text.startswith(opening, start):
            end = text.find(closing, start + len(opening))
            if end < 0:
                return None
            end += len(closing)
            blank = _BLANK.match(text, end)
            return blank.end() if blank else end
    return None


def _behind_blank_lines(text: str, at: int) -> int:
    spaces = _SPACES.match(text, at)
    end = spaces.end() if spaces else at
    return end if end == len(text) else max(at, text.rfind("\n", at, end) + 1)


def _licence_end(text: str, begin: int, end: int, syntax: Syntax) -> int | None:
    """Where the last paragraph of a comment that speaks of a licence ends, with the empty lines behind it; None when
    nothing does. A block comment is one paragraph."""
    said = [match.end() for match in LICENCE.finditer(text, begin, end)]
    if not said:
        return None
    if syntax.line is None or _block_end(text, begin, syntax) is not None:
        return end
    cut = end
    at = text.find("\n", said[-1], end) + 1 or end
    while at < end:
        following = text.find("\n", at, end) + 1 or end
        mark = syntax.line.match(text, at, following)
        if mark is not None and _NOTHING_SAID.match(text, mark.end(), following):
            cut = following
        elif cut < end:
            break
        at = following
    return cut


def _coding_lines(text: str, begin: int, end: int) -> list[str]:
    """The coding line of Python and Ruby, where it is one of the first two lines of the file and lies in the cut."""
    lines = []
    at = 0
    for _ in range(2):
        newline = text.find("\n", at)
        following = len(text) if newline < 0 else newline + 1
        if begin <= at < end and _CODING.match(text, at, following):
            lines.append(text[at:following])
        at = following
    return lines
