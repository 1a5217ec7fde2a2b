"""The keys of Common Crawl's documents: a shard writes them, its document dedup reads a range of all.

A row a document: URL and digest as 128-bit hashes, its number in the shard, and the part of the shard it is in. Where
texts are compared as well, that of the text comes last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.buckets import BucketFile, BucketWriter
from redpajama_data.dedup.partitions import BUCKETS, Pass
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.tasks import TaskContext
from slices.parts.crawl_layout import crawl_files
from slices.parts.crawl_lines import bucket_of

URL = [("url_hi", "<u8"), ("url_lo", "<u8")]
DIGEST = [("digest_hi", "<u8"), ("digest_lo", "<u8")]
TEXT = [("text_hi", "<u8"), ("text_lo", "<u8")]
KEY_ROW = np.dtype([*URL, *DIGEST, ("n", "<u8"), ("part", "<u4")])
TEXT_KEY_ROW = np.dtype([*URL, *DIGEST, ("n", "<u8"), ("part", "<u4"), *TEXT])
_FLUSH = 4 << 20  # bytes of keys gathered before they are written, whatever the memory; the peak is four times as much

Rows = npt.NDArray[Any]


class CrawlKeyWriter:
    """Writes the keys of a shard's documents: :meth:`add` once a document, in order. ``texts``: with those of texts."""

    def __init__(self, file: Any, *, texts: bool = False) -> None:
        self._kind = TEXT_KEY_ROW if texts else KEY_ROW
        self._buckets = BucketWriter(file, BUCKETS, 1)
        self._rows = bytearray()
        self.count = 0

    def add(self, url: str, digest: str, part: int, n: int, text: str = "") -> None:
        """Add the shard's n-th document, which is in its ``part``-th file of a language and bucket."""
        self._rows += _hash128(url) + _hash128(digest) + n.to_bytes(8, "little") + part.to_bytes(4, "little")
        if self._kind is TEXT_KEY_ROW:
            self._rows += _hash128(text)
        self.count += 1
        if len(self._rows) >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        rows = np.frombuffer(bytes(self._rows), dtype=self._kind)
        self._rows = bytearray()
        self._buckets.add_rows(bucket_of(rows["url_hi"]), rows)

    def close(self) -> None:
        """Write what is held, and the index."""
        if self._rows:
            self._flush()
        self._buckets.close()


def text_hash(text: str) -> str:
    """The key of a text, in hexadecimal digits."""
    return _hash128(text).hex()


def _hash128(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class KeyFile:
    """The keys of one shard: its rank, the file, and the place in the order of files of each of its parts."""

    rank: int
    path: str
    files: tuple[int, ...]


def key_files(mined: Sequence[Receipt], per_file: int | None) -> list[KeyFile]:
    """The key files that the stage ``mine`` wrote."""
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


def read_keys(
    context: TaskContext, keys: Sequence[KeyFile], part: Pass, *, texts: bool = False
) -> tuple[Rows, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """What a pass takes of the keys of all shards, and for each its shard's rank and its file's place. ``texts``: they
    were written with the keys of texts."""
    kind = TEXT_KEY_ROW if texts else KEY_ROW
    parts: list[Rows] = [np.empty(0, kind)]
    ranks, files = [np.empty(0, "<u4")], [np.empty(0, "<u4")]
    for shard in keys:
        rows = rows_of_pass(context, [shard.path], part, kind)
        if len(rows):
            parts.append(rows)
            ranks.append(np.full(len(rows), shard.rank, "<u4"))
            files.append(np.array(shard.files, "<u4")[rows["part"]])
    return np.concatenate(parts), np.concatenate(ranks), np.concatenate(files)


def rows_of_pass(context: TaskContext, paths: Sequence[str], part: Pass, kind: np.dtype[Any]) -> Rows:
    """What a pass takes of some files of rows; their key is the first column."""
    taken: list[Rows] = [np.empty(0, kind)]
    for path in paths:
        with BucketFile(context.upstream(path)) as file:
            for data in file.read(part.first, part.end):
                rows = np.frombuffer(data, dtype=kind)
                taken.append(part.of(rows[kind.names[0]] if kind.names else rows, rows))
    return np.concatenate(taken)
