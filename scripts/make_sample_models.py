"""Makes the small models of the sample's Common Crawl slice, from texts that are written like the sample's pages.

    python scripts/make_sample_models.py [FOLDER]      default: redpajama_data/sample/models

The models come from rpj's own training, as `rpj train lm` and `rpj train classifier` would make them, only smaller. No
page of the sample is among their texts. They are part of the package: run this again only when the sample's prose
changes, and commit what it writes; the same prose gives the same bytes. Needs lmplz (scripts/build_kenlm.sh).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from filters.ccnet_normalize import normalize
from redpajama_data.io.shards import to_json
from redpajama_data.sample.lexicon import WORLDS, World
from redpajama_data.sample.prose import Chance
from redpajama_data.sample.web_pages import article_text, blog_text, forum_text, interview_text, spam_text, story_text
from redpajama_data.training.classifier import train_classifier
from redpajama_data.training.lm import train_lm

MODELS = Path(__file__).parent.parent / "redpajama_data" / "sample" / "models"
PASSAGES = 200  # of the language model: one document each
PAGES = 90  # of each class of the classifier
PIECES = 1100


def _texts(count: int, name: str, kinds: Sequence[Callable[[Chance, World], list[str]]]) -> list[str]:
    worlds = list(WORLDS.values())
    return [
        "\n".join(kinds[number % len(kinds)](Chance(f"{name} {number}"), worlds[number % len(worlds)]))
        for number in range(count)
    ]


def _write(path: str, texts: list[str]) -> str:
    Path(path).write_bytes(b"".join(to_json({"text": text}) + b"\n" for text in texts))
    return path


def make(folder: Path) -> None:
    """Write en.sp.model, en.arpa.bin and wikiref.bin into ``folder``."""
    with tempfile.TemporaryDirectory() as work:
        passages = [text.split("\n")[0] for text in _texts(PASSAGES, "language model", (article_text,))]
        lm = _write(os.path.join(work, "lm.jsonl"), passages)
        trained = train_lm([lm], str(folder), "en", normalize=normalize, vocabulary=PIECES, structure="trie")
        print(trained.render())
        wiki = _texts(PAGES, "reference", (article_text, article_text, interview_text, story_text))
        crawl = _texts(PAGES, "crawl", (blog_text, forum_text, story_text, spam_text, blog_text))
        report = train_classifier(
            [_write(os.path.join(work, "wiki.jsonl"), wiki)],
            [_write(os.path.join(work, "cc.jsonl"), crawl)],
            str(folder / "wikiref.bin"),
            dim=8,
            lr=0.5,
            epochs=10,
            min_count=3,
        )
        print(report.render())


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else MODELS)
