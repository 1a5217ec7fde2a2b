"""What slices share: documents and tokens of each that occur in each other one, by exact and by near match.

    keys          one task a shard: a key of each text and its tokens, counted once
    exact         one task a range of keys: cells of the matrix
    signatures, bands, components       as in the fuzzy job: clusters of near-duplicates
    members       one task a shard: the cluster of each document
    near          one task a range of clusters: cells of the matrix
    report        one task: the cells summed, as JSON in ROOT/_run/overlap/report/overlap.json

A slice is the name of a shard's folder. An exact match is an equal text; a near match is a document of the same cluster
(texts without a word are in none).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
from pydantic import Field

from filters import minhash
from redpajama_data.config import SliceSettings
from redpajama_data.corpus.columns import counted_batches
from redpajama_data.corpus.listing import PATTERNS, per_shard, slice_of
from redpajama_data.dedup import equal_keys
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput, Work, outputs
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io import storage
from redpajama_data.io.shards import to_json
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.tokens import tokenizer_for
from redpajama_data.pipeline.stages import per_range
from slices.jobs.exact import document_keys
from slices.jobs.fuzzy_clusters import cluster_stages
from slices.jobs.overlap_matrix import matrix_work
from slices.jobs.overlap_near import TOKENS_ROW, members_stage


class OverlapSettings(SliceSettings):
    """Settings of the overlap report; those of near matches are the fuzzy job's."""

    near: bool = Field(True, description="near matches as well: takes most of the time")
    threshold: float = Field(0.8, description="Jaccard similarity from which two texts are near-duplicates")
    ngram: int = Field(5, description="words a shingle")
    permutations: int = Field(128, description="numbers in a signature: more estimate better and take longer")


def keys_work(context: TaskContext, *, path: str, max_malformed: float, tokenizer: ModelFile) -> None:
    """Write the keys of a shard's texts with their tokens, and the tokens again in order of the records.

    ``kept`` of the receipt are the documents, its note ``tokens`` are theirs.
    """
    receipt = context.receipt
    count = tokenizer_for(tokenizer).count
    total = 0
    with context.file("keys", "keys") as file, context.file("tokens", "tokens") as by_record:
        writer = equal_keys.KeyWriter(file)
        for batch in counted_batches(context, path, max_malformed=max_malformed):
            receipt.kept += len(batch.n)
            rows = np.empty(len(batch.n), TOKENS_ROW)
            rows["n"], rows["tokens"] = batch.n, count(batch.texts)
            writer.add_many(document_keys(batch)[0], rows["tokens"])
            by_record.write(rows.tobytes())
            total += int(rows["tokens"].sum())
        writer.close()
    receipt.bytes = receipt.read_bytes
    receipt.notes["tokens"] = total
    for role in ("keys", "tokens"):
        context.records(role, writer.count)


def matrix_stage(name: str, *, reads: str, role: str) -> Stage:
    """One task a range of groups: :func:`matrix_work` over the files of ``role`` that the stage ``reads`` wrote."""
    return Stage(name, partial(_plan_matrix, reads=reads, role=role), (reads,))


def _plan_matrix(given: StageInput, *, reads: str, role: str) -> list[Planned]:
    receipts = given.receipts[reads]
    files = outputs(receipts, role)
    names = sorted({slice_of(raw.path) for raw in given.inputs})
    places = {name: place for place, name in enumerate(names)}
    placed = [
        (places[slice_of(given.inputs[receipt.rank].path)], out.path)
        for receipt, out in zip(receipts, files, strict=True)
    ]
    return per_range("rows", partial(matrix_work, files=placed, slices=names), files)


# ---------------------------------------------------------------------------------------------- the report


def report_work(
    context: TaskContext,
    *,
    totals: dict[str, list[int]],
    shards: list[int],
    cells: dict[str, list[str]],
    made_with: Any,
) -> None:
    """Sum the cells and write the report.

    ``totals`` are the documents and tokens of each slice, ``shards`` how many were read and how many there are,
    ``cells`` the files of cells of each kind of match; ``made_with`` goes into the report as it is.
    """
    matrices = {
        kind: _summed([context.upstream(path) for path in paths], totals) for kind, paths in sorted(cells.items())
    }
    report = {
        "shards": shards[0],
        "shards_given": shards[1],
        **made_with,
        "slices": {name: {"documents": documents, "tokens": tokens} for name, (documents, tokens) in totals.items()},
        **matrices,
    }
    with context.file("overlap", "json") as file:
        file.write(msgspec.json.format(to_json(report), indent=1) + b"\n")


def _summed(paths: Sequence[str], totals: dict[str, list[int]]) -> dict[str, Any]:
    """For each slice what of it is ``within`` itself before, ``elsewhere`` in any other slice, and ``in`` each one."""
    sums: dict[tuple[str, str | None], list[int]] = {}
    for path in paths:
        for name, other, documents, tokens in msgspec.json.decode(storage.read_bytes(path) or b"[]"):
            cell = sums.setdefault((name, other), [0, 0])
            cell[0] += documents
            cell[1] += tokens

    def cell_of(name: str, other: str | None) -> dict[str, float]:
        documents, tokens = sums.get((name, other), (0, 0))
        all_documents, all_tokens = totals[name]
        return {
            "documents": documents,
            "documents_share": documents / all_documents if all_documents else 0.0,
            "tokens": tokens,
            "tokens_share": tokens / all_tokens if all_tokens else 0.0,
        }

    matrix: dict[str, Any] = {
        name: {"within": cell_of(name, name), "elsewhere": cell_of(name, None), "in": {}} for name in totals
    }
    for name, other in sorted((pair for pair in sums if pair[1] not in (None, pair[0])), key=str):
        assert other is not None
        matrix[name]["in"][other] = cell_of(name, other)
    return matrix


def _plan_report(given: StageInput, *, kinds: Sequence[str], made_with: dict[str, Any]) -> list[Planned]:
    totals: dict[str, list[int]] = {slice_of(raw.path): [0, 0] for raw in given.inputs}
    keys: list[Receipt] = given.receipts["keys"]
    for receipt in keys:
        total = totals[slice_of(given.inputs[receipt.rank].path)]
        total[0] += receipt.kept
        total[1] += receipt.notes["tokens"]
    files = {kind: outputs(given.receipts[kind], "cells") for kind in kinds}
    work = partial(
        report_work,
        totals=dict(sorted(totals.items())),
        shards=[len(keys), len(given.inputs)],
        cells={kind: [out.path for out in found] for kind, found in files.items()},
        made_with=made_with,
    )
    return [Planned("overlap", work, [out for found in files.values() for out in found])]


def stages(settings: OverlapSettings, run: RunSettings) -> list[Stage]:
    """Keys, the matrix of exact matches, clusters and the matrix of near ones, the report."""

    def keys(raw: RawFile, _: str) -> Work:
        return partial(keys_work, path=raw.path, max_malformed=run.max_malformed, tokenizer=run.tokenizer)

    made_with: dict[str, Any] = {"tokenizer": run.tokenizer.sha256}
    kinds = ["exact"]
    built = [per_shard("keys", keys), matrix_stage("exact", reads="keys", role="keys")]
    if settings.near:
        kinds.append("near")
        made_with["near_settings"] = {name: getattr(settings, name) for name in ("threshold", "ngram", "permutations")}
        clusters = cluster_stages(minhash.scheme(**made_with["near_settings"]), run)
        built += [*clusters, members_stage("members"), matrix_stage("near", reads="members", role="members")]
    report = partial(_plan_report, kinds=kinds, made_with=made_with)
    return [*built, Stage("report", report, ("keys", *kinds), whole=tuple(kinds))]


JOB = Job(
    name="overlap",
    summary="documents and tokens that slices share",
    revision=1,
    patterns=PATTERNS,
    settings=OverlapSettings,
    stages=stages,
    kind="report",
)
