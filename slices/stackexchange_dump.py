"""Posts.xml of the Stack Exchange data dump, row by row: from ``<site>.7z``, ``<site>.xml`` or ``<site>/Posts.xml``."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

from filters.stackexchange import Post
from redpajama_data.document import Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.streams import open_decompressed
from slices.seven_zip import read_member

MAX_ROW = 8 << 20  # bytes of a line; the sites allow a post 30,000 characters, so real rows stay below 200 kB
_READ = 1 << 20
_SUFFIXES = (".gz", ".bz2", ".zst")
# Rows are parsed one by one and can declare nothing, so there is no entity to expand but the five of XML.
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def site_stem(path: str) -> str:
    """The name that the published scripts know the dump by: ``<site>`` of ``<site>.7z``, ``<site>.xml`` or
    ``<site>/Posts.xml``, the last two also compressed (.gz, .bz2, .zst)."""
    folder, _, name = path.rpartition("/")
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    if name == "Posts.xml":
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


def read_posts(path: str) -> Iterator[Post | Rejected]:
    """Every row of a dump in file order. A row that is broken (XML, UTF-8, a line break inside, over 8 MB, no Id; an
    answer without Body or Score) comes as its rejection, with its line.

    The head may have a document type line, which the published scripts take for a row and fail on. Records are
    numbered from the first line after the head; every line there but blank ones is one.
    Raises :class:`BrokenInput` when the file is no such dump, declares entities, or ends before ``</posts>``: all that
    is whole was yielded before.
    """
    ordinal = -1
    in_head, ended = True, False
    for number, line in enumerate(_lines(_chunks(path)), start=1):
        if isinstance(line, _Long):
            in_head = False
            ordinal += 1
            yield _rejected(path, ordinal, number, f"{line.bytes:,} bytes", f"{MAX_ROW:,} bytes")
            continue
        line = (line.removeprefix(BOM_UTF8) if number == 1 else line).strip()
        if in_head:
            in_head = _is_head(path, number, line)
            if in_head:
                continue
        ended = line == b"</posts>" or (ended and not line)
        if ended or not line:
            continue
        ordinal += 1
        yield _parse(path, ordinal, number, line)
    if not ended:
        place = f"record {ordinal + 1}"
        raise BrokenInput(f"{path}: it ends without </posts>, so it is cut off. Download it again.", place)


def _is_head(path: str, number: int, line: bytes) -> bool:
    """True for the lines before the first row. Raises :class:`BrokenInput` where the file is no dump."""
    if line.startswith(b"<!DOCTYPE") and b"[" in line:
        raise BrokenInput(f"{path}: the document type declares entities, which no dump does. Remove line {number}.")
    if not line or line.startswith((b"<?xml", b"<!DOCTYPE")) or line == b"<posts>":
        return True
    if line.startswith(b"<row") or line == b"</posts>":
        return False
    raise BrokenInput(f"{path}: line {number} begins with {line[:20]!r}: no Posts.xml of a dump. Give Posts.xml.")


def _parse(path: str, ordinal: int, number: int, line: bytes) -> Post | Rejected:
    try:
        get = etree.fromstring(line, _PARSER).get if line.startswith(b"<row ") else None
    except (etree.XMLSyntaxError, ValueError) as error:
        return _rejected(path, ordinal, number, str(error)[:200], "well-formed XML")
    if get is None:
        return _rejected(path, ordinal, number, line[:20].decode("utf-8", "replace"), "<row")
    name = get("Id")
    if name is None:
        return _rejected(path, ordinal, number, "absent", "Id")
    post = Post(ordinal, name, get("ParentId"), get("Title"), get("Body"), get("Score"))
    if post.parent is not None and (post.body is None or post.score is None):
        return _rejected(path, ordinal, number, "absent", "Body" if post.body is None else "Score")
    return post


def _rejected(path: str, ordinal: int, number: int, measured: str, limit: str) -> Rejected:
    return Rejected(f"{path}#{ordinal}", Drop("malformed", f"line {number}: {measured}", limit))


def _chunks(path: str) -> Iterator[bytes]:
    if path.endswith(".7z"):
        yield from read_member(path, "Posts.xml")
        return
    with open_decompressed(path) as stream:
        while chunk := stream.read(_READ):
            yield chunk


class _Long(NamedTuple):
    """A line over the limit, of which nothing was kept."""

    bytes: int


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes | _Long]:
    """Lines without their end. Of a cut file the last line is given only if it looks whole, of a damaged one never."""
    rest: list[bytes] = []
    held = 0
    for chunk in chunks:
        *whole, tail = chunk.split(b"\n")
        for piece in whole:
            if held:
                held += len(piece)
                yield b"".join((*rest, piece)) if held <= MAX_ROW else _Long(held)
                rest, held = [], 0
            else:
                yield piece if len(piece) <= MAX_ROW else _Long(len(piece))
        if tail:
            held += len(tail)
            rest = [*rest, tail] if held <= MAX_ROW else []
    line = b"".join(rest)
    if line.rstrip().endswith(b">"):
        yield line
