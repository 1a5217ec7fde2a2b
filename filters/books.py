"""Books: the numbers that the published near-duplicate step gives to books, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from redpajama_data.document import Drop

Split = Literal["pg19-train", "pg19-test", "pg19-validation", "books3-train"]
SPLITS: tuple[Split, ...] = ("pg19-train", "pg19-test", "pg19-validation", "books3-train")
"""The published order of reading and of the output."""


def collection_of(split: Split) -> str:
    """``"pg19"`` or ``"books3"``: each numbers its books on its own."""
    return split.split("-")[0]


def published_first_ids(files: Sequence[tuple[Split, int]], *, chunk_lines: int, tail_chunk: int) -> list[int]:
    """The published id of the first line of each file; ``files`` are (split, number of lines) in input order.

    As published: a book's id is 2000 x the number of its chunk + its line there, bad lines counted. For pg19-train and
    books3-train that is the running line number; pg19-test and, behind it, pg19-validation are always chunk 14 of pg19,
    however many chunks pg19-train fills. Source: RedPajama-Data-1T, books/README.md and books/dedup.py
    (``chunk_lines`` 2000, ``tail_chunk`` 14).
    """
    tail = chunk_lines * tail_chunk
    test_lines = sum(lines for split, lines in files if split == "pg19-test")
    following = {"pg19-train": 0, "pg19-test": tail, "pg19-validation": tail + test_lines, "books3-train": 0}
    first = []
    for split, lines in files:
        first.append(following[split])
        following[split] += lines
    return first


def lost_by_pg19_overwrite(split: Split, book_id: int, *, limit: int) -> Drop | None:
    """Deliberate, as published: pg19-train books from id ``limit`` on are lost, 602 of the real 28,602.

    The published command writes pg19-test over ``pg19_014``, which held the end of pg19-train (``limit`` = 14 x 2000);
    chunks behind it are never read. Such a book takes no part in the search for duplicates. None for any other book.
    Source: RedPajama-Data-1T, books/README.md (``cat ... > pg19_014``).
    """
    if split == "pg19-train" and book_id >= limit:
        return Drop("lost_by_pg19_overwrite", book_id, limit)
    return None


def beyond_published_chunks(split: Split, book_id: int, *, limit: int) -> Drop | None:
    """Deliberate, as published: only chunks 000-098 of books3 are read, so ids from ``limit`` = 99 x 2000 on are not.

    None for any other book. Source: RedPajama-Data-1T, books/dedup.py (``range(99)``).
    """
    if split == "books3-train" and book_id >= limit:
        return Drop("beyond_published_chunks", book_id, limit)
    return None


def published_id_collision(ids: NDArray[np.int64], in_books3: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Deliberate, as published: one table of verdicts for two collections that number their books alike.

    Takes, one entry a book, its published id and whether it is of books3. Gives for each book the index of the one that
    decides about it: the books3 book of the same id where there is one, else itself. So a pg19 duplicate survives when
    that one is unique, and a unique pg19 book goes when that one is a duplicate.
    Source: RedPajama-Data-1T, books/dedup.py (a dict keyed by id).
    """
    decides = np.arange(len(ids))
    books3 = np.flatnonzero(in_books3)
    if len(books3):
        books3 = books3[np.argsort(ids[books3], kind="stable")]
        place = np.minimum(np.searchsorted(ids[books3], ids), len(books3) - 1)
        shared = ids[books3[place]] == ids
        decides[shared] = books3[place[shared]]
    return decides


def near_duplicate_book(ids: NDArray[np.int64], smallest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for each book that falls: ``smallest``, the smallest id within the distance, is below its own.

    No chains are followed: a book that falls still makes its own near duplicates fall. Equal ids never drop each other.
    Source: RedPajama-Data-1T, books/dedup.py.
    """
    return smallest < ids
