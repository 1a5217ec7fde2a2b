"""A bounded sample of the published documents of a slice: the same ones each time, whoever asks."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import xxhash

from redpajama_data.engine.receipts import Output
from redpajama_data.io import storage
from redpajama_data.io.root_paths import WITHIN
from redpajama_data.io.shards import read_jsonl

SHARDS, DOCUMENTS = 16, 2000  # most shards and documents of a slice that are looked at
CHARACTERS = 64 << 20  # ... and most text: a book has as much as a thousand pages
KEPT_TEXT = 4000  # characters of a text that are held for an example
SEED = 0

# What the rules measure, by the field of a published record that has the same value. Rules that are not here measure
# what no published record keeps.
FIELD_OF_RULE = {
    "max_line_length": "max_line_length",
    "avg_line_length": "avg_line_length",
    "min_alnum_prop": "alnum_prop",
    "min_language_score": "language_score",
    "bucket_in": "perplexity",
    "min_wiki_prob": "wiki_prob",
    "classified_as_reference": "wiki_prob",
    "min_quality": "quality_score",
    "min_characters": "length",
}
# ... and those that measure a name, by the name of a published record (:data:`TOPS`).
NAME_OF_RULE = {
    "license_starts_with": "license",
    "language_in": "language",
    "languages": "language",
    "identify_language": "language",
    "extension_in": "ending",
}
FIGURES = {  # fields whose values are shown as histograms, in their order
    "length": "Length, characters",
    "perplexity": "Perplexity",
    "wiki_prob": "Classifier: like a page that Wikipedia cites",
    "quality_score": "Classifier: quality",
    "language_score": "Score of the language",
    "max_line_length": "Longest line, characters",
    "avg_line_length": "Average line, characters",
    "alnum_prop": "Share of letters and digits",
}
TOPS = {  # what is counted by name
    "host": "Sites",
    "language": "Languages",
    "code": "Programming languages, by the repository's largest",
    "license": "Licences",
    "ending": "Endings of file names",
    "year": "Years",
}


@dataclass(frozen=True)
class Published:
    """One document of a sample. ``id`` is its place in the root, as ``rpj explain`` takes it; ``text`` is its head."""

    id: str
    text: str
    values: dict[str, float]
    names: dict[str, str]


@dataclass(frozen=True)
class Sample:
    """Documents looked at of a slice that has ``of``; ``shards`` of them were opened."""

    of: int = 0
    shards: int = 0
    documents: list[Published] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """True when every document was looked at."""
        return len(self.documents) == self.of


def drawn(paths: Sequence[str]) -> list[str]:
    """Paths in an order drawn by :data:`SEED`: the same wherever the root lies, and no other than of the names."""
    return sorted(paths, key=lambda path: (xxhash.xxh3_64_intdigest(path.encode(), SEED), path))


def sample(root: str, shards: Sequence[Output]) -> Sample:
    """The documents of a slice, or the first of each of :data:`SHARDS` shards when there are too many.

    Raises :class:`BrokenInput` for a damaged shard.
    """
    total = sum(out.records for out in shards)
    few = total <= DOCUMENTS
    chosen = drawn([out.path for out in shards if out.records])[: None if few else SHARDS]
    records = {out.path: out.records for out in shards}
    chosen.sort(key=lambda path: (records[path], path))  # what small ones leave over goes to the larger ones
    found: list[Published] = []
    left = CHARACTERS
    for place, path in enumerate(chosen):
        share = DOCUMENTS if few else (DOCUMENTS - len(found)) // (len(chosen) - place)
        most = left // (len(chosen) - place)
        for document, size in _heads(root, path, share):
            found.append(document)
            left, most = left - size, most - size
            if most < 0:
                break
    return Sample(total, len(chosen), found)


def _heads(root: str, path: str, count: int) -> Iterator[tuple[Published, int]]:
    if not count:
        return
    for n, record in enumerate(read_jsonl(storage.join(root, path))):
        text, meta = record["text"], record.get("meta") or {}
        values = {name: float(meta[name]) for name in FIGURES if _is_number(meta.get(name))}
        values["length"] = float(len(text))
        yield Published(f"{WITHIN}{path}#{n}", text[:KEPT_TEXT], values, names_of(meta)), len(text)
        if n + 1 >= count:
            return


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def names_of(meta: dict[str, Any]) -> dict[str, str]:
    """What a record is counted under, by the names of :data:`TOPS`; what its meta does not have is not there."""
    found = {}
    url, language, licence = meta.get("url"), meta.get("language"), meta.get("license")
    if isinstance(url, str) and (host := host_of(url)):
        found["host"] = host
    if isinstance(language, str):
        found["language"] = language
    elif isinstance(language, list) and (largest := _largest(language)):
        found["code"] = largest
    if isinstance(licence, str):
        found["license"] = licence
    path = meta.get("path")
    if isinstance(path, str):
        name = path.rpartition("/")[2]
        found["ending"] = name[name.rfind(".") :] if "." in name else name
    when = str(meta.get("timestamp") or meta.get("date_download") or meta.get("publication_date") or "")[:4]
    if when.isdigit() and len(when) == 4:
        found["year"] = when
    return {name: value[:80] for name, value in found.items()}


def host_of(url: str) -> str:
    """The host of an address, in small letters; "" when it has none."""
    try:
        return (urllib.parse.urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


class _Language(msgspec.Struct):
    name: str
    bytes: str | int = 0


def _largest(languages: list[Any]) -> str:
    """The language with most bytes of a repository's list, as BigQuery's export has it; "" for anything else."""
    try:
        found = msgspec.convert(languages, list[_Language])
        return max(found, key=lambda each: (int(each.bytes), each.name)).name if found else ""
    except (msgspec.ValidationError, ValueError):
        return ""
