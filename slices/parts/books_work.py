"""Books: hash them, find the near-duplicates among all of them, publish those that stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from filters import books
from filters.simhash import record_simhash, smallest_id_within
from redpajama_data.dedup.buckets import BucketFile, BucketWriter
from redpajama_data.document import Document, Drop
from redpajama_data.engine.drop_sample import utf8_length
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import read_names, read_stored, stored_line
from redpajama_data.io.storage import open_input
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.work import Numbered, Steps, publish, read_records, through
from slices.parts.books_ids import COLLECTIONS, Ids, Shelf, is_gutenberg, raw_id, shelves
from slices.readers import books_reader, gutenberg

HASH_ROW = np.dtype([("n", "<u8"), ("hash", "<u8")])
VERDICT_ROW = np.dtype([("n", "<u8"), ("kept", "<u8"), ("kept_n", "<u8"), ("by", "<u8"), ("by_n", "<u8")])

Rows = npt.NDArray[Any]


def hash_books(context: TaskContext, *, shelf: Shelf, max_malformed: float, cleaning: Steps = ()) -> None:
    """Store the books of some raw files, and a row of :data:`HASH_ROW` for each beside them.

    ``cleaning`` is done before: a book is told by what is published of it.
    ``notes["lines"]`` is how many numbers were used up: those of rejected records are.
    """
    read = _read_gutenberg if is_gutenberg(shelf[0]) else _read_published
    documents = through(context, read(context, shelf, max_malformed), [*cleaning, record_simhash])
    with context.lines("shard") as out, context.file("hashes", "hashes") as hashes:
        for n, doc in documents:
            context.receipt.bytes += utf8_length(doc.text)
            hashes.write(n.to_bytes(8, "little") + doc.work.pop("simhash").to_bytes(8, "little"))
            out.write(stored_line(n, doc))
    context.records("hashes", out.records)
    context.receipt.kept = out.records


def _read_published(context: TaskContext, shelf: Shelf, max_malformed: float) -> Numbered:
    yield from read_records(context, shelf[0], books_reader.read_books, max_malformed)
    context.receipt.notes["lines"] = context.receipt.read - context.receipt.dropped.get("broken_input", 0)


def _read_gutenberg(context: TaskContext, shelf: Shelf, max_malformed: float) -> Numbered:
    for place, path in enumerate(shelf):
        for _, doc in read_records(context, path, gutenberg.read_gutenberg, max_malformed):
            yield place, doc
    context.receipt.notes["lines"] = len(shelf)


def find_near_duplicates(
    context: TaskContext,
    *,
    files: Sequence[tuple[int, Ids, str]],
    ranks: int,
    distance: int,
    smallest: Callable[..., npt.NDArray[np.int64]] = smallest_id_within,
) -> None:
    """Search all books and write a row of :data:`VERDICT_ROW` for each that falls, in the bucket of its task.

    ``files`` are (rank of the hash task, ids of its books, hash file); ``smallest`` finds the book that each falls for.
    Holds about 150 bytes a book.
    """
    parts = [_hashes(context.upstream(path), ids) for _, ids, path in files]
    rows: Rows = np.concatenate([*parts, np.empty(0, HASH_ROW)])

    def each(values: list[int]) -> npt.NDArray[np.int64]:  # a value a task -> a value a book
        return np.repeat(np.array(values, dtype=np.int64), [len(part) for part in parts])

    rank = each([rank for rank, *_ in files])
    collection = each([COLLECTIONS.index(ids.collection) for _, ids, _ in files])
    ids = each([ids.first for _, ids, _ in files]) + rows["n"].astype(np.int64)
    # Searched by the place in the order of ids, not by id: so it is known which of two books with one id was found.
    order = np.lexsort((collection, ids))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    by = books.published_id_collision(ids, collection == COLLECTIONS.index("books3"))
    kept = order[smallest(rows["hash"], place, distance=distance)][by]
    falls = np.flatnonzero(books.near_duplicate_book(ids, ids[kept]))
    kept, by = kept[falls], by[falls]
    verdicts = np.empty(len(falls), VERDICT_ROW)
    verdicts["n"] = rows["n"][falls]
    verdicts["kept"], verdicts["kept_n"] = rank[kept], rows["n"][kept]
    verdicts["by"], verdicts["by_n"] = rank[by], rows["n"][by]
    with context.file("verdicts", "verdicts") as out:
        writer = BucketWriter(out, ranks, 1)
        if len(verdicts):
            writer.add_rows(rank[falls], verdicts)
        writer.close()
    context.records("verdicts", len(verdicts))


def _hashes(path: str, ids: Ids) -> Rows:
    """The rows of the books that take part: those lost before the search do not."""
    with open_input(path) as file:
        rows = np.frombuffer(file.read(), dtype=HASH_ROW)
    takes_part = np.fromiter((ids.lost(n) is None for n in rows["n"].tolist()), dtype=bool, count=len(rows))
    found: Rows = rows[takes_part]
    return found


def publish_books(
    context: TaskContext,
    *,
    shard: str,
    ids: Ids,
    rank: int,
    inputs: str,
    verdicts: str,
    distance: int,
    tokenizer: ModelFile,
) -> None:
    """Publish the stored books of one task, without those that the published scripts lost or found to be copies.

    A copy's entry in the ledger names the book it is near to, and, when another decided by having the same published
    id, that one as ``decided_by``.
    """
    with BucketFile(context.upstream(verdicts)) as file:
        rows = np.frombuffer(b"".join(file.read(rank, rank + 1)), dtype=VERDICT_ROW)
    falls = {n: ((kept, kept_n), (by, by_n)) for n, kept, kept_n, by, by_n in rows.tolist()}
    places = shelves(read_names(context.upstream(inputs))) if falls else []

    def stay() -> Iterator[tuple[int, Document]]:
        for n, doc in read_stored(context.upstream(shard)):
            context.count_read(doc.text)
            if lost := ids.lost(n):
                context.drop(doc.id, lost, text=doc.text)
            elif n in falls:
                (kept, kept_n), by = falls[n]
                detail = None if by == (rank, n) else {"decided_by": raw_id(places[by[0]], by[1])}
                copy_of = Drop("near_duplicate_book", raw_id(places[kept], kept_n), distance)
                context.drop(doc.id, copy_of, text=doc.text, detail=detail)
            else:
                yield n, doc

    publish(context, stay(), tokenizer)
