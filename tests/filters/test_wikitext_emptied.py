"""What removed markup leaves behind: both sides of each rule."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.wikitext import unparsable
from filters.wikitext_emptied import mark_headings, no_bare_headings, no_emptied
from redpajama_data.document import Document, run_steps

EMPTIED = [
    ("Albania (, ; ; ), officially", "Albania, officially"),
    ("A () is", "A is"),
    ("(; February 12, 1809", "(February 12, 1809"),
    ("(a, ; )", "(a)"),
    ("a (;) b", "a b"),
    ("f() and (a,) and g(,)", "f() and (a,) and g(,)"),
    ("for (;;) x", "for (;;) x"),
    ("for (; i < n; i++)", "for (; i < n; i++)"),
    ("(a; b)", "(a; b)"),
    ("a (b) .", "a (b) ."),
    ("less than  from Italy", "less than from Italy"),
    ("a .  B", "a. B"),
    ("a .5", "a .5"),
    ("    indented", "    indented"),
    ("a\n \n \nb", "a\nb"),
    ("a\n\nb", "a\n\nb"),
    ("a\n\n\n\nb", "a\n\nb"),
    ("a （） b", "a b"),
    ("a\n .\n .\n\nb", "a\n\nb"),
    ("a\n,\nb", "a\nb"),
    ("a\n ...\n+\n-\n. b", "a\n ...\n+\n-\n. b"),
]  # fmt: skip


def emptied(text: str) -> str:
    return no_emptied(Document("a#0", text, {})).text


@pytest.mark.parametrize(("text", "left"), EMPTIED)
def test_emptied(text: str, left: str) -> None:
    assert emptied(text) == left


HEADINGS = [
    ("A\n== B ==\nc", "A\n\nB \nc"),
    ("A\n== B ==\n", "A"),
    ("A\n==B==\n==C==\nd", "A\n\nC\nd"),
    ("A\n== B ==\n=== C ===\nd", "A\n\nB\n\nC \nd"),
    ("A\n== B ==\n=== C ===\n== D ==\ne", "A\n\nD \ne"),
    ("A\n=== B ===\n== C ==\nd", "A\n\nC \nd"),
    ("A\n== B ==\nc\n=== D ===\n", "A\n\nB \nc"),
    ("A\n== References ==\n{{reflist}}\n[[File:b.png]]", "A"),
    ("A\n== {{b}} ==\nc", "A\n\n\nc"),
    ("A\n== B ==\n* {{cite}}.\n* {{cite}} .\n", "A"),
    ("A\n== B ==\n* {{cite}}. C\n", "A\n\nB \n . C"),
    ("== A ==\n== B ==", ""),
    ("A\n= B =\n= C", "A\n\nB \n= C"),
    ("A\ufdd1\n<nowiki>\n== B ==\n</nowiki>", "A\n== B =="),
]


def headings(text: str) -> str:
    found = run_steps(Document("a#0", text, {"language": "en"}), [mark_headings, unparsable, no_bare_headings])
    assert isinstance(found, Document)
    return found.text


@pytest.mark.parametrize(("text", "left"), HEADINGS)
def test_headings(text: str, left: str) -> None:
    assert headings(text) == left


@given(st.lists(st.sampled_from(["== a ==\n", "=== b ===\n", "= c =\n", "\n", "{{d}}", "* ", "''"])))
def test_a_heading_above_text_stays(pieces: list[str]) -> None:
    """With text below every heading nothing but blanks before a heading differs from the published text."""
    text = "".join(piece + "text\n" if piece.endswith("=\n") else piece for piece in pieces)
    doc = Document("a#0", text, {"language": "en"})
    published = unparsable(doc)
    assert isinstance(published, Document)
    assert headings(text).split() == published.text.split()


@pytest.mark.parametrize("piece", ["(", "( ", "(,", ", ", " ", "=", "= ", "\n= a", "\n==a==", ",;)", " .", "\n "])
def test_hostile_pages_take_time_in_proportion(piece: str) -> None:
    text = piece * (500_000 // len(piece))
    began = time.process_time()
    emptied(text)
    no_bare_headings(mark_headings(Document("a#0", text, {})))
    assert time.process_time() - began < 2
