"""What users would otherwise call, against ours, on the same real text in one process: CPU seconds, alternating."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench_floor import FLOORS
from realdata import raw_files


class Pair(NamedTuple):
    """What is compared, theirs and ours on the same text, and MB of it."""

    label: str
    theirs: Callable[[], Any]
    ours: Callable[[], Any]
    megabytes: float


def peers(name: str, data: Path) -> Iterator[Pair]:
    """The pairs of a slice or job; none where the peer's package is not installed."""
    with contextlib.suppress(ImportError):
        if name in _PEERS:
            source = _SOURCES.get(name, name)
            texts = [text for path in raw_files(source, data) for text, _ in FLOORS[source](path)]
            yield _PEERS[name](texts, data)


def size(texts: list[str]) -> float:
    """MB in UTF-8."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6


def ratios(theirs: Callable[[], Any], ours: Callable[[], Any], repeat: int) -> list[tuple[float, float]]:
    """CPU seconds of theirs and ours, pair by pair."""
    pairs = []
    for _ in range(repeat):
        times = []
        for call in (theirs, ours):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
        pairs.append((times[0], times[1]))
    return pairs


def _simhash(texts: list[str], data: Path) -> Pair:
    from simhash import Simhash

    from filters.simhash import book_simhash

    def theirs() -> list[int]:
        windows = []
        for text in texts[:2]:  # 0.5 s a book
            letters = re.sub(r"[^\w]+", "", text.lower())
            windows.append(Simhash([letters[i : i + 6] for i in range(max(len(letters) - 5, 1))]).value)
        return windows

    def ours() -> list[int]:
        return [book_simhash(text) for text in texts[:2]]

    assert theirs() == ours()
    return Pair("simhash, books", theirs, ours, size(texts[:2]))


def _wikitext(texts: list[str], data: Path) -> Pair:
    import mwparserfromhell

    from filters.wikitext import clean

    some = texts[:20]

    def theirs() -> None:
        """Parse, cut into sections, strip: the published way without its search for links and tags."""
        for text in some:
            for section in mwparserfromhell.parse(text).get_sections(
                flat=True, include_lead=True, include_headings=True
            ):
                for link in section.ifilter_wikilinks(recursive=True):
                    str(link.title)
                for tag in section.ifilter_tags(recursive=True):
                    str(tag.tag)
                section.strip_code()

    def ours() -> None:
        for text in some:
            clean(text, "en")

    return Pair("mwparserfromhell, articles to text", theirs, ours, size(some))


def _tokens(texts: list[str], data: Path) -> Pair:
    from tokenizers import Tokenizer

    from redpajama_data.models.tokens import load_tokenizer

    path = str(data / "models" / "gpt-neox-20b.tokenizer.json")
    library, own = Tokenizer.from_file(path), load_tokenizer(path)
    some = texts[: max(1, len(texts) // 5)]

    def theirs() -> list[int]:
        return [len(library.encode(text, add_special_tokens=False).ids) for text in some]

    def ours() -> list[int]:
        return own.count(some)

    assert theirs() == ours()
    return Pair("tokenizers, counts of GPT-NeoX's tokens", theirs, ours, size(some))


def _perplexity(texts: list[str], data: Path) -> Pair:
    import kenlm
    import sentencepiece

    from filters.perplexity import WithLibraries, load_language_model

    pieces, words = (str(data / "models" / "lm_sp" / name) for name in ("en.sp.model", "en.arpa.bin"))
    config = kenlm.Config()
    config.show_progress = False
    libraries = WithLibraries(sentencepiece.SentencePieceProcessor(model_file=pieces), kenlm.Model(words, config))
    kernel = load_language_model(pieces, words)

    def theirs() -> list[tuple[float, int] | None]:
        return [libraries.measure(text) for text in texts]

    def ours() -> list[tuple[float, int] | None]:
        return [kernel.measure(text) for text in texts]

    assert theirs() == ours()
    return Pair("sentencepiece and kenlm, perplexity", theirs, ours, size(texts))


def _minhash(texts: list[str], data: Path) -> Pair:
    from datasketch import MinHash

    from filters.minhash import scheme, signatures

    some, made = texts[: max(1, len(texts) // 5)], scheme(threshold=0.8, ngram=5, permutations=128)

    def theirs() -> None:
        """Words in fives, one call for all signatures, as its documents advise."""
        sets = []
        for text in some:
            words = re.findall(r"\w+", text.lower())
            sets.append([" ".join(words[i : i + 5]).encode() for i in range(max(1, len(words) - 4))])
        MinHash.bulk(sets, num_perm=128)

    return Pair("datasketch, MinHash signatures", theirs, lambda: signatures(some, made), size(some))


_SOURCES = {"common_crawl": "c4", "fuzzy": "stackexchange"}  # whose texts, where the subject has no such text itself
_PEERS: dict[str, Callable[[list[str], Path], Pair]] = {
    "books": _simhash,
    "wikipedia": _wikitext,
    "github": _tokens,
    "common_crawl": _perplexity,
    "fuzzy": _minhash,
}
