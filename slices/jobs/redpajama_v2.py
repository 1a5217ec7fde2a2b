"""RedPajama-V2's own folders from what the slice ``common_crawl_v2`` published: what its loader reads.

    documents    one task a shard: CCNet's record of each document; of head and middle a key of its digest
    signals      one task a shard of head or middle: the quality signals
    minhash      one task a shard of head or middle: banded MinHash signatures
    dedup        one task a range of keys: documents whose digest came before
    duplicates   one task a shard of head or middle: the ids of those documents

    ROOT/redpajama_v2/documents/2023-06/0000/en_head.json.gz
    ROOT/redpajama_v2/quality_signals/2023-06/0000/en_head.signals.json.gz
    ROOT/redpajama_v2/minhash/2023-06/0000/en_head.minhash.parquet
    ROOT/redpajama_v2/duplicates/2023-06/0000/en_head.duplicates.parquet

An id is ``2023-06/0000/en_head.json.gz/17``: the file and the line in it, from 0. Before means: in a newer dump, then
in the order of the files. Source: RedPajama-Data, app/src (branch main), and the card of RedPajama-Data-V2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from pydantic import Field

from redpajama_data.corpus.listing import PATTERNS, shard_task_name
from redpajama_data.dedup import bloom
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput, outputs
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import UsageError
from redpajama_data.io.storage import RawFile
from redpajama_data.pipeline.stages import first_wins_tasks, per_range
from redpajama_data.release.parquet import library
from redpajama_data.reports.language_totals import ANNOTATED, tag_of
from slices.jobs.redpajama_v2_files import documents_work, duplicates_work, minhash_work, signals_work
from slices.jobs.signals import SignalsSettings, find_sources


class RedPajamaV2Settings(SignalsSettings):
    """Settings of the layout of RedPajama-V2; the defaults are the published values. Lists and models of the signals
    as for the job signals."""

    dedup: Literal["bloom", "exact"] = Field(
        "bloom", description="how copies are found: bloom, as published, or exact: no document is taken for a copy"
    )
    error_rate: float = Field(
        0.01, gt=0, lt=1, description="of bloom: share of new documents taken for copies, at most; 1.2 bytes a document"
    )


class _File(NamedTuple):
    """A shard of the input: its task, its raw file, and where it lies in the layout: ``2023-06/0000/en_head``."""

    task: str
    raw: RawFile
    tag: str

    @property
    def annotated(self) -> bool:
        return self.tag.endswith(ANNOTATED)


def _files(given: StageInput) -> list[_File]:
    """The shards of the input that have a place, in its order. Raises :class:`UsageError` when none has, or two the
    same."""
    files = [
        _File(shard_task_name(rank, len(given.inputs), raw.path), raw, tag)
        for rank, raw in enumerate(given.inputs)
        if (tag := tag_of(raw.path)) is not None
    ]
    if not files:
        raise UsageError(
            "no shard of common_crawl_v2 among the input: their names say dump, shard, language and bucket. Run the "
            "slice first: rpj run --slice common_crawl_v2."
        )
    paths = {file.tag: file.raw.path for file in files}
    for file in files:
        if paths[file.tag] != file.raw.path:
            raise UsageError(f"{file.raw.path} and {paths[file.tag]} are both {file.tag}. Give one of them.")
    return files


# ------------------------------------------------------------------------------------------------ planning


def _plan_files(given: StageInput, *, work: partial[None], every: bool = False) -> list[Planned]:
    return [
        Planned(file.task, partial(work, path=file.raw.path, tag=file.tag), [file.raw])
        for file in _files(given)
        if every or file.annotated
    ]


def _keyed(given: StageInput) -> list[Receipt]:
    """The documents that are compared, newest dump first, then in input order."""
    receipts = [receipt for receipt in given.receipts["documents"] if "keys" in receipt.outputs]
    return sorted(receipts, key=lambda receipt: receipt.notes["tag"].split("/")[0], reverse=True)


def _plan_dedup(given: StageInput, *, error_rate: float | None) -> list[Planned]:
    receipts = _keyed(given)
    ranks = 1 + max((receipt.rank for receipt in receipts), default=0)
    if error_rate is None:
        return first_wins_tasks(receipts, ranks=ranks)
    keys = [(receipt.rank, receipt.outputs["keys"].path) for receipt in receipts]
    work = partial(bloom_work, keys=keys, ranks=ranks, error_rate=error_rate)
    return per_range("keys", work, outputs(receipts, "keys"))


def bloom_work(
    context: TaskContext,
    *,
    keys: Sequence[tuple[int, str]],
    ranks: int,
    rows: int,
    buckets: tuple[int, int],
    error_rate: float,
) -> None:
    """:func:`redpajama_data.dedup.bloom.first_seen` over files of this root; the receipt notes the ``keys``."""
    files = [(rank, context.upstream(path)) for rank, path in keys]
    with context.file("verdicts", "verdicts") as out:
        read, written = bloom.first_seen(files, out, ranks=ranks, rows=rows, buckets=buckets, error_rate=error_rate)
    context.records("verdicts", written)
    context.receipt.notes["keys"] = read


def _plan_duplicates(given: StageInput, *, max_malformed: float) -> list[Planned]:
    files = {file.tag: file for file in _files(given)}
    verdicts = outputs(given.receipts["dedup"], "verdicts")
    planned = []
    for receipt in given.receipts["documents"]:
        if "keys" in receipt.outputs:
            file = files[receipt.notes["tag"]]
            work = partial(
                duplicates_work,
                path=file.raw.path,
                tag=file.tag,
                rank=receipt.rank,
                verdicts=[out.path for out in verdicts],
                max_malformed=max_malformed,
            )
            planned.append(Planned(receipt.task, work, [file.raw, *verdicts]))
    return planned


def stages(settings: RedPajamaV2Settings, run: RunSettings) -> list[Stage]:
    """Documents, signals, minhash, dedup, duplicates. Raises :class:`MissingModel` for a list or model that is not
    there, and without pyarrow."""
    library()
    limits: dict[str, Any] = {"max_malformed": run.max_malformed}
    signals = partial(
        signals_work,
        sources=find_sources(settings),
        language=settings.language,
        words=settings.words,
        characters=settings.max_characters,
        lines=settings.max_lines,
        **limits,
    )
    documents = partial(documents_work, annotated=ANNOTATED, **limits)
    error_rate = settings.error_rate if settings.dedup == "bloom" else None
    return [
        Stage("documents", partial(_plan_files, work=documents, every=True)),
        Stage("signals", partial(_plan_files, work=signals)),
        Stage("minhash", partial(_plan_files, work=partial(minhash_work, **limits))),
        Stage("dedup", partial(_plan_dedup, error_rate=error_rate), ("documents",)),
        Stage("duplicates", partial(_plan_duplicates, **limits), ("documents", "dedup"), whole=("dedup",)),
    ]


JOB = Job(
    name="redpajama_v2",
    summary="documents, quality signals, MinHash signatures and duplicates in RedPajama-V2's layout",
    revision=1,
    patterns=PATTERNS,
    settings=RedPajamaV2Settings,
    stages=stages,
    kind="report",
)
