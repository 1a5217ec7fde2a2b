"""The words of a text, counted, and as numbers: what vectors are made of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

READ = 4_000  # characters of a text that are looked at: the map is of what documents are about, and that is soon clear
BUCKETS = 1 << 20  # a word is one of so many numbers; of 300,000 words in use one in seven shares its number
COUNTED = (1 << 12) - 1  # a higher count of a word is this one
_WORD = re.compile(r"[^\W\d_]{2,24}")
_NO_SPACES = "\u2e80"  # from here on scripts that put none between words: pairs of characters stand for words

Terms = npt.NDArray[np.uint32]
"""The terms of a document: ``bucket << 12 | count``, rising."""


def words_of(text: str) -> Counter[str]:
    """The words of the first :data:`READ` characters of a text, in lower case, with how often each is there."""
    found = _WORD.findall(text[:READ].lower())
    if text.isascii():
        return Counter(found)
    return Counter(piece for word in found for piece in (_pairs(word) if word >= _NO_SPACES else (word,)))


def _pairs(word: str) -> Iterable[str]:
    return (word[i : i + 2] for i in range(len(word) - 1))


@lru_cache(1 << 17)
def bucket_of(word: str) -> int:
    """The number of a word: the same everywhere."""
    return xxh3_64_intdigest(word.encode()) % BUCKETS


def terms_of(words: Counter[str]) -> Terms:
    """Words as numbers. Words of one bucket are one."""
    counts: dict[int, int] = {}
    for word, count in words.items():
        bucket = bucket_of(word)
        counts[bucket] = counts.get(bucket, 0) + count
    return np.array(sorted(b << 12 | min(count, COUNTED) for b, count in counts.items()), "<u4")


def split(terms: Terms) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The buckets of terms, and their counts."""
    return terms >> np.uint32(12), terms & np.uint32(COUNTED)
