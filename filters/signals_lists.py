"""The lists that some quality signals look words and domains up in. Nobody ships them with rpj: give their paths.

stop words   github.com/6/stopwords-json: its ``stopwords-all.json``, ``{"en": ["a", ...], ...}``
bad words    github.com/LDNOOBW: a folder with a file a language, ``en`` (as there) or ``en.txt`` (as published)
domains      UT1 of Toulouse: its folder (``adult/domains`` ...), or the ``domain_to_category_id.json`` made of it

Source of the forms: RedPajama-V2, app/src (stop_words.py, content.py, update_resources.py).
"""

from __future__ import annotations

import collections
import functools
import itertools
import json
import math
import mmap
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from filters._signals import Table
from redpajama_data.errors import MissingModel
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import sha256_of

BAD_WORD_LANGUAGES = ("en", "fr", "it", "es", "de")
"""Languages that have a list in the published pipeline; in all others nothing is a bad word."""

UT1_CATEGORIES = (
    "adult", "agressif", "agressive", "arjel", "chat", "dating", "ddos", "filehosting", "gambling", "mixed_adult",
    "phishing", "porn", "violence",
)  # fmt: skip
"""The published choice (rp_v2.0.conf), sorted."""

_OPENING = re.compile(rb"\s*\{\s*(\}?)")
_ENTRY = re.compile(rb'\s*("(?:[^"\\\n]|\\.)*")\s*:\s*(\d{1,18})\s*([,}])')


class BadWords(NamedTuple):
    """A list of bad words: the single ones, those of several words joined by a blank, and the first words of these
    with the number of words in the longest."""

    words: Table
    phrases: Table
    starts: Table


def list_file(path: str) -> ModelFile:
    """A list by its path; its hash stands for it. Raises :class:`MissingModel` when there is no such file."""
    if not os.path.isfile(path):
        raise MissingModel(f"{path}: no such file. Check the path of the list.")
    return ModelFile(os.path.abspath(path), sha256_of(path))


def files_by_language(folder: str, endings: tuple[str, ...]) -> list[tuple[str, str]]:
    """Language and path of the files ``<folder>/<language>/*`` with one of ``endings``, sorted."""
    found = []
    for language in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        base = os.path.join(folder, language)
        names = sorted(os.listdir(base)) if os.path.isdir(base) else []
        found += [(language, os.path.join(base, name)) for name in names if name.endswith(endings)]
    return found


# ------------------------------------------------------------------------------------------------ words


@functools.lru_cache(maxsize=256)
def stop_words(file: ModelFile, language: str) -> Table | None:
    """The stop words of a language, case as in the list; None when the file has none for it.

    Raises :class:`MissingModel` for a file of another form.
    """
    found = _stop_word_lists(file).get(language)
    return None if found is None else Table((word, 0) for word in found)


@functools.lru_cache(maxsize=2)
def _stop_word_lists(file: ModelFile) -> Mapping[str, list[str]]:
    try:
        with open(file.path, "rb") as opened:
            return msgspec.json.decode(opened.read(), type=dict[str, list[str]])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MissingModel(
            f'{file.path}: no stop words ({error}). Expected {{"en": ["a", ...], ...}}, as stopwords-all.json of '
            "github.com/6/stopwords-json."
        ) from error


def bad_word_files(folder: str) -> dict[str, ModelFile]:
    """The lists in a folder by language. Raises :class:`MissingModel` when there is none."""
    files = {}
    for language in BAD_WORD_LANGUAGES:
        for name in (f"{language}.txt", language):
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                files[language] = list_file(path)
                break
    if not files:
        raise MissingModel(
            f"{folder}: no list of bad words there. Expected files {', '.join(BAD_WORD_LANGUAGES)} (or en.txt ...), as "
            "in github.com/LDNOOBW/List-of-Dirty-Naughty-Obscene-and-Otherwise-Bad-Words."
        )
    return files


@functools.lru_cache(maxsize=8)
def bad_words(file: ModelFile) -> BadWords:
    """A list of bad words: an entry a line, stripped, otherwise as it is, so that one with punctuation or capitals
    never matches a normalised word (as published).

    Raises :class:`MissingModel` for a file that is not in UTF-8.
    """
    try:
        with open(file.path, encoding="utf-8") as opened:
            entries = {line.strip() for line in opened}
    except (OSError, UnicodeDecodeError) as error:
        raise MissingModel(f"{file.path}: no list of bad words ({error}). Expected UTF-8, an entry a line.") from error
    phrases = [entry for entry in entries if " " in entry]
    longest: dict[str, int] = defaultdict(int)
    for phrase in phrases:
        first = phrase.split(" ")[0]
        longest[first] = max(longest[first], 1 + phrase.count(" "))
    return BadWords(
        Table((entry, 0) for entry in entries if entry and " " not in entry),
        Table((phrase, 0) for phrase in phrases),
        Table(longest.items()),
    )


# ---------------------------------------------------------------------------------------------- domains


def domain_files(place: str) -> dict[str, ModelFile]:
    """The files of UT1's list by category; of a ``domain_to_category_id.json``, that file under ``""``.

    ``place`` is such a file, a folder that has it, UT1's folder of categories, or one with that as ``blacklists``.
    Raises :class:`MissingModel` when it is none of these.
    """
    for path in (place, os.path.join(place, "domain_to_category_id.json")):
        if os.path.isfile(path):
            return {"": list_file(path)}
    for folder in (place, os.path.join(place, "blacklists")):
        paths = {category: os.path.join(folder, category, "domains") for category in UT1_CATEGORIES}
        found = {category: list_file(path) for category, path in paths.items() if os.path.isfile(path)}
        if found:
            return found
    raise MissingModel(
        f"{place}: no UT1 list there. Expected domain_to_category_id.json, or folders such as adult/ with a file "
        "domains, as in blacklists.tar.gz of dsi.ut-capitole.fr."
    )


def category_id(categories: tuple[str, ...]) -> int:
    """The published number of a combination of categories (sorted): its place among all combinations of
    :data:`UT1_CATEGORIES`, smaller ones first, then in lexical order. 0 is adult, 8190 is all thirteen."""
    size, places = len(categories), [UT1_CATEGORIES.index(name) for name in categories]
    total = len(UT1_CATEGORIES)
    number = sum(math.comb(total, smaller) for smaller in range(1, size))
    start = 0
    for left, place in zip(range(size - 1, -1, -1), places, strict=True):
        number += sum(math.comb(total - 1 - skipped, left) for skipped in range(start, place))
        start = place + 1
    return number


def domain_category(domain: str, files: tuple[tuple[str, ModelFile], ...]) -> int | None:
    """The published number of a domain's categories, looked up as it is (no parent domain counts); None for one that is
    not in the list. ``files`` are the items of :func:`domain_files`.

    The first call reads the list: UT1 has five million domains, 0.4 GB of memory in each worker, and 10 s.
    Raises :class:`MissingModel` for a file of another form.
    """
    found = _domains(files).get(domain)
    return found if found is None or files[0][0] == "" else _number_of_mask(found)


def check_domains(files: tuple[tuple[str, ModelFile], ...]) -> None:
    """Raise :class:`MissingModel` for a ``domain_to_category_id.json`` of another form, as far as its first thousand
    entries and its end show it: all of it takes 10 s."""
    path = files[0][1].path
    if files[0][0] != "":
        return
    collections.deque(itertools.islice(_numbered_domains(path), 1000), maxlen=0)
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 64))
        if not file.read().rstrip().endswith(b"}"):
            raise MissingModel(f"{path}: no list of domains: it breaks off at its end. Get it again.")


@functools.lru_cache(maxsize=1)
def _domains(files: tuple[tuple[str, ModelFile], ...]) -> Table:
    if files[0][0] == "":
        return Table(_numbered_domains(files[0][1].path))
    table = Table(())
    for category, file in files:
        bit = 1 << UT1_CATEGORIES.index(category)
        with open(file.path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                domain = line.strip()
                table.set(domain, (table.get(domain) or 0) | bit)
    return table


@functools.lru_cache(maxsize=1 << len(UT1_CATEGORIES))
def _number_of_mask(mask: int) -> int:
    return category_id(tuple(name for i, name in enumerate(UT1_CATEGORIES) if mask >> i & 1))


def _numbered_domains(path: str) -> Iterator[tuple[str, int]]:
    """The members of one JSON object of numbers, read as a stream."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            opening = _OPENING.match(data)
            if opening is None:
                raise ValueError("at byte 0")
            at, more = opening.end(), not opening[1]
            while more:
                entry = _ENTRY.match(data, at)
                if entry is None:
                    raise ValueError(f"at byte {at}")
                yield json.loads(entry[1]), int(entry[2])
                at, more = entry.end(), entry[3] == b","
            if data[at : at + 1].strip():
                raise ValueError(f"at byte {at}")
    except (OSError, ValueError) as error:
        raise MissingModel(
            f'{path}: no domains with their categories ({error}). Expected {{"example.com": 0, ...}}.'
        ) from error
