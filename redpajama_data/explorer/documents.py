"""The documents of a map, read from their shards: what is shown of each beside its place."""

from __future__ import annotations

import multiprocessing
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import msgspec
import numpy as np

from redpajama_data.corpus.listing import slice_of
from redpajama_data.errors import NOT_JSON, BrokenInput
from redpajama_data.explorer import signals
from redpajama_data.explorer.points import Map
from redpajama_data.explorer.verdicts import kind_of, verdicts
from redpajama_data.io import root_paths, storage
from redpajama_data.io.lines import line_lists
from redpajama_data.io.root_paths import WITHIN
from redpajama_data.io.shards import MAX_LINE
from redpajama_data.release.find import origin
from redpajama_data.release.search import PublishedShard, ids_at, published_shards

TITLE = 80  # characters of a text that stand for a document without a title
_TITLES = ("title", "short_book_title", "path")  # fields of the meta, the first that is there
_INTEGER = re.compile("-?(?:0|[1-9][0-9]*)")
_LICENCES = ("license", "licence")


class _Line(msgspec.Struct, gc=False):
    text: str
    meta: msgspec.Raw = msgspec.Raw(b"{}")


_decode_line = msgspec.json.Decoder(_Line).decode


@dataclass(slots=True)
class Card:
    """A document as it is shown: the id of its raw record, shard and line (from 0), what its meta says of it, all
    numbers of the meta, quality signals, and the ``characters`` of the text, the meta as JSON, the beginning of the
    text, what jobs made of it, ids of those that left as copies of it, and whether it was published or dropped.
    """

    id: str
    shard: str
    line: int
    slice: str
    title: str
    url: str
    source: str
    language: str
    licence: str
    numbers: dict[str, float]
    meta: str
    text: str
    verdict: str = ""
    verdicts: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    layer: str = "published"


def cards(root: str, of: Map, *, characters: int, workers: int = 1) -> Iterator[Card]:
    """The documents of a map in its order, with so many characters of each text.

    Shards are read side by side, a few at a time. Raises :class:`BrokenInput` for a shard that is not what it was.
    """
    found = verdicts(root, of)
    for card, point in zip(_cards(root, of, characters, workers), of.points, strict=True):
        name = f"{of.shards[point['shard']]}#{point['line']}"
        own = found.of.get(name, [])
        card.verdict = kind_of(own) if found.jobs else ""
        card.verdicts = [f"{rule}: {said}" for rule, said in own]
        card.copies = found.copies.get(name, [])
        yield card


def _cards(root: str, of: Map, characters: int, workers: int) -> Iterator[Card]:
    known = {shard.out.path: shard for shard in published_shards(root)}
    measured = signals.files_of(root)
    order = np.flatnonzero(np.diff(of.points["shard"], prepend=-1))
    bounds = [*order.tolist(), len(of)]
    jobs = [
        (of.shards[int(of.points["shard"][first])], of.points["line"][first:end].tolist())
        for first, end in pairwise(bounds)
    ]
    if workers == 1 or len(jobs) == 1:
        for path, lines in jobs:
            yield from _read(root, path, lines, characters, known, measured.get(path))
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver"))
    waiting = iter(jobs)
    pending: deque[Future[list[Card]]] = deque()

    def start(path: str, lines: Sequence[int]) -> Future[list[Card]]:
        return pool.submit(_read, root, path, lines, characters, _behind(known, path), measured.get(path))

    try:
        for path, lines in islice(waiting, workers + 1):
            pending.append(start(path, lines))
        while pending:
            yield from pending.popleft().result()
            for path, lines in islice(waiting, 1):
                pending.append(start(path, lines))
    finally:
        pool.shutdown(cancel_futures=True)


def _behind(known: dict[str, PublishedShard], path: str) -> dict[str, PublishedShard]:
    """What is needed to find the raw records of a shard: of one that a slice published itself alone."""
    inside = path.removeprefix(WITHIN)
    own = known.get(inside)
    return {inside: own} if own is not None and own.ours else known


def _read(
    root: str,
    path: str,
    lines: Sequence[int],
    characters: int,
    known: dict[str, PublishedShard],
    measured: str | None,
) -> list[Card]:
    inside = path.removeprefix(WITHIN)
    ids = [f"{path}#{n}" for n in lines]
    if path.startswith(WITHIN) and inside in known:
        ids = [origin(root, known, doc_id) for doc_id in ids_at(root, known[inside], lines)]
    numbers = signals.signals_in(storage.join(root, measured), lines) if measured is not None else {}
    held = []
    for doc_id, n, line in zip(ids, lines, _lines(root_paths.locate(root, path), lines), strict=False):
        card = card_of(doc_id, inside, n, line, characters)
        card.numbers |= numbers.get(n, {})
        held.append(card)
    if len(held) != len(lines):
        raise BrokenInput(f"{path}: it has no line {lines[-1] + 1}. It has changed: run rpj explore again.")
    return held


def _lines(path: str, numbers: Sequence[int]) -> Iterator[bytes]:
    wanted, last, first = set(numbers), numbers[-1], 0
    for lines, _ in line_lists(path, max_bytes=MAX_LINE):
        for n, line in enumerate(lines, first):
            if n in wanted and isinstance(line, bytes):
                yield line
        first += len(lines)
        if first > last:
            return


def card_of(doc_id: str, shard: str, n: int, line: bytes, characters: int) -> Card:
    """What is shown of a record, by its line."""
    record = _decode_line(line)
    try:
        meta: Any = msgspec.json.decode(record.meta)
    except NOT_JSON:
        meta = None
    meta = meta if isinstance(meta, dict) else {}
    title = next((meta[key] for key in _TITLES if isinstance(meta.get(key), str) and meta[key]), None)
    return Card(
        doc_id,
        shard,
        n,
        slice_of(shard),
        title or " ".join(record.text[: 4 * TITLE].split())[:TITLE],
        _text(meta.get("url")),
        _text(meta.get("source")),
        language_of(meta.get("language")),
        next((meta[key] for key in _LICENCES if isinstance(meta.get(key), str)), ""),
        {"characters": float(len(record.text)), **_numbers(meta)},
        bytes(record.meta).decode(errors="replace"),
        record.text[:characters],
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def language_of(value: Any) -> str:
    """A language, or of a list as GitHub's (``[{"name", "bytes"}]``) the one with most bytes."""
    if isinstance(value, list):
        named = [one for one in value if isinstance(one, dict) and isinstance(one.get("name"), str)]
        best = max(named, key=lambda one: _number(one.get("bytes")) or 0, default=None)
        return str(best["name"]) if best else ""
    return _text(value)


def _numbers(meta: dict[str, Any]) -> dict[str, float]:
    found = {key: _number(value) for key, value in meta.items()}
    return {key: value for key, value in found.items() if value is not None}


def _number(value: Any) -> float | None:
    """A number, also one in a string of ten characters at most; None for anything else: dates have more digits, or
    dashes; what begins with a zero, as arXiv's months, is a name."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e30 else None
    if isinstance(value, str) and len(value) <= 10 and value.isascii() and _INTEGER.fullmatch(value):
        return float(value)
    return None
