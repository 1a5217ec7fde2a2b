"""What the job ``redpajama_v2`` does with a shard: each of the four files that RedPajama-V2 has of it."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator, Sequence
from typing import Any, cast

from xxhash import xxh3_128_digest as hash128

from filters import minhash_v2
from filters.signals import SignalSources, Words, max_characters, max_lines
from redpajama_data.corpus.columns import Batch, counted_batches
from redpajama_data.dedup import equal_keys
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import to_json
from redpajama_data.release.parquet import library
from slices.jobs.signals import decoded_meta, signal_line
from slices.jobs.signals_ids import document_ids

GZIP_LEVEL = 6
ROW_GROUP = 4096  # documents: of signatures 16 MB
_BEFORE_TEXT = ("url", "date_download", "digest", "length", "nlines", "source_domain", "title")  # CCNet's order


def shard_id(tag: str) -> str:
    """The published name of the documents of a shard."""
    return f"{tag}.json.gz"


def _numbered(context: TaskContext, path: str, max_malformed: float) -> Iterator[tuple[int, Batch]]:
    """The batches of a shard, and the number among its documents of the first of each."""
    first = 0
    for batch in counted_batches(context, path, max_malformed=max_malformed):
        yield first, batch
        first += len(batch.n)
    context.receipt.kept = first - context.receipt.dropped.get("max_characters", 0)
    context.receipt.kept -= context.receipt.dropped.get("max_lines", 0)
    context.receipt.bytes = context.receipt.read_bytes - sum(context.receipt.dropped_bytes.values())


@contextlib.contextmanager
def _gzip_lines(context: TaskContext, name: str) -> Iterator[gzip.GzipFile]:
    """A file of lines in gzip, without a time or a name in its head: the same lines are the same bytes."""
    with context.exported(name) as file, gzip.GzipFile("", "wb", GZIP_LEVEL, cast(Any, file), mtime=0) as out:
        yield out


# ---------------------------------------------------------------------------------------------- documents


def documents_work(
    context: TaskContext, *, path: str, tag: str, annotated: Sequence[str], max_malformed: float
) -> None:
    """Write the CCNet record of each document; of a shard of an ``annotated`` bucket a key of each digest as well."""
    name = f"documents/{shard_id(tag)}"
    context.receipt.notes["tag"] = tag
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(_gzip_lines(context, name))
        keys = None
        if tag.endswith(tuple(annotated)):
            keys = equal_keys.KeyWriter(stack.enter_context(context.file("keys", "keys")))
        for first, batch in _numbered(context, path, max_malformed):
            for place, text in enumerate(batch.texts):
                meta = decoded_meta(batch, place)
                out.write(to_json(ccnet_record(text, meta)) + b"\n")
                if keys is not None and isinstance(meta.get("digest"), str):
                    keys.add(hash128(plain_digest(meta).encode()), first + place)
        if keys is not None:
            keys.close()
    context.records(f"exported:{name}", context.receipt.kept)
    if keys is not None:
        context.records("keys", keys.count)


def ccnet_record(text: str, meta: dict[str, Any]) -> dict[str, Any]:
    """CCNet's record of a document, its fields in CCNet's order."""
    head = {name: meta[name] for name in _BEFORE_TEXT if name in meta}
    return {**head, "raw_content": text, **{name: value for name, value in meta.items() if name not in head}}


def plain_digest(meta: dict[str, Any]) -> str:
    """The digest of the page's block as the published filter takes it."""
    return str(meta.get("digest")).replace("sha1:", "")


# ---------------------------------------------------------------------------------------------- signals, signatures


def signals_work(
    context: TaskContext,
    *,
    path: str,
    tag: str,
    sources: SignalSources,
    language: str,
    words: Words,
    characters: int,
    lines: int,
    max_malformed: float,
) -> None:
    """Write the quality signals of a shard's documents. One too large goes to the ledger: its number stays its own."""
    name = f"quality_signals/{tag}.signals.json.gz"
    shard = shard_id(tag)
    with _gzip_lines(context, name) as out:
        for first, batch in _numbered(context, path, max_malformed):
            ids = document_ids(shard, range(first, first + len(batch.n)))
            for place, text in enumerate(batch.texts):
                drop = max_characters(text, limit=characters) or max_lines(text, limit=lines)
                if drop is not None:
                    context.drop(f"{path}#{batch.n[place]}", drop, text=text)
                    continue
                line = signal_line(
                    text,
                    decoded_meta(batch, place),
                    shard=shard,
                    names=ids[place],
                    sources=sources,
                    language=language,
                    words=words,
                    lines=lines,
                )
                out.write(line + b"\n")
    context.records(f"exported:{name}", context.receipt.kept)


def minhash_work(context: TaskContext, *, path: str, tag: str, max_malformed: float) -> None:
    """Write the banded signatures of a shard's documents; null for a text of fewer than 13 words."""
    pa = library()
    signatures = {minhash_v2.column(threshold): pa.list_(pa.binary()) for threshold in minhash_v2.BANDS}
    schema = {"shard_id": pa.string(), "id": pa.string(), "id_int": pa.uint64(), **signatures}
    shard = shard_id(tag)

    def rows() -> Iterator[dict[str, Any]]:
        for first, batch in _numbered(context, path, max_malformed):
            ids = document_ids(shard, range(first, first + len(batch.n)))
            for (doc_id, id_int), text in zip(ids, batch.texts, strict=True):
                bands = minhash_v2.banded(minhash_v2.signature(text))
                yield {"shard_id": shard, "id": doc_id, "id_int": id_int, **bands}

    _write_parquet(context, f"minhash/{tag}.minhash.parquet", schema, rows())


# ---------------------------------------------------------------------------------------------- duplicates


def duplicates_work(
    context: TaskContext, *, path: str, tag: str, rank: int, verdicts: Sequence[str], max_malformed: float
) -> None:
    """Write the ids and digests of the documents of a shard that verdicts call copies; ``rank`` is its among them."""
    pa = library()
    context.receipt.notes["tag"] = tag
    schema = dict.fromkeys(("shard_id", "doc_id", "digest"), pa.string())
    paths = [context.upstream(verdict) for verdict in verdicts]
    copies = equal_keys.read_verdicts(paths, rank, memory=context.memory)
    shard = shard_id(tag)

    def rows() -> Iterator[dict[str, Any]]:
        copy = next(copies, None)
        for first, batch in _numbered(context, path, max_malformed):
            while copy is not None and copy[0] < first + len(batch.n):
                digest = plain_digest(decoded_meta(batch, copy[0] - first))
                yield {"shard_id": shard, "doc_id": f"{shard}/{copy[0]}", "digest": digest}
                copy = next(copies, None)

    _write_parquet(context, f"duplicates/{tag}.duplicates.parquet", schema, rows())


def _write_parquet(context: TaskContext, name: str, columns: dict[str, Any], rows: Iterator[dict[str, Any]]) -> None:
    """Write rows as they come, :data:`ROW_GROUP` of them at a time."""
    pa = library()
    schema = pa.schema(list(columns.items()))
    count = 0
    with context.exported(name) as file, pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        held: list[dict[str, Any]] = []
        for row in rows:
            held.append(row)
            count += 1
            if len(held) == ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(held, schema))
                held = []
        if held or not count:
            writer.write_table(pa.Table.from_pylist(held, schema))
    context.records(f"exported:{name}", count)
