"""A small table of Wikipedia's templates that stand inside sentences, rendered: without them the sentence has a hole.

All other templates vanish as published. Names are those of the English Wikipedia; many others have the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from redpajama_data.document import Document

MAX_CHARS = 2000  # of a template from its first brace to its last; longer ones are no part of a sentence
MAX_DEPTH = 10  # templates inside each other
MAX_BROKEN = 100  # templates without an end, after which the rest of a page is left: bounds the time
Arguments = tuple[list[str], dict[str, str]]  # those without a name, and those with one

_UNITS = {
    "km2": "km²", "m2": "m²", "cm2": "cm²", "sqmi": "sq mi", "sqft": "sq ft", "sqkm": "km²", "sqm": "m²", "m3": "m³",
    "km3": "km³", "cuft": "cu ft", "cumi": "cu mi", "kph": "km/h", "C": "°C", "F": "°F",
    "C-change": "°C", "F-change": "°F", "oilbbl": "bbl", "impgal": "imp gal",
    "usgal": "US gal", "nmi": "nautical miles", "long ton": "long tons", "foot": "ft", "inch": "in", "mile": "mi",
}  # fmt: skip
_BETWEEN = {
    "to": " to ", "and": " and ", "or": " or ", "by": " by ", "x": " × ", "xx": " × ", "×": " × ", "-": "–", "–": "–",
    "to(-)": " to ", "and(-)": " and ", "+/-": " ± ", "±": " ± ", "to about": " to about ", "*": " × ",
}  # fmt: skip
_SMALLER = {"ft": "in", "mi": "yd", "st": "lb", "lb": "oz"}  # units of which the second may follow the first
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NUMBER = re.compile(r"[-−+]?[0-9][0-9.,/+]*(?:e[0-9]+)?")


def convert(given: Arguments) -> str:
    """A measure in its own unit: ``{{convert|72|to|80|km|mi}}`` is ``72 to 80 km``. The other unit is left out."""
    plain, named = given
    words = iter([each.strip() for each in plain])
    text = next(words, "")
    if not _NUMBER.fullmatch(text):
        return ""
    unit = next(words, "")
    while unit in _BETWEEN:
        text += _BETWEEN[unit] + next(words, "")
        unit = next(words, "")
    joint = "-" if named.get("adj", "").strip() in ("on", "mid") else " "
    text += joint + _UNITS.get(unit, unit) if unit else ""
    more, smaller = next(words, ""), next(words, "")
    if smaller and _SMALLER.get(unit) == smaller and _NUMBER.fullmatch(more):
        text += joint + more + joint + smaller
    return text


def argument(number: int) -> Callable[[Arguments], str]:
    """Gives the argument of that number, from 0."""

    def text(given: Arguments) -> str:
        plain, named = given
        return named.get(str(number + 1), plain[number] if number < len(plain) else "").strip()

    return text


def constant(text: str) -> Callable[[Arguments], str]:
    """Gives this text, whatever the arguments."""
    return lambda given: text


def transliteration(given: Arguments) -> str:
    """``{{transl|ar|ALA|alif}}`` is ``alif``: a standard may be named before the text."""
    return given[0][-1].strip() if len(given[0]) > 1 else ""


def nihongo(given: Arguments) -> str:
    """``{{nihongo|Tokyo|東京|Tōkyō}}`` is ``Tokyo (東京, Tōkyō)``."""
    name, *rest = [each.strip() for each in given[0][:4]] or [""]
    behind = ", ".join(each for each in rest if each)
    return f"{name} ({behind})".strip() if behind else name


def circa(given: Arguments) -> str:
    """``{{circa|1809}}`` is ``c. 1809``."""
    return " – ".join(f"c. {each.strip()}" for each in given[0][:2] if each.strip()) or "c."


def as_of(given: Arguments) -> str:
    """``{{as of|2010|5}}`` is ``As of May 2010``."""
    plain, named = given
    if named.get("alt", "").strip():
        return named["alt"].strip()
    year, month, day = [*(each.strip() for each in plain[:3]), "", "", ""][:3]
    if month.isdecimal() and 1 <= int(month) <= 12:
        month = _MONTHS[int(month) - 1]
    word = "as of" if named.get("lc", "").strip() else "As of"
    return " ".join(each for each in (word, day, month, year) if each)


def frac(given: Arguments) -> str:
    """``{{frac|3|1|2}}`` is ``3 1/2``, ``{{frac|2}}`` is ``1/2``."""
    parts = [each.strip() for each in given[0][:3]]
    return {0: "", 1: "1/{}", 2: "{}/{}", 3: "{} {}/{}"}[len(parts)].format(*parts)


TEMPLATES: dict[str, Callable[[Arguments], str]] = {
    **dict.fromkeys(("convert", "cvt"), convert),
    **dict.fromkeys(("lang", "langx"), argument(1)),
    **dict.fromkeys(("transl", "transliteration"), transliteration),
    **dict.fromkeys(("nowrap", "nobr", "nobold", "small", "large", "abbr", "ill", "interlanguage link"), argument(0)),
    **dict.fromkeys(("nihongo", "nihongo2"), nihongo),
    **dict.fromkeys(("circa", "c.", "ca."), circa),
    **dict.fromkeys(("frac", "fraction", "sfrac"), frac),
    **dict.fromkeys(("snd", "spnd", "spaced ndash", "spaced en dash"), constant(" – ")),
    **dict.fromkeys(("ndash", "en dash"), constant("–")),
    **dict.fromkeys(("mdash", "em dash"), constant("—")),
    "as of": as_of,
    "nbsp": constant("\u00a0"),
}
"""What becomes of a template, by its name in small letters. ``lang-fr`` and its like give their first argument."""

_NAMES = "|".join(sorted((re.escape(name).replace(r"\ ", "[ _]") for name in TEMPLATES), reverse=True))
_OPENED = re.compile(rf"\{{\{{[ \n]*({_NAMES}|lang-[a-z-]{{2,20}})[ \n]*(?=\||\}}\}})", re.IGNORECASE)
_MARK = re.compile(r"\{\{|\}\}|\[\[|\]\]|\|")
_NAMED = re.compile(r"\s*([a-z0-9_ -]{1,20}?)\s*=(.*)", re.IGNORECASE | re.DOTALL)


def render_templates(doc: Document) -> Document:
    """Put the text of the templates of :data:`TEMPLATES` into ``doc.text`` (wikitext), to :data:`MAX_DEPTH` of them
    inside each other. A template that is longer than :data:`MAX_CHARS` or has no end is left as it is."""
    if "{{" in doc.text:
        doc.text = rendered(doc.text, MAX_DEPTH)
    return doc


def rendered(text: str, depth: int) -> str:
    """The wikitext with its templates of the table rendered, ``depth`` levels of them."""
    out: list[str] = []
    done = broken = 0
    while broken < MAX_BROKEN and (opened := _OPENED.search(text, done)):
        found = _parts(text, opened.end())
        if found is None:
            out.append(text[done : opened.end()])
            done, broken = opened.end(), broken + 1
            continue
        parts, end = found
        out.append(text[done : opened.start()])
        if depth > 1:
            parts = [rendered(part, depth - 1) if "{{" in part else part for part in parts]
        name = opened[1].lower().replace("_", " ")
        out.append(TEMPLATES.get(name, argument(0))(_arguments(parts)))
        done = end
    return "".join([*out, text[done:]])


def _parts(text: str, start: int) -> tuple[list[str], int] | None:
    """What stands between the bars of a template whose name ends at ``start``, and where the template ends."""
    parts: list[str] = []
    depth, begin = 0, -1
    for mark in _MARK.finditer(text, start, start + MAX_CHARS):
        kind = mark[0]
        if kind == "|":
            if not depth:
                if begin >= 0:
                    parts.append(text[begin : mark.start()])
                begin = mark.end()
        elif kind in ("{{", "[["):
            depth += 1
        elif depth:
            depth -= 1
        elif kind == "}}":
            return ([*parts, text[begin : mark.start()]] if begin >= 0 else parts), mark.end()
    return None


def _arguments(parts: list[str]) -> Arguments:
    plain: list[str] = []
    named: dict[str, str] = {}
    for part in parts:
        found = _NAMED.fullmatch(part) if "=" in part else None
        if found:
            named[found[1].lower()] = found[2]
        else:
            plain.append(part)
    return plain, named
