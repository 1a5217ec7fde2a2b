"""HTML to text: equal to BeautifulSoup with lxml, on real bodies, on chosen cases and on generated rubbish."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from filters.html_text import (
    MAX_DOUBTFUL_ATTRIBUTES,
    MAX_EVENT_CHARS,
    MAX_TREE_DEPTH,
    bullet_lists,
    doubtful_attributes,
    events_to_text,
    html_to_text,
)
from filters.stackexchange import Post
from slices.readers.stackexchange_dump import read_posts

NAMES = [
    *("p", "pre", "code", "textarea", "script", "style", "template", "title", "br", "hr", "li", "ul"),
    *("ol", "table", "tr", "td", "select", "option", "ruby", "rt", "rp", "a", "b", "html"),
    *("head", "body", "plaintext", "xmp", "iframe", "noscript", "svg", "math", "x:y", "frameset", "form", "button"),
    *("h1", "dl", "dt", "dd", "PRE", "Script"),
]
PIECES = [
    *(f"<{name}>" for name in NAMES),
    *(f"</{name}>" for name in NAMES),
    *(
        "<br/>",
        "<p/>",
        "</ p>",
        "<1>",
        "</1>",
        "<Ä>",
        "<b",
        "<b/",
        "</",
        "<",
        ">",
        "/>",
        "<a href='x",
        '<a title="<p>">',
    ),
    *("<!-- c -->", "<!--", "-->", "<!", "<!DOCTYPE html>", "<?pi x?>", "<?", "<![CDATA[x]]>", "<![CDATA[", "]]>"),
    *(
        "&",
        "&amp;",
        "&lt;",
        "&notit;",
        "&nbsp;",
        "&copy",
        "&copyx",
        "&foo;",
        "&#0;",
        "&#x80;",
        "&#xD800;",
        "&#x;",
        "&#",
    ),
    *("&#x110000;", "&#99999999999;", "\0", "\x01", "\v", "\f", "\r", "\r\n", "\n", "\n\n", " ", "  ", "\t", "\xa0"),
    *("\x85", "\u2028", "\ufeff", "\ufffe", "\U0001f600", "é", "a", "b c", "'", '"', "List<String>", "a < b", "x<-3"),
    *("<meta charset=latin-1>", "<?xml version='1.0' encoding='latin-1'?>", "<pre>\n \n</pre>", "</p>\n\n<p>"),
]
fragments = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def oracle(html: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BeautifulSoup suspects file names and URLs in short texts
        return BeautifulSoup(html, "lxml").get_text()


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        (" \n ", ""),
        ("<!-- nothing -->", ""),
        ("plain", "plain"),
        ("a<br>b", "ab"),
        ("<p>a</p>\n\n<p>b</p>\n", "a\nb\n"),
        ("<p>a</p> \t <p>b</p>", "a b"),
        ("<p>a</p>\xa0\n<p>b</p>", "a\xa0\nb"),
        ("\n <p>a</p>", "a"),
        ("<pre>  \n\n</pre><b>  \n\n</b>", "  \n\n\n"),
        ("<pre><code>a\n\n  </code>\n\n</pre>", "a\n\n  \n\n"),
        ("a<script>b</script><style>c</style><template>d</template><ruby>e<rp>(</rp><rt>f</rt></ruby>g", "aeg"),
        ("a<!-- b -->c<?d?>e", "ace"),
        ("a<script><b>x</b></script>b", "ab"),
        ("List<String> &amp;amp; &lt;b&gt; &copy; &nosuch;", "List &amp; <b> © &nosuch;"),
        ("a\0b&#0;c", "a\ufffdb\ufffdc"),
        ("\ufeffa", "a"),
        ("a</html>b", "ab"),
        ("x\n<!doctype html> \n<b>y</b>", "x\n\ny"),
        ("</p> \n <b>y</b>", "\ny"),
        ("<p>unclosed <b>bold", "unclosed bold"),
    ],
)
def test_cases(html: str, text: str) -> None:
    assert html_to_text(html) == text
    assert oracle(html) == text


@settings(max_examples=400)
@given(fragments | st.text(max_size=40))
@example("</a>\n ")
@example("&#XA;b")
@example("<p></html> ")
@example("x<!doctype x>\f")
def test_equals_beautiful_soup(html: str) -> None:
    assert html_to_text(html) == oracle(html)


@settings(max_examples=400)
@given(fragments)
def test_both_paths_agree(html: str) -> None:
    assert html_to_text("<p>" + html) == events_to_text("<p>" + html)


def test_equals_beautiful_soup_on_real_bodies(shared_data: Path) -> None:
    path = shared_data / "stackexchange" / "conlang.meta.stackexchange.com" / "Posts.xml"
    bodies = [post.body for post in read_posts(str(path)) if isinstance(post, Post) and post.body]
    assert len(bodies) == 173
    assert [html_to_text(body) for body in bodies] == [oracle(body) for body in bodies]


@pytest.mark.parametrize("depth", [250, 260, MAX_TREE_DEPTH - 5, MAX_TREE_DEPTH + 100, 5000])
def test_deep_nesting_loses_nothing(depth: int) -> None:
    html = "<p>a</p>" + "<b>" * depth + "x" + "</b>" * depth + "y"
    assert html_to_text(html) == "axy"


def test_deep_and_long_is_refused() -> None:
    filler = "x" * MAX_EVENT_CHARS
    assert html_to_text("<b>" * 100 + filler) == filler
    with pytest.raises(ValueError, match="250,000 is the limit"):
        html_to_text("<b>" * (MAX_TREE_DEPTH + 100) + filler)


@pytest.mark.parametrize(("size", "refused"), [(MAX_EVENT_CHARS, False), (MAX_EVENT_CHARS + 1, True)])
def test_limit_of_the_event_path(size: int, refused: bool) -> None:
    html = "a</html>".ljust(size, "b")
    if refused:
        with pytest.raises(ValueError, match="irregular HTML of 250,001 characters"):
            html_to_text(html)
    else:
        assert html_to_text(html) == "a" + "b" * (size - 8)


def attributes(count: int) -> str:
    return "".join(f" a{i}" for i in range(count))


# Before the attributes: quotes where some parser takes them otherwise than a plain expression does.
BEFORE = [
    "",
    "a=b=%s  c=%s> d %s",
    "x=%s <a b=%sq=%s c=%sq=%s>",
    "a=b\fc=%sx>y%s",
    "a=%sx%s\f",
    "a%s>%s",
    "a = %s>%s",
    "/",
]


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize(
    "start", ["", "<!-- <a b=%s-->", "<script><a b=%s</script>", "<textarea><a b='%s\n</textarea>"]
)
def test_a_tag_of_80000_attributes_is_refused_before_it_is_parsed(start: str, before: str, quote: str) -> None:
    html = f"{start}<p {before}".replace("%s", quote) + attributes(80_000) + ">text"  # a minute and a half in libxml2
    with pytest.raises(ValueError, match="more than 10,000 attributes"):
        html_to_text(html)


def test_names_of_quotes_are_counted() -> None:
    names = (f"{n:b}".replace("0", "'").replace("1", '"') for n in range(1 << 16, (1 << 16) + 20_000))
    with pytest.raises(ValueError, match="attributes"):
        html_to_text(f"<p {' '.join(names)}>text")


@pytest.mark.parametrize(("count", "refused"), [(MAX_DOUBTFUL_ATTRIBUTES, False), (MAX_DOUBTFUL_ATTRIBUTES + 1, True)])
def test_limit_of_attributes(count: int, refused: bool) -> None:
    html = f"<p{attributes(count)}>text"
    if refused:
        with pytest.raises(ValueError, match="attributes"):
            html_to_text(html)
    else:
        assert html_to_text(html) == "text"


def test_long_bodies_of_plain_tags_are_read_whatever_their_number() -> None:
    link = """<p><a href="https://a.org/?b&amp;d='e'" rel='f'>x</a> it is "5" &lt; 6<br/><img src="i" alt=""></p>\n"""
    assert doubtful_attributes(link * 20_000) == 0
    assert html_to_text(link * 20_000) == 'x it is "5" < 6\n' * 20_000
    full = f"<p{attributes(100)}>x"
    assert doubtful_attributes(full * 500) == 0
    assert doubtful_attributes(full + f"<p{attributes(101)}>x") == 101


def most_attributes(html: str) -> int:
    """Of the richest tag, as libxml2 sees it."""
    parser = etree.HTMLParser(huge_tree=True)
    parser.feed(html)
    return max(len(element.attrib) for element in parser.close().iter(etree.Element))


TAG_PIECES = [*PIECES, "<p ", "<p x=", "<a b=", "q=", " c=", '"', "'", "=", "/", ">", "<!--", "-->", "\f", "\xa0"]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(TAG_PIECES), max_size=12), st.integers(0, 12))
@example(["<p x=", '"', '<a b="q=" c="q=">'], 3)
@example(["<b/\t", '"'], 2)
@example(["<p \x0b"], 1)
@example(["<p a=b=", '"', "  c=", '"', "> d ", '"'], 6)
def test_no_tag_has_more_attributes_than_are_counted(pieces: list[str], at: int) -> None:
    html = "x" + "".join([*pieces[:at], attributes(400), *pieces[at:]])
    assert most_attributes(html) <= max(150, doubtful_attributes(html))


def test_lone_surrogate_is_refused_as_by_beautiful_soup() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        html_to_text("<p>\ud800")
    with pytest.raises(ValueError, match="surrogates"):
        oracle("<p>\ud800")


@pytest.mark.parametrize(
    ("html", "marked"),
    [
        ("<ol>\n<li>a</li>\n<li>b</li></ol>", "\n*\n\n*a\n\n*b"),
        ("<ul><li>a</li></ul>", "<ul>\n*a</ul>"),
        ("<LI>a</LI><li value=2>b<ol start=3>", "<LI>a</LI><li value=2>b<ol start=3>"),
    ],
)
def test_bullet_lists(html: str, marked: str) -> None:
    assert bullet_lists(html) == marked
