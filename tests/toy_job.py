"""A job over shards small enough to break on purpose. Workers import it by name."""

from __future__ import annotations

from functools import partial

from redpajama_data.config import SliceSettings
from redpajama_data.corpus.listing import Record, pass_stage, with_meta
from redpajama_data.document import Drop
from redpajama_data.engine.stages import Job, RunSettings, Stage


class ToyJobSettings(SliceSettings):
    """``min_length`` is the job's one threshold, characters."""

    min_length: int = 3


def min_length(batch: list[Record], *, limit: int) -> list[Record | Drop]:
    """Short texts go; of the others the length is added to the meta when the text begins with ``measure``."""
    return [
        Drop("min_length", len(record.text), limit)
        if len(record.text) < limit
        else with_meta(record, {"length": len(record.text)})
        if record.text.startswith("measure")
        else record
        for record in batch
    ]


def stages(settings: ToyJobSettings, run: RunSettings) -> list[Stage]:
    """One pass."""
    return [pass_stage("keep", step=partial(min_length, limit=settings.min_length), run=run)]


JOB = Job("toy_job", "for tests", 1, (), ToyJobSettings, stages)
