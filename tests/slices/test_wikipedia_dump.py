"""Reading and cutting Wikipedia dumps: built here in every form they come in, and the real ones."""

from __future__ import annotations

import bz2
import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput, InputUnavailable
from slices.readers import wikipedia_xml
from slices.readers.wikipedia_dump import page_url, read_pages
from slices.readers.wikipedia_pieces import WHOLE, Piece, split_dump

HEAD = b'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" xml:lang="en">\n  <siteinfo><x>a</x></siteinfo>\n'
FOOT = b"</mediawiki>\n"


def page_xml(title: str, text: str, *, ns: str = "0", extra: str = "") -> str:
    return (
        f"  <page>\n    <title>{escape(title)}</title>\n    <ns>{ns}</ns>\n    <id>7</id>\n{extra}"
        f'    <revision><id>1</id><comment>c</comment><text xml:space="preserve">{escape(text)}</text></revision>\n'
        "  </page>\n"
    )


PAGES = [(f"Page {number}", f"text {number} <b>&amp; more</b>\n" * (number + 1)) for number in range(60)]
GROUPS = ["".join(page_xml(*page) for page in PAGES[first : first + 5]).encode() for first in range(0, 60, 5)]


Records = list[Document | Rejected | BrokenInput]


def read(path: Path, piece: Piece = WHOLE) -> Iterator[Document | Rejected | BrokenInput]:
    return read_pages(str(path), language="en", timestamp="20230320", piece=piece)


def until_broken(path: Path, piece: Piece = WHOLE) -> tuple[Records, BrokenInput]:
    """What is read before the error, and the error."""
    records: Records = []
    with pytest.raises(BrokenInput) as caught:
        records.extend(read(path, piece))
    return records, caught.value


def titles(records: Records) -> list[str]:
    return [record.meta["title"] for record in records if isinstance(record, Document)]


def multistream(path: Path) -> list[int]:
    """Write the pages as a multistream dump; return the offset of every stream of pages."""
    streams = [bz2.compress(part) for part in (HEAD, *GROUPS, FOOT)]
    path.write_bytes(b"".join(streams))
    return [sum(map(len, streams[:number])) for number in range(1, len(streams) - 1)]


def test_a_page_becomes_a_document(tmp_path: Path) -> None:
    path = tmp_path / "d.xml"
    path.write_bytes(HEAD + page_xml("AC/DC & co?", " '''text''' \n").encode() + FOOT)
    assert list(read(path)) == [
        Document(
            f"{path}#0",
            " '''text''' \n",
            {
                "title": "AC/DC & co?",
                "url": "https://en.wikipedia.org/wiki/AC/DC%20%26%20co%3F",
                "language": "en",
                "timestamp": "20230320",
            },
        )
    ]


def test_page_url_encodes_as_utf8() -> None:
    assert page_url("bg", "Ян (а)") == "https://bg.wikipedia.org/wiki/%D0%AF%D0%BD%20%28%D0%B0%29"


REJECTED = {
    "another namespace": (page_xml("T:x", "text", ns="10"), Drop("not_article", "10", "0")),
    "namespace before redirect": (
        page_xml("T:x", "t", ns="1", extra='<redirect title="y"/>'),
        Drop("not_article", "1", "0"),
    ),
    "redirect": (page_xml("A", "text", extra='<redirect title="y"/>'), Drop("redirect", "A", "no <redirect>")),
    "no text": (page_xml("A", ""), Drop("no_text", 0, 1)),
    "empty text element": (
        "<page><title>A</title><ns>0</ns><revision><text/></revision></page>",
        Drop("no_text", 0, 1),
    ),
    "no revision": ("<page><title>A</title><ns>0</ns></page>", Drop("no_text", 0, 1)),
    "no title": (
        "<page><ns>0</ns><revision><text>x</text></revision></page>",
        Drop("malformed", "page without title or ns", "title and ns"),
    ),
    "no ns": (
        "<page><title>A</title><revision><text>x</text></revision></page>",
        Drop("malformed", "page without title or ns", "title and ns"),
    ),
}


@pytest.mark.parametrize("name", REJECTED)
def test_rejected(tmp_path: Path, name: str) -> None:
    xml, drop = REJECTED[name]
    path = tmp_path / "d.xml"
    path.write_bytes(HEAD + (xml + page_xml("Next", "#REDIRECT [[x]]")).encode() + FOOT)
    first, second = read(path)
    assert first == Rejected(f"{path}#0", drop)
    assert isinstance(second, Document)  # the word in the text alone is no redirect
    assert second.id == f"{path}#1"


@pytest.mark.parametrize(("size", "kept"), [(50, True), (51, False)])
def test_a_text_beyond_any_page_is_not_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, kept: bool
) -> None:
    monkeypatch.setattr(wikipedia_xml, "MAX_TEXT", 50)
    path = tmp_path / "d.xml"
    path.write_bytes(HEAD + page_xml("A", "x" * size).encode() + FOOT)
    (record,) = read(path)
    expected = [] if kept else [Rejected(f"{path}#0", Drop("malformed", "<text> too long", 50))]
    assert [record for record in [record] if isinstance(record, Rejected)] == expected


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain.xml": lambda data: data,
    "one.xml.bz2": bz2.compress,
    "one.xml.gz": gzip.compress,
    "streams.xml.bz2": lambda data: b"".join(bz2.compress(data[at : at + 777]) for at in range(0, len(data), 777)),
    "utf16.xml.bz2": lambda data: bz2.compress(data.decode().encode("utf-16")),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_pages(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS[name](HEAD + b"".join(GROUPS) + FOOT))
    assert [(doc.meta["title"], doc.text) for doc in read(path) if isinstance(doc, Document)] == PAGES
    assert split_dump(str(path), 100) == [WHOLE]


@pytest.mark.parametrize("target", [1, 300, 700, 10**9])
def test_pieces_of_a_multistream_dump_are_the_dump(tmp_path: Path, target: int) -> None:
    path = tmp_path / "enwiki-20230320-pages-articles-multistream.xml.bz2"
    offsets = multistream(path)
    pieces = split_dump(str(path), target)
    records = [record for piece in pieces for record in read(path, piece)]
    assert [(doc.meta["title"], doc.text) for doc in records if isinstance(doc, Document)] == PAGES
    assert len({record.id for record in records if isinstance(record, Document)}) == len(PAGES)
    assert pieces[0].start == 0
    assert [piece.end for piece in pieces] == [*[piece.start for piece in pieces[1:]], None]
    assert {piece.start for piece in pieces[1:]} <= set(offsets)
    assert len(pieces) == {1: 1 + len(offsets), 10**9: 1}.get(target, len(pieces))
    if target == 1:
        assert isinstance(records[5], Document)
        assert records[5].id == f"{path}#{offsets[1]}:0"


def test_a_stream_that_begins_inside_a_page_is_no_cut(tmp_path: Path) -> None:
    path = tmp_path / "d.xml.bz2"
    body = b"".join(GROUPS)
    half = body.index(b"<revision>")
    streams = [HEAD, body[:half], body[half:], FOOT]
    path.write_bytes(b"".join(map(bz2.compress, streams)))
    assert [piece.start for piece in split_dump(str(path), 1)] == [0, len(bz2.compress(HEAD))]


# ------------------------------------------------------------------------------------------ broken and hostile


@pytest.mark.parametrize("name", ["cut.xml.bz2", "cut.xml"])
def test_a_cut_file_gives_everything_before_the_cut(tmp_path: Path, name: str) -> None:
    whole = HEAD + b"".join(GROUPS) + FOOT
    cut = whole[: whole.index(b"<title>Page 42</title>") + 30]
    path = tmp_path / name
    if name.endswith(".bz2"):  # whole streams up to page 42, then a stream without its end
        path.write_bytes(bz2.compress(cut) + bz2.compress(whole[len(cut) :])[:100])
    else:
        path.write_bytes(cut)
    records, error = until_broken(path)
    assert titles(records) == [title for title, _ in PAGES[:42]]
    assert str(path) in error.message
    assert error.place


def test_a_cut_piece_gives_everything_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "d.xml.bz2"
    offsets = multistream(path)
    path.write_bytes(path.read_bytes()[: offsets[4] + 60])
    pieces = split_dump(str(path), 1)
    records, error = until_broken(path, Piece(offsets[2], None))
    assert titles(records) == [title for title, _ in PAGES[10:20]]
    assert "run again" in error.message
    assert pieces[-1] == Piece(offsets[3], None)


def test_a_piece_that_ends_inside_a_page_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "d.xml.bz2"
    body = b"".join(GROUPS)
    half = body.index(b"<title>Page 3</title>")
    streams = [bz2.compress(part) for part in (HEAD, body[:half], body[half:], FOOT)]
    path.write_bytes(b"".join(streams))
    records, error = until_broken(path, Piece(len(streams[0]), len(streams[0]) + len(streams[1])))
    assert titles(records) == ["Page 0", "Page 1", "Page 2"]
    assert "ends inside the XML" in error.message


BOMBS = {
    "entities": '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>',
    "a file": '<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    "an external subset": '<!DOCTYPE m SYSTEM "http://127.0.0.1/x.dtd">',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_document_type_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "d.xml"
    path.write_bytes(BOMBS[name].encode() + HEAD + page_xml("A", "x").replace(">x<", ">&a;<").encode() + FOOT)
    records, error = until_broken(path)
    assert records == []
    assert "document type" in error.message


@pytest.mark.parametrize("content", [b"", b"no XML", b"\0" * 5000, HEAD, HEAD + b"<page>&nosuch;"])
def test_what_is_no_dump_is_broken_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "d.xml"
    path.write_bytes(content)
    assert [record for record in until_broken(path)[0] if isinstance(record, Document)] == []


def test_a_missing_file_fails_the_task_and_not_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputUnavailable, match="no such file"):
        list(read(tmp_path / "none.xml.bz2"))


# ------------------------------------------------------------------------------------------ the real dumps


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("bgwiki-latest-pages-articles-shortened.xml.bz2", {"kept": 1, "not_article": 2}),
        ("enwiki-table-markup.xml.bz2", {"kept": 5}),
        ("ltgwiki-latest-pages-articles.xml.bz2", {"kept": 903, "not_article": 954, "redirect": 147}),
        (
            "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
            {"kept": 106, "not_article": 1, "redirect": 99},
        ),
    ],
)
def test_real_dumps(shared_data: Path, name: str, counts: dict[str, int]) -> None:
    records = list(read(shared_data / "wikipedia" / name))
    rules = [one.drop.rule if isinstance(one, Rejected) else "kept" for one in records]
    assert Counter(rules) == counts
    assert split_dump(str(shared_data / "wikipedia" / name), 10_000) == [WHOLE]
