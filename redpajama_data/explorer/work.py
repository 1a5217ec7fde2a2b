"""The tasks of the job ``embed`` that read texts: which documents are on it, and their words. No text is stored."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import xxhash

from redpajama_data.corpus.columns import read_batches, utf8_bytes
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput
from redpajama_data.explorer import naming
from redpajama_data.explorer.encoders import TOGETHER, Encoder, pieces_of, vectors_of
from redpajama_data.explorer.mapping import ROW
from redpajama_data.explorer.terms import READ, terms_of
from redpajama_data.io.shards import to_json
from redpajama_data.release.sampling import Choice, taken

_VOCABULARY = 1 << 19  # words counted in a shard at a time; then the rarer half is let go


class _Text(msgspec.Struct, gc=False):
    text: str


_decode_text = msgspec.json.Decoder(_Text).decode


def hash_work(context: TaskContext, *, path: str, seed: int) -> None:
    """Hash the text of every line of a shard. Raises :class:`BrokenInput` for a line that is no record."""
    receipt = context.receipt
    with context.file("hashes", "hashes") as out:
        for batch in read_batches(context.source(path)):
            if batch.broken is not None:
                raise batch.broken
            if batch.rejected:
                n, drop = batch.rejected[0]
                raise BrokenInput(f"{path}: line {n + 1} is no record ({drop.measured}). Run rpj verify.")
            receipt.read += len(batch.n)
            receipt.read_bytes += utf8_bytes(batch.texts)
            found = [xxhash.xxh3_64_intdigest(text.encode(), seed) for text in batch.texts]
            out.write(np.array(found, "<u8").tobytes())
    context.records("hashes", receipt.read)
    receipt.kept = receipt.read
    receipt.bytes = receipt.read_bytes


def takes(counts: Mapping[str, int], documents: int) -> dict[str, int]:
    """How many documents of each slice are on a map of ``documents``: of each as many of a hundred, rounded such that
    the sum is right, and one at least of a slice that has any."""
    total = sum(counts.values())
    if total <= documents:
        return {name: count for name, count in counts.items() if count}
    found = {name: max(1, count * documents // total) for name, count in counts.items() if count}
    missing = max(0, documents - sum(found.values()))
    more = [name for name in found if found[name] <= counts[name] * documents // total]
    for name in sorted(more, key=lambda name: (-(counts[name] * documents % total), name))[:missing]:
        found[name] += 1
    return found


def terms_work(context: TaskContext, *, path: str, choice: Choice, seed: int, encoder: Encoder | None) -> None:
    """The words of the chosen documents of a shard, as numbers; the most frequent ones as words; and, with a model that
    gives vectors, those."""
    counted: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(context.file("documents", "documents"))
        out = stack.enter_context(context.file("terms", "terms"))
        raw = (
            _Raw(stack.enter_context(context.file("raw", "raw")), encoder)
            if encoder and encoder.gives_vectors
            else None
        )
        for n, line in taken(context, path, choice):
            text = _decode_text(line).text
            words = pieces_of(text, encoder)
            terms = terms_of(words)
            value = xxhash.xxh3_64_intdigest(text.encode(), seed)
            rows.write(np.array([(n, value, len(terms))], ROW).tobytes())
            out.write(terms.tobytes())
            if raw is not None:
                raw.add(text)
            counted.update(words.keys())
            if len(counted) > _VOCABULARY:
                counted = Counter(dict(naming.frequent(counted, _VOCABULARY // 2)))
            context.receipt.kept += 1
        if raw is not None:
            raw.flush()
    context.receipt.read = context.receipt.kept
    context.records("documents", context.receipt.kept)
    with context.lines("words") as lines:
        for word, count in naming.frequent(counted, naming.WORDS):
            lines.write(to_json([word, count]))


class _Raw:
    """Writes the vectors that a model gives, some texts at a time."""

    def __init__(self, out: Any, encoder: Encoder) -> None:
        self._out, self._encoder, self._held = out, encoder, list[str]()

    def add(self, text: str) -> None:
        self._held.append(text[:READ])
        if len(self._held) == TOGETHER:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self._out.write(vectors_of(self._held, self._encoder).astype("<f4").tobytes())
        self._held = []
