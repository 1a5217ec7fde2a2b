"""The bytes of an XML file in UTF-8, whatever they were."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from itertools import chain

from redpajama_data.io.first_bytes import LOOK, known, not_that

_DECLARED = re.compile(rb"<\?xml[^>]{0,200}?\sencoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
_ONE_BYTE = re.compile(r"iso8859-\d+|cp125\d|koi8-[ru]")
_UTF16 = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def as_utf8(path: str, chunks: Iterator[bytes], expected: str) -> Iterator[bytes]:
    """The stream without its byte order mark, in UTF-8 when it is UTF-16 or declares a character set of one byte.

    What cannot be decoded becomes bytes that are no UTF-8, so that it costs its row. Raises :class:`BrokenInput` for
    what is no XML, named by its first bytes: not ``expected``.
    """
    head = next((chunk for chunk in chunks if chunk), b"")
    stream: Iterator[bytes] = chain((head,), chunks)
    encoding = next((name for mark, name in _UTF16 if head.startswith(mark)), "")
    if not encoding and head[:4] in (b"<\0?\0", b"\0<\0?"):
        encoding = "utf-16-le" if head[0] else "utf-16-be"
    declared = _DECLARED.search(head[:LOOK].removeprefix(codecs.BOM_UTF8).lstrip())
    if not encoding and declared:
        encoding = _one_byte_set(declared[1].decode("ascii"))
    if encoding:
        stream = chain(_transcoded(stream, encoding))
    begin = next(stream, b"").removeprefix(codecs.BOM_UTF8)
    kind = known(head[:LOOK])
    looks_like_xml = begin.lstrip().startswith(b"<")
    if not looks_like_xml or (kind and "HTML" in kind.name) or (kind and "error message" in kind.name):
        raise not_that(path, head[:LOOK], expected)
    return chain((begin,), stream)


def _one_byte_set(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except LookupError:
        return ""
    return found if _ONE_BYTE.fullmatch(found) else ""


def _transcoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    errors = "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", errors)
    if decoder.getstate()[0]:  # half a character
        yield b"\xff"
