"""Macros without arguments, written out as TeX does: the repair of :mod:`filters.latex_macros`.

A value is put in as plain text, whatever characters it holds. Linear in the text and in what is put in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from filters.latex_marks import group_end
from redpajama_data.document import Document, Drop

DEPTH = 20  # macros inside macros; one that holds itself ends there
LONGEST = 10_000  # characters of a value; the longest of the real input has 400
MOST = 10_000  # definitions of one source; those behind them stay as they are
EXPANDED_LONGEST = 1 << 20  # of a value with those inside it: longer ones stay as they are

# One character before all alternatives, then one that rules most commands out: what the engine passes over quickly.
_COMMAND = re.compile(
    r"\\(?=[rnpDdegx])(?:"
    r"(?:(?:re)?newcommand|providecommand|DeclareRobustCommand|(?P<operator>DeclareMathOperator))(?P<star>\*?)"
    r"[ \t]{0,9}(?:\{[ \t]{0,9}(\\[a-zA-Z@]+)[ \t]{0,9}\}|(\\[a-zA-Z@]+))\s{0,9}"
    r"(?P<takes>(?:\[[^\]\n]{0,200}\]\s{0,9}){0,2})\{"
    r"|[egx]?def[ \t]{0,9}(\\[a-zA-Z@]+)(?P<pattern>[^{}\\\n]{0,100}\n?[ \t]{0,9})\{)"
)
_PIECES = re.compile(r"(\\(?:[a-zA-Z@]+|\\(?:\\\\){0,999}|.))", re.DOTALL)  # line breaks in a row are one piece
_COMMAND_LAST = re.compile(r"\\[a-zA-Z@]+\Z")
_PORTION = 1 << 20  # characters cut into pieces at a time
# What a paper means by these is what LaTeX means, however it lets them look.
_STRUCTURE = frozenset(
    f"\\{name}"
    for name in (
        *("chapter", "part", "section", "subsection", "subsubsection", "paragraph", "subparagraph", "begin", "end"),
        *("item", "label", "ref", "cite", "input", "include", "appendix", "bibliography", "caption", "footnote"),
    )
)


class Definition(NamedTuple):
    """Where a definition stands, its name with the backslash, and its value; None where it takes arguments or is of a
    kind that is not written out."""

    begin: int
    end: int
    name: str
    value: str | None


def definitions(text: str) -> Iterator[Definition]:
    """The definitions by ``\\newcommand``, ``\\renewcommand``, ``\\providecommand``, ``\\DeclareRobustCommand``,
    ``\\DeclareMathOperator`` and ``\\def`` in order, none inside another."""
    at = 0
    for _ in range(MOST):
        match = _COMMAND.search(text, at)
        if match is None:
            return
        behind = min(len(text), match.end() + LONGEST)
        at = group_end(text, match.end(), behind)
        if at < 0:
            at = behind
            continue
        name, value = match[3] or match[4] or match[6], text[match.end() : at - 1]
        plain = not (match["takes"] or (match["pattern"] or "").strip() or "#" in value or "@" in value)
        if match["operator"]:
            value = f"\\operatorname{match['star']}{{{value}}}"
        yield Definition(match.start(), at, name, value if plain and name not in _STRUCTURE else None)


def collect_definitions(doc: Document) -> Document:
    """Put the macros of all sources into ``doc.work["macros"]``: name with its backslash -> value.

    Of a preamble the last value counts, of a text, where :func:`expand_definitions` sees the others, the first.
    """
    macros: dict[str, str] = {}
    for source in doc.work["sources"]:
        begin = source.find("\\begin{document}")
        for found in definitions(source):
            if found.value is None:
                continue
            if begin < 0 or found.begin < begin:
                macros[found.name] = found.value
            else:
                macros.setdefault(found.name, found.value)
    doc.work["macros"] = macros
    return doc


def expand_definitions(doc: Document, *, max_inserted_chars: int) -> Document | Drop:
    """Write out the macros in every source, those inside them too; drop a paper where that inserts more than the limit.

    A definition in the text stays as it is and counts from its place on. What follows a macro is not used up, so both
    of ``\\R\\R`` are written out.
    """
    macros: dict[str, str] = doc.work.pop("macros")
    left = max_inserted_chars
    expanded: list[str] = []
    for source in doc.work["sources"]:
        text, inserted = written_out(source, macros, left)
        left -= inserted
        if left < 0:
            return Drop("expand_definitions", max_inserted_chars - left, max_inserted_chars)
        expanded.append(text)
    doc.work["sources"] = expanded
    return doc


def written_out(text: str, macros: Mapping[str, str], limit: int) -> tuple[str, int]:
    """``text`` with the macros written out, and how many characters that took; more than ``limit``: not all is."""
    values = _Values(macros)
    parts: list[str] = []
    done = 0
    for found in definitions(text):
        parts += [*_portions(text, done, found.begin, values, limit), text[found.begin : found.end]]
        done = found.end
        if found.value is not None:
            values.define(found.name, found.value)
        if values.spent > limit:
            break
    parts += _portions(text, done, len(text), values, limit)
    return "".join(parts), values.spent


def _portions(text: str, at: int, end: int, values: _Values, limit: int) -> Iterator[str]:
    """A part of a text with the macros written out, in portions of whole lines: their pieces take memory."""
    while at < end:
        stop = end if end - at <= _PORTION else text.rfind("\n", at, at + _PORTION) + 1 or at + _PORTION
        yield values.put_into(text[at:stop], limit)
        at = stop


class _Values:
    """Macros, and their values with the macros in them written out; ``spent`` are the characters that this took."""

    def __init__(self, macros: Mapping[str, str]) -> None:
        self.macros = dict(macros)
        self.whole: dict[str, str] = {}
        self.spent = 0

    def define(self, name: str, value: str) -> None:
        """A macro from here on: others may hold it."""
        if self.macros.get(name) != value:
            self.macros[name] = value
            self.whole.clear()

    def put_into(self, text: str, limit: int, depth: int = 0) -> str:
        """``text`` with every macro written out. A value that begins with a letter is kept apart from a command right
        before it."""
        if not self.macros:
            return text
        pieces = _PIECES.split(text)
        if self.macros.keys().isdisjoint(pieces):
            return text
        for i in range(1, len(pieces), 2):
            if pieces[i] not in self.macros:
                continue
            value = self._value(pieces[i], limit, depth)
            if not pieces[i - 1] and value[:1].isalpha() and i > 1 and _COMMAND_LAST.search(pieces[i - 2][-99:]):
                value = f" {value}"
            pieces[i] = value
            self.spent += len(value)
            if self.spent > limit:
                return text
        return "".join(pieces)

    def _value(self, name: str, limit: int, depth: int) -> str:
        if name not in self.whole:
            if depth == DEPTH:
                return name
            value = self.put_into(self.macros[name], limit, depth + 1)
            self.whole[name] = value if len(value) <= EXPANDED_LONGEST else self.macros[name]
        return self.whole[name]
