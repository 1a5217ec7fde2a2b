"""The checker of leftovers sees what it is for, and passes what is text."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PROSE = "a line of prose that goes on and on in the middle of\n" * 9

CASES = [  # slice, kind, a text that has it, one that has not
    ("common_crawl", "navigation in another language", "Terug\nText.", "Text.\nTerug, in the middle\nText."),
    ("common_crawl", "navigation in another language", "Text.\n\u6b21\u3078 4.7", "Text.\nNext 4.7"),
    ("github", "licence in a comment at the head", "# Copyright 2015 A\nb", 'x = "copyright"\n'),
    ("github", "licence in a comment at the head", " * Licensed under B\n", "x\n" * 900 + "# Copyright A"),
    ("github", "literal <|endoftext|>", "a<|endoftext|>", "<|end|>"),
    ("books", "licence of Project Gutenberg", "*** START OF THIS PROJECT", "He read of Project Gutenberg."),
    ("books", "lines broken at a width", PROSE, PROSE.replace("\n", " ")),
    ("books", "_italics_", "it _was_ so", "my_own_name"),
    ("arxiv", "\\input or \\include", "\\input{a}", "\\inputs"),
    ("arxiv", "\\end{document}", "a\\end{document}", "\\end{doc}"),
    ("arxiv", "three empty lines and more", "a\n\n \n\nb", "a\n\n\nb"),
    ("arxiv", "a comment", "a % b", "5\\% b"),
    ("arxiv", "nothing but white space", "\n", "a"),
    ("wikipedia", "empty brackets", "A (; ) is", "f(x)"),
    ("wikipedia", "empty brackets", "A (, born 1809)", "A (born, 1809)"),
    ("wikipedia", "double blanks in a sentence", "less than  from", "end.  Next"),
    ("wikipedia", "names of categories at the end", "It is.\nCities in A\nB of 1809\nLiving people", "It\nis\nso."),
    (
        "wikipedia",
        "heading with nothing below",
        "a.\n\nSee also\n\n",
        "a.\n\nSee also\n\nB, which is a town in C and D.",
    ),
    ("stackexchange", "words glued at a line end", "first line.Second line", "version 1.Two"),
    ("stackexchange", "a bullet with nothing", "a\n*\nb", "a\n* b"),
]


@pytest.fixture(scope="module")
def script() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield importlib.import_module("leftovers")


@pytest.mark.parametrize(("name", "kind", "text", "clean"), CASES)
def test_what_is_seen(script: Any, name: str, kind: str, text: str, clean: str) -> None:
    assert script.count(name, [{"text": text}])[1][kind] == 1
    assert script.count(name, [{"text": clean}])[1][kind] == 0


def test_a_record_without_an_address(script: Any) -> None:
    records = [{"text": "a"}, {"text": "a", "meta": {}}, {"text": "a", "meta": {"url": "https://a.b"}}]
    assert script.count("common_crawl", records) == (3, {"no address": 2})


def test_every_kind_has_a_case(script: Any) -> None:
    told = {(name, kind) for name, kind, _, _ in CASES} | {("common_crawl", "no address")}
    kinds = {(name, kind) for name, found in script.KINDS.items() for kind, _ in found}
    assert {pair for pair in kinds if pair[1] != script.END_OF_TEXT[0]} <= told
