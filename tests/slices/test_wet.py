"""The WET reader against a plain, line by line reading of the recipe, and on damaged files."""

from __future__ import annotations

import gzip
import io
import random
import re
import tracemalloc
from pathlib import Path
from urllib.parse import urlparse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpajama_data.document import Document, Rejected
from redpajama_data.errors import BrokenInput
from slices.readers.gzip_members import Damage, gzip_members
from slices.readers.wet import read_wet, segment_of, shard_files
from slices.readers.wet_records import RecordParser

HEADER = (
    "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://a.org/{n}\r\nWARC-Date: 2022-01-01T00:00:00Z\r\n"
    "WARC-Record-ID: <urn:uuid:{n}>\r\nWARC-Refers-To: <urn:uuid:0>\r\nWARC-Block-Digest: sha1:{n}\r\n"
    "Content-Type: text/plain\r\nContent-Length: 12\r\n\r\n"
)


def record(n: int, page: str = "Title\nfirst\nsecond\r\n\r\n") -> bytes:
    return (HEADER.format(n=n) + page).encode()


def plain_reading(stream: bytes) -> list[dict[str, object] | None]:
    """Recipe 7.2 word for word: strip every line, collect headers to an empty line, then the page to "WARC/1.0"."""
    records: list[tuple[list[str], list[str]]] = []
    headers: list[str] = []
    page: list[str] = []
    reading_headers = True
    for raw in io.TextIOWrapper(io.BytesIO(stream), encoding="utf-8"):
        line = raw.strip()
        if reading_headers:
            headers.append(line)
            reading_headers = line != ""
        elif line == "WARC/1.0":
            records.append((headers, page))
            headers, page, reading_headers = [line], [], True
        else:
            page.append(line)
    if headers or page:
        records.append((headers, page))
    return [plain_document(*each) for each in records]


def plain_document(headers: list[str], page: list[str]) -> dict[str, object] | None:
    try:
        if headers[1].split()[1] != "conversion":
            return None
        url, date, digest = headers[2].split()[1], headers[3].split()[1], headers[6].split()[1]
        try:
            length = int(headers[9].split()[1])
        except IndexError:
            length = int(headers[8].split()[1])
        domain = urlparse(url).netloc
    except (IndexError, ValueError):
        return None
    if not page or page == [""]:
        return None
    body = page[1:-2] if page[-1] == "" and page[-2] == "" else page[1:]
    return {
        "url": url,
        "date_download": date,
        "digest": digest,
        "length": length,
        "nlines": len(body),
        "source_domain": domain,
        "title": page[0],
        "cc_segment": "",
        "text": "\n".join(body),
    }


def as_plain(item: Document | Rejected) -> dict[str, object] | None:
    return {**item.meta, "text": item.text} if isinstance(item, Document) else None


def parse(stream: bytes, block: int, **limits: int) -> list[Document | Rejected]:
    parser = RecordParser("f", "", limits.get("max_record", 1 << 26))
    items = [item for at in range(0, len(stream), block) for item in parser.feed(stream[at : at + block])]
    return [*items, *parser.finish()]


PIECES = [
    "WARC/1.0", " WARC/1.0", "WARC/1.0\u00a0", "\u3000WARC/1.0\x1c", "xWARC/1.0", "WARC/1.0x", "WARC/1.0 WARC/1.0",
    "WARC/", "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", " ", "\u2028", "\x85", "\x0b", "\x1e", "text", "é ü", "\uff11",
    "\ufeff", "\x00", "WARC-Type: conversion\n", "WARC-Type: warcinfo\n", "WARC-Target-URI: http://[x\n",
    "Content-Length: 7\n", "Length: x\n", HEADER.format(n=1), HEADER.format(n=2).replace("\r", ""),
    HEADER.format(n=3).replace("Content-Type", "L: eng\nContent-Type"), HEADER.format(n=4).replace("\r\n", "\r"),
    HEADER.format(n=5).replace("http://a.org", "http://[a"),
]  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=14), st.integers(1, 40))
def test_same_records_as_the_plain_reading(pieces: list[str], block: int) -> None:
    stream = "".join(pieces).encode()
    items = parse(stream, block)
    assert [as_plain(item) for item in items] == plain_reading(stream)
    assert [item.id for item in items] == [f"f#{n}" for n in range(len(items))]


@pytest.mark.parametrize("dump", ["2023-06", "2022-05"])
def test_same_records_on_real_files(shared_data: Path, dump: str) -> None:
    files = sorted((shared_data / "commoncrawl" / dump).glob("*.wet.gz"))
    assert files
    for path in files:
        got = [as_plain(item) for item in read_wet(str(path))]
        assert got == plain_reading(gzip.decompress(path.read_bytes()))


def test_real_record_of_common_crawl(shared_data: Path) -> None:
    info, page = read_wet(str(shared_data / "commoncrawl" / "whirlwind.warc.wet.gz"), segment="s")
    assert isinstance(info, Rejected)
    assert info.drop == ("conversion_record", "warcinfo", "conversion")
    assert isinstance(page, Document)
    assert page.meta["cc_segment"] == "s"
    assert page.meta["nlines"] == page.text.count("\n") + 1
    fields = ["url", "date_download", "digest", "length", "nlines", "source_domain", "title", "cc_segment"]
    assert list(page.meta) == fields


@pytest.mark.parametrize(
    ("stream", "rule", "measured"),
    [
        (record(1).replace(b"first", b"f\xffrst"), "malformed", "byte 7: invalid start byte"),
        (record(1, "\r\n"), "malformed", "an empty page"),
        (record(1, ""), "malformed", "an empty page"),
        (record(1).replace(b"http://", b"http://["), "malformed", "http://[a.org/1: Invalid IPv6 URL"),
        (record(1).replace(b"conversion", b"response"), "conversion_record", "response"),
        (record(1).replace(b"12", b"twelve"), "positional_header", None),
    ],
)
def test_a_bad_record_costs_itself(stream: bytes, rule: str, measured: str | None) -> None:
    before, bad, after = parse(record(0) + stream + record(2), 50)
    assert isinstance(bad, Rejected)
    assert bad.drop.rule == rule
    assert measured in (None, bad.drop.measured)
    assert isinstance(before, Document)
    assert isinstance(after, Document)
    assert after.id == "f#2"


def test_a_header_without_an_end_is_a_record() -> None:
    before, bad = parse(record(0) + b"WARC/1.0\nWARC-Type: conversion", 50)
    assert isinstance(before, Document)
    assert isinstance(bad, Rejected)
    assert bad.drop.measured == "a header without an end"


@pytest.mark.parametrize(("size", "kept"), [(1000, 3), (1001, 2), (5000, 2)])
def test_a_record_over_the_limit_costs_itself(size: int, kept: int) -> None:
    page = "x" * (size - 4) + "\r\n\r\n"
    items = parse(record(0) + record(1, page) + record(2), 64, max_record=1000)
    assert [item.id for item in items] == ["f#0", "f#1", "f#2"]
    assert [isinstance(item, Document) for item in items] == [True, kept == 3, True]


def test_memory_stays_bounded_in_an_endless_record() -> None:
    parser = RecordParser("f", "", 1 << 20)
    rejected = list(parser.feed(record(0, "T\n")))
    for _ in range(200):
        rejected += parser.feed(b"WARC/1.0" + b" " * (1 << 16))
        assert len(parser.buffer) < 2 << 20
    assert [item.drop.rule for item in rejected if isinstance(item, Rejected)] == ["malformed"]


def wet_file(folder: Path, members: list[bytes]) -> str:
    path = folder / "x.warc.wet.gz"
    path.write_bytes(b"".join(members))
    return str(path)


def packed(count: int) -> list[bytes]:
    return [gzip.compress(record(n, f"Title\n{f'word {n} ' * 40}\r\n\r\n"), mtime=0) for n in range(count)]


def read_all(path: str) -> tuple[list[Document | Rejected | BrokenInput], BrokenInput | None]:
    items: list[Document | Rejected | BrokenInput] = []
    try:
        for item in read_wet(path):
            items.append(item)
    except BrokenInput as broken:
        return items, broken
    return items, None


@pytest.mark.parametrize("where", [0, 1, 4, 9])
@pytest.mark.parametrize("how", ["deflate", "checksum", "magic", "gap"])
def test_a_broken_member_costs_its_record(tmp_path: Path, where: int, how: str) -> None:
    members = packed(10)
    bad = bytearray(members[where])
    if how == "deflate":
        bad[30:40] = b"\xff" * 10
    elif how == "checksum":
        bad[-6] ^= 1
    elif how == "magic":
        bad[0] ^= 1
    else:
        bad = bytearray(b"garbage" * 9)
    members[where] = bytes(bad)
    items, broken = read_all(wet_file(tmp_path, members))
    place = sum(map(len, members[:where]))
    # After the last member nothing shows that nothing more was there.
    assert (broken and broken.place) == (f"byte {place}" if where == 9 else None)
    if where == 9:
        assert broken is not None
        assert ("after the last gzip member" in broken.message) == (how in ("magic", "gap")), "it may be no member"
        assert len(items) == 9
    else:
        assert len(items) == 10
        lost = items.pop(where)
        assert isinstance(lost, BrokenInput)
        assert lost.place == f"byte {place}"
    for n, item in enumerate(items):
        assert isinstance(item, Document)
        n += n >= where
        assert item.id.endswith(f"#{n}")
        assert (item.meta["url"], item.text) == (f"http://a.org/{n}", (f"word {n} " * 40).strip() + "\n")


def test_two_broken_members_side_by_side_are_one_damage(tmp_path: Path) -> None:
    members = packed(5)
    members[1] = members[2] = b"garbage" * 9
    items, broken = read_all(wet_file(tmp_path, members))
    assert broken is None
    assert [isinstance(item, Document) for item in items] == [True, False, True, True]


def test_a_cut_file_gives_what_is_before_the_cut(tmp_path: Path) -> None:
    items, broken = read_all(wet_file(tmp_path, [gzip.compress(b"".join(record(n) for n in range(1000)))[:-30]]))
    assert broken is not None
    assert "ends inside a gzip member" in broken.message
    assert len(items) > 900
    assert all(isinstance(item, Document) for item in items)


def test_a_member_of_many_records_is_read_up_to_its_damage(tmp_path: Path) -> None:
    generator = random.Random(0)
    pages = [record(n, f"T\n{generator.randbytes(2000).hex()}\r\n\r\n") for n in range(1000)]
    data = bytearray(gzip.compress(b"".join(pages), mtime=0))
    data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    items, broken = read_all(wet_file(tmp_path, [bytes(data), gzip.compress(record(7), mtime=0)]))
    assert broken is None
    assert sum(isinstance(item, Document) for item in items) > 400
    assert isinstance(items[-1], Document)
    assert items[-1].meta["url"] == "http://a.org/7"


def test_a_bomb_costs_bounded_memory(tmp_path: Path) -> None:
    path = wet_file(tmp_path, [gzip.compress(record(0, "T\n" + "a" * (80 << 20) + "\n")), *packed(1)])
    tracemalloc.start()
    items, broken = read_all(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert broken is None
    assert [isinstance(item, Document) for item in items] == [False, True]
    assert peak < 160 << 20


def test_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "x.warc.wet"
    path.write_bytes(record(0) + record(1))
    assert [isinstance(item, Document) for item in read_wet(str(path))] == [True, True]
    path.write_bytes(record(0) + record(1)[:-20])
    with pytest.raises(BrokenInput, match="ends 10 bytes before its last record"):
        list(read_wet(str(path)))


PAGE = b"Title\nA page about\nWARC/1.1\nWARC-Type: conversion\nand WARC/0.18\n"


def of_version(version: str, n: int, kind: str = "conversion", page: bytes = PAGE) -> bytes:
    """A record of another version, its header in another order, its length right."""
    head = (
        f"WARC/{version}\r\nContent-Length: {len(page)}\r\nContent-Type: text/plain\r\nwarc-date: 2022\r\n"
        f"WARC-Record-ID: <urn:uuid:{n}>\r\nWARC-Block-Digest: sha1:{n}\r\nWARC-Type: {kind}\r\n"
        f"WARC-Target-URI: http://a.org/{n}\r\n\r\n"
    )
    return head.encode() + page + b"\r\n\r\n"


@pytest.mark.parametrize("versions", ["1.1", "0.18", "2.0", "1.1 1.0 0.17 1.0 1.0 1.1"])
@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_records_of_other_versions(versions: str, block: int) -> None:
    names = versions.split() * 2
    stream = b""
    for n, version in enumerate(names):
        if version == "1.0":
            page = PAGE.decode()
            stream += record(n, page + "\r\n\r\n").replace(b"Length: 12", b"Length: %d" % len(page))
        else:
            stream += of_version(version, n)
    items = parse(stream, block)
    assert len(items) == len(names)
    for n, item in enumerate(items):
        assert isinstance(item, Document)
        assert (item.meta["url"], item.meta["title"], item.meta["digest"]) == (
            f"http://a.org/{n}",
            "Title",
            f"sha1:{n}",
        )
        assert item.text == "\n".join(PAGE.decode().splitlines()[1:])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (bytes(5000), "nothing but zero bytes"),
        (b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>", "an error message in XML.*fetch it again"),
        (record(0), "a WARC file, not compressed.*mv "),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b'{"text": 1}', "plain JSON"),
        (gzip.compress(b"<html><body>", mtime=0), "its text is an HTML page"),
        (gzip.compress(b'{"text": 1}', mtime=0), "its text is plain JSON"),
        (gzip.compress(record(0).replace(b"WARC/", b"warc/")), "begin with warc/ in lower case"),
        (gzip.compress(of_version("1.0", 0, "response", b"\xff"), mtime=0), "only response: not the text"),
        (gzip.compress(record(0), mtime=0) + b"added\n", "6 bytes after the last gzip member, which ends at byte"),
    ],
)
def test_what_is_no_wet_file_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    items, broken = read_all(wet_file(tmp_path, [data]))
    assert broken is not None
    assert re.search(message, broken.message)
    assert [item for item in items if isinstance(item, Document)] == (items if b"added" in data else [])


MEMBERS = packed(6)
WHOLE = b"".join(MEMBERS)
BOUNDS = [sum(map(len, MEMBERS[:n])) for n in range(7)]
PLACES = st.one_of(st.sampled_from(BOUNDS), st.integers(0, len(WHOLE)))


@settings(max_examples=300)
@given(st.sampled_from(["flip", "zero", "insert", "cut", "append"]), PLACES, PLACES, st.binary(max_size=40))
def test_no_record_is_lost_in_silence(
    tmp_path_factory: pytest.TempPathFactory, how: str, first: int, end: int, junk: bytes
) -> None:
    """A record of the file that is missing or changed means that damage is reported."""
    first, end = min(first, end), max(first, end)
    data = {
        "flip": WHOLE[:first] + bytes(255 - byte for byte in WHOLE[first : first + 1]) + WHOLE[first + 1 :],
        "zero": WHOLE[:first] + bytes(end - first) + WHOLE[end:],
        "insert": WHOLE[:first] + junk + WHOLE[first:],
        "cut": WHOLE[:first],
        "append": WHOLE + junk,
    }[how]
    items, broken = read_all(wet_file(tmp_path_factory.mktemp("wet"), [data]))
    found = [item.meta["url"] + item.text for item in items if isinstance(item, Document)]
    damaged = broken is not None or any(isinstance(item, BrokenInput) for item in items)
    # What is cut off between two members leaves no trace in the file; zeros at the end are padding.
    # (The length in the last member's end has zeros at its own end.)
    padded = how == "zero" and not any(data[first:])
    traceless = first in BOUNDS and (how == "cut" or padded) and first > 0
    expected = [f"http://a.org/{n}" + (f"word {n} " * 40).strip() + "\n" for n in range(6)]
    assert found == expected or damaged or traceless
    assert set(found) <= set(expected)


def test_large_members_stream_and_padding_is_skipped() -> None:
    large = bytes(range(256)) * 20000
    small, end = gzip.compress(b"small", mtime=0), gzip.compress(b"end", mtime=0)
    raw = io.BytesIO(small + bytes(17) + gzip.compress(large, mtime=0) + bytes(5) + end + bytes(100_000))
    parts = list(gzip_members(raw))
    assert not [part for part in parts if isinstance(part, Damage)]
    assert b"".join(part for part in parts if not isinstance(part, Damage)) == b"small" + large + b"end"
    assert max(map(len, parts)) < 3 << 20


def test_files_of_a_shard() -> None:
    assert shard_files(["a", "b", "c"], shards=2) == [["a"], ["b", "c"]]
    assert shard_files(["a"], shards=3) == [[], [], ["a"]]
    assert segment_of("2022-05", "x.gz") == "crawl-data/CC-MAIN-2022-05/segments/0/wet/x.gz"
