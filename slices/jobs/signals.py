"""The quality signals of RedPajama-V2 for shards of any slice, in its own form: a file a shard, a line a document.

    {"id": "github/github_0000.jsonl.zst/17", "id_int": ..., "metadata": {...},
     "quality_signals": {"rps_doc_word_count": [[0, 1378, 215]], ...}}

An id is the shard's name and the number of the line in it, from 0, lines that are no records counted. The shard's name
is its path from its folder on; from the dump on in CCNet's layout (``2023-06/0000/en_head.json.gz/17``, as published).
``id_int`` is made of the first 8 bytes of the id's SHA-1, little-endian. ``metadata`` has the published fields, null
where the record does not say. Files lie in ``ROOT/signals/<slice>/``, in zstd as all that rpj writes; the published
ones are in gzip. Source: RedPajama-Data, app/src/core/worker.py (branch main).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, cast

import msgspec
from pydantic import Field

from filters import signals_dsir, signals_lists
from filters.language import load_lid
from filters.signals import (
    CLASSIFIERS,
    LINES_MAX,
    SignalSources,
    Words,
    max_characters,
    max_lines,
    signals_object,
)
from redpajama_data.config import SliceSettings
from redpajama_data.corpus.columns import Batch, counted_batches
from redpajama_data.corpus.listing import PATTERNS, published_name, shard_task_names
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import MissingModel
from redpajama_data.io import storage
from redpajama_data.io.shards import LineWriter, to_json
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import resolve
from slices.jobs.signals_ids import document_ids, metadata, shard_names

LEVEL = 1  # of zstd: 340 MB/s and 14 % of the size; 3 has half the speed and 13.5 %
_decode_meta = msgspec.json.Decoder().decode


class SignalsSettings(SliceSettings):
    """Settings of the quality signals. A signal whose list or model is not given is left out."""

    language: str = Field("en", description="language of records whose meta names none: chooses lists and models")
    stop_words: str | None = Field(None, description="stopwords-all.json of github.com/6/stopwords-json")
    bad_words: str | None = Field(None, description="folder of LDNOOBW's lists: en, de, ... or en.txt, de.txt, ...")
    bad_domains: str | None = Field(None, description="UT1's folder, or domain_to_category_id.json")
    classifiers: str | None = Field(None, description="folder of fastText models: en/wikiref.bin, en/palm.bin, ...")
    dsir: str | None = Field(None, description="folder of hash counts: en/wikipedia.en.10000.counts.npy, ...")
    siphash: Literal[13, 24] = Field(13, description="hash of the counts: 13 of Python 3.11 on, 24 of earlier ones")
    words: Words = Field("regex", description="raw words by \\w of regex (NLTK 3.10 on) or of re (NLTK before)")
    max_characters: int = Field(1 << 26, gt=0, lt=1 << 28, description="longest text; a book has 10 million at most")
    max_lines: int = Field(
        LINES_MAX, gt=0, description="most lines of a text; a line takes 120 bytes of output at least"
    )


# ------------------------------------------------------------------------------------------------ work


def signals_work(
    context: TaskContext,
    *,
    path: str,
    name: str,
    shard: str,
    sources: SignalSources,
    language: str,
    words: Words,
    characters: int,
    lines: int,
    max_malformed: float,
) -> None:
    """Write the signals of a shard's documents; what is no record, or too large a one, goes to the ledger.

    Memory is bounded by the limits: of one document at a time at most 12 bytes a character and 270 a line.
    """
    receipt = context.receipt
    relative = f"{context.task.slice}/{name}.signals.jsonl.zst"
    with storage.whole_file(context.upstream(relative)) as file:
        out = LineWriter(cast(Any, file), LEVEL)
        for batch in counted_batches(context, path, max_malformed=max_malformed):
            for place, (doc_id, id_int) in enumerate(document_ids(shard, batch.n)):
                text = batch.texts[place]
                drop = max_characters(text, limit=characters) or max_lines(text, limit=lines)
                if drop is not None:
                    context.drop(f"{path}#{batch.n[place]}", drop, text=text)
                    continue
                out.write(
                    signal_line(
                        text,
                        decoded_meta(batch, place),
                        shard=shard,
                        names=(doc_id, id_int),
                        sources=sources,
                        language=language,
                        words=words,
                        lines=lines,
                    )
                )
        out.close()
    receipt.kept += out.records
    receipt.bytes = receipt.read_bytes - sum(receipt.dropped_bytes.values())
    receipt.outputs["signals"] = Output(relative, file.bytes, file.sha256, out.records)


def signal_line(
    text: str,
    meta: dict[str, Any],
    *,
    shard: str,
    names: tuple[str, int],
    sources: SignalSources,
    language: str,
    words: Words,
    lines: int,
) -> bytes:
    """The published line of a document; ``names`` are its ``id`` and ``id_int``."""
    doc_id, id_int = names
    before = b'{"id":%b,"id_int":%d,"metadata":%b,"quality_signals":' % (
        to_json(doc_id),
        id_int,
        to_json(metadata(meta, shard)),
    )
    return signals_object(
        text, meta, sources=sources, language=language, words=words, max_lines=lines, before=before, after=b"}"
    )


def decoded_meta(batch: Batch, place: int) -> dict[str, Any]:
    """The meta of a record of a batch; empty when it is no object."""
    try:
        found = _decode_meta(batch.metas[place])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def find_sources(settings: SignalsSettings) -> SignalSources:
    """The lists and models that settings name. Raises :class:`MissingModel` for a place that has none."""
    sources = SignalSources(
        stop_words=None if settings.stop_words is None else signals_lists.list_file(settings.stop_words),
        bad_words=None if settings.bad_words is None else signals_lists.bad_word_files(settings.bad_words),
        domains=() if settings.bad_domains is None else tuple(signals_lists.domain_files(settings.bad_domains).items()),
        classifiers={} if settings.classifiers is None else classifier_files(settings.classifiers),
        distributions={}
        if settings.dsir is None
        else signals_dsir.distribution_files(settings.dsir, siphash=settings.siphash, words=settings.words),
    )
    _check(sources, settings.language)
    return sources


def _check(sources: SignalSources, language: str) -> None:
    """Read every list and model once, so that one of another form is found before the first shard."""
    if sources.stop_words is not None:
        signals_lists.stop_words(sources.stop_words, language)
    for words in (sources.bad_words or {}).values():
        signals_lists.bad_words(words)
    if sources.domains:
        signals_lists.check_domains(sources.domains)
    for models in sources.classifiers.values():
        for model in models.values():
            load_lid(model)
    for distributions in sources.distributions.values():
        signals_dsir.check_distributions(distributions)


def classifier_files(folder: str) -> dict[str, dict[str, ModelFile]]:
    """fastText models by language and name, as published: ``<language>/<name>[.anything].bin``, the name wikiref, palm
    or wikipedia. Raises :class:`MissingModel` when there is none."""
    models: dict[str, dict[str, ModelFile]] = {}
    for language, path in signals_lists.files_by_language(folder, (".bin", ".ftz")):
        name = path.rsplit("/", 1)[-1].split(".")[0]
        if name in CLASSIFIERS:
            models.setdefault(language, {})[name] = resolve(path)
    if not models:
        raise MissingModel(
            f"{folder}: no classifiers there. Expected en/wikiref.bin, en/palm.bin, de/wikipedia.bin ...; "
            "see rpj train classifier --help."
        )
    return models


def _plan(given: StageInput, *, work: partial[None]) -> list[Planned]:
    paths = [raw.path for raw in given.inputs]
    planned = []
    tasks = shard_task_names(paths)
    for task, raw, shard in zip(tasks, given.inputs, shard_names(paths), strict=True):
        bound = partial(work, path=raw.path, name=published_name(task, raw.path), shard=shard)
        planned.append(Planned(task, bound, [raw]))
    return planned


def stages(settings: SignalsSettings, run: RunSettings) -> list[Stage]:
    """One task a shard. Raises :class:`MissingModel` for a list or model that is not there."""
    work = partial(
        signals_work,
        sources=find_sources(settings),
        language=settings.language,
        words=settings.words,
        characters=settings.max_characters,
        lines=settings.max_lines,
        max_malformed=run.max_malformed,
    )
    return [Stage("signals", partial(_plan, work=work))]


JOB = Job(
    name="signals",
    summary="the quality signals of RedPajama-V2",
    revision=1,
    patterns=PATTERNS,
    settings=SignalsSettings,
    stages=stages,
    kind="report",
)
