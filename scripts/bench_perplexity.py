"""Perplexity by the kernel and by the libraries it stands for, in turn: ``python scripts/bench_perplexity.py``.

    python scripts/bench_perplexity.py [--data DIR] [--pieces FILE --words FILE] [--megabytes 4] [--repeat 5]

The texts are documents of c4, then pages of books, of the real input. Prints MB of their UTF-8
a CPU second, and how many times as fast the kernel is: the median of the pairs, with the lowest and the highest. Checks
that both give the same numbers.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import kenlm
import sentencepiece
from bench_floor import FLOORS
from realdata import DEFAULT, raw_files

from filters.perplexity import Scorer, WithLibraries, load_language_model

PAGE = 6000  # characters of a page of a book: as long as a page of the web


def texts(data: Path, megabytes: float) -> list[str]:
    """Documents, then every seventh page, as many as are asked for."""

    def pages(name: str) -> Iterator[str]:
        for path in raw_files(name, data):
            for text, _ in FLOORS[name](path):
                for start in range(0, len(text), PAGE):
                    yield text[start : start + PAGE]

    found: list[str] = []
    size = 0.0
    for text in itertools.chain(pages("c4"), itertools.islice(pages("books"), 0, None, 7)):
        found.append(text)
        size += len(text.encode()) / 1e6
        if size >= megabytes:
            break
    return found


def seconds(model: Scorer, documents: list[str]) -> tuple[float, list[tuple[float, int] | None]]:
    """CPU seconds for all documents, and what comes out."""
    start = time.process_time()
    found = [model.measure(text) for text in documents]
    return time.process_time() - start, found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--pieces", type=Path, help="a SentencePiece model; default: that of the real input")
    parser.add_argument("--words", type=Path, help="a binary KenLM model; default: that of the real input")
    parser.add_argument("--megabytes", type=float, default=4, help="of text (default: 4)")
    parser.add_argument("--repeat", type=int, default=5, help="pairs (default: 5)")
    given = parser.parse_args()
    folder = given.data / "models/lm_sp"
    pieces, words = given.pieces or folder / "en.sp.model", given.words or folder / "en.arpa.bin"
    documents = texts(given.data, given.megabytes)
    size = sum(len(text.encode()) for text in documents) / 1e6
    config = kenlm.Config()
    config.show_progress = False
    kernel = load_language_model(str(pieces), str(words))
    libraries = WithLibraries(
        sentencepiece.SentencePieceProcessor(model_file=str(pieces)), kenlm.Model(str(words), config)
    )
    seconds(kernel, documents), seconds(libraries, documents)  # the files are in memory now
    pairs = []
    for _ in range(given.repeat):
        (ours, found), (theirs, expected) = seconds(kernel, documents), seconds(libraries, documents)
        if found != expected:
            raise SystemExit("the kernel gives other numbers than the libraries")
        pairs.append((size / ours, size / theirs))
    for name, values in zip(("kernel", "libraries"), zip(*pairs, strict=True), strict=True):
        print(f"{name:10} {median(values):6.1f} MB/s ({min(values):.1f} to {max(values):.1f})")
    times = [ours / theirs for ours, theirs in pairs]
    print(f"{'times':10} {median(times):6.1f}      ({min(times):.1f} to {max(times):.1f}), {size:.1f} MB")


if __name__ == "__main__":
    main()
