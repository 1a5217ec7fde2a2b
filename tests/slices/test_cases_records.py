"""Inputs that failed once (``shared/cases``), for the slices whose raw files are lines, pages or tars."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

from redpajama_data.document import Document, Rejected
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io.storage import list_files
from slices import arxiv, books, c4
from slices.c4 import language_of, read_c4
from slices.github import read_bigquery
from slices.parts.crawl_layout import crawl_shards
from slices.readers.arxiv_reader import read_arxiv_tar
from slices.readers.wet import read_wet

SOURCES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "sources"


@pytest.fixture(scope="session")
def cases() -> Path:
    if not SOURCES.is_dir():
        pytest.skip(f"the inputs that failed are not there ({SOURCES})")
    return SOURCES


def read(reader: object, path: Path) -> tuple[int, int, list[str]]:
    """Documents, rejections and messages of damage of one raw file."""
    kept, rejected, messages = 0, 0, []
    try:
        for record in reader(str(path)):  # type: ignore[operator]
            kept += isinstance(record, Document)
            rejected += isinstance(record, Rejected)
            if isinstance(record, BrokenInput):
                messages.append(record.message)
    except BrokenInput as error:
        messages.append(error.message)
    return kept, rejected, messages


def read_github(path: str) -> object:
    return read_bigquery(path, max_record_bytes=1 << 25)


WET = "CC-MAIN-2023-06/CC-MAIN-20230126210844-20230127000844-0000"


@pytest.mark.parametrize(
    ("case", "reader", "kept", "rejected", "message"),
    [
        (
            "01-gzip-trailing-garbage/c4-train.00000-of-00002.json.gz",
            read_c4,
            5,
            0,
            "47 bytes after the last gzip member",
        ),
        ("01-gzip-trailing-garbage/c4-train.00001-of-00002.json.gz", read_c4, 5, 0, ""),
        ("24-arxiv-concatenated-tar/arXiv_src_0701_001.tar", read_arxiv_tar, 4, 0, ""),
        ("25-arxiv-eprint-downloads/2101.00001", read_arxiv_tar, 0, 0, "a source of one paper, no bulk tar"),
        ("25-arxiv-eprint-downloads/2101.00001.gz", read_arxiv_tar, 0, 0, "the archive of one paper, no bulk tar"),
        ("25-arxiv-eprint-downloads/2101.00002.tar.gz", read_arxiv_tar, 0, 0, "the archive of one paper, no bulk tar"),
        ("25-arxiv-eprint-downloads/arXiv_src_2101_001.tar.gz", read_arxiv_tar, 0, 0, "a gzipped tar. Unpack it"),
        (
            "28-github-uncompressed-gz-name/github_000000000000.gz",
            read_github,
            0,
            0,
            "plain JSON, not compressed. Is it",
        ),
        ("29-c4-variants/c4-de.tfrecord-00000-of-02048.json.gz", read_c4, 1, 0, ""),
        ("29-c4-variants/c4-train.00000-of-01024.json.gz", read_c4, 5, 6, ""),
        (
            "31-c4-git-lfs/c4-train.00000-of-01024.json.gz",
            read_c4,
            0,
            0,
            "a Git LFS pointer. Get the file itself: git lfs",
        ),
        ("31-c4-git-lfs/c4-train.00001-of-01024.json.gz", read_c4, 0, 0, "an empty file"),
        (f"33-wet-whole-gzip-and-garbage/{WET}0.warc.wet.gz", read_wet, 4, 1, "17 bytes after the last gzip member"),
        (f"33-wet-whole-gzip-and-garbage/{WET}1.warc.wet.gz", read_wet, 0, 0, "an empty file"),
        (f"33-wet-whole-gzip-and-garbage/{WET}2.warc.wet.gz", read_wet, 3, 1, "the file ends inside a gzip member"),
        (f"33-wet-whole-gzip-and-garbage/{WET}3.warc.wet.gz", read_wet, 0, 0, "an error message in XML"),
        ("38-empty-files/arxiv/arXiv_src_0701_001.tar", read_arxiv_tar, 0, 0, "an empty file"),
        ("38-empty-files/c4/c4-train.00000-of-01024.json.gz", read_c4, 0, 0, "an empty file"),
        ("38-empty-files/github/github_000000000000.gz", read_github, 0, 0, "an empty file"),
        ("38-empty-files/common_crawl/CC-MAIN-2023-06/CC-MAIN-1.warc.wet.gz", read_wet, 0, 0, "an empty file"),
        ("47-wet-warc11/CC-MAIN-2023-06/CC-MAIN-1.warc.wet.gz", read_wet, 5, 0, ""),
    ],
)
def test_what_becomes_of_a_case(cases: Path, case: str, reader: object, kept: int, rejected: int, message: str) -> None:
    found, lost, messages = read(reader, cases / case)
    assert (found, lost) == (kept, rejected)
    assert len(messages) == bool(message)
    assert message in "".join(messages)


def test_the_language_of_multilingual_c4(cases: Path) -> None:
    [doc] = read_c4(str(cases / "29-c4-variants/c4-de.tfrecord-00000-of-02048.json.gz"))
    assert isinstance(doc, Document)
    assert doc.meta["language"] == "de"
    names = {
        "x/c4-zh-Latn-validation.tfrecord-00000-of-00001.json.gz": "zh-Latn",
        "c4-en.tfrecord-1-of-2.json.gz": "en",
        "c4-train.00000-of-01024.json.gz": "en",
        "c4-validation.00000-of-00008.json.gz": "en",
        "c4-de/other.json.gz": "en",
    }
    assert {name: language_of(name) for name in names} == names


def test_byte_order_marks_cost_no_record(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    for name, reader, line in (
        ("c4.json.gz", read_c4, b'{"text": "a", "timestamp": "", "url": ""}\r\n'),
        ("github_0.gz", read_github, b'{"path": "a", "content": "b"}\r\n'),
    ):
        (tmp_path / name).write_bytes(gzip.compress(mark + line + mark + line + line + mark * 2 + line))
        assert read(reader, tmp_path / name) == (3, 1, [])


def test_an_unpacked_listing_counts_as_the_packed_one(cases: Path, tmp_path: Path) -> None:
    folder = tmp_path / "CC-MAIN-2023-06"
    shutil.copytree(cases / "36-wet-paths-unpacked" / "CC-MAIN-2023-06", folder)
    folder.chmod(0o755)
    inputs = list_files(str(tmp_path), ["*.warc.wet.gz"])
    unpacked = crawl_shards(inputs, shards=5)
    assert [shard.number for shard in unpacked] == [0, 1]
    assert unpacked[0].segments[0].startswith("crawl-data/CC-MAIN-2023-06/segments/1674764494826.88/wet/")
    lines = (folder / "wet.paths").read_text().replace("https://data.commoncrawl.org/", "")
    (folder / "wet.paths").unlink()
    (folder / "wet.paths.gz").write_bytes(gzip.compress(lines.encode()))
    assert crawl_shards(inputs, shards=5) == unpacked
    for data, message in ((b"<html><body>", "it is an HTML page"), (b"a b", "do not all end in"), (b"", "empty file")):
        (folder / "wet.paths.gz").write_bytes(data)
        with pytest.raises(UsageError, match=f"no listing of WET files.*{message}"):
            crawl_shards(inputs, shards=5)


def test_linked_folders_and_files_of_macos(cases: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(cases / "44-symlinked-folder" / "input", raw)
    raw.chmod(0o755)
    (raw / "part2").unlink()
    (raw / "part2").symlink_to(cases / "44-symlinked-folder" / "elsewhere")
    assert len(list_files(str(raw), c4.SLICE.patterns)) == 2
    found = list_files(str(cases / "45-appledouble"), books.SLICE.patterns)
    assert [Path(raw.path).name for raw in found] == ["1342.txt"]


def test_packed_tars_are_seen_in_a_folder(cases: Path) -> None:
    found = [Path(raw.path).name for raw in list_files(str(cases / "25-arxiv-eprint-downloads"), arxiv.SLICE.patterns)]
    assert found == ["2101.00002.tar.gz", "arXiv_src_2101_001.tar.gz"]
