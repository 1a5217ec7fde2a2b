"""Recall and precision of near-duplicate removal on real text, against the truth: the Jaccard similarity of all pairs.

    python scripts/near_duplicates.py [--data DIR] [--threshold 0.8] [--json]

editions   editions of the same books
forks      files of repositories and of older commits of them, which stand for forks
dumps      threads of a site in an older and a newer dump

recall      of the pairs whose true Jaccard is at least the threshold, the share that ended in one cluster
precision   of the removed documents, the share whose true Jaccard with their survivor is
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from realdata import DEFAULT, raw_files, run_on, use_models_of

from filters.minhash import Scheme, jaccard, scheme, signatures
from redpajama_data.config import RunConfig
from redpajama_data.corpus.listing import root_shards
from redpajama_data.engine.stages import outputs
from redpajama_data.io import storage
from redpajama_data.io.shards import read_jsonl
from redpajama_data.whole_run import run_parts
from slices.jobs.fuzzy import JOB, FuzzySettings

MARGIN = 0.3  # an estimate this far below the threshold, 7 standard errors, rules a pair out without its true Jaccard


@dataclass(frozen=True)
class Result:
    """One set of documents. ``close`` are the true pairs at least 0.1 above the threshold, where bands find nearly
    all."""

    name: str
    documents: int
    pairs: int
    found: int
    close: int
    close_found: int
    removed: int
    right: int
    lowest: float

    def render(self) -> str:
        """A line."""
        recall = _share(self.found, self.pairs)
        return (
            f"{self.name:<9} {self.documents:>6,} documents, {self.pairs:>5,} true pairs: recall {recall}"
            f" ({_share(self.close_found, self.close)} of the {self.close:,} 0.1 closer); {self.removed:>5,} removed: "
            f"precision {_share(self.right, self.removed)} (lowest {self.lowest:.3f})"
        )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def editions(data: Path, folder: Path) -> Iterator[str]:
    """The whole text of every book."""
    for path in raw_files("books", data):
        for record in read_jsonl(str(path)):
            yield record["text"]


def forks(data: Path, folder: Path) -> Iterator[str]:
    """Every file with content."""
    for path in raw_files("github", data):
        for record in read_jsonl(str(path)):
            if record.get("content"):
                yield record["content"]


def dumps(data: Path, folder: Path) -> Iterator[str]:
    """The threads that the slice makes of both dumps."""
    files = [path for path in raw_files("stackexchange", data) if path.name.startswith("beer")]
    run_on("stackexchange", files, data, folder / "sites")
    for shard in root_shards(str(folder / "sites")):
        for record in read_jsonl(shard.path):
            yield record["text"]


SETS: dict[str, Callable[[Path, Path], Iterator[str]]] = {"editions": editions, "forks": forks, "dumps": dumps}


def true_pairs(texts: list[str], how: Scheme) -> dict[tuple[int, int], float]:
    """All pairs (lower index first) whose true Jaccard is at least the threshold."""
    found, has = signatures(texts, how)
    pairs = {}
    for one in np.flatnonzero(has):
        alike = (found[one + 1 :] == found[one]).mean(axis=1)
        for other in np.flatnonzero((alike >= how.threshold - MARGIN) & has[one + 1 :]) + one + 1:
            true = jaccard(texts[one], texts[other], ngram=how.ngram)
            if true >= how.threshold:
                pairs[int(one), int(other)] = true
    return pairs


def measure(name: str, data: Path, folder: Path, *, threshold: float) -> Result:
    """Run the job on one set and hold it against the truth."""
    texts = list(SETS[name](data, folder))
    settings = FuzzySettings(threshold=threshold, input=(str(folder / name / "texts.jsonl"),))
    how = scheme(threshold=threshold, ngram=settings.ngram, permutations=settings.permutations)
    storage.write_bytes(settings.input[0], b"".join(msgspec.json.encode({"text": text}) + b"\n" for text in texts))
    root = str(folder / "root" / name)
    (part,) = run_parts(
        [(JOB, settings)], RunConfig.model_validate({"root": root, "executor": "serial"}), quiet=True
    ).slices
    cluster = list(range(len(texts)))
    for out in outputs(part.receipts["components"], "clusters"):
        for entry in read_jsonl(storage.join(root, out.path)):
            cluster[int(entry["id"].rpartition("#")[2])] = int(entry["survivor"].rpartition("#")[2])
    pairs = true_pairs(texts, how)
    together = {pair for pair in pairs if cluster[pair[0]] == cluster[pair[1]]}
    close = {pair for pair, true in pairs.items() if true >= min(1.0, threshold + 0.1)}
    removed = [jaccard(texts[n], texts[kept], ngram=how.ngram) for n, kept in enumerate(cluster) if n != kept]
    return Result(
        name,
        len(texts),
        len(pairs),
        len(together),
        len(close),
        len(close & together),
        len(removed),
        sum(true >= threshold for true in removed),
        min(removed, default=1.0),
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    shown: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="rpj-near-") as scratch:
        os.environ.update(use_models_of(given.data, Path(scratch) / "models"))
        for name in SETS:
            result = measure(name, given.data.resolve(), Path(scratch), threshold=given.threshold)
            shown.append(asdict(result))
            if not given.json:
                print(result.render(), flush=True)
    if given.json:
        print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
