"""Token counts held against the tokenizers' own libraries, text by text; memory held to its bound."""

from __future__ import annotations

import bz2
import gzip
import html
import importlib
import io
import json
import logging
import os
import random
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.models import fast_tokens, tokens
from redpajama_data.models.fast_tokens import Bounded
from redpajama_data.models.tokens import Tokenizer, load_tokenizer

EVERY = 1 if os.environ.get("RPJ_ALL_TEXT") else 40  # all 69 MB take two minutes, because of the reference


def real_texts(data: Path) -> Iterator[str]:
    """Texts of every kind of raw input, as they lie in it: code, prose, HTML, LaTeX, wikitext, 380 languages."""
    for path in sorted(data.glob("c4/*.gz")):
        yield from (json.loads(line)["text"] for line in gzip.decompress(path.read_bytes()).splitlines())
    for path in sorted(data.glob("github/*.gz")):
        yield from (json.loads(line).get("content") or "" for line in gzip.decompress(path.read_bytes()).splitlines())
    for path in sorted(data.glob("books/*.jsonl")):
        yield from (json.loads(line).get("text") or "" for line in path.open("rb"))
    for path in sorted(data.glob("stackexchange/*/Posts.xml")):
        yield from map(html.unescape, re.findall(r'Body="([^"]*)"', path.read_text("utf-8-sig")))
    for path in sorted(data.glob("wikipedia/*.bz2")):
        raw = bz2.decompress(path.read_bytes())
        dump = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
        yield from re.findall(r"<text[^>]*>(.*?)</text>", dump, re.S)
    with zipfile.ZipFile(data / "text/udhr2.zip") as archive:
        yield from (archive.read(n).decode("utf-8", "replace") for n in archive.namelist() if not n.endswith("/"))
    for path in sorted(data.glob("commoncrawl/*/*.wet.gz")):
        yield from gzip.decompress(path.read_bytes()).decode("utf-8", "replace").split("WARC/1.0\r\n")
    for path in sorted(data.glob("arxiv/*.tar")):
        with tarfile.open(path) as bulk:
            for member in bulk:
                paper = bulk.extractfile(member)
                if paper is not None and member.name.endswith(".gz"):
                    yield from _tex(gzip.decompress(paper.read()))


def _tex(data: bytes) -> Iterator[str]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith((".tex", ".bib", ".sty")) else None
                if file is not None:
                    yield file.read().decode("latin-1")
    except tarfile.TarError:
        yield data.decode("latin-1")


ODD = {
    "empty": "",
    "NUL": "a\0b\0\0",
    "controls": "".join(map(chr, [*range(32), *range(127, 160)])),
    "special tokens": "x<|endoftext|>y<|endoftext|><|padding|> z",
    "mark after a special token": "e\u0301<|endoftext|>\u0301 \u1df6<|endoftext|>\u0338",
    "runs of spaces": "".join(" " * n + "x" for n in range(60)),
    "very long run of spaces": " " * 100_001,
    "mark after spaces": " " * 24 + "\u0301" + "  \u0301",
    "tabs and newlines": "\t" * 50 + "\r\n\r\n" + "\n" * 50,
    "odd spaces": "\xa0" * 30 + "\u2028\u2029\x85\x0b\x0c\u3000\u180e",
    "contractions": "I'm don't 'S 'LL it's’s we'Ve",
    "numbers": "1234567890 ½ ² Ⅷ ٣ 1e-9",
    "NFC": "e\u0301 \u212b \u2126 \u0958 ﬁ \u1112\u1161\u11ab 각\u11a8 \ufb1d",
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1e6\U0001f1f9",
    "noncharacters": "\ufeff\uffff\U0010ffff\ue000",
    "marks newer than Unicode 9": "a\u0301\u0898\u0327 \u1df6\u0301 \u0c3c\u0c4d x\u07fd\u0327",
    "compositions newer than Unicode 9": "\U00011935\U00011930 \U000105d2\u0307 \U00016d67\U00016d67",
    "lone surrogates": "a\ud800b\udfff\ud83d",
    "one long word": "a" * 200_000,
    "random long word": "".join(random.Random(1).choices("abcdefgh", k=50_000)),
    "many marks": "a" + "\u0301\u0327" * 20_000,
    "many newer marks": "a" + "\u0898\u0327" * 5_000,
}


@pytest.fixture(scope="session")
def neox_path(shared_data: Path) -> str:
    return str(shared_data / "models/gpt-neox-20b.tokenizer.json")


@pytest.fixture(scope="session")
def neox(neox_path: str) -> Tokenizer:
    return load_tokenizer(neox_path)


@pytest.fixture(scope="session")
def reference(neox_path: str) -> Callable[[str], int]:
    library = importlib.import_module("tokenizers").Tokenizer.from_file(neox_path)
    return lambda text: len(library.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids)


def test_counts_real_text_as_tokenizers_does(
    shared_data: Path, neox: Tokenizer, reference: Callable[[str], int]
) -> None:
    texts = [text for n, text in enumerate(real_texts(shared_data)) if n % EVERY == 0]
    assert len(texts) > 200
    assert neox.engine == "gigatoken"
    differing = [text[:80] for text, count in zip(texts, neox.count(texts), strict=True) if count != reference(text)]
    assert differing == []


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_counts_odd_text_as_tokenizers_does(neox: Tokenizer, reference: Callable[[str], int], text: str) -> None:
    assert neox.count([text]) == [reference(text)]


def test_counts_every_code_point_beside_marks_as_tokenizers_does(
    neox: Tokenizer, reference: Callable[[str], int]
) -> None:
    """The two libraries know different versions of Unicode: this finds a code point where that shows."""
    context = "\u0301{0}\u0327 1{0}\u0654 {0}a\n"
    uniform = [range(0x3400, 0x9C00), range(0xB000, 0xD000), range(0xD800, 0xF800), range(0x17000, 0x18C00)]
    for first in range(0x300, 0x1F000, 256):
        if not any(first in block for block in uniform):
            text = "".join(context.format(chr(c)) for c in range(first, first + 256))
            assert neox.count([text]) == [reference(text)], f"U+{first:04X} to U+{first + 255:04X}"


_NEWER = "\u07fd\u0898\u08cf\u1ac0\u1df6\u0c3c\U00011935\U00011930\U00011938\U000105d2\U00016d67\U00016d63\U00016121"


@settings(max_examples=150)
@given(
    text=st.lists(
        st.one_of(
            st.sampled_from([*_NEWER, "<|endoftext|>", "<|padding|>", "  ", "\u0338", ">", "'s", "\ud800", "\u1161"]),
            st.text(max_size=8),
            st.characters(min_codepoint=0x300, max_codepoint=0x36F),
        ),
        max_size=30,
    ).map("".join)
)
def test_counts_any_text_as_tokenizers_does(neox: Tokenizer, reference: Callable[[str], int], text: str) -> None:
    assert neox.count([text]) == [reference(text)]


@pytest.mark.parametrize("letter", ["\u088f", "\U00011de0", "\U000323b0", "\U00033479"])
def test_letters_newer_than_the_tables_of_tokenizers(
    neox: Tokenizer, reference: Callable[[str], int], letter: str
) -> None:
    for text in (f"{letter}'s", f"a{letter}'s e\u0301\u1dfa", f"{letter}1 {letter}{letter}'ll"):
        assert neox.count([text]) == [reference(text)]


def test_one_text_at_a_time_or_many(neox: Tokenizer) -> None:
    texts = list(ODD.values())
    assert neox.count(texts) == [neox.count([text])[0] for text in texts]
    assert neox.count([]) == []


@pytest.mark.parametrize("text", ["a" * 2_000_000, "a" + "\u0301\u0327" * 500_000, "<|endoftext" * 200_000])
def test_hostile_text_takes_no_more_than_its_size(neox: Tokenizer, text: str) -> None:
    """gigatoken was linear here up to 5 MB; quadratic behaviour would take hours, and the test's time out."""
    assert 0 < neox.count([text])[0] <= 2 * len(text)


# ------------------------------------------------------------------------------------------------ other tokenizers


@pytest.mark.parametrize("name", ["lm_sp/en.sp.model", "spm_test_en.model"])
def test_a_unigram_model_counts_as_sentencepiece_does(shared_data: Path, name: str) -> None:
    from sentencepiece import SentencePieceProcessor

    path = str(shared_data / "models" / name)
    model, counter = SentencePieceProcessor(model_file=path), load_tokenizer(path)
    texts = ["", "Hello world", "<s>x</s>", "漢字 \0", "a" * 3000]
    assert counter.engine == "sentencepiece"
    assert counter.count(texts) == [len(model.encode(text)) for text in texts]


@pytest.fixture(scope="session")
def bpe_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small model of LLaMA's kind: BPE, byte fallback, no normalisation."""
    from sentencepiece import SentencePieceTrainer

    folder = tmp_path_factory.mktemp("bpe")
    rng = random.Random(7)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randrange(2, 9))) for _ in range(400)]
    (folder / "text").write_text("\n".join(" ".join(rng.choices(words, k=12)) for _ in range(500)))
    SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "m"), vocab_size=600, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        num_threads=1, minloglevel=2,
    )  # fmt: skip
    return str(folder / "m.model")


def test_a_bpe_model_counts_as_sentencepiece_does(bpe_model: str) -> None:
    from sentencepiece import SentencePieceProcessor

    model, counter = SentencePieceProcessor(model_file=bpe_model), load_tokenizer(bpe_model)
    assert counter.engine == "gigatoken"
    texts = [text.encode("utf-8", "replace").decode() for text in ODD.values() if len(text) < 60_000]
    texts += ["<s>", "a</s>b<unk>", " the  rest ", "▁x", "<0x41>", "the news on the hour " * 50]
    assert counter.count(texts) == [len(model.encode(text)) for text in texts]


def test_a_tokenizer_that_gigatoken_counts_otherwise_goes_to_its_library(
    neox_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "other.json"
    path.write_text(Path(neox_path).read_text() + "\n")  # other bytes: not known to be exact
    assert load_tokenizer(str(path)).engine == "gigatoken"
    monkeypatch.setattr(tokens, "fast_encode", lambda loader, data: lambda text: [0] * len(text))
    with caplog.at_level(logging.WARNING):
        other = load_tokenizer(str(path))
    assert other.engine == "tokenizers"
    assert other.count(["Hello world"]) == [2]
    assert "tokenizers counts instead" in caplog.text


def test_without_gigatoken_the_counts_are_the_same(neox: Tokenizer, neox_path: str) -> None:
    texts = [text for text in ODD.values() if len(text) < 20_000]
    expected = neox.count(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "gigatoken", None)
        slow = load_tokenizer(neox_path)
    assert slow.engine == "tokenizers"
    assert slow.count(texts) == expected
    assert slow.identity == neox.identity


def test_a_missing_library_names_the_pip_line(neox_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingModel, match="pip install tokenizers"):
        load_tokenizer(neox_path)


@pytest.mark.parametrize("data", [b"", b"no tokenizer", b"{}", b'{"model": 1}', b"{ not json", bytes(range(256))])
def test_a_file_that_is_no_tokenizer(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.model"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="Give a tokenizer"):
        load_tokenizer(str(path))


# ------------------------------------------------------------------------------------------------ memory


class Backend:
    made = 0

    def __init__(self) -> None:
        Backend.made += 1

    def encode(self, data: bytes) -> Any:
        return [0] * len(data)


@pytest.mark.parametrize(
    ("growth", "renewed"),
    [
        ([0, fast_tokens.CACHE_LIMIT], 0),  # at the limit
        ([0, fast_tokens.CACHE_LIMIT + 1], 1),
        ([0, 1 << 20, 2 << 20], 0),
        ([None, None], 0),  # unknown: after CHECK_BLIND bytes only
        ([None] * 5, 1),
    ],
)
def test_the_cache_is_dropped_when_it_has_grown(
    monkeypatch: pytest.MonkeyPatch, growth: list[int | None], renewed: int
) -> None:
    answers = iter([*growth, *[growth[-1]] * 2])
    monkeypatch.setattr(fast_tokens, "resident", lambda: next(answers))
    count = Bounded(Backend)
    for _ in growth[1:]:
        assert len(count(b"x" * fast_tokens.CHECK_EVERY)) == fast_tokens.CHECK_EVERY
    assert count.renewed == renewed


@pytest.mark.skipif(fast_tokens.resident() is None, reason="this system does not tell a process's memory")
def test_hostile_words_stay_within_the_bound(neox_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random words of six letters grow the cache by up to 13 bytes a byte of text; here are 24 MB of them."""
    monkeypatch.setattr(fast_tokens, "CACHE_LIMIT", 24 << 20)
    monkeypatch.setattr(fast_tokens, "CHECK_EVERY", 2 << 20)
    counter = load_tokenizer(neox_path)
    rng, as_letters = random.Random(5), str.maketrans("0123456789", "ghijklmnop")
    before, peak = fast_tokens.resident() or 0, 0
    for _ in range(14):
        letters = rng.randbytes(750_000).hex().translate(as_letters)
        counter.count([" ".join(letters[i : i + 6] for i in range(0, 1_500_000, 6))])
        peak = max(peak, (fast_tokens.resident() or 0) - before)
    assert peak < 100e6
