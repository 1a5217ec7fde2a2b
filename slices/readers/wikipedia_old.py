"""What exports of before 2012 do not say of a page: its namespace (schema below 0.6) and redirect (below 0.4).

The published recipe read newer dumps only, so nothing here can change what it gives.
"""

from __future__ import annotations

import re

from filters.wikitext import link_prefixes

NAMESPACES_FROM, REDIRECTS_FROM = (0, 6), (0, 4)  # schema versions: see the notes in MediaWiki's export-0.x.xsd
# The names that hold in every wiki, for an export without its own: MediaWiki, includes/Defines.php.
_SUBJECTS = {
    "User": 2,
    "Project": 4,
    "Wikipedia": 4,
    "File": 6,
    "MediaWiki": 8,
    "Template": 10,
    "Help": 12,
    "Portal": 100,
}
_CANONICAL = {
    "media": "-2",
    "special": "-1",
    "talk": "1",
    **{name.lower(): str(number) for name, number in _SUBJECTS.items()},
    **{f"{name.lower()} talk": str(number + 1) for name, number in _SUBJECTS.items()},
    "category talk": "15",
    "image talk": "7",
}
_REDIRECT = re.compile(r"\s*#\w+\s*:?\s*\[\[")  # the word is another in each language; a list item has a blank after #


def schema(version: str) -> tuple[int, ...]:
    """An export's version as numbers; (0, 99) for one without, as of one that is new."""
    return tuple(map(int, re.findall(r"\d+", version)[:2])) or (0, 99)


def namespace_of(title: str, namespaces: dict[str, str], language: str) -> str:
    """The number of a page's namespace, by the name before the colon of its title: ``0`` where that is none.

    ``namespaces`` are the export's own (number: name); without any, the English names and the language's for files and
    categories count. Case does not, a blank and ``_`` are one.
    """
    name, colon, _ = title.partition(":")
    if not colon:
        return "0"
    name = name.replace("_", " ").strip().lower()
    if namespaces:
        own = {label.replace("_", " ").lower(): number for number, label in namespaces.items() if label}
        return own.get(name, "0")
    media, category = link_prefixes(language)
    if category.match(f"{name}:"):
        return "14"
    return _CANONICAL.get(name, "6" if media.match(f"{name}:") else "0")


def is_redirect(text: str) -> bool:
    """Whether a page begins as a redirect does: ``#REDIRECT [[...``, in any language."""
    return _REDIRECT.match(text) is not None
