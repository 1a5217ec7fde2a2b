"""ArXiv: the LaTeX sources of papers, from arXiv's bulk tars.

Input: ``arXiv_src_YYMM_NNN.tar``. Published recipe: data_prep/arxiv of togethercomputer/RedPajama-Data (branch rp_v1),
with what hung on chance there fixed: papers in the order of their names, times in UTC.

    read ─► decode ─► collect macros ─► headers, comments, appendix ─► expand macros ─► language ─► published
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field

from filters import (
    language,
    latex,
    latex_definitions,
    latex_document,
    latex_encoding,
    latex_macros,
    latex_marks,
    latex_sections,
)
from redpajama_data.config import Names, Size, SliceSettings
from redpajama_data.document import Document
from redpajama_data.engine.stages import RunSettings, Slice, Stage
from redpajama_data.pipeline.stages import publish_stage
from redpajama_data.pipeline.work import Steps
from slices.readers.arxiv_reader import read_arxiv_tar
from slices.readers.arxiv_sources import may_be_tex
from slices.repairs import SETTING, chosen_from


class ArxivSettings(SliceSettings):
    """Settings of the arXiv slice; the recipe has no threshold, the bounds are against hostile archives. Those of the
    repairs count only where the repair is chosen."""

    repairs: Annotated[Names, chosen_from("arxiv")] = Field((), description=SETTING)
    lid: str = Field("lid.176.ftz", description="name or path of the language model; published: lid.176.bin")
    max_gz_bytes: Size = Field(256 << 20, gt=0, description="largest paper, compressed")
    max_paper_bytes: Size = Field(1 << 30, gt=0, description="largest paper, unpacked, figures and all")
    max_tex_bytes: Size = Field(64 << 20, gt=0, description="largest sum of a paper's .tex files")
    max_files: int = Field(20_000, gt=0, description="most members of a paper's archive")
    max_inserted_chars: Size = Field(16 << 20, gt=0, description="most characters that macros may add to a paper")
    max_document_chars: Size = Field(64 << 20, gt=0, description="assemble_document: most characters of a paper")
    keep_abstract: bool = Field(
        False, description="any_header: keep title and abstract; LLaMA drops all before the first section"
    )
    keep_appendix: bool = Field(
        False, description="bibliography_as_block: keep appendices; the published scripts cut there, LLaMA does not"
    )
    min_main_share: float = Field(
        0.2, ge=0, le=1, description="bibliography_as_block: share of a paper before an appendix that ends it"
    )


def sources_of(paper: Document) -> bytes:
    """What a paper has in place of a text until the sources are joined."""
    return b"".join(paper.work["sources"])


def stages(settings: ArxivSettings, run: RunSettings) -> list[Stage]:
    """The slice's one stage: the recipe, read from top to bottom."""
    fixed = settings.repairs
    decode: Steps = [latex_encoding.any_encoding if "any_encoding" in fixed else latex.strict_utf8]
    first_header = partial(latex_sections.any_header, keep_abstract=settings.keep_abstract)
    headers: Steps = [first_header if "any_header" in fixed else latex.start_at_first_header]
    comments: Steps = [latex.remove_comment_lines, latex.remove_inline_comments]
    if "remove_comments" in fixed:  # before all else: what a comment says defines nothing and begins nothing
        decode, comments = [*decode, latex_marks.remove_comments], []
    if "assemble_document" in fixed:
        put_together = partial(latex_document.assemble_document, max_chars=settings.max_document_chars)
        decode = [*decode, put_together]
    collect: Steps = [latex_macros.collect_macros]
    expand: Steps = [
        latex_macros.ascii_macros,
        partial(latex_macros.expand_macros, max_inserted_chars=settings.max_inserted_chars),
    ]
    if "expand_definitions" in fixed:
        collect = [latex_definitions.collect_definitions]
        expand = [partial(latex_definitions.expand_definitions, max_inserted_chars=settings.max_inserted_chars)]
    block = partial(
        latex_sections.bibliography_as_block,
        keep_appendix=settings.keep_appendix,
        min_main_share=settings.min_main_share,
    )
    clean: Steps = [
        *decode,
        *collect,
        *headers,
        *comments,
        block if "bibliography_as_block" in fixed else latex.cut_at_appendix,
        *expand,
        *([latex_sections.no_leftovers] if "no_leftovers" in fixed else []),
        latex.join_sources,
        latex_sections.not_blank if "not_blank" in fixed else latex.not_empty,
        partial(language.record_language, model=language.resolve_lid(settings.lid), line=language.arxiv_line),
    ]
    reader = partial(
        read_arxiv_tar,
        max_gz_bytes=settings.max_gz_bytes,
        max_paper_bytes=settings.max_paper_bytes,
        max_tex_bytes=settings.max_tex_bytes,
        max_files=settings.max_files,
    )
    if "assemble_document" in fixed:
        reader = partial(reader, wanted=may_be_tex)
    return [publish_stage("publish", reader=reader, steps=clean, run=run, text_of=sources_of)]


SLICE = Slice(
    name="arxiv",
    summary="LaTeX sources of papers (arXiv's bulk tars)",
    revision=2,
    patterns=("*.tar", "*.tar.gz", "*.tgz"),  # packed ones are named, not read
    settings=ArxivSettings,
    stages=stages,
)
