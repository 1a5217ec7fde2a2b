"""RedPajama's dedup of Common Crawl's documents, out of core: decided by URL, across dumps, as published.

The plain definition is :func:`filters.ccnet.kept_urls`. Its files are CCNet's regrouped ones, of several shards each:

    url_digests  one task a range of URLs: in each file the place of a URL is its first, its digest the last
    new_urls     one task a range of digests: the first (file, place) with a digest keeps its URL
    kept_urls    one task a range of URLs: the records whose URL nobody keeps, by shard
    (texts       one task a range of texts: of what is kept the records whose text an earlier one has, if chosen)
    dropped      one task for some shards: those records of each, a part of a file (:mod:`slices.parts.crawl_dropped`)

URLs and digests are compared by 128-bit hashes. What a shard publishes hangs on its own part alone: of a dump that was
there, a new one redoes what it drops or what stands on other lines by it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.equal_rows import run_starts
from redpajama_data.dedup.partitions import BUCKETS, passes
from redpajama_data.engine.stages import Planned, Stage, StageInput, outputs
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.pipeline.stages import per_range
from slices.parts.crawl_dropped import dropped_stage, passes_by_shard, places_of, row_writer, write_by_shard
from slices.parts.crawl_keys import DIGEST, URL, KeyFile, Rows, key_files, read_keys, rows_of_pass
from slices.parts.crawl_lines import bucket_of
from slices.parts.crawl_texts import rows_by_text, texts_stage

ENTRY_ROW = np.dtype([*DIGEST, *URL, ("file", "<u4"), ("rank", "<u4"), ("n", "<u8")])
URL_ROW = np.dtype(URL)
_ROW_BYTES = 260  # peak for a key while it is grouped, measured 245: rows, ranks, order, sorted copies, what is written
_TEXT_ROW_BYTES = 440  # with the key of its text: two copies of that, and its row in two copies with their order


# ---------------------------------------------------------------------------------------------- stages


def document_dedup_stages(*, per_file: int | None, each_record: bool = False, texts: bool = False) -> list[Stage]:
    """The stages; those before the last have ``dropped`` files, with a bucket for each shard by its rank.

    ``each_record``: decided for each record by its digest (:func:`filters.ccnet.kept_records`), whatever its URL.
    ``texts``: of what is kept then, the first record with a text stays (:func:`filters.ccnet.first_of_each_text`).
    """
    more: dict[str, Any] = {"each_record": True} if each_record else {}
    if texts:
        more["texts"] = True

    def url_digests(given: StageInput) -> list[Planned]:
        mined = given.receipts["mine"]
        return per_range(
            "urls", partial(url_digests_work, keys=key_files(mined, per_file), **more), outputs(mined, "keys")
        )

    def new_urls(given: StageInput) -> list[Planned]:
        entries = outputs(given.receipts["url_digests"], "entries")
        return per_range("digests", partial(new_urls_work, entries=[out.path for out in entries]), entries)

    def kept_urls(given: StageInput) -> list[Planned]:
        mined, kept = given.receipts["mine"], outputs(given.receipts["new_urls"], "urls")
        work = partial(
            dropped_records_work,
            keys=key_files(mined, per_file),
            kept=[out.path for out in kept],
            ranks=1 + max((receipt.rank for receipt in mined), default=0),
            **more,
        )
        return per_range("urls", work, outputs(mined, "keys"), kept)

    by_text = [texts_stage()] if texts else []
    return [
        Stage("url_digests", url_digests, ("mine",)),
        Stage("new_urls", new_urls, ("url_digests",), whole=("url_digests",)),
        Stage("kept_urls", kept_urls, ("mine", "new_urls"), whole=("new_urls",)),
        *by_text,
        dropped_stage("kept_urls", *(stage.name for stage in by_text)),
    ]


# Each task takes its range in passes, in the order of its keys, and what a pass finds is sorted by them too: so what is
# written one after the other is what one pass would write, and only the last stage has to sort it anew.


def url_digests_work(
    context: TaskContext,
    *,
    keys: Sequence[KeyFile],
    rows: int,
    buckets: tuple[int, int],
    each_record: bool = False,
    texts: bool = False,
) -> None:
    """The entries of a range of URLs, by digest: per file and URL the place of the first record, the last's digest.

    ``rows`` is how many keys all the files have.
    """
    context.receipt.notes["buckets"] = buckets
    with row_writer(context, "entries", BUCKETS) as writer:
        for part in passes(rows, buckets, row_bytes=_key_bytes(texts), memory=context.memory):
            found = read_keys(context, keys, part, texts=texts)
            if each_record:
                _own_urls(*found[:2])
            entries = _url_digests(*found)
            writer.add(bucket_of(entries["digest_hi"]), entries)


def _key_bytes(texts: bool) -> int:
    return _TEXT_ROW_BYTES if texts else _ROW_BYTES


def _own_urls(rows: Rows, ranks: npt.NDArray[np.uint32]) -> None:
    """Give every record a URL of its own, in the same range: by its shard and its number there (below 2**40)."""
    rows["url_lo"] = (ranks.astype("<u8") << np.uint64(40)) | rows["n"]


def _url_digests(rows: Rows, ranks: npt.NDArray[np.uint32], files: npt.NDArray[np.uint32]) -> Rows:
    # Rows come in (rank, flush, bucket) order and the numbers of one bucket rise, so a stable sort by URL and file
    # leaves the records of each in their order.
    order = np.lexsort((files, rows["url_lo"], rows["url_hi"]))
    new = np.flatnonzero(run_starts(rows["url_hi"][order], rows["url_lo"][order], files[order]))
    first, last = order[new], order[np.append(new[1:], len(rows)) - 1] if len(new) else order
    entries = np.empty(len(first), ENTRY_ROW)
    for name in ("url_hi", "url_lo", "n"):
        entries[name] = rows[name][first]
    for name in ("digest_hi", "digest_lo"):
        entries[name] = rows[name][last]
    entries["file"], entries["rank"] = files[first], ranks[first]
    return entries


def new_urls_work(context: TaskContext, *, entries: Sequence[str], rows: int, buckets: tuple[int, int]) -> None:
    """The URLs that the first entry of each digest of a range keeps, by URL. ``rows`` is how many entries there are."""
    context.receipt.notes["buckets"] = buckets
    with row_writer(context, "urls", BUCKETS) as writer:
        for part in passes(rows, buckets, row_bytes=_ROW_BYTES, memory=context.memory):
            urls = _new_urls(rows_of_pass(context, entries, part, ENTRY_ROW))
            writer.add(bucket_of(urls["url_hi"]), urls)


def _new_urls(rows: Rows) -> Rows:
    order = np.lexsort((rows["n"], rows["rank"], rows["file"], rows["digest_lo"], rows["digest_hi"]))
    first = order[run_starts(rows["digest_hi"][order], rows["digest_lo"][order])]
    urls = np.empty(len(first), URL_ROW)
    for name in ("url_hi", "url_lo"):
        urls[name] = rows[name][first]
    return urls


def dropped_records_work(
    context: TaskContext,
    *,
    keys: Sequence[KeyFile],
    kept: Sequence[str],
    ranks: int,
    rows: int,
    buckets: tuple[int, int],
    each_record: bool = False,
    texts: bool = False,
) -> None:
    """The records of a range of URLs whose URL is not kept: a row for each, by shard. ``ranks``: one over the highest;
    ``rows`` is how many keys all the files have. ``texts``: also a :data:`TEXT_ROW` for each of the others, by text."""
    context.receipt.notes["buckets"] = buckets
    taken = passes_by_shard(context, rows, buckets, _key_bytes(texts))
    with contextlib.ExitStack() as stack:
        staying = stack.enter_context(row_writer(context, "kept", BUCKETS)) if texts else None

        def not_kept() -> Iterator[npt.NDArray[np.uint64]]:
            for part in taken:
                urls = rows_of_pass(context, kept, part, URL_ROW)
                records, rank_of, file_of = read_keys(context, keys, part, texts=texts)
                if each_record:
                    _own_urls(records, rank_of)
                gone = _not_kept(records, rank_of, urls)
                yield places_of(records["n"], rank_of, records["part"], gone)
                if staying is not None:
                    stay = rows_by_text(records, rank_of, file_of, np.delete(np.arange(len(records)), gone))
                    staying.add(bucket_of(stay["text_hi"]), stay)

        write_by_shard(context, ranks, not_kept(), several=len(taken) > 1)


def _not_kept(rows: Rows, rank_of: npt.NDArray[np.uint32], urls: Rows) -> npt.NDArray[np.int64]:
    """Which records have a URL that is not among ``urls``."""
    hi, lo = (np.concatenate((urls[name], rows[name])) for name in ("url_hi", "url_lo"))
    order = np.lexsort((lo, hi))  # stable: a kept URL comes before its records
    group = np.cumsum(run_starts(hi[order], lo[order])) - 1
    is_kept = np.zeros(int(group[-1]) + 1 if len(group) else 0, dtype=bool)
    is_kept[group[order < len(urls)]] = True
    gone: npt.NDArray[np.int64] = order[~is_kept[group]] - len(urls)
    return gone
