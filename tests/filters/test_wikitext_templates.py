"""Templates of the table: what each gives, and what is left as it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.wikitext_templates import MAX_CHARS, MAX_DEPTH, render_templates
from redpajama_data.document import Document

CASES = [
    ("{{convert|72|km|mi}}", "72 km"),
    ("{{Convert|72|km2|sqmi|0|abbr=on}}", "72 km²"),
    ("{{convert|5|to|10|km}}", "5 to 10 km"),
    ("{{convert|5|-|10|km|mi}}", "5–10 km"),
    ("{{convert|6|ft|2|in|m}}", "6 ft 2 in"),
    ("{{convert|6|ft|2|m}}", "6 ft"),
    ("{{cvt|100|ft|m|adj=on}} drop", "100-ft drop"),
    ("{{convert|1,200.5|m}}", "1,200.5 m"),
    ("{{convert|x|m}}", ""),
    ("{{convert|3}}", "3"),
    ("{{lang|fr|été}}", "été"),
    ("{{lang-sq|Shqipëri|a}}", "Shqipëri"),
    ("{{lang|fr}}", ""),
    ("{{lang|fr|[[a|b]]}}", "[[a|b]]"),
    ("{{transl|ja|Tōkyō}}", "Tōkyō"),
    ("{{transl|ar|ALA|alif}}", "alif"),
    ("{{transl|ar}}", ""),
    ("{{convert|7|–|8|C-change|F-change}}", "7–8 °C"),
    ("{{nihongo|Tokyo|東京|Tōkyō}}", "Tokyo (東京, Tōkyō)"),
    ("{{nihongo|Tokyo}}", "Tokyo"),
    ("{{circa|1809}}", "c. 1809"),
    ("{{c.|1809|1812}}", "c. 1809 – c. 1812"),
    ("{{As of|2010|5}}", "As of May 2010"),
    ("{{as of|2010|5|12|lc=y}}", "as of 12 May 2010"),
    ("{{as of|2010|alt=In 2010}}", "In 2010"),
    ("{{as of|2010|13}}", "As of 13 2010"),
    ("{{frac|3|1|2}}", "3 1/2"),
    ("{{frac|1|2}}", "1/2"),
    ("{{frac|2}}", "1/2"),
    ("a{{snd}}b{{mdash}}c", "a – b—c"),
    ("{{nowrap|1=a = b}}", "a = b"),
    ("{{nowrap|{{lang|fr|a}} {{other|b}}}}", "a {{other|b}}"),
    ("{{other|{{lang|fr|a}}}}", "{{other|a}}"),
    ("{{language|fr|a}}", "{{language|fr|a}}"),
    ("{{lang|fr|a", "{{lang|fr|a"),
    ("{{lang|fr|a {{nowrap|b}}", "{{lang|fr|a b"),
    ("{{reflist}} {{IPA|a}}", "{{reflist}} {{IPA|a}}"),
    ("lang|fr|a}}", "lang|fr|a}}"),
]


def given_text(text: str) -> str:
    return render_templates(Document("a#0", text, {"language": "en"})).text


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_what_becomes_of_a_template(text: str, wanted: str) -> None:
    assert given_text(text) == wanted


@pytest.mark.parametrize("more", [0, 1])
def test_long_ones_stay(more: int) -> None:
    text = "{{lang|fr|" + "a" * (MAX_CHARS - len("|fr|}}") + more) + "}}"
    assert (given_text(text) == text) is bool(more)


@pytest.mark.parametrize("more", [0, 1])
def test_as_deep_as_this(more: int) -> None:
    depth = MAX_DEPTH + more
    assert ("{{" in given_text("{{nowrap|" * depth + "a" + "}}" * depth)) is bool(more)


@pytest.mark.parametrize(
    "piece", ["{{lang|", "{{lang|fr|a}}", "{{nbsp}}", "{{", "[[", "{{convert|1|to|", "{{lang|}}}}"]
)
def test_hostile_pages_take_time_in_proportion(piece: str) -> None:
    text = piece * (500_000 // len(piece))
    began = time.process_time()
    given_text(text)
    assert time.process_time() - began < 2


@given(st.lists(st.sampled_from(["{{lang|", "{{convert|", "|", "}}", "[[", "]]", "=", "1", "a", " ", "{", "{{frac"])))
def test_it_always_comes_to_an_end(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert "{{" in text or given_text(text) == text
    given_text(text)
