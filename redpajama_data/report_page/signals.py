"""The quality signals of a root, as histograms: those that are one number a document."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.io import storage
from redpajama_data.io.shards import read_jsonl
from redpajama_data.report_page.documents import DOCUMENTS, SHARDS, drawn
from redpajama_data.report_page.histogram import Histogram, Series, histogram


def signals_of(root: str, every: Sequence[Receipt]) -> list[Histogram]:
    """A histogram of each signal of a document that the job signals gave, by name; empty when it did not run.

    Of many files the first rows of :data:`SHARDS` of them are read. Raises :class:`BrokenInput` for a damaged one.
    """
    files: list[Output] = [receipt.outputs["signals"] for receipt in every if "signals" in receipt.outputs]
    of = sum(out.records for out in files)
    chosen = drawn([out.path for out in files])[: None if of <= DOCUMENTS else SHARDS]
    values: dict[str, list[float]] = {}
    read = 0
    for place, path in enumerate(chosen):
        share = (DOCUMENTS - read) // (len(chosen) - place)
        for row in itertools.islice(read_jsonl(storage.join(root, path)), share if of > DOCUMENTS else None):
            read += 1
            for name, value in _numbers(row.get("quality_signals")):
                values.setdefault(name, []).append(value)
    found = (histogram(name, [Series("kept", values[name], of / read)]) for name in sorted(values))
    return [each for each in found if each is not None]


def _numbers(signals: Any) -> list[tuple[str, float]]:
    """The signals of a document: name and number. One of lines, or without a number, is passed over."""
    given = msgspec.json.decode(signals) if isinstance(signals, str) else signals
    return [
        (name, float(spans[0][2]))
        for name, spans in given.items()
        if not name.startswith("rps_lines_") and len(spans) == 1 and isinstance(spans[0][2], int | float)
    ]
