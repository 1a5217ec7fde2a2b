"""Reads a fastText model file for the kernel in ``_fasttext.c``: any supervised one, dense (.bin) or quantised (.ftz).

The matrices of a dense model stay in the file, mapped: all processes share one copy (128 MB for lid.176.bin). A file
that is then written over or cut short in place ends each prediction in an error that names it, see ``_fasttext.c``; one
that another is renamed over does no harm. A quantised model is spread out once to the size of its dense form (3 MB for
lid.176.ftz) and needs its file no more. Format: fastText's versions 11 and 12.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from filters._fasttext import Model
from redpajama_data.errors import MissingModel

MAGIC = 793712314
SUPERVISED = 3
HIERARCHICAL_SOFTMAX = 1
CENTROIDS = 256
CACHE_LINE = 64
NGRAM_MAX = 64  # characters or words of an n-gram: a text takes time for each length
BUCKETS_MAX = 1 << 27  # of a pruned model: 4 bytes each; fastText's default is 2,000,000
SETTINGS = struct.Struct("<12id")
DICTIONARY = struct.Struct("<3i2q")
ENTRY = struct.Struct("<qb")  # after the word and its zero byte: how often, and 0 for a word or 1 for a label

CHANGED = (
    "this model was written over while it was in use. Put the right file back, then run again; to change a model, write"
    " a new file and rename it to the old one's place."
)

Floats = npt.NDArray[np.float32]


class Matrix(NamedTuple):
    """Rows of float32, and what each row's products are multiplied with."""

    rows: Floats
    scale: Floats


class BrokenModelError(ValueError):
    """What is wrong with a model file."""


class ModelFileReader:
    """Takes one thing after another from a model file. Everything raises :class:`BrokenModelError` at its end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def numbers(self, layout: struct.Struct) -> tuple[Any, ...]:
        self._claim(layout.size)
        return layout.unpack_from(self.data, self.at - layout.size)

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        """``count`` numbers, not copied and not aligned."""
        size = np.dtype(dtype).itemsize * count
        self._claim(size)
        return np.frombuffer(self.data, dtype, count, self.at - size)

    def word(self) -> bytes:
        """The bytes before the next zero byte, which is taken too."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise BrokenModelError("it ends in a word")
        word = self.data[self.at : end]
        self.at = end + 1
        return word

    def _claim(self, size: int) -> None:
        if size < 0 or size > len(self.data) - self.at:
            raise BrokenModelError(f"at byte {self.at} it should have {size} more, it has {len(self.data) - self.at}")
        self.at += size

    def dense(self) -> Matrix:
        count, dim = self.numbers(struct.Struct("<2q"))
        if count < 0 or dim < 1:
            raise BrokenModelError(f"it has a matrix of {count} x {dim}")
        return Matrix(self.array("<f4", count * dim).reshape(count, dim), np.ones(count, "<f4"))

    def quantised(self) -> Matrix:
        """A matrix of product quantisation, spread out."""
        has_norms, count, dim, size = self.numbers(struct.Struct("<?2qi"))
        codes = self.array("u1", size)
        parts = self._centroids(dim)
        if count < 0 or count * len(parts) != size:
            raise BrokenModelError(f"it has {size} codes for {count} rows of {len(parts)} parts")
        codes = codes.reshape(count, len(parts))
        rows = np.hstack([part[codes[:, i]] for i, part in enumerate(parts)])
        scale = np.ones(count, "<f4")
        if has_norms:
            norms = self.array("u1", count)
            scale = self._centroids(1)[0][norms, 0]
        return Matrix(rows, scale)

    def _centroids(self, dim: int) -> list[Floats]:
        """For each part of a row the values that its 256 codes stand for."""
        total, count, width, last = self.numbers(struct.Struct("<4i"))
        if total != dim or count < 1 or not 1 <= last <= width or (count - 1) * width + last != dim:
            raise BrokenModelError(f"it has {count} parts of {width} and {last} for {dim} numbers")
        values = self.array("<f4", dim * CENTROIDS)
        cut = (count - 1) * width * CENTROIDS
        first = values[:cut].reshape(count - 1, CENTROIDS, width)
        return [*first, values[cut:].reshape(CENTROIDS, last)]


def read_model(path: str) -> Model:
    """The model in a local file. Raises :class:`MissingModel` if there is none, or one that cannot be used."""
    if not os.path.isfile(path):
        raise MissingModel(f"{path}: no such model. Fetch lid.176 (.bin or .ftz), or your own, and name its place.")
    try:
        with open(path, "rb") as file:
            return _model(ModelFileReader(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), file, path)
    except (OSError, ValueError) as error:
        raise MissingModel(
            f"{path}: no fastText model that can be used ({error}). Fetch lid.176 (.bin or .ftz), or your own, again."
        ) from error


def _model(file: ModelFileReader, opened: BinaryIO, path: str) -> Model:
    info = os.fstat(opened.fileno())  # before anything is read of it
    magic, version = file.numbers(struct.Struct("<2i"))
    if magic != MAGIC or version not in (11, 12):
        raise BrokenModelError("it is of another format")
    dim, _, _, _, _, word_ngrams, loss, kind, bucket, minn, maxn, _, _ = file.numbers(SETTINGS)
    if kind != SUPERVISED:
        raise BrokenModelError("it is not trained with labels")
    if maxn > NGRAM_MAX or word_ngrams > NGRAM_MAX:
        raise BrokenModelError(f"it has n-grams of {maxn} characters and {word_ngrams} words; {NGRAM_MAX} are the most")
    size, n_words, n_labels, _, n_pruned = file.numbers(DICTIONARY)
    words: list[bytes] = []
    counts: list[int] = []
    for i in range(size):
        words.append(file.word())
        count, is_label = file.numbers(ENTRY)
        if is_label != (i >= n_words):
            raise BrokenModelError("its labels are among its words")
        counts.append(count)
    if size != n_words + n_labels or min(n_words, n_labels) < 0:
        raise BrokenModelError(f"it has {size} words, of which {n_words} words and {n_labels} labels")
    pruned = file.array("<i4", 2 * max(n_pruned, 0)).reshape(-1, 2)

    (is_quantised,) = file.numbers(struct.Struct("<?"))
    source, scale = file.quantised() if is_quantised else file.dense()
    rows = _times(source, scale) if is_quantised else source
    bucket_rows = None
    if n_pruned >= 0:  # 0: no n-gram at all is left
        if not is_quantised:
            raise BrokenModelError("it is pruned but not quantised")
        if bucket > BUCKETS_MAX:
            raise BrokenModelError(f"it has {bucket} buckets")
        pruned = pruned[(pruned[:, 0] >= 0) & (pruned[:, 0] < bucket)]
        if np.any((pruned[:, 1] < 0) | (pruned[:, 1] >= len(rows) - n_words)):
            raise BrokenModelError("its n-grams lie beyond its matrix")
        bucket_rows = np.full(max(bucket, 0), -1, "<i4")
        bucket_rows[pruned[:, 0]] = n_words + pruned[:, 1]
    (output_is_quantised,) = file.numbers(struct.Struct("<?"))
    output = file.quantised() if is_quantised and output_is_quantised else file.dense()
    output_rows = np.array(output.rows) if is_quantised else output.rows
    if rows.shape[1] != dim or output.rows.shape != (n_labels, dim):
        raise BrokenModelError(f"its matrices {rows.shape}, {output.rows.shape} are not of {dim} x {n_labels}")
    return Model(
        dim=dim,
        minn=minn,
        maxn=maxn if version > 11 else 0,  # older supervised models have no character n-grams
        word_ngrams=word_ngrams,
        loss=loss,
        bucket=max(bucket, 0),
        n_words=n_words,
        labels=tuple(label.decode("utf-8") for label in words[n_words:]),
        words=b"".join(word + b"\0" for word in words),
        rows=rows,
        bucket_rows=bucket_rows,
        output=output_rows,
        scale=output.scale,
        tree=_huffman_tree(counts[n_words:]) if loss == HIERARCHICAL_SOFTMAX else None,
        file=None if is_quantised else (opened.fileno(), info.st_size, info.st_mtime_ns),
        changed=None if is_quantised else (MissingModel, f"{path}: {CHANGED}"),
    )


def _times(rows: Floats, scale: Floats) -> Floats:
    """Scaled rows, the first at the start of a cache line: one of 16 numbers is then in one line, not in two."""
    space = np.empty(rows.nbytes + CACHE_LINE, np.uint8)
    start = -space.ctypes.data % CACHE_LINE
    scaled = space[start : start + rows.nbytes].view(np.float32).reshape(rows.shape)
    return np.multiply(rows, scale[:, None], out=scaled)


def _huffman_tree(counts: list[int]) -> npt.NDArray[np.int32]:
    """Both children of each inner node of fastText's tree over labels, which it has in order of falling count.

    Nodes are numbered: labels from 0, then inner nodes, the root last.
    """
    labels = len(counts)
    total = [*counts, *[10**15] * max(labels - 1, 0)]  # fastText's stand-in until an inner node has its count
    tree = np.empty((max(labels - 1, 0), 2), np.int32)
    leaf, node = labels - 1, labels
    for i, children in enumerate(tree):
        for side in (0, 1):
            if leaf >= 0 and total[leaf] < total[node]:
                children[side], leaf = leaf, leaf - 1
            else:
                children[side], node = node, node + 1
            if children[side] >= labels + i:
                raise BrokenModelError("its labels' counts are impossible")
        total[labels + i] = total[children[0]] + total[children[1]]
    return tree
