"""Books: which raw files make a task, in which order, and the ids that the published scripts give to the books."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from filters import books
from redpajama_data.document import Drop
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.task_names import task_names
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io.storage import without_query
from slices.readers import books_reader, gutenberg

COLLECTIONS = ("pg19", "books3", "gutenberg")
GUTENBERG_FILES = 500  # text files a task: 75,000 of them are 150 tasks of about 200 MB

_TEXT_ENDINGS = tuple({re.sub(r"^\*(\[0-9\])?", "", pattern).lower() for pattern in gutenberg.PATTERNS})

Shelf = tuple[str, ...]
"""The raw files of one task: one of JSON lines, or up to 500 of Gutenberg."""


def is_gutenberg(path: str) -> bool:
    """True for a text file, also compressed or in a zip archive: one book."""
    return without_query(path).lower().endswith(_TEXT_ENDINGS)


def shelves(paths: Iterable[str]) -> list[Shelf]:
    """The raw files of each task, in output order: each published file, then the Gutenberg files by 500.

    Raises :class:`UsageError` when a file is neither.
    """
    published: list[str] = []
    texts: list[str] = []
    for path in paths:
        (texts if is_gutenberg(path) else published).append(path)
    try:
        published.sort(key=books_reader.input_order)
    except BrokenInput as error:
        raise UsageError(error.message) from error
    texts.sort()
    groups = [tuple(texts[at : at + GUTENBERG_FILES]) for at in range(0, len(texts), GUTENBERG_FILES)]
    return [*((path,) for path in published), *groups]


def shelf_names(places: Sequence[Shelf]) -> list[str]:
    """The names of the tasks of shelves. They sort as the shelves do: each begins with the number of its split."""
    splits = [
        len(books.SPLITS) if is_gutenberg(shelf[0]) else books.SPLITS.index(books_reader.split_of(shelf[0]))
        for shelf in places
    ]
    names = task_names(shelf[0] for shelf in places)
    return [f"{split + 1}-{name}" for split, name in zip(splits, names, strict=True)]


def raw_id(shelf: Shelf, n: int) -> str:
    """The id of a task's book number n: its line, or the place of its file."""
    return f"{shelf[n]}#0" if is_gutenberg(shelf[0]) else f"{shelf[0]}#{n}"


@dataclass(frozen=True)
class Numbering:
    """Books of a published chunk, and how many chunks of pg19-train and of books3-train were read."""

    chunk_lines: int
    pg19_chunks: int
    books3_chunks: int


@dataclass(frozen=True)
class Ids:
    """The ids of one task's books: number n has ``first + n``. ``split`` None: Gutenberg, or ids of our own; none of
    those is lost."""

    split: books.Split | None
    first: int
    numbering: Numbering

    @property
    def collection(self) -> str:
        """``pg19``, ``books3`` or ``gutenberg``; in this order when two have the same id."""
        return "gutenberg" if self.split is None else books.collection_of(self.split)

    def lost(self, n: int) -> Drop | None:
        """Why the published scripts never read book number n; None when they did."""
        if self.split is None:
            return None
        lines, book_id = self.numbering.chunk_lines, self.first + n
        lost = books.lost_by_pg19_overwrite(self.split, book_id, limit=lines * self.numbering.pg19_chunks)
        return lost or books.beyond_published_chunks(self.split, book_id, limit=lines * self.numbering.books3_chunks)


def published_ids(receipts: Sequence[Receipt], places: Sequence[Shelf], numbering: Numbering) -> list[Ids]:
    """The ids of the books of each task, from ``notes["lines"]`` and the rank of its receipt.

    Those of Gutenberg files, which the published scripts do not know, run on behind the highest of the others.
    """
    lines = [cast(int, receipt.notes["lines"]) for receipt in receipts]
    paths = [places[receipt.rank][0] for receipt in receipts]
    files = [(books_reader.split_of(path), n) for path, n in zip(paths, lines, strict=True) if not is_gutenberg(path)]
    tail = numbering.pg19_chunks
    firsts = books.published_first_ids(files, chunk_lines=numbering.chunk_lines, tail_chunk=tail)
    ids = [Ids(split, first, numbering) for (split, _), first in zip(files, firsts, strict=True)]
    following = max((first + n for (_, n), first in zip(files, firsts, strict=True)), default=0)
    for n in lines[len(files) :]:  # these tasks come last
        ids.append(Ids(None, following, numbering))
        following += n
    return ids


def own_ids(receipts: Sequence[Receipt], places: Sequence[Shelf], order: Sequence[str]) -> list[Ids]:
    """Ids in one space, by ``order`` of the collections, then in the order of reading; no book is lost. The repair of
    :func:`published_ids`."""
    lines = [cast(int, receipt.notes["lines"]) for receipt in receipts]
    kinds = [collection_of(places[receipt.rank]) for receipt in receipts]
    firsts = [0] * len(lines)
    following = 0
    for task in sorted(range(len(lines)), key=lambda task: (order.index(kinds[task]), task)):
        firsts[task] = following
        following += lines[task]
    return [Ids(None, first, Numbering(0, 0, 0)) for first in firsts]


def collection_of(shelf: Shelf) -> str:
    """``pg19``, ``books3`` or ``gutenberg``."""
    return "gutenberg" if is_gutenberg(shelf[0]) else books.collection_of(books_reader.split_of(shelf[0]))
