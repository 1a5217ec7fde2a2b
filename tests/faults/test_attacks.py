"""Raw files made to do harm, through every reader: each ends soon, in little memory, in records or in a clear sentence.

A row is a file, the reader that meets it, and what comes of it. Each is read in a process of its own, which may compute
for 20 seconds and grow by 200 MB. What the rows say stands for users in docs/operate.md, under "What raw input can do,
and what it cannot". Attacks on HTML stand in tests/filters/test_html_text.py, on tokenizers in
tests/models/test_trial.py, on other models in tests/kernels, on links in a root in tests/engine/test_ownership.py.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import multiprocessing
import re
import resource
import struct
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import py7zr
import pytest
import zstandard

from redpajama_data.document import Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.io import memory
from slices.readers.wikipedia_dump import read_pages

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "soak"))
from readers import READERS

SECONDS, GROWTH = 20, 200 << 20
MB = 1 << 20


def packed(packer: Any, before: bytes, unit: bytes, times: int, after: bytes = b"") -> bytes:
    """``before``, ``unit`` so many times and ``after``, packed piece by piece: nobody holds them unpacked."""
    pieces = [packer.compress(before), *(packer.compress(unit) for _ in range(times)), packer.compress(after)]
    return bytes(b"".join(pieces) + packer.flush())


def gz(unit: bytes, times: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return packed(zlib.compressobj(9, wbits=31), before, unit, times, after)


def zst(unit: bytes, times: int, window: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=window, compression_level=1)
    return packed(zstandard.ZstdCompressor(compression_params=parameters).compressobj(), b"", unit, times)


def json_line(value: bytes) -> bytes:
    return b'{"text":"a text","x":' + value + b"}\n"


# ---------------------------------------------------------------------------------------------- XML of two dumps

EXPORT = b'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">'
PAGE, PAGE_END = b"<page><title>A</title><ns>0</ns><revision><text>", b"</text></revision></page></mediawiki>"
LAUGHS = b'<!DOCTYPE a [<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 50) for i in range(9)
)
FOREIGN = b'<!DOCTYPE a [<!ENTITY j SYSTEM "file:///etc/passwd">'
POSTS, POSTS_END = b'<?xml version="1.0" encoding="utf-8"?>\n', b"</posts>"


def wiki(before: bytes, unit: bytes, times: int, after: bytes = PAGE_END) -> bytes:
    return packed(bz2.BZ2Compressor(), before, unit, times, after)


def posts(more: bytes, body: bytes = b"x", head: bytes = b"<posts>\n") -> bytes:
    row = b'  <row Id="1" PostTypeId="1" Title="t" Body="' + body + b'" ' + more + b"/>\n"
    return POSTS + head + row + POSTS_END


def many(form: bytes, count: int) -> bytes:
    return b" ".join(form.replace(b"%d", b"%d" % i) for i in range(count))


# ------------------------------------------------------------------------------------------------------ archives


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


END = bytes(10_240)
LINKS = (
    member("../../etc/a.gz"),
    member("/etc/b.gz"),
    *(member(f"2301/{kind.decode()}.gz", 0, kind, "/etc/passwd") for kind in (b"1", b"2", b"3", b"4", b"6")),
)


def paper(data: bytes) -> bytes:
    return member("2301/2301.00001.gz", len(data)) + data + bytes(-len(data) % 512) + END


def number(value: int) -> bytes:
    return b"\xff" + struct.pack("<Q", value)


def seven_zip(header: bytes, packed: bytes = b"") -> bytes:
    """An archive of nothing but a header, and the packed header that this one may name."""
    start = struct.pack("<QQI", len(packed), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start)) + start + packed + header


def packed_header(header: bytes, repeated: bytes, times: int, after: bytes = b"") -> bytes:
    """An archive whose header is packed, as all are: a kilobyte of it may be gigabytes."""
    packer = lzma.LZMACompressor(format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 1}])
    data = packed(packer, header, repeated, times, after)
    size = len(header) + len(repeated) * times + len(after)
    streams = b"\x06" + number(0) + number(1) + b"\x09" + number(len(data)) + b"\0"
    folders = b"\x07\x0b" + number(1) + b"\0" + number(1) + b"\x21\x21\x01\x18\x0c" + number(size) + b"\0\0"
    return seven_zip(b"\x17" + streams + folders, data)


def many_files(count: int) -> bytes:
    """A header that names so many empty files "a"."""
    head = b"\x01\x05" + number(count) + b"\x0e" + number(count // 8) + b"\xff" * (count // 8)
    return packed_header(head + b"\x11" + number(1 + 4 * count) + b"\0", b"a\0\0\0" * 8, count // 8, b"\0\0")


def posts_in_7z(xml: bytes) -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", filters=[{"id": py7zr.FILTER_LZMA2, "preset": 1}]) as archive:
        archive.writestr(xml, "Posts.xml")
    return out.getvalue()


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


# ----------------------------------------------------------------------------------------------------- the table


class Attack(NamedTuple):
    reader: str
    file: str
    data: Callable[[], bytes]
    outcome: str  # a pattern of what comes of it: records by kind, and the last rule or error


C4, BOOK, WIKI, POST, TAR = "c4.json.gz", "1.txt", "dewiki-1-pages-articles.xml.bz2", "x.com/Posts.xml", "a.tar"
ATTACKS = {
    # JSON, by the line
    "json: a million levels": Attack("c4", C4, lambda: gz(json_line(b"[" * MB + b"]" * MB), 1), "1 malformed"),
    "json: a million objects": Attack("c4", C4, lambda: gz(json_line(b'{"a":' * MB), 1), "1 malformed"),
    "json: a number of a million digits": Attack(
        "books", "pg19-test.jsonl", lambda: json_line(b"9" * MB), "1 malformed"
    ),
    "json: a number of no end": Attack("books", "pg19-test.jsonl", lambda: json_line(b"1e999999999"), "1 malformed"),
    "json: no number": Attack("books", "pg19-test.jsonl", lambda: json_line(b"NaN"), "1 malformed"),
    "json: half a million keys": Attack(
        "books",
        "pg19-test.jsonl",
        lambda: json_line(b"{" + many(b'"%d":1', 500_000).replace(b" ", b",") + b"}"),
        "1 Document",
    ),
    "json: one key 200,000 times": Attack(
        "books", "pg19-test.jsonl", lambda: b'{"text":"b"' + b',"text":"c"' * 200_000 + b"}\n", "1 Document"
    ),
    "json: half a character": Attack("books", "pg19-test.jsonl", lambda: b'{"text":"\\ud800"}\n', "1 malformed"),
    "json: 100,000 empty lines": Attack("c4", C4, lambda: gz(b"\n", 100_000), "100000 malformed"),
    # compressed files
    "gzip: a line of 256 MB": Attack("github", "a.gz", lambda: gz(bytes(MB), 256), "1 max_record_bytes"),
    "gzip: 100,000 members": Attack("c4", C4, lambda: gzip.compress(b"x") * 100_000, "1 malformed"),
    "gzip: 100,000 empty members": Attack("c4", C4, lambda: gzip.compress(b"") * 100_000, "^$"),
    "gzip: a name of 50 MB": Attack(
        "c4", C4, lambda: b"\x1f\x8b\x08\x08\0\0\0\0\0\3" + b"a" * 50_000_000, "the compressed stream ends early"
    ),
    "gzip: a book of 128 MB": Attack("gutenberg", BOOK + ".gz", lambda: gz(b"a" * MB, 128), "MemoryError: a line of"),
    "zstd: a window of 2 GB": Attack(
        "gutenberg", BOOK + ".zst", lambda: zst(bytes(MB), 64, 31), "requires too much memory"
    ),
    "zstd: 30,000 frames of nothing": Attack(
        "gutenberg", BOOK + ".zst", lambda: b"\x50\x2a\x4d\x18\0\0\0\0" * 30_000, "an empty file"
    ),
    "bzip2: 50,000 empty streams": Attack(
        "gutenberg", BOOK + ".bz2", lambda: bz2.compress(b"") * 50_000, "an empty file"
    ),
    "bzip2: a book of 128 MB": Attack(
        "gutenberg", BOOK + ".bz2", lambda: packed(bz2.BZ2Compressor(), b"", b"a" * MB, 128), "MemoryError: a line of"
    ),
    "xz: not read": Attack("gutenberg", BOOK + ".xz", lambda: lzma.compress(b"x"), "not a book's text.*xz"),
    # crawl
    "wet: a header of 50 MB": Attack(
        "common_crawl", "a.wet.gz", lambda: gz(b"a" * MB, 50, b"WARC/1.0\r\nWARC-Type: "), "1 malformed.*header"
    ),
    "wet: a length of 10^18": Attack(
        "common_crawl",
        "a.wet.gz",
        lambda: gz(b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 1" + b"0" * 18 + b"\r\n\r\nabc", 1),
        "ends .* bytes before",
    ),
    "wet: 100,000 records of nothing": Attack(
        "common_crawl",
        "a.wet.gz",
        lambda: gz(b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 0\r\n\r\n\r\n\r\n", 100_000),
        "100000 positional_header",
    ),
    # XML
    "wikipedia: entities": Attack(
        "wikipedia", WIKI, lambda: bz2.compress(LAUGHS + b"]>" + EXPORT + PAGE + b"&j;" + PAGE_END), "document type"
    ),
    "wikipedia: a foreign file": Attack(
        "wikipedia", WIKI, lambda: bz2.compress(FOREIGN + b"]>" + EXPORT + PAGE + b"&j;" + PAGE_END), "document type"
    ),
    "wikipedia: an attribute of 128 MB": Attack(
        "wikipedia", WIKI, lambda: wiki(b'<mediawiki a="', b"a" * MB, 128), "tag or comment of more than"
    ),
    "wikipedia: a comment of 128 MB": Attack(
        "wikipedia", WIKI, lambda: wiki(EXPORT + b"<!--", b"a" * MB, 128), "1 malformed.*tag or comment of more than"
    ),
    "wikipedia: a text of 128 MB": Attack(
        "wikipedia", WIKI, lambda: wiki(EXPORT + PAGE, b"a" * MB, 128), "1 malformed: <text> too long"
    ),
    "wikipedia: 6 million tags inside each other": Attack(
        "wikipedia", WIKI, lambda: wiki(EXPORT + PAGE, b"<a>" * (MB >> 2), 25), "1 malformed.*64 elements"
    ),
    "wikipedia: 80,000 attributes": Attack(
        "wikipedia", WIKI, lambda: wiki(EXPORT + b"<page " + many(b'a%d=""', 80_000) + b">", PAGE[6:], 1), "1 no_text"
    ),
    "wikipedia: 10,000 broken pages": Attack(
        "wikipedia", WIKI, lambda: wiki(EXPORT, b"<page><a></b>", 10_000), "more than 1000 damaged pages"
    ),
    "posts: entities": Attack(
        "stackexchange xml", POST, lambda: posts(b"", b"&j;", LAUGHS + b"]>\n<posts>\n"), "entit"
    ),
    "posts: a foreign file in a row": Attack(
        "stackexchange xml", POST, lambda: POSTS + b"<posts>\n" + FOREIGN + b']><row Id="1" Body="&j;"/>\n', "entit"
    ),
    "posts: 80,000 attributes": Attack("stackexchange xml", POST, lambda: posts(many(b'a%d=""', 80_000)), "1 Post"),
    "posts: a body of 50 MB": Attack("stackexchange xml", POST, lambda: posts(b"", b"a" * 50 * MB), "1 malformed"),
    "posts: a million tags inside each other": Attack(
        "stackexchange xml", POST, lambda: posts(b">" + b"<a>" * MB), "malformed"
    ),
    "posts: a million beginnings of tags": Attack(
        "stackexchange xml", POST, lambda: POSTS + b"<posts>\n" + b"<" * MB + b"\n" + POSTS_END, "1 malformed"
    ),
    # archives
    "7z: a packed header that names a million files": Attack(
        "stackexchange 7z", "x.7z", lambda: many_files(1_000_000), "numfiles value 1000000 exceeds limit 100000"
    ),
    "7z: a packed header of 64 MB": Attack(
        "stackexchange 7z", "x.7z", lambda: packed_header(b"\x01", bytes(MB), 64), "header size exceeds limit"
    ),
    "7z: 2^60 files": Attack(
        "stackexchange 7z", "x.7z", lambda: seven_zip(b"\x01\x05" + number(1 << 60) + b"\0\0"), "exceeds limit"
    ),
    "7z: 2^60 coders": Attack(
        "stackexchange 7z",
        "x.7z",
        lambda: seven_zip(b"\x01\x04\x07\x0b" + number(1) + b"\0" + number(1 << 60) + bytes(99)),
        "exceeds limit",
    ),
    "7z: posts of 100 MB of blanks": Attack(
        "stackexchange 7z", "x.7z", lambda: posts_in_7z(posts(b" " * (100 * MB))), "1 malformed"
    ),
    "zip: 20,000 members": Attack(
        "gutenberg", "1.zip", lambda: zipped(**{"1.txt": b"book"}, **{str(i): b"" for i in range(20_000)}), "1 Document"
    ),
    "zip: a book of 200 MB of blanks": Attack(
        "gutenberg", "1.zip", lambda: zipped(**{"1.txt": b" " * (200 * MB)}), "decompression bomb"
    ),
    "zip: a name that climbs": Attack("gutenberg", "1.zip", lambda: zipped(**{"../../1.txt": b"book"}), "1 Document"),
    "tar: names that climb, links, devices": Attack(
        "arxiv", TAR, lambda: b"".join(LINKS) + END, "5 plain_file 2 safe_name|2 safe_name 5 plain_file"
    ),
    "tar: a sparse file of 1 GB": Attack(
        "arxiv", TAR, lambda: member("2301/a.gz", 1 << 30, tarfile.GNUTYPE_SPARSE) + END, "runs over the end"
    ),
    "tar: a member of 2^60 bytes": Attack("arxiv", TAR, lambda: member("a.gz", 1 << 60) + END, "runs over the end"),
    "tar: 20,000 members": Attack(
        "arxiv", TAR, lambda: b"".join(member(f"2301/{i}.gz") for i in range(20_000)) + END, "20000 malformed"
    ),
    "tar: nothing but folders": Attack(
        "arxiv", TAR, lambda: member("2301/", 0, tarfile.DIRTYPE) * 50_000 + END, "nothing but folders"
    ),
    "tar: a name of 1 MB": Attack(
        "arxiv", TAR, lambda: member("././@LongLink", MB, b"L") + b"a" * MB + member("a.gz") + END, "header record"
    ),
    "paper: 300,000 members": Attack(
        "arxiv", TAR, lambda: paper(gz(member("a.tex"), 300_000)), "1 max_paper_size: over 20000 members"
    ),
    "paper: over 1 GB of TeX": Attack("arxiv", TAR, lambda: paper(gz(b"a" * MB, 1100)), "1 max_paper_size"),
    "paper: a name that climbs": Attack("arxiv", TAR, lambda: paper(gz(member("../a.tex") + END, 1)), "1 safe_name"),
    "paper: a link": Attack(
        "arxiv", TAR, lambda: paper(gz(member("a.tex", 0, b"2", "/etc/passwd") + END, 1)), "1 plain_file"
    ),
    "paper: 100,000 gzip members": Attack("arxiv", TAR, lambda: paper(gzip.compress(b"x") * 100_000), "1 Document"),
}
ALL_READERS: dict[str, Callable[[str], Iterator[Any]]] = {
    **{name: reader for name, (_, _, reader) in READERS.items()},
    "wikipedia": partial(read_pages, language="de", timestamp="20230320"),
}


def read(reader: Callable[[str], Iterator[Any]], path: str) -> str:
    """What comes of a file: how many of each kind of record, the last rejection, the error."""
    kinds: Counter[str] = Counter()
    last, error = "", ""
    try:
        with memory.of_task(256 * MB):
            for record in reader(path):
                if isinstance(record, BrokenInput):
                    error = record.message
                elif isinstance(record, Rejected):
                    kinds[record.drop.rule] += 1
                    last = f": {record.drop.measured}"
                else:
                    kinds[type(record).__name__] += 1
    except (BrokenInput, MemoryError) as broken:
        error = f"{type(broken).__name__}: {broken}"
    return " ".join(f"{count} {kind}" for kind, count in kinds.items()) + last + ("; " + error if error else "")


def confined(reader: Callable[[str], Iterator[Any]], path: str, answer: Any) -> None:
    """Read in this process, which is there for that alone."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = read(reader, path)
    answer.put((outcome, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10))


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss in kilobytes, and fork")
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_soon_in_little_memory(name: str, tmp_path: Path) -> None:
    attack = ATTACKS[name]
    path = tmp_path / "raw" / attack.file
    path.parent.mkdir(parents=True)
    path.write_bytes(attack.data())
    fork = multiprocessing.get_context("fork")
    answer = fork.SimpleQueue()
    child = fork.Process(target=confined, args=(ALL_READERS[attack.reader], str(path), answer))
    child.start()
    child.join()
    assert child.exitcode == 0, "it did not end, or the process died"
    outcome, grown = answer.get()
    assert re.search(attack.outcome, outcome, re.DOTALL), outcome[:500]
    assert grown < GROWTH, f"{grown >> 20} MB"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path], "a reader wrote a file"
