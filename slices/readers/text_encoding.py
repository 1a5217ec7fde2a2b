"""The character set of a book's text file: what it declares is often wrong, so its bytes have the last word.

    byte order mark ─► UTF-16 by its zeros ─► UTF-8, also with a few bad bytes ─► a declared set that is not Western
    ─► the Western set (Windows-1252, code page 850 and 437, Mac) whose letters and marks stand where such belong
    ─► only for text that is mostly not ASCII, or in a language of another set: the detector (charset-normalizer)

A text in ASCII with some bytes above it is never taken for Central European by a guess.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from itertools import islice

HEAD = 60_000  # bytes in which a declaration stands
_SAMPLE = 1 << 18  # bytes shown to the detector: enough for its statistics, and its time does not grow with the book
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(
    rb"^[ \t*\[]{0,4}(?:Character ?set(?: encoding)?|Character encoding|Charset|Encoding)[ \t]*[:=]"
    rb"[ \t]*([^\r\n\]]{2,60})",
    re.MULTILINE | re.IGNORECASE,
)
_LANGUAGE = re.compile(rb"^Language:[ \t]*([A-Za-z]{2,20})", re.MULTILINE | re.IGNORECASE)
# Languages that no Western set can write, as headers call them.
_CENTRAL_LANGUAGES = ("czech", "polish", "hungarian", "slovak", "slovenian", "slovene", "croatian", "romanian")
_OTHER_LANGUAGES: dict[str, tuple[str, ...]] = {  # and the sets to try before the detector
    **dict.fromkeys(("serbian", "bulgarian", "russian", "ukrainian", "greek", "hebrew", "yiddish", "arabic"), ()),
    **dict.fromkeys(("persian", "turkish", "thai", "esperanto", "lithuanian", "latvian", "estonian"), ()),
    "japanese": ("euc_jp", "shift_jis", "cp932"),
    "chinese": ("gb2312", "big5", "gb18030"),
    "korean": ("euc_kr", "cp949"),
}
_NAMES: tuple[tuple[str, str], ...] = (  # what headers call a set, beside the names that Python knows
    (r"utf-?8|unicode utf", "utf-8"),
    (r"(?:code ?page|cp|ibm|dos|ms-?dos|oem)[- _#]*(437|850|852|866)", r"cp\1"),
    (r"(?:windows|win|cp|code ?page|ansi)[-_ ]*(?:code ?page|cp)?[-_ ]*(125\d)", r"cp\1"),
    (r"mac(?:[- _]?os)?[- _]?roman|macintosh|apple", "mac_roman"),
    (r"i[sd]o[- _]*8859[- _]+(1[0-6]|[1-9])(?!\d)", r"iso8859_\1"),
    (r"i[sd]o[- _]*latin[- _]*1|latin[- _]*1", "iso8859_1"),
    (r"i[sd]o[- _]*latin[- _]*2|latin[- _]*2", "iso8859_2"),
    (r"big[- _]?5", "big5"),
)
_PLAIN_CODEC = re.compile(r"iso8859-\d+|cp\d+|mac-roman|koi8-[ru]|big5|gb\d+|gbk|shift_jis|euc_(jp|kr)|tis-620")
_WESTERN = ("cp1252", "cp850", "cp437", "mac_roman")  # of equals the first
_CENTRAL = ("cp1250", "iso8859-2", "cp852")
_LIKE_WESTERN = frozenset({"iso8859-1", "iso8859-15", "cp1252", "cp850", "cp437", "cp858", "mac-roman"})
_MOST_BYTES = 4000  # bytes above ASCII that are weighed
_MOST_SEQUENCES = 100_000
_MOSTLY = 0.25  # share of them among the letters around: Western text stays below 0.12, Greek and Cyrillic above 0.5

# How much a letter or mark speaks for a set where it stands as it should: frequent ones more than rare ones.
_LOWER = {
    **dict.fromkeys("àáâäçèéêëíîïñóôöúüßąćęłńśźżčěňřůőűăşţ", 3),
    **dict.fromkeys("ãåæìòõøùûœďťľĺŕđ", 2),
    **dict.fromkeys("ðþýÿšž", 1),
}
_UPPER = frozenset("".join(_LOWER).upper().replace("SS", ""))
_OPENING, _CLOSING = frozenset("“‘«¿¡„‹‚"), frozenset("”’»›")
_AFTER_NUMBER = frozenset("½¼¾°²³¹¢‰")
_BEFORE_NUMBER = frozenset("£¥§€±")
_NOT_INSIDE = frozenset("…†‡•ºª¶·©®™×÷µ¸´¨¯¬¦¤")  # between letters they are wrong


def decode_text(data: bytes) -> tuple[str, str]:
    """The text of a book and the name of the character set it was read with. Never fails, never yields a lone
    surrogate.

    A single byte that is no UTF-8 in a text that is, is read as Windows-1252, which is where such bytes come from; a
    sequence that was cut, and a byte that a set lacks, become U+FFFD.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace" if encoding != "utf-8-sig" else _STRAY), encoding
    encoding = _zeros(data)
    if encoding:
        return data.decode(encoding, "replace"), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    declared = declared_set(data[:HEAD])
    if _is_utf8(data, declared == "utf-8"):
        return data.decode("utf-8", _STRAY), "utf-8"
    if declared not in ("", "utf-8", "ascii") and declared not in _LIKE_WESTERN:
        try:
            return data.decode(declared), declared
        except UnicodeError:
            declared = ""
    found = _LANGUAGE.search(data[:HEAD])
    language = found[1].decode("ascii").lower() if found else ""
    if declared in _LIKE_WESTERN:
        encoding = _fitting(data, declared, _WESTERN)
        return data.decode(encoding, "replace"), encoding
    if language in _CENTRAL_LANGUAGES:
        encoding = _fitting(data, "", _CENTRAL)
        return data.decode(encoding, "replace"), encoding
    if language in _OTHER_LANGUAGES or _mostly_not_ascii(data):
        for encoding in (*_OTHER_LANGUAGES.get(language, ()), *_detected(data)):
            try:
                return data.decode(encoding), encoding
            except UnicodeError:
                pass
    encoding = _fitting(data, "", _WESTERN)
    return data.decode(encoding, "replace"), encoding


def declared_set(head: bytes) -> str:
    """Python's name of the character set that a header declares, when it is a plain one (no utf-7, no escapes), else
    ""."""
    found = _DECLARED.search(head)
    if not found:
        return ""
    said = found[1].decode("ascii", "replace").strip().strip("()").lower()
    for pattern, name in _NAMES:
        match = re.search(pattern, said)
        if match:
            return _codec(match.expand(name))
    return _codec(re.split(r"[\s,;(]", said)[0])


def _codec(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return ""
    return found if found in ("utf-8", "ascii") or _PLAIN_CODEC.fullmatch(found) else ""


def _zeros(data: bytes) -> str:
    """UTF-16 without its mark: a text in which every other byte is zero."""
    head = data[:4096]
    half = len(head) // 2
    if half >= 8 and head[1::2].count(0) > 0.7 * half and not head[::2].count(0):
        return "utf-16-le"
    if half >= 8 and head[::2].count(0) > 0.7 * half and not head[1::2].count(0):
        return "utf-16-be"
    return ""


# ------------------------------------------------------------------------------------------------ UTF-8


def _stray(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    found = error.object[error.start : error.end]
    return (found.decode("cp1252", "replace") if len(found) == 1 else "\ufffd"), error.end


_STRAY = "slices.readers.text_encoding.stray"
codecs.register_error(_STRAY, _stray)
_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|([\x80-\xff])", re.DOTALL
)


def _is_utf8(data: bytes, declared: bool) -> bool:
    """True when the sequences that are UTF-8 outnumber the bytes that are not: two to one, or, when the text says that
    it is, at all. Other sets make a sequence by chance about once in 50 letters."""
    good = bad = 0
    for found in islice(_SEQUENCE.finditer(data), _MOST_SEQUENCES):
        if found[1] is None:
            good += 1
        else:
            bad += 1
    return good >= (1 if declared else 2) * bad


# ------------------------------------------------------------------------------------------------ Western


@lru_cache
def _letters(encoding: str) -> list[str]:
    return [bytes([byte]).decode(encoding, "replace") for byte in range(256)]


def _fitting(data: bytes, declared: str, candidates: tuple[str, ...]) -> str:
    """The set in which most bytes above ASCII make sense where they stand; of equals the declared one, then the first
    candidate. ISO-8859-1 is Windows-1252 without the marks between 0x80 and 0x9F."""
    places = [found.start() for found in islice(re.finditer(rb"[\x80-\xff]", data), _MOST_BYTES)]
    names = [declared, *candidates] if declared and declared != "iso8859-1" else list(candidates)
    scores = {name: _sense(data, places, _letters(name)) for name in dict.fromkeys(names)}
    best = max(scores, key=lambda name: scores[name])  # the first of equals
    if scores[best] - scores[names[0]] < 2:
        best = names[0]
    latin1 = best == "cp1252" and declared == "iso8859-1" and not re.search(rb"[\x80-\x9f]", data)
    return declared if latin1 else best


def _sense(data: bytes, places: list[int], letters: list[str]) -> int:
    total = 0
    for place in places:
        before = letters[data[place - 1]] if place else " "
        after = letters[data[place + 1]] if place + 1 < len(data) else " "
        total += _fits(letters[data[place]], before, after)
    return total


def _fits(mark: str, before: str, after: str) -> int:
    """Above 0 where a mark makes sense between its neighbours, 0 where it may, below where it does not."""
    inside = before.isalpha() and after.isalpha()
    if mark in _LOWER:
        if before.isdigit() or after.isdigit() or (after.isupper() and not before.islower()) or before in ".,!?":
            return -2
        return _LOWER[mark] if before.isalpha() or after.isalpha() else 2
    if mark in _UPPER:
        if before.islower() or before.isdigit() or after.isdigit():
            return -2
        return 2 if before.isalpha() or after.isalpha() else 0
    if mark in _OPENING:
        return -2 if before.isalnum() else 3 if after.isalnum() or after in _OPENING else 0
    if mark in _CLOSING:
        return 3 if mark == "’" and before.isalpha() else -2 if after.isalnum() else 0 if before.isspace() else 3
    if mark in "–—":
        return (3 if mark == "—" else 0) if inside else 3 if before.isspace() == after.isspace() else 0
    if mark in _AFTER_NUMBER:
        return -2 if before.isalpha() or after.isalpha() else 3
    if mark in _BEFORE_NUMBER:
        return -2 if before.isalpha() else 3 if after.isdigit() or after.isspace() else 0
    if mark in _NOT_INSIDE:
        return -2 if inside else 2
    return 0 if mark in "\u00a0\u00ad" else -4


# ------------------------------------------------------------------------------------------------ the others


def _sample(data: bytes) -> bytes:
    unusual = re.search(rb"[\x80-\xff]", data)
    start = max(0, (unusual.start() if unusual else 0) - 1000)
    return data[start : start + _SAMPLE]


def _mostly_not_ascii(data: bytes) -> bool:
    """True where bytes above ASCII are a good part of the letters of the lines that have any."""
    lines = [line for line in _sample(data).splitlines() if re.search(rb"[\x80-\xff]", line)]
    text = b"\n".join(lines)
    high = len(re.findall(rb"[\x80-\xff]", text))
    return high >= 20 and high > _MOSTLY * (high + len(re.findall(rb"[A-Za-z]", text)))


def _detected(data: bytes) -> list[str]:
    """The detector's guesses, best first, of the sets that are not Western."""
    from charset_normalizer import from_bytes

    found = from_bytes(_sample(data), cp_exclusion=[*_WESTERN, "latin_1", "cp1254", "iso8859_15", "utf_7"])
    names = [_codec(match.encoding) for match in found]
    return [name for name in names if name not in ("", "ascii", "utf-8") and name not in _LIKE_WESTERN]
