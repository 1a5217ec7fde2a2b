"""Common Crawl as RedPajama-V2 has it: head, middle and tail of five languages, nothing removed after CCNet.

Input: ``<dump>/*.warc.wet.gz``, as :mod:`slices.common_crawl`, with whose stages it begins. Published recipe: CCNet's
pipeline for en, de, fr, es and it. A shard's published files are CCNet's: one for each language and bucket. The job
``redpajama_v2`` writes the layout of the published data set from them.

    read ─► lines that two documents of a shard have go ─► language ─► perplexity ─► head, middle and tail ─► published
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from filters import ccnet
from filters.language import resolve_lid
from redpajama_data.config import Names, SliceSettings
from redpajama_data.engine.stages import Planned, RunSettings, Slice, Stage, StageInput
from redpajama_data.engine.task_names import shortened
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import read_stored
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.work import Numbered, Steps, publish
from slices.common_crawl import language_codes, language_models
from slices.parts.crawl_lines import line_groups_stage, lines_stage
from slices.parts.crawl_mine import mine_stage

LANGUAGES = ("en", "de", "fr", "es", "it")
BUCKETS = ("head", "middle", "tail")


class CommonCrawlV2Settings(SliceSettings):
    """Settings of the slice; the defaults are the published values."""

    languages: Annotated[Names, AfterValidator(language_codes)] = Field(LANGUAGES, description="languages to keep")
    shards: int = Field(5000, gt=0, description="CCNet shards of a dump: lines are compared within a shard")
    hash_in_mem: int = Field(1, gt=0, description="consecutive shards whose lines are compared with each other")
    min_length: int = Field(300, description="shortest page without its title, characters")
    min_language_score: float = Field(0.5, description="fastText's score of the language, rounded to 2 decimals")
    lid: str = Field("lid.176.ftz", description="language identification: name or path; published: lid.176.bin")
    lm_dir: str | None = Field(
        None, description="folder of <language>.sp.model and <language>.arpa.bin; default: CCNet's own, fetched"
    )


def publish_stage(run: RunSettings) -> Stage:
    """One task a shard: :func:`publish_work`. Published files sort as V2's paths do: dump, shard, language, bucket."""

    def plan_tasks(given: StageInput) -> list[Planned]:
        mined = given.receipts["mine"]
        planned: list[Planned] = []
        for receipt in mined:
            dump, number = receipt.notes["dump"], receipt.notes["shard"]
            parts = []
            for part in sorted(receipt.notes["parts"]):
                name = f"{shortened(dump)}_{number:04d}_{part}"
                parts.append((name, receipt.outputs[f"mined:{part}"].path))
            work = partial(publish_work, source=f"{dump}/{number:04d}", parts=parts, tokenizer=run.tokenizer)
            planned.append(Planned(receipt.task, work, [receipt.outputs[f"mined:{p}"] for p in receipt.notes["parts"]]))
        return planned

    return Stage("publish", plan_tasks, ("mine",))


def publish_work(context: TaskContext, *, source: str, parts: Sequence[tuple[str, str]], tokenizer: ModelFile) -> None:
    """Publish a shard's documents: of each of ``parts``, a name and a mined file, one published file.

    The meta is CCNet's record without its text, field by field.
    """
    context.receipt.notes["source"] = source
    for name, path in parts:
        publish(context, _counted(context, path), tokenizer, name)


def _counted(context: TaskContext, path: str) -> Numbered:
    for n, doc in read_stored(context.upstream(path)):
        context.count_read(doc.text)
        yield n, doc


def stages(settings: CommonCrawlV2Settings, run: RunSettings) -> list[Stage]:
    """The slice's stages: the recipe, read from top to bottom."""
    mine: Steps = [
        partial(ccnet.identify_language, model=resolve_lid(settings.lid)),
        partial(ccnet.min_language_score, limit=settings.min_language_score),
        partial(ccnet.language_in, allowed=settings.languages),
        partial(ccnet.measure_perplexity, models=language_models(settings.languages, settings.lm_dir)),
        partial(ccnet.assign_bucket, cutoffs=ccnet.CUTOFFS),
    ]
    layout: dict[str, Any] = {"shards": settings.shards, "min_length": settings.min_length}
    return [
        lines_stage(**layout, run=run),
        line_groups_stage(hash_in_mem=settings.hash_in_mem),
        mine_stage(**layout, hash_in_mem=settings.hash_in_mem, steps=mine, buckets=BUCKETS),
        publish_stage(run),
    ]


SLICE = Slice(
    name="common_crawl_v2",
    summary="web pages of five languages, all of CCNet's buckets, as RedPajama-V2 (WET files)",
    revision=1,
    patterns=("*.warc.wet.gz", "*.warc.wet"),
    settings=CommonCrawlV2Settings,
    stages=stages,
)
