"""Dropped documents beside a map: a sample of what the slices dropped before they published, laid where it belongs.

A ledger has no text. It is read again from what stages set aside, or from the raw file; a record without a text has no
place. Each lies amid its nearest documents of the map, which stays as it is.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import xxhash

from redpajama_data.document import Reader
from redpajama_data.engine import receipts, tombstones
from redpajama_data.engine.slice_run import RunNote, slices_of
from redpajama_data.errors import UsageError
from redpajama_data.explorer.basis import vector_of
from redpajama_data.explorer.documents import TITLE, Card
from redpajama_data.explorer.layout import principal_axes
from redpajama_data.explorer.points import NEAR, POINT, Map
from redpajama_data.explorer.sparse import Floats
from redpajama_data.explorer.terms import terms_of, words_of
from redpajama_data.explorer.verdicts import said
from redpajama_data.io import storage
from redpajama_data.io.shards import read_jsonl
from redpajama_data.report_page.documents import drawn
from redpajama_data.report_page.texts import HEAD, RECORDS, Places, texts_of

LEDGERS, ENTRIES = 64, 20_000  # most ledgers of a stage, and entries of each, that are looked at
_AMID = 5  # documents of the map between which a dropped one lies
_ROWS = 64  # dropped documents that are held against all others at a time
_TRIED = 3  # records looked for, for each that is shown: some have no text any more


@dataclass(frozen=True)
class Dropped:
    """A record that left: its id, the slice, the rule, and what the ledger of its stage says."""

    id: str
    slice: str
    rule: str
    said: str


@dataclass
class Layer:
    """Dropped documents with their points, vectors and texts; ``of`` is how many were dropped in all."""

    dropped: list[Dropped] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    of: int = 0

    def cards(self, characters: int) -> Iterator[Card]:
        """What is shown of each."""
        for record, text in zip(self.dropped, self.texts, strict=True):
            title = " ".join(text[: 4 * TITLE].split())[:TITLE]
            yield Card(
                record.id,
                "",
                0,
                record.slice,
                title,
                "",
                "",
                "",
                "",
                {"characters": float(len(text))} if len(text) < HEAD else {},
                "",
                text[:characters],
                f"dropped: {record.rule}",
                [record.said],
                layer="dropped",
            )


def layer(root: str, of: Map, readers: Mapping[str, Reader], count: int) -> tuple[Layer, Map]:
    """At most ``count`` dropped documents of the slices of a map, of each rule as many as of the next; and the map with
    them behind its own. ``readers`` read the raw files of slices whose records have a text at once.

    Raises :class:`UsageError` for a map whose vectors a model gave, :class:`BrokenInput` for a damaged ledger.
    """
    if of.words is None:
        raise UsageError("--dropped needs a map by words: no model is asked for other texts. Leave --model out.")
    found, total = _sample(root, set(of.of), _TRIED * count)
    texts = texts_of(_places(root, readers), [record.id for record in found])
    gone = tombstones.of(tombstones.load(root))
    held = Layer(of=total)
    vectors = []
    for record in _in_turn([one for one in found if one.id in texts]):
        text = texts[record.id]
        if len(held.texts) == count:
            break
        if not text.strip() or gone.of_text(text) or gone.of_record(record.id):
            continue
        held.dropped.append(record)
        held.texts.append(text)
        vectors.append(vector_of(terms_of(words_of(text)), of.words, of.middle))
    return held, _beside(of, np.stack(vectors)) if vectors else of


def _sample(root: str, slices: set[str], count: int) -> tuple[list[Dropped], int]:
    """Records that left, of each rule those with the smallest hashes, and how many left in all."""
    heaps: dict[tuple[str, str], list[tuple[int, str, Dropped]]] = {}
    total = 0
    for note in _notes(root, slices):
        stages: dict[str, list[str]] = {}
        for receipt in receipts.load_all(root, note.slice):
            total += sum(number for rule, number in receipt.dropped.items() if rule != tombstones.RULE)
            if "drops" in receipt.outputs:
                stages.setdefault(receipt.stage, []).append(receipt.outputs["drops"].path)
        for stage, path in ((stage, path) for stage, paths in stages.items() for path in drawn(paths)[:LEDGERS]):
            for entry in itertools.islice(read_jsonl(storage.join(root, path)), ENTRIES):
                number = entry["id"].rpartition("#")[2]
                if entry["rule"] == tombstones.RULE or not number.isdecimal() or int(number) >= RECORDS:
                    continue
                heap = heaps.setdefault((note.slice, entry["rule"]), [])
                rank = -xxhash.xxh3_64_intdigest(entry["id"].encode())
                record = Dropped(entry["id"], note.slice, entry["rule"], f"{stage}: {entry['rule']}: {said(entry)}")
                (heapq.heappush if len(heap) < count else heapq.heappushpop)(heap, (rank, record.id, record))
    chosen = [[item[-1] for item in sorted(heap, key=lambda item: -item[0])] for _, heap in sorted(heaps.items())]
    rows = itertools.zip_longest(*chosen)
    return [record for row in rows for record in row if record is not None][:count], total


def _in_turn(found: list[Dropped]) -> list[Dropped]:
    """Records such that of each rule the first come before any second."""
    seen: Counter[tuple[str, str]] = Counter()
    ranked = []
    for record in found:
        ranked.append((seen[record.slice, record.rule], record))
        seen[record.slice, record.rule] += 1
    return [record for _, record in sorted(ranked, key=lambda pair: pair[0])]


def _notes(root: str, slices: set[str]) -> list[RunNote]:
    return [note for note in slices_of(root) if note.kind == "slice" and note.slice in slices]


def _places(root: str, readers: Mapping[str, Reader]) -> Places:
    places = Places(root, readers)
    for note in slices_of(root):
        places.base[note.slice] = note.base
        for receipt in receipts.load_all(root, note.slice):
            places.add(receipt)
    return places


def _beside(of: Map, vectors: Floats) -> Map:
    """The map with points for these vectors behind its own: each amid those of its nearest documents that are in one
    cluster with the nearest."""
    points = np.zeros(len(vectors), POINT)
    points["near"] = -1
    for first in range(0, len(vectors), _ROWS):
        some = slice(first, first + _ROWS)
        cosines = vectors[some] @ of.vectors.T
        near = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAR]
        points["near"][some, : near.shape[1]] = near
        amid = near[:, :_AMID]
        own = of.points["cluster"][amid]
        weights = np.where(own == own[:, :1], np.maximum(np.take_along_axis(cosines, amid, 1), 1e-6), 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
        for name in ("x", "y"):
            points[name][some] = (of.points[name][amid] * weights).sum(axis=1)
        points["cluster"][some] = own[:, 0]
    middle, axes = principal_axes(of.vectors, points["axes"].shape[1])
    points["axes"][:, : axes.shape[1]] = (vectors - middle) @ axes
    return replace(of, points=np.concatenate([of.points, points]), vectors=np.concatenate([of.vectors, vectors]))
