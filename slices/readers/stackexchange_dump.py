"""Posts.xml of the Stack Exchange data dump, row by row: from ``<site>.7z``, ``<site>.xml`` or ``<site>/Posts.xml``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from lxml import etree

from filters.stackexchange import Post
from redpajama_data.document import Drop, Rejected
from redpajama_data.io.storage import without_query
from redpajama_data.io.streams import open_decompressed
from slices.readers.dump_rows import Row, Stray, rows
from slices.readers.seven_zip import read_member
from slices.readers.volumes import VOLUME

_READ = 1 << 20
_SUFFIXES = (".gz", ".bz2", ".zst")
_REFERENCE = re.compile(rb"&#(?:x([0-9A-Fa-f]+)|([0-9]+));")
# Rows are parsed one by one and can declare nothing, so there is no entity to expand but the five of XML.
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def site_stem(path: str) -> str:
    """The name that the published scripts know the dump by: ``<site>`` of ``<site>.7z``, ``<site>.xml`` or
    ``<site>/Posts.xml`` (``posts.xml`` in the dumps of 2009 to 2011), the last two also compressed (.gz, .bz2, .zst);
    the volumes of a split archive (``<site>.7z.001``) have that of the whole."""
    folder, _, name = VOLUME.sub(".7z", without_query(path)).rpartition("/")
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    if name in ("Posts.xml", "posts.xml"):
        name = folder.rpartition("/")[2]
    return name.removesuffix(".7z").removesuffix(".xml")


def count_posts(path: str) -> int:
    """Posts of a dump as the published scripts count them to find the largest sites: lines minus three.

    Deliberately as published: two lines of head and one of foot are taken for granted.
    Raises :class:`BrokenInput` when the file cannot be read to its end.
    """
    lines, last = 0, b"\n"
    for chunk in _chunks(path):
        lines += chunk.count(b"\n")
        last = chunk[-1:]
    return lines + (last != b"\n") - 3


def read_posts(path: str, mended: Counter[str] | None = None) -> Iterator[Post | Rejected]:
    """Every row of a dump in file order. A row that is broken (XML, UTF-8, over 8 MB, no Id; an answer without Body or
    Score) comes as its rejection, with its line, and so does whatever else stands between the rows.

    Where the line breaks are does not matter, nor what the element around the rows is called, nor a byte order mark or
    UTF-16. A character reference that XML forbids is left out and its post kept; ``mended`` counts these posts under
    ``forbidden_reference``.
    Raises :class:`BrokenInput` when the file is no such dump, declares entities, or ends before ``</posts>``: all that
    is whole was yielded before.
    """
    for ordinal, row in enumerate(rows(path, _chunks(path))):
        if isinstance(row, Stray):
            yield _rejected(path, ordinal, row.line, row.found, row.expected)
        else:
            yield _parse(path, ordinal, row, mended)


def _parse(path: str, ordinal: int, row: Row, mended: Counter[str] | None) -> Post | Rejected:
    try:
        get = etree.fromstring(row.xml, _PARSER).get
    except (etree.XMLSyntaxError, ValueError) as error:
        allowed = _REFERENCE.sub(_allowed, row.xml)
        if allowed != row.xml:
            post = _parse(path, ordinal, Row(row.line, allowed), None)
            if mended is not None and isinstance(post, Post):
                mended["forbidden_reference"] += 1
            return post
        return _rejected(path, ordinal, row.line, str(error)[:200], "well-formed XML")
    name = get("Id")
    if name is None:
        return _rejected(path, ordinal, row.line, "absent", "Id")
    post = Post(ordinal, name, get("ParentId"), get("Title"), get("Body"), get("Score"))
    if post.parent is not None and (post.body is None or post.score is None):
        return _rejected(path, ordinal, row.line, "absent", "Body" if post.body is None else "Score")
    return post


def _allowed(reference: re.Match[bytes]) -> bytes:
    """A character reference, or nothing when XML 1.0 has no such character (its production 2, Char)."""
    digits = (reference[1] or reference[2]).lstrip(b"0")
    code = int(digits or b"0", 16 if reference[1] else 10) if len(digits) <= 7 else 0
    fine = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
    return reference[0] if fine else b""


def _rejected(path: str, ordinal: int, line: int, measured: str, limit: str) -> Rejected:
    return Rejected(f"{path}#{ordinal}", Drop("malformed", f"line {line}: {measured}", limit))


def _chunks(path: str) -> Iterator[bytes]:
    if VOLUME.search(path) or without_query(path).endswith(".7z"):
        yield from read_member(path, "Posts.xml")
        return
    with open_decompressed(path) as stream:
        while chunk := stream.read(_READ):
            yield chunk
