"""``pages-articles`` dumps of MediaWiki, page by page: a whole file (.xml, also .bz2, .gz, .zst) or a piece of one."""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from typing import BinaryIO, cast
from urllib.parse import quote
from xml.parsers import expat

from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.storage import open_input
from redpajama_data.streams import open_decompressed
from slices.wikipedia_pieces import WHOLE, Piece

MAX_TEXT = 16 << 20  # characters of an element; MediaWiki refuses pages above 2 MiB
_READ = 1 << 20


def page_url(language: str, title: str) -> str:
    """The address of a page; recipe: RedPajama-Data-1T, Wikipedia (blanks become %20, "/" stays)."""
    return f"https://{language}.wikipedia.org/wiki/{quote(title)}"


def read_pages(path: str, *, language: str, timestamp: str, piece: Piece = WHOLE) -> Iterator[Document | Rejected]:
    """The pages of a dump or of one piece, in order: ``text`` is wikitext, ``meta`` as published.

    Ids are ``path#n``, in a piece of several ``path#<first byte>:n``. Rejected: ``not_article`` (namespace other than
    0), ``redirect`` (has a <redirect> element; the word in the text alone does not count), ``no_text``, ``malformed``.
    Raises :class:`BrokenInput` after the last whole page where the file is cut or damaged, or declares a document type
    (a dump never does; entity bombs need one). Source: RedPajama-Data-1T, Wikipedia.
    """
    prefix = f"{path}#" if piece == WHOLE else f"{path}#{piece.start}:"
    parser = PageParser(path, inside=piece.start > 0)
    number = 0
    error: BrokenInput | None = None
    chunks = _chunks(path, piece)
    while True:
        chunk = b""
        try:
            chunk = next(chunks, b"")
            if chunk:
                parser.feed(chunk)
            else:
                parser.close(whole=piece.end is None)
        except BrokenInput as broken:
            error = broken
        for page in parser.pages:
            yield _record(f"{prefix}{number}", page, language, timestamp)
            number += 1
        parser.pages.clear()
        if error is not None:
            raise error
        if not chunk:
            return


def _record(record: str, page: dict[str, str], language: str, timestamp: str) -> Document | Rejected:
    """Sort a page out, in the order of the published script."""
    title, namespace = page.get("title"), page.get("ns")
    if "too_long" in page:
        return Rejected(record, Drop("malformed", f"<{page['too_long']}> too long", MAX_TEXT))
    if not title or namespace is None:
        return Rejected(record, Drop("malformed", "page without title or ns", "title and ns"))
    if namespace != "0":
        return Rejected(record, Drop("not_article", namespace, "0"))
    if "redirect" in page:
        return Rejected(record, Drop("redirect", title, "no <redirect>"))
    if not page.get("text"):
        return Rejected(record, Drop("no_text", 0, 1))
    meta = {"title": title, "url": page_url(language, title), "language": language, "timestamp": timestamp}
    return Document(record, page["text"], meta)


class _Range:
    """The next ``left`` bytes of a file (None: all), as a file."""

    def __init__(self, raw: BinaryIO, left: int | None) -> None:
        self.raw, self.left = raw, left

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes."""
        data = self.raw.read(size if self.left is None else min(size, self.left))
        if self.left is not None:
            self.left -= len(data)
        return data


def _chunks(path: str, piece: Piece) -> Iterator[bytes]:
    """The decompressed bytes of a piece; raises :class:`BrokenInput` where the compression is damaged or cut."""
    if not path.lower().endswith(".bz2"):
        with open_decompressed(path) as stream:
            while chunk := stream.read(_READ):
                yield chunk
        return
    with open_input(path) as raw:
        raw.seek(piece.start)
        length = None if piece.end is None else piece.end - piece.start
        try:
            with bz2.BZ2File(cast(BinaryIO, _Range(raw, length))) as stream:
                while chunk := stream.read1(_READ):  # not read(): at a cut that keeps back what it has gathered
                    yield chunk
        except (OSError, EOFError) as error:
            raise _broken(path, f"damaged ({error})", f"byte {raw.tell()}") from error


def _broken(path: str, what: str, place: str) -> BrokenInput:
    return BrokenInput(f"{path}: {what}. What was read before is kept; fetch the file again, then run again.", place)


class PageParser:
    """Collects the fields of each ``<page>`` in ``pages`` as bytes come in; memory is that of the pages not taken yet.

    expat reads every encoding a dump was seen in (UTF-8, UTF-16), keeps no tree, and tells of a document type before
    anything in it is expanded. ``inside``: the bytes begin below the root element.
    """

    def __init__(self, path: str, *, inside: bool) -> None:
        self.path = path
        self.pages: list[dict[str, str]] = []
        self._open: list[str] = []
        self._page: dict[str, str] = {}
        self._field = ""  # the field being read
        self._parts: list[str] = []
        self._size = 0
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.buffer_size = 1 << 16
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._text
        self._expat.StartDoctypeDeclHandler = self._doctype
        if inside:
            self.feed(b"<mediawiki>")

    def feed(self, data: bytes) -> None:
        """Parse more bytes. Raises :class:`BrokenInput` where they are no XML."""
        self._parse(data, last=False)

    def close(self, *, whole: bool) -> None:
        """End the input; unless ``whole``, the root element need not be closed, but no page may be open."""
        if not whole and self._open == ["mediawiki"]:
            self.feed(b"</mediawiki>")
        self._parse(b"", last=True)

    def _parse(self, data: bytes, *, last: bool) -> None:
        try:
            self._expat.Parse(data, last)
        except expat.ExpatError as error:
            what = "ends inside the XML" if last else f"not XML ({error})"
            raise _broken(self.path, what, f"decompressed byte {self._expat.CurrentByteIndex}") from error

    def _doctype(self, *_: object) -> None:
        raise BrokenInput(
            f"{self.path}: declares a document type, which no dump does and an entity bomb needs; refused. "
            "Fetch the file again from dumps.wikimedia.org.",
            f"decompressed byte {self._expat.CurrentByteIndex}",
        )

    def _start(self, name: str, _: object) -> None:
        self._finish_field()  # of an element with children, the text before the first counts
        self._open.append(name)
        depth = len(self._open)
        if depth == 2 and name == "page":
            self._page = {}
        elif depth >= 3 and self._open[1] == "page":
            if depth == 3 and name == "redirect":
                self._page["redirect"] = ""
            wanted = (depth == 3 and name in ("title", "ns")) or self._open[2:] == ["revision", "text"]
            if wanted and name not in self._page:  # the first of each counts
                self._field, self._size = name, 0

    def _text(self, data: str) -> None:
        if self._field:
            self._size += len(data)
            if self._size <= MAX_TEXT:
                self._parts.append(data)
            else:
                self._page["too_long"] = self._field

    def _finish_field(self) -> None:
        if self._field:
            self._page[self._field] = "".join(self._parts)
            self._parts.clear()
            self._field = ""

    def _end(self, name: str) -> None:
        self._finish_field()
        if len(self._open) == 2 and name == "page":
            self.pages.append(self._page)
        self._open.pop()
