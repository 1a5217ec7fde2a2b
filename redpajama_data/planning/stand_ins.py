"""Models that a plan can do with when those of the configuration are not here: small ones, for the time they take."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from redpajama_data.config import SliceSettings
from redpajama_data.engine.stages import RunSettings, Slice
from redpajama_data.errors import MissingModel

Settings = TypeVar("Settings", bound=SliceSettings)


def with_stand_ins(
    part: Slice, settings: Settings, common: RunSettings, stand_ins: Mapping[str, Any], *, every: bool = False
) -> tuple[Settings, list[str]]:
    """The settings of a slice with as few models replaced as it takes for its stages to be built, and their names; with
    ``every`` all that it has. Nothing is fetched for that: CCNet's models are gigabytes.

    Raises :class:`MissingModel` when it cannot be built all the same.
    """
    known = [name for name in stand_ins if name in type(settings).model_fields]
    missing: MissingModel | None = None
    for number in range(len(known) if every else 0, len(known) + 1):
        for names in itertools.combinations(known, number):
            tried = settings.model_copy(update={name: stand_ins[name] for name in names})
            try:
                with contextlib.nullcontext() if names == tuple(known) else _nothing_fetched():
                    part.stages(tried, common)
            except MissingModel as error:
                missing = missing or error
            else:
                return tried, list(names)
    assert missing is not None
    raise missing


@contextlib.contextmanager
def _nothing_fetched() -> Iterator[None]:
    before = os.environ.get("RPJ_OFFLINE")
    os.environ["RPJ_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["RPJ_OFFLINE"]
        else:
            os.environ["RPJ_OFFLINE"] = before
