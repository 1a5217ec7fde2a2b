"""Damaged Wikipedia dumps: nothing is lost without a word, and what is whole behind the damage is read."""

from __future__ import annotations

import bz2
import gzip
import itertools
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpajama_data.document import Document, Rejected
from redpajama_data.errors import BrokenInput
from slices.readers import bz2_streams, wikipedia_xml
from slices.readers.bz2_streams import Damage
from slices.readers.wikipedia_dump import read_pages
from slices.readers.wikipedia_pieces import WHOLE, Piece, split_dump

HEAD = b'<mediawiki version="0.11" xml:lang="en">\n  <siteinfo><dbname>enwiki</dbname></siteinfo>\n'
FOOT = b"</mediawiki>\n"
NUMBER = 12  # pages, three a stream


def page_xml(number: int, text: str = "") -> bytes:
    text = text or f"text of {number}, " + " ".join(str(number * factor % 991) for factor in range(1, 60))
    return (
        f"  <page>\n    <title>P{number}</title>\n    <ns>0</ns>\n    <revision>\n      <comment>c</comment>\n"
        f'      <text bytes="1" xml:space="preserve">{text}</text>\n    </revision>\n  </page>\n'
    ).encode()


PAGES = [page_xml(number) for number in range(NUMBER)]
PLAIN = HEAD + b"".join(PAGES) + FOOT
STREAMS = [bz2.compress(part) for part in (HEAD, *(b"".join(PAGES[i : i + 3]) for i in range(0, NUMBER, 3)), FOOT)]
MULTISTREAM = b"".join(STREAMS)
STARTS = [sum(map(len, STREAMS[:i])) for i in range(len(STREAMS) + 1)]


class Read:
    """What came out of a dump: pages (title, text), rejections, damaged places."""

    def __init__(self, path: Path, piece: Piece = WHOLE) -> None:
        self.pages: list[tuple[str, str]] = []
        self.malformed: list[str] = []  # rejections of any rule
        self.rules: set[str] = set()
        self.damage: list[BrokenInput] = []
        self.raised = False
        try:
            for record in read_pages(str(path), language="en", timestamp="20230320", piece=piece):
                if isinstance(record, Document):
                    self.pages.append((record.meta["title"], record.text))
                elif isinstance(record, Rejected):
                    self.malformed.append(str(record.drop.measured))
                    self.rules.add(record.drop.rule)
                else:
                    self.damage.append(record)
        except BrokenInput as error:
            self.damage.append(error)
            self.raised = True

    def numbers(self) -> list[int]:
        return [int(title[1:]) for title, _ in self.pages]


def read(folder: Path, data: bytes, name: str = "enwiki-20230320-pages-articles-multistream.xml.bz2") -> Read:
    path = folder / name
    path.write_bytes(data)
    return Read(path)


def without(*numbers: int) -> list[int]:
    return [number for number in range(NUMBER) if number not in numbers]


# ------------------------------------------------------------------------------------------ compressed bytes

SECOND, THIRD = STARTS[2], STARTS[3]  # streams of pages 3 to 5 and 6 to 8


def flipped(data: bytes, place: int, bit: int = 1) -> bytes:
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


BZ2_DAMAGE: dict[str, tuple[bytes, list[int]]] = {
    "a bit of a stream's first bytes": (flipped(MULTISTREAM, SECOND), without(3, 4, 5)),
    "a bit of its first block's first bytes": (flipped(MULTISTREAM, SECOND + 5), without(3, 4, 5)),
    "a bit inside a stream": (flipped(MULTISTREAM, SECOND + 120), without(3, 4, 5)),
    "a bit of a block's checksum": (flipped(MULTISTREAM, SECOND + 11), without(3, 4, 5)),
    "a bit of the first stream": (flipped(MULTISTREAM, 2), without()),
    "zeros from a boundary on, into the next stream": (
        MULTISTREAM[:SECOND] + bytes(THIRD - SECOND + 40) + MULTISTREAM[THIRD + 40 :],
        without(3, 4, 5, 6, 7, 8),
    ),
    "zeros that end at a boundary": (
        MULTISTREAM[:SECOND] + bytes(THIRD - SECOND) + MULTISTREAM[THIRD:],
        without(3, 4, 5),
    ),
    "a hole inside a stream": (MULTISTREAM[: SECOND + 60] + bytes(90) + MULTISTREAM[SECOND + 150 :], without(3, 4, 5)),
    "zeros at the beginning": (bytes(STARTS[1]) + MULTISTREAM[STARTS[1] :], without()),
    "garbage between streams": (MULTISTREAM[:THIRD] + b"<html>503</html>" * 99 + MULTISTREAM[THIRD:], without()),
    "a stream's end is not there": (MULTISTREAM[: THIRD - 50] + MULTISTREAM[THIRD:], without(3, 4, 5)),
    "a stream's beginning is not there": (MULTISTREAM[:SECOND] + MULTISTREAM[SECOND + 50 :], without(3, 4, 5)),
    "two places": (flipped(flipped(MULTISTREAM, SECOND), STARTS[4] + 90), without(3, 4, 5, 9, 10, 11)),
    "a stream's end and the next one's beginning": (
        MULTISTREAM[: THIRD - 20] + b"#" * 40 + MULTISTREAM[THIRD + 20 :],
        without(3, 4, 5, 6, 7, 8),
    ),
}


@pytest.mark.parametrize("name", BZ2_DAMAGE)
def test_damage_costs_its_streams_and_is_reported_with_its_bytes(tmp_path: Path, name: str) -> None:
    data, left = BZ2_DAMAGE[name]
    found = read(tmp_path, data)
    assert found.numbers() == left
    assert found.damage
    assert not found.raised
    for error in found.damage:
        start, end = (int(number) for number in error.place.removeprefix("bytes ").split(" to "))
        assert 0 <= start < end <= len(data)
        assert end in {at + len(data) - len(MULTISTREAM) for at in STARTS} | set(STARTS)
        assert "fetch the file again" in error.message


END_DAMAGE = {
    "the end tag's stream": flipped(MULTISTREAM, STARTS[-2] + 1),
    "cut inside a stream": MULTISTREAM[: STARTS[-2] - 30],
    "cut at a boundary": MULTISTREAM[: STARTS[-2]],
    "a preallocated end": MULTISTREAM[: STARTS[-2]] + bytes(5000),
}


@pytest.mark.parametrize("name", END_DAMAGE)
def test_an_end_that_is_not_there_is_one_error(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, END_DAMAGE[name])
    assert found.numbers() == (without(9, 10, 11) if name == "cut inside a stream" else without())
    assert found.raised
    assert len(found.damage) == 1


def test_zeros_behind_the_last_stream_are_padding_other_bytes_are_not(tmp_path: Path) -> None:
    padded = read(tmp_path, MULTISTREAM + bytes(10_000))
    assert (padded.numbers(), padded.damage) == (without(), [])
    trailing = read(tmp_path, MULTISTREAM + b"<html>not found</html>")
    assert trailing.numbers() == without()
    assert [error.place for error in trailing.damage] == [f"bytes {len(MULTISTREAM)} to {len(MULTISTREAM) + 22}"]


def test_a_page_cut_by_damage_is_named_and_never_glued_to_what_follows(tmp_path: Path) -> None:
    """Streams cut anywhere, as pbzip2 cuts them: the damaged one holds the end of a page and the begin of another."""
    cuts = [0, PLAIN.index(b"text of 4") + 20, PLAIN.index(b"text of 7") + 20, len(PLAIN)]
    streams = [bz2.compress(PLAIN[a:b]) for a, b in itertools.pairwise(cuts)]
    found = read(tmp_path, streams[0] + flipped(streams[1], 60) + streams[2], "enwiki-1-pages-articles.xml.bz2")
    assert found.numbers() == without(4, 5, 6, 7)
    assert found.malformed == []
    [damage] = found.damage
    assert "page 'P4' is cut off" in damage.message


def test_a_dump_in_one_stream_is_kept_up_to_the_damaged_block(tmp_path: Path) -> None:
    """The text of a block is given out when its checksum was right, never before."""
    chance = random.Random(0)
    pages = [page_xml(number, "".join(chance.choices("abcdefg ", k=20_000))) for number in range(40)]
    data = bz2.compress(HEAD + b"".join(pages) + FOOT, 1)  # blocks of 100 kB
    place = len(data) * 6 // 10
    found = read(tmp_path, flipped(data, place), "enwiki-1-pages-articles.xml.bz2")
    assert found.raised
    assert found.numbers() == list(range(len(found.pages)))
    assert 5 < len(found.pages) < 40
    whole = read(tmp_path, data, "enwiki-1-pages-articles.xml.bz2")
    assert whole.pages[: len(found.pages)] == found.pages
    assert whole.numbers() == list(range(40))


@pytest.mark.parametrize("name", BZ2_DAMAGE)
@pytest.mark.parametrize("target", [1, 700])
def test_pieces_of_a_damaged_dump_are_every_byte_once(tmp_path: Path, name: str, target: int) -> None:
    data, left = BZ2_DAMAGE[name]
    path = tmp_path / "enwiki-20230320-pages-articles-multistream.xml.bz2"
    path.write_bytes(data)
    pieces = split_dump(str(path), target)
    assert pieces[0].start == 0
    assert [piece.end for piece in pieces] == [*[piece.start for piece in pieces[1:]], None]
    found = [Read(path, piece) for piece in pieces]
    assert [number for one in found for number in one.numbers()] == left
    whole = Read(path)
    assert [e.place for one in found for e in one.damage] == [e.place for e in whole.damage]


def test_a_file_of_nothing_but_stream_heads_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bz2_streams, "_MAX_DAMAGE", 50)
    found = read(tmp_path, MULTISTREAM[: STARTS[2]] + b"BZh91AY&SY" * 500)
    assert found.numbers() == [0, 1, 2]
    assert found.raised
    assert "more than 50 damaged places" in found.damage[-1].message


def test_streams_give_text_in_bounded_pieces(tmp_path: Path) -> None:
    """A bomb: pieces of a megabyte, and no more is held than a block can have."""
    path = tmp_path / "bomb.bz2"
    path.write_bytes(bz2.compress(bytes(60_000_000)))
    with path.open("rb") as raw:
        sizes = [len(text) for text in bz2_streams.bz2_streams(raw) if not isinstance(text, Damage)]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) == 60_000_000


NO_BZ2 = {
    "an error page": (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "unpacked": (PLAIN, "plain XML, not compressed"),
    "gzip": (gzip.compress(PLAIN), "a gzip file"),
    "empty": (b"", "an empty file"),
    "zeros": (bytes(5000), "zero bytes"),
    "noise": (b"\x01\x02\x03" * 99, "begins with"),
}


@pytest.mark.parametrize("name", NO_BZ2)
def test_what_is_no_bz2_is_named(tmp_path: Path, name: str) -> None:
    data, word = NO_BZ2[name]
    found = read(tmp_path, data)
    assert found.raised
    assert found.pages == []
    [error] = found.damage
    assert word in error.message


# ------------------------------------------------------------------------------------------ XML

BAD = {  # what stands in the place of "text of 4": the page is malformed, the others are whole
    "a byte that is no UTF-8": b"riv\xe9r",
    "a sequence of UTF-8 that is cut": b"\xe2\x82 x",
    "an encoded surrogate": b"\xed\xa0\x80",
    "a control character": b"a\x08b",
    "a zero byte": b"a\0b",
    "a forbidden character reference": b"&#8;",
    "an entity that is none": b"&nbsp;",
    "a bare ampersand": b"AT&T",
    "a bare less-than": b"1 < 2",
    "an open element": b"<ref>",
    "an end tag": b"</comment>",
    "an open comment": b"<!-- ",
    "an open instruction": b"<? ",
    "open CDATA": b"<![CDATA[ ",
    "an attribute without its end": b'<ref name="x',
    "another page": b"<page>",
    "elements without end": b"<a>" * 500,
}


@pytest.mark.parametrize("form", ["xml", "xml.bz2", "xml.gz"])
@pytest.mark.parametrize("name", BAD)
def test_a_page_with_broken_xml_is_malformed_and_costs_no_other(tmp_path: Path, name: str, form: str) -> None:
    data = PLAIN.replace(b"text of 4", BAD[name])
    packed = {"xml": data, "xml.bz2": bz2.compress(data), "xml.gz": gzip.compress(data)}[form]
    found = read(tmp_path, packed, f"enwiki-1-pages-articles.{form}")
    assert found.numbers() == without(4)
    assert found.pages == [page for page in read(tmp_path, PLAIN, "d.xml").pages if page[0] != "P4"]
    assert found.damage == []
    assert found.rules == {"malformed"}
    assert "page 'P4'" in found.malformed[0]


LOST_TAGS: dict[str, tuple[bytes, bytes, int]] = {  # what is replaced, by what, rejections
    "a page's begin": (b"<page>\n    <title>P4<", b"<pXge>\n    <title>P4<", 1),
    "a page's begin without <": (b"<page>\n    <title>P4<", b" page>\n    <title>P4<", 1),
    "an instruction": (b"<page>\n    <title>P4<", b"<?age>\n    <title>P4<", 1),
    "a title's end": (b"P4</title>", b"P4</tXtle>", 1),
    "a page's end": (b"4, 4 8", b"4, 4 8", 0),
}


@pytest.mark.parametrize("name", LOST_TAGS)
def test_a_tag_that_is_damaged_costs_its_page(tmp_path: Path, name: str) -> None:
    old, new, rejections = LOST_TAGS[name]
    assert PLAIN.count(old) == 1
    found = read(tmp_path, PLAIN.replace(old, new), "d.xml")
    assert found.numbers() == (without(4) if rejections else without())
    assert len(found.malformed) == rejections
    assert found.damage == []


@pytest.mark.parametrize("end", [b" /page>", b"</pbge>", b"", b"<page>", b"</page></page>"])
def test_a_page_without_its_end_costs_itself(tmp_path: Path, end: bytes) -> None:
    data = HEAD + PAGES[0] + PAGES[1].replace(b"</page>", end) + PAGES[2] + FOOT
    found = read(tmp_path, data, "d.xml")
    assert found.numbers() == ([0, 1, 2] if end == b"</page></page>" else [0, 2])
    assert len(found.malformed) in (1, 2)
    assert found.damage == []


def test_two_dumps_in_one_file_are_both_read(tmp_path: Path) -> None:
    found = read(tmp_path, PLAIN + b'<?xml version="1.0"?>\n' + PLAIN, "d.xml")
    assert found.numbers() == without() * 2
    assert len(found.malformed) == 1


@pytest.mark.parametrize("size", [64, 200, 1000])
def test_it_does_not_matter_where_the_bytes_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("slices.readers.wikipedia_dump._READ", size)
    for bad in BAD.values():
        found = read(tmp_path, PLAIN.replace(b"text of 4", bad), "d.xml")
        assert found.numbers() == without(4)


def test_utf_16_cannot_be_read_behind_damage_and_says_so(tmp_path: Path) -> None:
    data = PLAIN.replace(b"text of 4", b"&nbsp;").decode().encode("utf-16")
    found = read(tmp_path, data, "d.xml")
    assert found.numbers() == [0, 1, 2, 3]
    assert found.raised
    assert "encoding" in found.damage[0].message


def test_a_declared_encoding_holds_behind_damage(tmp_path: Path) -> None:
    data = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + PLAIN.replace(b"text of 4", b"<b>").replace(
        b"of 5", b"\xe9"
    )
    found = read(tmp_path, data, "d.xml")
    assert found.numbers() == without(4)
    assert found.pages[4][1].startswith("text é")


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "bad pages": lambda n: b"<page>&" * n,
    "bad pages, open instructions": lambda n: b"<page><?" * n,
    "open comments": lambda n: b"<page><!--" * n,
    "open tags": lambda n: b'<page><a b="' * n,
    "nothing but begins": lambda n: b"<page>" * n,
    "text between": lambda n: b"<page/>x" * n,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_errors_ends_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(wikipedia_xml, "_MAX_DAMAGE", 100)
    started = time.process_time()
    found = read(tmp_path, HEAD + HOSTILE[name](500_000), "d.xml")
    assert time.process_time() - started < 20  # measured: below 2
    assert found.raised
    assert len(found.malformed) <= 100 or name == "text between"


# ------------------------------------------------------------------------------------------ property

EXPECTED = {f"P{number}": page for number, page in enumerate(PAGES)}
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["flip", "zero", "delete", "insert", "truncate", "copy"]),
        st.integers(0, 1 << 16),
        st.integers(1, 400),
        st.binary(min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=4,
)


def changed(data: bytes, changes: list[tuple[str, int, int, bytes]]) -> bytes:
    for kind, place, size, new in changes:
        at = place % max(1, len(data))
        if kind == "flip":
            data = data[:at] + bytes(byte ^ (1 << size % 8) for byte in data[at : at + 1]) + data[at + 1 :]
        elif kind == "zero":
            data = data[:at] + bytes(len(data[at : at + size])) + data[at + size :]
        elif kind == "delete":
            data = data[:at] + data[at + size :]
        elif kind == "insert":
            data = data[:at] + new + data[at:]
        elif kind == "copy":
            data = data[:at] + data[at : at + size] + data[at:]
        else:
            data = data[: len(data) - size % max(1, len(data))]
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@settings(max_examples=400)
@given(changes=CHANGES, target=st.sampled_from([1, 500, 10**9]))
def test_no_page_is_lost_or_changed_without_a_word(
    folder: Path, changes: list[tuple[str, int, int, bytes]], target: int
) -> None:
    """bz2 has checksums: a page comes as it was, or something is reported. Pieces see every byte once."""
    path = folder / "enwiki-20230320-pages-articles-multistream.xml.bz2"
    path.write_bytes(changed(MULTISTREAM, changes))
    found = [Read(path, piece) for piece in split_dump(str(path), target)]
    pages = [page for one in found for page in one.pages]
    for title, text in pages:
        assert text.encode() in EXPECTED[title]
    if len(pages) != NUMBER:
        assert any(one.damage or one.malformed for one in found)


@settings(max_examples=200)
@given(changes=CHANGES)
def test_no_page_of_plain_xml_is_lost_without_a_word(folder: Path, changes: list[tuple[str, int, int, bytes]]) -> None:
    """Without checksums a text may change, but no page that the damage did not touch is lost, whatever it did."""
    data = changed(PLAIN, [change for change in changes if change[0] != "truncate"])
    path = folder / "d.xml"
    path.write_bytes(data)
    found = Read(path)
    kept = {title for title, _ in found.pages}
    for title, xml in EXPECTED.items():
        if xml.strip() in data and title not in kept:
            assert found.damage, title  # the file's head or its end was hit
    if len(found.pages) < data.count(b"<page>"):
        assert found.damage or found.malformed
