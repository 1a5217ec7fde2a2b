"""What users would otherwise call, against ours, on the same real text in one process: CPU seconds, alternating."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench_floor import FLOORS
from realdata import raw_files

Pair = tuple[str, Callable[[], Any], Callable[[], Any]]  # what is compared, theirs, ours


def peers(name: str, data: Path) -> Iterator[Pair]:
    """The pairs of a slice; none where the peer's package is not installed."""
    with contextlib.suppress(ImportError):
        if name in _PEERS:
            texts = [text for path in raw_files(name, data) for text, _ in FLOORS[name](path)]
            yield _PEERS[name](texts, data)


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
    return "simhash (PyPI) / ours", theirs, ours


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

    return "mwparserfromhell's tree / ours", theirs, ours


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
    return "tokenizers (Hugging Face) / ours", theirs, ours


_PEERS: dict[str, Callable[[list[str], Path], Pair]] = {"books": _simhash, "wikipedia": _wikitext, "github": _tokens}
