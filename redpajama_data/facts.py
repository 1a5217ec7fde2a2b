"""What a release and a report say of each slice: what it is, its terms, its settings, its repairs; and how the report
reads its raw records."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from redpajama_data.document import Reader
from redpajama_data.download.plan import Licence
from redpajama_data.engine.slice_run import ORDER
from redpajama_data.engine.stages import Slice
from redpajama_data.release.description import Facts
from slices import BESIDE, load
from slices.github import GithubSettings, read_bigquery
from slices.jobs import NAMES as JOBS
from slices.jobs import load as load_job
from slices.readers.wet import read_wet
from slices.repairs import repairs_of
from slices.sources import arxiv, books, c4, common_crawl, github, stackexchange, wikipedia

TERMS: Mapping[str, tuple[Licence, ...]] = {
    "common_crawl": (common_crawl.LICENCE,),
    "c4": tuple(c4.LICENCES),
    "github": (github.LICENCE,),
    "books": (books.APACHE, books.GUTENBERG),
    "arxiv": (arxiv.LICENCE,),
    "wikipedia": (wikipedia.LICENCE,),
    "stackexchange": (stackexchange.LICENCE,),
    "common_crawl_v2": (common_crawl.LICENCE,),
    "instruct": (
        Licence(
            "instruct",
            "https://huggingface.co/datasets/togethercomputer/RedPajama-Data-Instruct",
            "P3 and Natural Instructions: Apache-2.0; OIG: of each of its parts. `meta.license` of a record says it.",
        ),
    ),
}
READERS: Mapping[str, Reader] = {  # of slices whose raw records have a text before any step
    "common_crawl": read_wet,
    "github": partial(read_bigquery, max_record_bytes=GithubSettings.model_fields["max_record_bytes"].default),
}


def facts() -> dict[str, Facts]:
    """The facts of every slice, in the published order, and of every job."""
    return {
        **{name: _facts(load(name)) for name in (*ORDER, *BESIDE)},
        **{name: _facts(load_job(name)) for name in JOBS},
    }


def _facts(part: Slice) -> Facts:
    return Facts(
        summary=part.summary,
        terms=[(licence.name, licence.address, licence.text) for licence in TERMS.get(part.name, ())],
        settings={
            name: (field.description or "", field.get_default(call_default_factory=True))
            for name, field in part.settings.model_fields.items()
        },
        repairs=[(repair.name, repair.wrong) for repair in repairs_of(part.name)],
    )
