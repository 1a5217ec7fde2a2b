"""A map as a Parquet table, for embedding-atlas and others that draw points: x, y, neighbours, and what is known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

from redpajama_data.explorer.documents import Card
from redpajama_data.explorer.points import Map
from redpajama_data.io.writing import whole_file
from redpajama_data.release.parquet import library

__all__ = ["library", "writing"]
_TOGETHER = 2_000  # rows of a row group
_LEVEL = 7
_SHOWN = ("id", "slice", "title", "url", "source", "language", "licence", "layer", "verdict", "meta", "text")


class Rows:
    """Takes the documents of a map in its order."""

    def __init__(self, of: Map, writer: Any, schema: Any, pa: Any) -> None:
        self._of, self._writer, self._schema, self._pa = of, writer, schema, pa
        self._held: list[dict[str, Any]] = []
        self._count = 0

    def add(self, card: Card) -> None:
        """One more document."""
        point = self._of.points[self._count]
        near = [int(i) for i in point["near"] if i >= 0]
        cosines = self._of.vectors[near] @ self._of.vectors[self._count] if near else []
        self._held.append(
            {
                **{name: getattr(card, name) for name in _SHOWN},
                "shard": card.shard,
                "line": card.line,
                "x": float(point["x"]),
                "y": float(point["y"]),
                "cluster": " ".join(self._of.clusters[int(point["cluster"])].words),
                "characters": card.numbers.get("characters"),  # none: of a long text that was dropped
                # as embedding-atlas has them: rows, and how far they are
                "neighbors": {"ids": near, "distances": [float(1 - cosine) for cosine in cosines]},
            }
        )
        self._count += 1
        if len(self._held) == _TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are held."""
        if self._held:
            self._writer.write_table(self._pa.Table.from_pylist(self._held, self._schema))
        self._held = []


@contextlib.contextmanager
def writing(path: str, of: Map) -> Iterator[Rows]:
    """A table at ``path``, whole when the block ends. Raises :class:`MissingModel` without pyarrow."""
    pa = library()
    text, whole, real = pa.string(), pa.int64(), pa.float32()
    near = pa.struct([("ids", pa.list_(whole)), ("distances", pa.list_(real))])
    schema = pa.schema(
        [
            *((name, text) for name in _SHOWN),
            ("shard", text),
            ("line", whole),
            ("x", real),
            ("y", real),
            ("cluster", text),
            ("characters", whole),
            ("neighbors", near),
        ]
    )
    with whole_file(path) as file:
        writer = pa.parquet.ParquetWriter(cast(Any, file), schema, compression="zstd", compression_level=_LEVEL)
        with writer:
            rows = Rows(of, writer, schema, pa)
            yield rows
            rows.flush()
