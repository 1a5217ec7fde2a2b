"""The records that travel through a run: a document, why one left, and the steps between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redpajama_data.errors import BrokenInput


@dataclass(slots=True)
class Document:
    """One document on its way through the steps.

    ``id`` is ``"<raw path>#<ordinal>"`` (0-based, counted over every record of the raw file, good or bad); it travels
    through every intermediate shard, so that the drop ledger can name the raw record. ``meta`` is the published
    metadata in its published key order. Whatever a step must hand to a later step but not publish goes into ``work``.
    """

    id: str
    text: str
    meta: dict[str, Any]
    work: dict[str, Any] = field(default_factory=dict)


class Drop(NamedTuple):
    """Why a document left: ``rule`` is the name of the function that decided."""

    rule: str
    measured: float | str | None = None
    limit: float | str | None = None


class Rejected(NamedTuple):
    """A raw record that never became a document: its id, as :class:`Document` would carry it, and the reason."""

    id: str
    drop: Drop


Step = Callable[[Document], Document | Drop]
"""A filter and a transform are one type: give the document back (changed or not), or say why it leaves."""

BatchStep = Callable[[list[Document]], list[Document | Drop]]
"""The same on a batch, for models that are faster on batches; the result has one entry per input, in order."""

Reader = Callable[[str], Iterator[Document | Rejected | BrokenInput]]
"""Reads one raw file (path or URL) as a stream. Yields every record once, in file order: a document or its rejection.
A damaged place after which reading goes on comes as a :class:`~redpajama_data.errors.BrokenInput` that is yielded (it
takes a record number of its own, as a rejection does); where the file cannot be read further it is raised. Errors that
may pass (:class:`~redpajama_data.errors.InputUnavailable`, MemoryError) are never caught by a reader."""


def run_steps(doc: Document, steps: Iterable[Step]) -> Document | Drop:
    """Apply ``steps`` in order; stop at the first drop and return it."""
    for step in steps:
        result = step(doc)
        if isinstance(result, Drop):
            return result
        doc = result
    return doc
