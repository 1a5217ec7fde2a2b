"""A filter written as data: records for which a condition over signals and meta is not true leave.

The language is :mod:`filters.where`; the signals are those of RedPajama-V2 that have one value a document and need no
list or model, computed on the way. Signals of lines (``rps_lines_*``) are left out.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from pydantic import Field

from filters.signals import CCNET_SIGNALS, LINES_MAX, VALUE_SIGNALS, max_lines, signal_values
from filters.where import Condition, read_condition, shown_values
from filters.where_syntax import EXAMPLE
from redpajama_data.config import SliceSettings
from redpajama_data.corpus.listing import PATTERNS, Record, pass_stage
from redpajama_data.document import Drop
from redpajama_data.engine.stages import Job, RunSettings, Stage
from redpajama_data.errors import UsageError


class FilterSettings(SliceSettings):
    """Settings of the filter."""

    where: str | None = Field(None, description="the condition that records must meet; it has no default")


@functools.lru_cache(maxsize=16)
def _fields_decoder(keys: tuple[str, ...]) -> Callable[[msgspec.Raw], Any] | None:
    """Decodes some fields of a meta: 720,000 of Common Crawl's a second, where all fields of it take four times as
    long. None for names that msgspec does not take (with quotes)."""
    try:
        wanted = msgspec.defstruct(
            "Fields", [(f"f{n}", Any, None) for n in range(len(keys))], rename={f"f{n}": k for n, k in enumerate(keys)}
        )
    except ValueError:
        return None
    return msgspec.json.Decoder(wanted).decode


def fields(record: Record, keys: tuple[str, ...]) -> dict[str, Any]:
    """Those fields of a record's meta; what is not there is None, and all is for a meta that cannot be read."""
    decode = _fields_decoder(keys)
    if decode is None:
        return record.meta()
    try:
        return dict(zip(keys, msgspec.structs.astuple(decode(record.raw_meta)), strict=True))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def measure(condition: Condition, record: Record) -> dict[str, Any]:
    """The value of each name in a condition for a record. No signal is computed that is not named; those of a text that
    is too long for them (2**28 characters, or more than :data:`~filters.signals.LINES_MAX` lines) are null."""
    meta = fields(record, condition.keys) if condition.keys else {}
    signals: dict[str, float | None] = {}
    if condition.signals and max_lines(record.text, limit=LINES_MAX) is None:
        of_meta = not condition.signals.isdisjoint(CCNET_SIGNALS)
        with contextlib.suppress(ValueError):
            signals = signal_values(record.text, record.meta() if of_meta else {}, condition.signals)
    return condition.values(record.text, meta, signals)


def where(records: list[Record], *, expression: str) -> list[Record | Drop]:
    """Records for which the condition is not true leave; the ledger has the values it saw."""
    condition = read_condition(expression, VALUE_SIGNALS)
    results: list[Record | Drop] = []
    for record in records:
        values = measure(condition, record)
        results.append(record if condition.holds(values) else Drop("where", shown_values(values), expression))
    return results


def stages(settings: FilterSettings, run: RunSettings) -> list[Stage]:
    """One task a shard. Raises :class:`UsageError` for a condition that cannot be read."""
    if settings.where is None:
        raise UsageError(f"filter needs a condition. Give --where '{EXAMPLE}'")
    read_condition(settings.where, VALUE_SIGNALS)
    return [pass_stage("filter", step=partial(where, expression=settings.where), run=run)]


JOB = Job(
    name="filter",
    summary="records for which a condition over signals and meta is not true leave",
    revision=2,
    patterns=PATTERNS,
    settings=FilterSettings,
    stages=stages,
)
