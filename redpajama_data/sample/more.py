"""More of the sample, as much as one likes: ordinary records alone, all different, in the raw form of each source.

For measuring: the sample itself is of planted errors and too small to take the time of. Names and texts hang on the
number of a file alone, so that equal calls give equal bytes.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from redpajama_data.sample import arxiv, arxiv_papers, books, c4, common_crawl, stackexchange, wikipedia
from redpajama_data.sample.github_rows import KEPT_LICENCES, Row, record, repositories
from redpajama_data.sample.lexicon import WORLDS
from redpajama_data.sample.programs import LANGUAGES, program
from redpajama_data.sample.prose import EXPOSITORY, Chance, paragraph, subject
from redpajama_data.sample.stackexchange_posts import answer, question, row_line
from redpajama_data.sample.wikipedia_articles import english_article

Pieces = Iterator[bytes]


def write_more(name: str, folder: Path, *, files: int, size: int) -> None:
    """Write ``files`` raw files of the slice, each of about ``size`` bytes before compression, into ``folder``.

    Raises KeyError for a slice that the sample has not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        _WRITERS[name](folder, number, size)


def _until(pieces: Pieces, size: int) -> Pieces:
    """Pieces until ``size`` bytes of them have come."""
    for piece in pieces:
        yield piece
        size -= len(piece)
        if size <= 0:
            return


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _c4(folder: Path, number: int, size: int) -> None:
    def lines() -> Pieces:
        chance = Chance(f"more c4 {number}")
        while True:
            text, timestamp, url = c4.document(chance)
            yield _line({"text": text, "timestamp": timestamp, "url": url})

    data = gzip.compress(b"".join(_until(lines(), size)), 6, mtime=0)
    (folder / f"c4-train.{number:05d}-of-01024.json.gz").write_bytes(data)


def _github(folder: Path, number: int, size: int) -> None:
    def lines() -> Pieces:
        chance = Chance(f"more github {number}")
        repos, count = repositories(chance, KEPT_LICENCES), 0
        while True:
            made = program(chance, LANGUAGES[count % len(LANGUAGES)])
            row = Row(count, chance.pick(repos), made.path, f"{made.content}\n{chance.digits(16)}\n")
            yield _line(record(row, 1, row))
            count += 1

    (folder / f"github_{number:012d}.gz").write_bytes(gzip.compress(b"".join(_until(lines(), size)), 6, mtime=0))


def _books(folder: Path, number: int, size: int) -> None:
    def lines() -> Pieces:
        count = 0
        while True:
            for name in books.GUTENBERG[:1] + books.TEST + books.BOOKS3[:1]:
                text = books.novel(str(name), f" {number} {count}")
                yield _line({"title": f"{name} {count}", "text": text})
            count += 1

    (folder / f"books3-train-{number:03d}.jsonl").write_bytes(b"".join(_until(lines(), size)))


def _common_crawl(folder: Path, number: int, size: int) -> None:
    dump = common_crawl.DUMPS[1]
    name = f"CC-MAIN-{dump.segments[0][:-5]}{number:05d}.warc.wet.gz"

    def records() -> Pieces:
        yield common_crawl.other_record("warcinfo", name, dump.day, {"Software-Info": "rpj sample"})
        chance, count = Chance(f"more common_crawl {number}"), 1000 * (number + 1)
        while True:
            for page in common_crawl.plain_pages(dump, count):
                more = (paragraph(chance, subject(chance)[1], EXPOSITORY, 1, 2) for _ in page.lines)
                lines = tuple(f"{line} {own}" for line, own in zip(page.lines, more, strict=True))  # equal lines go
                yield common_crawl.record(page._replace(lines=lines), dump.day)
            count += 1

    (folder / dump.name).mkdir(exist_ok=True)
    data = b"".join(map(common_crawl.member, _until(records(), size)))
    (folder / dump.name / name).write_bytes(data)


def _arxiv(folder: Path, number: int, size: int) -> None:
    def sources() -> Pieces:
        chance = Chance(f"more arxiv {number}")
        while True:  # some papers of one tar: a real one has 20 KB to 2 MB
            paper = [arxiv_papers.parts(chance, arxiv_papers.MACROS) for _ in range(8)]
            text = paper[0].preamble + "".join("\n".join(part.sections) for part in paper) + paper[0].end
            yield arxiv_papers.with_comments(text).encode()

    month = f"23{number % 12 + 1:02d}"
    with tarfile.open(folder / f"arXiv_src_{month}_{number:03d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for count, source in enumerate(_until(sources(), size)):
            data = arxiv.project(("ms.tex", source))
            head = tarfile.TarInfo(f"{month}/{month}.{count:05d}.gz")
            head.size = len(data)
            tar.addfile(head, io.BytesIO(data))


def _wikipedia(folder: Path, number: int, size: int) -> None:
    def pages() -> Pieces:
        chance, count = Chance(f"more wikipedia {number}"), 0
        while True:
            title, text = english_article(chance)[:2]
            count += 1
            yield wikipedia.page_xml(wikipedia.Page(f"{title} {count}", text), count, chance).encode()

    made = list(_until(pages(), size))
    whole = bz2.compress(wikipedia.head("en").encode())
    for start in range(0, len(made), 100):
        whole += bz2.compress(b"".join(made[start : start + 100]))
    whole += bz2.compress(b"</mediawiki>\n")
    (folder / f"enwiki-{wikipedia.DATE}-pages-articles-multistream{number + 1}.xml.bz2").write_bytes(whole)


def _stackexchange(folder: Path, number: int, size: int) -> None:
    def rows() -> Pieces:
        chance, count = Chance(f"more stackexchange {number}"), 0
        while True:
            world = WORLDS[chance.pick(list(WORLDS))]
            asked, parent = question(chance, world), count + 1
            for post in (asked, *(answer(chance, world) for _ in range(chance.between(1, 4)))):
                count += 1
                link = {} if post is asked else {"ParentId": str(parent)}
                yield row_line({"Id": str(count), "PostTypeId": post.pop("PostTypeId"), **link, **post}).encode()

    lines = b"\r\n".join(_until(rows(), size))
    posts = b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n' + lines + b"\r\n</posts>"
    stackexchange.pack(folder / f"site{number}.stackexchange.com.7z", {"Posts.xml": posts})


_WRITERS: dict[str, Callable[[Path, int, int], None]] = {
    "common_crawl": _common_crawl,
    "c4": _c4,
    "github": _github,
    "books": _books,
    "arxiv": _arxiv,
    "wikipedia": _wikipedia,
    "stackexchange": _stackexchange,
}
