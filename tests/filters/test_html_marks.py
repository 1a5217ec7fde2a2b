"""Quotes and the addresses of links, kept when HTML becomes text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.html_marks import link_addresses, mark_quotes, quoted_lines
from filters.html_text import html_to_text
from filters.stackexchange import readable_html

QUOTES = [
    ("none", "<p>a</p>\n<p>b</p>", "a\nb"),
    ("one", "<p>a</p>\n<blockquote>\n  <p>b</p>\n</blockquote>\n<p>c</p>", "a\n> b\nc"),
    ("two paragraphs", "<blockquote>\n  <p>b</p>\n\n<p>c</p>\n</blockquote>", "> b\n> c"),
    ("an empty line", "<blockquote><pre>b\n\nc</pre></blockquote>", "> b\n>\n> c"),
    ("in a quote", "<blockquote>b<blockquote>c</blockquote>d</blockquote>e", "> b\n> > c\n> d\ne"),
    ("inside a line", "a<blockquote>b</blockquote>c", "a\n> b\nc"),
    ("with attributes", '<blockquote class="spoiler">b</blockquote>', "> b"),
    ("empty", "a<blockquote>\n</blockquote>c", "a\nc"),
    ("never closed", "a<blockquote>b", "a\n> b"),
    ("only closed", "a</blockquote>b", "ab"),
    ("another element", "<blockquotes>b</blockquotes>", "b"),
    ("as text", "&lt;blockquote&gt;b", "<blockquote>b"),
    ("indented by two", "<blockquote>\n  <p>b\n  c\n d</p></blockquote>", "> b\n> c\n>  d"),
    ("code", "<blockquote><pre>b\n    c</pre></blockquote>", "> b\n>     c"),
    ("a list's item", "<li><blockquote>\n<p>b</p></blockquote></li>", "* > b"),
    ("marks of the text itself", "\ufdd0a<blockquote>b&#xFDD1;c&#64976;</blockquote>d", "a\n> bc\nd"),
]


@pytest.mark.parametrize(("html", "text"), [case[1:] for case in QUOTES], ids=[case[0] for case in QUOTES])
def test_quotes(html: str, text: str) -> None:
    assert readable_html(None, html, repairs=("list_items", "quote_marks")).strip("\n") == text


LINKS = [
    ('<a href="http://a.org">b</a>', "b (http://a.org)"),
    ('<a rel="nofollow" href="https://a.org/?b=1&amp;c=2">b <b>c</b></a>.', "b c (https://a.org/?b=1&c=2)."),
    ('<a href="http://a.org">http://a.org</a>', "http://a.org"),
    ('<a href="http://a.org"> www.a.org</a>', " www.a.org"),
    ('<a href="/questions/1">b</a>', "b"),
    ('<a href="#b">b</a> <a href="ftp://a.org">c</a>', "b c"),
    ('<a href="http://a.org"><img src="b"></a>', ""),
    ('<a name="b">c</a><abbr>d</abbr>', "cd"),
    ('<a href="http://a.org">b', "b"),
    ('b</a> <a href="http://a.org">c</a> <a name="d">e</a>', "b c (http://a.org) e"),
    ("a &lt;a href=&quot;http://a.org&quot;&gt;b</a>", 'a <a href="http://a.org">b'),
]


@pytest.mark.parametrize(("html", "text"), LINKS)
def test_addresses_of_links(html: str, text: str) -> None:
    assert readable_html(None, html, repairs=(), addresses=True) == text


PIECES = [
    "<blockquote>",
    "</blockquote>",
    "a",
    "\n",
    " ",
    "<p>",
    "</p>",
    "<li>",
    "\ufdd0",
    "&#64976;",
    '<a href="http://a">',
]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_mark_is_left_and_no_word_is_lost(html: str) -> None:
    text = quoted_lines(html_to_text(mark_quotes(html)))
    if "<blockquote" in html:
        assert not set(text) & {"\ufdd0", "\ufdd1"}
    assert text.count("a") == html_to_text(html).count("a")


@pytest.mark.parametrize(
    "piece", ["<blockquote>", '<a href="http://', "<a ", "<blockquote ", '<a href="http://a">', "</a>"]
)
def test_hostile_html_takes_time_in_proportion(piece: str) -> None:
    html = piece * (1_000_000 // len(piece))
    start = time.process_time()
    quoted_lines(mark_quotes(link_addresses(html)))
    assert time.process_time() - start < 3
