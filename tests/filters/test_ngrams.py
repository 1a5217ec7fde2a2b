"""N-grams of words: the words are those of MinHash, the sieve loses none, equal hashes are not yet equal words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import _minhash, ngrams
from tests.kernels.test_minhash import plain_words

TEXTS = st.text(st.sampled_from("aB7 _-\u00e9\u0301\u00ad\u200b\u6f22\u0e01\U0001f600\U00020000\u0130")) | st.text()


def index_of(tests: list[str], ngram: int) -> ngrams.Index:
    """An index in memory, made the plain way."""
    words, hashes, places = b"", [], []
    for text in tests:
        spelt, found, starts = ngrams.ngrams_of(text, ngram)
        hashes.append(found)
        places.append(starts + np.uint64(len(words)))
        words += spelt + b"\0"
    every, where = np.concatenate(hashes), np.concatenate(places)
    order = np.lexsort((where, every))
    sieve = np.zeros(ngrams.sieve_size(len(every)), np.uint64)
    ngrams.add_to_sieve(sieve, every[order])
    return ngrams.Index(ngram, every[order], where[order], np.frombuffer(words, np.uint8), sieve)


@given(TEXTS)
def test_words_are_those_of_minhash(text: str) -> None:
    words = ngrams.words_of(text).decode(errors="surrogatepass")
    assert words.split("\0")[:-1] == plain_words(text)
    assert not words or words.endswith("\0")


@pytest.mark.parametrize("letter", ["a", "\u0301", "\u6f22", "\U00020000", ".", "a ", " a", "a\u0301", "\ud800x"])
@pytest.mark.parametrize("length", [4095, 4096, 4097, 8192, 70_000])
def test_words_across_pieces(letter: str, length: int) -> None:
    text = (letter * length)[:length] + "b"
    assert ngrams.words_of(text).decode(errors="surrogatepass").split("\0")[:-1] == plain_words(text)


@given(st.lists(st.text("ab ", max_size=12), max_size=4), st.lists(st.text("ab ", max_size=12)), st.integers(1, 4))
def test_hits_are_those_of_the_plain_reading(tests: list[str], texts: list[str], ngram: int) -> None:
    def grams(text: str) -> list[str]:
        words = text.split()
        return [" ".join(words[i : i + ngram]) for i in range(len(words) - ngram + 1)]

    index = index_of([*tests, ""], ngram)
    known = {gram for text in tests for gram in grams(text)}
    found = [(hit.text, hit.ngram) for hit in ngrams.hits(texts, index)]
    assert found == [(n, gram) for n, text in enumerate(texts) for gram in grams(text) if gram in known]
    for hit in ngrams.hits(texts, index):
        words = index.words.tobytes()
        places = [
            m.start() for m in re.finditer(rb"(?<![^\0])(?=%b\0)" % hit.ngram.encode().replace(b" ", b"\0"), words)
        ]
        assert index.places_of(hit.row).tolist() == places


def test_equal_hashes_of_other_words_are_no_hit() -> None:
    index = index_of(["a b c"], 3)
    forged = ngrams.Index(3, index.hashes, index.places, np.frombuffer(b"a\0b\0x\0\0", np.uint8), index.sieve)
    assert list(ngrams.hits(["a b c"], index))
    assert not list(ngrams.hits(["a b c"], forged))


def test_of_equal_hashes_each_is_compared() -> None:
    [hashed] = ngrams.ngrams_of("a b", 2)[1].tolist()
    words = np.frombuffer(b"x\0y\0\0a\0b\0\0a\0b\0\0", np.uint8)
    sieve = np.full(2, ~np.uint64(0))
    index = ngrams.Index(2, np.full(3, hashed, np.uint64), np.array([0, 5, 10], np.uint64), words, sieve)
    [hit] = ngrams.hits(["a b"], index)
    assert (hit.row, index.places_of(hit.row).tolist()) == (1, [5, 10])


@pytest.mark.parametrize("count", [0, 1, 4, 5, 1000])
def test_the_sieve_lets_every_ngram_pass_and_few_others(count: int) -> None:
    generator = np.random.default_rng(count)
    hashes = np.sort(generator.integers(0, 1 << 64, count, np.uint64))
    sieve = np.zeros(ngrams.sieve_size(count), np.uint64)
    for part in np.array_split(hashes, 3):
        ngrams.add_to_sieve(sieve, part)
    whole = np.zeros_like(sieve)
    ngrams.add_to_sieve(whole, hashes)
    assert (sieve == whole).all()
    text = " ".join(map(str, range(20_000)))
    found, passed = ngrams.ngrams_of(text, 1)[1], np.frombuffer(_minhash.sifted([text], 1, sieve), np.uint64)
    assert len(passed) // 3 < 0.02 * len(found)
    known = np.sort(found)
    sieve = np.zeros(ngrams.sieve_size(len(known)), np.uint64)
    ngrams.add_to_sieve(sieve, known)
    rows = np.frombuffer(_minhash.sifted(["", text], 1, sieve), np.uint64).reshape(-1, 3)
    assert (rows == np.column_stack([np.ones_like(found), np.arange(len(found)), found])).all()


@pytest.mark.parametrize("sieve", [b"", b"\0" * 8, b"\0" * 24, b"\0" * 20, b"\0" * 17])
def test_a_sieve_of_another_size_is_refused(sieve: bytes) -> None:
    with pytest.raises(ValueError, match="power of two"):
        _minhash.sifted([], 1, sieve)


@pytest.mark.parametrize("text", [None, b"a", 1])
def test_only_str_is_taken(text: Any) -> None:
    with pytest.raises(TypeError):
        _minhash.words(text)
    with pytest.raises(TypeError):
        _minhash.sifted([text], 1, np.zeros(2, np.uint64))
