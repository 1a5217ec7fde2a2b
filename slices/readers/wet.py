"""WET files of Common Crawl: the text of web pages, read the way CCNet reads them.

The published reader does not parse WARC. It strips every line, takes header fields by their position and ends a record
at any line that says ``WARC/1.0``. :func:`read_wet` gives the same records from a parser that works on blocks of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from redpajama_data.document import Document, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.io.first_bytes import LOOK, known, not_that
from redpajama_data.io.frames import BetweenFrames
from redpajama_data.io.storage import open_input, without_query
from redpajama_data.io.streams import open_decompressed
from slices.readers.gzip_members import Damage, gzip_members
from slices.readers.wet_records import ANY_MARK, MAX_RECORD, RecordParser

_BLOCK = 1 << 20  # bytes of a plain file read at a time


def segment_of(dump: str, filename: str) -> str:
    """The ``cc_segment`` of a file that lies in a folder without a ``wet.paths`` listing.

    The real path has the time of the crawl segment in it, which only the listing knows; here it is ``0``.
    """
    return f"crawl-data/CC-MAIN-{dump}/segments/0/wet/{filename}"


def shard_files(files: list[str], *, shards: int) -> list[list[str]]:
    """The files of each shard: shard i of S holds the files from ``i * n // S`` up to ``(i + 1) * n // S`` of n.

    The order of ``files`` (that of the listing) is the order of the run. Recipe: CCNet, 5000 shards a dump.
    """
    count = len(files)
    return [files[i * count // shards : (i + 1) * count // shards] for i in range(shards)]


def read_wet(
    path: str, *, segment: str = "", max_record: int = MAX_RECORD
) -> Iterator[Document | Rejected | BrokenInput]:
    """Every record of one WET file, ``.warc.wet.gz`` or plain, in order.

    A document's text is the page without its first line, which is the title; its meta holds CCNet's fields in CCNet's
    order: url, date_download, digest, length (bytes, by the header), nlines, source_domain, title, cc_segment
    (``segment``). A record of another type than a page is rejected as ``conversion_record``, one whose header has not
    the fields at their places as ``positional_header``, a damaged one as ``malformed``.

    A damaged gzip member comes as a :class:`BrokenInput`; what is after it is read. Raises :class:`BrokenInput` where
    the file cannot be read further, or when it is no WET file. Recipe: CCNet, RedPajama's copy.
    """
    parser = RecordParser(path, segment, max_record)
    with open_input(path) as raw:
        try:
            for n, item in enumerate(_blocks(path, raw)):
                if n == 0 and isinstance(item, bytes):
                    _check_first(path, item)
                if isinstance(item, Damage):
                    yield from parser.damage(item)
                else:
                    yield from parser.feed(item)
        except BetweenFrames:
            yield from parser.finish()
            raise
    yield from parser.finish()
    if parser.missing:
        raise BrokenInput(
            f"{path}: it ends {parser.missing} bytes before its last record does, which is kept as it is. Fetch the "
            "file again, then run again.",
            f"record {parser.ordinal - 1}",
        )
    if parser.kinds and "conversion" not in parser.kinds:
        raise BrokenInput(
            f"{path}: it has no record of type conversion, only {', '.join(sorted(parser.kinds))}: not the text of "
            "pages (WET), but a WARC or WAT file. Give the .warc.wet.gz of the same number, then run again."
        )


def _blocks(path: str, raw: BinaryIO) -> Iterator[bytes | Damage]:
    if without_query(path).lower().endswith(".gz"):
        head = raw.read(LOOK)
        raw.seek(0)
        if not head or (not head.startswith(b"\x1f\x8b") and head.strip(b"\0") and known(head)):
            raise not_that(path, head, "gzip")
        try:
            yield from gzip_members(raw)
        except BrokenInput as error:
            kind = BetweenFrames if "after the last" in error.message else BrokenInput
            raise kind(f"{path}: {error.message}.", error.place) from error
        return
    with open_decompressed(path) as text:
        while block := text.read(_BLOCK):
            yield block


def _check_first(path: str, block: bytes) -> None:
    """Raise :class:`BrokenInput` for text that is known to be of another kind."""
    text = block.lstrip()[:LOOK]
    kind = known(text)
    if not text or text.startswith(ANY_MARK) or not (kind or text[:5].upper() == ANY_MARK):
        return
    name = kind.name.removesuffix(", not compressed") if kind else "records that begin with warc/ in lower case"
    raise BrokenInput(f"{path}: not a WET file, its text is {name}. Fetch it again, or check --input.", "byte 0")
