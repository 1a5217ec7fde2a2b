"""Macros without arguments, collected and written out as published.

Steps: :func:`collect_macros` on the raw sources, :func:`ascii_macros` and :func:`expand_macros` on the cleaned ones.
Source of all rules: RedPajama-Data-1T, data_prep/arxiv. The published code runs one substitution over the whole text
for each macro; here the text is cut at its control words once, and each macro visits only its own occurrences.
"""

from __future__ import annotations

import heapq
import re

from redpajama_data.document import Document, Drop

# No part can match what the next one needs: a failure goes back over one name and its blanks, once.
_NEWCOMMAND = re.compile(r"\\newcommand\*?\{(\\[a-zA-Z0-9]+)\}\{")
_DEF = re.compile(r"\\def\s*(\\[a-zA-Z0-9]+)\s*\{")
_PIECES = re.compile(r"(\\[a-zA-Z0-9]*)")
_ALNUM = re.compile(r"[a-zA-Z0-9]+")
_NOT_EXPANDABLE = re.compile(r"[^\t\r -~]")


def collect_macros(doc: Document) -> Document:
    """Put the macros of all raw sources into ``doc.work["macros"]``: name with its backslash -> value, in order.

    A name keeps the place of its first definition and the value of its last.
    """
    macros: dict[str, str] = {}
    for source in doc.work["sources"]:
        macros.update(find_macros(source))
    doc.work["macros"] = macros
    return doc


def find_macros(text: str) -> dict[str, str]:
    """The macros one source defines by ``\\newcommand{\\x}{..}`` (or ``*``), then those by ``\\def\\x{..}``.

    Deliberate, as published: comments count; a value runs to a ``}`` at the very end of its line, so a definition with
    anything after it (blank, comment, carriage return) is none, and two on a line are one with a value like
    ``x}\\newcommand{\\b}{y``; ``\\newcommand\\x``, arguments, ``\\renewcommand``, ``\\providecommand`` are not taken.
    """
    macros: dict[str, str] = {}
    for opening in (_NEWCOMMAND, _DEF):
        position = 0
        end = -1  # of the line the value is in; looked for once a line, however many openings it holds
        while match := opening.search(text, position):
            position = match.end()
            if end < position:
                end = text.find("\n", position)
                end = len(text) if end < 0 else end
            if end > position and text[end - 1] == "}":
                macros[match[1]] = text[position : end - 1]
                position = end
    return macros


def ascii_macros(doc: Document) -> Document | Drop:
    """Drop a paper that has a macro whose value is not printable ASCII (tab and carriage return are fine).

    Deliberate, as published: the escape of such a character is an error in the substitution, and the whole paper is
    lost with it. Only a paper with a sectioning command in some source comes that far.
    """
    if any(doc.work["sources"]):
        for name, value in doc.work["macros"].items():
            if bad := _NOT_EXPANDABLE.search(value):
                return Drop("ascii_macros", f"{name}: U+{ord(bad[0]):04X}", "printable ASCII")
    return doc


def expand_macros(doc: Document, *, max_inserted_chars: int) -> Document | Drop:
    """Write out the macros in every source; drop a paper whose macros insert more than the limit in all its sources.

    The limit is against macros made to grow without end (``\\def\\a{\\b\\b}``, ``\\def\\b{\\c\\c}``, ...); the
    published code has none and fills the memory.
    """
    macros: dict[str, str] = doc.work.pop("macros")
    left = max_inserted_chars
    expanded: list[str] = []
    for source in doc.work["sources"]:
        text, inserted = expand(source, macros, left)
        left -= inserted
        if left < 0:
            return Drop("expand_macros", max_inserted_chars - left, max_inserted_chars)
        expanded.append(text)
    doc.work["sources"] = expanded
    return doc


def expand(text: str, macros: dict[str, str], limit: int) -> tuple[str, int]:
    """``text`` after one pass per macro in order, and the characters inserted (stops with more than ``limit``).

    A pass replaces the name followed by one character other than an ASCII letter or digit. Deliberate, as published:
    that character is used up, so of ``\\R\\R`` only the first expands; a name at the very end does not; the ``\\foo``
    of ``\\\\foo`` does; definitions are rewritten too; an expansion is expanded again by later macros only.
    """
    if not macros:
        return text, 0
    pieces = ["", *filter(None, _PIECES.split(text))]
    if macros.keys().isdisjoint(pieces):
        return text, 0
    chain = _Chain(pieces, macros)
    inserted = chain.run(limit)
    return chain.text(), inserted


class _Chain:
    """Text as a ring of non-empty pieces around the sentinel 0, each a backslash with its letters and digits, or plain.

    Behind a piece with a backslash comes never a letter or digit: inserting keeps that true by joining. A piece is
    noted once for each name it takes, when it takes it.
    """

    def __init__(self, pieces: list[str], macros: dict[str, str]) -> None:
        self.pieces = pieces
        self.after = [*range(1, len(pieces)), 0]
        self.before = [len(pieces) - 1, *range(len(pieces) - 1)]
        self.macros = list(macros.items())
        self.rank = {name: rank for rank, name in enumerate(macros)}
        self.current = -1
        self.todo: list[int] = []  # heap of the ranks that have occurrences
        self.where: dict[int, list[int]] = {}
        for piece, name in enumerate(pieces):
            if name in self.rank:
                self.note(piece)

    def note(self, piece: int) -> None:
        """Remember an occurrence, if its macro's turn is still to come."""
        rank = self.rank.get(self.pieces[piece], -1)
        if rank > self.current:
            if rank not in self.where:
                self.where[rank] = []
                heapq.heappush(self.todo, rank)
            self.where[rank].append(piece)

    def run(self, limit: int) -> int:
        """Expand every macro in its turn; the characters handled for it, which stop the run beyond ``limit``."""
        inserted = 0
        pieces, before = self.pieces, self.before
        while self.todo:
            self.current = heapq.heappop(self.todo)
            name, value = self.macros[self.current]
            parts = list(filter(None, _PIECES.split(value)))
            simple = len(parts) == 1 and value not in self.rank
            joins = bool(_ALNUM.match(value))
            for piece in self.matches(self.where.pop(self.current), name):
                inserted += len(value)
                if simple and not (joins and pieces[before[piece]].startswith("\\")):
                    pieces[piece] = value
                else:
                    inserted += self.replace(piece, parts)
                if inserted > limit:
                    return inserted
        return inserted

    def matches(self, occurrences: list[int], name: str) -> list[int]:
        """Those that expand: something follows, and the one right before has not used up their backslash."""
        pieces, before, after = self.pieces, self.before, self.after
        found: list[int] = []
        for piece in occurrences:
            if pieces[piece] != name or pieces[before[piece]] == name:
                continue  # joined to something since; or not the first of a run, which is taken whole
            expands = True
            while pieces[piece] == name:  # of a run of the same name, every other one
                if expands and after[piece]:
                    found.append(piece)
                expands = not expands
                piece = after[piece]
        return found

    def replace(self, piece: int, parts: list[str]) -> int:
        """Put ``parts`` in place of a piece; the characters that joining to the piece before copied."""
        copied = 0
        before = self.before[piece]
        rest = parts
        if parts and self.pieces[before].startswith("\\") and (head := _ALNUM.match(parts[0])):
            copied = len(self.pieces[before])
            self.pieces[before] += head[0]
            self.note(before)
            plain = parts[0][head.end() :]
            rest = [plain, *parts[1:]] if plain else parts[1:]
        if not rest:
            self.pieces[piece] = ""
            after = self.after[piece]
            self.after[before], self.before[after] = after, before
            return copied
        self.pieces[piece] = rest[0]
        self.note(piece)
        for part in rest[1:]:
            self.insert(piece, part)
            piece = self.after[piece]
        return copied

    def insert(self, piece: int, part: str) -> None:
        """Put a new piece behind another."""
        new, after = len(self.pieces), self.after[piece]
        self.pieces.append(part)
        self.before.append(piece)
        self.after.append(after)
        self.after[piece] = self.before[after] = new
        self.note(new)

    def text(self) -> str:
        """The pieces in order, joined."""
        ordered: list[str] = []
        piece = self.after[0]
        while piece:
            ordered.append(self.pieces[piece])
            piece = self.after[piece]
        return "".join(ordered)
