"""The MinHash signatures of RedPajama-V2, byte for byte, in the bands that it publishes for LSH.

Source: RedPajama-Data, app/src/dedupe (branch main), with the values of configs/rp_v2.0.conf. They are kept as they are
so that new signatures can be compared with the published ones; :mod:`filters.minhash` is faster and knows more scripts.

- Words: ASCII punctuation deleted, lower case, split at white space, NFD. A shingle is 13 of them joined by blanks; a
  text of fewer has no signature.
- Hash of a shingle: the first 4 bytes of the SHA-1 of its UTF-8, little-endian.
- Permutations: ``((a * h + b) mod 2**64 mod (2**61 - 1)) mod 2**32``: the product wraps around first, as published.
"""

from __future__ import annotations

import string
import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

from filters import _minhash, _native

NGRAM = 13
PERMUTATIONS = 128
SEED = 42
BANDS = {1.0: (1, 128), 0.9: (5, 25), 0.8: (9, 13), 0.7: (14, 9)}
"""Bands and rows for each threshold, in the published order: :func:`filters.minhash.optimal_bands` of it."""

_PRIME = np.uint64((1 << 61) - 1)
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def column(threshold: float) -> str:
    """The name of the published column of a threshold."""
    return f"signature_sim{threshold}"


def words_of(text: str) -> list[str]:
    """The normalised words of a text."""
    return unicodedata.normalize("NFD", text.translate(_PUNCTUATION).lower()).split()


def signature(text: str) -> npt.NDArray[np.uint32] | None:
    """The :data:`PERMUTATIONS` numbers of a text; None for one of fewer than :data:`NGRAM` words."""
    words = words_of(text)
    if len(words) < NGRAM:
        return None
    return permuted(np.frombuffer(_native.window_hashes(" ".join(words).encode(), NGRAM), "<u4"))


def permuted(hashes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The signature of shingles with these hashes, in any order."""
    a, b = permutations()
    least = np.empty(PERMUTATIONS, np.uint32)
    _minhash.sign_v2(np.ascontiguousarray(hashes, np.uint32), a, b, least)
    return least


def banded(signature: npt.NDArray[np.uint32] | None) -> dict[str, list[bytes] | None]:
    """The published columns: for each threshold the bands, each the big-endian bytes of its numbers; or None."""
    if signature is None:
        return dict.fromkeys(map(column, BANDS))
    data = signature.astype(">u4").tobytes()
    return {
        column(threshold): [data[4 * rows * band : 4 * rows * (band + 1)] for band in range(bands)]
        for threshold, (bands, rows) in BANDS.items()
    }


@cache
def permutations() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The published a and b."""
    random = np.random.RandomState(SEED)  # its stream never changes; a and b are drawn in turn
    pairs = [[random.randint(low, _PRIME, dtype=np.uint64) for low in (1, 0)] for _ in range(PERMUTATIONS)]
    a, b = np.array(pairs, np.uint64).T
    return np.ascontiguousarray(a), np.ascontiguousarray(b)
