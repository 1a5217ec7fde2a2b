"""What a file is by its first bytes, for messages: a file that cannot be read is named for what it is, with what to do.

Signatures are those of the formats' own specifications.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from redpajama_data.errors import BrokenInput

LOOK = 1024  # first bytes that tell: a tar's mark is at byte 257, an error page may begin with white space


class Known(NamedTuple):
    """A kind of content, as it stands in a message ("it is ..."), and what to do with such a file."""

    name: str
    advice: str


_UNPACKED = "Is it unpacked already? Take the compression's ending off its name, then run again."  # see not_that
_WRONG = "Is this the right file? Check --input."
_FETCH = "The download went wrong: fetch it again, then run again."

EMPTY = Known("an empty file", _FETCH)
_ZEROS = Known("nothing but zero bytes", _FETCH)
_JSON_LINES = Known("plain JSON, not compressed", _UNPACKED)
_JSON_ARRAY = Known("a JSON array, not compressed", "Expected one object a line: jq -c '.[]' makes lines of it.")
_HTML = Known("an HTML page, as a server sends it with an error or to log in", _FETCH)
_XML_ERROR = Known("an error message in XML, as an object store sends it", _FETCH)
XML = Known("plain XML, not compressed", _UNPACKED)

_SIGNATURES: tuple[tuple[bytes, Known], ...] = (
    (b"version https://git-lfs.github.com/spec/", Known("a Git LFS pointer", "Get the file itself: git lfs pull.")),
    (b"PAR1", Known("a Parquet file", "Convert it to JSON lines, then run again.")),
    (b"Obj\x01", Known("an Avro file", "Export it again as JSON lines, then run again.")),
    (b"ORC", Known("an ORC file", "Convert it to JSON lines, then run again.")),
    (b"\x1f\x8b", Known("a gzip file", "Name it .gz, or unpack it (gunzip).")),
    (b"BZh", Known("a bzip2 file", "Name it .bz2, or unpack it (bunzip2).")),
    (b"\x28\xb5\x2f\xfd", Known("a zstd file", "Name it .zst, or unpack it (unzstd).")),
    (b"7z\xbc\xaf\x27\x1c", Known("a 7z archive", "Name it .7z, or unpack it (7z x).")),
    (b"\xfd7zXZ\x00", Known("an xz file", "Unpack it (unxz).")),
    (b"PK\x03\x04", Known("a zip archive", "Unpack it (unzip).")),
    (b"PK\x05\x06", Known("an empty zip archive", _FETCH)),
    (b"Rar!\x1a\x07", Known("a RAR archive", "Unpack it.")),
    (b"%PDF-", Known("a PDF document", _WRONG)),
    (b"SQLite format 3\x00", Known("an SQLite database", _WRONG)),
    (b"\x00\x05\x16\x07", Known("an AppleDouble file of macOS, which has no content", "Remove it: dot_clean.")),
    (b"WARC/", Known("a WARC file, not compressed", _UNPACKED)),
)
_NEVER_READ = (_HTML, _XML_ERROR, _ZEROS, _SIGNATURES[0][1], _SIGNATURES[1][1])  # Git LFS, Parquet
_MARKUP = re.compile(rb"<!doctype\s+html|<html[\s>]|<head[\s>]|<body[\s>]", re.IGNORECASE)
_ERROR = re.compile(rb"(<\?xml[^>]{0,200}\?>\s*)?<Error>")
_COMPRESSED = re.compile(r"\.(gz|zst|bz2)\Z", re.IGNORECASE)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def known(head: bytes) -> Known | None:
    """What the first bytes (up to :data:`LOOK`) of a file say it is; None when they say nothing."""
    if not head:
        return EMPTY
    if not head.strip(b"\0"):
        return _ZEROS
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[257:262] == b"ustar":
        return Known("a tar archive", "Name it .tar, or unpack it.")
    text = head
    for bom in _BOMS:
        text = text.removeprefix(bom)
    text = text.replace(b"\0", b"").lstrip()  # UTF-16 of ASCII, without its zeros
    if _ERROR.match(text):
        return _XML_ERROR
    if _MARKUP.search(text[:512]) and text.startswith(b"<"):
        return _HTML
    if text.startswith((b"<?xml", b"<mediawiki")):
        return XML
    if text.startswith(b"{"):
        return _JSON_LINES
    return _JSON_ARRAY if text.startswith(b"[") else None


def no_records(head: bytes) -> Known | None:
    """What the first decompressed bytes of a file say it is, when none of its records could be read; None when they
    may well be of a format that is read, or say nothing."""
    if head.startswith(_BOMS[1:]) or (3 * head.count(b"\0") > len(head) > 0 and head.strip(b"\0")):
        return Known("text in UTF-16", "Make it UTF-8 (iconv -f UTF-16 -t UTF-8), then run again.")
    kind = known(head)
    if kind is _JSON_ARRAY:
        return Known("a JSON array", kind.advice)
    return kind if kind in _NEVER_READ else None


def not_that(path: str, head: bytes, expected: str) -> BrokenInput:
    """The error of a file that is not ``expected`` ("gzip", "a tar archive"), with what its first bytes say it is."""
    kind = known(head)
    if kind is None:
        shown = head[:12]
        return BrokenInput(f"{path}: not {expected}; it begins with {shown!r}. {_WRONG}", "byte 0")
    advice = kind.advice
    if advice is _UNPACKED and _COMPRESSED.search(path):
        plain = _COMPRESSED.sub("", path)
        if kind is _JSON_LINES and not plain.endswith((".json", ".jsonl")):
            plain += ".jsonl"
        advice = f"Is it unpacked already? mv {path} {plain}, then run again."
    return BrokenInput(f"{path}: not {expected}; it is {kind.name}. {advice}", "byte 0")
