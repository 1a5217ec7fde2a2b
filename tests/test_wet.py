"""The WET reader against a plain, line by line reading of the recipe, and on damaged files."""

from __future__ import annotations

import gzip
import io
import random
import tracemalloc
from pathlib import Path
from urllib.parse import urlparse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpajama_data.document import Document, Rejected
from redpajama_data.errors import BrokenInput
from slices.gzip_members import Damage, gzip_members
from slices.wet import _Parser, read_wet, segment_of, shard_files

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
    parser = _Parser("f", "", limits.get("max_record", 1 << 26))
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


@settings(max_examples=400, deadline=None)
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
    parser = _Parser("f", "", 1 << 20)
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


def read_all(path: str) -> tuple[list[Document | Rejected], BrokenInput | None]:
    items: list[Document | Rejected] = []
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
    # After the last member nothing shows that nothing more was there.
    assert (broken and broken.place) == (f"byte {sum(map(len, members[:9]))}" if where == 9 else None)
    assert [item.id.split("#")[1] for item in items] == [str(n) for n in range(10)]
    lost = items.pop(where)
    assert isinstance(lost, Rejected)
    assert lost.drop.rule == "malformed"
    assert str(lost.drop.measured).startswith(f"gzip member at byte {sum(map(len, members[:where]))}: ")
    for item in items:
        assert isinstance(item, Document)
        n = item.id.split("#")[1]
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
    assert isinstance(items[-1], Rejected)
    assert all(isinstance(item, Document) for item in items[:-1])


def test_a_member_of_many_records_is_read_up_to_its_damage(tmp_path: Path) -> None:
    generator = random.Random(0)
    pages = [record(n, f"T\n{generator.randbytes(2000).hex()}\r\n\r\n") for n in range(1000)]
    data = bytearray(gzip.compress(b"".join(pages)))
    data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    items, broken = read_all(wet_file(tmp_path, [bytes(data), gzip.compress(record(7))]))
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
    path.write_bytes(b"")
    assert list(read_wet(str(path))) == []


def test_large_members_stream_and_padding_is_skipped() -> None:
    large = bytes(range(256)) * 20000
    small, end = gzip.compress(b"small"), gzip.compress(b"end")
    raw = io.BytesIO(small + bytes(100) + gzip.compress(large) + bytes(5) + end + bytes(1))
    parts = list(gzip_members(raw))
    assert b"".join(part for part in parts if not isinstance(part, Damage)) == b"small" + large + b"end"
    assert max(map(len, parts)) < 3 << 20


def test_files_of_a_shard() -> None:
    assert shard_files(["a", "b", "c"], shards=2) == [["a"], ["b", "c"]]
    assert shard_files(["a"], shards=3) == [[], [], ["a"]]
    assert segment_of("2022-05", "x.gz") == "crawl-data/CC-MAIN-2022-05/segments/0/wet/x.gz"
