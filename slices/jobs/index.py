"""The index of ``rpj find``: of each shard a Bloom filter of its words, pairs of words, addresses and hosts.

    index        one task a shard

``rpj find --index`` makes it of all that slices and jobs of a root have published. It holds no text.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from redpajama_data.config import SliceSettings
from redpajama_data.corpus.columns import read_batches, utf8_bytes
from redpajama_data.corpus.listing import PATTERNS, per_shard
from redpajama_data.engine.stages import Job, RunSettings, Stage, Work
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput
from redpajama_data.io.storage import RawFile
from redpajama_data.release.index import FORM, Filter, keys_of_address, keys_of_texts
from redpajama_data.release.index import JOB as NAME
from redpajama_data.release.search import url_in


class IndexSettings(SliceSettings):
    """The index has no settings of its own."""


def index_work(context: TaskContext, *, path: str, packed: int, sha256: str) -> None:
    """Enter every record of a shard. Raises :class:`BrokenInput` for a line that is no record: what is not in the index
    must not pass for not there."""
    receipt = context.receipt
    entered = Filter(packed)
    for batch in read_batches(context.source(path)):
        if batch.broken is not None:
            raise batch.broken
        if batch.rejected:
            n, drop = batch.rejected[0]
            raise BrokenInput(f"{path}: line {n + 1} is no record ({drop.measured}). Run rpj verify.")
        for keys in keys_of_texts(batch.texts):
            entered.add(keys)
        addresses = [keys_of_address(url) for meta in batch.metas if (url := url_in(meta)) is not None]
        if addresses:
            entered.add(np.concatenate(addresses))
        receipt.read += len(batch.n)
        receipt.read_bytes += utf8_bytes(batch.texts)
    with context.file("filter", "filter") as out:
        out.write(entered.encode())
    context.records("filter", receipt.read)
    receipt.kept = receipt.read
    receipt.bytes = receipt.read_bytes
    receipt.notes = {"shard": sha256, "form": FORM}


def _work(raw: RawFile, name: str) -> Work:
    return partial(index_work, path=raw.path, packed=raw.bytes, sha256=raw.stamp)


def stages(settings: IndexSettings, run: RunSettings) -> list[Stage]:
    """One task a shard."""
    return [per_shard("index", _work)]


JOB = Job(
    name=NAME,
    summary="an index of words and addresses for rpj find",
    revision=1,
    patterns=PATTERNS,
    settings=IndexSettings,
    stages=stages,
    kind="report",
)
