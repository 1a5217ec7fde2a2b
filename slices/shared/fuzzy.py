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

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from filters import minhash
from filters.minhash import Scheme
from redpajama_data.bands import PLACE_BITS, BandWriter, band_ranges, candidates, read_edges, similarity
from redpajama_data.batches import counted_batches, publishing, read_batches, refuse_change, utf8_bytes
from redpajama_data.buckets import BucketFile, BucketWriter
from redpajama_data.components import Components
from redpajama_data.config import Names, SliceSettings
from redpajama_data.corpus import PATTERNS, per_shard, published_name
from redpajama_data.document import Drop
from redpajama_data.fingerprint import ModelFile
from redpajama_data.shards import read_jsonl, read_names, to_json
from redpajama_data.stages import Plan, Planned, RunSettings, Slice, Stage, Work, outputs
from redpajama_data.storage import RawFile
from redpajama_data.tasks import TaskContext
from slices.shared.exact import checked, order_of

VERDICT_ROW = np.dtype([("n", "<u8"), ("kept_rank", "<u8"), ("kept_n", "<u8"), ("size", "<u8")])
_PIECE = 1 << 20  # bytes of edges read at a time


class FuzzySettings(SliceSettings):
    """Settings of near-duplicate removal."""

    threshold: float = Field(0.8, description="Jaccard similarity from which two texts are near-duplicates")
    ngram: int = Field(5, description="words a shingle")
    permutations: int = Field(128, description="numbers in a signature: more estimate better and take longer")
    priority: Names = Field((), description="slices, highest first: the copy in the first of them stays")


# ---------------------------------------------------------------------------------------------- signatures


def signatures_work(context: TaskContext, *, path: str, scheme: Scheme, max_malformed: float) -> None:
    """Write the signature of every line of a shard, in order, and the bands of those that have one.

    A line that is no record, or has no word, has a row of zeros that nothing refers to. ``kept`` of the receipt are
    the records.
    """
    receipt = context.receipt
    lines = 0
    with context.file("signatures", "signatures") as file, context.file("bands", "bands") as band_file:
        writer = BandWriter(band_file)
        for batch in counted_batches(context, path, max_malformed=max_malformed):
            found, has = minhash.signatures(batch.texts, scheme)
            numbers = np.array(batch.n, np.int64)
            rows = np.zeros((len(batch.n) + len(batch.rejected), scheme.permutations), "<u4")
            rows[numbers - lines] = found
            file.write(rows.tobytes())
            writer.add(minhash.band_keys(found[has], scheme), numbers[has])
            receipt.kept += len(batch.n)
            lines += len(rows)
        writer.close()
    receipt.bytes = receipt.read_bytes
    context.records("signatures", lines)
    context.records("bands", writer.count)


def _plan_bands(plan: Plan, *, scheme: Scheme, priority: Sequence[str]) -> list[Planned]:
    order = order_of([raw.path for raw in plan.inputs], priority)
    receipts = sorted(plan.receipts["signatures"], key=lambda receipt: order[receipt.rank])
    bands, signatures = outputs(receipts, "bands"), outputs(receipts, "signatures")
    positions = [order[receipt.rank] for receipt in receipts]
    work = partial(
        candidates,
        bands=[(position, out.path) for position, out in zip(positions, bands, strict=True)],
        signatures=[(position, out.path) for position, out in zip(positions, signatures, strict=True)],
        permutations=scheme.permutations,
        threshold=scheme.threshold,
    )
    return [
        Planned(f"bands-{first:04d}-{end:04d}", partial(work, buckets=(first, end)), [*bands, *signatures])
        for first, end in band_ranges(sum(out.records for out in bands), plan.memory)
    ]


# ---------------------------------------------------------------------------------------------- clusters


def components_work(
    context: TaskContext, *, edges: Sequence[str], ranks: Sequence[int], inputs: str, signatures: dict[int, list[str]]
) -> None:
    """Write the clusters, and which documents of each shard leave for which survivor.

    ``ranks`` are those of the shards by position; ``signatures`` the path and SHA-256 of each rank's signatures, which
    go into a file for the stage that follows. The file of role ``clusters`` has a JSON line for each document that
    leaves: its survivor's id, its own, how many are in the cluster; sorted by the survivor's place in the order of
    preference, then its own. That of role ``verdicts`` has a bucket a shard with a :data:`VERDICT_ROW` for each, by
    rising number.
    """
    rank_of = np.array(ranks, "<u8")
    names = read_names(context.upstream(inputs))
    pieces = (piece for path in edges for piece in read_edges(context.upstream(path), memory=_PIECE))
    with Components(pieces, memory=context.memory) as graph:
        with context.lines("clusters", "jsonl.zst") as out:
            for rows in graph.by_root():
                found = rows[rows["node"] != rows["root"]]
                roots, nodes = _split(found["root"], rank_of), _split(found["node"], rank_of)
                for kept_rank, kept_n, rank, n, size in zip(*roots, *nodes, found["size"].tolist(), strict=True):
                    survivor, leaves = f"{names[kept_rank]}#{kept_n}", f"{names[rank]}#{n}"
                    out.write(to_json({"survivor": survivor, "id": leaves, "size": size}))
        with context.file("verdicts", "verdicts") as file:
            writer = BucketWriter(file, max(1, len(ranks)), 0)
            for rows in graph.by_node():
                found = rows[rows["node"] != rows["root"]]
                if not len(found):
                    continue
                verdicts = np.empty(len(found), VERDICT_ROW)
                verdicts["kept_rank"], verdicts["kept_n"] = _ranks(found["root"], rank_of), _numbers(found["root"])
                verdicts["n"], verdicts["size"] = _numbers(found["node"]), found["size"]
                writer.add_rows(_ranks(found["node"], rank_of).astype(np.int64), verdicts)
            writer.close()
    context.records("verdicts", out.records)
    with context.lines("signatures", "signatures.jsonl.zst") as listed:
        for rank, (path, sha256) in sorted(signatures.items()):
            listed.write(to_json({"rank": rank, "path": path, "sha256": sha256}))


def _ranks(places: npt.NDArray[np.uint64], rank_of: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    ranks: npt.NDArray[np.uint64] = rank_of[places >> np.uint64(PLACE_BITS)]
    return ranks


def _numbers(places: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    numbers: npt.NDArray[np.uint64] = places & np.uint64((1 << PLACE_BITS) - 1)
    return numbers


def _split(places: npt.NDArray[np.uint64], rank_of: npt.NDArray[np.uint64]) -> tuple[list[int], list[int]]:
    return _ranks(places, rank_of).tolist(), _numbers(places).tolist()


def _plan_components(plan: Plan, *, priority: Sequence[str]) -> list[Planned]:
    order = order_of([raw.path for raw in plan.inputs], priority)
    edges = outputs(plan.receipts["bands"], "edges")
    signatures = {receipt.rank: receipt.outputs["signatures"] for receipt in plan.receipts["signatures"]}
    work = partial(
        components_work,
        edges=[out.path for out in edges],
        ranks=sorted(range(len(order)), key=order.__getitem__),
        inputs=plan.inputs_file.path,
        signatures={rank: [out.path, out.sha256] for rank, out in signatures.items()},
    )
    return [Planned("clusters", work, [*edges, plan.inputs_file])]


# ---------------------------------------------------------------------------------------------- what stays


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
    receipt = context.receipt
    found = _removed(context, rank, verdicts, signatures, scheme.permutations)
    verdict = next(found, None)
    names: list[str] = []  # read only when there is a duplicate to name
    with publishing(context, path=path, name=name, tokenizer=tokenizer) as put:
        for batch in read_batches(context.source(path)):
            receipt.read += len(batch.n)
            receipt.read_bytes += utf8_bytes(batch.texts)
            if verdict is None or not batch.n or batch.n[-1] < verdict.n:
                put(batch.n, batch.lines, batch.texts)
                continue
            stay = []
            for place, n in enumerate(batch.n):
                if verdict is None or verdict.n != n:
                    stay.append(place)
                    continue
                names = names or read_names(context.upstream(inputs))
                drop = Drop("near_duplicate", verdict.similarity, scheme.threshold)
                survivor = f"{names[verdict.kept_rank]}#{verdict.kept_n}"
                detail: dict[str, Any] = {"survivor": survivor, "cluster_size": verdict.size}
                context.drop(f"{path}#{n}", drop, text=batch.texts[place], detail=detail)
                verdict = next(found, None)
            put([batch.n[i] for i in stay], [batch.lines[i] for i in stay], [batch.texts[i] for i in stay])
    refuse_change(path, records=receipt.read, before=records)


def _plan_keep(plan: Plan, *, scheme: Scheme, run: RunSettings) -> list[Planned]:
    planned = []
    for receipt in plan.receipts["signatures"]:
        raw = plan.inputs[receipt.rank]
        [decided] = plan.receipts["components"]
        verdicts, signatures = decided.outputs["verdicts"], decided.outputs["signatures"]
        work = partial(
            keep_work,
            path=raw.path,
            name=published_name(receipt.task, raw.path),
            rank=receipt.rank,
            scheme=scheme,
            inputs=plan.inputs_file.path,
            verdicts=verdicts.path,
            signatures=signatures.path,
            records=receipt.kept,
            tokenizer=run.counter,
        )
        planned.append(Planned(receipt.task, work, [raw, plan.inputs_file, verdicts, signatures]))
    return planned


def stages(settings: FuzzySettings, run: RunSettings) -> list[Stage]:
    """Signatures, bands, components, keep. Another ``priority`` does all but the first again."""
    scheme = minhash.scheme(threshold=settings.threshold, ngram=settings.ngram, permutations=settings.permutations)

    def signatures(raw: RawFile, _: str) -> Work:
        return partial(signatures_work, path=raw.path, scheme=scheme, max_malformed=run.max_malformed)

    return [
        checked(per_shard("signatures", signatures), settings.priority),
        Stage("bands", partial(_plan_bands, scheme=scheme, priority=settings.priority), ("signatures",)),
        Stage(
            "components",
            partial(_plan_components, priority=settings.priority),
            ("signatures", "bands"),
            whole=("bands",),
        ),
        Stage(
            "keep",
            partial(_plan_keep, scheme=scheme, run=run),
            ("signatures", "components"),
            whole=("bands", "components"),
        ),
    ]


JOB = Slice(
    name="fuzzy",
    summary="near-duplicates of all slices: MinHash LSH",
    revision=1,
    patterns=PATTERNS,
    settings=FuzzySettings,
    stages=stages,
    kind="corpus",
)
