"""CCNet's steps on a document after its lines are cleaned: length, language, perplexity, bucket.

Source: RedPajama-Data-1T, cc_net with RedPajama's command line (``min_len`` 300, ``lang_threshold`` 0.5, ``-l en``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from filters.language import load_lid, predict_language
from filters.perplexity import load_language_model, perplexity
from redpajama_data.document import Document, Drop
from redpajama_data.models.model_file import ModelFile

# Perplexity below the first: head; below the second: middle; else tail. The published table's rows 30 and 60 (percent
# of each language's documents). Slovenian, Serbian and Swedish are missing in it.
CUTOFFS: Mapping[str, tuple[int, int]] = {
    "af": (540, 770), "ar": (490, 790), "az": (600, 950), "be": (670, 910), "bg": (450, 680), "bn": (190, 300),
    "ca": (210, 330), "cs": (820, 1140), "da": (380, 600), "de": (370, 590), "el": (450, 670), "en": (340, 520),
    "es": (180, 290), "et": (1270, 1620), "fa": (370, 700), "fi": (1110, 1500), "fr": (180, 330), "gu": (1110, 1570),
    "he": (1280, 1710), "hi": (480, 790), "hr": (720, 910), "hu": (80, 140), "hy": (750, 1080), "id": (600, 970),
    "is": (850, 1190), "it": (220, 360), "ja": (1110, 1450), "ka": (910, 1310), "kk": (610, 930), "km": (1040, 2180),
    "kn": (2210, 2800), "ko": (920, 2130), "lt": (190, 270), "lv": (1130, 1480), "mk": (530, 740), "ml": (2430, 3220),
    "mn": (680, 1010), "mr": (1380, 1870), "my": (2530, 3040), "ne": (860, 1130), "nl": (430, 650), "no": (430, 680),
    "pl": (160, 260), "pt": (170, 270), "ro": (180, 270), "ru": (210, 310), "uk": (140, 220), "zh": (1460, 1950),
}  # fmt: skip


class LanguageModel(NamedTuple):
    """The files of one language: a SentencePiece model and a KenLM model over its pieces."""

    pieces: ModelFile
    words: ModelFile


def min_length(doc: Document, *, limit: int) -> Document | Drop:
    """Pages with fewer than ``limit`` characters without the title, before any line is removed."""
    return Drop("min_length", len(doc.text), limit) if len(doc.text) < limit else doc


def identify_language(doc: Document, *, model: ModelFile) -> Document | Drop:
    """Put fastText's first label into meta as ``language``, and ``language_score`` rounded to 2 decimals, half to even.

    The model sees the text with its newlines deleted, so that words of two lines are glued (as published). A document
    without text is dropped. ``model`` is lid.176. Raises :class:`MissingModel`.
    """
    line = doc.text.replace("\n", "")
    if not line:
        return Drop("identify_language", 0, 1)
    language, score = predict_language(load_lid(model), line)
    doc.meta["language"] = language
    doc.meta["language_score"] = float(np.round(score, 2))
    return doc


def min_language_score(doc: Document, *, limit: float) -> Document | Drop:
    """Documents whose language is uncertain. The rounded score is compared: 0.495 passes at 0.5 (as published)."""
    score = doc.meta["language_score"]
    return Drop("min_language_score", score, limit) if score < limit else doc


def language_in(doc: Document, *, allowed: Sequence[str]) -> Document | Drop:
    """Documents of a language that is not asked for."""
    language = doc.meta["language"]
    return doc if language in allowed else Drop("language_in", language, " ".join(allowed))


def measure_perplexity(doc: Document, *, models: Mapping[str, LanguageModel]) -> Document:
    """Put ``perplexity`` into meta, 1 decimal; not for a language without a model nor for a text without pieces.

    ``models``: the files of each language. Raises :class:`MissingModel` when such a file is missing.
    """
    files = models.get(doc.meta["language"])
    value = perplexity(load_language_model(files.pieces.path, files.words.path), doc.text) if files else None
    if value is not None:
        doc.meta["perplexity"] = value
    return doc


def assign_bucket(doc: Document, *, cutoffs: Mapping[str, tuple[float, float]]) -> Document:
    """Put ``bucket`` into meta: head, middle or tail; "all" without a perplexity or a cut-off for the language."""
    value, limits = doc.meta.get("perplexity"), cutoffs.get(doc.meta["language"])
    if value is None or limits is None:
        doc.meta["bucket"] = "all"
    else:
        doc.meta["bucket"] = "head" if value < limits[0] else "middle" if value < limits[1] else "tail"
        doc.work["cutoff"] = limits[1]
    return doc


def bucket_in(doc: Document, *, allowed: Sequence[str]) -> Document | Drop:
    """Documents of other buckets; measured is their perplexity (or the bucket), the limit their language's cut-off."""
    if doc.meta["bucket"] in allowed:
        return doc
    return Drop("bucket_in", doc.meta.get("perplexity", doc.meta["bucket"]), doc.work.get("cutoff", " ".join(allowed)))


def kept_urls(files: Iterable[Iterable[tuple[str, str]]]) -> set[str]:
    """The URLs whose records stay, from the (url, digest) of each record of each file, in order: the document dedup.

    Deliberately as published: in a file only the last digest of a URL counts; the first URL with a digest is kept, and
    then every record with a kept URL stays, in whatever file and with whatever digest.
    """
    kept: set[str] = set()
    digests: set[str] = set()
    for records in files:
        for url, digest in dict(records).items():
            if digest not in digests:
                digests.add(digest)
                kept.add(url)
    return kept


def kept_records(files: Iterable[Iterable[tuple[str, str]]]) -> set[tuple[int, int]]:
    """The records that stay, as (file, place in it), decided for each by its digest alone: the first one stays.

    The repair of :func:`kept_urls`, which keeps copies of a page under a kept URL and loses other pages with a URL. The
    digests are those of :func:`compared_digest`.
    """
    kept: dict[str, tuple[int, int]] = {}
    for number, records in enumerate(files):
        for place, (_, digest) in enumerate(records):
            kept.setdefault(digest, (number, place))
    return set(kept.values())


def compared_digest(digest: str, record: str) -> str:
    """By which digest a record is compared: its own, or ``record``, its id, where it has none, so that it is no copy.

    The reader takes what stands in the digest's place (as published). Of a record without a digest that is a language
    or a type of content, alike in thousands of pages; a digest names its algorithm: ``sha1:...``.
    """
    return digest if ":" in digest else record


def first_of_each_text(files: Iterable[Iterable[str]]) -> set[tuple[int, int]]:
    """The records that stay, as (file, place in it), by their texts as they are published: the first with each stays.

    A second key behind the digest, which is of the page as crawled: pages that differ in their title, or in lines that
    the dedup of lines takes away, have the same text and other digests. The published recipe compares no texts.
    """
    kept: dict[str, tuple[int, int]] = {}
    for number, texts in enumerate(files):
        for place, text in enumerate(texts):
            kept.setdefault(text, (number, place))
    return set(kept.values())


def shards_per_file(sizes: Sequence[int], *, target: int) -> int:
    """How many shards' files of one bucket make one published file: ``target`` bytes by the mean of the first ten.

    ``sizes``: bytes of each shard's file, compressed, in shard order. At least 1 and at most all of them.
    """
    first = sizes[:10]
    return max(1, min(len(sizes), int(target // (sum(first) / len(first))))) if sum(first) else max(1, len(sizes))
