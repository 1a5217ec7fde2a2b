"""What stands where in a LaTeX source, in one pass: comments, verbatim text, files read in, the document's ends.

The repair of the published comment expressions (:mod:`filters.latex`) and the ground of the others. Everything here is
linear in the text: a search that has failed once is not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from redpajama_data.document import Document

Kind = Literal["comment", "hidden", "input", "begin", "end", "class"]

VERBATIM = frozenset(
    {"verbatim", "verbatim*", "Verbatim", "BVerbatim", "LVerbatim", "lstlisting", "minted", "alltt"}
    | {"filecontents", "filecontents*"}
)
VERB_LONGEST = 1000  # characters between the two marks of \verb, which stand on one line
ADDRESS_LONGEST = 2000
NAME_LONGEST = 300  # of a file that is read in
MOST = 200_000  # places of one source that are looked at; the busiest of the real input has 5,000

# One character before all alternatives, which the engine looks for five times as fast as for any of two; then one that
# rules most commands out. So comments, by their "%", are looked for apart.
_COMMAND = re.compile(
    r"\\(?:[\\%](?:\\[\\%]){0,999}"
    r"|(?=[bdehinpsuvI])("
    r"begin(?=[ \t]*\{(?:document|comment|verb|Verb|BVerb|LVerb|lstl|minted|alltt|filec))|end(?=[ \t]*\{document\})"
    r"|verb|url|path|nolinkurl|href|iffalse|input|include|subfile|InputIfFileExists|import|subimport"
    r"|documentclass|documentstyle)(?![a-zA-Z@]))"
)
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_ENVIRONMENT = re.compile(r"[ \t]*\{([a-zA-Z]+\*?)\}")
_MORE_COMMENTS = re.compile(r"(?:\n[ \t]*%[^\n]*){1,1000}")  # lines of a comment; at once, for speed
_ADDRESSES = ("url", "path", "nolinkurl", "href")
_ADDRESS = re.compile(rf"[ \t]*\{{[^{{}}\n]{{0,{ADDRESS_LONGEST}}}\}}")
_GROUP = rf'[ \t]*\{{[ \t"]*([^{{}}"\n]{{0,{NAME_LONGEST}}}?)[ \t"]*\}}'
_NAME = re.compile(rf'{_GROUP}|[ \t]*"([^"\n]{{1,{NAME_LONGEST}}})"|[ \t]+([^\s{{}}\\%"]{{1,{NAME_LONGEST}}})')
_TWO_NAMES = re.compile(_GROUP + _GROUP)
_CONDITIONS = re.compile(
    r"%[^\n]*|\\(?:[\\%]|(?P<open>if[a-zA-Z@]+)|(?P<close>fi)(?![a-zA-Z@])|(?P<other>else)(?![a-zA-Z@]))"
)
_NO_CONDITIONS = ("iff", "ifthenelse")  # control words that begin so and take no \fi


class Mark(NamedTuple):
    """A place in a source. ``argument`` is the name of the file of an ``input``, as it stands there, else empty.

    ``comment`` runs from its ``%`` to the end of the line, or of the last line of comment behind it. ``hidden`` is a
    comment environment or what stands between ``\\iffalse`` and its ``\\fi``; ``begin`` and ``end`` are those of the
    document, ``class`` is its class.
    """

    kind: Kind
    begin: int
    end: int
    argument: str = ""


def marks(text: str) -> Iterator[Mark]:
    """The marks of a source in order. What is literal (verbatim environments, ``\\verb``, addresses) holds none, nor
    does a comment; ``\\%`` is no comment, ``\\\\%`` is a line break and one. Ends after :data:`MOST` places."""
    missing: set[str] = set()
    at = 0
    percent, command = text.find("%"), _COMMAND.search(text)  # the next of each kind, from ``at`` on
    for _ in range(MOST):
        if 0 <= percent < at:
            percent = text.find("%", at)
        if command is not None and command.start() < at:
            command = _COMMAND.search(text, at)
        if percent >= 0 and (command is None or percent < command.start()):
            newline = text.find("\n", percent)
            at = len(text) if newline < 0 else newline
            if more := _MORE_COMMENTS.match(text, at):
                at = more.end()
            yield Mark("comment", percent, at)
            continue
        if command is None:
            return
        begin, at = command.span()
        word = command[1]
        if word is None:  # a line break, or a percent sign
            continue
        if word in ("begin", "end"):
            environment = _ENVIRONMENT.match(text, at)
            if environment is None:
                continue
            at, name = environment.end(), environment[1]
            if name == "document":
                yield Mark("begin" if word == "begin" else "end", begin, at)
            elif name in VERBATIM or name == "comment":
                closing = f"\\end{{{name}}}"
                end = -1 if name in missing else text.find(closing, at)
                if end < 0:
                    missing.add(name)
                    continue
                at = end + len(closing)
                if name == "comment":
                    yield Mark("hidden", begin, at)
        elif word in ("documentclass", "documentstyle"):
            yield Mark("class", begin, at)
        elif word == "verb":
            at = _verb_end(text, at)
        elif word in _ADDRESSES:
            address = _ADDRESS.match(text, at)
            at = address.end() if address else at
        elif word == "iffalse":
            end = -1 if "fi" in missing else _false_end(text, at)
            if end < 0:
                missing.add("fi")
            elif end > at:
                at = end
                yield Mark("hidden", begin, at)
        elif word in ("import", "subimport"):
            if names := _TWO_NAMES.match(text, at):
                at = names.end()
                yield Mark("input", begin, at, f"{names[1].rstrip('/')}/{names[2]}".lstrip("/"))
        elif named := _NAME.match(text, at):
            at = named.end()
            yield Mark("input", begin, at, (named[1] or named[2] or named[3] or "").strip())


def _verb_end(text: str, at: int) -> int:
    """Behind ``\\verb|...|``; ``at`` where it is none."""
    at += text.startswith("*", at)
    mark = text[at : at + 1]
    if not mark or mark.isspace():
        return at
    end = text.find(mark, at + 1, at + 1 + VERB_LONGEST)
    return at if end < 0 or text.find("\n", at, end) >= 0 else end + 1


def _false_end(text: str, at: int) -> int:
    """Behind the ``\\fi`` of an ``\\iffalse``; -1 without one. ``at`` when it has an ``\\else``, which is text."""
    depth = 1
    for match in _CONDITIONS.finditer(text, at):
        kind = match.lastgroup
        if kind == "open":
            depth += not match["open"].startswith(_NO_CONDITIONS)
        elif kind == "close":
            depth -= 1
            if depth == 0:
                return match.end()
        elif kind == "other" and depth == 1:
            return at
    return -1


def group_end(text: str, at: int, end: int) -> int:
    """Behind the brace that closes the group whose text begins at ``at``; -1 without one before ``end``."""
    depth = 1
    for match in _BRACES.finditer(text, at, end):
        brace = match[0]
        if brace == "{":
            depth += 1
        elif brace == "}":
            depth -= 1
            if depth == 0:
                return match.end()
    return -1


def remove_comments(doc: Document) -> Document:
    """Remove the comments of each source as TeX reads them; see :func:`without_comments`. What else the pass has found
    goes into ``doc.work["marks"]``, one list a source."""
    cleaned = [_cleaned(source) for source in doc.work["sources"]]
    doc.work["sources"] = [text for text, _ in cleaned]
    doc.work["marks"] = [found for _, found in cleaned]
    return doc


def without_comments(text: str) -> str:
    """``text`` without comments, comment environments and what ``\\iffalse`` hides. CRLF becomes LF before.

    A comment alone on its line goes with the line. Behind text, TeX skips the end of the line and the blanks that
    begin the next one, so the lines are joined (``foo%\\nbar`` is ``foobar``); not when a blank stands before the
    ``%``, nor before an empty line, which ends the paragraph.
    """
    return _cleaned(text)[0]


def _cleaned(text: str) -> tuple[str, list[Mark]]:
    """The text without comments, and its other marks by their places in that."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept: list[str] = []
    others: list[Mark] = []
    done = gone = 0  # up to where it is dealt with, and how much of that has gone
    joined = False  # what comes next stands on the line of what came before

    def cut(begin: int, end: int) -> None:
        nonlocal done, gone
        kept.append(text[done:begin])
        gone += end - begin
        done = end

    for mark in marks(text):
        if mark.kind == "hidden":
            cut(mark.begin, mark.end)
            joined = False
        elif mark.kind == "comment":
            line = max(text.rfind("\n", done, mark.begin) + 1, done)
            joined = joined and line == done
            if not text[line : mark.begin].strip(" \t") and (joined or line == 0 or text[line - 1] == "\n"):
                end = min(len(text), mark.end + 1)
                cut(line, _behind_blanks(text, end) if joined else end)
                continue
            following = _behind_blanks(text, mark.end + 1)
            joined = text[mark.begin - 1] not in " \t" and text[following : following + 1] not in ("", "\n")
            cut(mark.begin, following if joined else mark.end)
        else:
            others.append(Mark(mark.kind, mark.begin - gone, mark.end - gone, mark.argument))
    return "".join(kept) + text[done:], others


def _behind_blanks(text: str, at: int) -> int:
    while text.startswith((" ", "\t"), at):
        at += 1
    return at
