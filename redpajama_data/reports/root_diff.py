"""Which documents two roots have in common: only in one, changed, equal, slice by slice. Out of core.

A document is the same in both when its id is: base name of the raw file and ordinal in it, wherever the raw files lie.
Shards with equal bytes and ids are not read. Of the others each document becomes 24 bytes (hash of the id, hash of the
line, place) in a bucket of a scratch file by its id; the buckets of both roots are then compared range by range, as
many at once as memory holds. What jobs over all slices published has no ids of its own: there a document is its line.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice, zip_longest
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from redpajama_data.dedup.buckets import BucketFile, BucketWriter
from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io import storage
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.shards import MAX_LINE
from redpajama_data.reports.document_diff import KINDS, ROW, Found, compare_rows
from redpajama_data.reports.waterfall import shard_slice

BUCKETS = 4096
PEAK = 8  # bytes in memory for a byte of rows while they are compared; measured 6.2
_CHUNK = 1 << 16  # rows gathered before they are written

Rows = npt.NDArray[Any]


@dataclass(frozen=True)
class PublishedShard:
    """A shard of a root, with the list of its documents' ids; None where documents have none."""

    root: str
    out: Output
    ids: Output | None


@dataclass
class SliceDiff:
    """The documents of one slice (or of one job and slice: ``fuzzy/github``) in two roots.

    ``examples`` are ids, or shard and line where documents have no ids, of the kinds in which the roots differ; those
    of ``changed`` and ``only_a`` as the first root has them.
    """

    slice: str
    equal: int = 0
    changed: int = 0
    only_a: int = 0
    only_b: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def differs(self) -> bool:
        """True when not all documents are equal."""
        return bool(self.changed or self.only_a or self.only_b)


def diff(
    root_a: str, root_b: str, *, memory: int, show: int = 0, progress: Callable[[int], None] | None = None
) -> list[SliceDiff]:
    """Compare two roots, slice by slice, with at most about ``memory`` bytes held; ``show`` examples of each kind.

    Documents that share an id (raw files of one name) are compared as the collection they are. ``progress`` is called
    with the number of documents dealt with. Raises :class:`UsageError` for a place that is no root, and
    :class:`BrokenInput` for a shard that cannot be read.
    """
    a, b = _shards(root_a), _shards(root_b)
    result = []
    for name in dict.fromkeys((*a, *b)):
        result.append(_diff_slice(name, a.get(name, []), b.get(name, []), memory, show, progress or (lambda _: None)))
    return result


def _shards(root: str) -> dict[str, list[PublishedShard]]:
    """The published shards of a root, by slice, or by job and slice."""
    shards: dict[str, list[PublishedShard]] = {}
    for note in slices_of(root):
        if note.kind == "report":
            continue
        for receipt in receipts.load_all(root, note.slice):
            for role, out in receipt.outputs.items():
                kind, _, name = role.partition(":")
                if kind == "published":
                    own = note.kind == "slice"
                    ids = receipt.outputs.get(f"ids:{name}" if name else "ids") if own else None
                    place = note.slice if own else f"{note.slice}/{shard_slice(receipt)}"
                    shards.setdefault(place, []).append(PublishedShard(root, out, ids))
    return shards


# ------------------------------------------------------------------------------------------------ equal shards


def _diff_slice(
    name: str,
    a: Sequence[PublishedShard],
    b: Sequence[PublishedShard],
    memory: int,
    show: int,
    progress: Callable[[int], None],
) -> SliceDiff:
    by_line = any(shard.ids is None for shard in (*a, *b))
    result = SliceDiff(name)
    left_a, left_b = _take_equal(a, b, by_line)
    result.equal = sum(shard.out.records for shard in a) - sum(shard.out.records for shard in left_a)
    progress(2 * result.equal)
    if left_a or left_b:
        found = _diff_documents(left_a, left_b, by_line, memory, show, progress)
        for kind in KINDS:
            setattr(result, kind, getattr(result, kind) + found.counts[kind])
        result.examples = {
            kind: _names(left_b if kind == "only_b" else left_a, places, by_line)
            for kind, places in found.places.items()
            if places
        }
    return result


def _take_equal(
    a: Sequence[PublishedShard], b: Sequence[PublishedShard], by_line: bool
) -> tuple[list[PublishedShard], list[PublishedShard]]:
    """What is left of both when each shard has gone with one of the other root that has its bytes and ids."""
    by_content: dict[str, list[PublishedShard]] = {}
    for shard in b:
        by_content.setdefault(shard.out.sha256, []).append(shard)
    left = []
    for shard in a:
        there = by_content.get(shard.out.sha256, [])
        there.sort(key=lambda other: other.out.path != shard.out.path)
        twin = next((n for n, other in enumerate(there) if by_line or _same_ids(shard, other)), None)
        if twin is None:
            left.append(shard)
        else:
            del there[twin]
    return left, [shard for shards in by_content.values() for shard in shards]


def _same_ids(a: PublishedShard, b: PublishedShard) -> bool:
    assert a.ids is not None
    assert b.ids is not None
    return a.ids.sha256 == b.ids.sha256 or all(x == y for x, y in zip_longest(_ids(a), _ids(b)))


def _ids(shard: PublishedShard) -> Iterator[bytes]:
    """The ids of a shard's documents, without the folders of the raw files."""
    assert shard.ids is not None
    for line in iter_lines(storage.join(shard.root, shard.ids.path), max_bytes=MAX_LINE):
        yield cast(bytes, line).rpartition(b"/")[2]


# ------------------------------------------------------------------------------------------------ documents


def _diff_documents(
    a: Sequence[PublishedShard],
    b: Sequence[PublishedShard],
    by_line: bool,
    memory: int,
    show: int,
    progress: Callable[[int], None],
) -> Found:
    differences = Found(show)
    with tempfile.TemporaryDirectory(prefix="rpj-diff-") as scratch:
        paths = [os.path.join(scratch, side) for side in "ab"]
        for path, shards in zip(paths, (a, b), strict=True):
            _lay_out(path, shards, by_line, memory, progress)
        with BucketFile(paths[0]) as file_a, BucketFile(paths[1]) as file_b:
            for first, end in _ranges(file_a.sizes() + file_b.sizes(), memory):
                compare_rows(_read(file_a, first, end), _read(file_b, first, end), differences)
    return differences


def _lay_out(
    path: str, shards: Sequence[PublishedShard], by_line: bool, memory: int, progress: Callable[[int], None]
) -> None:
    """Write a row of :data:`ROW` for every document of the shards, in the bucket of its id."""
    size = max(256, min(_CHUNK, memory // (16 * ROW.itemsize)))  # as tuples of integers a row takes some 240 bytes
    with open(path, "wb", buffering=1 << 20) as file:
        writer = BucketWriter(file, BUCKETS, 1)
        rows = _rows(shards, by_line)
        while chunk := list(islice(rows, size)):
            array = np.array(chunk, dtype=ROW)
            writer.add_rows((array["id"] >> np.uint64(52)).astype(np.int64), array)
            progress(len(chunk))
        writer.close()


def _rows(shards: Sequence[PublishedShard], by_line: bool) -> Iterator[tuple[int, int, int, int]]:
    for place, shard in enumerate(shards):
        lines = iter_lines(storage.join(shard.root, shard.out.path), max_bytes=MAX_LINE)
        ids: Iterator[bytes | None] = iter(()) if by_line else _ids(shard)
        for n, (line, doc_id) in enumerate(zip_longest(lines, ids)):
            if not isinstance(line, bytes) or (doc_id is None and not by_line):
                raise BrokenInput(f"{shard.out.path} of {shard.root} does not match its ids. Run rpj verify.")
            if doc_id is None:
                digest = blake2b(line, digest_size=16).digest()
                yield int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"), place, n
            else:
                yield _hash(doc_id), _hash(line), place, n


def _hash(data: bytes) -> int:
    """64 bits: of 10**9 ids two are equal by chance with 3 %, and then two documents are compared as one id's."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _ranges(sizes: npt.NDArray[np.uint64], memory: int) -> Iterator[tuple[int, int]]:
    """Neighbouring buckets that memory holds together. Raises :class:`UsageError` when it does not hold one alone."""
    first = held = 0
    for bucket, size in enumerate(sizes.tolist()):
        if size * PEAK > memory:
            raise UsageError(f"{size} bytes of rows do not fit into memory. Give --memory {(size * PEAK >> 20) + 1}M.")
        if held + size > memory // PEAK:
            yield first, bucket
            first, held = bucket, 0
        held += size
    yield first, len(sizes)


def _read(file: BucketFile, first: int, end: int) -> Rows:
    return np.frombuffer(b"".join(file.read(first, end)), dtype=ROW)


# ------------------------------------------------------------------------------------------------ examples


def _names(shards: Sequence[PublishedShard], places: Sequence[tuple[int, int]], by_line: bool) -> list[str]:
    """What to call the documents at (shard, line): the id as in the root's ledger, or the path and line from 1."""
    if by_line:
        return [f"{shards[shard].out.path}:{n + 1}" for shard, n in places]
    wanted: dict[int, list[int]] = defaultdict(list)
    for shard, n in sorted(places):
        wanted[shard].append(n)
    names = []
    for shard, numbers in wanted.items():
        ids = shards[shard].ids
        assert ids is not None
        lines = iter_lines(storage.join(shards[shard].root, ids.path), max_bytes=MAX_LINE)
        held = {n: line for n, line in islice(enumerate(lines), max(numbers) + 1) if n in numbers}
        names += [cast(bytes, held[n]).decode("utf-8", "replace") for n in numbers]
    return names
