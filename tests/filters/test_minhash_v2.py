"""The signatures of RedPajama-V2 against their definition, written out in whole numbers of Python."""

from __future__ import annotations

import hashlib
import re
import string
import sys
import unicodedata

import numpy as np
import pytest

from filters import _minhash, _native, minhash, minhash_v2

PRIME = 2**61 - 1
TEXT = "The Quick, brown fox — l'été d'Élodie; jumps over\tthe lazy dog.\n\nAnd again: the quick brown fox! " * 3


def normalized(text: str) -> str:
    """As quality_signals defines it: five steps in this order."""
    text = "".join(letter for letter in text if letter not in string.punctuation)
    return unicodedata.normalize("NFD", re.sub(r"\s+", " ", text.lower().strip()))


def permutations() -> list[tuple[int, int]]:
    random = np.random.RandomState(42)
    return [
        (int(random.randint(1, PRIME, dtype=np.uint64)), int(random.randint(0, PRIME, dtype=np.uint64)))
        for _ in range(128)
    ]


def expected(text: str) -> list[int]:
    words = normalized(text).split()
    shingles = {" ".join(words[i : i + 13]) for i in range(len(words) - 12)}
    hashes = [int.from_bytes(hashlib.sha1(shingle.encode()).digest()[:4], "little") for shingle in shingles]
    return [min(((a * h + b) % 2**64 % PRIME) & 0xFFFFFFFF for h in hashes) for a, b in permutations()]


@pytest.mark.parametrize(
    "text", [TEXT, " ".join(f"word{n}" for n in range(3000)), "a " * 14, "İ̇x ß Å " * 9, "one\x1ctwo\u2003three " * 5]
)
def test_a_signature_is_the_published_definition(text: str) -> None:
    found = minhash_v2.signature(text)
    assert found is not None
    assert found.tolist() == expected(text)


def test_thirteen_words_make_a_signature_and_twelve_do_not() -> None:
    words = [f"w{n}" for n in range(13)]
    assert minhash_v2.signature(" ".join(words)) is not None
    assert minhash_v2.signature(" ".join(words[:12]) + " ?!") is None
    assert set(minhash_v2.banded(None).values()) == {None}


@pytest.mark.parametrize("value", [0, PRIME - 1, PRIME, PRIME + 1, 2 * PRIME, 7 * PRIME, 8 * PRIME, 2**64 - 1])
def test_the_remainder_is_exact_at_its_ends(value: int) -> None:
    """A permutation that gives one number for every hash."""
    least = np.empty(1, np.uint32)
    _minhash.sign_v2(np.array([5], np.uint32), np.zeros(1, np.uint64), np.array([value], np.uint64), least)
    assert least.tolist() == [value % PRIME % 2**32]


def test_the_product_wraps_around_and_the_least_is_kept() -> None:
    hashes, factor, summand = [2**32 - 1, 1, 2**31], 2**61 - 2, 2**61 - 2
    least = np.empty(1, np.uint32)
    given = np.array([factor], np.uint64), np.array([summand], np.uint64)
    _minhash.sign_v2(np.array(hashes, np.uint32), *given, least)
    assert least.tolist() == [min((factor * h + summand) % 2**64 % PRIME % 2**32 for h in hashes)]


@pytest.mark.parametrize("ngram", [1, 2, 13])
@pytest.mark.parametrize(
    "size", [*range(1, 12), 50, 53, 55, 56, 57, 62, 63, 64, 65, 118, 119, 120, 127, 128, 129, 9000]
)
def test_windows_are_hashed_as_hashlib_does(size: int, ngram: int) -> None:
    """Also where a window ends at a block, or its padding begins a new one."""
    words = ["w" * size, "", "x", "w" * (size // 2), *[str(n) for n in range(size % 17)], "é" * size]
    windows = [" ".join(words[i : i + ngram]).encode() for i in range(len(words) - ngram + 1)]
    expected = b"".join(hashlib.sha1(window).digest()[:4] for window in windows)
    assert _native.window_hashes(" ".join(words).encode(), ngram) == expected


@pytest.mark.parametrize(
    ("words", "n", "count"), [(b"", 1, 0), (b"a", 1, 1), (b"a", 2, 0), (b" ", 1, 2), (b"a b", sys.maxsize, 0)]
)
def test_windows_of_few_words(words: bytes, n: int, count: int) -> None:
    assert len(_native.window_hashes(words, n)) == 4 * count


@pytest.mark.parametrize("n", [0, -1, -sys.maxsize])
def test_a_window_of_no_word_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="a window has a word at least"):
        _native.window_hashes(b"a b c", n)


@pytest.mark.parametrize(
    ("hashes", "a", "b", "out"), [(3, 8, 8, 4), (4, 7, 7, 4), (4, 8, 16, 4), (4, 8, 8, 8), (4, 8, 8, 0)]
)
def test_arrays_that_do_not_fit_are_refused(hashes: int, a: int, b: int, out: int) -> None:
    with pytest.raises(ValueError, match="do not fit each other"):
        _minhash.sign_v2(bytes(hashes), bytes(a), bytes(b), bytearray(out))


@pytest.mark.parametrize("threshold", minhash_v2.BANDS)
def test_bands_are_those_of_the_search_and_cut_the_signature(threshold: float) -> None:
    bands, rows = minhash_v2.BANDS[threshold]
    assert minhash.optimal_bands(threshold, minhash_v2.PERMUTATIONS) == (bands, rows)
    signature = minhash_v2.signature(TEXT)
    column = minhash_v2.banded(signature)[f"signature_sim{threshold}"]
    assert signature is not None
    assert column is not None
    assert [len(band) for band in column] == [4 * rows] * bands
    assert np.frombuffer(b"".join(column), ">u4").tolist() == signature[: bands * rows].tolist()
