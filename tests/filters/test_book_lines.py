"""Lines of typed books joined, italics made plain: what is prose and what is not."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.book_lines import joined, plain_italics, plain_line_ends
from redpajama_data.document import Document

PROSE = (
    "It was a bright cold day in the month of April and the clocks of\n"
    "the town were striking the hour, while those who had come from the\n"
    "country stood about in the market and waited for what was to come."
)
ONE_LINE = PROSE.replace("\n", " ")
VERSE = "Full many a gem of purest ray\nThe dark caves bear,\nFull many a flower"

LINES = [
    ("prose", PROSE, ONE_LINE),
    ("paragraphs stay apart", f"{PROSE}\n\n\n{PROSE}", f"{ONE_LINE}\n\n\n{ONE_LINE}"),
    ("verse among prose", f"{PROSE}\n\n{VERSE}\n\n{PROSE}", f"{ONE_LINE}\n\n{VERSE}\n\n{ONE_LINE}"),
    ("windows line ends", PROSE.replace("\n", "\r\n"), ONE_LINE),
    ("line ends of old Macs", PROSE.replace("\n", "\r"), ONE_LINE),
    ("verse alone", VERSE, VERSE),
    ("indented", PROSE.replace("\n", "\n  "), None),
    ("by one blank", PROSE.replace("\n", "\n "), ONE_LINE),
    ("a short line in it", PROSE.replace("the town were", "the town.\nThey were"), None),
    (
        "a hyphen at the end",
        PROSE.replace("clocks of\nthe town", "clocks of-\nthe town"),
        ONE_LINE.replace("of the t", "of-the t"),
    ),
    ("broken at no width", "a" * 150 + "\n" + "b" * 150 + "\n" + "c" * 150, None),
    ("empty", "", None),
]


@pytest.mark.parametrize(("text", "left"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_lines(text: str, left: str | None) -> None:
    assert joined(text) == (text if left is None else left)


# Four characters each, of more bytes, and what may stand behind a word: blanks of ASCII and of others.
WORDS = ["abcd", "ab\u00e9d", "\u0430\u0431\u0432\u0433", "abcd ef", "abcd\x1fef", "abcd\u00a0ef", "ab\u00e9d\u2003ef"]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("spare", "is_joined"), [(7, True), (8, True), (9, False)])
def test_a_line_end_is_needed_within_eight_characters_of_the_width(spare: int, is_joined: bool, word: str) -> None:
    rows = "\n\n".join(["x" * 60 + "\n" + "x" * 60] * 20)  # nine of ten lines are 60 wide
    last = "y" * (60 - spare - 4) + "\n" + word  # a blank and four letters would have come to 61 - spare
    text = joined(f"{rows}\n\n{last}").rpartition("\n\n")[2]
    assert (text == last.replace("\n", " ")) is is_joined


ENDS = [  # blanks around a joint, in characters of several bytes
    ("\u00a0 \n", " "), (" \u3000\n ", " "), ("\u2014\n", "\u2014"), ("\u2014 \n", "\u2014"), ("-\t\n", "-"),
]  # fmt: skip


@pytest.mark.parametrize(("end", "joint"), ENDS)
def test_blanks_around_a_joint_go(end: str, joint: str) -> None:
    text = PROSE.replace("clocks of\n", f"clocks of{end}")
    assert joined(text) == ONE_LINE.replace("clocks of ", f"clocks of{joint}")


ITALICS = [
    ("_so_", "so"), ("a _b c_ d", "a b c d"), ("_one\ntwo_", "one\ntwo"), ("(_a_)", "(a)"), ("my_own_name", None),
    ("_a", None), ("____", None), ("_ a _", None), ("_a_b", None), ("_" + "a" * 1000 + "_", "a" * 1000),
    ("_" + "a" * 1001 + "_", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "left"), ITALICS)
def test_italics(text: str, left: str | None) -> None:
    assert plain_italics(Document("a#0", text, {})).text == (text if left is None else left)


@given(st.text(st.sampled_from("ab _\n-")))
def test_only_white_space_changes(text: str) -> None:
    assert joined(text).split() == text.replace("-\n", "- ").split() or "-" in text
    assert joined(text).replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")


@pytest.mark.parametrize("piece", ["_a ", "_", "a\n", "\n", "a " * 30 + "\n", "_" + "a" * 999])
def test_hostile_books_take_time_in_proportion(piece: str) -> None:
    text = piece * (2_000_000 // len(piece))
    start = time.process_time()
    plain_italics(Document("a#0", joined(text), {}))
    assert time.process_time() - start < 2


@given(st.text(alphabet="a\r\n\u00e9\u201c"))
def test_line_ends_of_every_kind(text: str) -> None:
    assert plain_line_ends(text) == text.replace("\r\n", "\n").replace("\r", "\n")


def plainly_joined(text: str) -> str:
    """The rule in plain words: what :func:`joined` does with arrays."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    blank = [not line.strip(" \t") for line in lines]
    follows = [not (one or other) for one, other in itertools.pairwise(blank)]
    lengths = sorted(len(line) for line, more in zip(lines, follows, strict=False) if more)
    width = lengths[-1 - len(lengths) // 10] if lengths else 0
    if not 50 <= width <= 100:
        return "\n".join(lines)
    out: list[str] = []
    for is_blank, group in itertools.groupby(zip(lines, blank, strict=True), key=lambda pair: pair[1]):
        paragraph = [line for line, _ in group]
        ends = map(needed, paragraph, paragraph[1:], itertools.repeat(width))
        if not is_blank and all(ends) and not any(line[:2].isspace() for line in paragraph) and len(paragraph) > 1:
            one = "\n".join(line.strip() for line in paragraph)
            paragraph = [one.replace("-\n", "-").replace("\u2014\n", "\u2014").replace("\n", " ")]
        out += paragraph
    return "\n".join(out)


def needed(line: str, following: str, width: int) -> bool:
    word = re.match(r" ?(\S{1,100})", following)
    return len(line) >= width - 8 or (word is not None and len(line) + 1 + len(word[1]) > width - 8)


WORDS = st.sampled_from(
    ["a", "the", "\u201cand\u201d", "caf\u00e9", "sentences", "over-", "dash\u2014", "x" * 45, "\u00a0b"]
)
TYPED = st.lists(WORDS, min_size=8, max_size=14).map(" ".join)
BOOK_LINES = st.lists(TYPED | st.sampled_from(["", " ", "\t", "  verse", " one blank", "short", "trailing ", "\f"]))


@settings(max_examples=300)
@given(BOOK_LINES, st.sampled_from(["\n", "\r\n"]))
def test_arrays_do_what_the_plain_rule_says(lines: list[str], end: str) -> None:
    text = end.join(lines)
    assert joined(text) == plainly_joined(text)
