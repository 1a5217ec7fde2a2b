"""Training: the corpus as published, and the same bytes from the same texts."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from redpajama_data.errors import BrokenInput, MissingModel, UsageError
from redpajama_data.training import classifier as train_classifier
from redpajama_data.training import lm as train_lm
from redpajama_data.training.classifier import corpus, negatives_per_file
from redpajama_data.training.classifier_report import Example, examine
from redpajama_data.training.texts import read_texts


def glued(text: str) -> str:
    """A stand-in for CCNet's normalisation: what matters here is that line breaks go."""
    return text.strip().lower().replace("\n", "")


def sentences(seed: int, words: range, count: int) -> list[str]:
    random = Random(seed)
    return [" ".join(f"w{random.choice(words)}" for _ in range(12)) + "." for _ in range(count)]


def jsonl(path: Path, texts: list[str], key: str = "text") -> str:
    path.write_text("".join(json.dumps({key: text}) + "\n" for text in texts))
    return str(path)


# ---------------------------------------------------------------------------------------------- texts


def test_read_texts_by_ending(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.txt", tmp_path / "b.TXT.gz"
    plain.write_text("one\n\n  \ntwo")
    packed.write_bytes(gzip.compress(b"drei\n"))
    assert list(read_texts(str(plain))) == ["one", "two"]
    assert list(read_texts(str(packed))) == ["drei"]
    assert list(read_texts(jsonl(tmp_path / "c.jsonl", ["a\nb", ""]))) == ["a\nb", ""]
    assert list(read_texts(jsonl(tmp_path / "d.json", ["ccnet"], "raw_content"))) == ["ccnet"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', r"a\.jsonl:2: no text under text or raw_content"),
        ("a.jsonl", b'{"text": 3}\n', r"a\.jsonl:1: no text"),
        ("a.txt", b"good\n\xff\n", r"a\.txt:2: not UTF-8"),
        ("a.txt", b"good\n" + b"x" * 101, r"a\.txt:2: a line of 101 bytes"),
    ],
)
def test_read_texts_names_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, message: str
) -> None:
    monkeypatch.setattr("redpajama_data.training.texts.MAX_LINE", 100)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BrokenInput, match=message):
        list(read_texts(str(tmp_path / name)))


# ---------------------------------------------------------------------------------------------- language model


@pytest.fixture
def text_file(tmp_path: Path) -> str:
    return jsonl(tmp_path / "text.jsonl", sentences(1, range(300), 400))


def has_kenlm() -> bool:
    try:
        return bool(train_lm.kenlm_tool("lmplz") and train_lm.kenlm_tool("build_binary"))
    except MissingModel:
        return False


needs_kenlm = pytest.mark.skipif(not has_kenlm(), reason="lmplz is not built: run scripts/build_kenlm.sh")


def test_sentencepiece_is_reproducible(tmp_path: Path) -> None:
    models = []
    for name in ("a", "b"):  # another name must not make another model
        path = tmp_path / name
        path.write_text("".join(text + "\n" for text in sentences(1, range(300), 400)))
        models.append(train_lm.train_sentencepiece(str(path), vocabulary=100))
    assert models[0] == models[1]


def test_sentencepiece_names_the_largest_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    path.write_text("".join(text + "\n" for text in sentences(1, range(30), 40)))
    with pytest.raises(UsageError, match=r"too few for a vocabulary of 65536 pieces.*--vocab-size \d+") as error:
        train_lm.train_sentencepiece(str(path), vocabulary=65536)
    found = re.search(r"--vocab-size (\d+)", str(error.value))
    assert found
    assert train_lm.train_sentencepiece(str(path), vocabulary=int(found[1]))  # the advice works


def test_sentencepiece_needs_a_document_within_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    path.write_text("long " * 1000 + "\n")
    with pytest.raises(UsageError, match="every document is longer than 4192 bytes"):
        train_lm.train_sentencepiece(str(path), vocabulary=10)


def test_missing_tools_name_the_script(tmp_path: Path, text_file: str) -> None:
    with pytest.raises(MissingModel, match=r"lmplz not found in .*scripts/build_kenlm\.sh.*--kenlm-bin"):
        train_lm.train_lm([text_file], str(tmp_path / "out"), "en", normalize=glued, kenlm_bin=str(tmp_path))
    assert not (tmp_path / "out").exists()


@needs_kenlm
@pytest.mark.parametrize("structure", ["probing", "trie"])
def test_same_texts_same_bytes(tmp_path: Path, text_file: str, structure: train_lm.Structure) -> None:
    results = []
    for name, memory in (("a", "50M"), ("b", "80M")):
        out = tmp_path / name
        model = train_lm.train_lm(
            [text_file], str(out), "xx", normalize=glued, vocabulary=100, memory=memory, structure=structure
        )
        assert (model.documents, model.too_long) == (400, 0)
        assert sorted(path.name for path in out.iterdir()) == ["xx.arpa.bin", "xx.sp.model"]
        results.append([(out / file).read_bytes() for file in ("xx.arpa.bin", "xx.sp.model")])
    assert results[0] == results[1]


@needs_kenlm
def test_the_model_prefers_what_it_was_trained_on(tmp_path: Path, text_file: str) -> None:
    import kenlm
    import sentencepiece

    model = train_lm.train_lm([text_file], str(tmp_path), "en", normalize=glued, vocabulary=100, memory="50M")
    pieces = sentencepiece.SentencePieceProcessor(model_file=model.sentencepiece)
    scorer = kenlm.Model(model.kenlm)
    assert scorer.order == 5

    def perplexity(text: str) -> float:
        return float(scorer.perplexity(" ".join(pieces.encode(text, out_type=str))))

    seen, unseen = sentences(1, range(300), 1)[0], "7q x-91 wwww 0.w"
    assert perplexity(seen) * 5 < perplexity(unseen)


@needs_kenlm
def test_documents_are_limited_and_hostile_text_passes(tmp_path: Path) -> None:
    odd = ["<s> </s> <unk> \u2581 plain words here", "\n", "line one\nline two", "x " * 3000]
    texts = [*odd[:3], *sentences(2, range(50), 60), odd[3]]
    path = jsonl(tmp_path / "t.jsonl", texts)
    first = train_lm.train_lm([path], str(tmp_path), "en", normalize=glued, vocabulary=40, memory="50M", documents=30)
    assert (first.documents, first.too_long) == (30, 0)
    every = train_lm.train_lm([path], str(tmp_path), "en", normalize=glued, vocabulary=40, memory="50M")
    assert (every.documents, every.too_long) == (63, 1)
    assert "63 documents (1 longer" in every.render()


def test_no_text_is_said(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("lmplz", "build_binary"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    empty = jsonl(tmp_path / "t.jsonl", [" ", ""])
    with pytest.raises(UsageError, match="no text to train on"):
        train_lm.train_lm([empty], str(tmp_path / "out"), "en", normalize=glued, kenlm_bin=str(tools))
    full = jsonl(tmp_path / "u.jsonl", sentences(1, range(300), 400))
    with pytest.raises(Exception, match=r"lmplz ended with 1: no message .*--memory"):
        train_lm.train_lm([full], str(tmp_path / "out"), "en", normalize=glued, kenlm_bin=str(tools), vocabulary=100)
    assert list((tmp_path / "out").iterdir()) == []


# ---------------------------------------------------------------------------------------------- classifier


def test_corpus_as_published(tmp_path: Path) -> None:
    long, edge, short = "a" * 1001, "b\x0b" + "b" * 998, "c" * 999
    first = jsonl(tmp_path / "head.jsonl", [long, short], "raw_content")
    second = jsonl(tmp_path / "middle.jsonl", [edge, long, short], "raw_content")
    many, few = jsonl(tmp_path / "m.jsonl", ["x\ny", "", "z"]), jsonl(tmp_path / "f.jsonl", ["u"])
    assert list(corpus([first, second], [many, few])) == [
        Example("wiki", long),
        Example("wiki", "b " + "b" * 998),
        Example("wiki", long),  # repeats stay
        Example("cc", "x y"),  # 5 read, the short ones too, by 2 files: 2 each
        Example("cc", ""),
        Example("cc", "u"),
    ]


@pytest.mark.parametrize(("positives", "files", "each"), [(5, 2, 2), (6, 2, 3), (1, 2, 0), (7, 1, 7)])
def test_negatives_per_file(positives: int, files: int, each: int) -> None:
    assert negatives_per_file(positives, files) == each


def two_classes(tmp_path: Path, count: int = 80) -> tuple[list[str], list[str]]:
    wiki = [" ".join(sentences(seed, range(400), 25)) for seed in range(count)]
    cc = [" ".join(sentences(seed, range(200, 600), 25)) for seed in range(1000, 1000 + count)]
    return [jsonl(tmp_path / "wiki.jsonl", wiki)], [jsonl(tmp_path / "cc.jsonl", cc)]


SMALL: dict[str, Any] = {"dim": 8, "lr": 1.0, "epochs": 20, "held_out": 4}


def test_classifier_is_reproducible_and_examined(tmp_path: Path) -> None:
    positive, negative = two_classes(tmp_path)
    reports = [
        train_classifier.train_classifier(positive, negative, str(tmp_path / name), **SMALL) for name in ("a", "b", "c")
    ]
    models = [(tmp_path / name).read_bytes() for name in ("a", "b", "c")]
    assert models[0] == models[1] == models[2]
    report = reports[0]
    assert report.thresholds == reports[1].thresholds
    assert report.trained["wiki"] + report.held_out["wiki"] == 80
    assert report.trained["cc"] + report.held_out["cc"] == 80
    assert 8 < report.held_out["wiki"] < 40
    for at in report.thresholds:
        assert (at.precision or 0) > 0.8
        assert (at.recall or 0) > 0.8
        assert (at.kept or 0) < 0.2
    for label, counts in report.histogram.items():
        assert sum(counts) == report.held_out[label]
    assert sum(report.histogram["wiki"][5:]) == round((report.thresholds[1].recall or 0) * report.held_out["wiki"])
    other = train_classifier.train_classifier(positive, negative, str(tmp_path / "d"), **SMALL, seed=1)
    assert (tmp_path / "d").read_bytes() != models[0]
    assert other.trained == report.trained
    text = report.render()
    for part in ("from 0.25: precision", "from 0.50: precision", "0.9-1.0"):
        assert part in text


def test_without_examination(tmp_path: Path) -> None:
    positive, negative = two_classes(tmp_path, count=10)
    report = train_classifier.train_classifier(
        positive, negative, str(tmp_path / "new" / "m.bin"), dim=4, epochs=1, held_out=0
    )
    assert report.trained == {"wiki": 10, "cc": 10}
    assert report.held_out == {"wiki": 0, "cc": 0}
    assert report.thresholds[0].precision is None
    assert "recall n/a" in report.render()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.bin"]


def test_a_class_without_examples_is_said(tmp_path: Path) -> None:
    positive, negative = two_classes(tmp_path, count=3)
    short = jsonl(tmp_path / "short.jsonl", ["x" * 999] * 3)
    with pytest.raises(UsageError, match=r"no wiki document.*1000 chars.*--positive"):
        train_classifier.train_classifier([short], negative, str(tmp_path / "m"), held_out=0)
    with pytest.raises(UsageError, match=r"no cc document.*--negative"):
        train_classifier.train_classifier(positive, negative * 4, str(tmp_path / "m"), held_out=0)
    with pytest.raises(UsageError, match=r"--min-count \(now 10000\)"):
        train_classifier.train_classifier(positive, negative, str(tmp_path / "m"), held_out=0, min_count=10_000)
    assert not (tmp_path / "m").exists()


class FixedScores:
    """A model whose label and probability are the text itself."""

    def predict(self, text: str, k: int) -> tuple[tuple[str], list[float]]:
        label, probability = text.split()
        return (f"__label__{label}",), [float(probability)]


def test_examine_counts_both_sides_of_a_threshold() -> None:
    scores = ["wiki 1.00001", "cc 0.75", "cc 0.76", "wiki 0.5", "cc 1.00001"]  # 1.00001, 0.25, 0.24, 0.5, -0.00001
    examples = [Example("wiki", score) for score in scores] + [Example("cc", scores[0]), Example("cc", scores[4])]
    report = examine(FixedScores(), examples, model_path="m", trained={"wiki": 0, "cc": 0})
    low, high = report.thresholds
    assert (low.threshold, low.recall, low.precision, low.kept) == (0.25, 3 / 5, 3 / 4, 1 / 2)
    assert (high.threshold, high.recall, high.precision, high.kept) == (0.5, 2 / 5, 2 / 3, 1 / 2)
    assert report.histogram["wiki"] == (1, 0, 2, 0, 0, 1, 0, 0, 0, 1)
    assert report.histogram["cc"] == (1, 0, 0, 0, 0, 0, 0, 0, 0, 1)
