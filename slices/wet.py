"""WET files of Common Crawl: the text of web pages, read the way CCNet reads them.

The published reader does not parse WARC. It strips every line, takes header fields by their position and ends a record
at any line that says ``WARC/1.0``. :func:`read_wet` gives the same records from a parser that works on blocks of bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import urlparse

from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.storage import open_input
from redpajama_data.streams import open_decompressed
from slices.gzip_members import Damage, gzip_members

MAX_RECORD = 64 << 20  # bytes of one record; a page of Common Crawl is cut at 1 MiB before its text is taken
MAX_HEADER = 1 << 20  # bytes of the header lines of one record
_BLOCK = 1 << 20
_MARK = b"WARC/1.0"
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")
# Everything str.strip() takes away; none of it lies beyond U+3000.
_SPACES = frozenset(chr(code).encode() for code in range(0x3001) if chr(code).isspace())
_SPACE_RUN = re.compile(rb"(?:" + b"|".join(re.escape(each) for each in sorted(_SPACES - {b"\r", b"\n"})) + rb")*")
_LINE_END = re.compile(rb"\r\n|\r|\n|\Z")
_MAX_SPACE = 64 << 10  # bytes of white space on one side of a mark that are looked through


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


def read_wet(path: str, *, segment: str = "", max_record: int = MAX_RECORD) -> Iterator[Document | Rejected]:
    """Every record of one WET file, ``.warc.wet.gz`` or plain, in order.

    A document's text is the page without its first line, which is the title; its meta holds CCNet's fields in CCNet's
    order: url, date_download, digest, length (bytes, by the header), nlines, source_domain, title, cc_segment
    (``segment``). A record of another type than a page is rejected as ``conversion_record``, one whose header has not
    the fields at their places as ``positional_header``, a damaged one as ``malformed``.

    Raises :class:`BrokenInput` where the compressed file cannot be read further. Recipe: CCNet, RedPajama's copy.
    """
    parser = _Parser(path, segment, max_record)
    with open_input(path) as raw:
        for item in _blocks(path, raw):
            if isinstance(item, Damage):
                yield from parser.damage(item)
            else:
                yield from parser.feed(item)
    yield from parser.finish()


def _blocks(path: str, raw: BinaryIO) -> Iterator[bytes | Damage]:
    if path.endswith(".gz"):
        try:
            yield from gzip_members(raw)
        except BrokenInput as error:
            raise BrokenInput(f"{path}: {error.message}.", error.place) from error
        return
    with open_decompressed(path) as text:
        while block := text.read(_BLOCK):
            yield block


class _Parser:
    """The line state machine: header lines up to the first empty line, then the page up to a ``WARC/1.0`` line.

    ``buffer[at:]`` is what is not used yet. In the state ``lost`` (after damage, or in a record over the limit)
    everything up to the next ``WARC/1.0`` line belongs to a record that was rejected already.
    """

    def __init__(self, path: str, segment: str, max_record: int) -> None:
        self.path, self.segment, self.max_record = path, segment, max_record
        self.ordinal = 0
        self.state = "header"
        self.header: list[bytes] = []
        self.buffer = bytearray()
        self.at = 0  # where the page or the next header line begins
        self.at_line_start = True  # that place is the start of a line
        self.scan = 0  # no mark begins before this

    def feed(self, block: bytes, *, last: bool = False) -> Iterator[Document | Rejected]:
        """The records that end in this block."""
        self.buffer += block
        # A \r at the end may be half of a \r\n: it waits for the next block.
        end = len(self.buffer) - (not last and self.buffer.endswith(b"\r"))
        while True:
            if self.state == "header" and not self._header_ends(end):
                break
            start, after = self._mark(end, last)
            if start < 0:
                break
            if self.state == "page" and start - self.at > self.max_record:
                yield self._too_large()
            elif self.state == "page":
                yield self._record(self.buffer[self.at : start])
            self.state, self.header, self.at = "header", [_MARK], after
        if self.state == "header" and end - self.at + sum(map(len, self.header)) > MAX_HEADER:
            yield self._reject(f"a header of more than {MAX_HEADER} bytes", MAX_HEADER)
            self.state, self.scan, self.at_line_start = "lost", self.at, True
        elif self.state == "page" and self.scan - self.at > self.max_record:
            yield self._too_large()
            self.state = "lost"
        if self.state == "lost" and self.scan - self.at > 2 * _MAX_SPACE:
            # Enough stays to see whether white space reaches from a mark back to the start of its line.
            self.at, self.at_line_start = self.scan - _MAX_SPACE, False
        del self.buffer[: self.at]
        self.scan -= self.at
        self.at = 0

    def finish(self) -> Iterator[Document | Rejected]:
        """The end of the file ends the last record."""
        yield from self.feed(b"", last=True)
        if self.state == "page" and len(self.buffer) > self.max_record:
            yield self._too_large()
        elif self.state == "page":
            yield self._record(self.buffer)
        elif self.state == "header" and (self.header or self.buffer):
            yield self._reject("a header without an end", "an empty line")
        self._wait()

    def damage(self, damage: Damage) -> Iterator[Document | Rejected]:
        """A gzip member was lost: reject the record in it and wait for the next one.

        Deliberately not as published: there one damaged member is the end of the whole shard.
        """
        if damage.whole and self.state == "page" and self.buffer.endswith((b"\n\n", b"\r\n\r\n")):
            yield from self.finish()  # the lost member held the next record
            self.state = "header"
        if self.state != "lost":
            yield self._reject(f"gzip member at byte {damage.place}: {damage.reason}", "a readable gzip member")
        self._wait()

    def _wait(self) -> None:
        self.state, self.header, self.buffer = "lost", [], bytearray()
        self.at, self.scan, self.at_line_start = 0, 0, True

    def _header_ends(self, end: int) -> bool:
        """Collect header lines; True (and the state is ``page``) when the empty line was met."""
        while line := _LINE.match(self.buffer, self.at, end):
            self.header.append(line.group())
            self.at = line.end()
            if not self.header[-1].decode(errors="surrogateescape").strip():
                self.state, self.scan, self.at_line_start = "page", self.at, True
                return True
        return False

    def _mark(self, end: int, last: bool) -> tuple[int, int]:
        """Start of the next line that strips to the mark, and the place after that line; -1 when more is needed."""
        while (found := self.buffer.find(_MARK, self.scan, end)) >= 0:
            spaces = _SPACE_RUN.match(self.buffer, found + len(_MARK), end)
            after = spaces.end() if spaces else found
            # Less than three bytes may be the start of a white space character.
            ending = _LINE_END.match(self.buffer, after, end)
            if not last and not (ending and ending.group()) and end - after < 3 and end - found <= _MAX_SPACE:
                self.scan = found
                return -1, -1
            start = self._line_start(found) if ending and (ending.group() or last) else -1
            if ending and start >= 0:
                return start, ending.end()
            self.scan = found + len(_MARK)
        self.scan = max(self.scan, end - len(_MARK) + 1)
        return -1, -1

    def _line_start(self, place: int) -> int:
        """Where the line with white space only before ``place`` starts; -1 when there is something else before it."""
        low = max(self.at, place - _MAX_SPACE)
        while place > low:
            if self.buffer[place - 1] in b"\r\n":
                return place
            size = next((n for n in (1, 2, 3) if bytes(self.buffer[max(place - n, low) : place]) in _SPACES), 0)
            if not size:
                return -1
            place -= size
        return place if place == self.at and self.at_line_start else -1

    def _record(self, page: bytearray) -> Document | Rejected:
        """Header lines and page as a document. Fields go by position, whatever their names are (as published)."""
        try:
            header = [line.decode().strip() for line in self.header]
            text = page.decode()
        except UnicodeDecodeError as error:
            # Deliberately not as published: there one invalid byte is the end of the whole shard.
            return self._reject(f"byte {error.start}: {error.reason}", "UTF-8")
        try:
            kind = header[1].split()[1]
            if kind != "conversion":
                return self._reject(kind, "conversion", rule="conversion_record")
            url, date, digest = (header[line].split()[1] for line in (2, 3, 6))
            length = _content_length(header)
        except (IndexError, ValueError):
            return self._reject(" | ".join(header)[:300], "fields at lines 1, 2, 3, 6, 8", rule="positional_header")
        lines = _lines(text)
        try:
            domain = urlparse(url).netloc
        except ValueError as error:  # the published reader dies of it
            return self._reject(f"{url[:300]}: {error}", "a URL")
        if lines in ([], [""]):  # the published reader skips the first and dies of the second
            return self._reject("an empty page", "a line of text")
        title, lines = lines[0], _body(lines)
        meta = {
            "url": url,
            "date_download": date,
            "digest": digest,
            "length": length,
            "nlines": len(lines),
            "source_domain": domain,
            "title": title,
            "cc_segment": self.segment,
        }
        return Document(self._next_id(), "\n".join(lines), meta)

    def _too_large(self) -> Rejected:
        return self._reject(f"a record of more than {self.max_record} bytes", self.max_record)

    def _reject(self, measured: str, limit: float | str, *, rule: str = "malformed") -> Rejected:
        return Rejected(self._next_id(), Drop(rule, measured, limit))

    def _next_id(self) -> str:
        self.ordinal += 1
        return f"{self.path}#{self.ordinal - 1}"


def _content_length(header: list[str]) -> int:
    """Line 9, or line 8 when line 9 has no second word: a record with an identified language has one line more.

    As published in RedPajama's copy of CCNet; the original takes line 8 always and loses every such record.
    """
    words = header[9].split() if len(header) > 9 else []
    return int(words[1] if len(words) > 1 else header[8].split()[1])


def _lines(text: str) -> list[str]:
    """The stripped lines of a page, ended by ``\\n``, ``\\r\\n`` or ``\\r`` (not by what str.splitlines adds)."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text:
        return []
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _body(lines: list[str]) -> list[str]:
    """A page without its title and its separator: two empty last lines go, a single one stays (as published)."""
    separated = len(lines) > 1 and not lines[-1] and not lines[-2]
    return lines[1:-2] if separated else lines[1:]
