"""Generated texts and damaged models through every kernel: ``python scripts/fuzz_kernels.py --seconds 60 --seed 0``.

Round n is made from seed and n alone: what fails is done again by ``--seed SEED --round N``. Of texts it compares: each
path of the processor's with the portable one, a wide str with a narrow one, a text with its pieces. Of models: whether
each is refused, or gives some answer. ``make sanitize`` runs it on kernels that check every read and write.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from filters import _minhash, _native, _signals, minhash_v2
from filters.fasttext_model import read_model
from filters.minhash import Scheme, band_keys, scheme, shingles, sign, signatures
from filters.ngrams import words_of
from filters.perplexity import load_language_model
from filters.piece_model import NotForKernelError, read_piece_model
from redpajama_data.errors import MissingModel

ROOT = Path(__file__).resolve().parent.parent
PIECES = ROOT / "redpajama_data/sample/models/en.sp.model"
WORDS = [PIECES.with_name("en.arpa.bin"), *sorted((ROOT / "tests/kernels/kenlm").glob("*.bin"))]
SOURCES = [ROOT / "redpajama_data/sample/models/wikiref.bin", ROOT.parent / "shared/data/models/lid.176.ftz"]
EVERY = np.full(2, ~np.uint64(0))  # a sieve that lets every shingle pass

ALPHABETS = [
    "abcdefghij KLMNOP 0123456789",
    " \t\r\n\v\f\x1c\x1d\x85\xa0\u2028\u3000",
    ".,!?#{}[]<>'\"_-–…•“”",
    "éßÀÿ«»½²ª",
    "бвгΣσςΑ\u0130ıſﬁ\u0345",
    "漢字かなカﾅ한글ไทย",
    "\U00010400\U0001d7d8\U0001f600\U00020000\U0003134a",
    "\u200b\u200d\ufe0f\u00ad\U000e0001",
    "\u0300\u0301\u0316\u0323\u0345\u0e49\u093c",
    "\ud800\udbff\udc00\udfff",
]
PHRASES = ["lorem ipsum ", "javascript", "the the ", "__label__a ", "</s>", "ΑΣ\n", "e\u0301\u0316"]
EDGES = [0, 1, 5, 6, 7, 16, 31, 32, 33, 64, 127, 256, 1024, 4095, 4096, 4097, 4101, 8191, 8192, 8193, 65_536, 70_000]
SCHEMES = [
    scheme(threshold=0.8, ngram=5, permutations=128),
    scheme(threshold=0.5, ngram=1, permutations=2),
    scheme(threshold=0.7, ngram=1000, permutations=17),
    scheme(threshold=0.9, ngram=3, permutations=200),
]
LISTS = [
    _signals.Table((word, n) for n, word in enumerate(words)) for words in (["the", "é", "漢"], [], ["lorem ipsum"])
]
STARTS = _signals.Table([("lorem", 2), ("the", 300), ("漢", 1)])


def generated(rng: random.Random) -> str:
    """A text of a length near one at which a kernel does something else, of one script or several, with long runs."""
    length = max(0, rng.choice(EDGES) + rng.randint(-3, 3))
    letters = "".join(rng.sample(ALPHABETS, rng.randint(1, 4)))
    parts: list[str] = []
    size = 0
    while size < length:
        part = rng.choice(letters) if rng.random() < 0.98 else rng.choice(PHRASES)
        parts.append(part * rng.choice([1, 1, 1, 2, 5, 40, 700]))
        size += len(parts[-1])
    return "".join(parts)[:length]


def same(name: str, found: Iterable[object]) -> None:
    """Raises AssertionError unless all are equal."""
    first, *others = found
    if any(other != first for other in others):
        raise AssertionError(f"{name}: different answers for the same text")


def line_hashes(text: str) -> bytes | None:
    """None where the text has no UTF-8."""
    try:
        return _native.line_hashes(text)
    except UnicodeEncodeError:
        return None


def check_text(text: str, chosen: Scheme, rng: random.Random) -> None:
    """All kernels on one text."""
    wide = text + "\n\U00010428"  # the same lines in a str of 4 bytes a character, and one more
    answers = []
    for path in _native.PATHS:
        _native.use(path)
        answers.append((_native.simhash64(text), line_hashes(text), line_hashes(wide)))
    same("paths of _native", answers)
    _, narrow, long = answers[0]
    if narrow is not None and long is not None:
        same("line_hashes, narrow and wide", (narrow, long[:-8]))
    stats = _native.text_stats(text)
    same("text_stats", (stats[0], len(text.splitlines())))

    found, has = signatures([text, "", wide], chosen)
    hashes = np.frombuffer(_minhash.shingles(text, chosen.ngram), np.uint64)
    same("has shingles", (bool(has[0]), len(hashes) > 0))
    upper = (hashes >> np.uint64(32)).astype(np.uint32)
    rows = [sign(upper, permutations=chosen.permutations, path=path).tolist() for path in _minhash.PATHS]
    same("paths of _minhash", [*rows, found[0].tolist()] if len(hashes) else rows)
    passed = np.frombuffer(_minhash.sifted([text], chosen.ngram, EVERY), np.uint64).reshape(-1, 3)
    same("shingles, sifted by what lets all pass", (passed[:, 2].tolist(), hashes.tolist()))
    same("words, and shingles of one", (words_of(text).count(0), len(_minhash.shingles(text, 1)) // 8))
    band_keys(found, chosen)
    if len(upper):
        few = upper[:20].tolist()
        pairs = [[int(n) for n in pair] for pair in zip(*minhash_v2.permutations(), strict=True)][:5]
        least = [min((a * h + b) % 2**64 % (2**61 - 1) % 2**32 for h in few) for a, b in pairs]
        words = minhash_v2.words_of(text)
        windows = [" ".join(words[i : i + 3]).encode("utf-8", "replace") for i in range(len(words) - 2)]
        told = b"".join([hashlib.sha1(window, usedforsecurity=False).digest()[:4] for window in windows])
        same("hashes of windows", (told, _native.window_hashes(" ".join(words).encode("utf-8", "replace"), 3)))
        same("permutations of RedPajama-V2", (minhash_v2.permuted(upper[:20])[:5].tolist(), least))
    if text.isascii():
        same("shingles, narrow and wide", (set(shingles(text, ngram=1)), set(shingles(wide, ngram=1)) - last_word()))

    by_regex, with_lines = rng.random() < 0.5, rng.random() < 0.5
    json = _signals.signals_json(
        text, LISTS[0], LISTS[1], LISTS[2], STARTS, b"{", b"", b"}", with_lines, 1 << 28, by_regex
    )
    bare = _signals.signals_json(text, LISTS[0], LISTS[1], LISTS[2], STARTS, b"{", b"", b"}", False, 0, by_regex)
    if not json.startswith(bare[:-1]):
        raise AssertionError("signals_json: a document's signals depend on whether its lines are asked for")
    counts = _signals.hash_features(text, rng.choice([1, 7, 10_000]), 1, 2, rng.choice([1, 2]), by_regex)
    LISTS[0].get(text[:100])
    if sum(np.frombuffer(counts, "<i8")) % 2 != (1 if np.frombuffer(counts, "<i8").any() else 0):
        raise AssertionError("hash_features: n words have n - 1 pairs")


def last_word() -> set[int]:
    """The shingle of the word that check_text puts behind a text."""
    return set(shingles("\U00010428", ngram=1))


def damage(source: bytes, head: int, rng: random.Random) -> bytes:
    """Some bytes changed, of the first ``head`` more often than of others, or cut short."""
    damaged = bytearray(source)
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        at = rng.randrange(rng.choice([head, len(damaged), len(damaged)]))
        damaged[at] = rng.choice([0, 1, 2, 127, 128, 255, rng.randrange(256)])
    if rng.random() < 0.1:
        del damaged[rng.randrange(len(damaged)) :]
    return bytes(damaged)


def check_model(source: bytes, path: Path, texts: list[str], rng: random.Random) -> bool:
    """A model file with some bytes changed, or cut short; returns whether it was one still."""
    path.unlink(missing_ok=True)
    path.write_bytes(damage(source, 140, rng))
    try:
        model = read_model(str(path))
    except MissingModel:
        return False
    for text in texts:
        try:
            model.predict(text)
        except ValueError:  # a lone surrogate, or numbers that are none
            continue
    return True


def check_perplexity(folder: Path, texts: list[str], rng: random.Random) -> bool:
    """A pair of models of which one is damaged; returns whether they were loaded still."""
    pieces, words = PIECES, rng.choice(WORDS)
    if rng.random() < 0.3:
        try:
            pieces = folder / "pieces"
            pieces.write_bytes(damage(PIECES.read_bytes(), 10_000, rng))
            read_piece_model(pieces.read_bytes())
        except NotForKernelError:
            return False
    else:
        source = words.read_bytes()
        words = folder / "words"
        words.unlink(missing_ok=True)
        words.write_bytes(damage(source, 200, rng))
    load_language_model.cache_clear()
    try:
        model = load_language_model(str(pieces), str(words))
    except MissingModel:
        return False
    for text in texts:
        try:
            same("measure, twice", (model.measure(text), model.measure(text)))
        except (MissingModel, UnicodeEncodeError):
            continue
    return True


def fuzz(seed: int, seconds: float, only: int | None, scratch: Path) -> None:
    """Rounds until the time is over, or the one round."""
    sources = [source.read_bytes() for source in SOURCES if source.exists()]
    until = time.monotonic() + seconds
    number, models, pairs = only or 0, 0, 0
    while only is None or number == only:
        rng = random.Random(f"{seed} {number}")
        texts = [generated(rng) for _ in range(4)]
        try:
            for text in texts:
                check_text(text, rng.choice(SCHEMES), rng)
            models += check_model(rng.choice(sources), scratch / "model", [text[:5000] for text in texts], rng)
            pairs += check_perplexity(scratch, [text[:5000] for text in texts], rng)
        except BaseException:
            print(f"failed in round {number}; again: python scripts/fuzz_kernels.py --seed {seed} --round {number}")
            raise
        number += 1
        if only is None and time.monotonic() > until:
            break
    print(
        f"{number - (only or 0)} rounds of 4 texts, a fastText model ({models} loaded) and language models ({pairs}), "
        f"seed {seed}: nothing found"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of all rounds (default: 0)")
    parser.add_argument("--round", type=int, help="only this one")
    given = parser.parse_args()
    faulthandler.enable()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        fuzz(given.seed, given.seconds, given.round, Path(folder))
    sys.exit()
