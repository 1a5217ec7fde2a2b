"""Where the raw files of each slice come from: what to list, sizes, hashes, licence, cost. One module a slice."""

from __future__ import annotations

import importlib

from redpajama_data.download.plan import Source
from redpajama_data.errors import UsageError

NAMES = ("common_crawl", "c4", "github", "books", "arxiv", "wikipedia", "stackexchange")
BESIDE = ("common_crawl_v2",)  # run and fetched only by name


def load(name: str) -> Source:
    """The source of the slice of that name. Raises :class:`UsageError` that lists the names when there is none."""
    if name not in (*NAMES, *BESIDE):
        raise UsageError(f"no slice is called {name!r}. The slices are {', '.join((*NAMES, *BESIDE))}.")
    source = importlib.import_module(f"slices.sources.{name}").SOURCE
    assert isinstance(source, Source)
    return source
