"""N-grams of words that texts share with test sets: an index of the tests' n-grams, and what of a text is in it.

A word is what :mod:`filters.minhash` says: lower-case letters and digits with their marks, everything else between
words; in scripts without spaces each character. So case, punctuation and white space hide nothing. An n-gram is ``n``
consecutive words of one string. A string of fewer words has none: it can neither be found nor find.

The index is four files, which are mapped into memory and not read into it:

    hashes   the 64-bit hash of each n-gram of the tests, sorted
    places   where in ``words`` each begins (of equal hashes in this order)
    words    the words of all tests in UTF-8, a zero byte after each, another one after each string
    sieve    two bits for each hash, 32 bits wide: of 250 n-grams that no test has, one passes

What passes the sieve is looked up in ``hashes``; what is there is compared word by word in ``words``. So a hit is never
one of hashes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filters import _minhash, minhash

NGRAM_MAX = _minhash.NGRAM_MAX
_SIEVE_SHARE = 2  # n-grams for each 64-bit word of the sieve

Numbers = NDArray[np.uint64]


class Hit(NamedTuple):
    """An n-gram of a text that tests have: the text's number, the n-gram's row (the first of equal ones) and words."""

    text: int
    row: int
    ngram: str


@dataclass(frozen=True)
class Index:
    """The n-grams of test sets, mapped (see above)."""

    ngram: int
    hashes: Numbers
    places: Numbers
    words: NDArray[np.uint8]
    sieve: Numbers

    def places_of(self, row: int) -> Numbers:
        """Where in ``words`` the n-gram that :class:`Hit` names stands, in every test. ``row`` is that of a hit."""
        hashes = self.hashes
        if row + 1 == len(hashes) or hashes[row + 1] != hashes[row]:  # most n-grams stand in one place
            return self.places[row : row + 1]
        end = int(np.searchsorted(hashes, hashes[row], side="right"))
        here = int(self.places[row])
        size = _end_of(self.words, here, self.ngram) - here
        wanted = self.words[here : here + size]
        others = self.places[row:end]
        return others[[np.array_equal(self.words[place : place + size], wanted) for place in others.tolist()]]


def words_of(text: str) -> bytes:
    """The words of a text in lower-case UTF-8, a zero byte after each."""
    minhash.prepare()
    return _minhash.words(text)


def ngrams_of(text: str, ngram: int) -> tuple[bytes, Numbers, Numbers]:
    """The words of a text, the hash of each of its n-grams, and where in the words each begins."""
    spelt = words_of(text)
    starts = _starts(spelt)
    if len(starts) < ngram:
        return spelt, np.empty(0, np.uint64), np.empty(0, np.uint64)
    return spelt, np.frombuffer(_minhash.shingles(text, ngram), np.uint64), starts[: len(starts) - ngram + 1]


def sieve_size(ngrams: int) -> int:
    """The 64-bit words of the sieve for so many n-grams: a power of two."""
    return 1 << max(1, (max(0, ngrams - 1) // _SIEVE_SHARE).bit_length())


def add_to_sieve(sieve: Numbers, hashes: Numbers) -> None:
    """Set the bits of sorted hashes."""
    if not len(hashes):
        return
    word = hashes >> np.uint64(64 - (len(sieve).bit_length() - 1))
    one = np.uint64(1)
    bits = one << (hashes & np.uint64(63)) | one << (hashes >> np.uint64(6) & np.uint64(63))
    first = np.flatnonzero(np.concatenate(([True], word[1:] != word[:-1])))
    sieve[word[first]] |= np.bitwise_or.reduceat(bits, first)


def hits(texts: Sequence[str], index: Index) -> Iterator[Hit]:
    """The n-grams of each text that a test has, in order, those that come again again."""
    minhash.prepare()
    found = np.frombuffer(_minhash.sifted(texts, index.ngram, index.sieve), np.uint64).reshape(-1, 3)
    if not len(found) or not len(index.hashes):
        return
    rows = np.searchsorted(index.hashes, found[:, 2])
    there = index.hashes[np.minimum(rows, len(index.hashes) - 1)] == found[:, 2]
    text, spelt, starts = -1, b"", np.empty(0, np.uint64)
    for (number, place, _), row in zip(found[there].tolist(), rows[there].tolist(), strict=True):
        if number != text:
            text, spelt = number, words_of(texts[number])
            starts = np.append(_starts(spelt), np.uint64(len(spelt)))
        if place + index.ngram >= len(starts):  # a text of fewer words: its one shingle is no n-gram
            continue
        ngram = spelt[int(starts[place]) : int(starts[place + index.ngram])]
        equal = _equal_row(index, row, ngram)
        if equal is not None:
            yield Hit(number, equal, ngram[:-1].replace(b"\0", b" ").decode(errors="surrogatepass"))


def _equal_row(index: Index, row: int, ngram: bytes) -> int | None:
    """The first row of those with the hash of ``row`` that has these words; None when only the hashes are equal."""
    value = index.hashes[row]
    while row < len(index.hashes) and index.hashes[row] == value:
        place = int(index.places[row])
        if index.words[place : place + len(ngram)].tobytes() == ngram:
            return row
        row += 1
    return None


def _starts(spelt: bytes) -> Numbers:
    """Where each word begins."""
    ends = np.flatnonzero(np.frombuffer(spelt, np.uint8) == 0).astype(np.uint64)
    starts = np.zeros(len(ends), np.uint64)
    starts[1:] = ends[:-1] + np.uint64(1)
    return starts


def _end_of(words: NDArray[np.uint8], place: int, ngram: int) -> int:
    """Where the n-gram that begins at ``place`` ends, its last zero byte included."""
    window = 64 * ngram
    while True:
        ends = np.flatnonzero(words[place : place + window] == 0)
        if len(ends) >= ngram:
            return place + int(ends[ngram - 1]) + 1
        window *= 2
