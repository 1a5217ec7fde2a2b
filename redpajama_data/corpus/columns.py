"""Shards read and written in batches, as columns: 256 records at a time cost a third of what they cost one by one."""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import msgspec

from redpajama_data.document import Drop
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.engine.tombstones import drop_of
from redpajama_data.errors import BrokenInput
from redpajama_data.io.lines import Held, TooLong, line_lists
from redpajama_data.io.root_paths import WITHIN
from redpajama_data.io.shards import MAX_LINE
from redpajama_data.models.known import REGISTRY
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.tokens import Tokenizer, tokenizer_for
from redpajama_data.pipeline.bad_records import check_shares, reject
from redpajama_data.pipeline.work import BATCH_CHARACTERS, BATCH_DOCUMENTS

_DEEPEST = 400  # lists (or objects) inside each other in a line; published records have 64 at most
_BRACKET = re.compile(rb"[\[{\]}]")
_TOGETHER = 1 << 18  # characters of a batch up to which its texts are taken together, where that is faster
_END_OF_TEXT = "<|endoftext|>"


class _Line(msgspec.Struct, gc=False):
    text: str
    meta: msgspec.Raw = msgspec.Raw(b"{}")


_decode_line = msgspec.json.Decoder(_Line).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Batch:
    """Records that follow each other in a shard, in columns: line number (from 0), the line without its newline, the
    text, and the meta, not yet decoded.

    ``rejected`` are the lines among them that are no records, with the reason; ``broken`` is why the shard ends here.
    A text never holds a lone surrogate: JSON that spells one out is rejected. ``utf8`` are the texts in UTF-8, where
    :func:`counted_batches` is asked for them.
    """

    n: list[int]
    lines: list[bytes]
    texts: list[str]
    metas: list[msgspec.Raw]
    rejected: list[tuple[int, Drop]]
    broken: BrokenInput | None = None
    utf8: list[bytes] = field(default_factory=list)


def read_batches(path: str) -> Iterator[Batch]:
    """The records of a shard in order, in batches of at most :data:`BATCH_DOCUMENTS` lines or, but for the last line,
    :data:`BATCH_CHARACTERS` bytes and a piece of the file.

    Never raises for what the file holds: that is in the batches. Pure: a second reading gives the same.
    """
    first = 0
    for held, broken in _held_lines(path):
        yield _decoded(first, held, broken)
        first += len(held)


def _held_lines(path: str) -> Iterator[tuple[Held, BrokenInput | None]]:
    """The lines of a shard for one batch after another; the last has the reason when the shard breaks off."""
    held: Held = []
    size = 0
    broken: BrokenInput | None = None
    try:
        for lines, length in line_lists(path, max_bytes=MAX_LINE):
            held += lines
            size += length
            start = 0
            for start in range(BATCH_DOCUMENTS, len(held) + 1, BATCH_DOCUMENTS):
                yield held[start - BATCH_DOCUMENTS : start], None
            if start:
                held = held[start:]
                size = sum(map(len, held))
            elif size >= BATCH_CHARACTERS:
                yield held, None
                held, size = [], 0
    except BrokenInput as error:
        broken = error
    if held or broken:
        yield held, broken


def _decoded(first: int, held: Held, broken: BrokenInput | None) -> Batch:
    try:
        lines = cast("list[bytes]", held)
        records = _records(lines)
    except (*_UNREADABLE, AttributeError):
        return _decoded_one_by_one(first, held, broken)
    numbers = list(range(first, first + len(held)))
    return Batch(numbers, lines, [line.text for line in records], [line.meta for line in records], [], broken)


def _records(lines: list[bytes]) -> list[_Line]:
    """The lines decoded, when all are UTF-8 and none nests too deep: the decoder looks only at what it decodes, and how
    deep it goes depends on its caller's stack, so that one process would take a line and another not.

    Raises one of :data:`_UNREADABLE`, and :class:`AttributeError` when a line is too long.
    """
    b"\n".join([line for line in lines if not line.isascii()]).decode()
    records = [_decode_line(line) for line in lines]
    for line, record in zip(lines, records, strict=True):
        if len(line) - len(record.text) <= 2 * _DEEPEST:  # beside the text: a bracket opens, a bracket closes
            continue
        if line.count(b"[") + line.count(b"{") > _DEEPEST and _depth(line) > _DEEPEST:
            raise RecursionError(f"more than {_DEEPEST} lists and objects inside each other")
    return records


def _depth(line: bytes) -> int:
    """How many lists and objects of a JSON line lie inside each other, at most."""
    depth = deepest = 0
    # Without escaped quotes every second piece between quotes is a string; an expression for strings takes 20 times
    # as long, a third of the time of a job over code.
    outside = b"".join(line.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    for match in _BRACKET.finditer(outside):
        depth += 1 if match[0] in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _decoded_one_by_one(first: int, held: Held, broken: BrokenInput | None) -> Batch:
    batch = Batch([], [], [], [], [], broken)
    for n, line in enumerate(held, first):
        if isinstance(line, TooLong):
            batch.rejected.append((n, Drop("max_record_bytes", line.length, MAX_LINE)))
            continue
        line = line.removeprefix(codecs.BOM_UTF8)
        try:
            [record] = _records([line])
        except _UNREADABLE as error:
            batch.rejected.append((n, Drop("malformed", f"line {n + 1}: {error}", "a JSON object with a text")))
            continue
        batch.n.append(n)
        batch.lines.append(line)
        batch.texts.append(record.text)
        batch.metas.append(record.meta)
    return batch


def counted_batches(context: TaskContext, path: str, *, max_malformed: float, encoded: bool = False) -> Iterator[Batch]:
    """:func:`read_batches` with every line counted in the receipt and rejected ones in the ledger.

    ``encoded``: with the texts in UTF-8 too.

    Raises as :func:`~redpajama_data.pipeline.bad_records.reject` does, at the end as ``check_shares`` there, and
    :class:`BrokenInput` for a shard of this root that breaks off; any other that does keeps what came before, as raw
    files do.
    """
    receipt = context.receipt
    context.max_malformed = max_malformed
    context.files_read.append(path)
    context.expected = "Expected JSON lines with a string in 'text'."
    for batch in read_batches(context.source(path)):
        receipt.read += len(batch.n) + len(batch.rejected)
        if encoded:
            batch.utf8 = [text.encode() for text in batch.texts]
        receipt.read_bytes += sum(map(len, batch.utf8)) if encoded else utf8_bytes(batch.texts)
        for n, drop in batch.rejected:
            reject(context, f"{path}#{n}", drop)
        if (error := batch.broken) is not None:
            if path.startswith(WITHIN):  # made again it has the same stamp: this receipt would outlive the repair
                raise error
            context.damaged(f"{path}#{receipt.read}", error)
        yield batch
    check_shares(context)


def refuse_change(path: str, *, records: int, before: int) -> None:
    """Raise :class:`BrokenInput` when a second reading of a shard gave another number of records than the first."""
    if records != before:
        raise BrokenInput(f"{path}: {records} records, {before} when its keys were made. Run again: it has changed.")


def utf8_lengths(texts: list[str]) -> list[int]:
    """Bytes of each text in UTF-8."""
    return [len(text) if text.isascii() else len(text.encode()) for text in texts]


def utf8_bytes(texts: list[str]) -> int:
    """Bytes of all texts together in UTF-8."""
    return sum(utf8_lengths(["".join(texts)] if sum(map(len, texts)) <= _TOGETHER else texts))


def measure_texts(tokenizer: Tokenizer, texts: list[str]) -> tuple[int, int]:
    """Bytes in UTF-8 and tokens of all texts together: the sum of :meth:`Tokenizer.count`.

    GPT-NeoX's tokenizer splits a text at its end-of-text token before all else, so short texts are counted together,
    with that token between them: at 200 bytes a text in half the time.
    """
    if not texts or tokenizer.sha256 != REGISTRY["gpt-neox-20b"].sha256 or sum(map(len, texts)) > _TOGETHER:
        return utf8_bytes(texts), sum(tokenizer.count(texts))
    marks = len(texts) - 1
    joined = _END_OF_TEXT.join(texts)
    return utf8_bytes([joined]) - marks * len(_END_OF_TEXT), tokenizer.count([joined])[0] - marks


Columns = tuple[list[int], list[bytes], list[str]]
"""Records to publish, in order: line number in the shard, line, text."""
Put = Callable[[list[int], list[bytes], list[str]], None]
"""Takes them."""


@contextlib.contextmanager
def publishing(context: TaskContext, *, path: str, name: str, tokenizer: ModelFile | None) -> Iterator[Put]:
    """Write what a job keeps of the shard ``path`` to ``ROOT/<job>/<name>.jsonl.zst``, count its tokens (not without a
    tokenizer), and note the ids beside it for ``rpj explain``."""
    receipt = context.receipt
    receipt.tokenizer = tokenizer.sha256 if tokenizer else ""
    counter = tokenizer_for(tokenizer) if tokenizer else None
    prefix = f"{path}#".encode()
    text_bytes = tokens = 0
    forgotten = context.forgotten

    def put(numbers: list[int], lines: list[bytes], texts: list[str]) -> None:
        nonlocal text_bytes, tokens
        if forgotten is not None:
            stones = [forgotten.of_text(text) for text in texts]
            for n, text, stone in zip(numbers, texts, stones, strict=True):
                if stone is not None:
                    context.drop(f"{path}#{n}", drop_of(stone), text=text)
            kept = [place for place, stone in enumerate(stones) if stone is None]
            numbers, lines, texts = [numbers[i] for i in kept], [lines[i] for i in kept], [texts[i] for i in kept]
        out.write_all(lines)
        ids.write_all([b"%b%d" % (prefix, n) for n in numbers])
        receipt.characters += sum(map(len, texts))
        size, count = measure_texts(counter, texts) if counter else (utf8_bytes(texts), 0)
        text_bytes += size
        tokens += count

    with context.published(name) as out, context.lines(f"ids:{name}", "ids.zst") as ids:
        yield put
    context.texts(f"published:{name}", text_bytes=text_bytes, tokens=tokens)
    receipt.kept += out.records
