"""Books: PG19 and Books3 as their JSON lines, and a folder of Project Gutenberg text files.

Input: ``pg19-{train,test,validation}*.jsonl``, ``books3-train*.jsonl``, ``*.txt``. Published recipe: data_prep/book of
togethercomputer/RedPajama-Data (branch rp_v1), PG19 and Books3 in its order. The Gutenberg files, which it does not
know, come last: a third collection with ids above all published ones, so that they lose against both.

    read ─► simhash ─► near duplicates among all books, by published id ─► published

An id counts the lines of the files before: when one is cut or quarantined, the ids behind it are lower until it is
mended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from filters import books
from filters.simhash import record_simhash, smallest_id_within
from redpajama_data.buckets import BucketFile, BucketWriter
from redpajama_data.config import SliceSettings
from redpajama_data.document import Document, Drop
from redpajama_data.drop_sample import utf8_length
from redpajama_data.fingerprint import ModelFile
from redpajama_data.pipeline import Numbered, publish, read_records, through
from redpajama_data.shards import read_names, read_stored, stored_line
from redpajama_data.stages import Plan, Planned, RunSettings, Slice, Stage, outputs, task_name
from redpajama_data.storage import open_input
from redpajama_data.tasks import TaskContext
from slices import books_reader, gutenberg
from slices.books_ids import Ids, Numbering, Shelf, is_gutenberg, published_ids, raw_id, shelves

COLLECTIONS = ("pg19", "books3", "gutenberg")
HASH_ROW = np.dtype([("n", "<u8"), ("hash", "<u8")])
VERDICT_ROW = np.dtype([("n", "<u8"), ("kept", "<u8"), ("kept_n", "<u8"), ("by", "<u8"), ("by_n", "<u8")])

Rows = npt.NDArray[Any]


class BooksSettings(SliceSettings):
    """Settings of the books slice; the defaults are the published values."""

    distance: int = Field(5, ge=0, le=63, description="bits in which the hashes of near duplicates may differ")
    chunk_lines: int = Field(2000, gt=0, description="books of a published chunk")
    pg19_chunks: int = Field(14, ge=0, description="chunks of pg19-train that were read")
    books3_chunks: int = Field(99, ge=0, description="chunks of books3-train that were read")


# ------------------------------------------------------------------------------------------------ hash


def plan_hash(plan: Plan, *, max_malformed: float) -> list[Planned]:
    """One task a published file or group of Gutenberg files."""
    raw = {file.path: file for file in plan.inputs}
    places = shelves(raw)
    return [
        Planned(
            task_name(rank, len(places), shelf[0]),
            partial(hash_books, shelf=shelf, max_malformed=max_malformed),
            [raw[path] for path in shelf],
        )
        for rank, shelf in enumerate(places)
    ]


def hash_books(context: TaskContext, *, shelf: Shelf, max_malformed: float) -> None:
    """Store the books of some raw files, and a row of :data:`HASH_ROW` for each beside them.

    ``notes["lines"]`` is how many numbers were used up: those of rejected records are.
    """
    read = _read_gutenberg if is_gutenberg(shelf[0]) else _read_published
    documents = through(context, read(context, shelf, max_malformed), [record_simhash])
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
    broken: list[str] = []
    for place, path in enumerate(shelf):
        for _, doc in read_records(context, path, gutenberg.read_gutenberg, max_malformed):
            yield place, doc
        if context.receipt.broken:
            broken.append(context.receipt.broken)
            context.receipt.broken = None
    if broken:
        context.receipt.broken = broken[0] + (f" And {len(broken) - 1} more." if len(broken) > 1 else "")
    context.receipt.notes["lines"] = len(shelf)


# ------------------------------------------------------------------------------------------------ near duplicates


def plan_search(plan: Plan, *, distance: int, numbering: Numbering) -> list[Planned]:
    """One task: the hashes of 250,000 books are 4 MB."""
    receipts, places = plan.receipts["hash"], shelves(raw.path for raw in plan.inputs)
    hashes = outputs(receipts, "hashes")
    ids = published_ids(receipts, places, numbering)
    files = [(receipt.rank, own, out.path) for receipt, own, out in zip(receipts, ids, hashes, strict=True)]
    return [Planned("all", partial(find_near_duplicates, files=files, ranks=len(places), distance=distance), hashes)]


def find_near_duplicates(
    context: TaskContext, *, files: Sequence[tuple[int, Ids, str]], ranks: int, distance: int
) -> None:
    """Search all books and write a row of :data:`VERDICT_ROW` for each that falls, in the bucket of its task.

    ``files`` are (rank of the hash task, ids of its books, hash file). Holds about 150 bytes a book.
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
    kept = order[smallest_id_within(rows["hash"], place, distance=distance)][by]
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


# ------------------------------------------------------------------------------------------------ publish


def plan_publish(plan: Plan, *, distance: int, numbering: Numbering, tokenizer: ModelFile) -> list[Planned]:
    """One task a hash task; none when the search has failed."""
    receipts, places = plan.receipts["hash"], shelves(raw.path for raw in plan.inputs)
    ids = published_ids(receipts, places, numbering)
    return [
        Planned(
            receipt.task,
            partial(
                publish_books,
                shard=receipt.outputs["shard"].path,
                ids=own,
                rank=receipt.rank,
                inputs=plan.inputs_file.path,
                verdicts=verdicts.path,
                distance=distance,
                tokenizer=tokenizer,
            ),
            [receipt.outputs["shard"], plan.inputs_file, verdicts],
        )
        for verdicts in outputs(plan.receipts["near_duplicates"], "verdicts")
        for receipt, own in zip(receipts, ids, strict=True)
    ]


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


# ------------------------------------------------------------------------------------------------ slice


def stages(settings: BooksSettings, run: RunSettings) -> list[Stage]:
    """The slice's stages: the recipe, read from top to bottom."""
    numbering = Numbering(settings.chunk_lines, settings.pg19_chunks, settings.books3_chunks)
    search = partial(plan_search, distance=settings.distance, numbering=numbering)
    stay = partial(plan_publish, distance=settings.distance, numbering=numbering, tokenizer=run.tokenizer)
    return [
        Stage("hash", partial(plan_hash, max_malformed=run.max_malformed)),
        Stage("near_duplicates", search, reads=("hash",)),
        Stage("publish", stay, reads=("hash", "near_duplicates")),
    ]


SLICE = Slice(
    name="books",
    summary="books of PG19 and Books3, and Project Gutenberg text files",
    revision=1,
    patterns=(*books_reader.PATTERNS, *gutenberg.PATTERNS),
    settings=BooksSettings,
    stages=stages,
)
