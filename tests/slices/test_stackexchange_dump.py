"""Reading dumps of the Stack Exchange network, whole and hostile, and assembling their threads."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import py7zr
import pytest

import slices.readers.seven_zip
from filters.language import load_lid, predict_language, stack_exchange_line
from filters.stackexchange import Post, assemble, no_title, order_by_score_text, orphan_answer, site_of_stem
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.models.registry import resolve
from slices.readers.dump_rows import MAX_ROW
from slices.readers.stackexchange_dump import count_posts, read_posts, site_stem

HEAD = '\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n'
ROWS = (
    '  <row Id="1" PostTypeId="1" Score="3" Title="T &amp;lt;b&amp;gt;" Body="&lt;p&gt;Q&#xA;é&lt;/p&gt;" />\r\n'
    '  <row Id="2" PostTypeId="2" ParentId="1" Score="5" Body="&lt;p&gt;A&lt;/p&gt;" />\r\n'
)
POSTS = [
    Post(0, "1", None, "T &lt;b&gt;", "<p>Q\né</p>", "3"),
    Post(1, "2", "1", None, "<p>A</p>", "5"),
]
WHOLE = (HEAD + ROWS + "</posts>").encode()


def seven_zip(path: Path, members: dict[str, bytes], **options: Any) -> str:
    with py7zr.SevenZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(data, name)
    return str(path)


def xml(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def until_broken(posts: Iterator[Post | Rejected]) -> tuple[list[Post | Rejected], BrokenInput]:
    out: list[Post | Rejected] = []
    with pytest.raises(BrokenInput) as caught:
        out.extend(iter(posts))  # list.extend keeps what came before the error
    return out, caught.value


@pytest.mark.parametrize("filters", [None, [{"id": py7zr.FILTER_BZIP2}], [{"id": py7zr.FILTER_LZMA, "preset": 1}]])
def test_member_of_a_solid_archive(tmp_path: Path, filters: Any) -> None:
    badges, users = b"b" * 3_000_000, b"u" * 100
    members = {"Badges.xml": badges, "Posts.xml": WHOLE, "Users.xml": users}
    path = seven_zip(tmp_path / "site.7z", members, filters=filters)
    assert list(read_posts(path)) == POSTS
    assert b"".join(slices.readers.seven_zip.read_member(path, "Users.xml")) == users


def test_xml_alone_and_compressed(tmp_path: Path) -> None:
    assert list(read_posts(xml(tmp_path / "site.xml", WHOLE))) == POSTS
    assert list(read_posts(xml(tmp_path / "site.xml.gz", gzip.compress(WHOLE)))) == POSTS


@pytest.mark.parametrize(
    "head",
    [
        "<?xml version='1.0'?>\n<!DOCTYPE posts SYSTEM 'posts.dtd'>\n<posts>\n",  # fails in the published script
        "<posts>\n\n",
        "",
    ],
)
def test_head(tmp_path: Path, head: str) -> None:
    assert list(read_posts(xml(tmp_path / "site.xml", (head + ROWS + "</posts>\n\n").encode()))) == POSTS


ENTITIES = '<!DOCTYPE posts [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>\n<posts>\n'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ENTITIES + '<row Id="1" Title="&b;" />\n</posts>', "declares entities"),
        ('<users>\n<row Id="1" />\n</users>', "root element <users>, another table of the dump. Give Posts.xml."),
        ("<mediawiki>\n<siteinfo>Wiki</siteinfo>\n</mediawiki>", "line 2 holds b'Wiki', so it is no Posts.xml"),
        ("<a><b><c><d><e><f><row Id='1' />", "<a> holds <e>"),
        ("<things></things>", "<things> has no <row>"),
        ("<!-- nothing else -->", "it has no <row>"),
        ("<things> words <row Id='1' />", "line 1 holds b' words '"),
        ("<things><other /><row Id='1' />", "line 1 holds b'other />'"),
        ("<html><body>Sign in</body></html>", "it is an HTML page"),
        ("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "it is an error message in XML"),
        ("version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        ('{"Id": 1}', "it is plain JSON"),
        ("", "it is an empty file"),
        ("<posts>\n<!-- <row Id='1' />", "ends inside a comment"),
        (HEAD, "ends without </posts>"),
    ],
)
def test_no_dump(tmp_path: Path, data: str, message: str) -> None:
    got, error = until_broken(read_posts(xml(tmp_path / "site.xml", data.encode())))
    assert got == []
    assert message in error.message


@pytest.mark.parametrize(
    ("row", "measured", "limit"),
    [
        (b'<row Id="9" Title="a" Title="b" />', "line 5: Attribute Title redefined", "well-formed XML"),
        (b'<row Id="9" Title="\xff" />', "line 5: Invalid bytes in character encoding", "well-formed XML"),
        (b'<row Id="9" Title="&nosuch;" />', "line 5: Entity 'nosuch' not defined", "well-formed XML"),
        (b'<row Id="9" Title="\x1f" />', "line 5: invalid character in attribute value", "well-formed XML"),
        (b'<row Id="9" Title="a < b" />', "line 5: ", "well-formed XML"),
        (b'<row Id="9" Title="a <b> c" <i/> />', "line 5: ", "well-formed XML"),
        (b'<post Id="9" />', 'line 5: post Id="9" />', "<row"),
        (b"<![CDATA[ <row /> ]]>", "line 5: ![CDATA[", "<row"),
        (b"words", "line 4: words", "<row"),
        (b"\0" * 100, "line 4: ", "<row"),
        (b'<row Title="a" />', "line 5: absent", "Id"),
        (b'<row Id="9" ParentId="1" Score="1" />', "line 5: absent", "Body"),
        (b'<row Id="9" ParentId="1" Body="x" />', "line 5: absent", "Score"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>', "line 5: ", "well-formed XML"),
        (b"<row Id='9' Title='" + b"x" * MAX_ROW + b"' />", "line 5: 8,388,631 bytes", "8,388,608 bytes"),
    ],
)
def test_malformed_row(tmp_path: Path, row: bytes, measured: str, limit: str) -> None:
    path = xml(tmp_path / "site.xml", (HEAD + ROWS).encode() + row + b'\n<row Id="10" />\n</posts>')
    posts = list(read_posts(path))
    assert posts[:2] == POSTS
    assert posts[3:] == [Post(3, "10", None, None, None, None)]
    rejected = posts[2]
    assert isinstance(rejected, Rejected)
    assert (rejected.id, rejected.drop.rule, rejected.drop.limit) == (f"{path}#2", "malformed", limit)
    assert str(rejected.drop.measured).startswith(measured)


def test_longest_row_allowed(tmp_path: Path) -> None:
    row = b'<row Id="9" Body="%s" />'
    body = b"x" * (MAX_ROW - len(row) + 2)
    path = xml(tmp_path / "site.xml", HEAD.encode() + row % body + b"\n</posts>")
    assert list(read_posts(path)) == [Post(0, "9", None, None, body.decode(), None)]


@pytest.mark.parametrize("cut", ["</pos", '<row Id="9" Tit', ""])
def test_cut_xml_gives_the_rows_before(tmp_path: Path, cut: str) -> None:
    got, error = until_broken(read_posts(xml(tmp_path / "site.xml", (HEAD + ROWS + cut).encode())))
    assert got == POSTS
    assert error.place == "record 2"


ROWS_OF_BIG = 40_000


@functools.cache
def big() -> bytes:
    """4 MB that hardly compress: several blocks of bzip2."""
    noise = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(ROWS_OF_BIG)]
    rows = "".join(f'<row Id="{number}" Title="{text}" />\n' for number, text in enumerate(noise))
    return (HEAD + rows + "</posts>").encode()


@pytest.mark.parametrize("filters", [[{"id": py7zr.FILTER_LZMA2, "preset": 1}], [{"id": py7zr.FILTER_BZIP2}]])
def test_damage_inside_the_archive(tmp_path: Path, filters: Any) -> None:
    path = Path(seven_zip(tmp_path / "site.7z", {"Posts.xml": big()}, filters=filters))
    data = bytearray(path.read_bytes())
    data[len(data) * 9 // 10] ^= 0xFF
    path.write_bytes(data)
    got, error = until_broken(read_posts(str(path)))
    assert error.message.startswith(str(path))
    assert "Download it again." in error.message
    assert error.place.startswith("Posts.xml")
    assert 0 < len(got) < ROWS_OF_BIG
    assert got == list(read_posts(xml(tmp_path / "site.xml", big())))[: len(got)]


def test_wrong_checksum(tmp_path: Path) -> None:
    path = Path(seven_zip(tmp_path / "site.7z", {"Posts.xml": WHOLE}, filters=[{"id": py7zr.FILTER_COPY}]))
    path.write_bytes(path.read_bytes().replace(b"&gt;A&lt;", b"&gt;B&lt;"))
    got, error = until_broken(read_posts(str(path)))
    assert got == []
    assert "wrong checksum" in error.message


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ({"Users.xml": b"u"}, {}, r"0 files Posts.xml in the archive \(Users.xml\)"),
        ({}, {}, r"0 files Posts.xml in the archive \(nothing\)"),
        ({"a/Posts.xml": WHOLE, "b/Posts.xml": WHOLE}, {}, "2 files Posts.xml"),
        ({"Posts.xml": b""}, {}, "Posts.xml is empty"),
        ({"Posts.xml": WHOLE}, {"password": "x"}, "encrypted"),
        ({"Posts.xml": WHOLE}, {"password": "x", "header_encryption": True}, "encrypted"),
    ],
)
def test_unusable_archive(tmp_path: Path, members: dict[str, bytes], options: Any, message: str) -> None:
    got, error = until_broken(read_posts(seven_zip(tmp_path / "site.7z", members, **options)))
    assert got == []
    assert re.search(message, error.message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is an empty file"),
        (b"PK\3\4" + b"\0" * 40, "it is a zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "header cannot be read"),
        (b"7z\xbc\xaf\x27\x1c\0\4" + b"\1" * 24, "declares a header over 256 MB"),
    ],
)
def test_no_archive(tmp_path: Path, data: bytes, message: str) -> None:
    got, error = until_broken(read_posts(xml(tmp_path / "site.7z", data)))
    assert got == []
    assert message in error.message


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
def test_cut_archive(tmp_path: Path, keep: float) -> None:
    path = Path(seven_zip(tmp_path / "site.7z", {"Posts.xml": WHOLE}))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    got, error = until_broken(read_posts(str(path)))
    assert got == []  # the header is at the end
    assert "header" in error.message


def test_bomb_is_refused_by_its_declared_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {"Badges.xml": b" " * 2_000_000, "Posts.xml": HEAD.encode() + b" " * 1_000_000}
    path = seven_zip(tmp_path / "site.7z", members)
    monkeypatch.setattr(slices.readers.seven_zip, "_BOMB_BYTES", 4_000_000)
    assert "ends without </posts>" in until_broken(read_posts(path))[1].message
    monkeypatch.setattr(slices.readers.seven_zip, "_BOMB_BYTES", 2_000_000)
    assert "decompression bomb" in until_broken(read_posts(path))[1].message


def test_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Posts.xml").symlink_to("/etc/hostname")
    with py7zr.SevenZipFile(tmp_path / "site.7z", "w") as archive:
        archive.write(tmp_path / "Posts.xml", "Posts.xml")
    assert "is a link" in until_broken(read_posts(str(tmp_path / "site.7z")))[1].message


def test_name_that_climbs_is_read_and_reaches_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "below"
    folder.mkdir()
    path = folder / "site.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.set_encoded_header_mode(False)
        archive.writestr(WHOLE, "xx/xx/Posts.xml")
    data = path.read_bytes().replace("xx/xx/".encode("utf-16-le"), "../../".encode("utf-16-le"))
    offset, size = struct.unpack("<QQ", data[12:28])  # then make both checksums of the header right again
    start = data[12:28] + struct.pack("<I", zlib.crc32(data[32 + offset : 32 + offset + size]))
    path.write_bytes(data[:8] + struct.pack("<I", zlib.crc32(start)) + start + data[32:])
    with py7zr.SevenZipFile(path) as archive:
        assert archive.getnames() == ["../../Posts.xml"]
    assert list(read_posts(str(path))) == POSTS
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["below", "site.7z"]


def test_compressed_noise_never_shows_a_traceback(tmp_path: Path) -> None:
    """Every byte of the header flipped: an error of ours, or rows."""
    path = Path(seven_zip(tmp_path / "site.7z", {"Posts.xml": WHOLE}, filters=[{"id": py7zr.FILTER_COPY}]))
    whole = path.read_bytes()
    outcomes: set[int | str] = set()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 0x55
        path.write_bytes(data)
        try:
            outcomes.add(len(list(read_posts(str(path)))))
        except BrokenInput as error:
            outcomes.add(error.message.rsplit(". ", 1)[-1])
    assert "Download it again." in outcomes


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("/data/beer.stackexchange.com.7z", "beer.stackexchange.com"),
        ("beer.stackexchange.com.xml", "beer.stackexchange.com"),
        ("s3://bucket/beer.stackexchange.com/Posts.xml", "beer.stackexchange.com"),
        ("beer.stackexchange.com/Posts.xml.zst", "beer.stackexchange.com"),
        ("stackoverflow.com-Posts.7z", "stackoverflow.com-Posts"),
        ("stackoverflow_part_03.xml", "stackoverflow_part_03"),
    ],
)
def test_site_stem(path: str, stem: str) -> None:
    assert site_stem(path) == stem


@pytest.mark.parametrize(
    ("stem", "site"),
    [
        ("beer.stackexchange.com", "beer.stackexchange.com"),
        ("stackoverflow_part_03", "stackoverflow.com"),
        ("stackoverflow.com-Posts", "stackoverflow.com-Posts"),
        ("stackoverflow_aa", "stackoverflow_aa"),
    ],
)
def test_site_of_stem(stem: str, site: str) -> None:
    assert site_of_stem(stem) == site


@pytest.mark.parametrize(("foot", "posts"), [("</posts>", 2), ("</posts>\n", 2), ("", 1)])
def test_count_posts(tmp_path: Path, foot: str, posts: int) -> None:
    data = (HEAD + ROWS + foot).encode()
    assert count_posts(xml(tmp_path / "site.xml", data)) == posts
    assert count_posts(seven_zip(tmp_path / "site.7z", {"Posts.xml": data})) == posts


def answer(ordinal: int, score: str, body: str = "<p>A</p>") -> Post:
    return Post(ordinal, str(ordinal), "1", None, body, score)


def test_order_by_score_text() -> None:
    scores = ["10", "-1", "0", "9", "85", "100", "-5", "9"]
    ordered = order_by_score_text(answer(number, score) for number, score in enumerate(scores))
    assert [post.score for post in ordered] == ["9", "9", "85", "100", "10", "0", "-5", "-1"]
    assert [post.ordinal for post in ordered][:2] == [3, 7]


def thread(question: Post, answers: list[Post]) -> Document | Drop:
    return assemble(question, answers, path="/d/x.com.xml", stem="x.com", timestamp="2023-03-29")


def test_assemble() -> None:
    question = Post(7, "4", None, "List<String>", "<ol>\n<li>a</li>\n</ol>\n", "3")
    document = thread(question, [answer(8, "1", "<p>one</p>\n"), answer(9, "2", "<p>two</p>\n")])
    assert isinstance(document, Document)
    assert document.id == "/d/x.com.xml#7"
    assert document.text == "Q: List \n*\n\n*a\n\n\nA: two\n\nA: one\n"
    assert list(document.meta.items()) == [
        ("language", ""),
        ("url", "https://x.com/questions/4"),
        ("timestamp", "2023-03-29"),
        ("source", "stackexchange"),
        ("question_score", "3"),
    ]


def test_question_without_body_score_or_answers() -> None:
    document = thread(Post(0, "4", None, "T", None, None), [])
    assert isinstance(document, Document)
    assert document.text == "Q: T "
    assert document.meta["question_score"] == 0


def test_drops() -> None:
    untitled = Post(0, "4", None, None, "<p>x</p>", "0")
    assert no_title(untitled) == Drop("no_title", "absent", "present")
    assert no_title(untitled._replace(title="")) is None
    assert thread(untitled, [answer(1, "1")]) == Drop("no_title", "absent", "present")
    assert orphan_answer(answer(1, "1")) == Drop("orphan_answer", "1", "a question of the same file")
    long = thread(Post(0, "4", None, "T", "</html>" + "x" * 250_000, "0"), [])
    assert isinstance(long, Drop)
    assert (long.rule, long.limit) == ("malformed", "readable HTML")


def test_parity_with_the_published_scripts(shared_data: Path) -> None:
    """conlang.meta of the seven dumps; all of them are compared at the end of a run."""
    path = str(shared_data / "stackexchange" / "conlang.meta.stackexchange.com.7z")
    model = load_lid(resolve(str(shared_data / "models" / "lid.176.ftz")))
    lines = gzip.decompress((shared_data / "expected" / "stack_exchange.jsonl.gz").read_bytes()).splitlines()
    expected = [record for record in map(json.loads, lines) if "//conlang.meta." in record["meta"]["url"]]
    posts = [post for post in read_posts(path) if isinstance(post, Post)]
    got = []
    for question in posts:
        if question.parent is not None:
            continue
        answers = [post for post in posts if post.parent == question.id]
        document = assemble(question, answers, path=path, stem=site_stem(path), timestamp="2023-03-29")
        if isinstance(document, Document):
            document.meta["language"] = predict_language(model, stack_exchange_line(document.text))[0]
            digest = hashlib.sha256(document.text.encode()).hexdigest()
            got.append({"sha256": digest, "chars": len(document.text), "meta": document.meta})
    assert len(got) == 55
    assert got == expected
