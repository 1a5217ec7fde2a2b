"""The kernel for perplexity gives what sentencepiece and kenlm give, to the last bit, whatever models and text; what is
damaged is refused."""

from __future__ import annotations

import functools
import io
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kenlm
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters import _perplexity
from filters.ccnet_normalize import CONTEXTUAL, glyph_page, normalize
from filters.kenlm_file import BrokenModelError, read_layout
from filters.perplexity import Scorer, WithLibraries, check_language_model, load_language_model, perplexity
from filters.piece_model import NotForKernelError, read_piece_model
from redpajama_data.errors import MissingModel

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SAMPLE = ROOT / "redpajama_data/sample/models"
PIECES = str(SAMPLE / "en.sp.model")
SMALL = sorted((HERE / "kenlm").glob("*.bin"))
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")


def library(path: str) -> Any:
    config = kenlm.Config()
    config.show_progress = False
    return kenlm.Model(path, config)


@functools.cache
def pair(pieces: str, words: str) -> tuple[Any, Any]:
    """The kernel, and the libraries."""
    kernel = load_language_model(pieces, words)
    assert isinstance(kernel, _perplexity.Model)
    return kernel, WithLibraries(sentencepiece.SentencePieceProcessor(model_file=pieces), library(words))


def check(models: tuple[Any, Any], text: str) -> None:
    kernel, libraries = models
    expected = libraries.measure(text)
    assert kernel.measure(text) == expected, ascii(text[:200])
    assert kernel.pieces(text) == libraries.pieces.encode_as_pieces(normalize(text)), ascii(text[:200])
    assert kernel.measure(text) == expected, ascii(text[:200])  # words from memory now


# ------------------------------------------------------------------------------------------------------ texts

LETTERS = st.one_of(
    st.sampled_from("the of and to a in 0 12,3.45 % «»“”–—…►、。：？ \t\n\r\x0b\x1c\x85\xa0\u2028\u3000▁ "),
    st.sampled_from("éÀßıİΣσςǅⅧ½²٣１ﬁ가힣日本語ไทย\u0301\u0316\u0345\u093c\u302e\u1b44\ud7a3\u1100\u1161\u11a8"),
    st.sampled_from("\U0001f600\U0001d165\U0001d15e\U00010400\U000e0001\ufeff\u200b\u200d\ufffd\u2581"),
    st.characters(codec="utf-8"),
)
KNOWN = [*ENGLISH.split()[:300], "the", "THE", "000", "000,000", "▁", "日本"]
WORDS = st.lists(st.sampled_from(KNOWN), max_size=40).map(" ".join)
TEXTS = st.lists(st.one_of(WORDS, st.text(LETTERS), st.text(alphabet="aeiou 0")), max_size=5).map("".join)


@pytest.mark.parametrize("words", [str(SAMPLE / "en.arpa.bin"), *map(str, SMALL)], ids=lambda path: Path(path).stem)
@settings(max_examples=60)
@given(text=TEXTS)
@example(text="")
@example(text=" \n ")
@example(text="\u0301")
@example(text="▁ ▁▁")
@example(text="a ▁")
@example(text="ΑΣ ΑΣΑ")
@example(text="x\u302e\u0327\u1b44")
@example(text=ENGLISH[:5000])
def test_equals_the_libraries(words: str, text: str) -> None:
    check(pair(PIECES, words), text)


@pytest.mark.parametrize("path", [SAMPLE / "en.arpa.bin", *SMALL], ids=lambda path: path.stem)
@settings(max_examples=60)
@given(sentence=st.text(st.one_of(st.sampled_from("▁thetofand \t\n\v\f\r\0"), st.characters(codec="utf-8"))))
@example(sentence="")
@example(sentence="<unk> <UNK> <s> </s>")
@example(sentence="▁the\xa0▁of\u3000")
@example(sentence="▁the ▁of ▁and " * 30)
def test_scores_sentences_as_kenlm_does(path: Path, sentence: str) -> None:
    kernel, libraries = pair(PIECES, str(path))
    assert kernel.score(sentence) == libraries.words.score(sentence)


@pytest.mark.parametrize(
    "text",
    [
        "the " * 60_000,  # the sum of scores goes beyond 100,000, where SentencePiece begins again
        "000,000 and 0000 of 12345. " * 12_000,  # ties, and rounding that grows with the sum
        "x" * 40_000,
        "語" * 40_000,
        "日本 the " * 20_000,
        ENGLISH * 40,
        "\n".join(f"w{i * 7919 % 100_000} {i:x}" for i in range(60_000)),  # more words than are remembered
        "a" * 28 + " " + "a" * 29 + " " + "a" * 30 + " " + "a" * 4096,  # words at the size that is remembered
        "é" * 300_000,  # without the GIL
    ],
    ids=lambda text: f"{len(text)}{text[:6]!a}",
)
def test_long_texts_equal_the_libraries(text: str) -> None:
    check(pair(PIECES, str(SAMPLE / "en.arpa.bin")), text)


def test_rounding_far_into_a_text() -> None:
    """The same words after every sum: where rounding decides between two ways to cut a word, it decides alike."""
    rng = random.Random(4)
    kernel, libraries = pair(PIECES, str(SMALL[0]))
    words = sorted(set(ENGLISH.split()))
    text = " ".join(rng.choice(words) for _ in range(40_000))
    assert kernel.pieces(text) == libraries.pieces.encode_as_pieces(normalize(text))


def test_a_lone_surrogate_has_no_utf8() -> None:
    kernel, _ = pair(PIECES, str(SMALL[0]))
    with pytest.raises(UnicodeEncodeError):
        kernel.measure("the \ud800")
    with pytest.raises(TypeError):
        kernel.measure(b"the")


def test_every_character() -> None:
    """Each alone between two words, a page at a time."""
    kernel, libraries = pair(PIECES, str(SMALL[0]))
    for page in [
        *range(0x35),
        0x4E,
        0xAC,
        0xD7,
        0xF9,
        0xFB,
        0xFE,
        0xFF,
        0x104,
        0x110,
        0x1D1,
        0x1D7,
        0x1F6,
        0x2F8,
        0xE00,
    ]:
        for first in range(256 * page, 256 * page + 256, 64):
            text = " ".join(f"a{chr(code)}b" for code in range(first, first + 64))
            assert kernel.pieces(text) == libraries.pieces.encode_as_pieces(normalize(text)), hex(first)


def test_glyphs_are_what_normalize_gives() -> None:
    for page in (0, 1, 3, 0x20, 0x30, 0xAC, 0xFF, 0x1D1):
        data = glyph_page(page)
        for i in range(256):
            size, text = data[16 * i], data[16 * i + 1 : 16 * i + 16]
            if size != CONTEXTUAL:
                alone = normalize(f"a{chr(256 * page + i)}b")
                assert f"a{text[:size].decode()}b" == alone, hex(256 * page + i)
    assert [data[16 * i] for data in [glyph_page(3)] for i in (0xA2, 0xA3, 0xA4)] == [2, CONTEXTUAL, 2]


def test_threads_take_turns() -> None:
    kernel, libraries = pair(PIECES, str(SMALL[0]))
    texts = [ENGLISH[i * 500 : i * 500 + 400] * 800 for i in range(4)]  # each long enough to let the GIL go
    expected = [libraries.measure(text) for text in texts]
    found: list[Any] = [None] * len(texts)

    def work(i: int) -> None:
        found[i] = kernel.measure(texts[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


# ------------------------------------------------------------------------------------------- SentencePiece models

SETTINGS: dict[str, dict[str, Any]] = {
    "nmt_nfkc": {},
    "identity": {"normalization_rule_name": "identity"},
    "nfkc_cf": {"normalization_rule_name": "nfkc_cf"},
    "without prefix": {"add_dummy_prefix": False},
    "spaces kept": {"remove_extra_whitespaces": False},
    "pieces beyond spaces": {"split_by_whitespace": False, "vocab_size": 400},
    "pieces of the user": {"user_defined_symbols": ["the", "the▁of", "é", "日本", "0", "##", "a"]},
    "controls": {"control_symbols": ["<x>", "the"], "unk_piece": "▁unknown"},
}
LEFT_TO_SENTENCEPIECE: dict[str, dict[str, Any]] = {
    "byte pieces": {"byte_fallback": True, "vocab_size": 500},
    "suffixes": {"treat_whitespace_as_suffix": True},
    "pairs": {"model_type": "bpe"},
    "characters": {"model_type": "char", "vocab_size": 60},
    "user's blanks": {"user_defined_symbols": ["of the"]},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    folder = tmp_path_factory.mktemp("pieces")

    @functools.cache
    def train(name: str) -> str:
        path = folder / f"{name}.model"
        model = io.BytesIO()
        options = {"vocab_size": 300, "num_threads": 1, "minloglevel": 2, "hard_vocab_limit": False}
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*ENGLISH.split("\n"), "été 日本 語"]),
            model_writer=model,
            **{**options, **(SETTINGS | LEFT_TO_SENTENCEPIECE)[name]},
        )
        path.write_bytes(model.getvalue())
        return str(path)

    return train


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=60)
@given(text=TEXTS)
@example(text=ENGLISH[:4000] + " the of of the##")
@example(text=" a  b ▁▁ c ")
@example(text="\xa0a\u3000b\u2028 c\xa0")
def test_equals_sentencepiece_with_other_settings(trained: Callable[[str], str], name: str, text: str) -> None:
    check(pair(trained(name), str(SMALL[0])), text)


@pytest.mark.parametrize("name", LEFT_TO_SENTENCEPIECE)
def test_other_models_are_left_to_sentencepiece(trained: Callable[[str], str], name: str) -> None:
    path = trained(name)
    with pytest.raises(NotForKernelError):
        read_piece_model(Path(path).read_bytes())
    model = load_language_model(path, str(SMALL[0]))
    assert isinstance(model, WithLibraries)
    assert isinstance(model.words, _perplexity.Model)
    pieces = sentencepiece.SentencePieceProcessor(model_file=path)
    for text in ("", "Été of the 日本\U0001f600", ENGLISH[:3000]):
        assert model.measure(text) == WithLibraries(pieces, library(str(SMALL[0]))).measure(text)


def test_models_in_text_are_left_to_kenlm(tmp_path: Path) -> None:
    path = tmp_path / "small.arpa"
    path.write_text(
        "\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-1\t<unk>\n-99\t<s>\t-0.5\n-0.7\t</s>\n-0.3\t▁the\t-0.1\n\n"
        "\\2-grams:\n-0.2\t<s> ▁the\n-0.4\t▁the ▁the\n\n\\end\\\n",
        encoding="utf-8",
    )
    check_language_model(PIECES, str(path))
    model = load_language_model(PIECES, str(path))
    assert isinstance(model, WithLibraries)
    assert not isinstance(model.words, _perplexity.Model)
    assert perplexity(model, "the the") == round(10 ** ((0.2 + 0.4 + 0.1 + 0.7) / 3), 1)


# ------------------------------------------------------------------------------------------------ damaged models


REFUSED = r"(damaged\.bin|\d+\.bin|damaged\.model): .*Fetch it again"


def try_out(pieces: str, words: str) -> None:
    """Refused with the name of the file and what to do, when it is loaded or used; or there is some answer."""
    load_language_model.cache_clear()
    refused = ""
    try:
        model = load_language_model(pieces, words)
        for text in (ENGLISH[:3000], "日本 \U0001f600 x", "the " * 300):
            model.measure(text)
    except MissingModel as error:
        refused = str(error)
    assert not refused or re.search(REFUSED, refused)


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_cut_file_is_refused(tmp_path: Path, path: Path) -> None:
    whole, cut = path.read_bytes(), tmp_path / "cut.bin"
    end = read_layout(whole).end + 6  # all of the numbers, and <unk>, which shows that the words begin there
    for size in [*range(0, 200, 3), *range(200, end, 97), end - 1]:
        cut.unlink(missing_ok=True)
        cut.write_bytes(whole[:size])
        with pytest.raises(MissingModel, match=r"cut\.bin: no model that can be used.*Fetch it again"):
            check_language_model(PIECES, str(cut))
    cut.unlink()
    cut.write_bytes(whole[:end])
    check_language_model(PIECES, str(cut))


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
@settings(max_examples=50)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_gives_some_answer(
    tmp_path_factory: pytest.TempPathFactory, path: Path, data: Any
) -> None:
    damaged = bytearray(path.read_bytes())
    places = st.one_of(st.integers(88, 160), st.integers(160, len(damaged) - 1))
    for at, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=40)):
        damaged[at] = byte
    damaged_path = tmp_path_factory.getbasetemp() / "damaged.bin"
    damaged_path.unlink(missing_ok=True)
    damaged_path.write_bytes(damaged)
    try_out(PIECES, str(damaged_path))


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
@pytest.mark.parametrize("byte", [0, 0x55, 0xFF])
def test_a_file_of_one_byte_after_its_head(tmp_path: Path, path: Path, byte: int) -> None:
    """All pointers too large, all hash tables full: a look-up in a full table must end."""
    whole = path.read_bytes()
    for start in (160, len(whole) // 3, len(whole) // 2):
        broken = tmp_path / f"{start}.bin"
        broken.write_bytes(whole[:start] + bytes([byte]) * (len(whole) - start))
        try_out(PIECES, str(broken))


HEAD = [
    (88, "<B", 0, "n-grams of up to 0 words"),
    (88, "<B", 7, "n-grams of up to 7 words"),
    (96, "<I", 6, "of kind 6"),
    (104, "<I", 9, "of version 9"),
    (108, "<Q", 0, "n-grams"),
    (108, "<Q", 1 << 60, "n-grams"),
    (116, "<Q", 1 << 50, "by its head they are"),
    (53, "<B", 9, "numbers in its head"),
    (0, "<B", 9, "does not begin"),
    (64, "<f", 1.5, "numbers in its head"),
]


@pytest.mark.parametrize(("at", "form", "value", "message"), HEAD)
def test_what_is_wrong_with_a_head_is_said(at: int, form: str, value: float, message: str) -> None:
    damaged = bytearray((HERE / "kenlm/trie.bin").read_bytes())
    read_layout(damaged)
    struct.pack_into(form, damaged, at, value)
    with pytest.raises(BrokenModelError, match=message):
        read_layout(damaged)


@pytest.mark.parametrize("multiplier", [0.99, float("nan"), float("inf"), 1e30])
def test_a_hash_table_of_no_size(multiplier: float) -> None:
    damaged = bytearray((HERE / "kenlm/probing.bin").read_bytes())
    struct.pack_into("<f", damaged, 92, multiplier)
    with pytest.raises(BrokenModelError, match="times as large"):
        read_layout(damaged)


@settings(max_examples=50)
@given(data=st.data())
def test_a_damaged_piece_model_is_refused_or_gives_some_answer(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    damaged = bytearray(Path(PIECES).read_bytes())
    places = st.one_of(st.integers(0, len(damaged) - 1), st.integers(len(damaged) - 245_000, len(damaged) - 1))
    for at, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=20)):
        damaged[at] = byte
    try:
        read_piece_model(bytes(damaged))
    except NotForKernelError:
        return
    path = tmp_path_factory.getbasetemp() / "damaged.model"
    path.unlink(missing_ok=True)
    path.write_bytes(damaged)
    try_out(str(path), str(SMALL[0]))


# ------------------------------------------------------------------------------- files that change while in use


@pytest.fixture
def in_use(tmp_path: Path) -> tuple[Path, Scorer]:
    path = tmp_path / "in use.bin"
    shutil.copy(HERE / "kenlm/trie.bin", path)
    model = load_language_model(PIECES, str(path))
    assert model.measure("the of") is not None
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
def test_a_model_that_changes_in_place_is_named(in_use: tuple[Path, Scorer], change: Callable[[Path], None]) -> None:
    path, model = in_use
    change(path)
    for text in ("the of", ENGLISH * 60):  # the second without the GIL
        with pytest.raises(MissingModel, match=r"in use\.bin: this model was written over while it was in use\. Put"):
            model.measure(text)
    assert pair(PIECES, str(SMALL[0]))[0].measure("the of") is not None


def test_a_model_that_is_replaced_stays_as_it_was(in_use: tuple[Path, Scorer]) -> None:
    path, model = in_use
    before = model.measure(ENGLISH)
    path.with_name("new").write_bytes(b"another model")
    path.with_name("new").replace(path)
    assert model.measure(ENGLISH) == before


def test_a_sigbus_that_is_not_the_kernels_ends_the_process(tmp_path: Path) -> None:
    """Whichever of the kernels that map a file has the handler: a process would hang where each asks the other."""
    path = tmp_path / "page"
    path.write_bytes(b"x" * 4096)
    script = (
        "import mmap, os, sys; from filters.fasttext_model import read_model\n"
        "from filters.perplexity import load_language_model as load\n"
        "for _ in range(2): read_model(sys.argv[1]); load(sys.argv[2], sys.argv[3]); load.cache_clear()\n"
        "file = open(sys.argv[4], 'rb'); page = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "os.truncate(sys.argv[4], 0); page[0]"
    )
    command = [sys.executable, "-c", script, str(SAMPLE / "wikiref.bin"), PIECES, str(SMALL[0]), str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    by_sanitizer = "AddressSanitizer: BUS" in ended.stderr
    assert ended.returncode == (1 if by_sanitizer else -signal.SIGBUS)
