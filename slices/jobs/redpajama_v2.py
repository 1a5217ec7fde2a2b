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

from redpajama_data.config import Count
from redpajama_data.corpus.listing import PATTERNS, shard_task_names
from redpajama_data.dedup import bloom
from redpajama_data.dedup.partitions import key_ranges
from redpajama_data.engine.receipts import Receipt, load_all
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput, outputs
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.storage import RawFile
from redpajama_data.pipeline.stages import first_wins_tasks
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
    capacity: Count | None = Field(
        None, gt=0, description="of bloom: documents of all dumps; then filters are kept for the run of an older dump"
    )
    after: str | None = Field(
        None, description="of bloom: root of the run of the next newer dump, whose filters know what came before"
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
        _File(task, raw, tag)
        for task, raw in zip(shard_task_names([raw.path for raw in given.inputs]), given.inputs, strict=True)
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


def _plan_exact(given: StageInput) -> list[Planned]:
    receipts = _keyed(given)
    return first_wins_tasks(receipts, ranks=1 + max((receipt.rank for receipt in receipts), default=0))


def _plan_bloom(given: StageInput, *, error_rate: float, capacity: int | None, after: str | None) -> list[Planned]:
    """One task a range of keys. With a capacity the ranges are those of every run with it, and filters are kept."""
    receipts = _keyed(given)
    files = outputs(receipts, "keys")
    rows = sum(out.records for out in files)
    kept = {} if after is None else _kept_filters(after)
    planned = []
    for first, end in key_ranges(rows) if capacity is None else bloom.filter_ranges(capacity, error_rate):
        name = f"keys-{first:04d}-{end:04d}"
        before = kept.get(name)
        if after is not None and before is None:
            raise UsageError(f"{after}: no filter {name} there. Run it with the same capacity and error_rate first.")
        work = partial(
            bloom_work,
            keys=[(receipt.rank, out.path) for receipt, out in zip(receipts, files, strict=True)],
            ranks=1 + max((receipt.rank for receipt in receipts), default=0),
            buckets=(first, end),
            capacity=rows if capacity is None else capacity,
            error_rate=error_rate,
            keep=capacity is not None,
            before=before.path if before else None,
        )
        planned.append(Planned(name, work, [*files, *([before] if before else [])]))
    return planned


def _kept_filters(root: str) -> dict[str, RawFile]:
    """The filters that a run in another root kept, by the name of their task."""
    found = ((receipt, receipt.outputs.get("filter")) for receipt in load_all(root, "redpajama_v2"))
    return {receipt.task: RawFile(storage.join(root, out.path), out.bytes, out.sha256) for receipt, out in found if out}


def bloom_work(
    context: TaskContext,
    *,
    keys: Sequence[tuple[int, str]],
    ranks: int,
    buckets: tuple[int, int],
    capacity: int,
    error_rate: float,
    keep: bool,
    before: str | None,
) -> None:
    """:func:`redpajama_data.dedup.bloom.first_seen` over files of this root, with the filter ``before`` of another one
    to begin with; ``keep`` writes what the filter knows in the end. The receipt notes the ``keys``, and the
    ``error_rate`` that the filter has in the end."""
    files = [(rank, context.upstream(path)) for rank, path in keys]
    known = bloom.range_filter(capacity, buckets, error_rate)
    if before is not None:
        known.load(storage.read_bytes(before) or b"")
    with context.file("verdicts", "verdicts") as out:
        read, written = bloom.first_seen(files, out, ranks=ranks, buckets=buckets, known=known)
    context.records("verdicts", written)
    context.receipt.notes |= {"keys": read, "error_rate": known.error_rate, "asked": error_rate}
    if keep:
        with context.file("filter", "bloom") as out:
            out.write(known.dump())


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
    there, and without pyarrow; :class:`UsageError` for settings that do not go together."""
    library()
    if settings.after is not None and settings.capacity is None:
        raise UsageError("after needs a capacity: that of the run whose filters are taken over.")
    if settings.dedup == "exact" and settings.capacity is not None:
        raise UsageError("capacity is of Bloom filters. Leave it out, or give dedup=bloom.")
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
    filters = partial(_plan_bloom, error_rate=settings.error_rate, capacity=settings.capacity, after=settings.after)
    return [
        Stage("documents", partial(_plan_files, work=documents, every=True)),
        Stage("signals", partial(_plan_files, work=signals)),
        Stage("minhash", partial(_plan_files, work=partial(minhash_work, **limits))),
        Stage("dedup", _plan_exact if settings.dedup == "exact" else filters, ("documents",)),
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
