from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import random
import time
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from slices import c4
from slices.c4 import read_c4
from slices.readers import books_reader, gutenberg
from slices.readers.books_reader import input_order, read_books, split_of
from slices.readers.gutenberg import decode_text, header_fields, read_gutenberg, strip_licence
from slices.readers.gutenberg_marks import marks

DEEP = b'{"text":"a","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def write(path: Path, data: bytes) -> str:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


# ------------------------------------------------------------------------------------------------ books


def test_fields_stay_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "pg19-test.jsonl", b'{"url":"u","text":"A","title":"t"}\n{"text":"","n":[1]}')
    one, two = read_books(path)
    assert one == Document(f"{path}#0", "A", {"url": "u", "title": "t"}, {"split": "pg19-test", "line": 0})
    assert isinstance(one, Document)
    assert list(one.meta) == ["url", "title"]
    assert two == Document(f"{path}#1", "", {"n": [1]}, {"split": "pg19-test", "line": 1})


@pytest.mark.parametrize(
    ("line", "measured"),
    [
        (b"", "blank line"),
        (b'{"title":"t"}', "text is NoneType"),
        (b'{"text":null}', "text is NoneType"),
        (b'{"text":["a"]}', "text is list"),
        (b'["text"]', "Expected `object`"),
        (b'{"text":"a"', "truncated"),
        (b'{"text":"\xff"}', "utf-8"),
        (b'{"text":"\\ud800 and more"}', "surrogate"),
        (DEEP, "recursion"),
    ],
)
def test_a_bad_line_uses_up_its_number(tmp_path: Path, line: bytes, measured: str) -> None:
    path = write(tmp_path / "books3-train.jsonl", line + b'\n{"text":"good"}\n')
    bad, good = read_books(path)
    assert isinstance(bad, Rejected)
    assert bad.id == f"{path}#0"
    assert bad.drop.rule == "malformed"
    assert measured in str(bad.drop.measured)
    assert isinstance(good, Document)
    assert (good.id, good.work["line"]) == (f"{path}#1", 1)


def test_a_line_above_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books_reader, "MAX_LINE", 20)
    fits, over = b'{"text":"0123456789"}'[:-2] + b'"}', b'{"text":"0123456789+"}'
    path = write(tmp_path / "pg19-train-0.jsonl", fits.replace(b"9", b"") + b"\n" + over + b'\n{"text":"b"}')
    first, second, third = read_books(path)
    assert isinstance(first, Document)
    assert second == Rejected(f"{path}#1", Drop("malformed", f"line of {len(over)} bytes", "at most 20 bytes"))
    assert isinstance(third, Document)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("/in/pg19-train.jsonl", "pg19-train"),
        ("s3://b/pg19-validation-00003.jsonl.zst", "pg19-validation"),
        ("books3-train.jsonl.gz", "books3-train"),
    ],
)
def test_split_by_name(name: str, split: str) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize("name", ["pg19.jsonl", "my-pg19-train.jsonl", "pg19-train/x.jsonl"])
def test_a_name_without_split(name: str) -> None:
    with pytest.raises(BrokenInput, match="Rename it"):
        split_of(name)


def test_input_order() -> None:
    names = ["a/books3-train.jsonl", "a/pg19-test.jsonl", "b/pg19-train-1.jsonl", "a/pg19-validation.jsonl"]
    names.append("b/pg19-train-0.jsonl")
    assert [names.index(n) for n in sorted(names, key=input_order)] == [4, 2, 1, 3, 0]


# --------------------------------------------------------------------------------------------------- c4


def test_c4_record(tmp_path: Path) -> None:
    path = write(tmp_path / "c4.json.gz", b'{"timestamp":"2019","text":"T \\u00e9","url":null,"more":1}\n')
    (document,) = read_c4(path)
    assert isinstance(document, Document)
    assert (document.id, document.text) == (f"{path}#0", "T é")
    expected = [("timestamp", "2019"), ("url", None), ("language", "en"), ("source", "c4")]
    assert list(document.meta.items()) == expected


@pytest.mark.parametrize(
    ("line", "measured"),
    [
        (b"", "blank line"),
        (b" \r", "blank line"),
        (b'{"text":"a","timestamp":"t"}', "missing required field `url`"),
        (b'{"text":"a","url":"u"}', "missing required field `timestamp`"),
        (b'{"url":"a","timestamp":"t"}', "missing required field `text`"),
        (b'{"text":1,"timestamp":"t","url":"u"}', "Expected `str`"),
        (b'{"text":"\\udc00","timestamp":"t","url":"u"}', "surrogate"),
        (b'{"text":"a","timestamp":NaN,"url":"u"}', "malformed"),
        (b"\x00\xff", "malformed"),
        (DEEP, "recursion"),
    ],
)
def test_c4_bad_line(tmp_path: Path, line: bytes, measured: str) -> None:
    path = write(tmp_path / "c4.json.gz", line + b'\n{"text":"b","timestamp":"t","url":"u"}\n')
    bad, good = read_c4(path)
    assert isinstance(bad, Rejected)
    assert (bad.id, bad.drop.rule) == (f"{path}#0", "malformed")
    assert measured in str(bad.drop.measured)
    assert isinstance(good, Document)
    assert good.id == f"{path}#1"


def test_c4_line_above_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c4, "MAX_LINE", 40)
    path = write(tmp_path / "c4.json.gz", b'{"text":"b","timestamp":"t","url":"u"}\n' + b"x" * 41)
    good, bad = read_c4(path)
    assert isinstance(good, Document)
    assert bad == Rejected(f"{path}#1", Drop("malformed", "line of 41 bytes", "at most 40 bytes"))


def test_c4_cut_file_gives_what_came_before(tmp_path: Path) -> None:
    noise = random.Random(1)
    lines = [
        json.dumps({"text": f"{noise.getrandbits(4000):x}", "timestamp": "t", "url": str(n)}).encode() + b"\n"
        for n in range(5000)
    ]
    path = tmp_path / "c4.json.gz"
    whole = gzip.compress(b"".join(lines))
    path.write_bytes(whole[: len(whole) // 2])
    read = []
    with pytest.raises(BrokenInput) as error:
        for document in read_c4(str(path)):
            read.append(document)
    assert error.value.place
    assert 0 < len(read) < 5000
    assert all(isinstance(document, Document) for document in read)


def test_c4_as_published(shared_data: Path) -> None:
    with gzip.open(shared_data / "expected" / "c4.jsonl.gz") as lines:
        expected = [json.loads(line) for line in lines]
    read = list(read_c4(str(shared_data / "c4" / "c4-train.00000-of-00001.json.gz")))
    assert len(read) == len(expected)
    for document, record in zip(read, expected, strict=True):
        assert isinstance(document, Document)
        assert hashlib.sha256(document.text.encode()).hexdigest() == record["sha256"]
        assert list(document.meta.items()) == list(record["meta"].items())


# -------------------------------------------------------------------------------------------- gutenberg

BOOK = "CHAPTER I\n\nIt began.\n\n***\n\nIt ended.\n\nTHE END"
MODERN = f"""The Project Gutenberg eBook of A Title, by An Author

Title: A Title
       over two lines
Author: An Author
Release Date: May 1, 2004 [eBook #12345]
Language: English
Character set encoding: ISO-8859-1

*** START OF THIS PROJECT GUTENBERG EBOOK A TITLE ***

Produced by Someone and the Online
Distributed Proofreading Team

{BOOK}

End of the Project Gutenberg EBook of A Title, by An Author

*** END OF THIS PROJECT GUTENBERG EBOOK A TITLE ***

***** This file should be named 12345.txt *****
*** START: FULL LICENSE ***
"""
LONG_MARK = MODERN.replace("EBOOK A TITLE ***\n\nPro", "EBOOK A TITLE\nOVER TWO LINES ***\n\nPro").replace(
    "THIS", "THE"
)
SMALL_PRINT = f"""**The Project Gutenberg Etext of A Title, by An Author**

June, 1998  [Etext #1342]

***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***
Why is this "Small Print!" statement here?
*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*

{BOOK}

End of Project Gutenberg's Etext of A Title, by An Author
"""
NO_CLOSING = MODERN.replace("End of the Project Gutenberg EBook of A Title, by An Author", "")


@pytest.mark.parametrize("text", [MODERN, LONG_MARK, SMALL_PRINT, NO_CLOSING], ids=range(4))
def test_header_and_licence_go(text: str) -> None:
    assert strip_licence(text) == BOOK


@pytest.mark.parametrize("text", [BOOK, "", "*** START OF A FIRE ***\n\nA story", "The End of Project Runway\nmore"])
def test_other_texts_stay(text: str) -> None:
    assert strip_licence(text) == text


def test_header_fields() -> None:
    url = "https://www.gutenberg.org/ebooks/12345"
    expected = {"title": "A Title over two lines", "author": "An Author", "language": "English", "url": url}
    assert header_fields(MODERN) == expected
    assert header_fields(SMALL_PRINT)["title"] == "A Title"
    assert header_fields(BOOK) == {"title": "", "author": "", "language": "", "url": ""}


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"plain", "plain", "utf-8"),
        (b"\xef\xbb\xbfmark", "mark", "utf-8-sig"),
        ("Gabriël".encode("utf-16"), "Gabriël", "utf-16"),
        (
            b"Character set encoding: ISO-8859-1\r\nGabri\xebl",
            "Character set encoding: ISO-8859-1\r\nGabriël",
            "iso8859-1",
        ),
        (b"Character set encoding: UTF-7\n+2AA- \xe9", None, None),
        (b"Character set encoding: unicode_escape\n\\ud800 \xe9", None, None),
        (b"\xff\xfe\x00\xd8", None, None),
        (bytes(range(256)), None, None),
        (b"\x81\x8d\x8f\x90\x9d" * 50, None, None),
    ],
)
def test_encodings(data: bytes, text: str | None, encoding: str | None) -> None:
    found, name = decode_text(data)
    found.encode()  # no lone surrogate
    if text is not None:
        assert (found, name) == (text, encoding)


def test_undeclared_western_text() -> None:
    french = "Où êtes-vous allé, mon cher élève ? La forêt était à côté de l'église, près du château brûlé. " * 40
    assert decode_text(french.encode("latin-1"))[0] == french


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda t: t.encode("utf-16")))
def test_any_bytes_are_some_text(data: bytes) -> None:
    decode_text(data)[0].encode()


def test_reading_a_book(tmp_path: Path) -> None:
    path = write(tmp_path / "12345-8.txt", MODERN.replace("began", "begän").replace("\n", "\r\n").encode("latin-1"))
    (book,) = read_gutenberg(path)
    assert isinstance(book, Document)
    assert (book.id, book.text) == (f"{path}#0", BOOK.replace("began", "begän"))
    assert book.meta["title"] == "A Title over two lines"
    assert book.work == {"encoding": "iso8859-1"}


def test_a_file_with_nothing_but_the_licence(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.txt", MODERN.replace(BOOK, "").encode())
    assert list(read_gutenberg(path)) == [
        Rejected(f"{path}#0", Drop("malformed", "no text between header and licence", "a book"))
    ]


def test_no_mark_makes_the_search_slow() -> None:
    """Line after line that almost is a mark: every expression is bounded, so 5 MB take about 0.2 s."""
    lines = ["***" + " " * 2000, "*** START OF THE PROJECT GUTENBERG", "Title: " + " " * 900, " " * 3000, "*END* SMALL"]
    text = "\n".join(lines * 700)
    began = time.process_time()
    strip_licence(text)
    header_fields(text)
    assert time.process_time() - began < 10


def test_real_books_lose_their_licence(shared_data: Path) -> None:
    for split in ("pg19-train", "pg19-test", "pg19-validation", "books3-train"):
        for book in read_books(str(shared_data / "books" / f"{split}.jsonl")):
            assert isinstance(book, Document)
            text = book.text.replace("\r\n", "\n")
            body = strip_licence(text)
            assert 0.9 * len(text) < len(body) < len(text) - 9_000
            assert "Project Gutenberg-tm" not in body
            assert "SMALL PRINT" not in body
            assert header_fields(text)["title"]


@pytest.mark.parametrize(
    ("named", "after", "cut"),
    [(0, 10, True), (100_000, 29_000, True), (100_000, 31_000, False)],
)
def test_a_mark_stands_near_what_names_gutenberg(named: int, after: int, cut: bool) -> None:
    mark = "\n*END*THE SMALL PRINT!\n"
    text = "x\n" * (named // 2) + "Project Gutenberg" + "y\n" * (after // 2) + mark + "z\n" * 50_000
    assert (mark.strip() in [text[m.begin : m.end] for m in marks(text)]) is cut


@pytest.mark.parametrize(("length", "bomb"), [(2_000, False), (30_000, True)])
def test_a_book_that_shrinks_a_hundredfold_is_a_bomb_in_every_wrapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, bomb: bool
) -> None:
    """A text shrinks two to four times. As it is, or small, it may be of one letter."""
    monkeypatch.setattr(gutenberg, "_BOMB_BYTES", 2_000)
    data = b"a" * length
    assert len(list(read_gutenberg(write(tmp_path / "1.txt", data)))) == 1
    for name, packed in {
        "2.txt.gz": gzip.compress(data),
        "3.txt.zst": zstandard.compress(data),
        "4.txt.bz2": bz2.compress(data),
    }.items():
        (tmp_path / name).write_bytes(packed)
        if bomb:
            with pytest.raises(BrokenInput, match="decompression bomb"):
                list(read_gutenberg(str(tmp_path / name)))
        else:
            assert len(list(read_gutenberg(str(tmp_path / name)))) == 1
