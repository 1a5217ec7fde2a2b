"""The page: one HTML file with everything in it, which opens from disk and asks for nothing.

Texts of documents never become markup: data is packed, and the scripts set it as text only. A content security policy
lets no script run but the page's own, by its hash.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import importlib.resources
import re
import shlex
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.explorer.basis import Basis
from redpajama_data.explorer.documents import Card
from redpajama_data.explorer.points import AXES, Map
from redpajama_data.explorer.sparse import Floats
from redpajama_data.io.shards import to_json

KINDS = ("slice", "language", "licence", "verdict", "layer")  # columns of words; the cluster is one more
_NUMBERS = 48  # fields that can be a colour: those that most documents have; the job signals gives 26 and more
_FEW = 0.01  # a field of a smaller share of the documents is none
_MOST_KINDS = 2_000  # languages or licences told apart; a field of more is no such thing
_FULL = 65_535
_LEVEL = 6  # of gzip: 9 takes three times as long for 2 %


@dataclass
class Columns:
    """What the page holds of its documents, column by column; :meth:`add` takes them in the order of the map."""

    cards: list[dict[str, Any]] = field(default_factory=list)
    names: dict[str, dict[str, int]] = field(default_factory=lambda: {name: {} for name in KINDS})
    kinds: dict[str, array[int]] = field(default_factory=lambda: {name: array("H") for name in KINDS})
    numbers: dict[str, tuple[array[int], array[float]]] = field(default_factory=dict)

    def add(self, card: Card) -> None:
        """One more document."""
        row = len(self.cards)
        for name, values in self.kinds.items():
            known = self.names[name]
            value = getattr(card, name)
            if len(known) >= _MOST_KINDS and value not in known:
                value = "other"
            values.append(known.setdefault(value, len(known)))
        for name, number in card.numbers.items():
            rows, numbers = self.numbers.setdefault(name, (array("I"), array("d")))
            rows.append(row)
            numbers.append(number)
        shown = {"title": card.title, "id": card.id, "url": card.url, "source": card.source, "shard": card.shard}
        lists = {"verdicts": card.verdicts, "copies": card.copies}
        self.cards.append({**shown, "line": card.line, **{name: held for name, held in lists.items() if held}})

    def chosen_numbers(self) -> list[str]:
        """The fields that are shown: ``characters``, then those of most documents that are not all alike."""
        sizes = Counter({name: len(rows) for name, (rows, _) in self.numbers.items()})
        varied = [
            name
            for name, size in sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))
            if size >= max(2, _FEW * len(self.cards)) and len(set(self.numbers[name][1][:1000])) > 1
        ]
        return sorted(varied[:_NUMBERS], key=lambda name: name != "characters")


def render(
    of: Map,
    columns: Columns,
    texts: Iterable[dict[str, str]] | None,
    *,
    root: str,
    title: str,
    dropped_of: int = 0,
) -> bytes:
    """The page. ``texts`` are ``{"text", "meta"}`` of each document; None: they lie beside the page. Those of the layer
    ``dropped`` are some of ``dropped_of``."""
    numbers = columns.chosen_numbers()
    places = quantised(of)
    kinds: dict[str, npt.NDArray[Any]] = {name: np.frombuffer(columns.kinds[name], "<u2") for name in KINDS}
    kinds["cluster"] = of.points["cluster"]
    about = {
        "rows": len(of),
        "documents": int((kinds["layer"] == columns.names["layer"].get("published", 0)).sum()),
        "dropped_of": dropped_of,
        "model": of.model,
        "of": sum(of.of.values()),
        "root": shlex.quote(root),
        "axes": ["map x", "map y", *(f"component {i}" for i in range(1, AXES + 1))],
        "dimensions": of.vectors.shape[1],
        "kinds": {
            **{name: list(columns.names[name]) for name in KINDS},
            "cluster": [" ".join(cluster.words) or f"cluster {i + 1}" for i, cluster in enumerate(of.clusters)],
        },
        "numbers": numbers,
        "clusters": [
            {"words": cluster.words, "x": int(np.median(places[0][own])), "y": int(np.median(places[1][own]))}
            for i, cluster in enumerate(of.clusters)
            for own in [kinds["cluster"] == i]
        ],
    }
    packed = [*places, *(kinds[name] for name in about["kinds"])]
    binary = b"".join(column.astype("<u2").tobytes() for column in packed)
    binary += b"".join(_column(columns, name, len(of)).tobytes() for name in numbers)
    largest = float(np.abs(of.vectors).max()) or 1.0
    sections = {
        "about": to_json(about),
        "columns": binary,
        "cards": to_json(columns.cards),
        "vectors": np.rint(of.vectors * (127 / largest)).astype("i1").tobytes(),
    }
    if of.words is not None:
        sections["words"] = packed_words(of.words, of.middle)
    if texts is not None:
        sections["texts"] = to_json(list(texts))
    style, script = read("style.css"), "".join(map(read, ("data.js", "query.js", "view.js", "main.js")))
    filled = {
        "title": html.escape(title),
        "policy": (
            f"default-src 'none'; img-src data:; connect-src 'self'; script-src {_hash(script)}; "
            f"style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
        ),
        "style": style,
        "script": script,
        "data": "".join(
            f'<script type="text/plain" id="{name}">{pack(data)}</script>\n' for name, data in sections.items()
        ),
    }
    page = re.sub(r"@(title|policy|style|script|data)@", lambda match: filled[match[1]], read("page.html"))
    return page.encode()


def packed_words(words: Basis, middle: Floats) -> bytes:
    """What the page makes the vector of a pasted text with: ``middle``, then of each word the step from the number
    before, the weight, the size of its axes, and those as numbers of one byte (f4; u4, f4, f4, i1)."""
    scales = np.abs(words.axes).max(axis=1, initial=0) / 127
    axes = np.rint(words.axes / np.where(scales == 0, 1, scales)[:, None])
    steps = np.diff(words.buckets.astype("<i8"), prepend=0)
    parts = (
        middle.astype("<f4"),
        steps.astype("<u4"),
        words.weights.astype("<f4"),
        scales.astype("<f4"),
        axes.astype("i1"),
    )
    return b"".join(part.tobytes() for part in parts)


def quantised(of: Map) -> list[npt.NDArray[np.uint16]]:
    """The axes of a map as numbers from 0 to 65,535: the two of the map to one scale, each component to its own."""
    both = np.stack([of.points["x"], of.points["y"]], axis=1).astype(np.float64)
    middle = (both.max(axis=0) + both.min(axis=0)) / 2
    half = float(np.abs(both - middle).max()) or 1.0
    found = [_whole((both[:, axis] - middle[axis]) / half) for axis in (0, 1)]
    for axis in range(AXES):
        values = of.points["axes"][:, axis].astype(np.float64)
        low, high = values.min(), values.max()
        found.append(_whole((2 * values - low - high) / ((high - low) or 1.0)))
    return found


def _whole(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    return np.rint((values + 1) / 2 * _FULL).astype(np.uint16)


def _column(columns: Columns, name: str, total: int) -> npt.NDArray[np.float32]:
    found = np.full(total, np.nan, "<f4")
    rows, numbers = columns.numbers[name]
    found[np.frombuffer(rows, "<u4")] = np.frombuffer(numbers, "<f8")
    return found


def pack(data: bytes) -> str:
    """Bytes as the page holds them: gzip, without a time in it, in base64."""
    return base64.b64encode(gzip.compress(data, _LEVEL, mtime=0)).decode()


def read(name: str) -> str:
    """A file of the viewer."""
    return (importlib.resources.files("redpajama_data.explorer") / "viewer" / name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
