"""Every reference URL of a Wikipedia dump: the repair of :mod:`redpajama_data.training.references`, which reads plain
``<ref>`` elements line by line and cuts addresses at their ``&``.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Iterator

from redpajama_data.document import Document
from redpajama_data.errors import BrokenInput
from slices.readers.wikipedia_dump import read_pages
from slices.readers.wikipedia_forms import dump_name

_OPENING = re.compile(r"<ref(?=[\s/>])([^<>]*)>", re.IGNORECASE)
_CLOSING = re.compile(r"</ref\s{0,9}>", re.IGNORECASE)
_COMMENT = ("<!--", "-->")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
_URL = re.compile(r"(?:https?|ftp)://[^\s<>\[\]{}|\\^`\"]+", re.IGNORECASE)
_TRAILING = ".,;:!?'"  # MediaWiki lets them end no address; the apostrophe is its mark of italics
_ARCHIVED = re.compile(
    r"https?://(?:[a-z-]{1,20}\.)?archive\.org/(?:web/)?(?:[0-9]{4,14}[*]?|[*])[a-z_]{0,4}/", re.IGNORECASE
)
_SCHEME = re.compile(r"(https?|ftp):/{1,3}", re.IGNORECASE)


def extract_every_reference(path: str) -> Iterator[str]:
    """The URLs of the references of a dump's articles, each once, in the order of the dump, page by page.

    A reference is all between ``<ref ...>`` and ``</ref>``, whatever its attributes, case and lines; not in comments.
    Of a page in an archive, the page's own address is given (:func:`reference_urls`). Holds 100 bytes for each of them:
    4 GB for the English Wikipedia. Raises :class:`BrokenInput` at the end for a dump that is damaged somewhere; what
    can be read was given out.
    """
    language = (dump_name(path) or ("",))[0]
    broken: BrokenInput | None = None
    seen: set[bytes] = set()
    for page in read_pages(path, language=language, timestamp=""):
        if isinstance(page, BrokenInput):
            broken = page
        if not isinstance(page, Document):
            continue
        for url in reference_urls(page.text):
            digest = hashlib.blake2b(url.encode("utf-8", "replace"), digest_size=8).digest()
            if digest not in seen:
                seen.add(digest)
                yield url
    if broken is not None:
        raise broken


def reference_urls(wikitext: str) -> Iterator[str]:
    """The URLs inside the references of a page, repeats included. Entities are read before, so that ``&amp;`` is part
    of an address; ``. , ; : ! ? '`` at the end are none, nor is a ``)`` without its ``(``. An address of the Wayback
    Machine is that of the page it holds."""
    for reference in references(wikitext):
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), reference)
        for match in _URL.finditer(text):
            yield from _cleaned(match[0])


def references(wikitext: str) -> Iterator[str]:
    """What stands between ``<ref ...>`` and the next ``</ref>``, in order, without comments. Linear in the text."""
    text = "".join(_without_comments(wikitext))
    at = 0
    while opening := _OPENING.search(text, at):
        at = opening.end()
        if opening[1].endswith("/"):
            continue
        closing = _CLOSING.search(text, at)
        if closing is None:
            return
        yield text[at : closing.start()]
        at = closing.end()


def _without_comments(text: str) -> Iterable[str]:
    at = 0
    while (begin := text.find(_COMMENT[0], at)) >= 0:
        yield text[at:begin]
        end = text.find(_COMMENT[1], begin)
        if end < 0:  # to the end of the page, as MediaWiki has it
            return
        at = end + len(_COMMENT[1])
    yield text[at:]


def _cleaned(url: str) -> Iterator[str]:
    """The address, of the page itself; nothing when no host is left."""
    at = 0
    while archived := _ARCHIVED.match(url, at):  # at times an archive of an archive
        at = archived.end()
    if at:
        scheme = _SCHEME.match(url, at)
        url = f"{scheme[1].lower()}://{url[scheme.end() :]}" if scheme else f"http://{url[at:]}"
    url = url.rstrip(_TRAILING)
    if url.endswith(")") and "(" not in url:
        url = url.rstrip(f"){_TRAILING}")
    if not url.endswith((":/", "/:")) and url.partition("//")[2]:
        yield url
