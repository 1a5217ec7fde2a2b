"""The records of a WET file out of blocks of its text: pages as documents, and what is none.

The published reader's rules of where a record ends and where its fields stand, kept to the letter; what it dies of
costs a record here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlparse

from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from slices.readers.gzip_members import Damage

MAX_RECORD = 64 << 20  # bytes of one record; a page of Common Crawl is cut at 1 MiB before its text is taken
MAX_HEADER = 1 << 20  # bytes of the header lines of one record
_MARK = b"WARC/1.0"  # where the published reader ends a record
ANY_MARK = b"WARC/"  # ... and other versions of the format begin one
_VERSION = re.compile(rb"WARC/[0-9]{1,2}\.[0-9]{1,3}")
_MARK_BYTES = 11  # of the longest version
_FIELD = re.compile(rb"(?:WARC-[A-Za-z-]{1,40}|Content-[A-Za-z]{1,20}):", re.IGNORECASE)
_FIELD_BYTES = 64
_FIELD_ORDER = (
    "warc-type", "warc-target-uri", "warc-date", "warc-record-id", "warc-refers-to", "warc-block-digest",
    "content-type", "content-length",
)  # fmt: skip
_WARC_KINDS = frozenset({"request", "response", "resource", "revisit", "metadata"})  # of records of WARC and WAT files
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")
# Everything str.strip() takes away; none of it lies beyond U+3000.
_SPACES = frozenset(chr(code).encode() for code in range(0x3001) if chr(code).isspace())
_SPACE_RUN = re.compile(rb"(?:" + b"|".join(re.escape(each) for each in sorted(_SPACES - {b"\r", b"\n"})) + rb")*")
_LINE_END = re.compile(rb"\r\n|\r|\n|\Z")
_MAX_SPACE = 64 << 10  # bytes of white space on one side of a mark that are looked through


class RecordParser:
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
        self.published = True  # the record being read is one of WARC/1.0, which the next such line ends
        self.mark = _MARK  # the line that began it
        self.missing = 0  # bytes of the last record, by its header, that are not there
        self.kinds: set[str] = set()  # types of the records so far

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
            self.state, self.header, self.at = "header", [self.mark], after
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
        if self.state == "page":
            self.missing = max(0, self._block_length() - len(self.buffer))
        if self.state == "page" and len(self.buffer) > self.max_record:
            yield self._too_large()
        elif self.state == "page":
            yield self._record(self.buffer)
        elif self.state == "header" and (self.header or self.buffer):
            yield self._reject("a header without an end", "an empty line")
        self._wait()

    def damage(self, damage: Damage) -> Iterator[Document | Rejected | BrokenInput]:
        """A gzip member was lost, and the record in it: report it and wait for the next one.

        Deliberately not as published: there one damaged member is the end of the whole shard.
        """
        if damage.whole and self.state == "page" and self.buffer.endswith((b"\n\n", b"\r\n\r\n")):
            yield from self.finish()  # the lost member held the next record
        if not damage.last:  # the error that ends the reading says so
            self._next_id()
            yield BrokenInput(
                f"{self.path}: gzip member damaged ({damage.reason}). What is in it is lost, what follows is read; "
                "fetch the file again, then run again.",
                f"byte {damage.place}",
            )
        self._wait()

    def _wait(self) -> None:
        self.state, self.header, self.buffer = "lost", [], bytearray()
        self.at, self.scan, self.at_line_start, self.published = 0, 0, True, True

    def _header_ends(self, end: int) -> bool:
        """Collect header lines; True (and the state is ``page``) when the empty line was met."""
        while line := _LINE.match(self.buffer, self.at, end):
            self.header.append(line.group())
            self.at = line.end()
            if not self.header[-1].decode(errors="surrogateescape").strip():
                self.state, self.scan, self.at_line_start = "page", self.at, True
                mark = self.header[0].strip()
                self.published = mark == _MARK or not _VERSION.fullmatch(mark)
                return True
        return False

    def _mark(self, end: int, last: bool) -> tuple[int, int]:
        """Start of the next line that strips to the mark, and the place after that line; -1 when more is needed."""
        while (place := self.buffer.find(ANY_MARK, self.scan, end)) >= 0:
            mark = _VERSION.match(self.buffer, place, end)
            if mark is None:
                if not last and end - place < _MARK_BYTES:
                    self.scan = place
                    return -1, -1
                self.scan = place + len(ANY_MARK)
                continue
            spaces = _SPACE_RUN.match(self.buffer, mark.end(), end)
            after = spaces.end() if spaces else place
            # Less than three bytes may be the start of a white space character.
            ending = _LINE_END.match(self.buffer, after, end)
            if not last and not (ending and ending.group()) and end - after < 3 and end - place <= _MAX_SPACE:
                self.scan = place
                return -1, -1
            start = self._line_start(place) if ending and (ending.group() or last) else -1
            if ending and start >= 0:
                published = self.published and mark.group() == _MARK
                if not published and not last and end - ending.end() < _FIELD_BYTES:
                    self.scan = place
                    return -1, -1
                if published or self._begins_record(start, ending.end(), end):
                    self.mark = bytes(mark.group())
                    return start, ending.end()
            self.scan = mark.end()
        self.scan = max(self.scan, end - len(ANY_MARK) + 1)
        return -1, -1

    def _begins_record(self, start: int, after: int, end: int) -> bool:
        """True when a line with the mark of another version than the published reader's begins a record: a header
        field follows, and it is not within the block of the record before, where it is text about the format."""
        if not _FIELD.match(self.buffer, after, end):
            return False
        return self.state != "page" or start - self.at >= self._block_length()

    def _block_length(self) -> int:
        """Bytes of the record's block by its header; 0 when that does not say."""
        for line in self.header:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                return int(value.strip()[:18])
        return 0

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
        """Header lines and page as a document. Fields of WARC/1.0 go by position, whatever their names are (as
        published); those of other versions by name."""
        try:
            header = [line.decode().strip() for line in self.header]
            text = page.decode()
        except UnicodeDecodeError as error:
            self._note_kind([line.decode(errors="replace") for line in self.header])
            # Deliberately not as published: there one invalid byte is the end of the whole shard.
            return self._reject(f"byte {error.start}: {error.reason}", "UTF-8")
        try:
            if not self.published:
                header = _by_name(header)
            kind = header[1].split()[1]
            if kind != "conversion":
                self._note_kind(header)
                return self._reject(kind, "conversion", rule="conversion_record")
            self.kinds.add(kind)
            url, date, digest = (header[line].split()[1] for line in (2, 3, 6))
            length = _content_length(header)
        except (IndexError, ValueError):
            self._note_kind(header)
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

    def _note_kind(self, header: list[str]) -> None:
        self.kinds |= _WARC_KINDS.intersection(_by_name(header)[1].split())

    def _too_large(self) -> Rejected:
        return self._reject(f"a record of more than {self.max_record} bytes", self.max_record)

    def _reject(self, measured: str, limit: float | str, *, rule: str = "malformed") -> Rejected:
        return Rejected(self._next_id(), Drop(rule, measured, limit))

    def _next_id(self) -> str:
        self.ordinal += 1
        return f"{self.path}#{self.ordinal - 1}"


def _by_name(header: list[str]) -> list[str]:
    """The header of a record of another version, its fields put where WARC/1.0 files of Common Crawl have them."""
    fields = {line.split(":", 1)[0].strip().lower(): line for line in header[1:] if ":" in line}
    return [header[0], *(fields.get(name, "") for name in _FIELD_ORDER)]


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
