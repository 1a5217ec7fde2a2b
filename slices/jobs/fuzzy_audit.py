"""The audit of a finished search for near-duplicates: texts of its own input, edited, searched again; and pairs that it
removed, compared in full. The measures are in :mod:`slices.jobs.audit`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from filters.minhash import scheme
from redpajama_data.config import RunConfig
from redpajama_data.corpus.columns import read_batches
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import outputs
from redpajama_data.io import storage
from redpajama_data.io.root_paths import locate
from redpajama_data.io.shards import LineWriter, read_jsonl, to_json
from redpajama_data.whole_run import NO_TOKENS, run_parts
from slices.jobs.audit import Audit, Checked, audit, check, sample
from slices.jobs.fuzzy import JOB, FuzzySettings
from slices.jobs.planted import Planted, plant

SEED = 1
SOURCE_CHARACTERS = 200_000  # longer texts are not edited: a thousand of them would not fit in memory


def audit_run(root: str, done: SliceRun, inputs: Sequence[str], settings: FuzzySettings, *, count: int) -> Audit:
    """Audit the run ``done`` in ``root``, of the shards ``inputs`` (paths as its ids have them).

    Recall: ``count`` texts of the input, drawn at random, and as many edited copies of them go through the same stages
    with the same ``settings``, in a folder that goes; a copy is found when it ends in one cluster with its source.
    Precision: ``count`` removed documents, drawn at random, are compared with their survivors.
    """
    how = scheme(threshold=settings.threshold, ngram=settings.ngram, permutations=settings.permutations)
    texts = sample(_short_texts(root, inputs), count=count, seed=SEED)
    planted = plant(texts, scheme=how, count=count, seed=SEED)
    pairs = sample(_removed(root, done), count=count, seed=SEED)
    wanted = [name for removed, survivor, _ in pairs for name in (removed, survivor)]
    known = texts_of(root, wanted)
    checked: list[Checked] = [
        check(known[removed], known[survivor], estimate=estimate, ngram=settings.ngram)
        for removed, survivor, estimate in pairs
        if removed in known and survivor in known
    ]
    return audit(planted, _found(texts, planted, settings), checked, how)


def texts_of(root: str, ids: Iterable[str]) -> dict[str, str]:
    """The texts of records by id (``<shard>#<line>``); each shard is read once, to the last of its lines that is
    wanted."""
    by_shard: dict[str, set[int]] = {}
    for name in ids:
        path, _, number = name.rpartition("#")
        by_shard.setdefault(path, set()).add(int(number))
    texts = {}
    for path, numbers in sorted(by_shard.items()):
        last = max(numbers)
        for batch in read_batches(locate(root, path)):
            texts.update({f"{path}#{n}": text for n, text in zip(batch.n, batch.texts, strict=True) if n in numbers})
            if batch.n and batch.n[-1] >= last:
                break
    return texts


def _short_texts(root: str, inputs: Sequence[str]) -> Iterator[str]:
    for path in inputs:
        for batch in read_batches(locate(root, path)):
            yield from (text for text in batch.texts if len(text) <= SOURCE_CHARACTERS)


def _removed(root: str, done: SliceRun) -> Iterator[tuple[str, str, float]]:
    """What the run removed: id, id of the survivor, estimated similarity."""
    for out in outputs(done.receipts["keep"], "drops"):
        for entry in read_jsonl(storage.join(root, out.path)):
            if entry["rule"] == "near_duplicate":
                yield entry["id"], entry["survivor"], entry["measured"]


def _found(texts: Sequence[str], planted: Sequence[Planted], settings: FuzzySettings) -> list[bool]:
    """Whether each planted text ends in one cluster with its source, in a run over both."""
    with tempfile.TemporaryDirectory(prefix="rpj-audit-") as folder:
        shard = os.path.join(folder, "audit", "texts.jsonl.zst")
        with storage.whole_file(shard) as file:
            lines = LineWriter(cast(Any, file), 1)
            for text in (*texts, *(one.text for one in planted)):
                lines.write(to_json({"text": text}))
            lines.close()
        root = os.path.join(folder, "root")
        config = RunConfig.model_validate({"root": root, "executor": "serial", "workers": 1, "tokenizer": NO_TOKENS})
        made = settings.model_copy(update={"input": (shard,), "priority": ()})
        (part,) = run_parts([(JOB, made)], config, quiet=True).slices
        survivor = {}
        for out in outputs(part.receipts["components"], "clusters"):
            for entry in read_jsonl(storage.join(root, out.path)):
                survivor[entry["id"]] = entry["survivor"]
    ids = [f"{shard}#{n}" for n in range(len(texts) + len(planted))]
    cluster = [survivor.get(name, name) for name in ids]
    return [cluster[len(texts) + n] == cluster[one.source] for n, one in enumerate(planted)]
