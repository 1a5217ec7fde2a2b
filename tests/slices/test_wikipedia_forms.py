"""Which files are a Wikipedia dump, which may be read together, and exports of other kinds: history, old ones, 7z."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import py7zr
import pytest
import zstandard
from click.testing import CliRunner

from redpajama_data.cli.main import cli
from redpajama_data.document import Document, Rejected
from redpajama_data.engine.run_slice import list_inputs
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from slices.readers import wikipedia_old
from slices.readers.wikipedia_dump import read_pages
from slices.readers.wikipedia_forms import copies, refuse_two_forms
from slices.readers.wikipedia_pieces import Piece
from slices.wikipedia import SLICE

PAGE = "<page><title>{}</title><ns>0</ns><revision><text>text</text></revision></page>"
DUMP = f"<mediawiki>{PAGE.format('A')}{PAGE.format('B')}</mediawiki>".encode()

TAKEN = {
    "enwiki-20230320-pages-articles.xml.bz2": True,
    "enwiki-20230320-pages-articles.xml.gz": True,
    "enwiki-20230320-pages-articles.xml.zst": True,
    "enwiki-20230320-pages-articles.xml.7z": True,
    "enwiki-20230320-pages-articles.xml.xz": True,
    "enwiki-20230320-pages-articles.xml": True,
    "enwiki-latest-pages-articles-multistream.xml": True,
    "enwiki-latest-pages-articles1.xml": True,
    "enwiki-latest-pages-articles1.xml-p1p41242": True,
    "enwiki-latest-pages-articles-multistream27.xml-p1p41242.bz2": True,
    "enwiki-latest-pages-articles.xml.bz2-rss.xml": False,
    "enwiki-latest-pages-articles-multistream.xml.bz2-rss.xml": False,
    "enwiki-latest-pages-articles1.xml-p1p41242.bz2-rss.xml": False,
    "enwiki-latest-pages-articles-multistream-index.txt.bz2-rss.xml": False,
    "enwiki-latest-pages-articles-multistream-index.txt.bz2": False,
    "enwiki-20230320-pages-meta-current.xml.bz2": False,
    "enwiki-20230320-pages-meta-history1.xml-p1p2.bz2": False,
    "enwiki-20230320-stub-articles.xml.gz": False,
    "enwiki-20230320-abstract.xml.gz": False,
    "enwiki-20230320-md5sums.txt": False,
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_a_folder_gives(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "aawiki-20230320-pages-articles.xml.bz2").touch()
    found = [Path(raw.path).name for raw in list_inputs(SLICE, (str(tmp_path),))]
    assert (name in found) is TAKEN[name]


# ------------------------------------------------------------------------------------------ two forms

D = "enwiki-20230320-pages-articles"
TOGETHER: dict[str, tuple[list[str], bool]] = {  # the files, and whether they go together
    "parts": ([f"{D}1.xml-p1p4.bz2", f"{D}2.xml-p5p8.bz2", f"{D}27.xml-p9p20.bz2", f"{D}27.xml-p21p30.bz2"], True),
    "multistream parts": ([f"{D}-multistream1.xml-p1p4.bz2", f"{D}-multistream2.xml-p5p8.bz2"], True),
    "parts without page ids": ([f"{D}1.xml.bz2", f"{D}2.xml.bz2"], True),
    "parts of several packings": ([f"{D}1.xml-p1p4.bz2", f"{D}2.xml-p5p8.gz", f"{D}3.xml-p9p12"], True),
    "several wikis": ([f"{D}.xml.bz2", f"de{D[2:]}.xml.bz2", f"simple{D[2:]}.xml.bz2"], True),
    "plain and multistream": ([f"{D}.xml.bz2", f"{D}-multistream.xml.bz2"], False),
    "whole and parts": ([f"{D}.xml.bz2", f"{D}1.xml-p1p4.bz2"], False),
    "multistream and plain parts": ([f"{D}-multistream.xml.bz2", f"{D}1.xml-p1p4.bz2", f"{D}2.xml-p5p8.bz2"], False),
    "parts of both": ([f"{D}1.xml-p1p4.bz2", f"{D}-multistream1.xml-p1p4.bz2"], False),
    "parts that overlap": ([f"{D}1.xml-p1p41242.bz2", f"{D}1.xml-p000000010p000030302.bz2"], False),
    "packed and unpacked": ([f"{D}.xml.bz2", f"{D}.xml"], False),
    "packed twice": ([f"{D}.xml.bz2", f"{D}.xml.gz"], False),
    "7z": ([f"{D}.xml.7z", f"{D}-multistream.xml.bz2"], False),
    "part packed and unpacked": ([f"{D}1.xml-p1p4.bz2", f"{D}1.xml-p1p4"], False),
    "in several folders": ([f"a/{D}.xml.bz2", f"b/{D}-multistream.xml.bz2"], False),
    "two dates": ([f"{D}.xml.bz2", "enwiki-20230401-pages-articles.xml.bz2"], False),
    "a date and the latest": ([f"{D}1.xml-p1p4.bz2", "enwiki-latest-pages-articles2.xml-p5p8.bz2"], False),
    "names of one's own": (["enwiki-a.xml.bz2", "enwiki-b.xml.bz2", "enwiki-20230320-mine.xml"], True),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_what_goes_together(name: str) -> None:
    names, allowed = TOGETHER[name]
    inputs = [RawFile(f"raw/{path}", number, "") for number, path in enumerate(names)]
    if allowed:
        refuse_two_forms(inputs, ("en", "de", "simple"), ())
        return
    with pytest.raises(UsageError, match="Give one") as caught:
        refuse_two_forms(inputs, (), ())
    assert sum(raw.path in str(caught.value) for raw in inputs) == 2
    refuse_two_forms(inputs, ("de",), ())  # none is read, so none is read twice
    with pytest.raises(UsageError):
        refuse_two_forms(inputs, ("de",), [raw.path for raw in inputs])


def test_two_forms_are_refused_before_anything_is_written(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw, root = tmp_path / "raw", tmp_path / "root"
    raw.mkdir()
    for ending in (".xml.bz2", "-multistream.xml.bz2"):
        (raw / f"{D}{ending}").write_bytes(bz2.compress(DUMP))
    command = ["run", "--slice", "wikipedia", "--root", str(root), "--tokenizer", tiny_tokenizer.path, "--input"]
    refused = CliRunner().invoke(cli, [*command, str(raw)])
    assert refused.exit_code == 2
    assert not [path for path in root.rglob("*") if path.is_file() and "lock" not in path.name]
    one = CliRunner().invoke(cli, [*command, str(raw / f"{D}.xml.bz2")])
    assert one.exit_code == 0, one.output


def test_copies_in_several_folders_are_read_once(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    for folder in ("a", "b/c"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
        (tmp_path / "raw" / folder / f"{D}.xml.bz2").write_bytes(bz2.compress(DUMP))
    inputs = list_inputs(SLICE, [str(tmp_path / "raw")])
    assert copies(inputs) == {inputs[1].path: inputs[0].path}
    root = tmp_path / "root"
    command = ["run", "--slice", "wikipedia", "--input", str(tmp_path / "raw"), "--root", str(root)]
    done = CliRunner().invoke(cli, [*command, "--tokenizer", tiny_tokenizer.path])
    assert done.exit_code == 0, done.output
    assert "3 records read, 2 documents published" in done.output
    other_size = [inputs[0], inputs[1]._replace(bytes=1)]
    with pytest.raises(UsageError, match="two forms"):
        refuse_two_forms(other_size, (), ())


# ------------------------------------------------------------------------------------------ packings and kinds


def read(path: Path, language: str = "en", piece: Piece | None = None) -> list[Document | Rejected | BrokenInput]:
    return list(read_pages(str(path), language=language, timestamp="2", piece=piece or Piece(0, None)))


def texts(path: Path) -> dict[str, str]:
    return {one.meta["title"]: one.text for one in read(path) if isinstance(one, Document)}


@pytest.mark.parametrize("ending", ["bz2", "gz", "zst", "7z"])
def test_every_packing_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"{D}.xml.{ending}"
    if ending == "7z":
        with py7zr.SevenZipFile(path, "w") as archive:
            archive.writestr(DUMP, f"{D}.xml")
    else:
        pack = {"bz2": bz2.compress, "gz": gzip.compress, "zst": zstandard.compress}[ending]
        path.write_bytes(pack(DUMP))
    assert texts(path) == {"A": "text", "B": "text"}


NO_EXPORT = {
    "another XML": (b'<?xml version="1.0"?>\n<posts>\n<row Id="1" />\n</posts>', "root element is <posts>"),
    "a feed": (b'<?xml version="1.0"?><rss version="2.0"><channel/></rss>', "root element is <rss>"),
    "an error page": (b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>", "an HTML page"),
    "an error page without document type": (b"<html><body>404<br></body></html>", "an HTML page"),
    "an error of an object store": (b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>', "object store"),
    "xz": (b"\xfd7zXZ\x00\x00\x04", "Unpack it (unxz)"),
    "an index": (b"600:10:Town\n600:12:City\n", "not a MediaWiki export"),
    "empty": (b"", "an empty file"),
    "a document type": (b'<!DOCTYPE m [<!ENTITY a "aa">]><mediawiki/>', "document type"),
}


@pytest.mark.parametrize("name", NO_EXPORT)
def test_what_is_no_export_is_named(tmp_path: Path, name: str) -> None:
    data, word = NO_EXPORT[name]
    path = tmp_path / "enwiki-1-pages-articles.xml"
    path.write_bytes(data)
    with pytest.raises(BrokenInput) as caught:
        read(path)
    assert word in caught.value.message
    assert caught.value.message.rstrip().endswith(".")


def revision(text: str, day: int | None) -> str:
    stamp = f"<timestamp>2020-01-{day:02d}T00:00:00Z</timestamp>" if day else ""
    return f"<revision>{stamp}<text>{text}</text></revision>"


HISTORY = {  # revisions (text, day) in the order of the file, and what counts
    "oldest first": ([("old", 1), ("vandalism", 2), ("newest", 3)], "newest"),
    "newest first": ([("newest", 3), ("old", 1)], "newest"),
    "equal days": ([("old", 1), ("newest", 1)], "newest"),
    "without days": ([("old", None), ("newest", None)], "newest"),
    "the newest is empty": ([("old", 1), ("", 2)], None),
    "the oldest is empty": ([("", 1), ("newest", 2)], "newest"),
}


@pytest.mark.parametrize("name", HISTORY)
def test_of_a_history_dump_the_newest_revision_counts(tmp_path: Path, name: str) -> None:
    revisions, text = HISTORY[name]
    path = tmp_path / "enwiki-1-pages-meta-history1.xml"
    page = "".join(revision(*one) for one in revisions)
    path.write_text(f"<mediawiki><page><title>A</title><ns>0</ns>{page}</page></mediawiki>")
    assert texts(path) == ({} if text is None else {"A": text})


# ------------------------------------------------------------------------------------------ old exports

SITE = (
    '<siteinfo><namespaces><namespace key="-1">Spezial</namespace><namespace key="0" />'
    '<namespace key="1">Diskussion</namespace><namespace key="10">Vorlage</namespace>'
    '<namespace key="4">Wikipedia</namespace><namespace key="5">Wikipedia Diskussion</namespace>'
    "</namespaces></siteinfo>"
)
NAMESPACES = {"-1": "Spezial", "0": "", "1": "Diskussion", "4": "Wikipedia", "5": "Wikipedia Diskussion"}


@pytest.mark.parametrize(
    ("title", "own", "language", "expected"),
    [
        ("Dorf", True, "de", "0"),
        ("Diskussion:Dorf", True, "de", "1"),
        ("diskussion:Dorf", True, "de", "1"),
        ("Wikipedia Diskussion:A", True, "de", "5"),
        ("Wikipedia_Diskussion:A", True, "de", "5"),
        ("Talk:Dorf", True, "de", "0"),
        (":Dorf", True, "de", "0"),
        ("2001: Odyssee", True, "de", "0"),
        ("2001: Odyssey", False, "en", "0"),
        ("Talk:A", False, "en", "1"),
        ("User talk:A", False, "en", "3"),
        ("Image talk:A", False, "en", "7"),
        ("Datei:A.jpg", False, "de", "6"),
        ("Kategorie:A", False, "de", "14"),
        ("Category talk:A", False, "en", "15"),
    ],
)
def test_namespace_of(title: str, own: bool, language: str, expected: str) -> None:
    assert wikipedia_old.namespace_of(title, NAMESPACES if own else {}, language) == expected


@pytest.mark.parametrize(("version", "read_it"), [("0.3", True), ("0.5", True), ("0.6", False), ("0.10", False)])
@pytest.mark.parametrize("pieces", [False, True])
def test_exports_without_ns_are_read_when_they_are_old(
    tmp_path: Path, version: str, read_it: bool, pieces: bool
) -> None:
    path = tmp_path / "dewiki-20100312-pages-articles.xml.bz2"
    texts = {"Dorf": "x", "Diskussion:Dorf": "y", "Weiler": "#WEITERLEITUNG [[Dorf]]", "Liste": "# [[Dorf]]"}
    body = "".join(
        f"<page><title>{title}</title><revision><text>{text}</text></revision></page>" for title, text in texts.items()
    )
    streams = [bz2.compress(x.encode()) for x in (f'<mediawiki version="{version}">{SITE}', body, "</mediawiki>")]
    path.write_bytes(b"".join(streams))
    found = read(path, "de", Piece(len(streams[0]), None) if pieces else None)
    kept = [one.meta["title"] for one in found if isinstance(one, Document)]
    rules = [one.drop.rule for one in found if isinstance(one, Rejected)]
    if not read_it:
        assert (kept, rules) == ([], ["malformed"] * 4)
    elif version == "0.3":  # has no mark of redirects either
        assert (kept, rules) == (["Dorf", "Liste"], ["not_article", "redirect"])
    else:
        assert (kept, rules) == (["Dorf", "Weiler", "Liste"], ["not_article"])
