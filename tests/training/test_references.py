"""Reference URLs of a dump: the published patterns' results, in linear time."""

from __future__ import annotations

import bz2
import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redpajama_data.errors import BrokenInput
from redpajama_data.training.references import between_references, extract_references, urls, write_references

# The patterns as the recipe gives them: the oracle, slow on hostile lines.
REFS = re.compile("&lt;ref&gt(.*)&lt;/ref&gt;")
URL = re.compile(
    r"\b(?:https?|telnet|gopher|file|wais|ftp):[\w/#~:.?+=&%@!\-.:?\\-]+?(?=[.:?\-]*(?:[^\w/#~:.?+=&%@!\-.:?\-]|$))"
)


def published(line: str) -> list[str]:
    found = REFS.search(line)
    return URL.findall(found[0]) if found else []


MARKS = "&lt;ref&gt; &lt;ref&gt &lt;/ref&gt; http: https:// ftp: xhttp: file: \\ a.b/c ... : ? - &amp; ; é ] _ wais 1"
FRAGMENTS = st.sampled_from([" ", "&lt;ref name=a&gt;", *MARKS.split()])
ONE_LINE = (
    st.lists(FRAGMENTS | st.text(max_size=3), max_size=30).map("".join).filter(lambda t: not {"\n", "\r"} & set(t))
)


@settings(max_examples=400)
@example("&lt;ref&gt;http:\\\\a\\b&lt;/ref&gt;")
@example("&lt;ref&gt;http:.http:a.-&lt;/ref&gt;")
@given(ONE_LINE)
def test_same_as_the_published_patterns(line: str) -> None:
    assert list(urls(between_references(line))) == published(line)


@settings(max_examples=300)
@given(st.text(alphabet="htpsf:/.?-\\a;é&", max_size=40))
def test_urls_same_as_the_published_pattern(text: str) -> None:
    assert list(urls(text)) == URL.findall(text)
    assert list(urls("http:" + text)) == URL.findall("http:" + text)


CASES = {
    "plain": ("&lt;ref&gt;[http://a.org/x A]&lt;/ref&gt;", ["http://a.org/x"]),
    "no reference": ("http://a.org/x", []),
    "named reference opens nothing": ("&lt;ref name=x&gt;http://a.org&lt;/ref&gt;", []),
    "never closed": ("&lt;ref&gt;http://a.org", []),
    "closed before it opens": ("&lt;/ref&gt;&lt;ref&gt;http://a.org", []),
    "greedy: text between two references": (
        "&lt;ref&gt;x&lt;/ref&gt; see http://between.org &lt;ref&gt;y&lt;/ref&gt;",
        ["http://between.org"],
    ),
    "before the first and after the last": (
        "http://a.org &lt;ref&gt;ftp://b.org/&lt;/ref&gt; http://c.org",
        ["ftp://b.org/&lt"],
    ),
    "trailing punctuation": ("&lt;ref&gt;http://a.org/x.?:- y&lt;/ref&gt;", ["http://a.org/x"]),
    "only punctuation keeps its first": ("&lt;ref&gt;http:... y&lt;/ref&gt;", ["http:."]),
    "escaped ampersand is cut": ("&lt;ref&gt;http://a.org/?p=1&amp;q=2&lt;/ref&gt;", ["http://a.org/?p=1&amp"]),
    "url runs into the closing tag": ("&lt;ref&gt;http://a.org&lt;/ref&gt;", ["http://a.org&lt"]),
    "repeats stay": ("&lt;ref&gt;http://a http://a &lt;/ref&gt;", ["http://a", "http://a"]),
}


@pytest.mark.parametrize(("line", "expected"), CASES.values(), ids=CASES.keys())
def test_oddities(line: str, expected: list[str]) -> None:
    assert published(line) == expected  # the oracle first: a wrong case must not pass
    assert list(urls(between_references(line))) == expected


@pytest.mark.parametrize(
    "line",
    ["&lt;ref&gt;http:" + "." * 2_000_000 + "&lt;/ref&gt;", "&lt;ref&gt" * 200_000, "&lt;ref&gt;" + "http:" * 400_000],
    ids=["dots", "openings", "schemes"],
)
def test_hostile_lines_take_linear_time(line: str) -> None:
    began = time.process_time()
    list(urls(between_references(line)))
    assert time.process_time() - began < 2  # 0.05 s here; the published patterns take hours on the first


def dump(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "wiki.xml.bz2"
    path.write_bytes(data)
    return str(path)


def test_multistream_dump(tmp_path: Path) -> None:
    first = b"<page>\r\nx &lt;ref&gt;http://a.org/1 &lt;/ref&gt;\r\n"
    second = b"\xff&lt;ref&gt;http://b\xe2\x82.org &lt;/ref&gt;\rhttp://no.org &lt;/ref&gt;\n"
    path = dump(tmp_path, bz2.compress(first) + bz2.compress(second))
    assert list(extract_references(path)) == ["http://a.org/1", "http://b.org"]
    out = tmp_path / "urls.txt"
    assert write_references(extract_references(path), str(out)) == 2
    assert out.read_text() == "http://a.org/1\nhttp://b.org\n"


def test_damaged_dump_leaves_no_file(tmp_path: Path) -> None:
    line = b"&lt;ref&gt;http://a.org/1 &lt;/ref&gt;\n"
    path = dump(tmp_path, bz2.compress(line) + bz2.compress(line)[:-8])
    seen = []
    with pytest.raises(BrokenInput):
        seen.extend(extract_references(path))
    with pytest.raises(BrokenInput):
        write_references(extract_references(path), str(tmp_path / "urls.txt"))
    assert not list(tmp_path.glob("urls*"))


def test_a_line_longer_than_any_dump_has_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redpajama_data.training.references.MAX_LINE", 100)
    path = dump(tmp_path, bz2.compress(b"ok\n" + b"x" * 101 + b"\n"))
    with pytest.raises(BrokenInput, match=r"wiki\.xml\.bz2:2: a line of 101 bytes"):
        list(extract_references(path))


def test_real_dump_equals_the_published_patterns(shared_data: Path) -> None:
    path = shared_data / "wikipedia" / "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
    with bz2.open(path, "rt", encoding="utf-8", errors="ignore") as lines:
        expected = [url for line in lines for url in published(line)]
    assert expected
    assert list(extract_references(str(path))) == expected
