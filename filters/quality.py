"""Quality as a fastText classifier sees it: the probability of one of its labels, and what becomes of low ones.

Source: RedPajama-Data-1T, data_prep/cc/classifier, for every slice; see :mod:`filters.wikiref`.
"""

from __future__ import annotations

import functools
import mmap
import struct
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from filters.fasttext_model import DICTIONARY, ENTRY, HIERARCHICAL_SOFTMAX, SETTINGS, ModelFileReader
from filters.language import load_lid
from filters.wikiref import OTHER, reference_line
from redpajama_data.document import Drop
from redpajama_data.errors import UsageError
from redpajama_data.models.model_file import ModelFile

SOFTMAX = 3  # fastText's number of the loss, beside HIERARCHICAL_SOFTMAX
BINS = 20
EDGES = tuple(k / BINS for k in range(1, BINS))  # the nearest floats, so that a bin and a limit of 0.15 agree


# ------------------------------------------------------------------------------------------------ scoring


@dataclass(frozen=True)
class Classifier:
    """What a model file says of its classes. ``exclusive``: their probabilities add up to 1."""

    labels: tuple[str, ...]
    exclusive: bool


@functools.lru_cache(maxsize=4)
def read_classifier(model: ModelFile) -> Classifier:
    """The classes of a fastText classifier. Raises :class:`redpajama_data.errors.MissingModel`."""
    load_lid(model)  # says what is wrong with a file that is none
    with open(model.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = ModelFileReader(data)
        reader.numbers(struct.Struct("<2i"))
        loss = reader.numbers(SETTINGS)[6]
        size, n_words = reader.numbers(DICTIONARY)[:2]
        words = []
        for _ in range(size):
            words.append(reader.word())
            reader.numbers(ENTRY)
    return Classifier(tuple(word.decode() for word in words[n_words:]), loss in (HIERARCHICAL_SOFTMAX, SOFTMAX))


def choose_label(model: ModelFile, label: str | None) -> str:
    """The class whose probability is the score: ``label``, with or without ``__label__``; by default, of a model of two
    classes, the one beside ``__label__cc`` (ordinary pages).

    Raises :class:`UsageError` with the model's labels when there is no such class, or no default.
    """
    labels = read_classifier(model).labels
    known = ", ".join(name.removeprefix("__label__") for name in labels[:50])
    if label is not None:
        for name in (label, f"__label__{label}"):
            if name in labels:
                return name
        raise UsageError(f"{model.path} has no label {label}. Choose one of {known} with --label.")
    rest = [name for name in labels if name != OTHER]
    if len(rest) == 1 and len(labels) == 2:
        return rest[0]
    raise UsageError(f"which label's probability is the score? {model.path} has {known}. Choose one with --label.")


def quality_score(text: str, *, model: ModelFile, label: str) -> float:
    """The probability of ``label`` (as :func:`choose_label` gives it) for a text, made one line.

    From -0.00001 to 1.00001, as fastText rounds; 0 for a text that the model has nothing to go by. Of two classes it is
    equal to :func:`filters.wikiref.predict_reference`'s (33 MB/s); of more, fastText itself gives all probabilities
    (17 MB/s), with the model in the memory of each worker.
    """
    return _scorer(model, label)(reference_line(text))


@functools.lru_cache(maxsize=4)
def _scorer(model: ModelFile, label: str) -> Callable[[str], float]:
    found = read_classifier(model)
    if found.exclusive and len(found.labels) == 2:
        predict = load_lid(model).predict

        def of_two(line: str) -> float:
            top = predict(line)
            if top is None:
                return 0.0
            return top[1] if top[0] == label else 1 - top[1]

        return of_two

    import fasttext

    every = fasttext.load_model(model.path)

    def of_many(line: str) -> float:
        labels, probabilities = every.predict(line, k=-1)
        return float(dict(zip(labels, probabilities, strict=True)).get(label, 0.0))

    return of_many


# ------------------------------------------------------------------------------------------------ filtering


def stored_score(meta: Mapping[str, Any], field: str) -> float | None:
    """The number in a field of the meta; None when there is none."""
    value = meta.get(field)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def no_score(*, field: str) -> Drop:
    """A record without a score among others that have one."""
    return Drop("no_score", None, field)


def min_quality(score: float, *, limit: float) -> Drop | None:
    """Scores below ``limit`` leave. RedPajama-Data-1T keeps from 0.25 on, LLaMA's classifier implies 0.5."""
    return Drop("min_quality", score, limit) if score < limit else None


# ------------------------------------------------------------------------------------------------ histogram


@dataclass(frozen=True)
class Histogram:
    """Scores in 20 bins of 0.05: documents, and the bytes of their texts (UTF-8). Lower and higher scores are in the
    outer bins; ``no_score`` counts the records without one."""

    documents: tuple[int, ...] = (0,) * BINS
    bytes: tuple[int, ...] = (0,) * BINS
    no_score: int = 0


def bin_of(score: float) -> int:
    """The bin of a score. ``bin_of(score) < k`` just when ``score < k / 20``."""
    return bisect_right(EDGES, score)


def add_histograms(one: Histogram, other: Histogram) -> Histogram:
    """Both together."""
    documents = tuple(map(sum, zip(one.documents, other.documents, strict=True)))
    return Histogram(
        documents, tuple(map(sum, zip(one.bytes, other.bytes, strict=True))), one.no_score + other.no_score
    )


class HistogramCounter:
    """Counts into a :class:`Histogram`."""

    def __init__(self) -> None:
        self.documents, self.bytes, self.no_score = [0] * BINS, [0] * BINS, 0

    def add(self, score: float | None, text: str) -> None:
        if score is None:
            self.no_score += 1
            return
        place = bin_of(score)
        self.documents[place] += 1
        self.bytes[place] += len(text) if text.isascii() else len(text.encode())

    def histogram(self) -> Histogram:
        return Histogram(tuple(self.documents), tuple(self.bytes), self.no_score)
