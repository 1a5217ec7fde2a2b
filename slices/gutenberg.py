"""Reads a folder of Project Gutenberg .txt files: encoding found, header and licence taken off."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.streams import open_decompressed

PATTERNS = ("*.txt", "*.txt.gz", "*.txt.zst", "*.txt.bz2")
MAX_BYTES = 1 << 30  # of one book; 40 times the largest text of the collection

_HEAD = 60_000  # characters in which a header, its small print included, ends; the longest known has about 20,000
_TAIL = 30_000  # characters in which the licence at the end lies, when no mark precedes it; it has about 19,000
_SAMPLE = 1 << 18  # bytes shown to the detector: enough for its statistics, and its time does not grow with the book
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DECLARED = re.compile(rb"^Character set encoding:[ \t]*([A-Za-z0-9_.:\-]{2,30})", re.MULTILINE | re.IGNORECASE)
_PLAIN_CODEC = re.compile(r"utf-8|ascii|iso8859-\d+|cp\d+|mac-roman|koi8-[ru]|big5|gb\d+|gbk|shift_jis|euc_(jp|kr)")

# "*** START OF THIS PROJECT GUTENBERG EBOOK EMMA ***", its title over several lines at times; before 2003 the header
# ended in the last line of the small print: "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*"
_STARTS = (
    re.compile(r"^[ \t]*\*\*\*[ \t]*START OF TH(?:E|IS) PROJECT GUTENBERG[^*]{0,400}\*\*\*[^\n]{0,80}$", re.M | re.I),
    re.compile(r"^[ \t]*\*\*\*[ \t]*START OF TH(?:E|IS) PROJECT GUTENBERG[^\n]{0,400}$", re.M | re.I),
    re.compile(r"^[ \t]*\*{1,3}[ \t]*END[ \t]?\*?[ \t]?THE SMALL PRINT![^\n]{0,200}$", re.M | re.I),
    re.compile(r"^[ \t]*\*END\*[^\n]{0,40}SMALL PRINT[^\n]{0,200}$", re.M | re.I),
)
_ENDS = (
    re.compile(r"^[ \t]*\*{2,3}[ \t]*END OF TH(?:E|IS) PROJECT GUTENBERG", re.M | re.I),
    re.compile(r"^[ \t]*\*\*\*[ \t]*START: FULL LICENSE[ \t]*\*\*\*", re.M | re.I),
)
_CLOSING = re.compile(r"^[ \t]*End of (?:the |this )?Project Gutenberg(?:'s|\u2019s)?\b[^\n]{0,300}$", re.M | re.I)
_CREDIT = re.compile(
    r"(?:This e-?(?:book|text) was )?(?:Produced|E-?text prepared|Transcribed|Prepared) (?:by|from)\b", re.I
)
_FIELD = re.compile(r"^(Title|Author|Language):[ \t]*([^\n]{0,500}(?:\n[ \t]{2,}[^\n]{1,500}){0,5})", re.M)
_NUMBER = re.compile(r"\[(?:e-?book|e-?text) ?#? ?(\d{1,6})\]", re.I)
_FIRST_LINE = re.compile(
    r"^\W{0,10}(?:The )?Project Gutenberg(?:['\u2019]s (?:e-?(?:text|book) of )?|(?:['\u2019]s)? e-?(?:text|book) of )"
    r"([^\n]{1,300}?)(?:,? by [^\n]*)?$",
    re.M | re.I,
)


def decode_text(data: bytes) -> tuple[str, str]:
    """The text of a book and the name of the encoding it was read with. Never fails, never yields a lone surrogate.

    In this order: a byte order mark; UTF-8 if every byte fits; the encoding the header declares; what the detector
    (charset-normalizer) finds; Windows-1252; Latin-1, which takes any byte.
    """
    tried = [encoding for mark, encoding in _BOMS if data.startswith(mark)] + ["utf-8"]
    declared = _DECLARED.search(data[:_HEAD])
    if declared:
        tried.append(declared[1].decode("ascii"))
    for encoding in tried:
        text = _decoded(data, encoding)
        if text is not None:
            return text, _codec(encoding) or encoding
    for encoding in (_detected(data), "cp1252"):
        text = _decoded(data, encoding)
        if text is not None:
            return text, encoding
    return data.decode("latin-1"), "latin-1"


def _codec(encoding: str) -> str | None:
    """Python's name of an encoding that is a plain character set (no utf-7, no escapes), else None."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        return None
    return name if _PLAIN_CODEC.fullmatch(name) else None


def _decoded(data: bytes, encoding: str) -> str | None:
    if encoding not in ("utf-8-sig", "utf-16") and not _codec(encoding):
        return None
    try:
        return data.decode(encoding)
    except UnicodeError:
        return None


def _detected(data: bytes) -> str:
    """The detector's guess from the bytes around the first that are not ASCII; "" when it has none."""
    from charset_normalizer import from_bytes

    unusual = re.search(rb"[\x80-\xff]", data)
    start = max(0, (unusual.start() if unusual else 0) - 1000)
    best = from_bytes(data[start : start + _SAMPLE]).best()
    return best.encoding if best else ""


def strip_licence(text: str) -> str:
    """A Gutenberg text without its header, small print, credits and licence; as it is when it has no such marks."""
    start = max((found.end() for mark in _STARTS if (found := mark.search(text, 0, _HEAD))), default=0)
    ends = [found.start() for mark in _ENDS if (found := mark.search(text, start))]
    body = text[start : min(ends, default=len(text))]
    closing = _CLOSING.search(body, max(0, len(body) - _TAIL))
    if closing:
        body = body[: closing.start()]
    body = body.strip("\n\f ")
    while start and _CREDIT.match(body):  # "Produced by ... and the Online Distributed Proofreading Team"
        body = body.partition("\n\n")[2].lstrip("\n\f ")
    return body


def header_fields(text: str) -> dict[str, str]:
    """title, author, language and url from a Gutenberg header, each "" where it says none."""
    head = text[:_HEAD]
    end = min((found.start() for mark in _STARTS if (found := mark.search(head))), default=len(head))
    head = head[:end] if end else head
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(head):
        fields.setdefault(name.lower(), " ".join(value.split()))
    title = fields.get("title") or ((first := _FIRST_LINE.search(head[:2000])) and first[1].strip(" *")) or ""
    number = _NUMBER.search(head)
    return {
        "title": title,
        "author": fields.get("author", ""),
        "language": fields.get("language", ""),
        "url": f"https://www.gutenberg.org/ebooks/{number[1]}" if number else "",
    }


def read_gutenberg(path: str) -> Iterator[Document | Rejected]:
    """One text file as one book, ``<path>#0``: line ends become newlines; ``work["encoding"]`` is what was found.

    A file above 1 GiB, or with nothing between header and licence, is rejected.
    Raises :class:`~redpajama_data.errors.BrokenInput` when the file cannot be read.
    """
    with open_decompressed(path) as stream:
        pieces, held = [], 0
        while held <= MAX_BYTES and (piece := stream.read(1 << 20)):
            pieces.append(piece)
            held += len(piece)
    if held > MAX_BYTES:
        yield Rejected(f"{path}#0", Drop("malformed", f"more than {MAX_BYTES} bytes", f"at most {MAX_BYTES} bytes"))
        return
    text, encoding = decode_text(b"".join(pieces))
    del pieces
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    body = strip_licence(text)
    if not body:
        yield Rejected(f"{path}#0", Drop("malformed", "no text between header and licence", "a book"))
        return
    yield Document(f"{path}#0", body, header_fields(text), {"encoding": encoding})
