"""CCNet on one shard: its pages cleaned of duplicated lines, told by language and perplexity, stored by bucket.

The raw files are read a second time: parsing runs at ten times the speed of the rest, and a dump's text, kept on disk
in between, would be as large as the dump.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from filters import ccnet
from filters.ccnet_lines import Hashes, remove_duplicated_lines
from redpajama_data.buckets import BucketFile
from redpajama_data.document import Document, Drop
from redpajama_data.drop_sample import utf8_length
from redpajama_data.errors import BrokenInput
from redpajama_data.pipeline import Numbered, Steps, through
from redpajama_data.receipts import Output
from redpajama_data.shards import LineWriter, stored_line, to_json
from redpajama_data.stages import Plan, Planned, Stage
from redpajama_data.tasks import TaskContext
from slices.crawl_dedup import CrawlKeyWriter
from slices.crawl_layout import crawl_shards
from slices.crawl_lines import BUCKETS, shard_groups
from slices.wet import read_wet

PUBLISHED_BUCKETS = ("head", "middle")
_FLUSH = 8 << 20  # bytes of hashes or keys held before they are written


def mine_stage(*, shards: int, hash_in_mem: int, min_length: int, steps: Steps, keep_tail: bool) -> Stage:
    """One task a shard: :func:`mine_work`, with ``steps`` after the lines are cleaned, up to the bucket."""

    def plan(plan: Plan) -> list[Planned]:
        layout = {(shard.dump, shard.number): shard for shard in crawl_shards(plan.inputs, shards=shards)}
        groups = shard_groups(plan.receipts["lines"], hash_in_mem)
        tables: dict[tuple[str, int], list[Output]] = {}  # of each group: a file a range, in order
        missing = dict.fromkeys(groups, BUCKETS)
        for receipt in plan.receipts["line_groups"]:
            group = (receipt.notes["dump"], receipt.notes["group"])
            tables.setdefault(group, []).append(receipt.outputs["duplicated"])
            first, end = receipt.notes["buckets"]
            missing[group] -= end - first
        planned: list[Planned] = []
        for group, receipts in groups.items():
            if missing[group]:  # a range failed: without it too many lines would stay
                continue
            duplicated = tables[group]
            for n, receipt in enumerate(receipts):
                shard = layout[receipt.notes["dump"], receipt.notes["shard"]]
                work = partial(
                    mine_work,
                    dump=shard.dump,
                    number=shard.number,
                    paths=[raw.path for raw in shard.files],
                    segments=shard.segments,
                    pages=receipt.kept,
                    duplicated=[out.path for out in duplicated],
                    bucket=n,
                    min_length=min_length,
                    steps=steps,
                    keep_tail=keep_tail,
                )
                planned.append(Planned(receipt.task, work, [*shard.files, *duplicated]))
        return planned

    return Stage("mine", plan, ("lines", "line_groups"))


def mine_work(
    context: TaskContext,
    *,
    dump: str,
    number: int,
    paths: Sequence[str],
    segments: Sequence[str],
    pages: int,
    duplicated: Sequence[str],
    bucket: int,
    min_length: int,
    steps: Steps,
    keep_tail: bool,
) -> None:
    """CCNet on one shard: clean its pages of duplicated lines, run ``steps``, store what falls into head or middle.

    A document of another bucket leaves as ``bucket_in``, with its perplexity; ``keep_tail`` stores it as well.
    ``pages`` is how many the first reading found. Outputs: documents by language and bucket, and the keys of the
    document dedup.
    """
    receipt = context.receipt
    with _load_hashes([context.upstream(path) for path in duplicated], bucket, context.memory) as table:
        clean: Steps = [partial(remove_duplicated_lines, duplicated=table), *steps]
        documents = through(context, _pages_again(context, paths, segments, min_length), clean)
        parts = _store_buckets(context, documents, keep_tail)
    if receipt.read != pages:
        raise BrokenInput(
            f"{paths[0]} and the files after it: {receipt.read} pages, {pages} when their lines were read. "
            "A file changed or could not be read: run again."
        )
    receipt.notes = {"dump": dump, "shard": number, "parts": parts}


@contextlib.contextmanager
def _load_hashes(paths: Sequence[str], bucket: int, memory: int) -> Iterator[Hashes]:
    """A bucket of every file, one sorted array; from a quarter of ``memory`` on it lies in a file that is mapped."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(BucketFile(path)) for path in paths]
        size = sum(int(file.sizes()[bucket]) for file in files)
        chunks = (data for file in files for data in file.read(bucket, bucket + 1, chunk=_FLUSH))
        if size <= memory // 4:
            yield np.frombuffer(b"".join(chunks), dtype="<u8")
            return
        spill = stack.enter_context(tempfile.TemporaryFile())
        for data in chunks:
            spill.write(data)
        spill.flush()
        yield np.memmap(spill, dtype="<u8", mode="r")


def _pages_again(context: TaskContext, paths: Sequence[str], segments: Sequence[str], min_length: int) -> Numbered:
    """The pages that the stage ``lines`` counted; what it dropped is in its ledger, broken files are in its receipt."""
    for path, segment in zip(paths, segments, strict=True):
        with contextlib.suppress(BrokenInput):
            for record in read_wet(path, segment=segment):
                if isinstance(record, Document) and isinstance(ccnet.min_length(record, limit=min_length), Document):
                    context.count_read(record.text)
                    yield context.receipt.read - 1, record


def _store_buckets(context: TaskContext, documents: Numbered, keep_tail: bool) -> dict[str, list[int]]:
    """Write documents by language and bucket; returns for each published ``<language>_<bucket>``, in the order of the
    parts' numbers in the keys, how many documents it has and the bytes of their CCNet records."""
    parts: dict[str, list[int]] = {}
    with contextlib.ExitStack() as stack:
        keys = CrawlKeyWriter(stack.enter_context(context.file("keys", "keys")), min(_FLUSH, context.memory // 8))
        writers: dict[str, LineWriter] = {}
        for n, doc in documents:
            name = f"{doc.meta['language']}_{doc.meta['bucket']}"
            decided = ccnet.bucket_in(doc, allowed=PUBLISHED_BUCKETS)
            if isinstance(decided, Drop):
                context.drop(doc.id, decided, text=doc.text)
                if not keep_tail:
                    continue
            if name not in writers:
                writers[name] = stack.enter_context(context.lines(f"mined:{name}", f"{name}.jsonl.zst"))
            writers[name].write(stored_line(n, doc))
            if isinstance(decided, Document):
                count = parts.setdefault(name, [0, 0])
                count[0] += 1
                count[1] += len(to_json({**doc.meta, "raw_content": doc.text})) + 1
                keys.add(doc.meta["url"], doc.meta["digest"], list(parts).index(name), n)
                context.receipt.kept += 1
                context.receipt.bytes += utf8_length(doc.text)
        keys.close()
    context.records("keys", keys.count)
    return parts
