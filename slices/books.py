"""Books: PG19 and Books3 as their JSON lines, and a folder of Project Gutenberg text files.

Input: ``pg19-{train,test,validation}*.jsonl``, ``books3-train*.jsonl``, ``*.txt``, or one in a zip archive.
Published recipe: data_prep/book of togethercomputer/RedPajama-Data (branch rp_v1), PG19 and Books3 in its order. The
Gutenberg files, which it does not know, come last: a third collection with ids above all published ones, so that they
lose against both.

    read ─► simhash ─► near duplicates among all books, by published id ─► published

An id counts the lines of the files before: when one is cut or quarantined, the ids behind it are lower until it is
mended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, Field

from filters import book_lines
from filters.simhash import first_of_cluster
from redpajama_data.config import Names, SliceSettings
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Planned, RunSettings, Slice, Stage, StageInput, outputs
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.work import Steps
from slices.parts.books_ids import COLLECTIONS, Ids, Numbering, Shelf, own_ids, published_ids, shelf_names, shelves
from slices.parts.books_work import find_near_duplicates, hash_books, publish_books
from slices.readers import books_reader, gutenberg
from slices.repairs import SETTING, chosen_from

IdsOf = Callable[[Sequence[Receipt], Sequence[Shelf]], list[Ids]]


def _every_collection(value: tuple[str, ...]) -> tuple[str, ...]:
    if sorted(value) != sorted(COLLECTIONS):
        raise ValueError(f"expected {', '.join(COLLECTIONS)} in another order")
    return value


class BooksSettings(SliceSettings):
    """Settings of the books slice; the defaults are the published values."""

    repairs: Annotated[Names, chosen_from("books")] = Field((), description=SETTING)
    distance: int = Field(5, ge=0, le=63, description="bits in which the hashes of near duplicates may differ")
    chunk_lines: int = Field(2000, gt=0, description="books of a published chunk")
    pg19_chunks: int = Field(14, ge=0, description="chunks of pg19-train that were read")
    books3_chunks: int = Field(99, ge=0, description="chunks of books3-train that were read")
    collections: Annotated[Names, AfterValidator(_every_collection)] = Field(
        COLLECTIONS, description="own_ids: the collections, that first whose copy of a book stays"
    )


# ------------------------------------------------------------------------------------------------ hash


def plan_hash(given: StageInput, *, hash_work: Callable[..., None]) -> list[Planned]:
    """One task a published file or group of Gutenberg files."""
    raw = {file.path: file for file in given.inputs}
    places = shelves(raw)
    return [
        Planned(
            task,
            partial(hash_work, shelf=shelf),
            [raw[path] for path in shelf],
        )
        for task, shelf in zip(shelf_names(places), places, strict=True)
    ]


# ------------------------------------------------------------------------------------------------ near duplicates


def plan_search(given: StageInput, *, search: Callable[..., None], ids_of: IdsOf) -> list[Planned]:
    """One task: the hashes of 250,000 books are 4 MB."""
    receipts, places = given.receipts["hash"], shelves(raw.path for raw in given.inputs)
    hashes = outputs(receipts, "hashes")
    ids = ids_of(receipts, places)
    files = [(receipt.rank, own, out.path) for receipt, own, out in zip(receipts, ids, hashes, strict=True)]
    return [Planned("all", partial(search, files=files, ranks=len(places)), hashes)]


# ------------------------------------------------------------------------------------------------ publish


def plan_publish(given: StageInput, *, distance: int, ids_of: IdsOf, tokenizer: ModelFile) -> list[Planned]:
    """One task a hash task."""
    [search] = given.receipts["near_duplicates"]
    verdicts = search.outputs["verdicts"]
    receipts, places = given.receipts["hash"], shelves(raw.path for raw in given.inputs)
    ids = ids_of(receipts, places)
    return [
        Planned(
            receipt.task,
            partial(
                publish_books,
                shard=receipt.outputs["shard"].path,
                ids=task_ids,
                rank=receipt.rank,
                inputs=given.inputs_file.path,
                verdicts=verdicts.path,
                distance=distance,
                tokenizer=tokenizer,
            ),
            [receipt.outputs["shard"], given.inputs_file, verdicts],
        )
        for receipt, task_ids in zip(receipts, ids, strict=True)
    ]


# ------------------------------------------------------------------------------------------------ slice


def stages(settings: BooksSettings, run: RunSettings) -> list[Stage]:
    """The slice's stages: the recipe, read from top to bottom."""
    fixed = settings.repairs
    ids_of: IdsOf = partial(
        published_ids, numbering=Numbering(settings.chunk_lines, settings.pg19_chunks, settings.books3_chunks)
    )
    if "own_ids" in fixed:
        ids_of = partial(own_ids, order=settings.collections)
    cleaning: Steps = [
        *([gutenberg.strip_gutenberg] if "strip_gutenberg" in fixed else []),
        *([book_lines.join_lines] if "join_lines" in fixed else []),
        *([book_lines.plain_italics] if "plain_italics" in fixed else []),
    ]
    hash_work = partial(hash_books, max_malformed=run.max_malformed)
    search = partial(find_near_duplicates, distance=settings.distance)
    if cleaning:
        hash_work = partial(hash_work, cleaning=cleaning)
    if "first_of_cluster" in fixed:
        search = partial(search, smallest=first_of_cluster)
    stay = partial(plan_publish, distance=settings.distance, ids_of=ids_of, tokenizer=run.tokenizer)
    return [
        Stage("hash", partial(plan_hash, hash_work=hash_work)),
        Stage("near_duplicates", partial(plan_search, search=search, ids_of=ids_of), reads=("hash",)),
        Stage("publish", stay, reads=("hash", "near_duplicates"), whole=("near_duplicates",)),
    ]


SLICE = Slice(
    name="books",
    summary="books of PG19 and Books3, and Project Gutenberg text files",
    revision=2,
    patterns=(*books_reader.PATTERNS, *gutenberg.PATTERNS),
    settings=BooksSettings,
    stages=stages,
)
