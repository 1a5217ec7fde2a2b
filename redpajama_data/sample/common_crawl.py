"""The web pages of the sample: two dumps of Common Crawl with two WET files each, and the small models to judge them.

Raw form: gzip with one member for each record, a ``warcinfo`` record first, header lines ending in CRLF. A page has a
``WARC-Identified-Content-Language`` line when the crawler knew its language; it moves ``Content-Length`` down by one.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from redpajama_data.sample.planted import Planted
from redpajama_data.sample.prose import Chance
from redpajama_data.sample.web_pages import FOREIGN, NAVIGATION, Page, page

PLANTED: tuple[Planted, ...] = (
    Planted("the warcinfo record that opens every file", 4, "conversion_record"),
    Planted("a metadata record between the pages", 1, "conversion_record"),
    Planted("what follows a line WARC/1.0 inside a page is read as another record's header", 1, "conversion_record"),
    Planted("a payload digest where the length is looked for", 1, "positional_header"),
    Planted("the page before that line, which ends there", 1, ""),
    Planted("gzip member with damaged bytes", 1, "broken_input"),
    Planted("page that is not UTF-8", 1, "malformed"),
    Planted("page of 299 chars without its title", 1, "min_length"),
    Planted("page of 300 chars without its title", 1, ""),
    Planted("page with a title and nothing else", 1, "min_length"),
    Planted("page and its mirror in the same file: both lose every line", 2, "remove_duplicated_lines"),
    Planted("page of navigation only, each line of which other pages have too", 1, "remove_duplicated_lines"),
    Planted("such a page with the only empty line of its file: that line stays, without text", 1, "identify_language"),
    Planted("page with sentences of four languages in turn", 4, "min_language_score"),
    Planted("page in German, French or Spanish", 12, "language_in"),
    Planted("forum or list of keywords: perplexity in the tail", 20, "bucket_in"),
    Planted("page of 2022-05 with the same text under another address in 2023-06", 2, "kept_urls"),
    Planted("page of 2022-05 again in 2023-06, same address, same text: the address is kept, so both stay", 3, ""),
    Planted("page of 2022-05 with a new text under the same address in 2023-06", 1, ""),
    Planted("blog, or guide written mostly like one: not like a page that Wikipedia refers to", 23, "min_wiki_prob"),
    Planted("address twice in one file with two texts: both stay", 1, ""),
)

KINDS = {
    "article": 6, "interview": 2, "guide": 3, "story": 4, "blog": 5, "forum": 3, "spam": 2, "babel": 1,
    **dict.fromkeys(FOREIGN, 1),
}  # fmt: skip
"""Pages of each kind in every file."""


class Dump(NamedTuple):
    """One crawl: its name, the two crawl segments that its files are of, and its day."""

    name: str
    segments: tuple[str, str]
    day: str


DUMPS = (
    Dump("2022-05", ("20220116093137-20220116123137-00000", "20220116093137-20220116123137-00001"), "2022-01-16"),
    Dump("2023-06", ("20230126210844-20230127000844-00000", "20230126210844-20230127000844-00001"), "2023-01-26"),
)
AGAIN, MOVED, RENEWED = ("article-0", "article-1", "story-0"), ("article-2", "article-3"), "article-4"


# ---------------------------------------------------------------------------------------------- records


def block_of(shown: Page) -> bytes:
    """The body of a record: the title, the lines, a newline after each."""
    return "".join(f"{line}\n" for line in (shown.title, *shown.lines)).encode()


def record(shown: Page, day: str, *, block: bytes | None = None, more: tuple[str, ...] = ()) -> bytes:
    """A conversion record; ``block`` replaces the page's own bytes, ``more`` are header lines after the others."""
    block = block_of(shown) if block is None else block
    sha1 = hashlib.sha1(block, usedforsecurity=False).digest()
    name = hashlib.sha1(shown.url.encode() + sha1, usedforsecurity=False).hexdigest()
    ids = [f"<urn:uuid:{n[:8]}-{n[8:12]}-4{n[13:16]}-8{n[17:20]}-{n[20:32]}>" for n in (name, name[8:])]
    hour = int(name[:6], 16) % 86400
    header = [
        "WARC/1.0",
        "WARC-Type: conversion",
        f"WARC-Target-URI: {shown.url}",
        f"WARC-Date: {day}T{hour // 3600:02d}:{hour // 60 % 60:02d}:{hour % 60:02d}Z",
        f"WARC-Record-ID: {ids[0]}",
        f"WARC-Refers-To: {ids[1]}",
        f"WARC-Block-Digest: sha1:{base64.b32encode(sha1).decode()}",
        *([f"WARC-Identified-Content-Language: {shown.languages}"] if shown.languages else []),
        "Content-Type: text/plain",
        f"Content-Length: {len(block)}",
        *more,
    ]
    return "".join(f"{line}\r\n" for line in (*header, "")).encode() + block + b"\r\n\r\n"


def other_record(kind: str, filename: str, day: str, fields: dict[str, str]) -> bytes:
    """A record that is no page: ``warcinfo`` or ``metadata`` with ``fields`` for a body."""
    block = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
    header = (
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Date: {day}T00:00:00Z",
        f"WARC-Filename: {filename}",
        "WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000000>",
        "Content-Type: application/warc-fields",
        f"Content-Length: {len(block)}",
        "",
    )
    return "".join(f"{line}\r\n" for line in header).encode() + block + b"\r\n\r\n"


def member(data: bytes) -> bytes:
    """One gzip member, the same at any time."""
    return gzip.compress(data, 6, mtime=0)


def damaged(data: bytes) -> bytes:
    """A gzip member whose middle is overwritten."""
    whole = member(data)
    middle = len(whole) // 2
    return whole[:middle] + bytes(each ^ 0xFF for each in whole[middle : middle + 8]) + whole[middle + 8 :]


# ---------------------------------------------------------------------------------------------- pages


def plain_pages(dump: Dump, number: int) -> list[Page]:
    """The ordinary pages of one file, by kind. One in six has no identified language."""
    pages = []
    for kind, count in KINDS.items():
        for each in range(count):
            chance = Chance(f"page {dump.name} {number} {kind} {each}")
            made = page(chance, kind, f"{dump.day[:4]}/{number}/{kind}-{each}.html")
            pages.append(made._replace(languages="") if chance.below(6) == 0 else made)
    return pages


def _named(pages: list[Page], name: str) -> Page:
    return next(each for each in pages if each.url.endswith(f"/{name}.html"))


def _cut(name: str, chars: int) -> Page:
    """A page whose lines, joined, have just ``chars`` chars."""
    made = page(Chance(f"page {name}"), "article", f"{name}.html")
    return made._replace(lines=("\n".join(made.lines[3:5])[: chars - 1] + ".",))


def first_file_oddities() -> list[Page]:
    """Planted in the first file: pages that are too short or have no line of their own."""
    mirrored = page(Chance("page mirrored"), "article", "original.html")
    bare = page(Chance("page bare"), "blog", "bare.html")
    return [
        _cut("299", 299),
        _cut("300", 300),
        bare._replace(lines=()),
        mirrored,
        mirrored._replace(url="https://mirror.example/copy-of/original.html"),
        bare._replace(url="https://www.site-map.example/", lines=NAVIGATION * 2),
    ]


def third_file_repeats(first: list[Page]) -> list[Page]:
    """Planted in the first file of the second dump: pages of the first dump again, and an address with two texts."""
    repeated = [_named(first, name) for name in AGAIN]
    moved = [_named(first, name) for name in MOVED]
    twice = page(Chance("page twice"), "article", "twice.html")
    return [
        *repeated,
        *(each._replace(url=each.url.replace("www.", "m.")) for each in moved),
        page(Chance("page renewed"), "article", "x")._replace(url=_named(first, RENEWED).url),
        twice,
        page(Chance("page twice again"), "article", "x")._replace(url=twice.url),
    ]


def fourth_file_oddities(dump: Dump, filename: str) -> list[bytes]:
    """Planted in the last file: records that cannot be read as a page is."""
    pages = [page(Chance(f"page odd {number}"), "article", f"odd-{number}.html") for number in range(3)]
    latin = block_of(pages[0]).replace(b" team.", " équipe.".encode("latin-1"))
    mark = block_of(pages[1]).replace(b"\n\xc2\xa9", b"\nWARC/1.0\n\xc2\xa9")  # before the footer
    digest = f"WARC-Payload-Digest: sha1:{base64.b32encode(bytes(20)).decode()}"
    return [
        member(record(pages[0], dump.day, block=latin)),
        member(record(pages[1], dump.day, block=mark)),
        member(record(pages[2]._replace(languages=""), dump.day, more=(digest,))),
        member(other_record("metadata", filename, dump.day, {"fetchTimeMs": "412"})),
    ]


def build(folder: Path) -> None:
    """Write ``2022-05/`` and ``2023-06/`` with two ``.warc.wet.gz`` files each into ``folder``."""
    first_pages = plain_pages(DUMPS[0], 0)
    for dump in DUMPS:
        (folder / dump.name).mkdir(parents=True, exist_ok=True)
        for number, segment in enumerate(dump.segments):
            filename = f"CC-MAIN-{segment}.warc.wet.gz"
            pages = plain_pages(dump, number)
            members: list[bytes] = []
            match DUMPS.index(dump), number:
                case 0, 0:
                    pages = first_pages + first_file_oddities()
                case 0, 1:
                    bare = page(Chance("page empty"), "blog", "empty.html")
                    pages.append(bare._replace(lines=(*NAVIGATION * 2, "", NAVIGATION[0])))
                    members = [damaged(record(page(Chance("page damaged"), "article", "damaged.html"), dump.day))]
                case 1, 0:
                    pages += third_file_repeats(first_pages)
                case _:
                    members = fourth_file_oddities(dump, filename)
            members += [member(record(each, dump.day)) for each in pages]
            mixed = Chance(f"order {segment}").some(members, len(members))
            info = {"Software-Info": "rpj sample", "isPartOf": f"CC-MAIN-{dump.name}", "description": "Invented pages"}
            opening = member(other_record("warcinfo", filename, dump.day, info))
            (folder / dump.name / filename).write_bytes(opening + b"".join(mixed))


def model_paths() -> dict[str, str]:
    """Where the sample's models are: ``en.sp.model``, ``en.arpa.bin`` (perplexity), ``wikiref.bin`` (classifier)."""
    folder = Path(__file__).parent / "models"
    return {name: str(folder / name) for name in ("en.sp.model", "en.arpa.bin", "wikiref.bin")}
