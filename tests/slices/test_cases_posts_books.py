"""Inputs of Stack Exchange and Project Gutenberg that once failed: the shared cases, and inputs of their kinds."""

from __future__ import annotations

import gzip
import io
import random
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import py7zr
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters.stackexchange import Post
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.engine.run_slice import list_inputs
from redpajama_data.errors import BrokenInput, InputUnavailable, UsageError
from redpajama_data.io.storage import RawFile
from slices import stackexchange
from slices.books import SLICE as BOOKS
from slices.parts.books_ids import is_gutenberg, shelves
from slices.readers import volumes
from slices.readers.books_reader import read_books
from slices.readers.dump_rows import Row, Stray, rows
from slices.readers.gutenberg import read_gutenberg, strip_licence
from slices.readers.stackexchange_dump import read_posts, site_stem
from slices.readers.text_encoding import declared_set, decode_text

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "sources"


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Path:
    """The folder of the shared case whose number is the test's parameter."""
    if not CASES.is_dir():
        pytest.skip(f"the shared cases are not there ({CASES})")
    return next(CASES.glob(f"{request.param}-*"))


def file(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def read(path: str) -> tuple[list[Any], list[str]]:
    """What a dump gives, and the damage it reports."""
    got: list[Any] = []
    try:
        got.extend(iter(read_posts(path)))
    except BrokenInput as error:
        return got, [error.message]
    return got, []


def ids(posts: list[Any]) -> list[str]:
    return [post.id for post in posts if isinstance(post, Post)]


# ---------------------------------------------------------------------------------------------- Stack Exchange: shared


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("13", {"bread.stackexchange.com.7z": 4}),
        ("14", {"bread.stackexchange.com.7z.001": 160}),
        ("16", {"apple.stackexchange.com.xml": 5}),
        ("17", {"rye.stackexchange.com.xml": 4, "tea.stackexchange.com.xml": 4}),
        ("22", {"a.stackexchange.com.xml": 3, "c.stackexchange.com.xml": 3}),
    ],
    indirect=["case"],
)
def test_shared_dumps_are_read_whole(case: Path, expected: dict[str, int]) -> None:
    found = [parts[0].path for parts in volumes.whole_archives(list_inputs(stackexchange.SLICE, [str(case)]))]
    got = {}
    for path in found:
        posts, damage = read(path)
        assert damage == []
        assert all(isinstance(post, Post) for post in posts)
        got[Path(path).name] = len(posts)
    assert got == expected


@pytest.mark.parametrize("case", ["38"], indirect=True)
def test_shared_empty_files_are_reported(case: Path) -> None:
    for name, reader in (("stackexchange", read_posts), ("books", None)):
        for path in sorted((case / name).iterdir()):
            own = reader or (read_gutenberg if is_gutenberg(str(path)) else read_books)
            with pytest.raises(BrokenInput, match="it is an empty file"):
                list(own(str(path)))


# ------------------------------------------------------------------------------------------------ Stack Exchange: kinds

ROW = '<row Id="{}" PostTypeId="1" Score="3" Title="T" Body="&lt;p&gt;a > b&lt;/p&gt;" />'
THREE = [ROW.format(number) for number in (1, 2, 3)]
XML = '<?xml version="1.0" encoding="utf-8"?>'
COMMENT = "<!--\n terms of the dump, <b>over</b> lines\n <row Id='9' /> -- >\n-->"


@pytest.mark.parametrize(
    "text",
    [
        XML + "\n<posts>\n" + "\n".join(THREE) + "\n</posts>",
        XML + "<posts>" + "".join(THREE) + "</posts>",
        XML + "\n<posts>" + " ".join(THREE[:2]) + "\n" + THREE[2] + "</posts>\n\n",
        XML + "\n<posts>\n" + "\n".join(row.replace('" ', '"\n   ') for row in THREE) + "\n</posts>",
        XML + "\n<posts>\n" + "\n".join(row.replace("/>", "></row>") for row in THREE) + "\n</posts>",
        f"{XML}\n{COMMENT}\n<posts>\n{THREE[0]}\n{COMMENT}{THREE[1]}{COMMENT}\n{THREE[2]}\n</posts>\n{COMMENT}\n",
        f"{XML}{COMMENT}<posts>{''.join(THREE)}</posts>",
        f"<?xml-stylesheet href='a>b'?>\n<posts a='b'>\n{''.join(THREE)}</posts >",
        XML + "\n<stackexchange>\n" + "\n".join(THREE) + "\n</stackexchange>",
        XML + "\n<dump><posts>\n" + "\n".join(THREE) + "\n</posts></dump>",
        XML + "<posts>" + "".join(THREE[:1]) + "</posts>\ufeff" + XML + "<posts>" + "".join(THREE[1:]) + "</posts>",
        XML + "<posts>" + "".join(row.replace('"', "'").replace("'T'", "'\"T\"'") for row in THREE) + "</posts>",
        XML + "<posts>" + "".join(row.replace("<p>", "<p>\n\n") for row in THREE) + "</posts>",
    ],
    ids=range(13),
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_rows_are_found_wherever_they_stand(tmp_path: Path, text: str, ends: str, encoding: str) -> None:
    path = file(tmp_path / "a.b.xml", text.replace("\n", ends).encode(encoding))
    posts, damage = read(path)
    assert damage == []
    assert ids(posts) == ["1", "2", "3"]
    assert len(posts) == 3
    assert posts[1].body.replace(" ", "") == "<p>a>b</p>"


@pytest.mark.parametrize("declared", ["ISO-8859-1", "windows-1252"])
def test_a_declared_character_set_of_one_byte(tmp_path: Path, declared: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?><posts><row Id="1" Title="café" /></posts>'
    (post,) = read_posts(file(tmp_path / "a.b.xml", text.encode(declared)))
    assert isinstance(post, Post)
    assert post.title == "café"


@pytest.mark.parametrize(
    "reference",
    [
        "&#x1F;",
        "&#31;",
        "&#0;",
        "&#x0;",
        "&#xFFFE;",
        "&#65535;",
        "&#xD83D;",
        "&#x110000;",
        "&#99999999999999;",
        "&#00008;",
    ],
)
def test_a_forbidden_reference_is_left_out(tmp_path: Path, reference: str) -> None:
    text = f'<posts><row Id="1" Title="a{reference}b&#x9;&#xE9;&#x1F600;" /><row Id="2" /></posts>'
    mended: Counter[str] = Counter()
    one, two = read_posts(file(tmp_path / "a.b.xml", text.encode()), mended)
    assert one == Post(0, "1", None, "ab\té\U0001f600", None, None)
    assert two == Post(1, "2", None, None, None, None)
    assert mended == {"forbidden_reference": 1}


@pytest.mark.parametrize("bad", [b"\x1f", b"\xff", b"\xc3", b"\xef\xbf\xbe", b"&nosuch;", b"\0"])
def test_a_bad_byte_costs_its_row_alone(tmp_path: Path, bad: bytes) -> None:
    data = b"<posts>" + b"".join(b'<row Id="%d" Title="a%sb" />' % (n, bad if n == 2 else b"") for n in range(5))
    posts, damage = read(file(tmp_path / "a.b.xml", data + b"</posts>"))
    assert damage == []
    assert ids(posts) == ["0", "1", "3", "4"]
    assert isinstance(posts[2], Rejected)


def test_volumes_are_one_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = XML + "<posts>" + "".join(ROW.format(number) for number in range(300)) + "</posts>"
    with py7zr.SevenZipFile(tmp_path / "whole.7z", "w", filters=[{"id": py7zr.FILTER_COPY}]) as archive:
        archive.writestr(text.encode(), "010203 Site/posts.xml")
    data = (tmp_path / "whole.7z").read_bytes()
    raw = tmp_path / "raw"
    raw.mkdir()
    size = len(data) // 3
    names = [raw / f"a.b.7z.{number:03d}" for number in (1, 2, 3)]
    for number, name in enumerate(names):
        name.write_bytes(data[number * size : (number + 1) * size if number < 2 else None])
    inputs = list_inputs(stackexchange.SLICE, [str(raw)])
    [parts] = volumes.whole_archives(inputs)
    assert [part.path for part in parts] == [str(name) for name in names]
    assert [site_stem(part.path) for part in parts] == ["a.b"] * 3
    posts, damage = read(str(names[0]))
    assert damage == []
    assert len(ids(posts)) == 300
    assert volumes.whole_archives(inputs[:1]) == [parts]  # one named: the others are found
    names[1].rename(tmp_path / "away")
    posts, [message] = read(str(names[0]))
    assert message.startswith(f"{names[1]}: this volume of the archive is missing")
    names[0].unlink()
    assert read(str(names[2]))[1][0].startswith(f"{names[0]}: this volume of the archive is missing")


def test_an_archive_counts_before_volumes_and_these_before_xml() -> None:
    inputs = [RawFile(f"in/{name}", 9, "") for name in ("a.b.7z", "a.b.7z.001", "a.b.xml", "c.d.7z.001", "c.d.xml")]
    drops = stackexchange.choose_dumps(inputs, [])
    assert [drop and drop.limit for drop in drops] == [None, "in/a.b.7z", "in/a.b.7z", None, "in/c.d.7z.001"]


class _Fails(io.RawIOBase):
    """A file whose reads fail from the n-th byte on, as those of a disk or of a small memory do."""

    def __init__(self, path: str, after: int, error: BaseException) -> None:
        super().__init__()
        self.file, self.left, self.error = open(path, "rb"), after, error  # noqa: SIM115

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        if self.left <= 0:
            raise self.error
        data = self.file.read(min(len(buffer), self.left))
        self.left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


@pytest.mark.parametrize("after", [0, 100, 1100, 2400, 3000])
@pytest.mark.parametrize("error", [MemoryError(), InputUnavailable("away")])
@pytest.mark.parametrize("method", [py7zr.FILTER_COPY, py7zr.FILTER_LZMA2, py7zr.FILTER_BZIP2])
def test_what_is_no_damage_passes_the_7z_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException, method: int
) -> None:
    path = str(tmp_path / "a.b.7z")
    noise = random.Random(1).randbytes(2000)
    with py7zr.SevenZipFile(path, "w", filters=[{"id": method}]) as archive:
        archive.writestr(b"<posts>" + noise + b"</posts>", "Posts.xml")
    monkeypatch.setattr(
        "slices.readers.seven_zip.open_volumes", lambda path: io.BufferedReader(_Fails(path, after, error), 64)
    )
    with pytest.raises(type(error)):
        list(read_posts(path))


# ------------------------------------------------------------------------------------------------ Stack Exchange: bytes

_PIECES = st.sampled_from(
    [
        b'<row Id="1" Title="a" />',
        b"<row Id='2'\n ParentId='1' Score='1' Body='b'></row>",
        b'<row Id="3" Title="&#x1F;&lt;" />\r\n',
        b'<row Title="no Id" />',
        b'<row Id="4" Title="',
        b'<row Id="5" Title="a < b" />',
        b"\n",
        b"  ",
        b"words",
        b"\0\0\0",
        b"\xff\xfe",
        b"<other />",
        b"</row>",
        b"</posts>",
        b"<posts>",
        b"<?xml version='1.0'?>",
        b"<",
        b"/>",
        b"<![CDATA[ x ]]>",
    ]
)


@given(st.lists(_PIECES | st.binary(max_size=6), max_size=20), st.integers(1, 40))
@example([b"<row Id='1' />", b"<row"], 3)
@settings(max_examples=400)
def test_every_row_is_a_record_or_the_file_is_damaged(pieces: list[bytes], step: int) -> None:
    """However a table is mangled, and however it comes in chunks: its rows are records, in order, or damage is told."""
    data = b"<posts>" + b"".join(pieces) + b"</posts>"
    got: list[Row | Stray] = []
    damage = False
    try:
        got.extend(rows("a.b.xml", (data[at : at + step] for at in range(0, len(data), step))))
    except BrokenInput:
        damage = True
    if b"<!" not in data and b"<?" not in data:  # what may hold a "<" itself
        assert damage or len(got) >= len(re.findall(rb"<row(?=[\s/>])", data))
    text = re.sub(rb"<(row|/row|posts|/posts)(?=[\s/>])[^<>]*>", b"", data)
    if text.replace(b"\xef\xbb\xbf", b"").strip() and not damage and b"<?" not in data and b"<!" not in data:
        assert any(isinstance(piece, Stray) for piece in got) or any(
            isinstance(piece, Row) and not re.fullmatch(rb"<row(\s[^<>]*)?/>", piece.xml) for piece in got
        )


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 200))
@settings(max_examples=150)
def test_mutated_dumps_lose_no_row_without_a_word(place: int, flips: int, step: int) -> None:
    rows_in = [f'<row Id="{n}" Title="title {n}" Body="&lt;p&gt;body {n}&lt;/p&gt;" />\r\n' for n in range(12)]
    whole = (f"\ufeff{XML}\r\n<posts>\r\n{''.join(rows_in)}</posts>").encode()
    data = bytearray(whole)
    for flip in range(flips):
        data[(place * 31 + flip * 7919) % len(data)] ^= 1 + (place >> (8 * flip)) % 255
    found: list[Row | Stray] = []
    damage = False
    try:
        found.extend(rows("a.b.xml", (bytes(data[at : at + step]) for at in range(0, len(data), step))))
    except BrokenInput:
        damage = True
    intact = [row for row in rows_in if row.strip().encode() in data]
    read_whole = {piece.xml for piece in found if isinstance(piece, Row)}
    missing = [row for row in intact if row.strip().encode() not in read_whole]
    assert damage or not missing
    assert damage or len(found) >= len(intact)


# ------------------------------------------------------------------------------------------------ Gutenberg: shared


def book(path: str) -> Document:
    (document,) = read_gutenberg(path)
    assert isinstance(document, Document)
    return document


@pytest.mark.parametrize("case", ["02", "41"], indirect=True)
def test_shared_books_run_from_mark_to_mark(case: Path) -> None:
    paths = sorted(case.glob("*.txt"))
    assert len(paths) == 3
    for path in paths:
        text = book(str(path)).text
        assert text.startswith("BODY-START"), path
        assert text.endswith("BODY-END"), path
        assert "GUTENBERG" not in text.upper()
        assert not re.search("LEGAL|LICENCE|FOOT-MARK|HEAD-MARK", text)


@pytest.mark.parametrize("case", ["02"], indirect=True)
def test_shared_marks(case: Path) -> None:
    shown: list[str] = []
    exec(
        (case / "marks.py").read_text().replace("slices.gutenberg", "slices.readers.gutenberg"),
        {"print": lambda *words: shown.append(" ".join(words))},
    )
    assert len(shown) == 43
    assert [line for line in shown if not line.startswith("ok")] == []


@pytest.mark.parametrize("case", ["12"], indirect=True)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a-naiad-ascii-declared", "MARK She was the naïad of the spring."),
        ("c-cafe-none", "MARK they sat in the café and read."),
        ("d-spanish-iso646", "MARK Yo, escribano de Cámara del Rey nuestro señor"),
        ("f-cp850", "MARK schön süß Straße Äpfel über Mädchen hören"),
        ("h-utf8-one-bad-byte", "MARK “quoted” café naïve — dash one\u00a0bad"),
    ],
)
def test_shared_character_sets(case: Path, name: str, said: str) -> None:
    assert said in book(str(case / f"{name}.txt")).text


@pytest.mark.parametrize("case", ["39"], indirect=True)
def test_shared_file_forms(case: Path) -> None:
    found = [raw.path for raw in list_inputs(BOOKS, [str(case)])]
    assert sorted(Path(path).name for path in found) == ["1342.txt.utf-8", "1344.zip", "1345.TXT", "pg1343.txt.utf8"]
    assert len({book(path).text for path in found}) == 1
    with pytest.raises(UsageError, match=r"HTML is not read. Rename it to what it is, or give the book's .txt"):
        shelves([str(case / "pg1346.html")])


@pytest.mark.parametrize("case", ["40"], indirect=True)
def test_shared_byte_order_mark(case: Path) -> None:
    assert [type(record) for record in read_books(str(case / "pg19-train.jsonl"))] == [Document, Document]


@pytest.mark.parametrize("case", ["45"], indirect=True)
def test_shared_apple_double(case: Path) -> None:
    with pytest.raises(BrokenInput, match="AppleDouble"):
        list(read_gutenberg(str(case / "._1342.txt")))


# ------------------------------------------------------------------------------------------------ Gutenberg: kinds

FILLER = "Evening came with wind along the quiet wall and nobody walked there.\n" * 40
SAID = {
    "one": "the naïad of the brook",
    "pound": "It cost £20,000 in gold",
    "spanish": "Buenos días, señor, dijo. Mañana será otro día.",
    "half": "He waited 1½ hours; 3¼ miles",
    "french": "Où êtes-vous allé, mon cher élève ? À la fin, l'Été. ÉTUDE. « Ça va », dit-il.",
    "german": "schöne Mädchen hören süße Klänge, Straße, übermütig, Ärger",
    "portuguese": "não há ação, coração, português, à noite, vocês",
    "danish": "Blå øjne, æbler, Århus",
    "italian": "È così che andò, perché la città è là",
    "icelandic": "Það er eitt, sem þú átt að vita, ég þori",
    "quotes": "“Don’t go,” she said—“it’s late.”",
    "bronte": "Charlotte Brontë's façade",
}


def _writes(encoding: str, text: str) -> bool:
    return text.encode(encoding, "replace").decode(encoding) == text


_SETS = ("latin-1", "cp1252", "cp850", "cp437", "mac_roman", "utf-8")
_WRITTEN = [(name, encoding) for name, said in SAID.items() for encoding in _SETS if _writes(encoding, said)]


@pytest.mark.parametrize(("name", "encoding"), _WRITTEN)
def test_western_text_by_its_bytes(name: str, encoding: str) -> None:
    data = f"{FILLER}{SAID[name]}\n{FILLER}".encode(encoding)
    for declared in ("", "ASCII", "ISO-646-US (US-ASCII)", "ISO-8859-1", "ISO Latin-1", "UTF-8", "none"):
        header = f"Character set encoding: {declared}\n\n" if declared else "\n"
        assert SAID[name] in decode_text(header.encode() + data)[0], declared


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("Codepage 850", "cp850"),
        ("CP-1252", "cp1252"),
        ("Windows Code Page 1252", "cp1252"),
        ("MacRoman", "mac-roman"),
        ("IBM-437 (DOS)", "cp437"),
        ("ISO 8859-2", "iso8859-2"),
        ("ISO-8859-15", "iso8859-15"),
        ("IDO-8859-1", "iso8859-1"),
        ("Latin1", "iso8859-1"),
        ("Unicode UTF-8", "utf-8"),
        ("US-ASCII", "ascii"),
        ("KOI8-R", "koi8-r"),
        ("Big-5", "big5"),
        ("UTF-7", ""),
        ("unicode_escape", ""),
        ("idna", ""),
        ("French", ""),
    ],
)
def test_declared_names(declared: str, name: str) -> None:
    assert declared_set(f"Title: x\r\nCharacter set encoding: {declared}\r\n".encode()) == name


CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. " * 20
RUSSIAN = "Все люди рождаются свободными и равными в своём достоинстве и правах. " * 20
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι. " * 20


@pytest.mark.parametrize(
    ("head", "text", "encoding"),
    [
        ("Character set encoding: ISO-8859-2\n", CZECH, "iso8859-2"),
        ("Character set encoding: Windows-1250\n", CZECH, "cp1250"),
        ("Language: Czech\n", CZECH, "iso8859-2"),
        ("Language: Czech\n", CZECH, "cp1250"),
        ("Character set encoding: ISO-8859-7\n", GREEK, "iso8859-7"),
        ("Character set encoding: KOI8-R\n", RUSSIAN, "koi8-r"),
        ("Character set encoding: ASCII\n", RUSSIAN, "cp1251"),
        ("", RUSSIAN, "koi8-r"),
        ("", GREEK, "cp1253"),
        ("Character set encoding: Big5\n", "我們的中文書籍在這裡，關於生活和歷史。" * 9, "big5"),
    ],
)
def test_other_sets_stay(head: str, text: str, encoding: str) -> None:
    assert decode_text(f"{head}\n{text}".encode(encoding)) == (f"{head}\n{text}", encoding)


@pytest.mark.parametrize("place", [0, 1, 5, 17])
def test_a_bad_byte_leaves_a_book_in_utf8(place: int) -> None:
    words = "“quoted” café naïve — señor ".encode()
    data = FILLER.encode() + words * 3 + b"ni\xf1o " + words * place + b"cut \xe2\x80 off " + b"\x81\n"
    text, encoding = decode_text(data)
    assert encoding == "utf-8"
    assert text.count("“quoted” café naïve — señor") == 3 + place
    assert "niño" in text
    assert "cut \ufffd off \ufffd" in text


def test_utf16_without_its_mark() -> None:
    assert decode_text("A plain book.\n".encode("utf-16-le")) == ("A plain book.\n", "utf-16-le")
    assert decode_text("A plain book.\n".encode("utf-16-be")) == ("A plain book.\n", "utf-16-be")


STORY = "CHAPTER I\n\n" + FILLER + "\nTHE END"
OLD_HEADER = """**The Project Gutenberg Etext of A Title, by An Author**

Copyright laws are changing all over the world.  Be sure to check the
copyright laws for your country.

**Welcome To The World of Free Plain Vanilla Electronic Texts**

Title: A Title
Author: An Author

"""
PRINT = """***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN EBOOKS**START***
Why is this "Small Print!" statement here?  You know: lawyers.

They tell us you might sue us.

*END THE SMALL PRINT! FOR PUBLIC DOMAIN EBOOKS*Ver.02/11/02*END*
"""
START, END = (
    "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\n",
    "\n\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\n\n",
)
CLOSING = "\n\nEnd of the Project Gutenberg EBook of A Title, by An Author\n\n"
LICENCE = "Section 1. General Terms of Use and Redistributing Project Gutenberg-tm electronic works\n"


@pytest.mark.parametrize(
    "text",
    [
        OLD_HEADER + STORY + CLOSING + "This file should be named x.txt\n\n" + PRINT,
        OLD_HEADER + STORY + CLOSING + PRINT + "\n\n",
        OLD_HEADER + STORY + "\n\n" + PRINT,
        OLD_HEADER + STORY + "\n\n" + PRINT + "\n[Portions of this header are copyright]\n",
        OLD_HEADER + START + STORY + END + PRINT,
        OLD_HEADER + START + STORY + "\n\n" + PRINT,
        OLD_HEADER + PRINT + STORY + CLOSING,
        OLD_HEADER + PRINT + STORY,
        OLD_HEADER + PRINT + START + STORY + END + LICENCE,
        OLD_HEADER + START + PRINT + STORY + END + LICENCE,
        OLD_HEADER + START + "Produced by Somebody\n\n" + STORY + CLOSING + END + LICENCE,
        OLD_HEADER + START + STORY + "\n\n" + LICENCE,
        OLD_HEADER + START + STORY + "\n\n*** START: FULL LICENSE ***\n\n" + LICENCE,
        OLD_HEADER + STORY + CLOSING + LICENCE,
        OLD_HEADER + START.replace(" X ***", " X\nOF Y ***") + STORY + END,
        OLD_HEADER + START.replace(" X ***", " X") + STORY.replace("wall", "***", 1) + END,
        OLD_HEADER + STORY + "\n\nSlutet på Project Gutenbergs X\n",
        OLD_HEADER + STORY + "\n\nProject Gutenbergin e-kirjan X loppu\n",
    ],
    ids=range(18),
)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_bodies_of_all_years(text: str, bom: str) -> None:
    story = (
        STORY if "***" not in text.partition("CHAPTER")[2].partition("THE END")[0] else STORY.replace("wall", "***", 1)
    )
    assert strip_licence(bom + text) == story


SECOND = STORY.replace("CHAPTER I", "CHAPTER II")


@pytest.mark.parametrize(
    "text",
    [
        OLD_HEADER + START + STORY + END + START + SECOND + END + LICENCE,
        OLD_HEADER + START + STORY + END + LICENCE + "\n" + OLD_HEADER + START + SECOND + END + LICENCE,
        OLD_HEADER + PRINT + STORY + CLOSING + "\n" + OLD_HEADER + PRINT + SECOND + CLOSING,
        OLD_HEADER + START + STORY + "\n\n" + START + SECOND + END + LICENCE,
        OLD_HEADER + START + STORY + END + SECOND + "\n\n" + START + END + LICENCE,
    ],
    ids=range(5),
)
def test_two_books_in_a_file(text: str) -> None:
    assert strip_licence(text) == f"{STORY}\n\n\n{SECOND}"


def test_a_sentence_that_closes_the_first_part_only() -> None:
    part = STORY[:3000] + "\n\nEnd of Project Gutenberg's first part\n\n" + FILLER[:2000]
    assert strip_licence(START + part + END) == part.strip()


@pytest.mark.parametrize(
    "name", ["1.txt.utf-8", "1.txt.utf8", "1.TXT", "1-0.txt", "1-8.txt", "1.txt.gz", "1.zip", "1.ZIP"]
)
def test_names_of_a_book(tmp_path: Path, name: str) -> None:
    data = (OLD_HEADER + START + STORY + END).encode()
    path = tmp_path / name
    if name.lower().endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("folder/1.TXT", data)
            archive.writestr("__MACOSX/._1.txt", b"\0\5\x16\7")
            archive.writestr("cover.jpg", b"jpg")
    else:
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    [raw] = list_inputs(BOOKS, [str(tmp_path)])
    assert is_gutenberg(raw.path)
    assert book(raw.path).text == STORY


def zipped(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path)


def test_zip_archives_that_are_no_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slices.readers.gutenberg._BOMB_BYTES", 1 << 20)
    good = zipped(tmp_path / "1.zip", {"1.txt": STORY.encode()})
    damaged = bytearray(Path(good).read_bytes())
    damaged[60] ^= 0xFF
    for path, message in (
        (zipped(tmp_path / "2.zip", {"1.txt": b"a", "2.txt": b"b"}), r"2 text files in it \(1.txt, 2.txt\)"),
        (zipped(tmp_path / "3.zip", {"1.htm": b"a"}), r"0 text files in it \(1.htm\)"),
        (zipped(tmp_path / "4.zip", {"1.txt": b" " * (2 << 20)}), "decompression bomb"),
        (file(tmp_path / "5.zip", bytes(damaged)), "damaged zip archive"),
        (file(tmp_path / "6.zip", Path(good).read_bytes()[:-30]), "damaged zip archive"),
        (file(tmp_path / "7.zip", b"<html>sign in</html>"), "not a zip archive; it is an HTML page"),
        (file(tmp_path / "8.zip", b""), "it is an empty file"),
    ):
        with pytest.raises(BrokenInput, match=message):
            list(read_gutenberg(path))


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "an empty file"),
        (b"\0" * 4096, "zero bytes"),
        (b"\0\5\x16\7" + b"\0" * 200, "AppleDouble"),
        (b"<!DOCTYPE html>\n<html><body>Are you human?</body></html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"\x1f\x8b\x08\x00", "a gzip file"),
        (b"PK\x03\x04", "a zip archive"),
        (b"%PDF-1.4", "a PDF document"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, data: bytes, named: str) -> None:
    for name, reader in (("1.txt", read_gutenberg), ("pg19-train.jsonl", read_books)):
        with pytest.raises(BrokenInput, match=named):
            list(reader(file(tmp_path / name, data)))


def test_books_that_begin_like_json_or_xml_stay(tmp_path: Path) -> None:
    for number, text in enumerate(("[Illustration]\n\nA story", "{a brace}", "<?xml version='1.0'?> as text")):
        assert book(file(tmp_path / f"{number}.txt", text.encode())).text == text


def test_a_byte_order_mark_belongs_to_no_book(tmp_path: Path) -> None:
    one, two = read_books(file(tmp_path / "pg19-test.jsonl", b'\xef\xbb\xbf{"text":"a"}\n{"text":"b"}\n'))
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert (one.text, two.text) == ("a", "b")


_TEXTS = st.lists(
    st.sampled_from([OLD_HEADER, PRINT, START, END, CLOSING, LICENCE, "*** START OF\n", "\n\n", "\r\n"])
    | st.integers(0, 99).map(lambda n: f"\n\nPassage {n:02d} of this story. " + "and so it went on, " * 400 + "\n\n"),
    max_size=14,
)


@given(_TEXTS)
@settings(max_examples=300)
def test_no_passage_between_start_and_end_is_lost(pieces: list[str]) -> None:
    """Whatever the order of the marks: a long passage that follows a start, or another such passage, is published."""
    text = "".join(pieces).replace("\r\n", "\n")
    body = strip_licence(text)
    inside = START not in pieces and PRINT not in pieces
    for piece in pieces:
        if piece in (START, PRINT):
            inside = True
        elif piece == LICENCE:
            inside = False
        elif "Passage" in piece and inside:
            assert piece.strip() in body, piece[:20]
    assert "General Terms of Use" not in body
    assert "They tell us you might sue us" not in body


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("cp1252", "replace")))
@settings(max_examples=300)
def test_every_byte_of_a_book_has_its_character(data: bytes) -> None:
    """Nothing is dropped in decoding: ASCII stays in its order, and other bytes become something."""
    text, encoding = decode_text(data)
    text.encode()
    if encoding in ("utf-8", "cp1252", "cp850", "cp437", "mac_roman", "mac-roman", "iso8859-1"):
        assert [c for c in text if c < "\x80"] == [chr(byte) for byte in data if byte < 0x80]
        assert len(text) >= len(re.sub(rb"[\x80-\xbf]", b"", data)) - data.count(b"\xff") * 0


def test_rejection_of_a_book_of_nothing(tmp_path: Path) -> None:
    path = file(tmp_path / "1.txt", (OLD_HEADER + START + END + LICENCE).encode())
    assert list(read_gutenberg(path)) == [
        Rejected(f"{path}#0", Drop("malformed", "no text between header and licence", "a book"))
    ]
