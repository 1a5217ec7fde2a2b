"""The pages of a MediaWiki export as its bytes come in; what is damaged costs its page."""

from __future__ import annotations

import re
from xml.parsers import expat

from redpajama_data.errors import BrokenInput
from redpajama_data.io import first_bytes

MAX_TEXT = 16 << 20  # characters of an element; MediaWiki refuses pages above 2 MiB
_MAX_TOKEN = 1 << 20  # bytes of a tag, which expat keeps; those of a dump have below 10 kB. An open comment has no end
_MAX_DEPTH = 64  # elements inside each other; a dump has 6
_MAX_DAMAGE = 1000  # unreadable places before the file counts as unreadable: bounds the time a hostile file can take
_RESUME = re.compile(rb"<page[\s>/]|</mediawiki")  # texts have "<" as &lt;, so this is markup wherever it stands
_RESUME_BYTES = 11
_ROOT = b"<mediawiki>"


class _UnreadableError(Exception):
    """Well-formed XML that no export has, and the byte it begins at: pyexpat runs on behind an exception."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.at = at


class PageParser:
    """Collects the fields of each ``<page>`` in ``pages`` as bytes come in; memory is that of the pages not taken yet.

    A page has ``title``, ``ns``, ``redirect`` ("" where the element is there) and ``text`` of its newest revision, each
    where it is there; ``too_long`` names a field over :data:`MAX_TEXT`; ``malformed`` says why it cannot be read, and
    then reading goes on at the next ``<page>``: expat is dead after an error, so a new one takes over there.

    expat reads every encoding a dump was seen in (UTF-8, UTF-16), keeps no tree, and tells of a document type before
    anything in it is expanded. ``inside``: the bytes begin below the root element. ``version`` and ``namespaces``
    (number: name) are those of the head, as far as it was seen.
    """

    def __init__(self, path: str, *, inside: bool) -> None:
        self.path = path
        self.pages: list[dict[str, str]] = []
        self.version = ""
        self.namespaces: dict[str, str] = {}
        self._head = b""  # first bytes, to say what a file is that is no export
        self._wide = False  # two bytes a character: the next page cannot be found by its bytes
        self._encoding: str | None = None
        self._fed = 0  # bytes given to feed()
        self._damages = 0
        self._skipping = False  # up to the next page
        self._resumed = -1  # byte where reading went on last
        self._rest = b""  # last bytes: those that expat has not taken yet, or that may begin what is skipped to
        self._root_seen = inside
        self._start_parser(inside=inside)

    def _start_parser(self, *, inside: bool) -> None:
        self._open: list[str] = []
        self._page: dict[str, str] = {}
        self._revision: dict[str, str] = {}
        self._field = ""  # the field being read, and where it goes
        self._into: dict[str, str] = self._page
        self._parts: list[str] = []
        self._size = 0
        self._expat = parser = expat.ParserCreate(self._encoding)
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartCdataSectionHandler = self._cdata
        if inside:
            parser.Parse(_ROOT)
        else:
            parser.StartDoctypeDeclHandler = self._doctype
            parser.XmlDeclHandler = self._declaration
        self._taken = len(_ROOT) if inside else 0  # bytes given to expat

    def feed(self, data: bytes) -> None:
        """Read more bytes. Raises :class:`BrokenInput` where they are no export, or cannot be read further."""
        if not self._fed:
            self._head = data[: first_bytes.LOOK]
            self._wide = b"\0" in data[:2] or data[:2] in (b"\xff\xfe", b"\xfe\xff")
        self._fed += len(data)
        while data:
            if self._skipping:
                data = self._rest + data
                found = _RESUME.search(data)
                if found is None:
                    self._rest = data[-_RESUME_BYTES:]
                    return
                data = data[found.start() :]
                self._resumed = self._fed - len(data)
                self._skipping, self._rest = False, b""
                self._start_parser(inside=True)
            data = self._parse(data)

    def damaged(self) -> str:
        """Bytes are missing here: what comes next is read from the next page on. Gives the title of the page that was
        begun, or "a page"; "" when none was. Raises :class:`BrokenInput` where the next page could not be found."""
        if self._wide:
            raise self._broken("damaged, and no later page can be found in this encoding")
        lost = self._begun()
        self._root_seen = self._skipping = True
        self._rest, self._open = b"", []
        return lost

    def close(self, *, whole: bool) -> None:
        """End the input; unless ``whole``, the root element need not be closed, but no page may be open."""
        while not self._skipping:
            if not whole and self._open == ["mediawiki"]:
                self.feed(b"</mediawiki>")
            rest = self._parse(b"", last=True)
            if not rest:
                return
            self._fed -= len(rest)
            self.feed(rest)
        if whole:
            raise self._broken("ends inside the XML")

    def _parse(self, data: bytes, *, last: bool = False) -> bytes:
        """Give bytes to expat; what is to be read again after an error, from its place on, or b""."""
        reason, at = "", -1
        try:
            self._expat.Parse(data, last)
        except expat.ExpatError as error:
            reason = f"broken XML: {expat.ErrorString(error.code)}"
        except _UnreadableError as error:
            reason, at = str(error), error.at
        self._taken += len(data)
        untaken = self._taken - (self._expat.CurrentByteIndex if at < 0 else at)
        if not reason and untaken <= _MAX_TOKEN:
            self._rest = self._rest + data if untaken > len(data) else data[len(data) - untaken :]
            return b""
        if last and not _RESUME.search(self._rest, 1) and self._root_seen:
            raise self._broken("ends inside the XML" + (f", in {begun}" if (begun := self._begun()) else ""))
        return self._reject(
            reason or f"a tag or comment of more than {_MAX_TOKEN >> 20} MB", self._rest + data, untaken
        )

    def _reject(self, reason: str, data: bytes, untaken: int) -> bytes:
        """Enter the page being read, or what is between pages, as malformed; ``data`` from the place of the error."""
        place = self._fed - untaken
        if not self._root_seen:
            raise self._no_export(reason)
        if self._wide:
            raise self._broken(f"{reason}, and no later page can be found in this encoding")
        self._damages += 1
        if self._damages > _MAX_DAMAGE:
            raise self._broken(f"more than {_MAX_DAMAGE} damaged pages")
        self.pages.append({"malformed": f"{self._begun() or 'between pages'}: {reason}, decompressed byte {place}"})
        self._skipping, self._rest, self._open = True, b"", []
        # An end tag's error is two bytes behind its beginning. What was gone back to once is not again.
        return data[max(0, self._resumed + 1 - self._fed + len(data), len(data) - untaken - 2) :]

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        self._encoding = encoding

    def _doctype(self, *_: object) -> None:
        raise self._no_export("it declares a document type, which no dump does and an entity bomb needs")

    def _cdata(self) -> None:
        raise self._unreadable("a CDATA section, which no dump has, and which takes in what follows")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._finish_field()  # of an element with children, the text before the first counts
        opened = self._open
        opened.append(name)
        depth = len(opened)
        if depth == 4:
            if opened[2] == "revision" and name in ("text", "timestamp") and name not in self._revision:
                self._field, self._into, self._size = name, self._revision, 0
            elif name == "namespace" and opened[1] == "siteinfo":
                self._field, self._into, self._size = attributes.get("key", ""), self.namespaces, 0
        elif depth == 3 and opened[1] == "page":
            if name == "redirect":
                self._page["redirect"] = ""
            elif name == "revision":
                self._revision = {}
            elif name in ("title", "ns") and name not in self._page:  # the first of each counts
                self._field, self._into, self._size = name, self._page, 0
        elif depth == 2:
            if name not in ("page", "siteinfo"):
                raise self._unreadable(f"<{name[:100]}> where <page> is expected")
            self._page = {}
        elif depth == 1:
            if name != "mediawiki":
                raise self._no_export(f"root element is <{name[:100]}>")
            self._root_seen = True
            self.version = self.version or attributes.get("version", "")
        if depth > 2 and name == "page":
            opened.pop()
            raise self._unreadable("no </page> before the next <page>")
        if depth > _MAX_DEPTH:
            raise self._unreadable(f"more than {_MAX_DEPTH} elements inside each other")

    def _text(self, data: str) -> None:
        if self._field:
            self._size += len(data)
            if self._size <= MAX_TEXT:
                self._parts.append(data)
            else:
                self._into["too_long"] = self._field
        elif len(self._open) == 1 and not data.isspace():
            raise self._unreadable(f"text {data.strip()[:20]!r} where <page> is expected")

    def _finish_field(self) -> None:
        if self._field:
            self._into[self._field] = "".join(self._parts)
            self._parts.clear()
            self._field = ""

    def _end(self, name: str) -> None:
        self._finish_field()
        opened = self._open
        if len(opened) == 2 and name == "page":
            self.pages.append(self._page)
        elif len(opened) == 3 and name == "revision" and opened[1] == "page":
            self._take_newest()
        opened.pop()

    def _take_newest(self) -> None:
        """A history dump has several revisions a page: the newest counts, of equal ones the last."""
        page, revision = self._page, self._revision
        if revision.get("timestamp", "~") >= page.get("timestamp", ""):
            if page.get("too_long") == "text":
                del page["too_long"]
            page["text"] = ""
            page.update(revision)

    def _unreadable(self, reason: str) -> _UnreadableError:
        return _UnreadableError(reason, self._expat.CurrentByteIndex)

    def _begun(self) -> str:
        if self._open[1:2] != ["page"]:
            return ""
        return f"page {self._page['title'][:200]!r}" if "title" in self._page else "a page"

    def _broken(self, what: str) -> BrokenInput:
        message = f"{self.path}: {what}. What was read before is kept; fetch the file again, then run again."
        return BrokenInput(message, f"decompressed byte {self._fed}")

    def _no_export(self, what: str) -> BrokenInput:
        kind = first_bytes.known(self._head)
        if kind not in (None, first_bytes.XML):
            return first_bytes.not_that(self.path, self._head, "a MediaWiki export")
        return BrokenInput(
            f"{self.path}: not a MediaWiki export: {what}. Give a pages-articles file of dumps.wikimedia.org.", "byte 0"
        )
