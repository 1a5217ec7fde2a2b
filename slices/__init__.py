"""The seven slices, in the order of the published table, and those beside them that are run only by name. One module
each; loaded when asked for."""

from __future__ import annotations

import importlib

from redpajama_data.engine.stages import Slice
from redpajama_data.errors import UsageError

NAMES = ("common_crawl", "c4", "github", "books", "arxiv", "wikipedia", "stackexchange")
BESIDE = ("common_crawl_v2", "instruct")


def load(name: str) -> Slice:
    """The slice of that name. Raises :class:`UsageError` that lists the names when there is none."""
    if name not in (*NAMES, *BESIDE):
        raise UsageError(f"no slice is called {name!r}. The slices are {', '.join((*NAMES, *BESIDE))}.")
    part = importlib.import_module(f"slices.{name}").SLICE
    assert isinstance(part, Slice)
    return part
