"""README and docs are in short sentences: 25 words at most, so that one who learned English late reads them once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_docs import DOCUMENTS, name_of

MOST_WORDS = 25
BLOCK = re.compile(r"^ *(```+|~~~+).*?^ *\1[^\n]*$", re.MULTILINE | re.DOTALL)
TABLE_OR_TITLE = re.compile(r"^(\||#+ ).*$", re.MULTILINE)
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )")
# A semicolon or colon ends what is read in one breath, as a full stop does.
END = re.compile(r"(?<=[.!?])[\"')*]*\s+(?=[A-Z0-9\"'(*`<])|(?<=[;:])\s+")
WORD = re.compile(r"\w[\w'’/.,%-]*")


def sentences(text: str) -> Iterator[str]:
    """Of the prose alone: without blocks, tables and titles. What stands in backticks, a name, is no word."""
    prose = TABLE_OR_TITLE.sub("\n", BLOCK.sub("\n", text))
    prose = re.sub(r"`[^`]*`", "`` ", re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", prose))
    for paragraph in PARAGRAPH.split(prose):
        yield from END.split(" ".join(paragraph.split()))


def too_long(text: str) -> list[str]:
    return [sentence for sentence in sentences(text) if len(WORD.findall(sentence)) > MOST_WORDS]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_no_sentence_is_longer_than_25_words(path: Path) -> None:
    assert too_long(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("words", "long"), [(25, False), (26, True)])
@pytest.mark.parametrize(
    "form", ["%s.", "- %s, with `a name`.", "One. `a` %s\nmore.", "[%s](link.md)", "See: %s; more."]
)
def test_a_long_sentence_is_noticed(form: str, words: int, long: bool) -> None:
    words -= form.count("with") + form.count("\nmore")
    assert bool(too_long(form % " ".join(["word"] * words))) == long


def test_blocks_tables_and_titles_are_no_sentences() -> None:
    many = "word " * 50
    assert too_long(f"# {many}\n\n| {many} | a |\n\n```sh\n{many}\n```\n\nShort.\n") == []
