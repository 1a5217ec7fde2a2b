"""The floor under each slice: a plain loop that decompresses, parses, serialises and compresses the same raw files.

No filter, no dedup, no account: what reading and writing cost with the fastest libraries. ``FLOORS[slice](path)``
yields for each raw record its text and other fields; the text's UTF-8 bytes are the "raw text" of every rate.
"""

from __future__ import annotations

import bz2
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import zstandard
from isal import igzip

Records = Iterator[tuple[str, dict[str, Any]]]
_json = msgspec.json.Decoder(dict[str, Any]).decode


def _github(path: Path) -> Records:
    with igzip.open(path) as file:
        for line in file:
            record = _json(line)
            # The published input is what its SQL selects; the other rows are read, not counted.
            if str(record.get("license")).startswith(("mit", "bsd", "apache")):
                yield record.pop("content", None) or "", record


def _c4(path: Path) -> Records:
    with igzip.open(path) as file:
        for line in file:
            record = _json(line)
            yield record.pop("text"), record


def _books(path: Path) -> Records:
    with path.open("rb") as file:
        for line in file:
            record = _json(line)
            yield record.pop("text"), record


def _arxiv(path: Path) -> Records:
    """The .tex sources; figures are decompressed too, but are no text."""
    with tarfile.open(path, "r|") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".gz") else None
            if file is None:
                continue
            data = igzip.decompress(file.read())
            try:
                with tarfile.open(fileobj=io.BytesIO(data)) as paper:
                    sources = [paper.extractfile(m) for m in paper if m.isfile() and m.name.endswith(".tex")]
                    texts = [source.read() for source in sources if source is not None]
            except tarfile.ReadError:
                texts = [data]
            yield "\n".join(text.decode("utf-8", "replace") for text in texts), {"name": member.name}


def _wikipedia(path: Path) -> Records:
    """The wikitext of every page."""
    from lxml import etree

    with bz2.open(path) as file:
        for _, page in etree.iterparse(file, tag="{*}page", recover=True, huge_tree=True):
            yield page.findtext(".//{*}text") or "", {"title": page.findtext("{*}title")}
            page.clear()


def _stackexchange(path: Path) -> Records:
    """The Posts.xml, row by row."""
    import py7zr
    from lxml import etree

    with py7zr.SevenZipFile(path) as archive:
        factory = py7zr.io.BytesIOFactory(1 << 32)
        archive.extract(targets=["Posts.xml"], factory=factory)
    for line in cast(Any, factory.products["Posts.xml"]).read().split(b"\n"):
        if line.lstrip().startswith(b"<row"):
            row = dict(etree.fromstring(line).attrib)
            yield row.pop("Body", "") + row.pop("Title", ""), row


def _common_crawl(path: Path) -> Records:
    """The bodies of WET records."""
    with igzip.open(path) as file:
        while head := file.readline():
            fields: dict[str, str] = {}
            while head.strip():
                key, _, value = head.decode("utf-8", "replace").partition(":")
                fields[key] = value.strip()
                head = file.readline()
            length = int(fields.get("Content-Length", 0))
            yield file.read(length).decode("utf-8", "replace"), fields
            file.readline()
            file.readline()


def _shards(path: Path) -> Records:
    """The records of a JSONL shard."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        for line in io.BufferedReader(stream, 1 << 20):
            record = _json(line)
            yield record.pop("text"), record


FLOORS: dict[str, Callable[[Path], Records]] = {
    "shards": _shards,
    "github": _github,
    "c4": _c4,
    "books": _books,
    "arxiv": _arxiv,
    "wikipedia": _wikipedia,
    "stackexchange": _stackexchange,
    "common_crawl": _common_crawl,
}


def floor(name: str, files: list[Path], out: Path) -> int:
    """Run the floor of a slice over ``files`` into one file; returns the bytes of raw text."""
    encode = msgspec.json.Encoder().encode
    total = 0
    with out.open("wb") as target, zstandard.ZstdCompressor(level=3).stream_writer(target) as writer:
        buffer = bytearray()
        for path in files:
            for text, meta in FLOORS[name](path):
                total += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
                buffer += encode({"text": text, "meta": meta})
                buffer += b"\n"
                if len(buffer) >= 1 << 20:
                    writer.write(buffer)
                    buffer.clear()
        writer.write(buffer)
    return total
