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

from redpajama_data import dedup, storage
from redpajama_data.batches import counted_batches
from redpajama_data.config import SliceSettings
from redpajama_data.corpus import PATTERNS, per_shard, slice_of
from redpajama_data.fingerprint import ModelFile
from redpajama_data.receipts import Receipt
from redpajama_data.shards import to_json
from redpajama_data.stages import Plan, Planned, RunSettings, Slice, Stage, Work, outputs
from redpajama_data.storage import RawFile
from redpajama_data.tasks import TaskContext
from redpajama_data.tokens import tokenizer_for
from slices.shared import fuzzy
from slices.shared.exact import document_keys
from slices.shared.overlap_matrix import matrix_ranges, matrix_work
from slices.shared.overlap_near import TOKENS_ROW, members_stage


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
        writer = dedup.KeyWriter(file)
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


def _plan_matrix(plan: Plan, *, reads: str, role: str) -> list[Planned]:
    receipts = plan.receipts[reads]
    files = outputs(receipts, role)
    names = sorted({slice_of(raw.path) for raw in plan.inputs})
    places = {name: place for place, name in enumerate(names)}
    rows = [
        (places[slice_of(plan.inputs[receipt.rank].path)], out.path)
        for receipt, out in zip(receipts, files, strict=True)
    ]
    return [
        Planned(
            f"rows-{first:04d}-{end:04d}", partial(matrix_work, rows=rows, slices=names, buckets=(first, end)), files
        )
        for first, end in matrix_ranges(sum(out.records for out in files), plan.memory)
    ]


# ---------------------------------------------------------------------------------------------- the report


def report_work(
    context: TaskContext, *, totals: dict[str, list[int]], shards: list[int], cells: dict[str, list[str]], told: Any
) -> None:
    """Sum the cells and write the report.

    ``totals`` are the documents and tokens of each slice, ``shards`` how many were read and how many there are,
    ``cells`` the files of cells of each kind of match; ``told`` goes into the report as it is.
    """
    matrices = {
        kind: _summed([context.upstream(path) for path in paths], totals) for kind, paths in sorted(cells.items())
    }
    found = {
        "shards": shards[0],
        "shards_given": shards[1],
        **told,
        "slices": {name: {"documents": documents, "tokens": tokens} for name, (documents, tokens) in totals.items()},
        **matrices,
    }
    with context.file("overlap", "json") as file:
        file.write(msgspec.json.format(to_json(found), indent=1) + b"\n")


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


def _plan_report(plan: Plan, *, kinds: Sequence[str], told: dict[str, Any]) -> list[Planned]:
    totals: dict[str, list[int]] = {slice_of(raw.path): [0, 0] for raw in plan.inputs}
    keys: list[Receipt] = plan.receipts["keys"]
    for receipt in keys:
        total = totals[slice_of(plan.inputs[receipt.rank].path)]
        total[0] += receipt.kept
        total[1] += receipt.notes["tokens"]
    files = {kind: outputs(plan.receipts[kind], "cells") for kind in kinds}
    work = partial(
        report_work,
        totals=dict(sorted(totals.items())),
        shards=[len(keys), len(plan.inputs)],
        cells={kind: [out.path for out in found] for kind, found in files.items()},
        told=told,
    )
    return [Planned("overlap", work, [out for found in files.values() for out in found])]


def stages(settings: OverlapSettings, run: RunSettings) -> list[Stage]:
    """Keys, the matrix of exact matches, clusters and the matrix of near ones, the report."""

    def keys(raw: RawFile, _: str) -> Work:
        return partial(keys_work, path=raw.path, max_malformed=run.max_malformed, tokenizer=run.tokenizer)

    told: dict[str, Any] = {"tokenizer": run.tokenizer.sha256}
    kinds = ["exact"]
    built = [per_shard("keys", keys), matrix_stage("exact", reads="keys", role="keys")]
    if settings.near:
        kinds.append("near")
        told["near_settings"] = {name: getattr(settings, name) for name in ("threshold", "ngram", "permutations")}
        *clusters, _ = fuzzy.stages(fuzzy.FuzzySettings(**told["near_settings"]), run)  # all but the publishing
        built += [*clusters, members_stage("members"), matrix_stage("near", reads="members", role="members")]
    report = partial(_plan_report, kinds=kinds, told=told)
    return [*built, Stage("report", report, ("keys", *kinds), whole=tuple(kinds))]


JOB = Slice(
    name="overlap",
    summary="documents and tokens that slices share",
    revision=1,
    patterns=PATTERNS,
    settings=OverlapSettings,
    stages=stages,
    kind="report",
)
