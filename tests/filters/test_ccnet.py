"""CCNet's steps against plain, slow readings of the recipe; the real texts are those of 380 languages."""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
import tracemalloc
import unicodedata
from collections.abc import Callable
from pathlib import Path

import kenlm
import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.ccnet import (
    CUTOFFS,
    LanguageModel,
    assign_bucket,
    bucket_in,
    identify_language,
    kept_urls,
    language_in,
    measure_perplexity,
    min_language_score,
    min_length,
    shards_per_file,
)
from filters.ccnet_lines import (
    Hashes,
    LineSets,
    clean_lines,
    duplicated_lines,
    line_hashes,
    line_sets,
    lines_of,
    remove_duplicated_lines,
)
from filters.ccnet_normalize import line_hash, line_key, normalize
from filters.perplexity import load_language_model, perplexity
from filters.wikiref import classify_reference, min_wiki_prob, predict_reference, reference_line
from redpajama_data.document import Document, Drop
from redpajama_data.errors import MissingModel
from redpajama_data.models.model_file import ModelFile

# ---------------------------------------------------------------- plain readings of the recipe

DELETED_IN_KEYS = (
    "00AB 00B4 00BB 2013 2014 2019 201C 201D 201E 2026 2236 2501 25BA 3001 3002 3008 3009 300A 300B 300C 300D 3010 "
    "3011 FF01 FF05 FF08 FF09 FF0C FF0E FF11 FF1A FF1B FF1F FF5E"
)
DELETED = {chr(int(code, 16)) for code in DELETED_IN_KEYS.split()}
REPLACED_FOR_THE_MODEL = (
    '， , 。 . 、 , „ " ” " “ " « " » " １ " 」 " 「 " 《 " 》 " '
    "´ ' ’ ' ∶ : ： : ？ ? ！ ! （ ( ） ) ； ; – - ～ ~ … ... ━ - ► - "
    "〈 < 〉 > 【 [ 】 ] ％ %"
)


def is_control(char: str) -> bool:
    return ord(char) < 0x20 or 0x7F <= ord(char) <= 0x9F


def plain_key(line: str) -> str:
    line = line.strip()
    if not line:
        return ""
    line = re.sub(r"\d", "0", line.lower())
    return "".join(char for char in line if char not in DELETED and not is_control(char))


@functools.cache
def plain_hash(line: str) -> int:
    return int.from_bytes(hashlib.sha1(plain_key(line).encode()).digest()[:8], "little")


@functools.cache
def plain_normalize(text: str) -> str:
    text = unicodedata.normalize("NFD", text.strip().lower())
    text = "".join(char for char in text if unicodedata.category(char) != "Mn")
    text = re.sub(r"\d", "0", text)
    words = REPLACED_FOR_THE_MODEL.split(" ")
    table = {**dict(zip(words[::2], words[1::2], strict=True)), "—": " - ", "．": ". "}
    return "".join(char for char in (table.get(char, char) for char in text) for char in char if not is_control(char))


def plain_duplicates(files: list[list[str]]) -> set[int]:
    """Recipe 7.4: a table for each shard, then the tables of a group loaded one after another."""
    group: dict[int, bool] = {}
    for texts in files:
        table: dict[int, bool] = {}
        for text in texts:
            hashes = [plain_hash(line) for line in text.split("\n")]
            known = [(each, each in table) for each in hashes]
            for each, seen in known:
                table[each] = seen
        for each, value in table.items():
            group[each] = each in group or value
    return {each for each, value in group.items() if value}


def plain_clean(text: str, duplicates: set[int]) -> tuple[str, list[int]]:
    seen: set[int] = set()
    ids = []
    for n, line in enumerate(text.split("\n")):
        value = plain_hash(line)
        if value not in duplicates and value not in seen:
            ids.append(n)
        seen.add(value)
    return "\n".join(text.split("\n")[n] for n in ids), ids


# ---------------------------------------------------------------- real texts


@pytest.fixture(scope="module")
def languages(shared_data: Path) -> list[str]:
    """The texts of the 380 languages."""
    data = gzip.decompress((shared_data / "commoncrawl/2022-05/udhr-multilingual.warc.wet.gz").read_bytes()).decode()
    texts = [record.partition("\r\n\r\n")[2].strip() for record in data.split("WARC/1.0\r\n")[1:]]
    assert len(texts) == 380
    assert min(map(len, texts)) > 300
    return texts


def test_line_hashes_of_all_languages(languages: list[str]) -> None:
    for text in languages:
        lines = text.split("\n")
        assert [line_key(line) for line in lines] == [plain_key(line) for line in lines]
        assert line_hashes(text).tolist() == [plain_hash(line) for line in lines]


def test_normalize_all_languages(languages: list[str]) -> None:
    for text in languages:
        assert normalize(text) == plain_normalize(text)


def test_perplexity_of_all_languages(languages: list[str], models: LanguageModel) -> None:
    loaded = load_language_model(models.pieces.path, models.words.path)
    cutter = sentencepiece.SentencePieceProcessor(model_file=models.pieces.path)
    scorer = kenlm.Model(models.words.path)
    for text in (text[:4000] for text in languages):
        pieces = " ".join(cutter.encode_as_pieces(plain_normalize(text)))
        total = np.float32(0)
        for score, *_ in scorer.full_scores(pieces):
            total += np.float32(score)  # KenLM adds up in single precision: part of the published numbers
        assert perplexity(loaded, text) == round(10 ** (-float(total) / (len(pieces.split()) + 1)), 1)


def test_dedup_of_all_languages(languages: list[str]) -> None:
    """Headings repeat between the variants of a language. Two files: the first half, the second half."""
    files = [languages[:190], languages[190:]]
    sets = [line_sets(line_hashes(text) for text in texts) for texts in files]
    found, expected = duplicated_lines(sets), plain_duplicates(files)
    assert set(found.tolist()) == expected | {0}
    assert len(expected) > 300
    for texts, part in zip(files, sets, strict=True):
        own = lines_of(part.lines, found)
        for text in texts:
            assert clean_lines(text, line_hashes(text), own) == plain_clean(text, expected)


# ---------------------------------------------------------------- normalisations

MARKS = "aÀΣσıİßŉǅ1٣²½Ⅷ«´»–—’“”…∶━►、。〈《「【！％（，．：；？～１\t\x0b\x1c\x1f\x7f\x85\xa0\u2028\u0301\ufeff"
ODD = st.text(st.one_of(st.sampled_from(MARKS), st.characters(codec="utf-8")))


@settings(max_examples=400)
@given(st.lists(ODD, min_size=1, max_size=6))
def test_normalisations_of_odd_lines(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert normalize(text) == plain_normalize(text)
    assert line_hashes(text).tolist() == [plain_hash(line) for line in text.split("\n")]
    assert [line_hash(line) for line in lines] == [plain_hash(line) for line in lines]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("", ""),
        (" \u3000", ""),
        ("  In 1999, “Été”  ", "in 0000, été"),
        ("１٣ ½ Ⅷ", "00 ½ ⅷ"),
        ("a–b — c", "ab  c"),
        ("« a »", " a "),  # not stripped again
        ("a\tb\x85c\u200b", "abc\u200b"),
    ],
)
def test_line_key(line: str, key: str) -> None:
    assert line_key(line) == key == plain_key(line)


def test_hash_of_the_empty_line() -> None:
    assert line_hash("") == line_hash(" \t") == int(line_hashes("")[0]) == 0x0D4B6B5EEEA339DA


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("First word.\nSecond Word", "first word.second word"),
        (" Été 2023 ", "ete 0000"),
        ("a—b．c…", "a - b. c..."),
        ("１", "0"),
        ("\u0130", "i"),  # lower() gives i and a dot above, the dot goes
        ("한", unicodedata.normalize("NFD", "한")),  # stays decomposed
    ],
)
def test_normalize(text: str, expected: str) -> None:
    assert normalize(text) == expected == plain_normalize(text)


# ---------------------------------------------------------------- paragraph dedup


def as_hashes(*values: int) -> Hashes:
    return np.array(values, dtype=np.uint64)


SMALL = st.lists(
    st.lists(st.lists(st.sampled_from("abcdef\t"), min_size=1, max_size=6), max_size=5), min_size=1, max_size=4
)


@settings(max_examples=200)
@given(SMALL)
def test_dedup_as_the_plain_reading(files: list[list[list[str]]]) -> None:
    texts = [["\n".join(lines) for lines in documents] for documents in files]
    sets = [line_sets(line_hashes(text) for text in each) for each in texts]
    found, expected = duplicated_lines(sets), plain_duplicates(texts)
    assert set(found.tolist()) == expected | {0}
    halves = [
        duplicated_lines(
            [LineSets(part.lines[part.lines >> 63 == n], part.repeated[part.repeated >> 63 == n]) for part in sets]
        )
        for n in (0, 1)
    ]
    assert np.union1d(*halves).tolist() == found.tolist()
    for each, part in zip(texts, sets, strict=True):
        for text in each:
            assert clean_lines(text, line_hashes(text), lines_of(part.lines, found)) == plain_clean(text, expected)


def test_line_sets_in_many_merges_and_in_bounded_memory() -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 1 << 64, size=1_500_000, dtype=np.uint64)
    documents = [values[n : n + 10_000] for n in range(0, len(values), 10_000)]
    documents += [values[n : n + 100] for n in range(0, len(values), 10_000)]
    tracemalloc.start()
    sets = line_sets(iter(documents))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(sets.lines, np.sort(values))
    assert np.array_equal(sets.repeated, np.sort(np.concatenate(documents[150:])))
    assert peak / len(sets.lines) <= 17


def test_hash_zero_counts_as_duplicated() -> None:
    assert clean_lines("a\nb", as_hashes(0, 5), duplicated_lines([LineSets(as_hashes(0, 5), as_hashes())])) == (
        "b",
        [1],
    )


def test_cleaned_document_has_its_numbers() -> None:
    meta = {"url": "u", "length": 99, "nlines": 4, "cc_segment": "s"}
    doc = Document("f#0", "One\ntwo\nTWO\nthree", dict(meta))
    kept = remove_duplicated_lines(doc, duplicated=np.sort(as_hashes(line_hash("three"))))
    assert isinstance(kept, Document)
    assert kept.text == "One\ntwo"
    assert list(kept.meta.items()) == [
        ("url", "u"), ("length", 7), ("nlines", 2), ("cc_segment", "s"),
        ("original_nlines", 4), ("original_length", 99), ("line_ids", [0, 1]),
    ]  # fmt: skip
    gone = Document("f#0", "One\none", dict(meta))
    assert remove_duplicated_lines(gone, duplicated=as_hashes(line_hash("one"))) == Drop(
        "remove_duplicated_lines", 0, 1
    )


# ---------------------------------------------------------------- language, perplexity


@pytest.fixture(scope="module")
def models(shared_data: Path) -> LanguageModel:
    folder = shared_data / "models" / "lm_sp"
    return LanguageModel(ModelFile(str(folder / "en.sp.model"), ""), ModelFile(str(folder / "en.arpa.bin"), ""))


def document(text: str = "", **meta: object) -> Document:
    return Document("f#0", text, meta)


STEPS: list[tuple[Callable[..., Document | Drop], dict[str, object], Document, Document]] = [
    (min_length, {"limit": 3}, document("abc"), document("ab")),
    (min_language_score, {"limit": 0.5}, document(language_score=0.5), document(language_score=0.49)),
    (language_in, {"allowed": ("en", "fr")}, document(language="fr"), document(language="de")),
    (bucket_in, {"allowed": ("head",)}, document(bucket="head"), document(bucket="tail", perplexity=521.0)),
    (bucket_in, {"allowed": ("head",)}, document(bucket="head"), document(bucket="all")),
    (min_wiki_prob, {"limit": 0.25}, document(wiki_prob=0.25), document(wiki_prob=0.2499)),
]


@pytest.mark.parametrize(("step", "limits", "good", "bad"), STEPS)
def test_both_sides_of_a_limit(
    step: Callable[..., Document | Drop], limits: dict[str, object], good: Document, bad: Document
) -> None:
    assert step(good, **limits) is good
    dropped = step(bad, **limits)
    assert isinstance(dropped, Drop)
    assert dropped.rule == step.__name__
    assert dropped.measured in (2, 0.49, "de", 521.0, "all", 0.2499)
    assert dropped.limit in (3, 0.5, "en fr", "head", 0.25)


@pytest.mark.parametrize(
    ("language", "value", "bucket"),
    [
        ("en", 339.9, "head"), ("en", 340, "middle"), ("en", 519.9, "middle"), ("en", 520, "tail"), ("en", None, "all"),
        ("hu", 79.9, "head"), ("hu", 140, "tail"), ("sv", 10, "all"),
    ],
)  # fmt: skip
def test_bucket(language: str, value: float | None, bucket: str) -> None:
    doc = document(language=language) if value is None else document(language=language, perplexity=value)
    assert assign_bucket(doc, cutoffs=CUTOFFS).meta["bucket"] == bucket


def test_the_tail_is_dropped_with_its_perplexity_and_cutoff() -> None:
    doc = assign_bucket(document(language="fr", perplexity=330.0), cutoffs=CUTOFFS)
    assert bucket_in(doc, allowed=("head", "middle")) == Drop("bucket_in", 330.0, 330)


def test_cutoffs_are_those_of_48_languages() -> None:
    assert len(CUTOFFS) == 48
    assert all(head < middle for head, middle in CUTOFFS.values())
    assert not {"sl", "sr", "sv"} & set(CUTOFFS)


@pytest.mark.parametrize(("score", "rounded"), [(0.495, 0.5), (0.485, 0.48), (0.4949, 0.49), (1.00001, 1.0)])
def test_language_score_is_rounded_before_it_is_compared(
    monkeypatch: pytest.MonkeyPatch, score: float, rounded: float
) -> None:
    asked: list[str] = []

    def predict(model: str, line: str) -> tuple[str, float]:
        asked.append(line)
        return "en", score

    monkeypatch.setattr("filters.ccnet.load_lid", lambda path: path)
    monkeypatch.setattr("filters.ccnet.predict_language", predict)
    doc = identify_language(document("one\ntwo"), model=ModelFile("m", ""))
    assert isinstance(doc, Document)
    assert doc.meta == {"language": "en", "language_score": rounded}
    assert asked == ["onetwo"]
    assert identify_language(document("\n"), model=ModelFile("m", "")) == Drop("identify_language", 0, 1)


def test_languages_without_a_model_and_texts_without_pieces_have_no_perplexity(models: LanguageModel) -> None:
    one = measure_perplexity(document("Some text.", language="de"), models={"en": models})
    two = measure_perplexity(document("\u0301", language="en"), models={"en": models})
    three = measure_perplexity(document("Some text.", language="en"), models={"en": models})
    assert "perplexity" not in one.meta
    assert "perplexity" not in two.meta
    assert three.meta["perplexity"] > 1


def test_a_missing_or_broken_model_is_named(models: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="nothing: no such model"):
        load_language_model(models.pieces.path, str(tmp_path / "nothing"))
    broken = tmp_path / "broken"
    broken.write_bytes(b"not a model")
    with pytest.raises(MissingModel, match="broken: no model that can be used"):
        load_language_model(str(broken), models.words.path)


# ---------------------------------------------------------------- document dedup, classifier


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        ([[("u", "1"), ("v", "1")]], {"u"}),
        ([[("u", "1")], [("v", "1"), ("u", "2")]], {"u"}),  # u stays in the second file too, whatever its digest there
        ([[("u", "1"), ("v", "2"), ("u", "2")]], {"u"}),  # u takes the last digest and keeps its place, so v is a copy
        ([[("u", "1"), ("u", "2")], [("v", "1")]], {"u", "v"}),  # the first digest of u was never looked at
        ([[("u", "1")], [("u", "1"), ("v", "2")]], {"u", "v"}),
    ],
)
def test_kept_urls(files: list[list[tuple[str, str]]], kept: set[str]) -> None:
    assert kept_urls(files) == kept


@pytest.mark.parametrize(
    ("sizes", "count"),
    [([10] * 20, 4), ([10] * 10 + [40] * 10, 4), ([100] * 3, 1), ([10, 10], 2), ([], 1), ([0, 0], 2)],
)
def test_shards_per_file(sizes: list[int], count: int) -> None:
    assert shards_per_file(sizes, target=45) == count


class Fixed:
    """A classifier that gives one answer and remembers what it was asked."""

    def __init__(self, probability: float, label: str) -> None:
        self.answer, self.asked = (label, probability), ""

    def predict(self, line: str) -> tuple[str, float]:
        self.asked = line
        return self.answer


@pytest.mark.parametrize(
    ("label", "probability", "wiki"),
    [("__label__wiki", 0.75, 0.75), ("__label__cc", 0.75, 0.25), ("__label__cc", 1.00001, 1 - 1.00001)],
)
def test_probability_of_a_reference(label: str, probability: float, wiki: float) -> None:
    model = Fixed(probability, label)
    assert predict_reference(model, " a\nb\x85c\u2028d\x0ce\n") == (label, probability, wiki)
    assert model.asked == "a b c d e"
    assert reference_line("") == ""


def test_classifier_keeps_the_text(shared_data: Path) -> None:
    doc = document("A page.\nIts second line.", url="u")
    done = classify_reference(doc, model=ModelFile(str(shared_data / "models" / "wikiref.bin"), ""))
    assert done.text == "A page.\nIts second line."
    assert list(done.meta) == ["url", "pred_label", "pred_label_prob", "wiki_prob"]
