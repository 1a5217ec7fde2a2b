"""Vectors of documents: words weighed by how rare they are (TF-IDF), brought to few dimensions by a truncated SVD.

The decomposition is the randomised one of Halko, Martinsson and Tropp (2011), seeded, by numpy alone. It is learned
from :data:`FITTED` documents at most; the others are projected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.explorer.sparse import Floats, Sparse
from redpajama_data.explorer.terms import BUCKETS, Terms, split

DIMENSIONS = 64  # 256 gave no better neighbours on the embedded sample
FITTED = 20_000  # documents the axes are learned from
VOCABULARY = 1 << 15  # the words in most documents, of those in two at least
_MORE = 16  # dimensions of the random start beyond those that stay: Halko et al. ask for 5 to 10
_ROUNDS = 3  # power iterations: text has a slowly falling spectrum


@dataclass(frozen=True)
class Basis:
    """The known buckets, rising; how much each weighs; and where each lies: a row of :data:`DIMENSIONS` numbers."""

    buckets: npt.NDArray[np.uint32]
    weights: Floats
    axes: Floats

    def encode(self) -> bytes:
        """As bytes."""
        return b"".join(part.astype(kind).tobytes() for part, kind in zip(self._parts(), _KINDS, strict=True))

    def _parts(self) -> tuple[npt.NDArray[Any], ...]:
        return self.buckets, self.weights, self.axes

    @staticmethod
    def decode(data: bytes) -> Basis:
        """What :meth:`encode` gave."""
        size = len(data) // (8 + 4 * DIMENSIONS)
        buckets, weights = np.frombuffer(data, "<u4", size), np.frombuffer(data, "<f4", size, 4 * size)
        return Basis(buckets, weights, np.frombuffer(data, "<f4", -1, 8 * size).reshape(size, DIMENSIONS))


_KINDS = ("<u4", "<f4", "<f4")


def choose(frequencies: npt.NDArray[np.int64], documents: int) -> tuple[npt.NDArray[np.uint32], Floats]:
    """The buckets that count, rising, and their weights; ``frequencies[b]`` is how many of the documents have b.

    The weight is that of scikit-learn, ``1 + log((1 + n) / (1 + f))``.
    """
    order = np.argsort(-frequencies, kind="stable")[:VOCABULARY]
    buckets = np.sort(order[frequencies[order] >= min(2, documents)])
    weights = 1 + np.log((1 + documents) / (1 + frequencies[buckets]))
    return buckets.astype(np.uint32), weights.astype(np.float32)


def weigh(terms: Terms, sizes: npt.NDArray[Any], buckets: npt.NDArray[np.uint32], weights: Floats) -> Sparse:
    """Documents as rows of length 1 (0 without a known word): ``(1 + log count) x weight``. ``terms`` are those of all
    documents together, ``sizes`` how many each has."""
    place = np.full(BUCKETS, -1, np.int32)
    place[buckets] = np.arange(len(buckets), dtype=np.int32)
    found, counts = split(terms)
    columns = place[found]
    known = columns >= 0
    row = np.repeat(np.arange(len(sizes)), sizes)[known]
    columns = columns[known]
    values = (1 + np.log(counts[known])) * weights[columns]
    lengths = np.sqrt(np.bincount(row, values**2, minlength=len(sizes)))
    values = values / lengths[row]
    begins = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=len(sizes)), out=begins[1:])
    return Sparse(begins, columns, values.astype(np.float32), len(buckets))


def vector_of(terms: Terms, words: Basis, middle: Floats) -> Floats:
    """The vector of one text on a map, by its terms: of length 1, ``middle`` is where the vectors of the map lie."""
    matrix = weigh(terms, np.array([len(terms)]), words.buckets, words.weights)
    found: Floats = unit(unit(matrix.times(words.axes)) - middle)[0]
    return found


def learn(matrix: Sparse, seed: int) -> Floats:
    """The axes of the truncated SVD of a matrix: its right singular vectors, a column each, the largest first; zeros
    where it has fewer. The sign of an axis is such that its largest entry is positive."""
    axes = np.zeros((matrix.width, DIMENSIONS), np.float32)
    size = min(DIMENSIONS + _MORE, matrix.rows, matrix.width)
    if not size:
        return axes
    turned = matrix.transposed()
    start = np.random.default_rng(seed).standard_normal((matrix.width, size), dtype=np.float32)
    left = _orthogonal(matrix.times(start))
    for _ in range(_ROUNDS):
        left = _orthogonal(matrix.times(_orthogonal(turned.times(left))))
    small = turned.times(left).astype(np.float64)
    values, vectors = np.linalg.eigh(small.T @ small)
    order = np.argsort(-values, kind="stable")[:DIMENSIONS]
    order = order[values[order] > values.max() * 1e-10]
    found = small @ vectors[:, order] / np.sqrt(values[order])
    axes[:, : len(order)] = signed(found)
    return axes


def turn(vectors: Floats) -> tuple[Floats, Floats]:
    """The middle of vectors of a model, and their principal axes as columns, the largest first: as many as
    :data:`DIMENSIONS`, zeros where the model has fewer."""
    width = vectors.shape[1]
    middle = vectors.mean(axis=0, dtype=np.float64) if len(vectors) else np.zeros(width)
    centred = vectors.astype(np.float64) - middle
    values, found = np.linalg.eigh(centred.T @ centred)
    found = signed(found[:, np.argsort(-values, kind="stable")[:DIMENSIONS]])
    axes = np.zeros((width, DIMENSIONS), np.float32)
    axes[:, : found.shape[1]] = found
    return middle.astype(np.float32), axes


def _orthogonal(matrix: Floats) -> Floats:
    return np.linalg.qr(matrix.astype(np.float64))[0].astype(np.float32)


def signed(axes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Axes (columns) with the sign that makes the largest entry of each positive."""
    top = axes[np.argmax(np.abs(axes), axis=0), np.arange(axes.shape[1])]
    return axes * np.where(top < 0, -1.0, 1.0)


def unit(vectors: npt.NDArray[Any]) -> Floats:
    """Vectors of length 1; those of length 0 stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)
