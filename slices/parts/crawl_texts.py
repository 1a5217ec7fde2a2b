"""The second key of Common Crawl's document dedup: of what the first one keeps, the first record with each text stays.

A digest is of the page as it was crawled. The text is what is published: without its title, without the lines that the
dedup of lines took. The plain definition is :func:`filters.ccnet.first_of_each_text`. One task a range of texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.equal_rows import run_starts
from redpajama_data.engine.stages import Planned, Stage, StageInput, outputs
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.pipeline.stages import per_range
from slices.parts.crawl_dropped import BY_TEXT, passes_by_shard, places_of, write_by_shard
from slices.parts.crawl_keys import TEXT, Rows, rows_of_pass

TEXT_ROW = np.dtype([*TEXT, ("file", "<u4"), ("rank", "<u4"), ("n", "<u8"), ("part", "<u4")])
_ROW_BYTES = 260  # peak for a row while it is grouped: as many columns as a key of a URL has, and one copy less


def texts_stage() -> Stage:
    """Reads the rows that the stage ``kept_urls`` has of what it keeps; writes as that does what goes."""

    def plan_tasks(given: StageInput) -> list[Planned]:
        kept = outputs(given.receipts["kept_urls"], "kept")
        ranks = 1 + max((receipt.rank for receipt in given.receipts["mine"]), default=0)
        return per_range("texts", partial(equal_texts_work, kept=[out.path for out in kept], ranks=ranks), kept)

    return Stage("texts", plan_tasks, ("mine", "kept_urls"), whole=("kept_urls",))


def equal_texts_work(
    context: TaskContext, *, kept: Sequence[str], ranks: int, rows: int, buckets: tuple[int, int]
) -> None:
    """Of a range of texts the records whose text an earlier one has: a row for each, by shard, marked as such
    (:data:`~slices.parts.crawl_dropped.BY_TEXT`). The first is that of the least file, shard and number."""
    context.receipt.notes["buckets"] = buckets
    taken = passes_by_shard(context, rows, buckets, _ROW_BYTES)

    def repeated() -> Iterator[npt.NDArray[np.uint64]]:
        for part in taken:
            found = rows_of_pass(context, kept, part, TEXT_ROW)
            order = np.lexsort([found[name] for name in ("n", "rank", "file", "text_lo", "text_hi")])
            gone = order[~run_starts(found["text_hi"][order], found["text_lo"][order])]
            yield places_of(found["n"] | BY_TEXT, found["rank"], found["part"], gone)

    write_by_shard(context, ranks, repeated(), several=len(taken) > 1)


def rows_by_text(
    records: Rows, rank_of: npt.NDArray[np.uint32], file_of: npt.NDArray[np.uint32], taken: npt.NDArray[np.int64]
) -> Rows:
    """A :data:`TEXT_ROW` for each of the records taken, in an order that does not hang on how many passes there are."""
    taken = taken[np.lexsort((records["n"][taken], rank_of[taken], records["url_hi"][taken]))]
    rows = np.empty(len(taken), TEXT_ROW)
    for name in ("text_hi", "text_lo", "n", "part"):
        rows[name] = records[name][taken]
    rows["file"], rows["rank"] = file_of[taken], rank_of[taken]
    return rows
