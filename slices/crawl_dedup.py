"""RedPajama's dedup of Common Crawl's documents, out of core: decided by URL, across dumps, as published.

The plain definition is :func:`filters.ccnet.kept_urls`. Its files are CCNet's regrouped ones, of several shards each:

    url_digests  one task a range of URLs: in each file the place of a URL is its first, its digest the last
    new_urls     one task a range of digests: the first (file, place) with a digest keeps its URL
    kept_urls    one task a range of URLs: the records whose URL nobody keeps, by shard

URLs and digests are compared by 128-bit hashes.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.buckets import BucketFile, BucketWriter
from redpajama_data.receipts import Output, Receipt
from redpajama_data.stages import Plan, Planned, Stage, outputs
from redpajama_data.tasks import TaskContext
from slices.crawl_layout import crawl_files
from slices.crawl_lines import BUCKETS, all_ranges, bucket_of, hash_ranges

_URL = [("url_hi", "<u8"), ("url_lo", "<u8")]
_DIGEST = [("digest_hi", "<u8"), ("digest_lo", "<u8")]
KEY_ROW = np.dtype([*_URL, *_DIGEST, ("n", "<u8"), ("part", "<u4")])
ENTRY_ROW = np.dtype([*_DIGEST, *_URL, ("file", "<u4"), ("rank", "<u4"), ("n", "<u8")])
URL_ROW = np.dtype(_URL)
_NUMBER = np.dtype("<u8")
_ROW_BYTES = 260  # peak for a key while it is grouped, measured 245: rows, ranks, order, sorted copies, what is written
_FLUSH = 8 << 20

Rows = npt.NDArray[Any]


class CrawlKeyWriter:
    """Writes the keys of a shard's documents: :meth:`add` once a document, in order. ``buffer``: bytes held."""

    def __init__(self, file: Any, buffer: int) -> None:
        self._buckets, self._limit = BucketWriter(file, BUCKETS, buffer), buffer
        self._rows = bytearray()
        self.count = 0

    def add(self, url: str, digest: str, part: int, n: int) -> None:
        """Add the shard's n-th document, which is in its ``part``-th file of a language and bucket."""
        self._rows += _hash128(url) + _hash128(digest) + n.to_bytes(8, "little") + part.to_bytes(4, "little")
        self.count += 1
        if len(self._rows) >= self._limit:
            self._flush()

    def _flush(self) -> None:
        rows = np.frombuffer(bytes(self._rows), dtype=KEY_ROW)
        self._rows = bytearray()
        self._buckets.add_rows(bucket_of(rows["url_hi"]), rows)

    def close(self) -> None:
        """Write what is held, and the index."""
        if self._rows:
            self._flush()
        self._buckets.close()


def _hash128(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


# ---------------------------------------------------------------------------------------------- stages


@dataclass(frozen=True)
class KeyFile:
    """The keys of one shard: its rank, the file, and the place in the order of files of each of its parts."""

    rank: int
    path: str
    files: tuple[int, ...]


def document_dedup_stages(*, per_file: int | None) -> list[Stage]:
    """The three stages; the last has ``dropped`` files, with a bucket for each shard by its rank."""

    def url_digests(plan: Plan) -> list[Planned]:
        return _per_range(
            plan,
            "urls",
            plan.receipts["mine"],
            "keys",
            partial(url_digests_work, keys=_key_files(plan.receipts["mine"], per_file)),
        )

    def new_urls(plan: Plan) -> list[Planned]:
        receipts = all_ranges(plan.receipts["url_digests"])
        entries = [out.path for out in outputs(receipts, "entries")]
        return _per_range(plan, "digests", receipts, "entries", partial(new_urls_work, entries=entries))

    def kept_urls(plan: Plan) -> list[Planned]:
        mined, kept = plan.receipts["mine"], outputs(all_ranges(plan.receipts["new_urls"]), "urls")
        work = partial(
            kept_urls_work,
            keys=_key_files(mined, per_file),
            kept=[out.path for out in kept],
            ranks=1 + max((receipt.rank for receipt in mined), default=0),
        )
        return _per_range(plan, "urls", mined, "keys", work, kept)

    return [
        Stage("url_digests", url_digests, ("mine",)),
        Stage("new_urls", new_urls, ("url_digests",)),
        Stage("kept_urls", kept_urls, ("mine", "new_urls")),
    ]


def _key_files(mined: Sequence[Receipt], per_file: int | None) -> list[KeyFile]:
    places: dict[tuple[int, int], int] = {}
    for place, file in enumerate(crawl_files(mined, per_file=per_file)):
        places.update(dict.fromkeys(file.parts, place))
    return [
        KeyFile(
            receipt.rank,
            receipt.outputs["keys"].path,
            tuple(places[receipt.rank, part] for part in range(len(receipt.notes["parts"]))),
        )
        for receipt in mined
    ]


def _per_range(
    plan: Plan, name: str, receipts: Sequence[Receipt], role: str, work: partial[None], more: Sequence[Output] = ()
) -> list[Planned]:
    """One task for each range of the rows that receipts name under ``role``."""
    files = outputs(receipts, role)
    ranges = hash_ranges(sum(out.records for out in files), row_bytes=_ROW_BYTES, memory=plan.memory)
    return [
        Planned(f"{name}-{first:04d}-{end:04d}", partial(work, buckets=(first, end)), [*files, *more])
        for first, end in ranges
    ]


def url_digests_work(context: TaskContext, *, keys: Sequence[KeyFile], buckets: tuple[int, int]) -> None:
    """The entries of a range of URLs, by digest: per file and URL the place of the first record, the last's digest."""
    rows, ranks, files = _read_keys(context, keys, buckets)
    # Rows come in (rank, flush, bucket) order and the numbers of one bucket rise, so a stable sort by URL and file
    # leaves the records of each in their order.
    order = np.lexsort((files, rows["url_lo"], rows["url_hi"]))
    new = _starts(rows["url_hi"][order], rows["url_lo"][order], files[order])
    first, last = order[new], order[np.append(new[1:], len(rows)) - 1] if len(new) else order
    entries = np.empty(len(first), ENTRY_ROW)
    for name in ("url_hi", "url_lo", "n"):
        entries[name] = rows[name][first]
    for name in ("digest_hi", "digest_lo"):
        entries[name] = rows[name][last]
    entries["file"], entries["rank"] = files[first], ranks[first]
    context.receipt.notes["buckets"] = buckets
    _write_rows(context, "entries", entries, bucket_of(entries["digest_hi"]), BUCKETS)


def new_urls_work(context: TaskContext, *, entries: Sequence[str], buckets: tuple[int, int]) -> None:
    """The URLs that the first entry of each digest of a range keeps, by URL."""
    rows = np.frombuffer(b"".join(_read_range(context, entries, buckets)), dtype=ENTRY_ROW)
    order = np.lexsort((rows["n"], rows["rank"], rows["file"], rows["digest_lo"], rows["digest_hi"]))
    first = order[_starts(rows["digest_hi"][order], rows["digest_lo"][order])]
    urls = np.empty(len(first), URL_ROW)
    for name in ("url_hi", "url_lo"):
        urls[name] = rows[name][first]
    context.receipt.notes["buckets"] = buckets
    _write_rows(context, "urls", urls, bucket_of(urls["url_hi"]), BUCKETS)


def kept_urls_work(
    context: TaskContext, *, keys: Sequence[KeyFile], kept: Sequence[str], ranks: int, buckets: tuple[int, int]
) -> None:
    """The records of a range of URLs whose URL is not kept: their numbers, by shard. ``ranks``: one over the highest.

    The receipt notes how many of each part of a shard they are: ``[rank, part, count]``.
    """
    rows, rank_of, _ = _read_keys(context, keys, buckets)
    urls = np.frombuffer(b"".join(_read_range(context, kept, buckets)), dtype=URL_ROW)
    hi, lo = (np.concatenate((urls[name], rows[name])) for name in ("url_hi", "url_lo"))
    order = np.lexsort((lo, hi))  # stable: a kept URL comes before its records
    group = np.cumsum(_marks(hi[order], lo[order])) - 1
    is_kept = np.zeros(int(group[-1]) + 1 if len(group) else 0, dtype=bool)
    is_kept[group[order < len(urls)]] = True
    gone = np.sort(order[~is_kept[group]]) - len(urls)
    gone = gone[np.lexsort((rows["n"][gone], rank_of[gone]))]
    _write_rows(context, "dropped", rows["n"][gone], rank_of[gone].astype(np.int64), ranks)
    counted, counts = np.unique(
        np.stack((rank_of[gone], rows["part"][gone]), axis=1).astype(np.int64), axis=0, return_counts=True
    )
    context.receipt.notes = {"buckets": buckets, "dropped": np.column_stack((counted, counts)).tolist()}


def read_dropped(paths: Sequence[str], rank: int, *, memory: int) -> Iterator[int]:
    """The numbers of the records of a shard that ``kept_urls`` drops, rising. Holds a quarter of ``memory`` at most."""
    chunk = max(1, memory // 4 // _NUMBER.itemsize // max(1, len(paths))) * _NUMBER.itemsize
    return heapq.merge(*(_numbers(path, rank, chunk) for path in paths))


def _numbers(path: str, rank: int, chunk: int) -> Iterator[int]:
    with BucketFile(path) as file:
        for data in file.read(rank, rank + 1, chunk=chunk):
            yield from np.frombuffer(data, dtype=_NUMBER).tolist()


def _read_keys(
    context: TaskContext, keys: Sequence[KeyFile], buckets: tuple[int, int]
) -> tuple[Rows, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """A range of the keys of all shards, and for each its shard's rank and its file's place."""
    parts: list[Rows] = [np.empty(0, KEY_ROW)]
    ranks, files = [np.empty(0, "<u4")], [np.empty(0, "<u4")]
    for each in keys:
        rows = np.frombuffer(b"".join(_read_range(context, [each.path], buckets)), dtype=KEY_ROW)
        if len(rows):
            parts.append(rows)
            ranks.append(np.full(len(rows), each.rank, "<u4"))
            files.append(np.array(each.files, "<u4")[rows["part"]])
    return np.concatenate(parts), np.concatenate(ranks), np.concatenate(files)


def _read_range(context: TaskContext, paths: Sequence[str], buckets: tuple[int, int]) -> Iterator[bytes]:
    for path in paths:
        with BucketFile(context.upstream(path)) as file:
            yield from file.read(*buckets)


def _write_rows(context: TaskContext, role: str, rows: Rows, bucket: npt.NDArray[np.int64], buckets: int) -> None:
    with context.file(role, role) as out:
        writer = BucketWriter(out, buckets, _FLUSH)
        if len(rows):
            writer.add_rows(bucket, rows)
        writer.close()
    context.records(role, len(rows))


def _marks(*columns: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """For rows sorted by columns: does a new group start here?"""
    new = np.zeros(len(columns[0]), dtype=bool)
    new[:1] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return new


def _starts(*columns: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.flatnonzero(_marks(*columns))
