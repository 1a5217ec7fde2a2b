"""The clusters of near-duplicates, out of core: the stages that the jobs ``fuzzy`` and ``overlap`` share.

signatures   one task a shard: the MinHash signature of each text, and a key for each of its bands
bands        one task a range of keys: texts that share a band and whose signatures are alike, as pairs
components   one task: which texts hang together; the first of each cluster survives
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from filters import minhash
from filters.minhash import Scheme
from redpajama_data.corpus.columns import counted_batches
from redpajama_data.corpus.listing import per_shard
from redpajama_data.dedup import partitions
from redpajama_data.dedup.bands import PLACE_BITS, BandWriter, candidates, read_edges
from redpajama_data.dedup.buckets import RowWriter
from redpajama_data.dedup.components import Components
from redpajama_data.engine.stages import Planned, RunSettings, Stage, StageInput, Work, outputs
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import read_names, to_json
from redpajama_data.io.storage import RawFile
from redpajama_data.pipeline.stages import per_range
from slices.jobs.exact import order_of

VERDICT_ROW = np.dtype([("n", "<u8"), ("kept_rank", "<u8"), ("kept_n", "<u8"), ("size", "<u8")])
_PIECE = 1 << 20  # bytes of edges read at a time


def cluster_stages(scheme: Scheme, run: RunSettings, *, priority: Sequence[str] = ()) -> list[Stage]:
    """Signatures, bands, components. Another ``priority`` does all but the first again."""

    def signatures(raw: RawFile, _: str) -> Work:
        return partial(signatures_work, path=raw.path, scheme=scheme, max_malformed=run.max_malformed)

    return [
        per_shard("signatures", signatures),
        Stage("bands", partial(_plan_bands, scheme=scheme, priority=priority), ("signatures",)),
        Stage("components", partial(_plan_components, priority=priority), ("signatures", "bands"), whole=("bands",)),
    ]


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


def _plan_bands(given: StageInput, *, scheme: Scheme, priority: Sequence[str]) -> list[Planned]:
    order = order_of([raw.path for raw in given.inputs], priority)
    receipts = sorted(given.receipts["signatures"], key=lambda receipt: order[receipt.rank])
    bands, signatures = outputs(receipts, "bands"), outputs(receipts, "signatures")
    positions = [order[receipt.rank] for receipt in receipts]
    work = partial(
        bands_work,
        bands=[(position, out.path) for position, out in zip(positions, bands, strict=True)],
        signatures=[(position, out.path) for position, out in zip(positions, signatures, strict=True)],
        permutations=scheme.permutations,
        threshold=scheme.threshold,
    )
    return per_range("bands", work, bands, signatures)


def bands_work(
    context: TaskContext,
    *,
    bands: Sequence[tuple[int, str]],
    signatures: Sequence[tuple[int, str]],
    permutations: int,
    threshold: float,
    rows: int,
    buckets: tuple[int, int],
) -> None:
    """:func:`redpajama_data.dedup.bands.candidates` over files of this root."""
    with context.file("edges", "edges") as out:
        written = candidates(
            [(position, context.upstream(path)) for position, path in bands],
            out,
            signatures=[(position, context.upstream(path)) for position, path in signatures],
            permutations=permutations,
            threshold=threshold,
            rows=rows,
            buckets=buckets,
            memory=context.memory,
        )
    context.records("edges", written)


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
            writer = RowWriter(file, max(1, len(ranks)), partitions.ROWS_A_FLUSH)
            for rows in graph.by_node():
                found = rows[rows["node"] != rows["root"]]
                if not len(found):
                    continue
                verdicts = np.empty(len(found), VERDICT_ROW)
                verdicts["kept_rank"], verdicts["kept_n"] = _ranks(found["root"], rank_of), _numbers(found["root"])
                verdicts["n"], verdicts["size"] = _numbers(found["node"]), found["size"]
                writer.add(_ranks(found["node"], rank_of), verdicts)
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


def _plan_components(given: StageInput, *, priority: Sequence[str]) -> list[Planned]:
    order = order_of([raw.path for raw in given.inputs], priority)
    edges = outputs(given.receipts["bands"], "edges")
    signatures = {receipt.rank: receipt.outputs["signatures"] for receipt in given.receipts["signatures"]}
    work = partial(
        components_work,
        edges=[out.path for out in edges],
        ranks=sorted(range(len(order)), key=order.__getitem__),
        inputs=given.inputs_file.path,
        signatures={rank: [out.path, out.sha256] for rank, out in signatures.items()},
    )
    return [Planned("clusters", work, [*edges, given.inputs_file])]
