"""The compiled functions equal their plain reading, which stands here in Python."""

from __future__ import annotations

import hashlib
import importlib
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filters._native import line_hashes, simhash64, text_stats

DELETED = "«´»–—’“”„…∶━►、。〈〉《》「」【】！％（），．１：；？～" + "".join(map(chr, [*range(32), *range(127, 160)]))
ALL_OF_UNICODE = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)

# every width of character, and those with rules of their own: final sigma, the I with a dot, line ends, digits
ODD = st.sampled_from("Σς\u0130\u0307\r\n\v\x1c\x85\u2028\xa0\u3000_-'aB19é１٣〈ѐ€\U0001d7d8\U00010400\x00\x7f")
TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), ODD, st.characters(max_codepoint=127)))
LONG = st.builds(lambda part, times: part * times, TEXTS, st.sampled_from([1, 7, 40, 900]))


def plain_stats(text: str) -> tuple[int, int, int, int]:
    lines = text.splitlines()
    return len(lines), max(map(len, lines), default=0), sum(map(str.isalnum, text)), sum(map(str.isalpha, text))


def plain_simhash(text: str) -> int:
    kept = re.sub(r"[^\w]+", "", text.lower())
    windows = [kept[i : i + 6] for i in range(max(len(kept) - 5, 1))]
    features = [int.from_bytes(hashlib.md5(w.encode()).digest()[-8:], "big") for w in windows]
    return sum(1 << bit for bit in range(64) if 2 * sum(f >> bit & 1 for f in features) > len(features))


def plain_hashes(text: str) -> bytes:
    delete = str.maketrans("", "", DELETED)
    lines = (re.sub(r"\d", "0", line.strip().lower()).translate(delete) for line in text.split("\n"))
    return b"".join(hashlib.sha1(line.encode()).digest()[:8] for line in lines)


def test_there_are_34_marks_and_65_controls() -> None:
    assert len(set(DELETED)) == len(DELETED) == 34 + 65


@given(LONG | st.text())
@example("a\r\nb\rc\n\nd\x85")
@example("\r\n")
@example("é\r")
def test_text_stats(text: str) -> None:
    assert text_stats(text) == plain_stats(text)


@given(LONG)
@example("")
@example("abcde")
@example("abcdef")
@example("É" * 37 + "a")
@example("ΑΣ\nΑΣΑ Σ")
@example("a" * 300 + "é" + "b" * 300)
@example("\U00010400" * 64)
def test_simhash64(text: str) -> None:
    assert simhash64(text) == plain_simhash(text)


@pytest.mark.parametrize("chars", [5, 6, 36, 37, 38, 68, 69, 260, 261, 262, 4100, 4101, 4102, 8197, 8198])
@pytest.mark.parametrize("alphabet", ["abcdefg", "abcdefgé", "бвгдежа", "漢字仮名交文", "a\U0001d4d0bé漢"])
def test_simhash64_around_its_blocks(chars: int, alphabet: str) -> None:
    text = "".join(alphabet[i * i * 7 % len(alphabet)] for i in range(chars))
    assert simhash64(text) == plain_simhash(text)


def test_simhash64_in_pieces() -> None:
    """A text above 64 Ki characters that is not Latin-1 is lower-cased in pieces: the sigmas before and after a cut."""
    text = ("ΟΔΥΣΣΕΥΣ ΟΔΟΣ\n" * 6000) + "Σ\nΣΑΣ" + "x" * 70_000 + "Σ\n"
    assert simhash64(text) == plain_simhash(text)


def test_simhash64_leaves_out_lone_surrogates() -> None:
    assert simhash64("ab\ud800cdefgh") == plain_simhash("abcdefgh")


def test_simhash64_is_the_published_package() -> None:
    simhash = importlib.import_module("simhash")
    text = "It is a truth universally acknowledged, that a single man in possession of a good fortune ... élan, 漢字"
    kept = re.sub(r"[^\w]+", "", text.lower())
    assert simhash64(text) == simhash.Simhash([kept[i : i + 6] for i in range(len(kept) - 5)]).value


def test_more_windows_than_the_counters_hold() -> None:
    """The bit slices are emptied after 1,048,320 windows; a constant text then has every count at its maximum."""
    assert simhash64("a" * 1_100_000) == plain_simhash("aaaaaa")


@given(LONG)
@example(" Ab1 \n\n\t９\x85x\n")
@example("x" * 55 + "\n" + "x" * 56 + "\n" + "x" * 64 + "\n" + "é" * 5000)
@example("ΑΣ\nΑΣΑ")
@example("\u0130STANBUL")
def test_line_hashes(text: str) -> None:
    assert line_hashes(text) == plain_hashes(text)


def test_every_code_point() -> None:
    """Each on a line of its own; one mismatch anywhere shows in the hash of that line."""
    text = "\n".join("x" + c + "y" for c in ALL_OF_UNICODE if c != "\n")
    assert line_hashes(text) == plain_hashes(text)
    assert text_stats(ALL_OF_UNICODE) == plain_stats(ALL_OF_UNICODE)
    kept = re.sub(r"[^\w]+", "", ALL_OF_UNICODE.lower())
    assert simhash64(ALL_OF_UNICODE) == simhash64(kept)


@pytest.mark.parametrize("first", range(0, 0x3000, 0x40))
def test_simhash64_of_small_ranges(first: int) -> None:
    """So few characters that each one that is wrongly kept, dropped or lowered changes the result."""
    text = "".join(map(chr, range(first, first + 0x40)))
    assert simhash64(text) == plain_simhash(text)


def test_decimal_digits_are_what_the_expression_finds() -> None:
    assert set(re.findall(r"\d", ALL_OF_UNICODE)) == {c for c in ALL_OF_UNICODE if unicodedata.category(c) == "Nd"}


def test_blank_line_has_the_published_hash() -> None:
    assert int.from_bytes(line_hashes(""), "little") == 0x0D4B6B5EEEA339DA
    assert line_hashes("\n \n\x00") == line_hashes("") * 3


def test_a_lone_surrogate_has_no_hash() -> None:
    with pytest.raises(UnicodeEncodeError):
        line_hashes("fine\nnot \udcff fine")


@pytest.mark.parametrize("function", [text_stats, simhash64, line_hashes])
def test_only_text(function: object) -> None:
    with pytest.raises(TypeError, match="takes a str, not bytes"):
        function(b"bytes")  # type: ignore[operator]
