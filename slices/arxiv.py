"""ArXiv: the LaTeX sources of papers, from arXiv's bulk tars.

Input: ``arXiv_src_YYMM_NNN.tar``. Published recipe: data_prep/arxiv of togethercomputer/RedPajama-Data (branch rp_v1),
with what hung on chance there fixed: papers in the order of their names, times in UTC.

    read ─► decode ─► collect macros ─► headers, comments, appendix ─► expand macros ─► language ─► published
"""

from __future__ import annotations

from functools import partial

from pydantic import Field

from filters import language, latex, latex_macros
from redpajama_data.config import Size, SliceSettings
from redpajama_data.document import Document, Reader
from redpajama_data.fingerprint import ModelFile
from redpajama_data.models import resolve
from redpajama_data.pipeline import Numbered, Steps, publish, read_records, through
from redpajama_data.stages import RunSettings, Slice, Stage, Work, per_file
from redpajama_data.storage import RawFile
from redpajama_data.tasks import TaskContext
from slices.arxiv_reader import read_arxiv_tar


class ArxivSettings(SliceSettings):
    """Settings of the arXiv slice; the recipe has no threshold, the bounds are against hostile archives."""

    lid: str = Field("lid.176.ftz", description="name or path of the language model; published: lid.176.bin")
    max_gz_bytes: Size = Field(256 << 20, gt=0, description="largest paper, compressed")
    max_paper_bytes: Size = Field(1 << 30, gt=0, description="largest paper, unpacked, figures and all")
    max_tex_bytes: Size = Field(64 << 20, gt=0, description="largest sum of a paper's .tex files")
    max_files: int = Field(20_000, gt=0, description="most members of a paper's archive")
    max_inserted_chars: Size = Field(16 << 20, gt=0, description="most characters that macros may add to a paper")


def publish_papers(
    context: TaskContext, *, path: str, reader: Reader, steps: Steps, max_malformed: float, tokenizer: ModelFile
) -> None:
    """Work of one bulk tar: as :func:`redpajama_data.pipeline.publish_work`, but no two papers are held as sources."""
    papers = _one_by_one(context, read_records(context, path, reader, max_malformed, sources_of), steps)
    publish(context, papers, tokenizer)


def _one_by_one(context: TaskContext, papers: Numbered, steps: Steps) -> Numbered:
    # A paper's sources may be 64 MB, and its text is still empty: a batch of 256 would be taken for a small one.
    for paper in papers:
        yield from through(context, iter([paper]), steps, sources_of)


def sources_of(paper: Document) -> bytes:
    """What a paper has in place of a text until the sources are joined."""
    return b"".join(paper.work["sources"])


def stages(settings: ArxivSettings, run: RunSettings) -> list[Stage]:
    """The slice's one stage: the recipe, read from top to bottom."""
    clean: Steps = [
        latex.strict_utf8,
        latex_macros.collect_macros,
        latex.start_at_first_header,
        latex.remove_comment_lines,
        latex.remove_inline_comments,
        latex.cut_at_appendix,
        latex_macros.ascii_macros,
        partial(latex_macros.expand_macros, max_inserted_chars=settings.max_inserted_chars),
        latex.join_sources,
        latex.not_empty,
        partial(language.record_language, model=resolve(settings.lid), line=language.arxiv_line),
    ]
    reader = partial(
        read_arxiv_tar,
        max_gz_bytes=settings.max_gz_bytes,
        max_paper_bytes=settings.max_paper_bytes,
        max_tex_bytes=settings.max_tex_bytes,
        max_files=settings.max_files,
    )

    def work(raw: RawFile) -> Work:
        return partial(
            publish_papers,
            path=raw.path,
            reader=reader,
            steps=clean,
            max_malformed=run.max_malformed,
            tokenizer=run.tokenizer,
        )

    return [per_file("publish", work)]


SLICE = Slice(
    name="arxiv",
    summary="LaTeX sources of papers (arXiv's bulk tars)",
    revision=1,
    patterns=("*.tar",),
    settings=ArxivSettings,
    stages=stages,
)
