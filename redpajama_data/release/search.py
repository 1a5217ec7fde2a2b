"""Looks through published shards for documents: all of them, as a stream, on as many processes as asked.

A line is looked at as bytes first. Only one that has what is asked for somewhere is decoded, so that a core looks
through 100 GB of text in minutes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import msgspec
import numpy as np

from redpajama_data.corpus.listing import Record
from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.errors import NOT_JSON, BrokenInput
from redpajama_data.io import storage
from redpajama_data.io.lines import TooLong, iter_lines, line_lists
from redpajama_data.io.root_paths import WITHIN
from redpajama_data.io.shards import MAX_LINE, to_json
from redpajama_data.release import index
from redpajama_data.release.index import Keys

Seen = TypeVar("Seen")

_ID_MAX = 1 << 20  # bytes of a line of ids: a path and a number
_SHOWN = 60  # characters of a text around what was found, on each side


@dataclass(frozen=True)
class Query:
    """What documents are looked for. A record meets it when ``meets`` says so; ``needle`` are bytes that are in the
    line of every such record, b"" when nothing is known of it; ``keys`` are in the index of a shard that has one."""

    needle: bytes
    meets: Callable[[Record], bool]
    keys: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))


class _Url(msgspec.Struct, gc=False):
    url: Any = None


_decode_url = msgspec.json.Decoder(_Url).decode


class _Line(msgspec.Struct, gc=False):
    text: str
    meta: msgspec.Raw = msgspec.Raw(b"{}")


_decode_line = msgspec.json.Decoder(_Line).decode


def for_text(text: str) -> Query:
    """Documents whose text contains ``text``."""
    return Query(_within_json(text), partial(_has_text, text=text), index.keys_of_query(text))


def for_url(url: str) -> Query:
    """Documents whose meta has this ``url``."""
    return Query(_within_json(url), partial(_has_url, url=url), index.keys_of_url(url))


def for_host(host: str) -> Query:
    """Documents whose ``url`` is of this host, or of one below it: example.org takes www.example.org in."""
    name = host.lower().rstrip(".")
    # A host may be written in capitals.
    return Query(b"", partial(_has_host, host=name), index.keys_of_host(name))


def _within_json(text: str) -> bytes:
    return to_json(text)[1:-1]


def _has_text(record: Record, *, text: str) -> bool:
    return text in record.text


def _has_url(record: Record, *, url: str) -> bool:
    return url_of(record) == url


def _has_host(record: Record, *, host: str) -> bool:
    url = url_of(record)
    found = index.host_of(url) if url is not None else None
    return found is not None and (found == host or found.endswith(f".{host}"))


def url_of(record: Record) -> str | None:
    """The ``url`` of a record's meta, when it is a string."""
    return url_in(record.raw_meta)


def url_in(meta: msgspec.Raw) -> str | None:
    """The ``url`` of a meta, when it is a string."""
    try:
        found = _decode_url(meta).url
    except NOT_JSON:
        return None
    return found if isinstance(found, str) else None


@dataclass(frozen=True)
class PublishedShard:
    """A published shard: the receipt of its task, the files of its records and ids, and whether rpj wrote its lines as
    they are (a job passes on those of anybody)."""

    receipt: Receipt
    out: Output
    ids: Output | None
    ours: bool


def published_shards(root: str) -> list[PublishedShard]:
    """Every shard that slices and jobs have published, slices first. Raises :class:`UsageError` for what is no root."""
    found = []
    for note in sorted(slices_of(root), key=lambda note: note.kind != "slice"):
        if note.kind == "report":
            continue
        for receipt in receipts.load_all(root, note.slice):
            for role, out in receipt.outputs.items():
                kind, _, name = role.partition(":")
                if kind == "published" and out.records:
                    ids = receipt.outputs.get(f"ids:{name}" if name else "ids")
                    found.append(PublishedShard(receipt, out, ids, note.kind == "slice"))
    return found


def search(
    root: str, shards: Sequence[PublishedShard], query: Query, see: Callable[[Record], Seen], *, workers: int = 1
) -> Iterator[tuple[PublishedShard, list[tuple[int, Seen]]]]:
    """The shards that hold records which meet a query, with line numbers (from 0) and what ``see`` gives of each, in
    order. That is small: it is held for a whole shard. Raises :class:`BrokenInput` for a shard that cannot be read to
    its end: what is not looked at must not pass for not there."""
    work = partial(seen_in, query=query, see=see)
    paths = [storage.join(root, shard.out.path) for shard in shards]
    ours = [shard.ours for shard in shards]
    if workers == 1 or len(shards) == 1:
        for shard, path, own in zip(shards, paths, ours, strict=True):
            if found := work(path, own):
                yield shard, found
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver"))
    try:
        for shard, found in zip(shards, pool.map(work, paths, ours), strict=True):
            if found:
                yield shard, found
    finally:  # whoever has found enough does not wait for the shards that nobody has begun
        pool.shutdown(cancel_futures=True)


def seen_in(path: str, ours: bool, *, query: Query, see: Callable[[Record], Seen]) -> list[tuple[int, Seen]]:
    """The line numbers of a shard's records that meet a query, and what ``see`` gives of them."""
    needle = query.needle if ours else b""  # others may spell a character as \\uXXXX
    found = []
    n = 0
    for lines, _ in line_lists(path, max_bytes=MAX_LINE):
        for number, line in enumerate(lines, n):
            if isinstance(line, TooLong):
                raise BrokenInput(f"{path}: line {number + 1} is too long to be looked at ({line.length:,} bytes).")
            if needle and needle not in line:
                continue
            try:
                decoded = _decode_line(line)
            except NOT_JSON as error:
                raise BrokenInput(f"{path}: line {number + 1} is no record ({error}). Run rpj verify.") from error
            record = Record(number, line, decoded.text, decoded.meta)
            if query.meets(record):
                found.append((number, see(record)))
        n += len(lines)
    return found


def ids_at(root: str, shard: PublishedShard, numbers: Sequence[int]) -> list[str]:
    """The ids that a shard's list has for its lines of those numbers (from 0, rising)."""
    if shard.ids is None:
        return [f"{WITHIN}{shard.out.path}#{n}" for n in numbers]
    wanted = set(numbers)
    lines = enumerate(iter_lines(storage.join(root, shard.ids.path), max_bytes=_ID_MAX))
    return [cast(bytes, line).decode() for n, line in lines if n in wanted]


def around(text: str, part: str) -> str:
    """Some of a text around what was found in it, on one line."""
    at = max(0, text.find(part)) if part else 0
    shown = text[max(0, at - _SHOWN) : at + len(part) + _SHOWN]
    return " ".join(shown.split())


def record_at(root: str, path: str, number: int) -> Record:
    """The record of a line of a published shard (from 0). Raises :class:`BrokenInput` when there is none."""
    for n, line in enumerate(iter_lines(storage.join(root, path), max_bytes=MAX_LINE)):
        if n == number and isinstance(line, bytes):
            decoded = _decode_line(line)
            return Record(n, line, decoded.text, decoded.meta)
    raise BrokenInput(f"{path}: it has no line {number + 1}. Run rpj verify.")
