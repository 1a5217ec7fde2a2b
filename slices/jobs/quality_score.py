"""The score of a fastText classifier for each record of any slice, into its meta. See :mod:`filters.quality`."""

from __future__ import annotations

from functools import partial

import msgspec
from pydantic import Field

from filters import quality
from redpajama_data.config import SliceSettings
from redpajama_data.corpus.listing import PATTERNS, Record, pass_work, per_shard, slice_of, with_meta
from redpajama_data.document import Drop
from redpajama_data.engine.stages import Job, RunSettings, Stage, Work
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import MissingModel
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import resolve

FIELD = "quality_score"


class QualityScoreSettings(SliceSettings):
    """Settings of quality scoring."""

    model: str | None = Field(None, description="path of a fastText classifier; it has no default")
    label: str | None = Field(None, description="the score is its probability; default: of two, the one beside cc")
    field: str = Field(FIELD, min_length=1, description="field of the meta that gets the score")


def score_work(
    context: TaskContext,
    *,
    path: str,
    name: str,
    model: ModelFile,
    label: str,
    field: str,
    max_malformed: float,
    tokenizer: ModelFile | None,
) -> None:
    """Score the records of a shard. The histogram of the scores goes into the receipt's notes."""
    counter = quality.HistogramCounter()

    def step(records: list[Record]) -> list[Record | Drop]:
        results: list[Record | Drop] = []
        for record in records:
            score = quality.quality_score(record.text, model=model, label=label)
            results.append(with_meta(record, {field: score}))
            counter.add(score, record.text)
        return results

    pass_work(context, path=path, name=name, step=step, max_malformed=max_malformed, tokenizer=tokenizer)
    context.receipt.notes |= {"of": slice_of(path), "scores": msgspec.to_builtins(counter.histogram())}


def stages(settings: QualityScoreSettings, run: RunSettings) -> list[Stage]:
    """One task a shard."""
    if settings.model is None:
        raise MissingModel(
            "quality_score needs a fastText classifier. Train one (rpj train classifier --help) and give its path: "
            "--model PATH, or --set quality_score.model=PATH for rpj run."
        )
    model = resolve(settings.model)
    label = quality.choose_label(model, settings.label)

    def work(raw: RawFile, published: str) -> Work:
        return partial(
            score_work,
            path=raw.path,
            name=published,
            model=model,
            label=label,
            field=settings.field,
            max_malformed=run.max_malformed,
            tokenizer=run.counter,
        )

    return [per_shard("score", work)]


JOB = Job(
    name="quality_score",
    summary="the score of a fastText classifier for each record",
    revision=1,
    patterns=PATTERNS,
    settings=QualityScoreSettings,
    stages=stages,
)
