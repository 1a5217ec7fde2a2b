"""MinHash signatures of texts, their bands for LSH, and the true Jaccard similarity that they estimate.

**A text's shingles**, on which all of it rests:

- Characters are lower-cased one by one (Unicode's simple mapping; nothing is normalised or folded otherwise).
- A word is a maximal run of letters and digits (Unicode's L* and N*), with the marks (M*) that follow them. Everything
  else separates words: spaces, punctuation, symbols, the underscore, apostrophes ("don't" is "don" and "t"), controls,
  lone surrogates, private and unassigned characters. A mark that follows no letter or digit is nothing (the variation
  selector of an emoji).
- Format characters (Cf: soft hyphen, zero-width joiners, direction marks, byte order mark) and variation selectors are
  skipped, as if they were not there: a text with soft hyphens has the words of the one without. The zero width space
  separates words: that is its purpose.
- In scripts written without spaces each letter or digit, with its marks, is a word: Han, Hiragana, Katakana, Bopomofo,
  Yi, Tangut, Khitan, Nushu, Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet, Ahom, Javanese,
  Balinese (the scripts that Unicode's line breaking, UAX 14, breaks anywhere or by dictionary). Not Hangul, which has
  spaces, and not Tibetan, whose syllables have a mark between them.
- A shingle is ``ngram`` consecutive words, in order, whatever stands between them. A text of fewer words has one
  shingle, of all its words; a text without words has none. Repeated shingles count once.

What a character is, is asked of the running Python's ``unicodedata``: a newer Unicode knows more letters.

**Hashes**: of a word 64 bits of its UTF-8, of a shingle a polynomial of its words' hashes, mixed to 64 bits. True
Jaccard is computed on these (:func:`shingles`); permuted are their upper 32 bits.

**Permutations**: those of datasketch 2 with its default seed and its default scheme, "affine32": the 32 bits are mixed
by MurmurHash3's finaliser, then ``a * h + b mod 2**32`` with odd ``a``. From the same 32-bit hashes both make the same
signature. datasketch calls its older family modulo 2**61 - 1 "legacy": it is slower and no more accurate.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from filters import _minhash
from redpajama_data.errors import UsageError

NGRAM_MAX = _minhash.NGRAM_MAX
PERMUTATIONS_MAX = 10_000
SEED = 1  # datasketch's default

# Classes of characters, as in filters/_minhash.c.
_SEPARATOR, _LETTER, _MARK, _IGNORED, _ALONE = range(5)
_CLASSED = 0x20000  # beyond, the kernel goes by range: Han in planes 2 and 3, tags and variation selectors in 14
_IGNORED_MARKS = ((0x34F, 0x34F), (0x180B, 0x180D), (0x180F, 0x180F), (0xFE00, 0xFE0F))
WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # radicals of Han
    (0x3005, 0x3007),  # its iteration mark, closing mark and zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3031, 0x303C),  # kana repeat marks, more numerals
    (0x3041, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31BF),  # more Bopomofo
    (0x31F0, 0x31FF),  # more Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xA980, 0xA9DF),  # Javanese
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # Han, for compatibility
    (0xFF66, 0xFF9F),  # Katakana of half width
    (0x11700, 0x1174F),  # Ahom
    (0x16FE0, 0x16FF6),  # marks of Tangut, Nushu, Khitan and Han
    (0x17000, 0x18DFF),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # kana, Nushu
)


@dataclass(frozen=True)
class Scheme:
    """How near-duplicates are looked for; of the ``permutations`` the first ``bands * rows`` make bands."""

    threshold: float
    ngram: int
    permutations: int
    bands: int
    rows: int


def scheme(*, threshold: float, ngram: int, permutations: int) -> Scheme:
    """The scheme for a Jaccard ``threshold`` (above 0, at most 1) on shingles of ``ngram`` words.

    Bands and rows are :func:`optimal_bands`. Raises :class:`UsageError` for a value out of range.
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"A threshold of {threshold} is no Jaccard similarity. Give one above 0, at most 1.")
    if not 1 <= ngram <= NGRAM_MAX:
        raise UsageError(f"Shingles of {ngram} words cannot be made. Give 1 to {NGRAM_MAX}.")
    if not 2 <= permutations <= PERMUTATIONS_MAX:
        raise UsageError(f"{permutations} permutations make no signature. Give 2 to {PERMUTATIONS_MAX}.")
    return Scheme(threshold, ngram, permutations, *optimal_bands(threshold, permutations))


@lru_cache(maxsize=64)
def optimal_bands(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, rows) that datasketch's ``MinHashLSH`` takes for a threshold and a number of permutations.

    Texts of similarity s share a band of r rows with probability ``1 - (1 - s**r)**b``. Of all b and r with
    ``b * r <= permutations``, those that make the integral of false positives below the threshold plus that of false
    negatives above it least; the first (lowest b, then r) of equals. The integrands are polynomials, so Gauss-Legendre
    with half as many nodes as permutations is exact; datasketch integrates adaptively, to 10**-8 or better.
    """
    nodes, weights = np.polynomial.legendre.leggauss(min(permutations // 2 + 1, 256))
    below, above = threshold * (nodes + 1) / 2, threshold + (1 - threshold) * (nodes + 1) / 2
    best, least = (1, 1), np.inf
    for bands in range(1, permutations + 1):
        rows = np.arange(1, permutations // bands + 1)[:, None]
        false_positive = (1 - (1 - below**rows) ** bands) @ weights * (threshold / 2)
        false_negative = ((1 - above**rows) ** bands) @ weights * ((1 - threshold) / 2)
        error = 0.5 * false_positive + 0.5 * false_negative
        row = int(np.argmin(error))
        if error[row] < least:
            best, least = (bands, row + 1), error[row]
    return best


def signatures(texts: Sequence[str], scheme: Scheme) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """The signature of each text, (texts, permutations), and whether it has a shingle, (texts,).

    A text without shingles has a row of zeros: leave it out of what follows. Any str will do, lone surrogates included.
    """
    prepare()
    a, b = _permutations(scheme.permutations)
    out = np.empty((len(texts), scheme.permutations), np.uint32)
    has = np.empty(len(texts), np.bool_)
    _minhash.signatures(texts, scheme.ngram, a, b, out, has)
    return out, has


def band_keys(signatures: NDArray[np.uint32], scheme: Scheme) -> NDArray[np.uint64]:
    """A 64-bit hash of each band of each signature, (texts, bands): of the band's number and its rows.

    Texts that share a key are a candidate pair. All bits are well mixed: keys can be partitioned by the top ones.
    """
    keys = np.empty((len(signatures), scheme.bands), np.uint64)
    rows = np.ascontiguousarray(signatures, dtype=np.uint32)
    _minhash.band_keys(rows, scheme.permutations, scheme.bands, scheme.rows, keys)
    return keys


def similarity(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> NDArray[np.float64]:
    """The estimated Jaccard similarity of each pair of signatures, (pairs,): the share of equal rows.

    ``a`` and ``b`` are (pairs, permutations). Its standard error is ``sqrt(s * (1 - s) / permutations)``.
    """
    share: NDArray[np.float64] = np.count_nonzero(a == b, axis=1) / a.shape[1]
    return share


def shingles(text: str, *, ngram: int) -> NDArray[np.uint64]:
    """The distinct 64-bit hashes of a text's shingles, sorted."""
    prepare()
    return np.unique(np.frombuffer(_minhash.shingles(text, ngram), np.uint64))


def jaccard(a: str, b: str, *, ngram: int) -> float:
    """The Jaccard similarity of two texts' shingles; 0 if neither has any."""
    one, other = shingles(a, ngram=ngram), shingles(b, ngram=ngram)
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(1, len(one) + len(other) - shared)


def sign(hashes: NDArray[np.uint32], *, permutations: int, path: str = _minhash.PATHS[-1]) -> NDArray[np.uint32]:
    """The signature of a set of 32-bit hashes; all of ``_minhash.PATHS`` give the same."""
    a, b = _permutations(permutations)
    out = np.empty(permutations, np.uint32)
    _minhash.sign(np.ascontiguousarray(hashes, np.uint32), a, b, out, path)
    return out


@lru_cache(maxsize=8)
def _permutations(count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    random = np.random.RandomState(SEED)  # its stream never changes
    a = random.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return a, random.randint(0, 1 << 32, count, dtype=np.uint32)


@cache
def prepare() -> None:
    """Tell the kernel what the characters are; 40 ms, once a process."""
    categories = list(map(unicodedata.category, map(chr, range(_CLASSED))))
    of_group = {"L": _LETTER, "N": _LETTER, "M": _MARK}
    of = {name: _IGNORED if name == "Cf" else of_group.get(name[0], _SEPARATOR) for name in set(categories)}
    classes = bytearray(map(of.__getitem__, categories))
    classes[0x200B] = _SEPARATOR  # the zero width space
    for first, last in _IGNORED_MARKS:
        classes[first : last + 1] = bytes([_IGNORED]) * (last + 1 - first)
    letters_alone = bytes.maketrans(bytes([_LETTER]), bytes([_ALONE]))
    for first, last in WITHOUT_SPACES:
        classes[first : last + 1] = classes[first : last + 1].translate(letters_alone)
    _minhash.prepare(bytes(classes))
