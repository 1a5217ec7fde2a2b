"""Wikitext cleaning against the slow way: the parser's tree, searched and rendered, as the published script does it."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import json
import os
import random
import re
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import mwparserfromhell
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from filters import wikitext, wikitext_tokens
from filters.wikitext import ALIASES, clean, unparsable
from redpajama_data.document import Document, Drop
from slices.parts import wikitext_child, wikitext_process
from slices.parts.wikitext_process import ChildError, page_time_limit
from slices.readers.wikipedia_dump import read_pages


def slow_clean(wikitext: str, language: str) -> str:
    """The oracle: parse, cut into sections, remove media links, ``ref`` and ``table``, strip, join."""
    aliases = [names.split() for names in ALIASES.get(language, ("", ""))]
    media = re.compile("^(?:" + "|".join(["File", "Image", "Media", *aliases[0]]) + "):", re.IGNORECASE)
    category = re.compile("^(?:" + "|".join(["Category", *aliases[1]]) + "):", re.IGNORECASE)
    texts = []
    code = mwparserfromhell.parse(wikitext)
    for section in code.get_sections(flat=True, include_lead=True, include_headings=True):

        def remove(node: Any, section: Any = section) -> None:
            with contextlib.suppress(ValueError):  # it went with the node that held it
                section.remove(node)

        for link in section.ifilter_wikilinks(recursive=True):
            if media.match(str(link.title)):
                remove(link)
            elif category.match(str(link.title)):
                link.text = category.sub("", str(link.__strip__()))
        for tag in section.ifilter_tags(matches=lambda tag: str(tag.tag) in ("ref", "table"), recursive=True):
            remove(tag)
        texts.append(re.sub("__[A-Z]*__", "", section.strip_code().strip()))
    return "\n\n".join(texts)


CASES = {
    # links
    "link": ("[[Foo]] and [[Foo|bar]]", "Foo and bar"),
    "pipe trick": ("[[Foo|]]", ""),
    "interwiki stays": ("[[fr:Foo]]", "fr:Foo"),
    "media": ("a[[File:x.jpg|thumb|A [[caption]]]]b[[image:y]]c[[Media:z]]d", "abcd"),
    "media needs its colon": ("[[File]] [[Files:x]]", "File Files:x"),
    "media with a blank before": ("[[ File:x]]", "File:x"),
    "media, name interrupted": ("[[File<!-- -->:x]]", "File:x"),
    "category": ("[[Category:Foo]]", "Foo"),
    "category with a colon before": ("[[:Category:Foo]]", ":Category:Foo"),
    "category, sort key": ("[[Category:Foo|bar]]", "bar"),
    "category, only the first prefix goes": ("[[Category:Category:Foo]]", "Category:Foo"),
    "category, text parsed again: a list mark": ("[[Category:Foo|*]]", ""),
    "category, text parsed again: an entity": ("[[Category:Foo|&amp;lt;]]", "<"),
    "category, text parsed again: a media link": ("[[Category:Foo|&#91;&#91;File:x&#93;&#93;y]]", "y"),
    "category in a link's text": ("[[File:a|[[Category:Foo]]]]", ""),
    # a removal hides the next sibling below the top level, never at the top
    "two media links at the top": ("[[File:a]][[File:b]]", ""),
    "two media links in a tag": ("<b>[[File:a]][[File:b]][[File:c]]</b>", "File:b"),
    "two references at the top": ("<ref>a</ref><ref>b</ref>", ""),
    "two references in a tag": ("''<ref>a</ref><ref>b</ref><ref>c</ref>''", "b"),
    "a media link between references": ("''<ref>a</ref>[[File:x]]<ref>b</ref>''", "b"),
    "a reference between media links": ("''[[File:a]]<ref>r</ref>[[File:b]]''", ""),
    "hidden from one search, not the other": ("<i>[[File:a]]<s>[[File:b]]<ref>r</ref></s></i>", "File:b"),
    "text takes the hiding": ("<b>[[File:a]] [[File:b]]</b>", ""),
    # tags
    "ref, self-closing": ("a<ref name=x/>b", "ab"),
    "ref in capitals stays": ("a<REF>b</REF>", "ab"),
    "table": ("a\n{|\n|b\n|}\nc", "a\n\nc"),
    "html table": ("a<table><tr><td>b</td></tr></table>c", "ac"),
    "code, nowiki": ("<code>a</code><nowiki>''b''</nowiki>", "a''b''"),
    "math, gallery": ("a<math>x</math><Gallery>y</Gallery>b", "ab"),
    "br": ("a<br>b<br/>c", "abc"),
    "attribute with a tag in it": ('<b a="<i>x</i>">y</b>', "y"),
    "bold and italics": ("'''a''' ''b'' '''''c'''''", "a b c"),
    "list marks": ("* a\n** b\n# c\n; d : e", "a\n b\n c\n d  e"),
    # the rest
    "template": ("a{{b|c={{d}}}}e", "ae"),
    "argument": ("{{{1|d}}}{{{2}}}", "d"),
    "comment": ("a<!-- [[b]] -->c", "ac"),
    "external links": ("[http://a.b label] [http://a.b] http://c.d", "label  http://c.d"),
    "entities": ("&amp;&#65;&#x42;&nosuch;", "&AB&nosuch;"),
    "newlines": ("a\n\n\n\nb", "a\n\nb"),
    "unclosed": ("[[a {{b <ref>c", "[[a {{b <ref>c"),
    "magic words leave their blanks": ("__NOTOC__ a __FOO__", " a "),
    "sections": ("lead\n== A ==\na\n=== B ===\n== C ==\nc", "lead\n\nA \na\n\nB\n\nC \nc"),
    "empty lead": ("== A ==\na", "\n\nA \na"),
    "heading in a tag is no section": ("<div>\n== A ==\nb</div>", "A \nb"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_clean(name: str) -> None:
    wikitext, text = CASES[name]
    assert slow_clean(wikitext, "en") == text  # the case itself is right
    assert clean(wikitext, "en") == text


@pytest.mark.parametrize("language", ALIASES)
def test_aliases(language: str) -> None:
    media, category = (names.split() for names in ALIASES[language])
    for name in ["File", *media]:
        assert clean(f"a[[{name.upper()}:x|y]]b", language) == "ab"
    for name in ["Category", *category]:
        assert clean(f"a[[{name.lower()}:x]]b", language) == "axb"


def test_another_language_has_the_english_names() -> None:
    assert clean("[[Datei:x]] [[File:y]]", "ltg") == "Datei:x"


DUMPS = [
    ("bgwiki-latest-pages-articles-shortened.xml.bz2", "bg", 3),
    ("enwiki-table-markup.xml.bz2", "en", 5),
    ("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "en", 206),
    ("ltgwiki-latest-pages-articles.xml.bz2", "ltg", 2001),
]


@pytest.fixture(scope="module")
def real_pages(shared_data: Path) -> dict[str, list[str]]:
    """Every page of every real dump that has text, redirects and other namespaces included."""
    pages: dict[str, list[str]] = {}
    for name, _, _ in DUMPS:
        with bz2.open(shared_data / "wikipedia" / name) as dump:
            texts = [element.text for _, element in etree.iterparse(dump, tag="{*}text")]
        pages[name] = [text for text in texts if isinstance(text, str) and text]
    return pages


@pytest.mark.parametrize(("name", "language", "count"), DUMPS, ids=[name for name, _, _ in DUMPS])
def test_every_real_page_equals_the_slow_way(
    real_pages: dict[str, list[str]], name: str, language: str, count: int
) -> None:
    pages = real_pages[name]
    assert len(pages) == count
    different = [number for number, text in enumerate(pages) if clean(text, language) != slow_clean(text, language)]
    assert different == []


def test_parity_with_the_published_script(shared_data: Path) -> None:
    dump = str(shared_data / "wikipedia" / DUMPS[2][0])
    documents = [doc for doc in read_pages(dump, language="en", timestamp="20230320") if isinstance(doc, Document)]
    with gzip.open(shared_data / "expected" / "wikipedia.jsonl.gz") as lines:
        expected = [json.loads(line) for line in lines]
    ours: list[dict[str, Any]] = []
    for doc in documents:
        text = clean(doc.text, "en")
        ours.append({"sha256": hashlib.sha256(text.encode()).hexdigest(), "chars": len(text), "meta": doc.meta})
    assert ours == expected
    assert [list(one["meta"]) for one in ours] == [list(one["meta"]) for one in expected]  # the order of the keys


# Every kind of markup, opened, closed and both, in any order: most readings of such text fail, which is the point.
FRAGMENTS = [
    *(
        "[[",
        "]]",
        "{{",
        "}}",
        "{{{",
        "}}}",
        "|",
        "=",
        "==",
        "''",
        "'''",
        "'''''",
        "<ref>",
        "</ref>",
        "<ref/>",
        "<b>",
        "</b>",
    ),
    *("<s>", "</s>", "<br>", "<br/>", "{|", "|}", "|-", "||", "!", "!!", ":", ";", "*", "#", "[http://a.b ", "]"),
    *("http://x.y/", "&amp;", "&lt;", "&#91;", "&foo;", "&#x41;", "<!--", "-->", "File:", "Category:", "[[File:a|t|"),
    *("[[Category:Foo|", "[[Category:F]]", "[[File:x]]", "<gallery>", "</gallery>", "<math>", "</math>", "<nowiki>"),
    *("</nowiki>", "__TOC__", "a", "----", "<li>", "</li>", "<td>", "<table>", "</table>", "<REF>", "<ref>q</ref>"),
    *("<ref>q</ref><ref>r</ref>", "{{a|b=c}}", "{{{1|d}}}", '<b a="', '"', "'", "\\", "/", "<div a=b c>", "</div>"),
    *("&#91;&#91;Category:B|q&#93;&#93;", "<s>[[File:a]][[File:b]]</s>", "\n", "\n\n\n", "\n{|\n|", "\n|}\n"),
    *("\n== h ==\n", "\n* ", " "),
]
fragments = st.lists(st.sampled_from(FRAGMENTS))


def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Well-formed markup around well-formed markup, so that removals meet siblings at every depth."""
    frames = [
        *("[[File:a|%s]]", "[[File:x]]", "[[Category:%s]]", "[[Category:c|%s]]", "[[a|%s]]", "''%s''", "'''%s'''"),
        *("<ref>%s</ref>", "<ref/>", "<b>%s</b>", "<div>%s</div>", "<table>%s</table>", "<math>%s</math>", "{{t|%s}}"),
        *("{{{1|%s}}}", "[http://a.b %s]", "<!--%s-->", "&#91;%s&#93;", "\n{|\n|%s\n|}\n", "\n== %s ==\n", "\n* %s\n"),
    ]
    framed = st.tuples(st.sampled_from(frames), inner).map(lambda pair: pair[0].replace("%s", pair[1]))
    return st.lists(st.one_of(framed, inner), max_size=4).map("".join)


@settings(max_examples=300)
@given(fragments.map("".join))
def test_hostile_markup_equals_the_slow_way(wikitext: str) -> None:
    assert clean(wikitext, "en") == slow_clean(wikitext, "en")


@settings(max_examples=300)
@given(
    st.recursive(st.sampled_from(["a", " ", "\n", "b c", "&lt;", "<ref>r</ref>", "[[File:f]]"]), wrapped, max_leaves=12)
)
def test_nested_markup_equals_the_slow_way(wikitext: str) -> None:
    assert clean(wikitext, "en") == slow_clean(wikitext, "en")


def test_cut_and_spliced_real_pages_equal_the_slow_way(real_pages: dict[str, list[str]]) -> None:
    chance = random.Random(1)
    pages = real_pages[DUMPS[2][0]] + real_pages[DUMPS[1][0]]
    for _ in range(60):
        pieces = []
        for _ in range(4):
            page = chance.choice(pages)
            start = chance.randrange(len(page))
            pieces.append(page[start : start + chance.randrange(1500)])
        wikitext = "".join(pieces)
        assert clean(wikitext, "en") == slow_clean(wikitext, "en"), wikitext


def test_a_page_the_parser_gives_up_on_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    class GivesUp:
        def tokenize(self, *_: object) -> None:
            raise mwparserfromhell.parser.ParserError("BAD_ROUTE")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(wikitext_tokens, "CTokenizer", GivesUp)
    result = unparsable(Document("d#0", "text", {"language": "en"}))
    assert isinstance(result, Drop)
    assert result.rule == "unparsable"


@pytest.mark.parametrize(
    "kinds", [["WikilinkOpen"], ["TagOpenOpen"], ["TemplateOpen"], ["HeadingStart", "WikilinkClose"]]
)
def test_a_token_stream_cut_short_is_an_error(monkeypatch: pytest.MonkeyPatch, kinds: list[str]) -> None:
    stream = [getattr(mwparserfromhell.parser.tokens, kind)() for kind in kinds]
    monkeypatch.setattr(wikitext_tokens, "tokenize", lambda _: list(stream))
    with pytest.raises(wikitext_tokens.UnparsableError):
        clean("anything", "en")


# ------------------------------------------------------------------------------------------ the time limit


def page(text: str) -> Document:
    return Document("d#0", text, {"language": "en"})


def doubling(depth: int) -> str:
    """Tables in templates where a table cell's style would stand: the parser reads each level twice."""
    text = "q"
    for _ in range(depth):
        text = "{{a|\n{|\n|" + text + "|y\n|}\n}}"
    return text


def test_a_page_that_would_take_hours_leaves_and_the_next_one_is_cleaned() -> None:
    result = page_time_limit(page(doubling(40)), limit=1_000_000, cpu_seconds=0.1)
    assert result == Drop("page_time_limit", "more than 1000000", 1_000_000)
    assert page_time_limit(page("'''a'''"), limit=1_000_000, cpu_seconds=0.1) == page("a")


def test_the_count_decides_not_the_clock() -> None:
    slow = "<b>" * 1200  # a hundred times the timer below
    assert page_time_limit(page(slow), limit=1_000_000_000, cpu_seconds=0.001) == page(clean(slow, "en"))


def test_the_child_gives_back_what_it_was_given() -> None:
    text = "lone \ud800 surrogate, é, 𝒳, \x00 and &#xD800;"
    result = page_time_limit(page(text), limit=1_000_000, cpu_seconds=2.0)
    assert result == page(clean(text, "en"))


def test_a_defect_in_the_cleaning_is_an_error_not_a_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(_: Document, *, categories: bool) -> Document:
        raise KeyError("language")

    monkeypatch.setattr(wikitext, "unparsable", defective)
    reply = wikitext_child._answer("a", wikitext_child.how_asked(page("a"), categories=True))
    assert reply == (b"E", "KeyError: 'language'")
    monkeypatch.setattr(wikitext_process.Child, "ask", lambda *_, **__: reply)
    with pytest.raises(RuntimeError, match="d#0"):
        page_time_limit(page("a"), limit=1, cpu_seconds=2.0)


def test_a_parser_that_crashes_costs_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikitext_process, "_START", "import os; os.abort() # {}")
    monkeypatch.setattr(wikitext_process, "_local", threading.local())
    result = page_time_limit(page("a"), limit=1_000_000, cpu_seconds=2.0)
    assert isinstance(result, Drop)
    assert result.rule == "unparsable"
    assert "-6" in str(result.measured)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("os.kill(os.getpid(), 9)", MemoryError),
        ("raise ImportError", ChildError),
        ("os.kill(os.getpid(), 15)", ChildError),
    ],
)
def test_a_child_that_the_page_did_not_end_is_no_drop(
    monkeypatch: pytest.MonkeyPatch, end: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(wikitext_process, "_START", f"import os; {end} # {{}}")
    monkeypatch.setattr(wikitext_process, "_local", threading.local())
    with pytest.raises(error, match="d#0"):
        page_time_limit(page("a"), limit=1_000_000, cpu_seconds=2.0)


ORPHANS = {
    "waiting": "c = wp.Child(counting=False); c.ask(doc, limit=10**9, cpu_seconds=2.0)",
    "on a page of minutes": "c = wp.Child(counting=True); c.process.stdin.write(page); c.process.stdin.flush()",
}


@pytest.mark.parametrize("state", ORPHANS)
def test_a_child_ends_with_its_killed_parent(state: str) -> None:
    text = doubling(40).encode()
    lines = [
        "import sys; from redpajama_data.document import Document; from slices.parts import wikitext_process as wp",
        "doc = Document('d#0', 'a', {'language': 'en'})",
        f"page = wp.REQUEST.pack(1, 10**10, 2.0, 2, {len(text)}) + b'en' + {text!r}",
        ORPHANS[state],
        "print(c.process.pid, flush=True); sys.stdin.read()",
    ]
    command = [sys.executable, "-c", "\n".join(lines)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended, _, _ = select.select([child], [], [], 20)  # readable when the process has ended
    os.close(child)
    assert ended
