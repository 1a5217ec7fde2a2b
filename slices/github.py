"""GitHub: files of permissively licensed repositories, from the public export of BigQuery.

Input: ``github_*.gz``, gzipped JSON lines. Published recipe: github/ of togethercomputer/RedPajama-Data (branch
rp_v1), with what hung on chance there fixed: inputs in sorted order, and of equal files the first one stays.

    read ─► licence, path ─► content hash ─► exact dedup over all shards ─► strip header, statistics, filters ─►
    published
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import msgspec
from pydantic import Field

from filters import code, code_headers
from redpajama_data.config import Names, SliceSettings
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.engine.stages import RunSettings, Slice, Stage
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.shards import MAX_NESTING, nested_too_deep
from redpajama_data.models.tokens import resolve_tokenizer
from redpajama_data.pipeline.copies import copies_stage
from redpajama_data.pipeline.stages import clean_stage, dedup_stage, publish_stored_stage
from redpajama_data.pipeline.work import Batched, Steps, count_tokens
from slices.repairs import SETTING, chosen_from

LICENSES = ("mit", "bsd", "apache")
EXTENSIONS = (
    ".asm", ".bat", ".cmd", ".c", ".h", ".cs", ".cpp", ".hpp", ".c++", ".h++", ".cc", ".hh", ".C", ".H", ".cmake",
    ".css", ".dockerfile", ".f90", ".f", ".f03", ".f08", ".f77", ".f95", ".for", ".fpp", ".go", ".hs", ".html",
    ".java", ".js", ".jl", ".lua", ".md", ".markdown", ".php", ".php3", ".php4", ".php5", ".phps", ".phpt", ".pl",
    ".pm", ".pod", ".perl", ".ps1", ".psd1", ".psm1", ".py", ".rb", ".rs", ".sql", ".scala", ".sh", ".bash",
    ".command", ".zsh", ".ts", ".tsx", ".tex", ".vb", "Dockerfile", "Makefile", ".xml", ".rst", ".m", ".smali",
)  # fmt: skip

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class GithubSettings(SliceSettings):
    """Settings of the GitHub slice; the defaults are the published values."""

    repairs: Annotated[Names, chosen_from("github")] = Field((), description=SETTING)
    min_characters: int = Field(50, description="min_characters: shortest file; 38 of 2,039 real ones are shorter")
    max_line_length: int = Field(1000, description="longest line, characters")
    avg_line_length: float = Field(100, description="average line, characters")
    min_alnum_prop: float = Field(0.25, description="share of alphanumeric characters")
    min_alpha_per_token: float = Field(1.5, description="letters a GPT-NeoX token")
    code_tokenizer: str = Field(
        "gpt-neox-20b", description="name or path of the tokenizer of min_alpha_per_token; the run's may be another"
    )
    max_record_bytes: int = Field(32 << 20, description="longest raw record; the source's own limit for a file is 1 MB")


def read_bigquery(path: str, *, max_record_bytes: int) -> Iterator[Document | Rejected]:
    """The files of one export shard. ``meta`` holds the record's other fields in their order.

    A record that is no JSON object with ``path`` and ``content`` as strings is ``malformed``; a null content is
    ``content_not_null`` (the export leaves null fields out, so a missing content is a null one); one over
    ``max_record_bytes`` is that rule's.
    """
    for n, line in enumerate(iter_lines(path, max_bytes=max_record_bytes)):
        doc_id = f"{path}#{n}"
        if isinstance(line, TooLong):
            yield Rejected(doc_id, Drop("max_record_bytes", line.length, max_record_bytes))
            continue
        try:
            try:
                record = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                if not line.startswith(BOM_UTF8):  # files put together keep the byte order mark of each
                    raise
                record = _decode(line[3:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield Rejected(doc_id, Drop("malformed", f"line {n + 1}: {error}", "a JSON object in UTF-8"))
            continue
        if nested_too_deep(record):
            yield Rejected(doc_id, Drop("malformed", f"line {n + 1}: deeply nested", f"{MAX_NESTING} levels"))
            continue
        content = record.pop("content", None)
        if content is None:
            yield Rejected(doc_id, Drop("content_not_null", None, "a string"))
        elif not isinstance(content, str) or not isinstance(record.get("path"), str):
            found = f"line {n + 1}: content: {type(content).__name__}, path: {type(record.get('path')).__name__}"
            yield Rejected(doc_id, Drop("malformed", found, "content and path as strings"))
        else:
            yield Document(doc_id, content, record)


def stages(settings: GithubSettings, run: RunSettings) -> list[Stage]:
    """The slice's stages: the recipe, read from top to bottom."""
    fixed = settings.repairs
    header: Steps = [
        code_headers.cut_licence_header if "cut_licence_header" in fixed else code.strip_copyright_header,
    ]
    listed: Steps = [partial(code.extension_in, allowed=EXTENSIONS)]
    told_apart_by = code.content_key
    early: Steps = []  # what comes before the dedup
    if "cleaned_key" in fixed:
        told_apart_by, early, header, listed = code.cleaned_key, [*listed, *header], [], []
    select: Steps = [
        partial(code.license_starts_with, prefixes=LICENSES),
        partial(code.path_not_in, names=("LICENSE",), suffixes=(".crt",)),
        code.content_hash,
        *early,
    ]
    quality: Steps = [
        *header,
        code.measure_lines,
        code.not_empty,
        *listed,
        *([partial(code.min_characters, limit=settings.min_characters)] if "min_characters" in fixed else []),
        partial(code.max_line_length, limit=settings.max_line_length),
        partial(code.avg_line_length, limit=settings.avg_line_length),
        partial(code.min_alnum_prop, limit=settings.min_alnum_prop),
        Batched(partial(count_tokens, tokenizer=resolve_tokenizer(settings.code_tokenizer))),
        partial(code.min_alpha_per_token, limit=settings.min_alpha_per_token),
    ]
    reader = partial(read_bigquery, max_record_bytes=settings.max_record_bytes)
    return [
        clean_stage("clean", reader=reader, steps=select, key=told_apart_by, run=run),
        dedup_stage("dedup", reads="clean"),
        copies_stage("copies", reads="clean", verdicts="dedup"),
        publish_stored_stage("publish", reads="clean", verdicts="dedup", copies="copies", steps=quality, run=run),
    ]


SLICE = Slice(
    name="github",
    summary="files of permissively licensed repositories (BigQuery export)",
    revision=2,
    patterns=("github_*.gz", "github_*.jsonl.zst", "github_*.jsonl"),
    settings=GithubSettings,
    stages=stages,
)
