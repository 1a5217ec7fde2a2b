"""The jobs over the shards of every slice, one module each; loaded when asked for."""

from __future__ import annotations

import importlib

from redpajama_data.errors import UsageError
from redpajama_data.stages import Slice

NAMES = ("exact", "fuzzy", "quality_score", "quality_filter", "filter", "signals", "overlap")


def load(name: str) -> Slice:
    """The job of that name. Raises :class:`UsageError` that lists the names when there is none."""
    if name not in NAMES:
        raise UsageError(f"no shared stage is called {name!r}. There are {', '.join(NAMES)}.")
    job = importlib.import_module(f"slices.shared.{name}").JOB
    assert isinstance(job, Slice)
    return job
