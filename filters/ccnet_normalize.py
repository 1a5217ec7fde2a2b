"""CCNet's two normalisations: of a line before it is hashed, of a document before the language model reads it.

Source: RedPajama-Data-1T, cc_net (text_normalizer, as both dedup and perplexity use it).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

# What the published table turns each punctuation mark into. It also maps U+FF11, the full-width digit one, to a
# quotation mark; digits are zeroed before, so that entry never acts (as published).
_PUNCTUATION = {
    "，": ",", "。": ".", "、": ",", "„": '"', "”": '"', "“": '"', "«": '"', "»": '"', "１": '"', "」": '"',
    "「": '"', "《": '"', "》": '"', "´": "'", "∶": ":", "：": ":", "？": "?", "！": "!", "（": "(", "）": ")",
    "；": ";", "–": "-", "—": " - ", "．": ". ", "～": "~", "’": "'", "…": "...", "━": "-", "〈": "<", "〉": ">",
    "【": "[", "】": "]", "％": "%", "►": "-",
}  # fmt: skip
CAPITAL_SIGMA = 0x3A3
GLYPH_BYTES = 15  # the most that the kernel takes for a character
CONTEXTUAL = 0xFF
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
_DIGIT = re.compile(r"\d")
_DELETED = {**dict.fromkeys(_CONTROLS), **dict.fromkeys(map(ord, _PUNCTUATION))}
_ASCII = bytes(ord("0") if 48 <= code <= 57 else code + 32 if 65 <= code <= 90 else code for code in range(256))
_ASCII_CONTROLS = bytes(code for code in _CONTROLS if code < 0x80)


class _Replacements(dict[int, str | None]):
    """What becomes of a character of lower-cased, decomposed text; filled as characters are met."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        new: str | None
        if unicodedata.category(char) == "Mn" or code in _CONTROLS:
            new = None
        elif _DIGIT.match(char):
            new = "0"
        else:
            new = _PUNCTUATION.get(char, char)
        self[code] = new
        return new


_REPLACEMENTS = _Replacements()


def line_key(line: str) -> str:
    """What counts when lines are compared: stripped, lower case, digits as 0, no marks of the table, no controls.

    ASCII punctuation, accents and inner white space stay, and white space that is bare after the deletion is not
    stripped again (as published).
    """
    line = line.strip()
    if not line:
        return ""
    return _DIGIT.sub("0", line.lower()).translate(_DELETED)


def line_hash(line: str) -> int:
    """The 64-bit value two equal lines share: the first 8 bytes of the SHA-1 of :func:`line_key`, little-endian.

    The plain definition; ``filters._native.line_hashes`` does whole documents.
    """
    return int.from_bytes(hashlib.sha1(line_key(line).encode(), usedforsecurity=False).digest()[:8], "little")


def normalize(text: str) -> str:
    """A document as the language model reads it: one line, lower case, without accents, digits as 0, plain punctuation.

    The newlines are controls and go like these, so the last word of a paragraph and the first of the next are one word
    (as published). The result stays decomposed (NFD).
    """
    text = text.strip()
    if text.isascii():
        return _normalize_ascii(text)
    # Line by line: a newline is a border to lower() and to NFD, and most lines take the quick way (36 to 11 MB/s).
    return "".join([_normalize_ascii(line) if line.isascii() else _normalize_any(line) for line in text.split("\n")])


def _normalize_ascii(text: str) -> str:
    return text.encode("ascii").translate(_ASCII, _ASCII_CONTROLS).decode("ascii")


def _normalize_any(text: str) -> str:
    return unicodedata.normalize("NFD", text.lower()).translate(_REPLACEMENTS)


def glyph_page(page: int) -> bytes:
    """What :func:`normalize` makes of each of 256 characters, from ``256 * page`` on, for ``filters/_perplexity.c``.

    16 bytes each: a size, then so many bytes of UTF-8. The size is :data:`CONTEXTUAL` for a character that becomes
    something else beside others, so that normalize() has to see the whole text: the capital sigma, by its place in the
    word; what is put into another order among marks and is not deleted with them; surrogates, which have no UTF-8.
    """
    return b"".join(map(_glyph, range(256 * page, 256 * page + 256)))


def _glyph(code: int) -> bytes:
    decomposed = unicodedata.normalize("NFD", chr(code).lower())
    kept = [char for char in decomposed if _REPLACEMENTS[ord(char)] is not None]
    contextual = code == CAPITAL_SIGMA or 0xD800 <= code < 0xE000 or any(map(unicodedata.combining, kept))
    text = b"" if contextual else decomposed.translate(_REPLACEMENTS).encode()
    size = CONTEXTUAL if contextual or len(text) > GLYPH_BYTES else len(text)
    return bytes([size]) + text[:GLYPH_BYTES].ljust(GLYPH_BYTES, b"\0")
