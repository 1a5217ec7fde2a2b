"""The Wikipedia dumps of the sample: English as multistream bz2 with its index, German as one stream.

Raw form: MediaWiki export 0.10. A multistream dump is a bz2 stream with the head, streams of (here twelve) pages and a
stream with the closing tag; the index has a line ``offset:page id:title`` for every page.
"""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from redpajama_data.sample.planted import Planted
from redpajama_data.sample.prose import Chance
from redpajama_data.sample.shared_pages import PAGES
from redpajama_data.sample.wikipedia_articles import english_article, german_article, odd_english, odd_german

DATE = "20230320"
PAGES_A_STREAM = 12

PLANTED: tuple[Planted, ...] = (
    Planted("English redirect pages", 4, "redirect"),
    Planted("German redirect pages", 2, "redirect"),
    Planted("English pages outside namespace 0 (Talk, User, Template, Category)", 4, "not_article"),
    Planted("German pages outside namespace 0 (Diskussion, Vorlage)", 2, "not_article"),
    Planted("English pages without text: empty element, no text element", 2, "no_text"),
    Planted(
        "English pages with nothing left: only a template, only a table, only a file and a comment", 3, "not_empty"
    ),
    Planted('English page with "#REDIRECT" in the text but no redirect element: stays', 1, ""),
    Planted("English and German disambiguation pages", 2, ""),
    Planted("markup left open, nested templates, interwiki and category links, magic words", 5, ""),
    Planted("titles with characters that a url must quote", 3, ""),
    Planted("English articles that C4 has too", 2, ""),
)

_SITES = {
    "en": (
        "Wikipedia",
        "Main_Page",
        {0: "", 1: "Talk", 2: "User", 4: "Wikipedia", 6: "File", 10: "Template", 14: "Category"},
    ),
    "de": (
        "Wikipedia",
        "Wikipedia:Hauptseite",
        {0: "", 1: "Diskussion", 2: "Benutzer", 4: "Wikipedia", 6: "Datei", 10: "Vorlage", 14: "Kategorie"},
    ),
}


class Page(NamedTuple):
    """A page of the dump; ``text`` None has no text element, "" an empty one; ``redirect`` is the target or ""."""

    title: str
    text: str | None
    namespace: int = 0
    redirect: str = ""


def head(language: str) -> str:
    """What stands before the first page."""
    name, main, spaces = _SITES[language]
    space = "http://www.mediawiki.org/xml/export-0.10/"
    namespaces = "".join(
        f'      <namespace key="{key}" case="first-letter"' + (f">{label}</namespace>\n" if label else " />\n")
        for key, label in spaces.items()
    )
    return (
        f'<mediawiki xmlns="{space}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{space} http://www.mediawiki.org/xml/export-0.10.xsd" '
        f'version="0.10" xml:lang="{language}">\n'
        f"  <siteinfo>\n    <sitename>{name}</sitename>\n    <dbname>{language}wiki</dbname>\n"
        f"    <base>https://{language}.wikipedia.org/wiki/{main}</base>\n"
        "    <generator>MediaWiki 1.40.0-wmf.26</generator>\n    <case>first-letter</case>\n"
        f"    <namespaces>\n{namespaces}    </namespaces>\n  </siteinfo>\n"
    )


def _xml(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def page_xml(page: Page, number: int, chance: Chance) -> str:
    """The ``<page>`` element, indented as in a dump. ``number`` is the page id."""
    raw = "" if page.text is None else page.text
    size = len(raw.encode())
    if page.text is None:
        element = ""
    elif raw:
        element = f'      <text bytes="{size}" xml:space="preserve">{_xml(raw)}</text>\n'
    else:
        element = '      <text bytes="0" xml:space="preserve" />\n'
    redirect = f'    <redirect title="{_xml(page.redirect)}" />\n' if page.redirect else ""
    moment = (
        f"202{chance.below(3)}-{chance.between(1, 12):02d}-{chance.between(1, 28):02d}T{chance.below(24):02d}:30:00Z"
    )
    return (
        f"  <page>\n    <title>{_xml(page.title)}</title>\n    <ns>{page.namespace}</ns>\n    <id>{number}</id>\n"
        f"{redirect}    <revision>\n      <id>{1_000_000 + 37 * number}</id>\n      <timestamp>{moment}</timestamp>\n"
        f"      <contributor>\n        <username>Editor {chance.between(1, 90)}</username>\n"
        f"        <id>{chance.between(100, 9999)}</id>\n      </contributor>\n"
        f"      <comment>{_xml(chance.pick(('typo', '[[WP:MOS|style]]', 'two sources -> one', 'rv')))}</comment>\n"
        f"      <model>wikitext</model>\n      <format>text/x-wiki</format>\n{element}"
        f"      <sha1>{chance.digits(31, '0123456789abcdefghijklmnopqrstuvwxyz')}</sha1>\n"
        "    </revision>\n  </page>\n"
    )


def pages(language: str) -> Iterator[tuple[int, Page]]:
    """All pages of a language with their ids, in order: ordinary articles with the odd pages between them."""
    chance = Chance(f"wiki {language}")
    write = english_article if language == "en" else german_article
    written = [Page(*write(chance)) for _ in range(44 if language == "en" else 26)]
    for odd in odd_english() if language == "en" else odd_german():
        written.insert(chance.between(1, len(written)), Page(*odd))
    if language == "en":
        written += [Page(f"Shared page {number}", PAGES[number]) for number in range(2)]
    number = 10
    taken: set[str] = set()
    for page in written:
        number += chance.between(1, 9)
        title = page.title if page.title not in taken else f"{page.title} ({number})"
        taken.add(title)
        yield number, page._replace(title=title)


def build(folder: Path) -> None:
    """Write the English multistream dump with its index, and the German dump, into ``folder``."""
    chance = Chance("wiki revisions")
    english = [(number, page.title, page_xml(page, number, chance)) for number, page in pages("en")]
    whole, index = bz2.compress(head("en").encode()), []
    for start in range(0, len(english), PAGES_A_STREAM):
        part = english[start : start + PAGES_A_STREAM]
        index += [f"{len(whole)}:{number}:{_xml(title)}\n" for number, title, _ in part]
        whole += bz2.compress("".join(xml for _, _, xml in part).encode())
    whole += bz2.compress(b"</mediawiki>\n")
    stem = f"enwiki-{DATE}-pages-articles-multistream"
    (folder / f"{stem}.xml.bz2").write_bytes(whole)
    (folder / f"{stem}-index.txt.bz2").write_bytes(bz2.compress("".join(index).encode()))
    german = head("de") + "".join(page_xml(page, number, chance) for number, page in pages("de")) + "</mediawiki>\n"
    (folder / f"dewiki-{DATE}-pages-articles.xml.bz2").write_bytes(bz2.compress(german.encode()))
