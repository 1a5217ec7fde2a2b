"""The kernel for fastText models gives what the fasttext package gives, bit for bit, whatever model and text."""

from __future__ import annotations

import gzip
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fasttext.FastText
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters._fasttext import Model
from filters.fasttext_model import read_model
from filters.language import predict_language
from redpajama_data.errors import MissingModel

SAMPLE_MODEL = Path(__file__).resolve().parents[2] / "redpajama_data/sample/models/wikiref.bin"
WORDS = [
    "the",
    "fox",
    "Haus",
    "été",
    "дом",
    "语言",
    "ひらがな",
    "a",
    "e\u0301",
    "x" * 30,
    "ü" * 13,
    "ü" * 14,
    "</s>x",
    "1,2",
]


def load_original(path: Path) -> Any:
    """load_model() does just this, after printing a deprecation note in some releases."""
    return fasttext.FastText._FastText(model_path=str(path))


def check(original: Any, model: Model, text: str) -> None:
    found = original.f.predict(text + "\n", 1, 0.0, "strict")
    expected = (found[0][1], found[0][0]) if found else None
    assert model.predict(text) == expected, ascii(text[:200])


# ------------------------------------------------------------------------------------------------------ models


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of very different frequency, so that a tree over them is deep; words of many scripts.

    fastText's trainer leaves up to 9 numbers of the matrix as the memory happens to be, and more with fewer than 10
    threads: none when 10 divides the number of words.
    """
    rng = random.Random(1)
    lines = []
    for i in range(800):
        label = min(int(rng.expovariate(0.25)), 14)
        words = [rng.choice(WORDS) + rng.choice(["", "s", str(label), str(i % 90)]) for _ in range(12)]
        lines.append(f"__label__{label} the the " + " ".join(words))
    distinct = len({word for line in lines for word in line.split()[1:]} | {"</s>"})
    lines[0] += "".join(f" filler{i}" for i in range(-distinct % 10))
    path = tmp_path_factory.mktemp("fasttext") / "corpus.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


SETTINGS: dict[str, dict[str, Any]] = {
    "softmax": {"loss": "softmax", "dim": 16, "minn": 2, "maxn": 4},
    "softmax, words only": {"loss": "softmax", "dim": 16},
    "softmax, pairs of words": {"loss": "softmax", "dim": 10, "wordNgrams": 2},
    "tree": {"loss": "hs", "dim": 16, "minn": 2, "maxn": 4},
    "tree, single letters, three words": {"loss": "hs", "dim": 7, "minn": 1, "maxn": 3, "wordNgrams": 3},
    "one against all": {"loss": "ova", "dim": 16, "minn": 3, "maxn": 3},
    "negative sampling": {"loss": "ns", "dim": 32, "minn": 0, "maxn": 2},
    "softmax, all labels equal": {"loss": "softmax", "dim": 10, "epoch": 0},
    "tree, all sides equal": {"loss": "hs", "dim": 10, "epoch": 0},
    "without the end of the line": {"loss": "softmax", "dim": 10, "minCount": 801},
    "tree, quantised": {"loss": "hs", "dim": 16, "minn": 2, "maxn": 4, "quantize": {"qnorm": True}},
    "tree, pruned": {"loss": "hs", "dim": 16, "minn": 2, "maxn": 4, "quantize": {"qnorm": True, "cutoff": 300}},
    "pruned, pairs": {"loss": "softmax", "dim": 10, "wordNgrams": 2, "maxn": 3, "quantize": {"cutoff": 300, "dsub": 3}},
    "quantised output": {"loss": "hs", "dim": 9, "labels": 300, "quantize": {"qnorm": True, "qout": True}},
}


@pytest.fixture(scope="module")
def trained(corpus: Path) -> Callable[[str], tuple[Any, Model, Path]]:
    """Train each kind of model once and load it both ways."""
    known: dict[str, tuple[Any, Model, Path]] = {}

    def train(name: str) -> tuple[Any, Model, Path]:
        if name not in known:
            options = {
                "minCount": 1,
                "bucket": 1500,
                "epoch": 8,
                "lr": 0.5,
                "thread": 10,
                "verbose": 0,
                **SETTINGS[name],
            }
            quantize, labels = options.pop("quantize", None), options.pop("labels", 0)
            source = corpus
            if labels:  # quantising needs 256 rows
                source = corpus.with_name(f"{labels}.txt")
                lines = corpus.read_text(encoding="utf-8").splitlines()
                source.write_text("\n".join(f"__label__l{i % labels} {line}" for i, line in enumerate(lines)) + "\n")
            original = fasttext.train_supervised(str(source), **options)
            if quantize:
                original.quantize(verbose=0, **quantize)
            path = corpus.with_name(f"{name}.model")
            original.save_model(str(path))
            known[name] = load_original(path), read_model(str(path)), path
        return known[name]

    return train


word = st.one_of(
    st.sampled_from([*WORDS, "the", "fox1", "</s>", "__label__", "__label__1", "__label__zzz", "unknown"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=12),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=3).map(lambda part: part * 40),
)
blank = st.sampled_from([" ", " ", " ", "\t", "\r", "\v", "\f", "\0", "  ", "\x85", "\u2028", "\xa0"])
line = st.lists(st.tuples(word, blank), max_size=60).map(lambda pairs: "".join(word + blank for word, blank in pairs))


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=60)
@given(text=line)
def test_equals_the_package(trained: Callable[[str], tuple[Any, Model, Path]], name: str, text: str) -> None:
    original, model, _ = trained(name)
    check(original, model, text)


@pytest.mark.parametrize("name", SETTINGS)
def test_equals_the_package_on_its_own_corpus(
    trained: Callable[[str], tuple[Any, Model, Path]], corpus: Path, name: str
) -> None:
    original, model, _ = trained(name)
    for text in corpus.read_text(encoding="utf-8").splitlines():
        check(original, model, text.split(" ", 1)[1])


@pytest.mark.parametrize("name", ["softmax", "tree, pruned", "softmax, pairs of words"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\r\v\f\0 ",
        "</s>",
        "the </s> fox",
        "x" * 300_000,
        "語" * 100_000,
        "\U0001f600" * 1_000 + " the",
        "the " * 50_000,
        " ".join(f"w{i * 7919 % 100_000}" for i in range(100_000)),  # more words than are remembered
    ],
    ids=lambda text: f"{len(text)}{text[:6]!a}",
)
def test_equals_the_package_at_any_length(
    trained: Callable[[str], tuple[Any, Model, Path]], name: str, text: str
) -> None:
    original, model, _ = trained(name)
    for _ in range(2):  # the second time from memory
        check(original, model, text)


def test_the_first_line_counts(trained: Callable[[str], tuple[Any, Model, Path]]) -> None:
    _, model, _ = trained("tree")
    assert model.predict("the fox1\nété9 été9 été9") == model.predict("the fox1") != model.predict("été9 été9 été9")


def test_nothing_to_go_by(trained: Callable[[str], tuple[Any, Model, Path]]) -> None:
    original, model, _ = trained("without the end of the line")
    assert original.f.predict("unknown\n", 1, 0.0, "strict") == []
    assert model.predict("unknown") is None
    assert predict_language(model, "unknown") == ("", 0.0)
    assert predict_language(model, "the")[1] > 0


def test_a_lone_surrogate_has_no_utf8(trained: Callable[[str], tuple[Any, Model, Path]]) -> None:
    _, model, _ = trained("tree")
    with pytest.raises(UnicodeEncodeError):
        model.predict("the \ud800")
    with pytest.raises(TypeError):
        model.predict(b"the")  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------- real data


@pytest.fixture(scope="module")
def lid(shared_data: Path) -> tuple[Any, Model]:
    path = shared_data / "models" / "lid.176.ftz"
    return load_original(path), read_model(str(path))


def test_every_language_of_the_declaration(shared_data: Path, lid: tuple[Any, Model]) -> None:
    archive = zipfile.ZipFile(shared_data / "text" / "udhr2.zip")
    names = [name for name in archive.namelist() if name.endswith(".txt")]
    assert len(names) > 350
    for name in names:
        text = archive.read(name).decode("utf-8", "replace")
        check(*lid, text[:4000].replace("\n", " "))
        for line in text[:1500].split("\n"):
            check(*lid, line)


def test_real_pages(shared_data: Path, lid: tuple[Any, Model]) -> None:
    path = shared_data / "models" / "wikiref.bin"
    wiki = load_original(path), read_model(str(path))
    pages = 0
    for file in sorted((shared_data / "commoncrawl").rglob("*wet*.gz")):
        for page in gzip.decompress(file.read_bytes()).decode("utf-8", "replace").split("WARC/1.0\r\n")[::7]:
            pages += 1
            check(*lid, page.replace("\n", ""))
            check(*wiki, page.replace("\n", " "))
    assert pages > 100


# ----------------------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("name", ["softmax, pairs of words", "tree, pruned", "quantised output"])
def test_a_cut_file_is_refused(trained: Callable[[str], tuple[Any, Model, Path]], tmp_path: Path, name: str) -> None:
    whole = trained(name)[2].read_bytes()
    path = tmp_path / "cut"
    for size in [*range(0, 200, 3), *range(200, len(whole), len(whole) // 60), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(MissingModel, match=r"no fastText model that can be used.*Fetch"):
            read_model(str(path))


@pytest.mark.parametrize("name", ["softmax, pairs of words", "tree, pruned", "quantised output"])
@settings(max_examples=80)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_gives_some_answer(
    trained: Callable[[str], tuple[Any, Model, Path]], tmp_path_factory: pytest.TempPathFactory, name: str, data: Any
) -> None:
    damaged = bytearray(trained(name)[2].read_bytes())
    places = st.one_of(st.integers(0, 140), st.integers(0, len(damaged) - 1))
    for at, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=3)):
        damaged[at] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.unlink(missing_ok=True)  # an earlier model may still have it mapped
    path.write_bytes(damaged)
    try:
        model = read_model(str(path))
        found = model.predict("the fox1 unknown " + "x" * 500)
    except (MissingModel, ValueError):
        return
    assert found is None or isinstance(found[0], str)


def test_a_model_without_labels_is_refused(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    fasttext.train_unsupervised(str(corpus), dim=10, minCount=5, bucket=100, epoch=1, thread=10, verbose=0).save_model(
        str(path)
    )
    with pytest.raises(MissingModel, match="not trained with labels"):
        read_model(str(path))


FITTING: dict[str, Any] = {
    "dim": 2,
    "minn": 1,
    "maxn": 1,
    "word_ngrams": 1,
    "loss": 1,
    "bucket": 3,
    "n_words": 1,
    "labels": ("a", "b"),
    "words": b"</s>\0a\0b\0",
    "rows": np.ones((4, 2), "<f4"),
    "bucket_rows": None,
    "output": np.ones((2, 2), "<f4"),
    "scale": np.ones(2, "<f4"),
    "tree": np.array([[0, 1]], "<i4"),
    "file": None,
    "changed": None,
}


def test_parts_that_fit() -> None:
    assert Model(**FITTING).predict("") is not None
    assert Model(**{**FITTING, "rows": FITTING["rows"][:2], "bucket_rows": np.array([1, -1, 0], "<i4")}).predict("xyz")


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 3},
        {"dim": 0},
        {"minn": -1},
        {"maxn": -1},
        {"maxn": 65},
        {"word_ngrams": 65},
        {"loss": 5},
        {"loss": 0},
        {"bucket": 0},
        {"bucket": 4},
        {"n_words": 2},
        {"n_words": -1},
        {"labels": ("a",)},
        {"labels": ()},
        {"words": b"</s>\0a\0b"},
        {"rows": np.ones((3, 2), "<f4")},
        {"bucket_rows": np.array([0, 0], "<i4")},
        {"bucket_rows": np.array([0, 0, 4], "<i4")},
        {"output": np.ones((1, 2), "<f4")},
        {"scale": np.ones(1, "<f4")},
        {"tree": None},
        {"tree": np.array([[0, 2]], "<i4")},
        {"tree": np.array([[0, -1]], "<i4")},
        {"tree": np.empty((0, 2), "<i4")},
    ],
    ids=str,
)
def test_parts_that_do_not_fit(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Model(**{**FITTING, **change})


# ------------------------------------------------------------------------------ a file that changes while it is in use


@pytest.fixture
def in_use(trained: Callable[[str], tuple[Any, Model, Path]], tmp_path: Path) -> tuple[Path, Model]:
    """A dense model of a file of its own, which has predicted."""
    path = tmp_path / "in use.bin"
    path.write_bytes(trained("tree")[2].read_bytes())
    model = read_model(str(path))
    assert model.predict("the fox1") == trained("tree")[1].predict("the fox1")
    return path, model


def cut_short(path: Path) -> None:
    os.truncate(path, 100)


def written_over(path: Path) -> None:
    """The same size, another content, written in place; a second later, as clocks of file systems tick slowly."""
    with open(path, "r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"\xff" * 1000)
    os.utime(path, (time.time() + 1, time.time() + 1))


@pytest.mark.parametrize("change", [cut_short, written_over])
def test_a_model_that_changes_in_place_is_named(in_use: tuple[Path, Model], change: Callable[[Path], None]) -> None:
    path, model = in_use
    change(path)
    for _ in range(2):
        with pytest.raises(MissingModel, match=r"in use\.bin: this model was written over while it was in use\. Put"):
            model.predict("the fox1")


def replaced(path: Path) -> None:
    path.with_name("new").write_bytes(b"another model")
    path.with_name("new").replace(path)


@pytest.mark.parametrize("change", [replaced, Path.unlink])
def test_a_model_that_is_replaced_stays_as_it_was(in_use: tuple[Path, Model], change: Callable[[Path], None]) -> None:
    path, model = in_use
    before = model.predict("the fox1 unknown")
    change(path)
    assert model.predict("the fox1 unknown") == before


def test_a_quantised_model_needs_its_file_no_more(
    trained: Callable[[str], tuple[Any, Model, Path]], tmp_path: Path
) -> None:
    path = tmp_path / "quantised.ftz"
    path.write_bytes(trained("tree, quantised")[2].read_bytes())
    model = read_model(str(path))
    before = model.predict("the fox1")
    cut_short(path)
    assert model.predict("the fox1") == before


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path: Path) -> None:
    """Between looking at the file and reading it: as if it happened there, by a model that does not look."""
    path = tmp_path / "rows"
    rows = 1 << 16
    path.write_bytes(np.ones((rows, 2), "<f4").tobytes())
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    model = Model(**{**FITTING, "bucket": rows - 1, "rows": np.frombuffer(mapped, "<f4").reshape(rows, 2)})
    text = "".join(map(chr, range(0x4E00, 0x5E00)))
    assert model.predict(text) is not None
    os.truncate(path, 4096)
    for _ in range(2):
        with pytest.raises(OSError, match="cannot be read any more"):
            model.predict(text)
    assert Model(**FITTING).predict("") is not None


def test_a_sigbus_that_is_not_the_kernels_ends_the_process(tmp_path: Path) -> None:
    """The handler passes on what it does not expect, else a process would hang in it."""
    path = tmp_path / "page"
    path.write_bytes(b"x" * 4096)
    script = (
        "import mmap, os, sys; from filters.fasttext_model import read_model; read_model(sys.argv[1])\n"
        "file = open(sys.argv[2], 'rb'); page = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "os.truncate(sys.argv[2], 0); page[0]"
    )
    command = [sys.executable, "-c", script, str(SAMPLE_MODEL), str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    by_sanitizer = "AddressSanitizer: BUS" in ended.stderr  # whose handler was there before
    assert ended.returncode == (1 if by_sanitizer else -signal.SIGBUS)


def test_ngrams_without_bound_are_refused(trained: Callable[[str], tuple[Any, Model, Path]], tmp_path: Path) -> None:
    whole = bytearray(trained("softmax")[2].read_bytes())
    for place in (5, 10):  # of the settings: words and characters of an n-gram
        for number, is_refused in ((64, False), (65, True), (1 << 30, True)):
            changed = bytearray(whole)
            struct.pack_into("<i", changed, 8 + 4 * place, number)
            path = tmp_path / "ngrams.bin"
            path.unlink(missing_ok=True)
            path.write_bytes(changed)
            if is_refused:
                with pytest.raises(MissingModel, match=r"ngrams\.bin: .*64 are the most"):
                    read_model(str(path))
            else:
                read_model(str(path))


def test_numbers_that_are_none() -> None:
    broken = Model(**{**FITTING, "output": np.full((2, 2), np.nan, "<f4")})
    with pytest.raises(ValueError, match="not a number"):
        broken.predict("")
