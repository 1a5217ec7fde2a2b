"""The jobs over the shards of every slice, one module each; loaded when asked for."""

from __future__ import annotations

import importlib

from redpajama_data.engine.stages import Job
from redpajama_data.errors import UsageError

NAMES = (
    "exact",
    "fuzzy",
    "quality_score",
    "quality_filter",
    "filter",
    "mask",
    "signals",
    "overlap",
    "decontaminate",
    "tokenize",
    "redpajama_v2",
    "embed",
    "index",
)


def load(name: str) -> Job:
    """The job of that name. Raises :class:`UsageError` that lists the names when there is none."""
    if name not in NAMES:
        raise UsageError(f"no job is called {name!r}. There are {', '.join(NAMES)}.")
    job = importlib.import_module(f"slices.jobs.{name}").JOB
    assert isinstance(job, Job)
    return job
