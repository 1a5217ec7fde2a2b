"""Wikipedia's wikitext to plain text, as RedPajama-Data-1T published it."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from filters.wikitext_tokens import UnparsableError, sections
from redpajama_data.document import Document, Drop

ALIASES: dict[str, tuple[str, str]] = {  # language: (names of File/Image/Media, names of Category) beside the English
    "bg": ("Медия Файл Картинка", "Категория"),
    "ca": ("Fitxer Imatge", "Categoria"),
    "cs": ("Soubor Média Obrázok", "Kategorie"),
    "da": ("Billede Fil", "Kategori"),
    "de": ("Medium Datei Bild", "Kategorie"),
    "en": ("", ""),
    "es": ("Medio Archivo Imagen", "CAT Categoría"),
    "fr": ("Média Fichier", "Catégorie"),
    "hr": ("Mediji DT Slika F Datoteka", "CT KT Kategorija"),
    "hu": ("Kép Fájl Média", "Kategória"),
    "it": ("Immagine", "CAT Categoria"),
    "nl": ("Bestand Afbeelding", "Categorie"),
    "pl": ("Plik Grafika", "Kategoria"),
    "pt": ("Multimédia Ficheiro Arquivo Imagem", "Categoria"),
    "ro": ("Fişier Imagine Fișier", "Categorie"),
    "ru": ("Медиа Файл Изображение", "Категория К"),
    "sl": ("Slika Datoteka", "Kategorija"),
    "sr": ("Датотека Medij Slika Медија Datoteka Медиј Medija Слика", "Kategorija Категорија"),
    "sv": ("Fil Bild", "Kategori"),
    "uk": ("Медіа Медиа Файл Изображение Зображення", "Категория Категорія"),
}
"""The 20 languages of the recipe, and what their link prefixes are called (recipe: RedPajama-Data-1T, Wikipedia)."""


class LinkNames(NamedTuple):
    """What a dump itself calls its namespaces of files and media, and of categories: what links to them begin with."""

    media: tuple[str, ...] = ()
    category: tuple[str, ...] = ()


NO_NAMES = LinkNames()

_MAGIC_WORD = re.compile("__[A-Z]*__")


@cache
def link_prefixes(language: str, own: LinkNames = NO_NAMES) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The patterns of media and category links in ``language``, colon included; the English names work everywhere.

    ``own`` are names that the dump gives, beside those of the table: the repair with which any language can be read.
    """
    media, category = ALIASES.get(language, ("", ""))
    own_media, own_category = (tuple(map(_name_pattern, names)) for names in own)
    return (
        re.compile(f"^(?:{'|'.join(['File', 'Image', 'Media', *media.split(), *own_media])}):", re.IGNORECASE),
        re.compile(f"^(?:{'|'.join(['Category', *category.split(), *own_category])}):", re.IGNORECASE),
    )


def _name_pattern(name: str) -> str:
    """A name as an expression: a blank in it may be an underscore."""
    return "[ _]+".join(map(re.escape, name.replace("_", " ").split()))


@cache
def without_categories(language: str, own: LinkNames = NO_NAMES) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """As :func:`link_prefixes`, so that links to categories go as links to media do, with their blanks and line: the
    repair of names of categories that stay as text. ``[[:Category:A]]``, which is a link, keeps its label."""
    names = "|".join(pattern.pattern[4:-2] for pattern in link_prefixes(language, own))
    return re.compile(rf"^\s*(?:{names})[\s_]*:", re.IGNORECASE), re.compile("(?!)")


def clean(wikitext: str, language: str, *, categories: bool = True, own: LinkNames = NO_NAMES) -> str:
    """Render a page's ``wikitext`` as plain text: sections joined by an empty line. ``categories``: their names stay.
    ``own`` are the dump's own names for files and categories.

    Raises :class:`~filters.wikitext_tokens.UnparsableError` when mwparserfromhell gives up. Source: RedPajama-Data-1T,
    Wikipedia (Hugging Face ``wikipedia`` script 2.0.0).
    """
    media, category = (link_prefixes if categories else without_categories)(language, own)
    return "\n\n".join(without_magic_words(text.strip()) for text in sections(wikitext, media, category))


def without_magic_words(section: str) -> str:
    """Delete ``__NOTOC__`` and the like. Deliberate, as published: the blanks around it stay, even at the edges."""
    return _MAGIC_WORD.sub("", section) if "__" in section else section


def unparsable(doc: Document, *, categories: bool = True) -> Document | Drop:
    """Clean ``doc.text`` (wikitext, language in ``doc.meta``, the dump's own names in ``doc.work``, if any); a page on
    which the parser gives up leaves."""
    own = doc.work.pop("link_names", NO_NAMES)
    try:
        doc.text = clean(doc.text, doc.meta["language"], categories=categories, own=own)
    except UnparsableError as error:
        return Drop("unparsable", str(error), "wikitext mwparserfromhell accepts")
    return doc


def not_empty(doc: Document) -> Document | Drop:
    """A page of nothing but markup. Deliberate, as published: one that keeps blanks or empty lines stays."""
    return doc if doc.text else Drop("not_empty", 0, 1)
