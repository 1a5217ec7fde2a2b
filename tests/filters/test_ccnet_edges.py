"""Lines of another language at the ends of a page: which go, at both sides of each limit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from filters.ccnet_edges import no_foreign_edges, own_lines
from redpajama_data.document import Document
from redpajama_data.models.model_file import ModelFile


def predict(line: str) -> tuple[str, float]:
    """Language and score as the line itself says, like "de 0.9"; others are of no language."""
    language, _, score = line.partition(" ")
    return (f"__label__{language}", float(score)) if score else ("__label__xx", 0.1)


LID: Any = SimpleNamespace(predict=predict)
EDGES = [  # lines, and those that stay
    ("surely of another", "de 0.8 | en 0.5 | x", "en 0.5 | x"),
    ("not surely", "de 0.79 | en 0.5", None),
    ("all up to the last", "? | de 0.9 | ? | nl 0.5 | ? | en 0.9", "? | en 0.9"),
    ("one that is sure is enough", "nl 0.6 | de 0.9 | nl 0.5 | en 0.9", "en 0.9"),
    ("rather of none", "de 0.9 | nl 0.49 | en 0.9", "nl 0.49 | en 0.9"),
    ("behind the first of its own", "en 0.5 | de 0.9 | en 0.5", None),
    ("not rather of its own", "en 0.49 | de 0.9 | en 0.5", "en 0.5"),
    ("both ends", "de 0.9 | en 0.9 | de 0.9 | en 0.9 | de 0.9", "en 0.9 | de 0.9 | en 0.9"),
    ("no line of its own", "de 0.9 | ? | nl 0.9", None),
    ("one line", "en 0.9", None),
    ("an empty text", "", None),
]


@pytest.mark.parametrize(("text", "left"), [e[1:] for e in EDGES], ids=[e[0] for e in EDGES])
def test_lines_that_stay(text: str, left: str | None) -> None:
    lines = text.split(" | ")
    begin, end = own_lines(lines, "en", LID)
    assert lines[begin:end] == (text if left is None else left).split(" | ")


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("Volgende8.7. Printer", "volgende"),
        ("VolgendeA.14. Printer", "volgende"),
        ("\u4e0b\u4e00\u98759.2.\u00a0Users", "\u4e0b\u4e00\u9875"),
        ("Volgende 8.7. Printer", None),
        ("VolgendeBijlage B.", None),
        ("IPv6 is", None),
        ("8.7. Printer", None),
    ],
)
def test_a_word_glued_to_a_number_speaks_for_its_line(line: str, asked: str | None) -> None:
    seen: list[str] = []

    def noted(text: str) -> tuple[str, float]:
        seen.append(text)
        return "__label__en", 0.9

    own_lines([line], "en", SimpleNamespace(predict=noted))  # type: ignore[arg-type]
    assert seen == [asked or line] * 2


def test_the_numbers_follow(shared_data: Path) -> None:
    lid = ModelFile(str(shared_data / "models" / "lid.176.ftz"), "")
    text = "This is the text of the page, and it goes on.\nThis is more of it."
    navigation = "Het Debian Beheerders Handboek"
    meta = {"language": "en", "nlines": 4, "length": 999, "line_ids": [1, 3, 5, 7]}
    doc = no_foreign_edges(Document("a#0", f"{navigation}\n{text}\n{navigation}", dict(meta)), model=lid)
    assert doc.text == text
    assert doc.meta == {"language": "en", "nlines": 2, "length": len(text), "line_ids": [3, 5]}
    same = Document("a#0", text, dict(meta))
    assert no_foreign_edges(same, model=lid).meta == meta
