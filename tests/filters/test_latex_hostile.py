"""Hostile LaTeX: the repaired reader takes time in proportion to the text, and always comes to an end.

python tests/filters/test_latex_hostile.py 5000000     seconds of each kind of that size, the slowest first
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import latex_definitions, latex_document, latex_encoding, latex_marks, latex_sections
from redpajama_data.document import Document, run_steps

READER = [
    latex_encoding.any_encoding,
    latex_marks.remove_comments,
    partial(latex_document.assemble_document, max_chars=64 << 20),
    latex_definitions.collect_definitions,
    partial(latex_sections.any_header, keep_abstract=True),
    partial(latex_sections.bibliography_as_block, keep_appendix=False, min_main_share=0.2),
    partial(latex_definitions.expand_definitions, max_inserted_chars=16 << 20),
    latex_sections.no_leftovers,
]

KINDS = (
    "\\", "%", "%\n", "a% b\n", "\\begin{verbatim}", "\\verb|", "\\verb", "\\url{", "\\iffalse", "\\iffalse\\ifx ",
    "\\input{", '\\input "', "\\input{ ", "\\import{a}{", "\\begin{comment}", "\\section{", "\\section[", "\\section ",
    "\\title{", "\\begin{abstract}", "\\appendix ", "\\bibliography{", "\\begin{thebibliography}",
    "\\printbibliography[",
    "\\newcommand{", "\\newcommand{\\a}", "\\newcommand{\\a}[", "\\def\\a{", "\\def\\a", "\\def\\a{}", "\\a", "{", "}",
    "\n", "\n \n", " ", "\\begin{document}", "\\end{document}", "\\usepackage[latin1]{inputenc}", "\\usepackage[",
)  # fmt: skip


# What opens something, and what may stand in it, or close it.
OPENINGS = (
    "\\section{a}\\begin{verbatim}", "\\def\\a{", "\\newcommand{\\a}[1]{", "\\verb|", "{\\it ", "\\iffalse ",
    "\\section[", "\\input{a", "\\title{", "\\bibliography{", "\\begin{thebibliography}", "\\begin{comment}", "a%",
)  # fmt: skip
FILLINGS = (
    "%\n", "}", "\n", "\\fi ", "\\end{verbatim}", "\\\\", "]", "\u00e9", "x" * 70 + "\n", "\\end{document}", "\r\n",
)  # fmt: skip


def hostile(size: int) -> Iterator[tuple[str, str]]:
    """Sources of about ``size`` characters, each of another hostile kind, with a name: a piece repeated without end,
    an opening with a filling, groups in groups, and macros that are many, long, used often or made of each other."""
    for piece in KINDS:
        yield piece, piece * (size // len(piece))
    for opening, filling in itertools.product(OPENINGS, FILLINGS):
        pair = opening + filling
        yield pair, pair * (size // len(pair))
        yield f"{opening} once, {filling}", opening + filling * (size // len(filling))
    yield "groups in groups", "{" * (size // 2) + "}" * (size // 2)
    yield "many macros", "".join(f"\\def\\{_letters(n)}{{v}}\\{_letters(n // 2)} " for n in range(size // 20))
    yield "a long macro, used often", f"\\def\\a{{{'x' * 9000}}}" + "\\a " * (size // 3)
    yield "a short macro, used often", "\\def\\a{x}" + "\\a" * (size // 2)
    yield "macros made of each other", "\\def\\a{\\b}\\def\\b{\\a}" + "\\a\\b" * (size // 4)
    yield "a macro defined anew", "\\def\\a{\\b}\\a\\def\\b{1}\\a\\def\\b{2}\\a" * (size // 40)


def _letters(n: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in str(n))


def seconds(source: str) -> float:
    """What all steps of the reader take for a paper of that source, in time of the processor."""
    data = f"\\documentclass{{a}}\\begin{{document}}\\section{{a}}{source}".encode()
    doc = Document("a#0", "", {}, {"names": ["a.tex"], "sources": [data]})
    start = time.process_time()
    run_steps(doc, READER)
    return time.process_time() - start


@pytest.mark.parametrize("source", [pytest.param(text, id=ascii(name)) for name, text in hostile(200_000)])
def test_hostile_sources_take_time_in_proportion(source: str) -> None:
    """5 MB of a kind take 1.5 s at the most; what grows with the square takes 25 times its share here."""
    assert seconds(source) < 0.5


PIECES = st.lists(st.sampled_from([*KINDS, "a", "}", "]", "\\fi", "\\end{verbatim}", "\\end{comment}", "|", "\u00e9"]))


@given(PIECES)
def test_what_is_left_was_there(pieces: list[str]) -> None:
    text = "".join(pieces)
    left = latex_marks.without_comments(text)
    letters = iter(text)
    assert all(letter in letters for letter in left), "comments are cut out, nothing is put in"
    found = list(latex_marks.marks(text))
    assert all(mark.begin < mark.end for mark in found)
    assert all(one.end <= other.begin for one, other in itertools.pairwise(found))


@given(st.lists(st.tuples(st.sampled_from(["a.tex", "b.tex", "c", "d/e.tex"]), PIECES), max_size=4))
def test_the_reader_always_comes_to_an_end(files: list[tuple[str, list[str]]]) -> None:
    work = {"names": [name for name, _ in files], "sources": ["".join(pieces).encode() for _, pieces in files]}
    found = run_steps(Document("a#0", "", {}, work), READER)
    assert isinstance(found, Document) or found.rule in ("not_tex", "assemble_document", "expand_definitions")


if __name__ == "__main__":
    times = sorted(((seconds(text), name) for name, text in hostile(int(sys.argv[1]))), reverse=True)
    print("\n".join(f"{taken:6.2f} s  {name!a}" for taken, name in times))
