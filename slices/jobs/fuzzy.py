"""Near-duplicates over shards of any slice, out of core: MinHash LSH, verified by signature.

    signatures   one task a shard: the MinHash signature of each text, and a key for each of its bands
    bands        one task a range of keys: texts that share a band and whose signatures are alike, as pairs
    components   one task: which texts hang together; the first of each cluster survives
    copies       one task for some shards: what of each leaves, for which record, and how like the two are
    keep         one task a shard: what stays is published, byte for byte

First means: in the slice of highest priority, then in input order (shards sorted by path, records in their order). A
cluster is a connected component: a text may be in it through others only, and be less like the survivor than the
threshold; the ledger says how like. Texts without a word have no signature and stay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial

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
from redpajama_data.dedup.copies import COPY_ROW, Copies, write_part
from redpajama_data.document import Drop
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import read_jsonl, read_names
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.copies import copies_of, note_copies, per_group, read_copies
from slices.jobs.exact import check_priority
from slices.jobs.fuzzy_clusters import VERDICT_ROW, cluster_stages


class FuzzySettings(SliceSettings):
    """Settings of near-duplicate removal."""

    threshold: float = Field(0.8, description="Jaccard similarity from which two texts are near-duplicates")
    ngram: int = Field(5, description="words a shingle")
    permutations: int = Field(128, description="numbers in a signature: more estimate better and take longer")
    priority: Names = Field((), description="slices, highest first: the copy in the first of them stays")


# A document that leaves: as a copy, with the documents of its cluster and how like it is to the survivor.
_REMOVED_ROW = np.dtype([*COPY_ROW.descr, ("size", "<u8"), ("similarity", "<f8")])
_Removed = tuple[int, int, int, int, float]


def copies_work(
    context: TaskContext,
    *,
    shards: Sequence[tuple[int, str]],
    permutations: int,
    inputs: str,
    verdicts: str,
    signatures: str,
) -> None:
    """Write what leaves of shards, given by rising rank and task; the receipt notes where that of each task stands."""
    names = read_names(context.upstream(inputs))
    files = {entry["rank"]: context.upstream(entry["path"]) for entry in read_jsonl(context.upstream(signatures))}
    found: dict[str, Copies | None] = {}
    with context.file("copies", "copies") as out, BucketFile(context.upstream(verdicts)) as file:
        path = context.relative("copies")
        for rank, task in shards:
            removed = _removed(file, rank, files, permutations, context.memory)
            found[task] = write_part(out, path, removed, names, _REMOVED_ROW)
    note_copies(context, found)


def _removed(file: BucketFile, rank: int, files: dict[int, str], permutations: int, memory: int) -> Iterator[_Removed]:
    """The documents that leave one shard, by rising number: the survivor's rank and number, the documents of the
    cluster, how like the two are. A bounded number of them is held."""
    chunk = max(1, memory // 16 // VERDICT_ROW.itemsize) * VERDICT_ROW.itemsize
    for data in file.read(rank, rank + 1, chunk=chunk):
        rows = np.frombuffer(data, VERDICT_ROW)
        kept = rows["kept_rank"] << np.uint64(PLACE_BITS) | rows["kept_n"]
        own = rows["n"] | np.uint64(rank << PLACE_BITS)
        alike = similarity(kept, own, files=files, permutations=permutations, memory=memory // 2)
        for (n, kept_rank, kept_n, size), value in zip(rows.tolist(), alike.tolist(), strict=True):
            yield n, kept_rank, kept_n, size, value


def _plan_copies(given: StageInput, *, permutations: int) -> list[Planned]:
    [decided] = given.receipts["components"]
    verdicts, signatures = decided.outputs["verdicts"], decided.outputs["signatures"]
    shards = [(receipt.rank, receipt.task) for receipt in given.receipts["signatures"]]
    work = partial(
        copies_work,
        permutations=permutations,
        inputs=given.inputs_file.path,
        verdicts=verdicts.path,
        signatures=signatures.path,
    )
    return per_group("copies", work, shards, [given.inputs_file, verdicts, signatures])


def keep_work(
    context: TaskContext,
    *,
    path: str,
    name: str,
    threshold: float,
    part: Copies | None,
    records: int,
    tokenizer: ModelFile | None,
) -> None:
    """Publish the records of a shard that ``part`` does not name. The others are ``near_duplicate``: measured is the
    estimated similarity to the survivor, which the ledger names with the size of the cluster.

    ``records`` is how many the signatures were made of. Raises :class:`BrokenInput` when there are not as many now.
    """
    removed = VerdictsByNumber(read_copies(context, part, _REMOVED_ROW))

    def staying(batch: Batch) -> Columns:
        leaving = removed.on(batch)
        if not leaving:
            return batch.n, batch.lines, batch.texts
        for n, kept, kept_n, size, likeness in leaving:
            text = batch.texts[bisect_left(batch.n, n)]
            drop = Drop("near_duplicate", likeness, threshold)
            detail = {"survivor": f"{kept}#{kept_n}", "cluster_size": size}
            context.drop(f"{path}#{n}", drop, text=text, detail=detail)
        return without(batch, {n for n, *_ in leaving})

    keep(context, staying, path=path, name=name, records=records, tokenizer=tokenizer)


def _plan_keep(given: StageInput, *, scheme: Scheme, run: RunSettings) -> list[Planned]:
    copies = copies_of(given, "copies")
    work = partial(keep_work, threshold=scheme.threshold)
    return keep_tasks(
        given,
        reads="signatures",
        work=lambda receipt: partial(work, part=copies.get(receipt.task)),
        tokenizer=run.counter,
    )


def stages(settings: FuzzySettings, run: RunSettings) -> list[Stage]:
    """Signatures, bands, components, copies, keep. Another ``priority`` does all but the first again; of the last what
    it changes."""
    scheme = minhash.scheme(threshold=settings.threshold, ngram=settings.ngram, permutations=settings.permutations)
    whole = ("bands", "components")
    return [
        *cluster_stages(scheme, run, priority=settings.priority),
        Stage(
            "copies",
            partial(_plan_copies, permutations=scheme.permutations),
            ("signatures", "components"),
            whole=whole,
        ),
        Stage("keep", partial(_plan_keep, scheme=scheme, run=run), ("signatures", "copies"), whole=(*whole, "copies")),
    ]


JOB = Job(
    name="fuzzy",
    summary="near-duplicates of all slices: MinHash LSH",
    revision=1,
    patterns=PATTERNS,
    settings=FuzzySettings,
    stages=stages,
    check=check_priority,
)
