"""Threads repaired: scores as numbers, titles as text, line breaks, list items."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.stackexchange import Post, line_breaks, list_items, order_by_score, published_html, readable_html

SCORES = [
    (["9", "100", "10", "-1", "-5"], ["100", "10", "9", "-1", "-5"]),
    (["", None, "1", "-1"], ["1", "", None, "-1"]),
    (["+3", " 7 ", "5"], [" 7 ", "5", "+3"]),
    (["1", "1e3", "-1", "1_0"], ["1", "1e3", "1_0", "-1"]),
    (["9" * 18, "9" * 30, "1"], ["9" * 18, "1", "9" * 30]),
]


def answers(scores: list[str | None]) -> list[Post]:
    return [Post(n, str(n), "0", None, "", score) for n, score in enumerate(scores)]


@pytest.mark.parametrize(("scores", "wanted"), SCORES)
def test_order(scores: list[str | None], wanted: list[str | None]) -> None:
    assert [post.score for post in order_by_score(answers(scores))] == wanted


@given(st.lists(st.integers(-5, 5)))
def test_equals_stay_in_the_order_of_the_file(scores: list[int]) -> None:
    found = order_by_score(answers([str(score) for score in scores]))
    assert [(int(p.score or 0), p.ordinal) for p in found] == sorted(
        ((score, n) for n, score in enumerate(scores)), key=lambda pair: (-pair[0], pair[1])
    )


BREAKS = [
    ("a<br>b", "a\nb"), ("a<br/>b", "a\nb"), ("a<BR />b", "a\nb"), ("a<br>\nb", "a\nb"), ("a<br><br>b", "a\n\nb"),
    ("a<break>b", "a<break>b"), ("a &lt;br&gt; b", "a &lt;br&gt; b"),
]  # fmt: skip


@pytest.mark.parametrize(("html", "wanted"), BREAKS)
def test_line_breaks(html: str, wanted: str) -> None:
    assert line_breaks(html) == wanted


ITEMS = [
    ("<ol><li>a</li></ol>", "<ol>\n* a</ol>"), ("<li class='b'>a", "\n* a"),
    ("<li>\n<p>a</p>\n</li>", "\n* <p>a</p>\n"),
    ("<link>", "<link>"), ("<ul>a</ul>", "<ul>a</ul>"),
]  # fmt: skip


@pytest.mark.parametrize(("html", "wanted"), ITEMS)
def test_list_items(html: str, wanted: str) -> None:
    assert list_items(html) == wanted


ALL = ("plain_title", "line_breaks", "list_items")


def test_no_asterisk_stands_alone() -> None:
    html = "<p>b:</p>\n<ol>\n<li><p>c</p></li>\n<li>d</li>\n</ol>\n"
    assert readable_html(None, html, repairs=ALL).split() == ["b:", "*", "c", "*", "d"]
    assert "*\n" not in readable_html(None, html, repairs=ALL)
    assert "*\n" in published_html(None, html)


@pytest.mark.parametrize("title", ["A<B>", "", "a & b"])
def test_titles(title: str) -> None:
    assert readable_html(title, "<p>c</p>", repairs=ALL) == (f"{title}\nc" if title else "c")


@given(st.text(max_size=20).filter(lambda text: text.isprintable()), st.sampled_from([None, "", "T"]))
def test_without_repairs_it_is_the_published_reading(body: str, title: str | None) -> None:
    assert readable_html(title, body, repairs=()) == published_html(title, body)
