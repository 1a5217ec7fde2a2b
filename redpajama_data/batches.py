"""Shards read and written in batches, as columns: 256 records at a time cost a third of what they cost one by one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import msgspec

from redpajama_data.document import Drop
from redpajama_data.errors import BrokenInput
from redpajama_data.fingerprint import ModelFile
from redpajama_data.models import REGISTRY
from redpajama_data.pipeline import BATCH_CHARACTERS, BATCH_DOCUMENTS, MALFORMED_MIN
from redpajama_data.receipts import WITHIN
from redpajama_data.shards import MAX_LINE, LineWriter
from redpajama_data.streams import TooLong, open_decompressed
from redpajama_data.tasks import TaskContext
from redpajama_data.tokens import Tokenizer, tokenizer_for

_STEP = 1 << 20  # decompressed bytes split into lines at a time
_DEEPEST = 400  # lists (or objects) inside each other in a line; published records have 64 at most
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)  # no two ways to match: linear
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
    A text never holds a lone surrogate: JSON that spells one out is rejected.
    """

    n: list[int]
    lines: list[bytes]
    texts: list[str]
    metas: list[msgspec.Raw]
    rejected: list[tuple[int, Drop]]
    broken: BrokenInput | None = None


def read_batches(path: str) -> Iterator[Batch]:
    """The records of a shard in order, in batches of at most :data:`BATCH_DOCUMENTS` lines or, but for the last line,
    :data:`BATCH_CHARACTERS` bytes and a piece of the file.

    Never raises for what the file holds: that is in the batches. Pure: a second reading gives the same.
    """
    first = 0
    for held, broken in _held_lines(path):
        yield _decoded(first, held, broken)
        first += len(held)


Held = list[bytes | TooLong]


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


def line_lists(path: str, *, max_bytes: int) -> Iterator[tuple[Held, int]]:
    """What :func:`redpajama_data.streams.iter_lines` gives, in lists, each with the bytes it holds: at half the cost.

    The lines of a list other than its first come from one piece of at most 1 MB. Raises :class:`BrokenInput` where the
    file is damaged, after the lists before it.
    """
    with open_decompressed(path) as stream:
        begun: list[bytes] = []  # the pieces of a line that is not at its end yet
        length = 0  # of that line so far; over the limit its pieces are not held
        while chunk := stream.read(_STEP):
            whole = chunk.split(b"\n")
            last = whole.pop()
            if whole:
                begun.append(whole[0])
                length += len(whole[0])
                lines: Held = [*whole]
                lines[0] = TooLong(length) if length > max_bytes else b"".join(begun)
                if len(chunk) > max_bytes:
                    lines[1:] = [TooLong(len(line)) if len(line) > max_bytes else line for line in lines[1:]]
                yield lines, length + len(chunk)
                begun, length = [], 0
            begun.append(last)
            length += len(last)
            if length > max_bytes:
                begun = []
        if length:
            yield [TooLong(length) if length > max_bytes else b"".join(begun)], length


def _decoded(first: int, held: Held, broken: BrokenInput | None) -> Batch:
    try:
        lines = _utf8(held)
        found = [_decode_line(line) for line in lines]
    except (*_UNREADABLE, AttributeError):
        return _decoded_one_by_one(first, held, broken)
    numbers = list(range(first, first + len(held)))
    return Batch(numbers, lines, [line.text for line in found], [line.meta for line in found], [], broken)


def _utf8(held: Held) -> list[bytes]:
    """The lines, when all are UTF-8 and none nests too deep: the decoder looks only at what it decodes, and how deep it
    goes depends on its caller's stack, so that one process would take a line and another not.

    Raises :class:`UnicodeDecodeError`, :class:`RecursionError`, and :class:`AttributeError` when one is too long.
    """
    lines = cast("list[bytes]", held)
    b"\n".join([line for line in lines if not line.isascii()]).decode()
    for line in [line for line in lines if len(line) > 2 * _DEEPEST]:  # a bracket opens, a bracket closes
        if line.count(b"[") + line.count(b"{") > _DEEPEST and _depth(line) > _DEEPEST:
            raise RecursionError(f"more than {_DEEPEST} lists and objects inside each other")
    return lines


def _depth(line: bytes) -> int:
    """How many lists and objects of a JSON line lie inside each other, at most."""
    depth = deepest = 0
    for match in _BRACKET.finditer(_STRING.sub(b"", line)):
        depth += 1 if match[0] in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _decoded_one_by_one(first: int, held: Held, broken: BrokenInput | None) -> Batch:
    batch = Batch([], [], [], [], [], broken)
    for n, line in enumerate(held, first):
        if isinstance(line, TooLong):
            batch.rejected.append((n, Drop("max_record_bytes", line.length, MAX_LINE)))
            continue
        try:
            found = _decode_line(*_utf8([line]))
        except _UNREADABLE as error:
            batch.rejected.append((n, Drop("malformed", f"line {n + 1}: {error}", "a JSON object with a text")))
            continue
        batch.n.append(n)
        batch.lines.append(line)
        batch.texts.append(found.text)
        batch.metas.append(found.meta)
    return batch


def counted_batches(context: TaskContext, path: str, *, max_malformed: float) -> Iterator[Batch]:
    """:func:`read_batches` with every line counted in the receipt and rejected ones in the ledger.

    Raises :class:`BrokenInput` at the end when more than ``max_malformed`` of the lines are malformed, and for a shard
    of this root that breaks off; any other that does keeps what came before, as raw files do.
    """
    receipt = context.receipt
    for batch in read_batches(context.source(path)):
        receipt.read += len(batch.n) + len(batch.rejected)
        receipt.read_bytes += utf8_bytes(batch.texts)
        for n, drop in batch.rejected:
            context.drop(f"{path}#{n}", drop)
        if (error := batch.broken) is not None:
            if path.startswith(WITHIN):  # made again it has the same stamp: this receipt would outlive the repair
                raise error
            receipt.broken = f"{error.message} ({error.place})" if error.place else error.message
            context.drop(f"{path}#{receipt.read}", Drop("broken_input", error.place or error.message))
            receipt.read += 1
        yield batch
    malformed = receipt.dropped.get("malformed", 0)
    if malformed >= MALFORMED_MIN and malformed > max_malformed * receipt.read:
        raise BrokenInput(
            f"{path}: {malformed} of {receipt.read} lines are malformed, more than {max_malformed:.0%}. "
            "Expected JSON lines with a string in 'text'.",
        )


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


Put = Callable[[list[int], list[bytes], list[str]], None]
"""Takes columns of records to publish, in order: line number in the shard, line, text."""


@contextlib.contextmanager
def publishing(context: TaskContext, *, path: str, name: str, tokenizer: ModelFile | None) -> Iterator[Put]:
    """Write what a job keeps of the shard ``path`` to ``ROOT/<job>/<name>.jsonl.zst``, count its tokens (not without a
    tokenizer), and note the ids beside it for ``rpj explain``."""
    receipt = context.receipt
    receipt.tokenizer = tokenizer.sha256 if tokenizer else ""
    counter = tokenizer_for(tokenizer) if tokenizer else None
    prefix = f"{path}#".encode()
    text_bytes = tokens = 0

    def put(numbers: list[int], lines: list[bytes], texts: list[str]) -> None:
        nonlocal text_bytes, tokens
        _write_lines(out, lines)
        _write_lines(ids, [b"%b%d" % (prefix, n) for n in numbers])
        receipt.characters += sum(map(len, texts))
        size, count = measure_texts(counter, texts) if counter else (utf8_bytes(texts), 0)
        text_bytes += size
        tokens += count

    with context.published(name) as out, context.lines(f"ids:{name}", "ids.zst") as ids:
        yield put
    context.texts(f"published:{name}", text_bytes=text_bytes, tokens=tokens)
    receipt.kept += out.records


def _write_lines(out: LineWriter, lines: list[bytes]) -> None:
    if lines:
        out.write(b"\n".join(lines))
        out.records += len(lines) - 1
