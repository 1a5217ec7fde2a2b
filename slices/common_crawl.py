"""Common Crawl: WET files through CCNet, a dedup of documents, a classifier of pages like Wikipedia's references.

Input: ``<dump>/*.warc.wet.gz``, with the dump's ``wet.paths.gz`` beside them when they are not all of it. Published
recipe: ``python -m cc_net --dump D --num_shards 5000 -l en --hash_in_mem 1`` and data_prep/cc of
togethercomputer/RedPajama-Data (branch rp_v1), with what hung on chance there fixed: files in sorted order, documents
in input order.

    read ─► lines that two documents of a shard have go ─► language ─► perplexity ─► head and middle
         ─► documents whose URL brought no new digest go, across dumps ─► like a Wikipedia reference ─► published
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from filters import ccnet, wikiref
from filters.ccnet_edges import no_foreign_edges
from filters.language import resolve_lid
from filters.perplexity import check_language_model
from redpajama_data.config import Names, SliceSettings
from redpajama_data.document import Document
from redpajama_data.engine.stages import RunSettings, Slice, Stage
from redpajama_data.errors import MissingModel
from redpajama_data.models.known import CCNET_LANGUAGES
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import resolve
from redpajama_data.pipeline.work import Steps
from slices.parts.crawl_dedup import document_dedup_stages
from slices.parts.crawl_lines import line_groups_stage, lines_stage
from slices.parts.crawl_mine import mine_stage
from slices.parts.crawl_publish import publish_stage
from slices.repairs import SETTING, chosen_from


def language_codes(value: tuple[str, ...]) -> tuple[str, ...]:
    """The value of a setting that lists languages. Raises ValueError for what is no code of one."""
    if not value or not all(re.fullmatch(r"[a-z]{2,3}", code) for code in value):
        raise ValueError("expected codes of languages as fastText writes them, such as en,de")
    return value


def _shards_compared(value: object) -> object:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if number != "all" and (not isinstance(number, int) or number < 1):
        raise ValueError("expected a number of shards, from 1 on, or all")
    return number


class CommonCrawlSettings(SliceSettings):
    """Settings of the Common Crawl slice; the defaults are the published values."""

    repairs: Annotated[Names, chosen_from("common_crawl")] = Field((), description=SETTING)
    languages: Annotated[Names, AfterValidator(language_codes)] = Field(("en",), description="languages to keep")
    shards: int = Field(5000, gt=0, description="CCNet shards of a dump: lines are compared within a shard")
    hash_in_mem: Annotated[int | Literal["all"], BeforeValidator(_shards_compared)] = Field(
        1, description="consecutive shards whose lines are compared with each other, or all of a dump"
    )
    min_length: int = Field(300, description="shortest page without its title, characters")
    min_language_score: float = Field(0.5, description="fastText's score of the language, rounded to 2 decimals")
    min_wiki_prob: float = Field(0.25, description="probability of a page that Wikipedia refers to")
    lid: str = Field("lid.176.ftz", description="language identification: name or path; published: lid.176.bin")
    lm_dir: str | None = Field(
        None, description="folder of <language>.sp.model and <language>.arpa.bin; default: CCNet's own, fetched"
    )
    classifier: str | None = Field(None, description="path of the fastText classifier of references; it has no default")
    shards_per_file: int | None = Field(None, gt=0, description="shards in one of CCNet's files; default: 4 GiB")
    keep_tail: bool = Field(False, description="store the documents that perplexity drops as well, to look at")


def language_models(languages: Sequence[str], folder: str | None) -> dict[str, ccnet.LanguageModel]:
    """The perplexity models of the languages that have one: those in ``folder``, or by default CCNet's published ones.

    Raises :class:`MissingModel` for half a pair, a folder that is not there, or a model that cannot be fetched.
    """
    if folder is not None and not os.path.isdir(folder):
        raise MissingModel(f"lm_dir {folder}: no such folder. Give the folder of en.sp.model and en.arpa.bin.")
    models = {}
    for language in languages:
        names = [f"{language}.sp.model", f"{language}.arpa.bin"]
        if folder is None:
            wanted = language in CCNET_LANGUAGES
        else:
            names = [os.path.join(folder, name) for name in names]
            wanted = any(os.path.exists(name) for name in names)
        if wanted:
            try:
                models[language] = ccnet.LanguageModel(*map(resolve, names))
                check_language_model(models[language].pieces.path, models[language].words.path)
            except MissingModel as error:
                advice = "Or give --set lm_dir=FOLDER with models of your own (rpj train lm --help)."
                raise MissingModel(f"{error}\n{advice}") from error
    return models


def classifier_model(path: str | None) -> ModelFile:
    """The classifier's file. Raises :class:`MissingModel`, which says how to come by one."""
    if path is None:
        raise MissingModel(
            "common_crawl needs the classifier of pages that Wikipedia refers to. RedPajama's own are gone (the "
            "published link is dead). Train one (rpj train classifier --help) and give --set classifier=PATH."
        )
    return resolve_lid(path)


def published_meta(doc: Document) -> Document:
    """The fields of the published record, then what it lost on the way here: where the text is from, and its scores.

    ``line_ids`` are the numbers of the lines kept, from 0, without the title. Names as in the published scripts.
    """
    meta = doc.meta
    doc.meta = {
        "pred_label": meta["pred_label"],
        "pred_label_prob": meta["pred_label_prob"],
        "wiki_prob": meta["wiki_prob"],
        "source": doc.work["source"],
        "url": meta["url"],
        "date_download": meta["date_download"],
        "digest": meta["digest"],
        "dump": doc.work["dump"],
        "cc_segment": meta["cc_segment"],
        "language": meta["language"],
        "language_score": meta["language_score"],
        "perplexity": meta["perplexity"],
        "bucket": meta["bucket"],
        "line_ids": meta["line_ids"],
    }
    return doc


def stages(settings: CommonCrawlSettings, run: RunSettings) -> list[Stage]:
    """The slice's stages: the recipe, read from top to bottom."""
    fixed = settings.repairs
    mine: Steps = [
        partial(ccnet.identify_language, model=resolve_lid(settings.lid)),
        partial(ccnet.min_language_score, limit=settings.min_language_score),
        partial(ccnet.language_in, allowed=settings.languages),
        *([partial(no_foreign_edges, model=resolve_lid(settings.lid))] if "no_foreign_edges" in fixed else []),
        partial(ccnet.measure_perplexity, models=language_models(settings.languages, settings.lm_dir)),
        partial(ccnet.assign_bucket, cutoffs=ccnet.CUTOFFS),
    ]
    references: Steps = [
        partial(wikiref.classify_reference, model=classifier_model(settings.classifier)),
        partial(wikiref.min_wiki_prob, limit=settings.min_wiki_prob),
        *([wikiref.classified_as_reference] if "classified_as_reference" in fixed else []),
        published_meta,
    ]
    layout: dict[str, Any] = {"shards": settings.shards, "min_length": settings.min_length}
    whole_dump = settings.hash_in_mem == "all" or "lines_of_dump" in fixed
    groups: dict[str, Any] = {"hash_in_mem": None if whole_dump else settings.hash_in_mem}
    if "keep_first_lines" in fixed:
        groups["first_stays"] = True
    texts: dict[str, Any] = {"texts": True} if "distinct_texts" in fixed else {}
    each_record = "kept_records" in fixed
    digests: dict[str, Any] = {"own_digests": True} if each_record else {}
    return [
        lines_stage(**layout, run=run),
        line_groups_stage(**groups),
        mine_stage(**layout, **groups, steps=mine, keep_tail=settings.keep_tail, **texts, **digests),
        *document_dedup_stages(per_file=settings.shards_per_file, each_record=each_record, **texts),
        publish_stage(per_file=settings.shards_per_file, steps=references, run=run),
    ]


SLICE = Slice(
    name="common_crawl",
    summary="web pages in good prose, like those that Wikipedia refers to (WET files)",
    revision=2,
    patterns=("*.warc.wet.gz", "*.warc.wet"),
    settings=CommonCrawlSettings,
    stages=stages,
)
