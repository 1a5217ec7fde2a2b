"""Records of any slice whose score is too low leave.

    scores   one task a shard: the histogram of its scores, and the ledger of what is no record
    keep     one task a shard: what stays is published, byte for byte

The histogram comes first, so that it can be looked at before the decision. It does not depend on the limit: another
limit does the second stage again and not the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from pydantic import Field

from filters import quality
from redpajama_data.config import SliceSettings
from redpajama_data.corpus.columns import Batch, Columns, counted_batches, utf8_lengths
from redpajama_data.corpus.keep import keep, keep_tasks, without
from redpajama_data.corpus.listing import PATTERNS, Record, per_shard, slice_of
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput, Work
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import UsageError
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from slices.jobs.quality_score import FIELD


class QualityFilterSettings(SliceSettings):
    """Settings of the quality filter; the default limit is RedPajama-Data-1T's for Common Crawl."""

    min: float = Field(0.25, allow_inf_nan=False, description="the lowest score that stays")
    field: str = Field(FIELD, min_length=1, description="field of the meta that has the score")


def scores_of(batch: Batch, field: str) -> list[float | None]:
    """The score of each record of a batch; None where the meta has no number in ``field``."""
    return [
        quality.stored_score(Record(n, line, text, meta).meta(), field)
        for n, line, text, meta in zip(batch.n, batch.lines, batch.texts, batch.metas, strict=True)
    ]


def scores_work(context: TaskContext, *, path: str, field: str, max_malformed: float) -> None:
    """Count a shard's scores into the receipt's notes; ``kept`` of the receipt are its records."""
    counter = quality.HistogramCounter()
    for batch in counted_batches(context, path, max_malformed=max_malformed):
        context.receipt.kept += len(batch.n)
        context.receipt.bytes += sum(utf8_lengths(batch.texts))
        for score, text in zip(scores_of(batch, field), batch.texts, strict=True):
            counter.add(score, text)
    context.receipt.notes |= {"of": slice_of(path), "scores": msgspec.to_builtins(counter.histogram())}


def keep_work(
    context: TaskContext, *, path: str, name: str, limit: float, field: str, records: int, tokenizer: ModelFile | None
) -> None:
    """Publish the records of a shard whose score is at least ``limit``. ``records`` is how many the histogram counted.

    Raises :class:`BrokenInput` when there are not as many now.
    """

    def staying(batch: Batch) -> Columns:
        leaving = set()
        for n, text, score in zip(batch.n, batch.texts, scores_of(batch, field), strict=True):
            drop = quality.no_score(field=field) if score is None else quality.min_quality(score, limit=limit)
            if drop is not None:
                context.drop(f"{path}#{n}", drop, text=text)
                leaving.add(n)
        return without(batch, leaving)

    keep(context, staying, path=path, name=name, records=records, tokenizer=tokenizer)


def histogram_of(receipt: Receipt) -> quality.Histogram:
    """The histogram in a receipt of scoring, or of the first stage of filtering."""
    return msgspec.convert(receipt.notes["scores"], quality.Histogram)


def histograms(receipts: Sequence[Receipt]) -> dict[str, quality.Histogram]:
    """The histogram of each slice, from the receipts of its shards, in the order of the slices' names."""
    found: dict[str, quality.Histogram] = {}
    for receipt in sorted(receipts, key=lambda receipt: str(receipt.notes["of"])):
        name = receipt.notes["of"]
        found[name] = quality.add_histograms(found.get(name, quality.Histogram()), histogram_of(receipt))
    return found


def _refuse_unscored(path: str, receipt: Receipt, field: str) -> None:
    found = histogram_of(receipt)
    if found.no_score and not any(found.documents):
        raise UsageError(
            f"{path}: none of its {found.no_score:,} records has a number in meta.{field}. Score them first "
            "(rpj quality score INPUT... --model PATH --root DIR) and filter what that gives, or name the field that "
            "has the score with --field, as --field wiki_prob for the common_crawl slice."
        )


def _plan_keep(given: StageInput, *, settings: QualityFilterSettings, run: RunSettings) -> list[Planned]:
    def work(receipt: Receipt) -> partial[None]:
        _refuse_unscored(given.inputs[receipt.rank].path, receipt, settings.field)
        return partial(keep_work, limit=settings.min, field=settings.field)

    return keep_tasks(given, reads="scores", work=work, tokenizer=run.counter)


def stages(settings: QualityFilterSettings, run: RunSettings) -> list[Stage]:
    """Look at the scores, then keep those that are high enough.

    A shard of which no record has a score stops the run before anything is published (:class:`UsageError`).
    """

    def scores(raw: RawFile, _: str) -> Work:
        return partial(scores_work, path=raw.path, field=settings.field, max_malformed=run.max_malformed)

    return [per_shard("scores", scores), Stage("keep", partial(_plan_keep, settings=settings, run=run), ("scores",))]


JOB = Job(
    name="quality_filter",
    summary="records whose quality score is too low leave",
    revision=1,
    patterns=PATTERNS,
    settings=QualityFilterSettings,
    stages=stages,
)
