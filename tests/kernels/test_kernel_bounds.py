"""The kernels at their limits: texts that fill a buffer to its last byte, numbers out of range, the paths of other
processors, other threads. ``make sanitize`` runs this file with every read and write checked."""

from __future__ import annotations

import re
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import _minhash, _native
from filters._signals import signals_json
from filters.minhash import NGRAM_MAX, scheme, shingles, sign, signatures
from filters.signals import LINES_MAX, quality_signals, signals_object

HAN = "\U00020000"  # a word of its own, of 4 bytes: the most that a character can take
KERNELS = Path(__file__).resolve().parents[2] / "filters"

# ------------------------------------------------------------------------------------------- buffers that fit exactly

# Of the first piece (4,096 characters) a word is left that goes on; the second piece has 4,096 words of 4 bytes, each
# with a zero byte before it. Less than 16 bytes are carried over, whatever the word's length.
BEGUN = {"15 bytes": " " * 4081 + "a" * 15, "16 bytes": " " * 4080 + "a" * 16, "more": "a" * 4096, "none": " " * 4096}
PIECES = {
    "a word a character": HAN * 4096,
    "words of one letter": "a " * 2048,
    "alone, then a letter": (HAN + "a") * 2048,
    "letters of 4 bytes": "\U00010428" * 4096,
    "one less": HAN * 4095,
    "one more": HAN * 4097,
}


@pytest.mark.parametrize("ngram", [1, 5, NGRAM_MAX])
@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
def test_minhash_of_a_piece_that_fills_its_buffer(begun: str, piece: str, ngram: int) -> None:
    """Pieces change nothing: with white space before, so that they are cut elsewhere, the shingles are the same."""
    text = begun + piece + HAN * 3
    expected = shingles(text, ngram=ngram)
    for shift in (1, 17):
        np.testing.assert_array_equal(shingles(" " * shift + text, ngram=ngram), expected)
    chosen = scheme(threshold=0.8, ngram=ngram, permutations=17)
    rows, has = signatures([text], chosen)
    upper = (expected >> np.uint64(32)).astype(np.uint32)
    assert has.tolist() == [len(expected) > 0]
    assert rows[0].tolist() == sign(upper, permutations=17).tolist()


@pytest.mark.parametrize("letter", ["a", "é", "漢", HAN])
@pytest.mark.parametrize("length", [0, 1, 5, 6, 4095, 4096, 4101, 4102, 8197, 8198])
def test_simhash_of_a_full_buffer(length: int, letter: str) -> None:
    """All windows of a constant text are the same feature, however the batches are cut."""
    whole = letter * length
    assert _native.simhash64(whole) == _native.simhash64(letter * min(length, 6))


@pytest.mark.parametrize("letter", ["a", "é", "漢", HAN, "\u0130"])
@pytest.mark.parametrize("length", [0, 55, 56, 63, 64, 1023, 1024, 1025, 2048])
def test_line_hashes_of_a_full_buffer(length: int, letter: str) -> None:
    """Leading white space is stripped, and moves the pieces in which a line is read."""
    assert _native.line_hashes(letter * length) == _native.line_hashes("\u3000" + letter * length)


def test_longest_offsets_of_a_signal() -> None:
    found = quality_signals("a" * 99_999_999 + "\n" + "b")
    assert found["rps_lines_num_words"] == [(0, 100_000_000, 1), (100_000_000, 100_000_001, 1)]


# ------------------------------------------------------------------------------------------- numbers out of range


@pytest.mark.parametrize(
    ("permutations", "bands", "width"),
    [(1 << 62, 1 << 61, 1), (1 << 62, 1, 1), (1 << 60, 1 << 60, 1), (sys.maxsize, 1, 1), (sys.maxsize, sys.maxsize, 1),
     (1 << 61, 1 << 61, 1), (0, 0, 0), (-1, -1, -1), (2, 1, 3), (2, 3, 1), (4, 1 << 62, 1 << 62)],
)  # fmt: skip
@pytest.mark.parametrize("size", [0, 16])
def test_band_keys_of_absurd_sizes(permutations: int, bands: int, width: int, size: int) -> None:
    if size == 0 and 0 < permutations < 1 << 60:
        size = 4
    with pytest.raises(ValueError, match="do not fit each other"):
        _minhash.band_keys(bytes(size), permutations, bands, width, bytearray(size))


@pytest.mark.parametrize("ngram", [-1, 0, NGRAM_MAX + 1, 1 << 57, sys.maxsize])
def test_shingles_of_absurd_sizes(ngram: int) -> None:
    """At once: a loop over 2**57 words would be the end of the test."""
    shingles("a", ngram=1)  # prepares
    with pytest.raises(ValueError, match=f"1 to 1000 words, not {ngram}"):
        _minhash.shingles("a b c", ngram)


def test_signals_of_more_lines_than_allowed() -> None:
    def lines(number: int, limit: int, *, with_lines: bool) -> bytes:
        text = "\n" * (number - 1) + "a"
        return signals_json(text, None, None, None, None, b"", b"", b"", with_lines, limit, True)

    assert lines(3, 3, with_lines=True).count(b"],[") == 12
    for number, limit in ((4, 3), (1, 0), (1, -1)):
        with pytest.raises(ValueError, match=f"at most {max(limit, 0)} lines"):
            lines(number, limit, with_lines=True)
    assert lines(4, 0, with_lines=False) in lines(4, 4, with_lines=True)
    with pytest.raises(OverflowError):
        lines(1, 1 << 70, with_lines=True)
    with pytest.raises(ValueError, match="at most 1000000 lines"):
        signals_object(
            "\n" * (LINES_MAX + 1), {}, sources=quality_signals.__kwdefaults__["sources"], language="en", words="re"
        )


MEMORY = """
import resource, sys
from filters._signals import signals_json
def measure(text): signals_json(text, None, None, None, None, b"", b"", b"", False, 0, True)
measure("a" * 20_000_000); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
measure("\\n" * 20_000_000); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="counts bytes, not KiB")
def test_lines_take_no_memory_where_their_signals_are_not_asked_for() -> None:
    """20 million of them took 32 bytes each, and as much again while that grew."""
    if "checked" in _native.__file__ or "sanitize" in _native.__file__:
        pytest.skip("freed memory is kept to be watched")
    found = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, cwd=KERNELS.parent
    )
    assert int(found.stdout) < 100_000  # KiB


# ------------------------------------------------------------------------------------------- other processors

ODD = st.sampled_from("Σς\u0130\u0307\r\n\x1c\x85\u2028\xa0_-'aB19é１٣Ѐ€漢\U0001d7d8\U00010400\U00020000\x00\x7f")
TEXTS = st.builds(
    lambda part, times: part * times,
    st.text(st.one_of(st.characters(exclude_categories=["Cs"]), ODD, st.characters(max_codepoint=127))),
    st.sampled_from([1, 7, 40, 900]),
)


@pytest.fixture
def any_path() -> Iterator[None]:
    yield
    _native.use(_native.PATHS[-1])


def test_the_portable_path_is_there_and_others_are_refused(any_path: None) -> None:
    assert _native.PATHS[0] == _minhash.PATHS[0] == "portable"
    assert _native.PATHS == _minhash.PATHS
    for name in ("avx9000", "", 1):
        with pytest.raises(ValueError, match="this machine has no path"):
            _native.use(name)  # type: ignore[arg-type]


@settings(max_examples=60)
@given(text=TEXTS)
def test_every_path_gives_the_same(text: str) -> None:
    """What runs on other processors, on this one."""
    found = []
    try:
        for path in _native.PATHS:
            _native.use(path)
            found.append((_native.simhash64(text), _native.line_hashes(text)))
    finally:
        _native.use(_native.PATHS[-1])
    assert all(other == found[0] for other in found)
    hashes = (np.frombuffer(_minhash.shingles(text, 2), np.uint64) >> np.uint64(32)).astype(np.uint32)
    rows = [sign(hashes, permutations=130, path=path).tolist() for path in _minhash.PATHS]
    assert all(other == rows[0] for other in rows)


# ------------------------------------------------------------------------------------------- other threads


def turns_beside(work: Callable[[], object], *, times: int) -> int:
    """How often another thread got its turn while `work` ran, at most so many times; once is enough, and a busy machine
    may not wake the other in time. Python itself takes the GIL from nobody then."""
    turns, stop, started = [0], threading.Event(), threading.Event()

    def count() -> None:
        while not stop.is_set():
            turns[0] += 1
            started.set()
            select.select([], [], [], 0)  # lets the GIL go

    thread = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread.start()
        started.wait()
        before = turns[0]
        for _ in range(times):
            work()
            if turns[0] > before:
                break
        return turns[0] - before
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        thread.join()


LONG = ("It was the best of times, it was the worst of times\n" * 6000)[: 1 << 18]
CHOSEN = scheme(threshold=0.8, ngram=5, permutations=128)
LONG_WORK: dict[str, Callable[[str], object]] = {
    "text_stats": _native.text_stats,
    "simhash64": _native.simhash64,
    "line_hashes": _native.line_hashes,
    "signatures": lambda text: signatures([text], CHOSEN),
    "shingles": lambda text: _minhash.shingles(text, 5),
}


@pytest.mark.parametrize("name", LONG_WORK)
def test_long_texts_are_read_without_the_gil(name: str) -> None:
    signatures(["a"], CHOSEN)  # prepares
    assert turns_beside(lambda: LONG_WORK[name](LONG * 8), times=200) > 0
    assert turns_beside(lambda: LONG_WORK[name](LONG[1:]), times=3) == 0  # it would cost more than it gives


def test_threads_give_the_same_as_one() -> None:
    texts = [LONG + tail for tail in ("", "é", "漢", HAN, "Σ\n")]
    expected = [[str(work(text)) for work in LONG_WORK.values()] for text in texts]
    found: dict[int, list[str]] = {}

    def measure(number: int) -> None:
        found[number] = [str(work(texts[number])) for work in LONG_WORK.values()]

    threads = [threading.Thread(target=measure, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(len(texts))] == expected


# ------------------------------------------------------------------------------------------- sources


def test_what_kernels_share_is_stated_once() -> None:
    """A macro or helper of _text.h that a kernel states anew would drift from it."""
    header = (KERNELS / "_text.h").read_text()
    names = set(re.findall(r"^#define (\w+)", header, re.M)) | set(
        re.findall(r"^(?:INLINE|UNUSED static) .*?(\w+)\(", header, re.M)
    )
    assert {"LIKELY", "BY_KIND", "ROTATE", "put_utf8", "is_text", "lowered", "fold", "best_path"} <= names
    kernels = sorted(KERNELS.glob("_*.c"))
    assert len(kernels) == 5
    for kernel in kernels:
        source = kernel.read_text()
        assert '#include "_text.h"' in source
        own = set(re.findall(r"^#define (\w+)", source, re.M)) | set(
            re.findall(r"^(?:INLINE|NOINLINE|static) .*?(\w+)\(", source, re.M)
        )
        assert not own & names, kernel.name
