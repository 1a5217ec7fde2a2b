"""An export of a map: the page, texts beside it where it would grow too large, and a table for other programs."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from redpajama_data.document import Reader
from redpajama_data.errors import UsageError
from redpajama_data.explorer import documents, page, points, table
from redpajama_data.explorer.documents import Card
from redpajama_data.explorer.layer import Layer, layer
from redpajama_data.explorer.page import Columns
from redpajama_data.explorer.text_file import INDEX, TEXTS, TextWriter
from redpajama_data.io import storage
from redpajama_data.io.writing import whole_file

PAGE = "explorer.html"
EMBEDDED = 20_000  # documents up to which the page holds their texts; with more it takes seconds to open
_CHARACTERS = 1_500  # of a text in the page: 20,000 of them are 8 MB packed
_CHARACTERS_BESIDE = 6_000  # of a text beside it
_OURS = b'<meta name="generator" content="rpj explore">'


@dataclass
class Exported:
    """What an export wrote: paths with their bytes; how many documents, of how many; dropped ones beside them, of how
    many; whether texts lie beside the page."""

    page: str
    files: dict[str, int] = field(default_factory=dict)
    documents: int = 0
    of: int = 0
    dropped: int = 0
    dropped_of: int = 0
    beside: bool = False


def export(
    root: str,
    to: str,
    *,
    parquet: str | None = None,
    embedded: int = EMBEDDED,
    workers: int = 1,
    dropped: int = 0,
    readers: Mapping[str, Reader] | None = None,
) -> Exported:
    """Write the page of a root's map into a folder, and, if asked, its table; with so many ``dropped`` documents, whose
    raw files ``readers`` read.

    Raises :class:`UsageError` when there is no map, or a page of somebody else lies where this one goes.
    """
    if parquet is not None:
        table.library()
    of = points.load(root)
    made = Exported(storage.join(to, PAGE), documents=len(of), of=sum(of.of.values()), beside=len(of) > embedded)
    refuse_other_page(made.page)
    left, whole = layer(root, of, readers or {}, dropped) if dropped else (Layer(), of)
    made.dropped, made.dropped_of = len(left.dropped), left.of
    columns = Columns()
    texts: list[dict[str, str]] | None = None if made.beside else []
    characters = _CHARACTERS_BESIDE if made.beside else _CHARACTERS
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(table.writing(parquet, whole)) if parquet is not None else None
        writer = stack.enter_context(_beside(to, made)) if made.beside else None
        every = documents.cards(root, of, characters=characters, workers=workers)
        for card in itertools.chain(every, left.cards(characters)):
            if left.dropped and not card.verdict:
                card.verdict = "published"
            columns.add(card)
            if rows is not None:
                rows.add(card)
            if texts is not None:
                texts.append({"text": card.text, "meta": card.meta})
            if writer is not None:
                writer.add({"text": card.text, "meta": card.meta, "card": _searched(card)})
    data = page.render(whole, columns, texts, root=root, title=f"Documents of {root}", dropped_of=left.of)
    storage.write_bytes(made.page, data)
    made.files[made.page] = len(data)
    if not made.beside:
        for name in (TEXTS, INDEX):  # of a larger map before it
            storage.remove(storage.join(to, name))
    return made


def refuse_other_page(path: str) -> None:
    """Raise :class:`UsageError` when a file of this name is there that no export wrote."""
    there = storage.read_bytes(path)
    if there is not None and _OURS not in there[:1000]:
        raise UsageError(f"{path} is there, and rpj explore did not write it. Move it away, or give another --export.")


@contextlib.contextmanager
def _beside(to: str, made: Exported) -> Iterator[TextWriter]:
    path, index_path = (storage.join(to, name) for name in (TEXTS, INDEX))
    with whole_file(path) as file:
        writer = TextWriter(cast(Any, file))
        yield writer
        index = writer.end()
    storage.write_bytes(index_path, index)
    made.files |= {path: file.bytes, index_path: len(index)}


def _searched(card: Card) -> str:
    return f"{card.title}\n{card.url}"
