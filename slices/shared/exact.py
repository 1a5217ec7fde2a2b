"""Exact duplicates over shards of any slice, out of core: equal texts, equal URLs, or equal lines.

    keys     one task a shard: a 128-bit key of each record (of each line), and the ledger of what is no record
    dedup    one task a range of keys: of equal keys the first one stays
    keep     one task a shard: what stays is published, byte for byte

First means: in the slice of highest priority, then in input order (shards sorted by path, records in their order).
Keys are XXH3-128 over UTF-8: that any two of 10^12 different texts have one key has a chance of 10^-15. It is no
cryptographic hash (a tenth of the whole time): who wants to can make two texts that pass for one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import msgspec
import numpy as np
from pydantic import Field
from xxhash import xxh3_128_digest as hash128

from redpajama_data import dedup
from redpajama_data.batches import Batch, counted_batches, publishing, read_batches, refuse_change, utf8_bytes
from redpajama_data.config import Names, SliceSettings
from redpajama_data.corpus import PATTERNS, per_shard, published_name, slice_of
from redpajama_data.document import Drop
from redpajama_data.errors import UsageError
from redpajama_data.fingerprint import ModelFile
from redpajama_data.shards import read_names
from redpajama_data.stages import Plan, Planned, RunSettings, Slice, Stage, Work, outputs
from redpajama_data.storage import RawFile
from redpajama_data.tasks import TaskContext
from slices import NAMES
from slices.shared.exact_lines import keep_lines_work, line_keys

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
        writer = dedup.KeyWriter(file)
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
        if name not in known and name not in NAMES:
            raise UsageError(f"--priority {name}: no such slice. The input has {', '.join(sorted(known))}.")
    places = {name: place for place, name in reversed([*enumerate(priority)])}
    ordered = sorted(range(len(paths)), key=lambda rank: (places.get(slice_of(paths[rank]), len(priority)), rank))
    order = [0] * len(paths)
    for place, rank in enumerate(ordered):
        order[rank] = place
    return order


def checked(first: Stage, priority: Sequence[str]) -> Stage:
    """The first stage of a job, which raises for a wrong ``priority`` before anything is done."""
    return replace(first, plan=partial(_plan_checked, first=first, priority=priority))


def _plan_checked(plan: Plan, *, first: Stage, priority: Sequence[str]) -> list[Planned]:
    order_of([raw.path for raw in plan.inputs], priority)
    return first.plan(plan)


def _plan_dedup(plan: Plan, *, priority: Sequence[str]) -> list[Planned]:
    order = order_of([raw.path for raw in plan.inputs], priority)
    receipts = sorted(plan.receipts["keys"], key=lambda receipt: order[receipt.rank])
    files = outputs(receipts, "keys")
    keys = [(receipt.rank, out.path) for receipt, out in zip(receipts, files, strict=True)]
    ranges = dedup.partition_ranges(sum(out.records for out in files), plan.memory)
    return [
        Planned(
            f"keys-{first:04d}-{end:04d}",
            partial(dedup.first_wins, keys=keys, ranks=len(plan.inputs), buckets=(first, end)),
            files,
        )
        for first, end in ranges
    ]


# ---------------------------------------------------------------------------------------------- what stays


def keep_work(
    context: TaskContext,
    *,
    path: str,
    name: str,
    rank: int,
    rule: str,
    inputs: str,
    verdicts: Sequence[str],
    records: int,
    tokenizer: ModelFile | None,
) -> None:
    """Publish the records of a shard that no verdict names; of the others the ledger names the copy that stayed.

    ``records`` is how many the keys were made of. Raises :class:`BrokenInput` when there are not as many now.
    """
    receipt = context.receipt
    found = dedup.read_verdicts([context.upstream(v) for v in verdicts], rank, memory=context.memory)
    verdict = next(found, None)
    names: list[str] = []  # read only when there is a duplicate to name
    with publishing(context, path=path, name=name, tokenizer=tokenizer) as put:
        for batch in read_batches(context.source(path)):
            receipt.read += len(batch.n)
            receipt.read_bytes += utf8_bytes(batch.texts)
            copies = {}
            while verdict is not None and batch.n and verdict[0] <= batch.n[-1]:
                copies[verdict[0]] = verdict[1:]
                verdict = next(found, None)
            if not copies:
                put(batch.n, batch.lines, batch.texts)
                continue
            names = names or read_names(context.upstream(inputs))
            for n, (kept_rank, kept_n) in copies.items():
                text = batch.texts[bisect_left(batch.n, n)]
                context.drop(f"{path}#{n}", Drop(rule, f"{names[kept_rank]}#{kept_n}"), text=text)
            stay = [place for place, n in enumerate(batch.n) if n not in copies]
            put([batch.n[i] for i in stay], [batch.lines[i] for i in stay], [batch.texts[i] for i in stay])
    refuse_change(path, records=receipt.read, before=records)


def _plan_keep(plan: Plan, *, by: By, run: RunSettings) -> list[Planned]:
    decided = outputs(plan.receipts["dedup"], "verdicts")
    planned = []
    for receipt in plan.receipts["keys"]:
        raw = plan.inputs[receipt.rank]
        bound = partial(
            keep_lines_work if by == "line" else partial(keep_work, rule=RULES[by]),
            path=raw.path,
            name=published_name(receipt.task, raw.path),
            rank=receipt.rank,
            inputs=plan.inputs_file.path,
            verdicts=[out.path for out in decided],
            records=receipt.kept,
            tokenizer=run.counter,
        )
        planned.append(Planned(receipt.task, bound, [raw, plan.inputs_file, *decided]))
    return planned


def stages(settings: ExactSettings, run: RunSettings) -> list[Stage]:
    """Keys, dedup, keep. Another ``priority`` does the last two again, not the first."""

    def keys(raw: RawFile, _: str) -> Work:
        return partial(keys_work, path=raw.path, by=settings.by, max_malformed=run.max_malformed)

    return [
        checked(per_shard("keys", keys), settings.priority),
        Stage("dedup", partial(_plan_dedup, priority=settings.priority), ("keys",)),
        Stage("keep", partial(_plan_keep, by=settings.by, run=run), ("keys", "dedup"), whole=("dedup",)),
    ]


JOB = Slice(
    name="exact",
    summary="exact duplicates of all slices: documents, lines or URLs",
    revision=1,
    patterns=PATTERNS,
    settings=ExactSettings,
    stages=stages,
    kind="corpus",
)
