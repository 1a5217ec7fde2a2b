"""Exact duplicates over shards of any slice, out of core: equal texts, equal URLs, or equal lines.

    keys     one task a shard: a 128-bit key of each record (of each line), and the ledger of what is no record
    dedup    one task a range of keys: of equal keys the first one stays
    copies   one task for some shards: what of each is a copy, and of which record
    keep     one task a shard: what stays is published, byte for byte

First means: in the slice of highest priority, then in input order (shards sorted by path, records in their order).
Keys are XXH3-128 over UTF-8: that any two of 10^12 different texts have one key has a chance of 10^-15. It is no
cryptographic hash (a tenth of the whole time): who wants to can make two texts that pass for one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import msgspec
import numpy as np
from pydantic import Field
from xxhash import xxh3_128_digest as hash128

from redpajama_data.config import Names, SliceSettings
from redpajama_data.corpus.columns import Batch, Columns, counted_batches
from redpajama_data.corpus.keep import VerdictsByNumber, keep, keep_tasks, without
from redpajama_data.corpus.listing import PATTERNS, per_shard, slice_of
from redpajama_data.dedup import equal_keys
from redpajama_data.dedup.copies import Copies
from redpajama_data.document import Drop
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput, Work
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import UsageError
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.copies import copies_of, copies_stage, read_copies
from redpajama_data.pipeline.stages import first_wins_tasks
from slices import BESIDE, NAMES
from slices.jobs.exact_lines import keep_lines_work, line_keys

By = Literal["document", "line", "url"]
RULES = {"document": "duplicate", "url": "duplicate_url"}  # of lines it is duplicate_lines


class ExactSettings(SliceSettings):
    """Settings of exact dedup."""

    by: By = Field("document", description="what is compared: document (its text), line or url (meta.url)")
    priority: Names = Field((), description="slices, highest first: the copy in the first of them stays")


# ---------------------------------------------------------------------------------------------- keys


def document_keys(batch: Batch) -> tuple[bytes, list[int]]:
    """The keys of a batch's texts, 16 bytes each, and the records' numbers."""
    return b"".join([hash128(text.encode()) for text in batch.texts]), batch.n


class _Address(msgspec.Struct):
    url: msgspec.Raw = msgspec.Raw()


_decode_address = msgspec.json.Decoder(_Address).decode
_decode_url = msgspec.json.Decoder(str).decode


def url_of(raw_meta: msgspec.Raw) -> str | None:
    """``url`` of a record's meta; None when the meta is no object or has no string there, or an empty one."""
    try:
        return _decode_url(_decode_address(raw_meta).url) or None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def url_keys(batch: Batch) -> tuple[bytes, list[int]]:
    """The keys of a batch's URLs, as they stand in the meta, and the numbers of the records that have one."""
    found = [(n, url) for n, meta in zip(batch.n, batch.metas, strict=True) if (url := url_of(meta)) is not None]
    return b"".join([hash128(url.encode()) for _, url in found]), [n for n, _ in found]


def keys_work(context: TaskContext, *, path: str, by: By, max_malformed: float) -> None:
    """Write the keys of a shard.

    ``kept`` of the receipt are its records; the note ``keys`` is how many keys they have: all lines that are not
    blank, or the records with a URL.
    """
    with context.file("keys", "keys") as file:
        writer = equal_keys.KeyWriter(file)
        for batch in counted_batches(context, path, max_malformed=max_malformed):
            context.receipt.kept += len(batch.n)
            if by == "line":
                for keys, numbers in line_keys(batch):
                    writer.add_many(keys, numbers)
            else:
                keys, found = (document_keys if by == "document" else url_keys)(batch)
                writer.add_many(keys, np.array(found, "<u8"))
        writer.close()
    context.receipt.bytes = context.receipt.read_bytes
    context.records("keys", writer.count)
    context.receipt.notes["keys"] = writer.count


# ---------------------------------------------------------------------------------------------- which copy stays


def order_of(paths: Sequence[str], priority: Sequence[str]) -> list[int]:
    """For each shard its place in the order in which copies are looked at: slices of ``priority`` first, in its order,
    then all others; within that the order of ``paths``.

    Raises :class:`UsageError` for a name that is neither a slice of the shards nor one of the corpus.
    """
    known = {slice_of(path) for path in paths}
    for name in priority:
        if name not in known and name not in (*NAMES, *BESIDE):
            raise UsageError(f"--priority {name}: no such slice. The input has {', '.join(sorted(known))}.")
    places = {name: place for place, name in reversed([*enumerate(priority)])}
    ordered = sorted(range(len(paths)), key=lambda rank: (places.get(slice_of(paths[rank]), len(priority)), rank))
    order = [0] * len(paths)
    for place, rank in enumerate(ordered):
        order[rank] = place
    return order


def check_priority(settings: Any, shards: Sequence[RawFile]) -> None:
    """The check of a job whose settings have a ``priority``. Raises :class:`UsageError` as :func:`order_of`."""
    order_of([raw.path for raw in shards], settings.priority)


def _plan_dedup(given: StageInput, *, priority: Sequence[str]) -> list[Planned]:
    order = order_of([raw.path for raw in given.inputs], priority)
    receipts = sorted(given.receipts["keys"], key=lambda receipt: order[receipt.rank])
    return first_wins_tasks(receipts, ranks=len(given.inputs))


# ---------------------------------------------------------------------------------------------- what stays


def keep_work(
    context: TaskContext,
    *,
    path: str,
    name: str,
    rule: str,
    part: Copies | None,
    records: int,
    tokenizer: ModelFile | None,
) -> None:
    """Publish the records of a shard that are no copies; of the others the ledger names the one that stayed.

    ``records`` is how many the keys were made of. Raises :class:`BrokenInput` when there are not as many now.
    """
    copies = VerdictsByNumber(read_copies(context, part))

    def staying(batch: Batch) -> Columns:
        leaving = copies.on(batch)
        if not leaving:
            return batch.n, batch.lines, batch.texts
        for n, kept, kept_n in leaving:
            text = batch.texts[bisect_left(batch.n, n)]
            context.drop(f"{path}#{n}", Drop(rule, f"{kept}#{kept_n}"), text=text)
        return without(batch, {n for n, _, _ in leaving})

    keep(context, staying, path=path, name=name, records=records, tokenizer=tokenizer)


def _plan_keep(given: StageInput, *, by: By, run: RunSettings) -> list[Planned]:
    copies = copies_of(given, "copies")
    work = partial(keep_lines_work) if by == "line" else partial(keep_work, rule=RULES[by])
    return keep_tasks(
        given, reads="keys", work=lambda receipt: partial(work, part=copies.get(receipt.task)), tokenizer=run.counter
    )


def stages(settings: ExactSettings, run: RunSettings) -> list[Stage]:
    """Keys, dedup, copies, keep. Another ``priority`` does all but the first again; of the last what it changes."""

    def keys(raw: RawFile, _: str) -> Work:
        return partial(keys_work, path=raw.path, by=settings.by, max_malformed=run.max_malformed)

    return [
        per_shard("keys", keys),
        Stage("dedup", partial(_plan_dedup, priority=settings.priority), ("keys",)),
        copies_stage("copies", reads="keys", verdicts="dedup"),
        Stage("keep", partial(_plan_keep, by=settings.by, run=run), ("keys", "copies"), whole=("dedup", "copies")),
    ]


JOB = Job(
    name="exact",
    summary="exact duplicates of all slices: documents, lines or URLs",
    revision=1,
    patterns=PATTERNS,
    settings=ExactSettings,
    stages=stages,
    check=check_priority,
)
