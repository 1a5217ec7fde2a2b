"""``pages-articles`` dumps of MediaWiki, page by page: a whole file (.xml, also .bz2, .gz, .zst, .7z) or a piece of
one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from filters.wikitext import LinkNames
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.io import first_bytes
from redpajama_data.io.storage import open_input, without_query
from redpajama_data.io.streams import open_decompressed
from slices.readers import wikipedia_old, wikipedia_xml
from slices.readers.bz2_streams import Damage, bz2_streams
from slices.readers.seven_zip import read_member
from slices.readers.wikipedia_pieces import WHOLE, Piece
from slices.readers.wikipedia_xml import PageParser

_READ = 1 << 20
_TIME = re.compile(r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T\d\d:\d\d:\d\dZ", re.ASCII)
_HEAD = 1 << 20  # bytes in which an export names its version and namespaces: some 2 kB


def page_url(language: str, title: str) -> str:
    """The address of a page; recipe: RedPajama-Data-1T, Wikipedia (blanks become %20, "/" stays)."""
    return f"https://{language}.wikipedia.org/wiki/{quote(title)}"


def id_prefix(path: str, piece: Piece) -> str:
    """What the ids of the records of a dump, or of one of its pieces, begin with."""
    return f"{path}#" if piece == WHOLE else f"{path}#{piece.start}:"


def read_pages(
    path: str,
    *,
    language: str,
    timestamp: str,
    piece: Piece = WHOLE,
    own_names: bool = False,
    own_dates: bool = False,
) -> Iterator[Document | Rejected | BrokenInput]:
    """The pages of a dump or of one piece, in order: ``text`` is wikitext, ``meta`` as published.

    Ids are ``path#n``, in a piece of several ``path#<first byte>:n``. Rejected: ``not_article`` (namespace other than
    0), ``redirect`` (has a <redirect> element; the word in the text alone does not count), ``no_text``, ``malformed``.
    Of a page with several revisions the newest counts. Source: RedPajama-Data-1T, Wikipedia. With ``own_names`` the
    names of :class:`~filters.wikitext.LinkNames` that the dump gives are in ``work["link_names"]`` of each page. With
    ``own_dates`` the timestamp is the day of the page's revision where it says one (:func:`day_of`).

    A page with a bad byte or broken XML is ``malformed``; where a bz2 file is damaged, a :class:`BrokenInput` with the
    range of bytes is yielded; either way reading goes on at the next page. Raises :class:`BrokenInput` after the last
    whole page where the file is cut, is no MediaWiki export, or declares a document type (a dump never does; entity
    bombs need one).
    """
    prefix = id_prefix(path, piece)
    parser = PageParser(path, inside=piece.start > 0)
    sort = _Sorter(path, parser, language, timestamp, own_names, own_dates)
    number = 0
    error: BrokenInput | None = None
    chunks = _chunks(path, piece)
    while True:
        chunk: bytes | Damage = b""
        damage: BrokenInput | None = None
        try:
            chunk = next(chunks, b"")
            if isinstance(chunk, Damage):
                damage = _damaged(path, chunk, parser.damaged())
            elif chunk:
                parser.feed(chunk)
            else:
                parser.close(whole=piece.end is None)
        except BrokenInput as broken:
            error = broken
        for page in parser.pages:
            yield sort.record(f"{prefix}{number}", page)
            number += 1
        parser.pages.clear()
        if damage is not None:
            if isinstance(chunk, Damage) and chunk.last and piece.end is None:
                raise damage  # what is missing then is not known
            yield damage
            number += 1
        if error is not None:
            raise error
        if not chunk:
            return


def day_of(timestamp: str) -> str:
    """The day of a revision in the form of a dump's date, "" for what is no time.

    >>> day_of("2016-05-01T07:08:29Z")
    '20160501'
    """
    return "".join(found.groups()) if (found := _TIME.fullmatch(timestamp.strip())) else ""


def _link_names(own: dict[str, str]) -> LinkNames:
    """What a dump calls its namespaces of files and media (6, -2) and of categories (14), where it says."""
    media, category = (
        tuple(name for key in keys if (name := own.get(key, "").strip())) for keys in (("-2", "6"), ("14",))
    )
    return LinkNames(media, category)


class _Sorter:
    """Makes documents and rejections of pages, in the order of the published script."""

    def __init__(
        self, path: str, parser: PageParser, language: str, timestamp: str, own_names: bool, own_dates: bool
    ) -> None:
        self.path, self.parser, self.language, self.timestamp = path, parser, language, timestamp
        self._own_names, self._own_dates = own_names, own_dates
        self._work: dict[str, LinkNames] = {}  # the same for every page
        self._head: PageParser | None = None

    def record(self, record: str, page: dict[str, str]) -> Document | Rejected:
        """What a page is."""
        if "malformed" in page:
            return Rejected(record, Drop("malformed", page["malformed"], "a page in well-formed XML"))
        title, namespace = page.get("title"), page.get("ns")
        if "too_long" in page:
            return Rejected(record, Drop("malformed", f"<{page['too_long']}> too long", wikipedia_xml.MAX_TEXT))
        if title and namespace is None:
            namespace = self._old_namespace(page, title)
        if not title or namespace is None:
            return Rejected(record, Drop("malformed", "page without title or ns", "title and ns"))
        if namespace != "0":
            return Rejected(record, Drop("not_article", namespace, "0"))
        if "redirect" in page:
            return Rejected(record, Drop("redirect", title, "no <redirect>"))
        if not page.get("text"):
            return Rejected(record, Drop("no_text", 0, 1))
        url = page_url(self.language, title)
        own_day = day_of(page.get("timestamp", "")) if self._own_dates else ""
        meta = {"title": title, "url": url, "language": self.language, "timestamp": own_day or self.timestamp}
        if self._own_names and not self._work:
            self._work = {"link_names": _link_names(self._head_seen().namespaces)}
        return Document(record, page["text"], meta, dict(self._work))

    def _old_namespace(self, page: dict[str, str], title: str) -> str | None:
        """The namespace of a page of an old export; None where the export is new and should have said it."""
        head = self._head_seen()
        version = wikipedia_old.schema(head.version)
        if version >= wikipedia_old.NAMESPACES_FROM:
            return None
        if version < wikipedia_old.REDIRECTS_FROM and wikipedia_old.is_redirect(page.get("text", "")):
            page["redirect"] = ""
        return wikipedia_old.namespace_of(title, head.namespaces, self.language)

    def _head_seen(self) -> PageParser:
        """The parser that has seen the head of the dump; a piece does not see it."""
        if self._head is None:
            self._head = self.parser if self.parser.version else _read_head(self.path)
        return self._head


def _read_head(path: str) -> PageParser:
    """A parser that has seen what stands before the first page of a dump."""
    parser, seen = PageParser(path, inside=False), 0
    try:
        for chunk in _chunks(path, WHOLE):
            if isinstance(chunk, Damage) or parser.pages or seen > _HEAD:
                break
            parser.feed(chunk)
            seen += len(chunk)
    except BrokenInput:
        pass  # the file's own reader says so
    return parser


def _chunks(path: str, piece: Piece) -> Iterator[bytes | Damage]:
    """The decompressed bytes of a piece, and where a bz2 file is damaged. Raises :class:`BrokenInput` where another
    compression is damaged or cut, or the file is of another kind."""
    name = without_query(path).lower()
    if name.endswith(".7z"):
        yield from read_member(path, without_query(path).rpartition("/")[2][: -len(".7z")])
    elif name.endswith(".bz2"):
        yield from _bz2_chunks(path, piece)
    else:
        with open_decompressed(path) as stream:
            while chunk := stream.read(_READ):
                yield chunk


def _bz2_chunks(path: str, piece: Piece) -> Iterator[bytes | Damage]:
    with open_input(path) as raw:
        head = raw.read(first_bytes.LOOK) if piece.start == 0 else b"BZh"
        streams = bz2_streams(raw, piece.start, piece.end)
        first = next(streams, None)
        if not head.startswith(b"BZh") and (first is None or (isinstance(first, Damage) and first.last)):
            raise first_bytes.not_that(path, head, "bzip2")  # no stream in all of the file
        if first is not None:
            yield first
            yield from streams


def _damaged(path: str, damage: Damage, lost: str) -> BrokenInput:
    what = f"{damage.reason} at bytes {damage.start} to {damage.end} of the bz2 file"
    return _broken(path, f"{what}, where {lost} is cut off" if lost else what, f"bytes {damage.start} to {damage.end}")


def _broken(path: str, what: str, place: str) -> BrokenInput:
    return BrokenInput(f"{path}: {what}. What can be read is kept; fetch the file again, then run again.", place)
