"""SimHash of a book, and the exact search for books within a Hamming distance."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filters._native import simhash64
from redpajama_data.document import Document

BITS = 64


def book_simhash(text: str) -> int:
    """The 64-bit SimHash of a book's text (any case, any length; 0 <= hash < 2**64).

    Source: RedPajama-Data-1T, books/dedup.py (the `simhash` package with 6-character windows). Features are all windows
    of the lower-cased text without ``[^\\w]``, with repetition, or that whole string if it is shorter than 6; each
    counts as the last 8 bytes of its MD5, big-endian; a bit is set where more than half of the features have it.
    """
    return simhash64(text)


def record_simhash(doc: Document) -> Document:
    """Put the text's :func:`book_simhash` into ``doc.work["simhash"]``."""
    doc.work["simhash"] = book_simhash(doc.text)
    return doc


def smallest_id_within(hashes: NDArray[np.uint64], ids: NDArray[np.int64], *, distance: int) -> NDArray[np.int64]:
    """For each book the smallest id among the books whose hash differs from its own in at most ``distance`` bits.

    ``hashes`` and ``ids`` have one entry a book, in any order; the book itself takes part, so the result is never above
    its own id. Exact: among ``distance + 1`` blocks of bits two such hashes agree in one, so comparing the books that
    agree in a block finds every pair. Memory is a few arrays of the number of books; time grows with the pairs that
    agree in a block (200,000 books: about 10**8).
    Raises ``ValueError`` when the arrays differ in length or ``distance`` is not in 0..63.
    Source of the published limit of 5: RedPajama-Data-1T, books/dedup.py (k=5).
    """
    if hashes.shape != ids.shape or hashes.ndim != 1:
        raise ValueError(f"hashes and ids must be flat and of one length, not {hashes.shape} and {ids.shape}")
    if not 0 <= distance < BITS:
        raise ValueError(f"distance must be in 0..{BITS - 1}, not {distance}")
    distinct, place = np.unique(hashes.astype(np.uint64, copy=False), return_inverse=True)  # equal hashes are one entry
    own = np.full(len(distinct), np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(own, place, ids)
    smallest = own.copy()
    edges = [BITS * block // (distance + 1) for block in range(distance + 2)]
    for low, high in pairwise(edges):
        _compare_within_block(distinct, own, smallest, low, high, distance)
    found: NDArray[np.int64] = smallest[place]
    return found


def first_of_cluster(hashes: NDArray[np.uint64], places: NDArray[np.int64], *, distance: int) -> NDArray[np.int64]:
    """For each book the smallest place in its cluster: books hang together when a chain of books leads from one to the
    other, each within ``distance`` bits of the next. ``places`` are 0, 1, 2 ... in any order.

    The repair of the published search, which follows no chain: of a~b~c where only b is near to the other two it keeps
    a and, when c comes before b, also c.
    """
    first = places.astype(np.int64)
    book_at = np.empty_like(first)
    book_at[places] = np.arange(len(places))
    while True:
        found = smallest_id_within(hashes, first, distance=distance)
        found = found[book_at[found]]  # what the first one has found in its turn
        if np.array_equal(found, first):
            return first
        first = found


def _compare_within_block(
    hashes: NDArray[np.uint64],
    own: NDArray[np.int64],
    smallest: NDArray[np.int64],
    low: int,
    high: int,
    distance: int,
) -> None:
    """Lower ``smallest`` by the pairs that agree in bits ``low``..``high``: each with the next, the second next, ..."""
    block = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
    order = np.argsort(block, kind="stable")
    block, sorted_hashes = block[order], hashes[order]
    first: NDArray[np.signedinteger[Any]] = np.arange(len(hashes))
    for step in range(1, len(hashes)):
        first = first[: np.searchsorted(first, len(hashes) - step)]
        first = first[block[first] == block[first + step]]
        if not len(first):
            return
        near = np.bitwise_count(sorted_hashes[first] ^ sorted_hashes[first + step]) <= distance
        one, other = order[first[near]], order[first[near] + step]
        np.minimum.at(smallest, one, own[other])
        np.minimum.at(smallest, other, own[one])
