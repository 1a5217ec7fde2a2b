"""Names of clusters: the words that are in more of their documents than elsewhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from redpajama_data.explorer.neighbours import Ints
from redpajama_data.explorer.terms import BUCKETS, bucket_of

WORDS = 5_000  # of a shard that may name a cluster: those in most of its documents
NAMED = 4  # words of a name
_TRIED = 24  # of a cluster's words, of which some are too rare to be known, or too short
_FEWEST, _MOST = 6, 60  # clusters


def frequent(counted: Counter[str], most: int) -> list[tuple[str, int]]:
    """The words with the highest counts; of equal ones the first of the alphabet."""
    return sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def clusters_for(documents: int) -> int:
    """How many clusters so many documents are divided in: two thirds of the square root, between 6 and 60."""
    return max(1, min(documents, max(_FEWEST, min(_MOST, round(math.sqrt(documents) * 2 / 3)))))


def largest_first(own: Ints) -> Ints:
    """Clusters numbered anew, by size; those without a document are left out."""
    sizes = np.bincount(own)
    order = np.argsort(-sizes, kind="stable")
    number = np.empty(len(sizes), np.int32)
    number[order] = np.arange(len(sizes), dtype=np.int32)
    return number[own]


def name(
    own: Ints,
    buckets: npt.NDArray[np.uint32],
    terms: Iterable[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]],
    words: Iterable[tuple[str, int]],
) -> list[tuple[list[str], int]]:
    """The words of each cluster and how many documents it has.

    ``own`` is the cluster of each document, ``terms`` their buckets and how many each document has, in the same order
    and in pieces, ``words`` what may be a name, with its documents. A word that is in a share p of a cluster's
    documents and q of all counts ``p log(p / q)²``: without the square "the" and "will" are names.
    """
    count, width = int(own.max()) + 1, len(buckets)
    place = np.full(BUCKETS, -1, np.int64)
    place[buckets] = np.arange(width)
    within = np.zeros((count, width))
    first = 0
    for found, sizes in terms:
        of = np.repeat(own[first : first + len(sizes)], sizes)
        columns = place[found]
        known = columns >= 0
        within += np.bincount(of[known] * width + columns[known], minlength=count * width).reshape(count, width)
        first += len(sizes)
    sizes_of = np.bincount(own, minlength=count)
    share = within / np.maximum(sizes_of, 1)[:, None]
    overall = within.sum(axis=0) / max(1, len(own))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(within > 1, share * np.log(np.maximum(share / overall, 1)) ** 2, 0)
    tried = [[int(i) for i in np.argsort(-row, kind="stable")[:_TRIED] if row[i] > 0] for row in score]
    spelled = _spelled({int(buckets[i]) for row in tried for i in row}, words)
    named = [[spelled[b] for i in row if (b := int(buckets[i])) in spelled][:NAMED] for row in tried]
    return [(of_it, int(size)) for of_it, size in zip(named, sizes_of, strict=True)]


def _spelled(wanted: set[int], words: Iterable[tuple[str, int]]) -> dict[int, str]:
    """The most frequent word of each bucket that has one of three letters or more."""
    found: Counter[tuple[int, str]] = Counter()
    for word, count in words:
        if (len(word) > 2 or not word.isascii()) and (bucket := bucket_of(word)) in wanted:
            found[bucket, word] += count
    spelled: dict[int, str] = {}
    for (bucket, word), _ in sorted(found.items(), key=lambda pair: (-pair[1], pair[0])):
        spelled.setdefault(bucket, word)
    return spelled
