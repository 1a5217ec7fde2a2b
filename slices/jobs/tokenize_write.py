"""The documents of the stage ``encode``, brought in order and written as prefixes. See :mod:`slices.jobs.tokenize`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from redpajama_data.corpus.listing import slice_of
from redpajama_data.corpus.mds_shards import Ids
from redpajama_data.corpus.token_files import Format, TokenWriter, writing_tokens
from redpajama_data.dedup.buckets import BucketFile, BucketWriter
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io.shards import read_names
from redpajama_data.io.storage import open_input
from redpajama_data.models.model_file import ModelFile
from slices.jobs.tokenize_mixture import Rows, Share, held_out, in_part, order_of, read_rows

# A document in a bucket: its place in the order; shard, record and epoch, which part equal texts; its tokens.
PLACED = np.dtype([("order", "<u8"), ("rank", "<u4"), ("n", "<u8"), ("epoch", "<u2"), ("tokens", "<u4")])
_PREFIX_END = re.compile(r"(-held-out)?(-\d{5}-of-\d{5})?\Z")  # of a prefix's name, behind that of its slice
_TOKENS_AT_ONCE = 1 << 20  # of a shard
_FLUSH = 16 << 20  # bytes of ids that a scatter task holds


class Target(NamedTuple):
    """What every task must know: the format, what decides the order, and the ids. ``window`` is the tokens of a window
    that the format cuts (mds), or 0."""

    format: Format
    seed: int
    held_out: float
    item_bytes: int
    end: str
    end_id: int
    vocabulary: int
    tokenizer: ModelFile
    window: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the ids."""
        return np.dtype(f"<u{self.item_bytes}")


class Encoded(NamedTuple):
    """A shard after the stage ``encode``: its place and path, its slice, its files in the root."""

    rank: int
    path: str
    slice: str
    documents: str
    ids: str


class Written(NamedTuple):
    """A prefix: its name, what its task has noted, and path, bytes and SHA-256 of its files."""

    name: str
    notes: dict[str, Any]
    files: list[tuple[str, int, str]]


def read_documents(context: TaskContext, shard: Encoded, dtype: npt.DTypeLike) -> Iterator[tuple[Rows, Ids]]:
    """The documents of a shard and their ids, a piece at a time: 1 M tokens, or one document.

    Raises :class:`BrokenInput` when the two files do not go together.
    """
    size = np.dtype(dtype).itemsize
    with open_input(context.upstream(shard.ids)) as file:
        for rows in read_rows(context.upstream(shard.documents)):
            ends = np.cumsum(rows["tokens"], dtype="<i8")
            start = begin = 0
            while start < len(rows):
                stop = max(start + 1, int(np.searchsorted(ends, begin + _TOKENS_AT_ONCE, side="right")))
                data = file.read(size * (int(ends[stop - 1]) - begin))
                if len(data) != size * (int(ends[stop - 1]) - begin):
                    raise BrokenInput(f"{shard.ids}: ends early. rpj verify names it; delete it and run again.")
                yield rows[start:stop], np.frombuffer(data, dtype)
                start, begin = stop, int(ends[stop - 1])


# ---------------------------------------------------------------------------------------------- a prefix a slice


def slice_work(context: TaskContext, *, shards: Sequence[Encoded], held: bool, target: Target) -> None:
    """Write the documents of shards of a slice in their order: those to train on, or those held out."""
    with _writer(context, target) as out:
        for shard in shards:
            for rows, ids in read_documents(context, shard, target.dtype):
                mine = held_out(rows, target.held_out) == held
                places = [b"%b#%d" % (shard.path.encode(), n) for n in rows["n"][mine].tolist()]
                if not mine.all():  # a mask over every token costs more than all else here
                    ids = ids[np.repeat(mine, rows["tokens"])]
                out.add(ids, rows["tokens"][mine], places)
    _told(context, out, {shards[0].slice: [out.documents, out.tokens]}, held)


def _writer(context: TaskContext, target: Target) -> AbstractContextManager[TokenWriter]:
    """The prefix of a task: called as the task is, which is how a run knows its files when the receipt is lost."""
    tokenizer = os.path.basename(target.tokenizer.path)
    return writing_tokens(
        context, target.format, dtype=target.dtype, end=target.end_id, tokenizer=tokenizer, sequence=target.window
    )


def _told(context: TaskContext, out: TokenWriter, slices: Mapping[str, list[int]], held: bool) -> None:
    context.receipt.read += out.documents
    context.receipt.kept += out.documents
    context.receipt.notes |= {
        "documents": out.documents,
        "tokens": out.tokens,
        "held_out": held,
        "slices": dict(slices),
    }


# ---------------------------------------------------------------------------------------------- a mixture


def scatter_work(
    context: TaskContext, *, shards: Sequence[Encoded], shares: Mapping[str, Share], buckets: int, target: Target
) -> None:
    """Write every document, as often as its slice is read, to the bucket of its place in the order; those held out
    once, to as many buckets after these."""
    every = buckets * (2 if target.held_out else 1)
    with context.file("rows", "rows") as rows_file, context.file("ids", "ids") as ids_file:
        rows_out, ids_out = (BucketWriter(file, every, sys.maxsize) for file in (rows_file, ids_file))
        held_bytes = count = 0
        for shard in shards:
            share = shares[shard.slice]
            for rows, ids in read_documents(context, shard, target.dtype):
                apart = held_out(rows, target.held_out)
                last = in_part(rows, shard.rank, target.seed, share.cut)
                taken = [(0, epoch, ~apart) for epoch in range(share.epochs)]
                taken += [(0, share.epochs, ~apart & last), (buckets, 0, apart)]
                begins = np.cumsum(rows["tokens"], dtype="<i8") - rows["tokens"]
                for first, epoch, mine in taken:
                    placed = _placed(rows[mine], shard.rank, target.seed, epoch)
                    records = placed.tobytes()
                    columns = (placed["order"].tolist(), placed["tokens"].tolist(), begins[mine].tolist())
                    for at, (order, size, begin) in enumerate(zip(*columns, strict=True)):
                        bucket = first + (order * buckets >> 64)
                        rows_out.add(bucket, records[at * PLACED.itemsize : (at + 1) * PLACED.itemsize])
                        ids_out.add(bucket, ids[begin : begin + size].tobytes())
                    held_bytes += target.item_bytes * int(placed["tokens"].sum())
                    count += len(placed)
                    if held_bytes >= _FLUSH:  # both: pieces of a bucket must come in the same order
                        rows_out.flush()
                        ids_out.flush()
                        held_bytes = 0
        rows_out.close()
        ids_out.close()
    context.records("rows", count)


def _placed(rows: Rows, rank: int, seed: int, epoch: int) -> Rows:
    placed = np.empty(len(rows), PLACED)
    placed["order"] = order_of(rows, seed, epoch)
    placed["rank"], placed["epoch"] = rank, epoch
    placed["n"], placed["tokens"] = rows["n"], rows["tokens"]
    return placed


def part_work(
    context: TaskContext,
    *,
    scattered: Sequence[tuple[str, str]],
    buckets: tuple[int, int],
    held: bool,
    inputs: str,
    target: Target,
) -> None:
    """Write the documents of a range of buckets in their order, as many buckets at once as memory holds."""
    names = [path.encode() for path in read_names(context.upstream(inputs))]
    slices = sorted({slice_of(path.decode()) for path in names})
    places_of = {name: place for place, name in enumerate(slices)}
    of = np.array([places_of[slice_of(path.decode())] for path in names])  # of each shard, the place of its slice
    counts, tokens = np.zeros((2, len(slices)), np.int64)
    with _writer(context, target) as out:
        for first, end in _passes(context, scattered, buckets):
            rows = _read(context, [path for path, _ in scattered], first, end).view(PLACED)
            ids = _read(context, [path for _, path in scattered], first, end).view(target.dtype)
            order = np.lexsort((rows["epoch"], rows["n"], rows["rank"], rows["order"]))
            begins = (np.cumsum(rows["tokens"], dtype="<i8") - rows["tokens"])[order].tolist()
            rows = rows[order]
            sizes = rows["tokens"].tolist()
            if not sizes:
                continue
            pieces = [ids[begin : begin + size] for begin, size in zip(begins, sizes, strict=True)]
            places = zip(rows["rank"].tolist(), rows["n"].tolist(), strict=True)
            out.add(np.concatenate(pieces), rows["tokens"], [b"%b#%d" % (names[rank], n) for rank, n in places])
            counts += np.bincount(of[rows["rank"]], minlength=len(slices)).astype(np.int64)
            tokens += np.bincount(of[rows["rank"]], rows["tokens"], len(slices)).astype(np.int64)
    _told(
        context,
        out,
        {name: pair for name, *pair in zip(slices, counts.tolist(), tokens.tolist(), strict=True) if pair[0]},
        held,
    )


def _passes(
    context: TaskContext, scattered: Sequence[tuple[str, str]], buckets: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Ranges of buckets that memory holds, each of one bucket at least: the ids three times (as read, in order, as
    written), of a document ten times its row (order, begin and place as Python's objects)."""
    first, end = buckets
    needed = np.zeros(end - first, "<u8")
    for paths in scattered:
        for path, times in zip(paths, (10, 3), strict=True):
            with BucketFile(context.upstream(path)) as file:
                needed += np.uint64(times) * file.sizes(first, end)
    start, held = first, 0
    for bucket, size in enumerate(needed.tolist(), first):
        if held and held + size > context.memory:
            yield start, bucket
            start, held = bucket, 0
        held += size
    yield start, end


def _read(context: TaskContext, paths: Sequence[str], first: int, end: int) -> Rows:
    pieces = []
    for path in paths:
        with BucketFile(context.upstream(path)) as file:
            pieces += [np.frombuffer(data, "u1") for data in file.read(first, end)]
    return np.concatenate(pieces) if pieces else np.empty(0, "u1")


# ---------------------------------------------------------------------------------------------- the report


def prefix_name(kind: str, part: int, parts: int) -> str:
    """``github``, or ``github-00000-of-00004``."""
    return f"{kind}-{part:05d}-of-{parts:05d}" if parts > 1 else kind


def refuse_equal_names(slices: Collection[str]) -> None:
    """Raise :class:`UsageError` when a slice is called as a prefix of another one may be."""
    for name in sorted(slices):
        if _PREFIX_END.sub("", name) in {*slices} - {name}:
            raise UsageError(
                f"the slice {name} is called as a prefix of {_PREFIX_END.sub('', name)} may be. Rename its folder."
            )


def report_work(
    context: TaskContext,
    *,
    written: Sequence[Written],
    encoded: Mapping[str, int],
    shares: Mapping[str, Share],
    sequence: int,
    target: Target,
) -> None:
    """Write ``tokens.json``: tokenizer, prefixes with their files, and of each slice what was asked and got."""
    prefixes = []
    got: dict[str, list[int]] = {}
    for prefix in written:
        files = [{"path": path, "bytes": size, "sha256": sha256} for path, size, sha256 in prefix.files]
        tokens = prefix.notes["tokens"]
        # Trainers that cut windows themselves want a token more than they predict; windows of mds are as they are.
        dropped = tokens % target.window if target.window else max(0, tokens - 1) % sequence
        prefixes.append({"name": prefix.name, **prefix.notes, "dropped_by_last_window": dropped, "files": files})
        if not prefix.notes["held_out"]:
            for name, (documents, tokens) in prefix.notes["slices"].items():
                before = got.get(name, [0, 0])
                got[name] = [before[0] + documents, before[1] + tokens]
    total = sum(tokens for _, tokens in got.values())
    slices = {}
    for name in sorted(got.keys() | shares.keys()):
        documents, tokens = got.get(name, (0, 0))
        slices[name] = {"documents": documents, "tokens": tokens, "share": tokens / total if total else 0.0}
        if name in shares:
            share = shares[name]
            epochs = share.asked / share.available if share.available else 0.0
            slices[name] |= {"available": share.available, "asked": share.asked, "epochs": epochs}
    found = {
        "tokenizer": {"name": os.path.basename(target.tokenizer.path), "sha256": target.tokenizer.sha256},
        "vocabulary": target.vocabulary,
        "dtype": target.dtype.name,
        "end": {"token": target.end, "id": target.end_id},
        "format": target.format,
        "seed": target.seed,
        "sequence": sequence,
        "encoded": dict(encoded),
        "slices": slices,
        "prefixes": prefixes,
    }
    with context.exported("tokens.json") as file, context.lines("ids:tokens", "ids.zst") as names:
        for prefix in written:
            names.write(prefix.name.encode())
        file.write(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
