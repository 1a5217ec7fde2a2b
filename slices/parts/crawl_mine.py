"""CCNet on one shard: its pages cleaned of duplicated lines, told by language and perplexity, stored by bucket.

The raw files are read a second time: parsing runs at ten times the speed of the rest, and a dump's text, kept on disk
in between, would be as large as the dump.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from filters import ccnet
from filters.ccnet_lines import keep_first_lines, remove_duplicated_lines
from redpajama_data.dedup.external_sort import write_scratch
from redpajama_data.dedup.gathering import gathered
from redpajama_data.document import Document, Drop, Step
from redpajama_data.engine.drop_sample import utf8_length
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.stages import Planned, Stage, StageInput
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput
from redpajama_data.io.shards import LineWriter, stored_line, to_json
from redpajama_data.pipeline.work import Numbered, Steps, through
from slices.parts.crawl_keys import CrawlKeyWriter
from slices.parts.crawl_layout import crawl_shards
from slices.parts.crawl_lines import shard_groups
from slices.readers.wet import read_wet

PUBLISHED_BUCKETS = ("head", "middle")
OPEN_PARTS = 16  # parts written at once, 3 MB for each; of more (all languages are kept) the lines wait in a file
_FLUSH = 8 << 20  # bytes of keys, or of lines that wait, held before they are written


def mine_stage(
    *,
    shards: int,
    hash_in_mem: int | None,
    min_length: int,
    steps: Steps,
    keep_tail: bool = False,
    first_stays: bool = False,
    buckets: Sequence[str] = PUBLISHED_BUCKETS,
    texts: bool = False,
    own_digests: bool = False,
) -> Stage:
    """One task a shard: :func:`mine_work`, with ``steps`` after the lines are cleaned, up to the bucket."""
    more: dict[str, Any] = {"first_stays": True} if first_stays else {}
    if buckets != PUBLISHED_BUCKETS:
        more["buckets"] = buckets
    if texts:
        more["texts"] = True
    if own_digests:
        more["own_digests"] = True

    def plan_tasks(given: StageInput) -> list[Planned]:
        layout = {(shard.dump, shard.number): shard for shard in crawl_shards(given.inputs, shards=shards)}
        groups = shard_groups(given.receipts["lines"], hash_in_mem)
        tables: dict[tuple[str, int], list[Output]] = {}  # of each group: a file a range, in order
        for receipt in given.receipts["line_groups"]:
            group = (receipt.notes["dump"], receipt.notes["group"])
            tables.setdefault(group, []).append(receipt.outputs["duplicated"])
        planned: list[Planned] = []
        for group, receipts in groups.items():
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
                    **more,
                )
                planned.append(Planned(receipt.task, work, [*shard.files, *duplicated]))
        return planned

    return Stage("mine", plan_tasks, ("lines", "line_groups"), whole=("line_groups",))


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
    first_stays: bool = False,
    buckets: Sequence[str] = PUBLISHED_BUCKETS,
    texts: bool = False,
    own_digests: bool = False,
) -> None:
    """CCNet on one shard: clean its pages of duplicated lines, run ``steps``, store what falls into ``buckets``.

    A document of another bucket leaves as ``bucket_in``, with its perplexity; ``keep_tail`` stores it as well.
    ``pages`` is how many the first reading found. Outputs: documents by language and bucket, and the keys of the
    document dedup, with those of texts if ``texts``; with ``own_digests`` a record without a digest is no copy.
    """
    receipt = context.receipt
    tables = [context.upstream(path) for path in duplicated]  # of rising ranges: one sorted array
    with _clean_lines(tables, bucket, first_stays, context.memory) as clean:
        documents = through(context, _pages_again(context, paths, segments, min_length), [clean, *steps])
        parts = _store_buckets(context, documents, keep_tail, buckets, texts, own_digests)
    if receipt.read != pages:
        raise BrokenInput(
            f"{paths[0]} and the files after it: {receipt.read} pages, {pages} when their lines were read. "
            "A file changed or could not be read: run again."
        )
    receipt.notes = {"dump": dump, "shard": number, "parts": parts}


@contextlib.contextmanager
def _clean_lines(tables: Sequence[str], shard: int, first_stays: bool, memory: int) -> Iterator[Step]:
    """The step that cleans the documents of a shard, the so manieth of its group, of duplicated lines."""
    if not first_stays:
        with gathered(tables, shard, dtype="<u8", memory=memory) as table:
            yield partial(remove_duplicated_lines, duplicated=table)
        return
    with (
        gathered(tables, 2 * shard, dtype="<u8", memory=memory) as earlier,
        gathered(tables, 2 * shard + 1, dtype="<u8", memory=memory) as here,
    ):
        yield partial(keep_first_lines, earlier=earlier, here=here, seen=np.zeros(len(here), dtype=np.bool_))


def _pages_again(context: TaskContext, paths: Sequence[str], segments: Sequence[str], min_length: int) -> Numbered:
    """The pages that the stage ``lines`` counted; what it dropped is in its ledger, broken files are in its receipt."""
    for path, segment in zip(paths, segments, strict=True):
        with contextlib.suppress(BrokenInput):
            for record in read_wet(path, segment=segment):
                if isinstance(record, Document) and isinstance(ccnet.min_length(record, limit=min_length), Document):
                    context.count_read(record.text)
                    yield context.receipt.read - 1, record


def _store_buckets(
    context: TaskContext,
    documents: Numbered,
    keep_tail: bool,
    buckets: Sequence[str],
    texts: bool,
    own_digests: bool,
) -> dict[str, list[int]]:
    """Write documents by language and bucket; returns for each published ``<language>_<bucket>``, in the order of the
    parts' numbers in the keys, how many documents it has and the bytes of their CCNet records."""
    parts: dict[str, list[int]] = {}
    with contextlib.ExitStack() as stack:
        keys = CrawlKeyWriter(stack.enter_context(context.file("keys", "keys")), texts=texts)
        writers: dict[str, LineWriter] = {}
        waiting = stack.enter_context(_Waiting())
        for n, doc in documents:
            name = f"{doc.meta['language']}_{doc.meta['bucket']}"
            decided = ccnet.bucket_in(doc, allowed=buckets)
            if isinstance(decided, Drop):
                context.drop(doc.id, decided, text=doc.text)
                if not keep_tail:
                    continue
            if name not in writers and len(writers) < OPEN_PARTS:
                writers[name] = stack.enter_context(_part(context, name))
            (writers[name].write if name in writers else partial(waiting.add, name))(stored_line(n, doc))
            if isinstance(decided, Document):
                count = parts.setdefault(name, [0, 0])
                count[0] += 1
                count[1] += len(to_json({**doc.meta, "raw_content": doc.text})) + 1
                digest = doc.meta["digest"]
                if own_digests:
                    digest = ccnet.compared_digest(digest, doc.id)
                keys.add(doc.meta["url"], digest, list(parts).index(name), n, doc.text)
                context.receipt.kept += 1
                context.receipt.bytes += utf8_length(doc.text)
        keys.close()
        for name in waiting.names():
            with _part(context, name) as writer:
                for line in waiting.lines(name):
                    writer.write(line)
    context.records("keys", keys.count)
    return parts


def _part(context: TaskContext, name: str) -> contextlib.AbstractContextManager[LineWriter]:
    return context.lines(f"mined:{name}", f"{name}.jsonl.zst")


class _Waiting:
    """Lines of the parts that are not written yet: a few megabytes of them are held, the others lie in a scratch file.
    A context manager."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (closed by the context)
        self._held: dict[str, bytearray] = {}
        self._spans: dict[str, list[tuple[int, int]]] = {}
        self._bytes = self._end = 0

    def __enter__(self) -> _Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, name: str, line: bytes) -> None:
        """Append a line to a part."""
        self._held.setdefault(name, bytearray()).extend(line + b"\n")
        self._bytes += len(line) + 1
        if self._bytes >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        for name, held in self._held.items():
            write_scratch(self._file, np.frombuffer(held, "u1"))
            self._spans.setdefault(name, []).append((self._end, len(held)))
            self._end += len(held)
        self._held, self._bytes = {}, 0

    def names(self) -> list[str]:
        """The parts, each once."""
        self._flush()
        return list(self._spans)

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a part, in order."""
        for start, size in self._spans[name]:
            yield from os.pread(self._file.fileno(), size, start).split(b"\n")[:-1]
