"""The character set of a LaTeX source: UTF-8, what it declares, else Windows-1252.

The repair of :func:`filters.latex.strict_utf8`: papers of before 2010 are seldom UTF-8.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Callable

from redpajama_data.document import Document, Drop

# The names that inputenc has, by the codecs of Python. Windows-1252 for latin1: what it calls controls are quotes and
# dashes in every file that has them (WHATWG's Encoding Standard does the same).
INPUTENC = {
    "latin1": "cp1252", "ansinew": "cp1252", "cp1252": "cp1252", "latin9": "iso8859-15", "latin2": "iso8859-2",
    "latin3": "iso8859-3", "latin4": "iso8859-4", "latin5": "iso8859-9", "latin10": "iso8859-16", "cp1250": "cp1250",
    "cp1251": "cp1251", "cp1257": "cp1257", "cp850": "cp850", "cp852": "cp852", "cp437": "cp437", "cp865": "cp865",
    "cp866": "cp866", "koi8-r": "koi8-r", "koi8-u": "koi8-u", "applemac": "mac-roman", "macce": "mac-latin2",
    "iso88595": "iso8859-5",
}  # fmt: skip
_DECLARED = re.compile(
    rb"\\(?:usepackage[ \t]{0,9}\[([^\]\n]{1,100})\][ \t]{0,9}\{inputenc\}|inputencoding\{([^}\n]{1,100})\})"
)
_NO_TEXT = (b"%PDF-", b"%!PS", b"\x89PNG", b"\xff\xd8\xff", b"PK\x03\x04", b"\x1f\x8b", b"GIF8")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_TEX = re.compile(r"\\(?:documentclass|documentstyle|begin[ \t]{0,9}\{document\}|input|magnification|bye)(?![a-zA-Z])")


def any_encoding(doc: Document) -> Document | Drop:
    """Decode ``doc.work["sources"]`` from ``list[bytes]`` to ``list[str]``, each by itself.

    A byte order mark counts, then UTF-8, then what inputenc declares in the file or else in another of the paper, then
    Windows-1252; the five bytes that it lacks are those of Latin-1. A file that is no text (PDF, PostScript, a picture,
    zero bytes) is left out, with its name; a single source without a name must look like TeX. ``meta["encoding"]`` says
    what was found, where something else than UTF-8 was. Drops a paper of which nothing is left as ``not_tex``.
    """
    sources: list[bytes] = doc.work["sources"]
    names: list[str] = doc.work.get("names") or [""] * len(sources)
    elsewhere = functools.cache(lambda: next(filter(None, map(declared, sources)), None))  # seldom asked for
    kept: list[tuple[str, str]] = []
    found: dict[str, None] = {}
    for name, source in zip(names, sources, strict=True):
        decoded = decode(source, elsewhere)
        if decoded is None or not (name or _TEX.search(decoded[0])):
            continue
        kept.append((name, decoded[0]))
        if decoded[1] != "utf-8":
            found[decoded[1]] = None
    if sources and not kept:
        return Drop("not_tex", f"{len(sources)} files, none is TeX", "one")
    doc.work["names"] = [name for name, _ in kept]
    doc.work["sources"] = [text for _, text in kept]
    if found:
        doc.meta["encoding"] = ", ".join(found)
    return doc


def declared(data: bytes) -> str | None:
    """The codec of the encoding that a source declares, if it is known here."""
    match = _DECLARED.search(data)
    if match is None:
        return None
    options = (match[1] or match[2]).decode("ascii", "replace").split(",")
    return next((INPUTENC[option.strip()] for option in options if option.strip() in INPUTENC), None)


def nothing() -> None:
    """What a source declares that stands alone."""


def decode(data: bytes, elsewhere: Callable[[], str | None] = nothing) -> tuple[str, str] | None:
    """A source as text, and by which codec; None when it is no text. ``elsewhere`` gives what another one declares."""
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace"), codec
    if data.startswith(_NO_TEXT) or b"\0" in data:
        return None
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        codec = declared(data) or elsewhere() or "cp1252"
    if codec == "cp1252":
        return data.decode("cp1252", "latin1_for_undefined"), codec
    return data.decode(codec, "replace"), codec


def _latin1(error: UnicodeError) -> tuple[str, int]:
    """The five bytes that Windows-1252 does not define, as Latin-1 has them."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("latin1_for_undefined", _latin1)
