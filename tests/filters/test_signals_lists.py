"""Signals that need lists and models: each list in each of its forms, and what is not given is absent."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from filters.signals import SignalSources, classifier_score, quality_signals, source_domain
from filters.signals_dsir import SIPHASH_ROUNDS, distribution_files, hash_key, importance_scores
from filters.signals_lists import (
    BAD_WORD_LANGUAGES,
    UT1_CATEGORIES,
    bad_word_files,
    category_id,
    domain_category,
    domain_files,
    list_file,
)
from redpajama_data.errors import MissingModel
from redpajama_data.models.registry import resolve


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def score(text: str, name: str, sources: SignalSources, meta: dict[str, Any] | None = None) -> Any:
    """The score of one signal, or "absent"."""
    found = quality_signals(text, meta, sources=sources)
    return found[f"rps_doc_{name}"][0][2] if f"rps_doc_{name}" in found else "absent"


# ------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("the cat, the dog", None, 0.4),  # of five raw words
        ("The cat", None, 0.0),  # capitals do not match (as published)
        ("don't", None, 0.33333333),  # "don" of don, ', t; the entry don't never matches
        ("!!!", None, 0.0),
        ("", None, 0.0),
        ("le chat", "fr", 0.5),
        ("the cat", "it", "absent"),  # no list for it
    ],
)
def test_stop_words(tmp_path: Path, text: str, language: str | None, expected: Any) -> None:
    lists = {"en": ["the", "don", "don't"], "fr": ["le"]}
    sources = SignalSources(stop_words=list_file(write(tmp_path / "stop.json", json.dumps(lists))))
    assert score(text, "stop_word_fraction", sources, {"language": language}) == expected


@pytest.mark.parametrize("content", ["", "[1]", '{"en": "the"}', '{"en": [1]}', "\udcff"])
def test_stop_words_of_another_form(tmp_path: Path, content: str) -> None:
    (tmp_path / "stop.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(MissingModel, match="stopwords-all"):
        score("a", "stop_word_fraction", SignalSources(stop_words=list_file(str(tmp_path / "stop.json"))))


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("bad and BAD, bad!", "en", 3.0),
        ("very  bad\nthing", "en", 2.0),  # "bad" and "very bad thing"
        ("very bad", "en", 1.0),
        ("bad-word", "en", 0.0),  # normalised: badword
        ("Bad Things", "en", 1.0),  # "bad"; the entry with capitals does not match
        ("", "en", 0.0),
        ("mal", "fr", 1.0),
        ("bad", "de", "absent"),  # a published language whose list is not there
        ("bad", "pl", 0.0),  # no list exists (as published)
    ],
)
@pytest.mark.parametrize("ending", ["", ".txt"])
def test_bad_words(tmp_path: Path, text: str, language: str, expected: Any, ending: str) -> None:
    write(tmp_path / f"en{ending}", " bad \nvery bad thing\nbad-word\nBad Things\n\n")
    write(tmp_path / f"fr{ending}", "mal")
    sources = SignalSources(bad_words=bad_word_files(str(tmp_path)))
    assert score(text, "ldnoobw_words", sources, {"language": language}) == expected


def test_a_folder_without_bad_words(tmp_path: Path) -> None:
    write(tmp_path / "pl", "x")
    with pytest.raises(MissingModel, match="LDNOOBW"):
        bad_word_files(str(tmp_path))
    (tmp_path / "en").write_bytes(b"\xff")
    with pytest.raises(MissingModel, match="UTF-8"):
        score("a", "ldnoobw_words", SignalSources(bad_words=bad_word_files(str(tmp_path))))


def test_nothing_given_gives_no_signal() -> None:
    names = ("stop_word_fraction", "ldnoobw_words", "ut1_blacklist", "ml_wikiref_score", "books_importance")
    assert {score("text", name, SignalSources(), {"url": "http://a.com"}) for name in names} == {"absent"}
    assert BAD_WORD_LANGUAGES == ("en", "fr", "it", "es", "de")


# ---------------------------------------------------------------------------------------------- domains


def test_numbers_of_categories() -> None:
    assert list(UT1_CATEGORIES) == sorted(UT1_CATEGORIES)
    every = itertools.chain.from_iterable(itertools.combinations(UT1_CATEGORIES, n) for n in range(1, 14))
    assert all(category_id(names) == i for i, names in enumerate(every))


@pytest.mark.parametrize("form", ["folder", "parent", "json", "json in folder"])
def test_domains(tmp_path: Path, form: str) -> None:
    place, found = str(tmp_path), {"a.com": 0, "b.com": category_id(("adult", "porn")), "ä.de": category_id(("porn",))}
    if form in ("folder", "parent"):
        base = tmp_path / "blacklists" if form == "parent" else tmp_path
        write(base / "adult" / "domains", "a.com\nb.com \n")
        write(base / "porn" / "domains", "b.com\nä.de\n")
        write(base / "press" / "domains", "c.com\n")  # not of the published choice
    else:
        text = json.dumps({**found, 'q"\\': 3}, ensure_ascii=form == "json")
        place = write(tmp_path / "domain_to_category_id.json", text) if form == "json" else place
        write(tmp_path / "domain_to_category_id.json", text)
    files = tuple(domain_files(place).items())
    assert {name: domain_category(name, files) for name in (*found, "c.com", "www.a.com", "")} == {
        **found,
        "c.com": None,
        "www.a.com": None,
        "": None,
    }
    sources = SignalSources(domains=files)
    assert score("x", "ut1_blacklist", sources, {"source_domain": "b.com"}) == found["b.com"]
    assert score("x", "ut1_blacklist", sources, {"url": "https://a.com/page"}) == 0
    assert score("x", "ut1_blacklist", sources, {"url": "https://other.com"}) is None
    assert score("x", "ut1_blacklist", sources, {}) == "absent"


@pytest.mark.parametrize("content", ["", "[]", '{"a": "b"}', '{"a": 1', '{"a": 1 "b": 2}', "{a: 1}", '{"a": 1}{'])
def test_domains_of_another_form(tmp_path: Path, content: str) -> None:
    place = write(tmp_path / "domain_to_category_id.json", content)
    with pytest.raises(MissingModel, match="no domains with their categories"):
        domain_category("a", tuple(domain_files(place).items()))


def test_an_empty_object_of_domains_and_no_list_at_all(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="no UT1 list"):
        domain_files(str(tmp_path))
    assert domain_category("a", tuple(domain_files(write(tmp_path / "x.json", " { } ")).items())) is None


@pytest.mark.parametrize(
    ("meta", "domain"),
    [
        ({"source_domain": "a.com", "url": "http://b.com"}, "a.com"),
        ({"url": "http://b.com:80/x"}, "b.com:80"),
        ({"url": "b.com/x"}, None),
        ({"url": "https://Ab-1.org?q"}, "Ab-1.org"),
        ({"url": "https://ab.org"}, "ab.org"),
        ({"url": "https://ab.org\n/x"}, "ab.org"),
        ({"url": "ftp://u:p@ab.org/x"}, "u:p@ab.org"),
        ({"url": "//ä.de/x"}, "ä.de"),
        ({"url": "http://[b/x"}, None),
        ({"url": 7}, None),
        ({}, None),
    ],
)
def test_source_domain(meta: dict[str, Any], domain: str | None) -> None:
    assert source_domain(meta) == domain


# ------------------------------------------------------------------------------------------- classifiers


def test_classifier(shared_data: Path) -> None:
    import fasttext

    path = str(shared_data / "models" / "wikiref.bin")
    model, published = resolve(path), fasttext.load_model(path)
    texts = [
        "A page.\nOf two lines.\r\n",
        " \x0b ",
        "Buy cheap pills now!!!",
        "The history of the river.\x85It is long.",
    ]
    for text in texts:
        labels, probabilities = published.predict(" ".join(text.splitlines()).strip())
        value = 1 - probabilities[0] if labels[0] == "__label__cc" else probabilities[0]
        assert classifier_score(text, model) == round(float(value), 8)
    assert classifier_score("", model) is None
    assert classifier_score("\ud800", model) == classifier_score("?", model)
    sources = SignalSources(classifiers={"en": {"wikiref": model, "palm": model}})
    found = quality_signals(texts[0], {"language": "en"}, sources=sources)
    assert list(found)[-2:] == ["rps_doc_ml_palm_score", "rps_doc_ml_wikiref_score"]
    assert score(texts[0], "ml_wikiref_score", sources) == classifier_score(texts[0], model)
    assert score(texts[0], "ml_wikiref_score", sources, {"language": "de"}) == "absent"


# ----------------------------------------------------------------------------------- importance weights

TEXTS = [
    "Hello, world! Hello again",
    "naïve café — Ünïcödé",
    "ελληνικά and 漢字 mixed é",
    "𝟘 emoji 😀 é a",
    "a",
    "x" * 50 + " " + "ж" * 9,
    " \n",
]
_COUNT = """
import json, re, sys
def features(text):
    words = re.findall(r"\\w+|[^\\w\\s]+", text)
    counts = [0] * 1000
    for x in [*words, *zip(words, words[1:])]:
        counts[abs(hash(x)) % 1000] += 1
    return counts
print(json.dumps([sys.hash_info.algorithm, [features(text) for text in json.load(sys.stdin)]]))
"""


def test_features_are_those_of_python() -> None:
    from filters._signals import hash_features

    for seed in (42, 1, 4294967295):
        ran = subprocess.run(
            [sys.executable, "-c", _COUNT],
            input=json.dumps(TEXTS),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        )
        algorithm, expected = json.loads(ran.stdout)
        rounds = SIPHASH_ROUNDS[int(algorithm.removeprefix("siphash"))]
        for text, counts in zip(TEXTS, expected, strict=True):
            found = hash_features(text, 1000, *hash_key(seed), rounds, False)
            assert np.frombuffer(found, "<i8").tolist() == counts


def test_siphash_2_4_of_its_authors() -> None:
    """The test vector of the paper: key 00..0f, message 00..0e; as a str it has one byte a character."""
    from filters._signals import hash_features

    key = bytes(range(16))
    text = "".join(map(chr, range(0x21, 0x30)))  # one raw word of 15 characters
    counts = np.frombuffer(
        hash_features(text, 1 << 20, int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little"), 2, False),
        "<i8",
    )
    assert counts.sum() == 1
    assert int(counts.argmax()) == abs(_siphash24(key, text.encode())) % (1 << 20)


def _siphash24(key: bytes, message: bytes) -> int:
    mask = (1 << 64) - 1
    k0, k1 = (int.from_bytes(key[i : i + 8], "little") for i in (0, 8))
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def turn(x: int, n: int) -> int:
        return (x << n | x >> (64 - n)) & mask

    def rounds(n: int) -> None:
        for _ in range(n):
            v[0] = v[0] + v[1] & mask
            v[1] = turn(v[1], 13) ^ v[0]
            v[0] = turn(v[0], 32)
            v[2] = v[2] + v[3] & mask
            v[3] = turn(v[3], 16) ^ v[2]
            v[0] = v[0] + v[3] & mask
            v[3] = turn(v[3], 21) ^ v[0]
            v[2] = v[2] + v[1] & mask
            v[1] = turn(v[1], 17) ^ v[2]
            v[2] = turn(v[2], 32)

    padded = message + b"\0" * (7 - len(message) % 8) + bytes([len(message) % 256])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i : i + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    value = v[0] ^ v[1] ^ v[2] ^ v[3]
    return value - (1 << 64) if value >> 63 else value


def test_the_siphash_of_the_test_is_the_papers() -> None:
    assert _siphash24(bytes(range(16)), bytes(range(15))) % (1 << 64) == 0xA129CA6149BE45E5


def distributions(folder: Path, *, targets: tuple[str, ...] = ("books", "wikipedia"), buckets: int = 100) -> None:
    base = folder / "en"
    base.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("ccnet", *targets):
        np.save(base / f"{name}.en.{buckets}.counts.npy", rng.integers(0, 1000, buckets))
    for name, mean in (("ccnet", 12.5), ("books", 20.0)):
        np.save(base / f"{name}.en.lambda.npy", np.float64(mean))


def test_importance(tmp_path: Path) -> None:
    from filters._signals import hash_features

    distributions(tmp_path)
    files = distribution_files(str(tmp_path), siphash=13, words="regex")["en"]
    text = "A short text of some words."
    counts = {name: np.load(file.path) for name, file in files.counts.items()}
    features = np.frombuffer(hash_features(text, 100, *hash_key(42), 1, True), "<i8")
    plain = {
        name: sum(
            n * (math.log(target / counts[name].sum() + 1e-8) - math.log(source / counts["ccnet"].sum() + 1e-8))
            for n, target, source in zip(features, counts[name], counts["ccnet"], strict=True)
        )
        for name in ("books", "wikipedia")
    }
    poisson = {mean: math.exp(27 * math.log(mean) - mean) / math.factorial(27) for mean in (20.0, 12.5)}
    term = math.log(poisson[20.0] + 1e-8) - math.log(poisson[12.5] + 1e-8)
    found = importance_scores(text, files)
    assert found == pytest.approx(
        {
            "books_importance": plain["books"],
            "books_importance_length_correction": plain["books"] + term,
            "wikipedia_importance": plain["wikipedia"],
        },
        abs=2e-8,
    )
    sources = SignalSources(distributions={"en": files})
    signals = quality_signals(text, sources=sources)
    assert list(signals)[-3:] == [f"rps_doc_{name}" for name in found]
    assert score(text, "books_importance", sources) == found["books_importance"]
    assert score(text, "books_importance", sources, {"language": "fr"}) == "absent"
    assert set(importance_scores("", files).values()) == {None}
    other = distribution_files(str(tmp_path), siphash=24, words="regex")["en"]
    assert importance_scores(text, other)["books_importance"] != found["books_importance"]


def test_distributions_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="no distributions"):
        distribution_files(str(tmp_path / "none"), siphash=13, words="re")
    distributions(tmp_path / "a")
    np.save(tmp_path / "a" / "en" / "books.en.100.counts.npy", np.ones(7))
    with pytest.raises(MissingModel, match="buckets"):
        importance_scores("a", distribution_files(str(tmp_path / "a"), siphash=13, words="re")["en"])
    distributions(tmp_path / "b")
    (tmp_path / "b" / "en" / "books.en.100.counts.npy").write_bytes(b"no array")
    with pytest.raises(MissingModel, match="no array"):
        importance_scores("a", distribution_files(str(tmp_path / "b"), siphash=13, words="re")["en"])
    distributions(tmp_path / "c")
    np.save(tmp_path / "c" / "en" / "ccnet.en.100.counts.npy", np.zeros(100))
    with pytest.raises(MissingModel, match="nothing"):
        importance_scores("a", distribution_files(str(tmp_path / "c"), siphash=13, words="re")["en"])
