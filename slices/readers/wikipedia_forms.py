"""The files that a Wikipedia dump comes in, by their names, and which of them may be read together.

One dump is published in several forms, each with all of its pages: in one file, in parts, each plain or multistream;
and users have unpacked or packed again what they fetched. Two of them in one run are every page twice.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from redpajama_data.errors import UsageError
from redpajama_data.io.storage import RawFile, without_query

ENDINGS = ("bz2", "gz", "zst", "7z", "xz")  # xz is read by nobody here: the file is named instead of passed over
PATTERNS = (
    *(f"*wiki-*-pages-articles*.xml*.{ending}" for ending in ENDINGS),
    "*wiki-*-pages-articles.xml",
    "*wiki-*-pages-articles*[!s].xml",  # -multistream.xml, 1.xml, but not the .xml.bz2-rss.xml of a latest/ folder
    "*wiki-*-pages-articles*.xml-p*[0-9]",  # a part without its compression
)
_NAME = re.compile(r"([a-z][a-z0-9_-]*?)wiki-(?:(\d{8})(?!\d))?")
_FORM = re.compile(
    r"(?P<wiki>[a-z][a-z0-9_-]*?wiki)-(?P<date>\w+)-pages-articles(?:-multistream)?(?P<part>\d*)\.xml"
    rf"(?:-p0*(?P<first>\d+)p0*(?P<last>\d+))?(?:\.(?:{'|'.join(ENDINGS)}))?",
    re.IGNORECASE,
)


def _base(path: str) -> str:
    return without_query(path).rpartition("/")[2]


def dump_name(path: str) -> tuple[str, str | None] | None:
    """Language and date (None without one) from a dump's file name, or None when it has no language.

    >>> dump_name("raw/zh_min_nanwiki-20230320-pages-articles.xml.bz2")
    ('zh-min-nan', '20230320')
    """
    found = _NAME.match(_base(path))
    return (found[1].replace("_", "-"), found[2]) if found else None


class _Form(NamedTuple):
    """A file of a dump: its part's number and page ids, as far as the name has them (no number: the whole dump)."""

    path: str
    bytes: int
    date: str
    part: str
    first: int
    last: int

    def shares_pages_with(self, other: _Form) -> bool:
        """Whether both hold the same pages: a whole dump and anything of it, parts of the same number or of page ids
        that overlap."""
        if not self.part or not other.part:
            return True
        if self.last and other.last:
            return self.first <= other.last and other.first <= self.last
        return self.part == other.part


def copies(inputs: Sequence[RawFile]) -> dict[str, str]:
    """Of files of one name and size in several folders, all but the first path, with the first."""
    first: dict[tuple[str, int], str] = {}
    return {
        raw.path: taken
        for raw in inputs
        if _FORM.fullmatch(_base(raw.path))
        and (taken := first.setdefault((_base(raw.path), raw.bytes), raw.path)) != raw.path
    }


def refuse_two_forms(inputs: Iterable[RawFile], languages: Sequence[str], named: Sequence[str]) -> None:
    """Raise :class:`UsageError` where files that will be read hold the same pages, or those of two dates of a wiki.

    Looked at are names as dumps.wikimedia.org gives them, of ``languages`` (empty: all) or among the ``named`` files;
    copies (:func:`copies`) do not count.
    """
    wikis: dict[str, list[_Form]] = {}
    for path, size, _ in inputs:
        found, name = _FORM.fullmatch(_base(path)), dump_name(path)
        if found and (path in named or not languages or (name and name[0] in languages)):
            numbers = int(found["first"] or 0), int(found["last"] or 0)
            part = found["part"] or ("p" if found["last"] else "")
            wikis.setdefault(found["wiki"], []).append(_Form(path, size, found["date"], part, *numbers))
    for wiki, forms in wikis.items():
        for one, other in itertools.combinations(forms, 2):
            if one.date != other.date:
                raise UsageError(
                    f"two dates of {wiki} among the inputs, so most pages would be published twice: {one.path} and "
                    f"{other.path}. Give one date: --input '.../{wiki}-{one.date}-*'."
                )
            if one.shares_pages_with(other) and (_base(one.path), one.bytes) != (_base(other.path), other.bytes):
                raise UsageError(
                    f"two forms of one dump among the inputs, so pages would be published twice: {one.path} and "
                    f"{other.path}. Give one form, for example --input {one.path}, or move the other away."
                )
