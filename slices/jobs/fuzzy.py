"""Near-duplicates over shards of any slice, out of core: MinHash LSH, verified by signature.

    signatures   one task a shard: the MinHash signature of each text, and a key for each of its bands
    bands        one task a range of keys: texts that share a band and whose signatures are alike, as pairs
    components   one task: which texts hang together; the first of each cluster survives
    keep         one task a shard: what stays is published, byte for byte

First means: in the slice of highest priority, then in input order (shards sorted by path, records in their order). A
cluster is a connected component: a text may be in it through others only, and be less like the survivor than the
threshold; the ledger says how like. Texts without a word have no signature and stay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from pydantic import Field

from filters import minhash
from filters.minhash import Scheme
from redpajama_data.config import Names, SliceSettings
from redpajama_data.corpus.columns import Batch, Columns
from redpajama_data.corpus.keep import VerdictsByNumber, keep, keep_tasks, without
from redpajama_data.corpus.listing import PATTERNS
from redpajama_data.dedup.bands import PLACE_BITS, similarity
from redpajama_data.dedup.buckets import BucketFile
from redpajama_data.document import Drop
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import read_jsonl, read_names
from redpajama_data.models.model_file import ModelFile
from slices.jobs.exact import check_priority
from slices.jobs.fuzzy_clusters import VERDICT_ROW, cluster_stages


class FuzzySettings(SliceSettings):
    """Settings of near-duplicate removal."""

    threshold: float = Field(0.8, description="Jaccard similarity from which two texts are near-duplicates")
    ngram: int = Field(5, description="words a shingle")
    permutations: int = Field(128, description="numbers in a signature: more estimate better and take longer")
    priority: Names = Field((), description="slices, highest first: the copy in the first of them stays")


class _Removed(NamedTuple):
    """A document that leaves: the survivor's rank and number, the documents of the cluster, how like the two are."""

    n: int
    kept_rank: int
    kept_n: int
    size: int
    similarity: float


def _removed(context: TaskContext, rank: int, verdicts: str, signatures: str, permutations: int) -> Iterator[_Removed]:
    """The documents that leave one shard, by rising number. A bounded number of them is held."""
    chunk = max(1, context.memory // 16 // VERDICT_ROW.itemsize) * VERDICT_ROW.itemsize
    files: dict[int, str] = {}
    with BucketFile(context.upstream(verdicts)) as file:
        for data in file.read(rank, rank + 1, chunk=chunk):
            files = files or _signature_files(context, signatures)
            rows = np.frombuffer(data, VERDICT_ROW)
            kept = rows["kept_rank"] << np.uint64(PLACE_BITS) | rows["kept_n"]
            own = rows["n"] | np.uint64(rank << PLACE_BITS)
            alike = similarity(kept, own, files=files, permutations=permutations, memory=context.memory // 2)
            for (n, kept_rank, kept_n, size), value in zip(rows.tolist(), alike.tolist(), strict=True):
                yield _Removed(n, kept_rank, kept_n, size, value)


def _signature_files(context: TaskContext, path: str) -> dict[int, str]:
    return {entry["rank"]: context.upstream(entry["path"]) for entry in read_jsonl(context.upstream(path))}


def keep_work(
    context: TaskContext,
    *,
    path: str,
    name: str,
    rank: int,
    scheme: Scheme,
    inputs: str,
    verdicts: str,
    signatures: str,
    records: int,
    tokenizer: ModelFile | None,
) -> None:
    """Publish the records of a shard that no verdict names. The others are ``near_duplicate``: measured is the
    estimated similarity to the survivor, which the ledger names with the size of the cluster.

    ``records`` is how many the signatures were made of. Raises :class:`BrokenInput` when there are not as many now.
    """
    removed = VerdictsByNumber(_removed(context, rank, verdicts, signatures, scheme.permutations))
    names = cache(lambda: read_names(context.upstream(inputs)))  # read only when there is a duplicate to name

    def staying(batch: Batch) -> Columns:
        leaving = removed.on(batch)
        if not leaving:
            return batch.n, batch.lines, batch.texts
        for n, kept_rank, kept_n, size, likeness in leaving:
            text = batch.texts[bisect_left(batch.n, n)]
            drop = Drop("near_duplicate", likeness, scheme.threshold)
            detail = {"survivor": f"{names()[kept_rank]}#{kept_n}", "cluster_size": size}
            context.drop(f"{path}#{n}", drop, text=text, detail=detail)
        return without(batch, {leaves.n for leaves in leaving})

    keep(context, staying, path=path, name=name, records=records, tokenizer=tokenizer)


def _plan_keep(given: StageInput, *, scheme: Scheme, run: RunSettings) -> list[Planned]:
    [decided] = given.receipts["components"]
    verdicts, signatures = decided.outputs["verdicts"], decided.outputs["signatures"]
    work = partial(
        keep_work,
        scheme=scheme,
        inputs=given.inputs_file.path,
        verdicts=verdicts.path,
        signatures=signatures.path,
    )
    return keep_tasks(
        given,
        reads="signatures",
        work=lambda receipt: partial(work, rank=receipt.rank),
        tokenizer=run.counter,
        beside=[given.inputs_file, verdicts, signatures],
    )


def stages(settings: FuzzySettings, run: RunSettings) -> list[Stage]:
    """Signatures, bands, components, keep. Another ``priority`` does all but the first again."""
    scheme = minhash.scheme(threshold=settings.threshold, ngram=settings.ngram, permutations=settings.permutations)
    stay = Stage(
        "keep",
        partial(_plan_keep, scheme=scheme, run=run),
        ("signatures", "components"),
        whole=("bands", "components"),
    )
    return [*cluster_stages(scheme, run, priority=settings.priority), stay]


JOB = Job(
    name="fuzzy",
    summary="near-duplicates of all slices: MinHash LSH",
    revision=1,
    patterns=PATTERNS,
    settings=FuzzySettings,
    stages=stages,
    check=check_priority,
)
