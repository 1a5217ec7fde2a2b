"""The quality signals equal the published definitions, which stand here in plain Python, and the published values."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters._signals import Table, signals_json
from filters.signals import (
    CCNET_SIGNALS,
    LINE_SIGNALS,
    TEXT_SIGNALS,
    VALUE_SIGNALS,
    ccnet_values,
    quality_signals,
    signal_values,
)

Triples = list[list[Any]]

# ------------------------------------------------------------------------------- the definitions, word for word

BULLETS = "•‣▶◀◦■□▪▫–"
CIRCLED = {*range(0x24B6, 0x24EA), *range(0x1F130, 0x1F14A), *range(0x1F150, 0x1F16A), *range(0x1F170, 0x1F18A)}


def is_regex_word(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind[0] in "LM" or kind in ("Nd", "Nl", "Pc") or ord(char) in CIRCLED or char in "\u200c\u200d"


def plain_raw_words(text: str, words: str) -> list[str]:
    if words == "re":
        return re.findall(r"\w+|[^\w\s]+", text)
    found: list[str] = []
    before = " "
    for char in text:
        kind = "w" if is_regex_word(char) else " " if char.isspace() and char not in "\x1c\x1d\x1e\x1f" else "."
        if kind == before != " ":
            found[-1] += char
        elif kind != " ":
            found.append(char)
        before = kind
    return found


def plain_normalized(text: str) -> str:
    text = text.translate(str.maketrans("", "", string.punctuation)).lower().strip()
    return unicodedata.normalize("NFD", re.sub(r"\s+", " ", text))


def plain_ngrams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def plain_top(words: list[str], n: int) -> float:
    counts = Counter(plain_ngrams(words, n))
    if not counts or max(counts.values()) <= 1:
        return 0.0
    top, count = counts.most_common(1)[0]
    return round(sum(map(len, top)) * count / sum(map(len, words)), 8)


def plain_dupe(words: list[str], n: int) -> float:
    if len(words) < n:
        return 0.0
    grams = plain_ngrams(words, n)
    counts = Counter(grams)
    marked = {i + k for i, gram in enumerate(grams) if counts[gram] > 1 for k in range(n)}
    return round(sum(len(words[i]) for i in marked) / sum(map(len, words)), 8)


def plain_entropy(words: list[str]) -> float:
    entropy = 0.0
    for count in Counter(words).values():  # not sum(): from 3.12 on it compensates
        entropy += -count / len(words) * math.log(count / len(words))
    return round(entropy, 8)


def plain_signals(
    text: str, words: str = "regex", stop: set[str] | None = None, bad: set[str] | None = None
) -> dict[str, Triples]:
    normal = plain_normalized(text)
    norm_words, raw = normal.split(), plain_raw_words(text, words)
    lines = [(m.start(), m.end(), m[0]) for m in re.finditer(r"[^\n]*\n|[^\n]+$", text)]

    def share(part: float, whole: float, none: float | None) -> float | None:
        return round(part / whole, 8) if whole else none

    def per_line(score: Callable[[str], float]) -> Triples:
        return [[start, end, score(line)] for start, end, line in lines]

    def numeric(line: str) -> float:
        line = plain_normalized(line)
        return round(sum(map(str.isnumeric, line)) / len(line), 8) if line else 0.0

    doc: dict[str, Any] = {"curly_bracket": share(text.count("{") + text.count("}"), len(text), 0.0)}
    if bad is not None:
        sizes = {1 + entry.count(" ") for entry in bad}
        doc["ldnoobw_words"] = float(sum(" ".join(g) in bad for n in sizes for g in plain_ngrams(norm_words, n)))
    lorem = re.findall("lorem ipsum", normal, re.IGNORECASE) if "lorem ipsum" in normal else []
    doc["lorem_ipsum"] = share(len(lorem), len(normal), 0.0)
    if stop is not None:
        doc["stop_word_fraction"] = share(sum(w in stop for w in raw), len(raw) if norm_words else 0, 0.0)
    for n in (10, 5, 6, 7, 8, 9):
        doc[f"frac_chars_dupe_{n}grams"] = plain_dupe(norm_words, n)
    for n in (2, 3, 4):
        doc[f"frac_chars_top_{n}gram"] = plain_top(norm_words, n)
    ellipses = sum(line.rstrip().endswith(("...", "…")) for _, _, line in lines)
    symbols = sum(map(text.count, ("#", "...", "…")))
    doc |= {
        "frac_all_caps_words": share(sum(map(str.isupper, raw)), len(raw), None),
        "frac_lines_end_with_ellipsis": share(ellipses, len(lines), None),
        "frac_no_alph_words": round(1 - sum(bool(re.search("[a-zA-Z]", w)) for w in raw) / len(raw), 8)
        if raw
        else None,
        "frac_unique_words": share(len(set(norm_words)), len(norm_words), None),
        "mean_word_length": share(sum(map(len, norm_words)), len(norm_words), None),
        "num_sentences": float(len(re.findall(r"\b[^.!?]+[.!?]*", text))),
        "symbol_to_word_ratio": share(symbols, len(raw), None),
        "unigram_entropy": plain_entropy(norm_words) if norm_words else None,
        "word_count": len(norm_words),
    }
    return {f"rps_doc_{name}": [[0, len(text), score]] for name, score in doc.items()} | {
        "rps_lines_ending_with_terminal_punctution_mark": per_line(
            lambda line: float(line.rstrip().endswith((".", "!", "?", "”")))
        ),
        "rps_lines_javascript_counts": per_line(lambda line: float(plain_normalized(line).split().count("javascript"))),
        "rps_lines_num_words": per_line(lambda line: len(plain_normalized(line).split())),
        "rps_lines_numerical_chars_fraction": per_line(numeric),
        "rps_lines_start_with_bulletpoint": per_line(lambda line: float(line.lstrip().startswith(tuple(BULLETS))))
        or [[0, len(text), None]],
        "rps_lines_uppercase_letter_fraction": per_line(lambda line: round(sum(map(str.isupper, line)) / len(line), 8)),
    }


def measured(text: str, words: str = "regex", stop: set[str] | None = None, bad: set[str] | None = None) -> Any:
    lists: tuple[Table | None, ...] = (None, None, None)
    if bad is not None:
        phrases = [entry for entry in bad if " " in entry]
        starts = {first: max(1 + e.count(" ") for e in phrases if e.split(" ")[0] == first)
                  for first in (phrase.split(" ")[0] for phrase in phrases)}  # fmt: skip
        lists = (
            Table((entry, 0) for entry in bad if " " not in entry),
            Table((phrase, 0) for phrase in phrases),
            Table(starts.items()),
        )
    stops = None if stop is None else Table((word, 0) for word in stop)
    return json.loads(signals_json(text, stops, *lists, b"{", b"", b"}", True, 1 << 28, words == "regex"))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- the text's signals

# every width of character and those with rules of their own
ODD = st.sampled_from(
    "ΣσςİıſKÅÀé½²①ⅧⓇ٣۵一㊀〇ǅǆªªé़्̖́ẹ̈ệ가각\u200d\ufe0f…”“’•–—#{}.!?,'_-/ \t\r\n\v\f\x00\x1c\x1d\x1e\x1f\x85\xa0\u2028"
    "\u1fef\u037e\u0344\U0001d7d8\U00010400\U0001f130\U0001d15e\ud800\udc00"
)
SPECIMENS = """
a b the The THE javascript JavaScript, lorem Lorem ipsum ipſum ıpsum xlorem ipsumy #tag U.S. don't e.g.
12 3,4 ... … ½ naïve ΑΣ ΑΣ' ΣΑ É é . ! - • –x { }
"""
WORDS = st.sampled_from([*SPECIMENS.split(), "\n", "\n\n", ""])
TEXTS = st.one_of(
    st.text(st.one_of(st.characters(), ODD, st.characters(max_codepoint=127)), max_size=60),
    st.lists(st.one_of(WORDS, st.text(ODD, max_size=4)), max_size=80).map(" ".join),
    st.builds(
        lambda part, times: part * times, st.lists(WORDS, max_size=15).map(" ".join), st.sampled_from([2, 7, 60])
    ),
)
STOP = {"a", "the", "don", "'", "é", "½", "...", "Σ", "naïve"}
BAD = {"a", "the the", "a b", "javascript a b", "don't", "é", "a  b", "lorem ipsum lorem ipsum", "12 34"}


@settings(max_examples=400)
@given(TEXTS, st.sampled_from(["re", "regex"]))
@example("", "re")
@example("\n", "re")
@example(" ", "regex")
@example("!!!", "regex")
@example("a\x1cb\x1d. \x1e½", "regex")
@example("lorem ıpsum lorem ipſum lorem ipsum\nLorem, Ipsum!", "re")
@example("lorem ıpsum", "re")
@example("e\u0301\u0316 e\u0316\u0301 \u0344\u0316", "re")
@example("ΑΣ ΑΣ' ΑΣ\u0301 Σ.Α", "re")
@example("- .. ... .... .....! #...# …", "re")
@example("Ⓡ Ⓡa ❤\ufe0f❤\ufe0f 1½ ½. a", "regex")
@example("a b c d e f g h i j k " * 3, "re")
def test_signals_equal_their_definitions(text: str, words: str) -> None:
    found = measured(text, words, STOP, BAD)
    expected = plain_signals(text, words, STOP, BAD)
    assert list(found) == list(expected)
    assert found == expected
    assert repr(found) == repr(expected)  # 1 is not 1.0, nor -0.0 0.0


@pytest.mark.parametrize(
    ("shape", "words"),
    [("a{}b ", "re"), ("a{}b ", "regex"), ("Σ{} {}Σ ", "regex"), ("e{0}\u0301{0}\u0316 ", "regex"), ("{0}{0}\n", "re")],
)
def test_every_character_of_unicode(shape: str, words: str) -> None:
    for first in range(0, 0x110000, 0x4000):
        chars = [chr(c) for c in range(first, first + 0x4000) if unicodedata.category(chr(c)) not in ("Cn", "Co")]
        if not chars:
            continue
        text = "".join(shape.replace("{0}", char).replace("{}", char) for char in chars)
        normal, raw = plain_normalized(text).split(), plain_raw_words(text, words)
        letters = sum(bool(re.search("[a-zA-Z]", word)) for word in raw)
        values = {
            "rps_doc_word_count": len(normal),
            "rps_doc_mean_word_length": round(sum(map(len, normal)) / len(normal), 8),
            "rps_doc_frac_unique_words": round(len(set(normal)) / len(normal), 8),
            "rps_doc_frac_all_caps_words": round(sum(map(str.isupper, raw)) / len(raw), 8),
            "rps_doc_frac_no_alph_words": round(1 - letters / len(raw), 8),
            "rps_doc_num_sentences": float(len(re.findall(r"\b[^.!?]+[.!?]*", text))),
        }
        found = measured(text, words)
        assert {name: found[name][0][2] for name in values} == values


@pytest.mark.parametrize("words", ["re", "regex"])
def test_long_texts(words: str, shared_data: Path) -> None:
    """Tables grow, numbers have many digits: whole books, and each of them twice."""
    with open(shared_data / "books" / "books3-train.jsonl") as file:
        books = [json.loads(line)["text"][:150_000] for line in file][:2]
    for text in (*books, books[0][:50_000] * 2):
        assert measured(text, words) == plain_signals(text, words)


def test_signals_of_published_documents(shared_data: Path) -> None:
    """The published code's own values, to the last digit: 26 signals of 300 documents."""
    with gzip.open(shared_data / "c4" / "c4-train.00000-of-00001.json.gz") as file:
        texts = [json.loads(line)["text"] for line in file][:300]
    with gzip.open(shared_data / "expected" / "rpv2_signals.c4.jsonl.gz") as file:
        expected = [json.loads(line) for line in file]
    assert len(texts) == len(expected) == 300
    for text, entry in zip(texts, expected, strict=True):
        assert hashlib.sha256(text.encode()).hexdigest() == entry["sha256"]
        found = json.loads(json.dumps(quality_signals(text)))
        assert repr(dict(sorted(found.items()))) == repr(dict(sorted(entry["quality_signals"].items())))


def score_of(part: int, whole: int) -> float:
    """A ratio as the kernel writes it: part braces in a text of that length."""
    score: float = measured("{" * part + "a" * (whole - part))["rps_doc_curly_bracket"][0][2]
    return score


@pytest.mark.parametrize(
    ("part", "whole", "rounded"),
    [
        (1, 512, 0.00195312),  # 0.001953125: a tie goes to the even digit
        (3, 512, 0.00585938),  # 0.005859375
        (1, 3, 0.33333333),
        (2, 3, 0.66666667),
        (1, 10_001, 9.999e-05),
        (1, 10_000, 0.0001),
        (1, 3_000_000, 3.3e-07),
        (1, 100_000_000, 1e-08),
        (0, 7, 0.0),
        (7, 7, 1.0),
    ],
)
def test_scores_are_rounded_as_python_rounds(part: int, whole: int, rounded: float) -> None:
    assert score_of(part, whole) == rounded == round(part / whole, 8)


@given(st.integers(1, 9999).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_any_score_is_rounded_as_python_rounds(ratio: tuple[int, int]) -> None:
    text = "{" * ratio[0] + "a" * (ratio[1] - ratio[0])
    expected = f'"rps_doc_curly_bracket":[[0,{ratio[1]},{round(ratio[0] / ratio[1], 8)!r}]],'
    assert signals_json(text, None, None, None, None, b"", b"", b"", False, 0, True).startswith(expected.encode())


def test_a_score_of_many_digits() -> None:
    text = "a" * 1_234_567 + " " + "b" * 1_234_568
    assert measured(text)["rps_doc_mean_word_length"] == [[0, len(text), 1234567.5]]


def test_what_goes_before_between_and_after() -> None:
    found = signals_json("a", None, None, None, None, b'{"w":0,', b'"x":1,', b',"y":2}', False, 0, True)
    assert list(json.loads(found)) == ["w", *TEXT_SIGNALS[:2], "x", *TEXT_SIGNALS[2:], "y"]


@pytest.mark.parametrize(
    "arguments",
    [
        (b"a", None, None, None, None, b"", b"", b"", True, 9, True),
        ("a", {}, None, None, None, b"", b"", b"", True, 9, True),
        ("a", None, None, None, None, "", b"", b"", True, 9, True),
        ("a", None, None, None, None, b"", "", b"", True, 9, True),
        ("a", None, None, None, None, b"", b"", None, True, 9, True),
        ("a",),
    ],
)
def test_arguments_of_other_types_are_refused(arguments: Any) -> None:
    with pytest.raises(TypeError):
        signals_json(*arguments)


# ---------------------------------------------------------------------------------------- what CCNet found, and values


def test_names_are_those_of_the_signals() -> None:
    found = quality_signals("A line.\nAnother.", {"bucket": "head"})
    assert tuple(found) == ("ccnet_bucket", *TEXT_SIGNALS, *LINE_SIGNALS)
    assert frozenset(CCNET_SIGNALS + TEXT_SIGNALS) == VALUE_SIGNALS


@pytest.mark.parametrize(
    ("meta", "values"),
    [
        ({}, {}),
        ({"bucket": "head"}, {"ccnet_bucket": 0.0}),
        ({"bucket": "middle"}, {"ccnet_bucket": 1.0}),
        ({"bucket": "tail"}, {"ccnet_bucket": 2.0}),
        ({"bucket": "all"}, {"ccnet_bucket": None}),
        ({"bucket": 1, "perplexity": None, "length": "7", "nlines": True}, {}),
        ({"perplexity": 341.5, "length": 7}, {"ccnet_length": 7.0, "ccnet_perplexity": 341.5}),
        ({"length": 10**400}, {}),
        (
            {"original_length": 9, "nlines": 1, "original_nlines": 2, "language_score": 0.9},
            {
                "ccnet_original_length": 9.0,
                "ccnet_nlines": 1.0,
                "ccnet_original_nlines": 2.0,
                "ccnet_language_score": 0.9,
            },
        ),
    ],
)
def test_ccnet_values(meta: dict[str, Any], values: dict[str, float | None]) -> None:
    assert ccnet_values(meta) == values
    found = quality_signals("text", meta)
    assert {name: found[name] for name in found if name.startswith("ccnet")} == {
        name: [(0, 4, value)] for name, value in values.items()
    }


def test_values_on_demand() -> None:
    names = ["rps_doc_word_count", "rps_doc_frac_unique_words", "ccnet_perplexity", "ccnet_length"]
    found = signal_values("One two two three", {"perplexity": 7}, names)
    assert found == {
        "rps_doc_word_count": 4,
        "rps_doc_frac_unique_words": 0.75,
        "ccnet_perplexity": 7.0,
        "ccnet_length": None,
    }
    assert list(found) == names
    assert signal_values("", {}, VALUE_SIGNALS)["rps_doc_mean_word_length"] is None
    with pytest.raises(KeyError):
        signal_values("a", {}, ["rps_lines_num_words"])


# ------------------------------------------------------------------------------------------------ tables


@given(st.lists(st.tuples(st.text(max_size=4), st.integers(-(1 << 63), (1 << 63) - 1)), max_size=300))
def test_a_table_is_a_dict(pairs: list[tuple[str, int]]) -> None:
    table, expected = Table(pairs), dict(pairs)
    assert len(table) == len(expected)
    assert {key: table.get(key) for key in expected} == expected
    for absent in ("", "\ud800", "abcdef", "\U0001d7d8"):
        assert table.get(absent) == expected.get(absent)
    for key in expected:
        table.set(key, 7)
    assert {table.get(key) for key in expected} <= {7}


@pytest.mark.parametrize("pairs", [None, [1], ["ab"], [("a", "b")], [("a", 1 << 63)], [(1, 1)], [("a",)], [b"ab"]])
def test_a_table_refuses_other_pairs(pairs: Any) -> None:
    with pytest.raises((TypeError, OverflowError)):
        Table(pairs)
