"""The work of a file of a release: records of shards in, one file out, as Parquet or as the lines they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from redpajama_data.corpus.columns import measure_texts, utf8_bytes
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io import storage
from redpajama_data.io.lines import line_lists
from redpajama_data.io.shards import MAX_LINE
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.tokens import Tokenizer, tokenizer_for
from redpajama_data.release import sampling
from redpajama_data.release.parquet import Writer, library
from redpajama_data.release.plan import File, Piece
from redpajama_data.release.sampling import Choice

MEMORY_SHARE = 4  # bytes that a row group takes at most for each of its own: as columns, as pages, packed
_TOGETHER = 1 << 20  # characters of texts counted at a time
_COPIED = 1 << 20  # bytes copied at a time


class _Text(msgspec.Struct, gc=False):
    text: str


_decode_text = msgspec.json.Decoder(_Text).decode


def copy_work(context: TaskContext, *, path: str, name: str, documents: int, sha256: str) -> None:
    """Copy a shard byte for byte. Raises :class:`BrokenInput` when it is not what its receipt says."""
    stem = name.removesuffix(".jsonl.zst")
    with context.published_file(stem, "jsonl.zst") as out, storage.open_input(context.source(path)) as file:
        while data := file.read(_COPIED):
            out.write(data)
        if out.sha256 != sha256:
            raise BrokenInput(f"{path}: not what its receipt says. Run the slice again, or rpj verify its root.")
    context.records(f"published:{stem}", documents)
    context.receipt.read = context.receipt.kept = documents


def write_work(
    context: TaskContext,
    *,
    file: File,
    format: str,
    row_group: int,
    chosen: Sequence[Choice] | None = None,
    counter: ModelFile | None = None,
) -> None:
    """Write one file of a release: all records of its pieces, or those that a sample has chosen of each.

    Raises :class:`UsageError` when a row group does not fit into the memory of the task.
    """
    if format == "parquet" and context.memory < MEMORY_SHARE * row_group:
        raise UsageError(
            f"a row group of {row_group >> 20} MB takes {MEMORY_SHARE * row_group >> 20} MB while it is packed, and a "
            f"task has {context.memory >> 20} MB. Give more --memory, fewer --workers, or a smaller --row-group."
        )
    role = f"published:{file.name}"
    count = _Counted(tokenizer_for(counter) if counter else None)
    records = (
        (piece.shard, n, line)
        for place, piece in enumerate(file.pieces)
        for n, line in (piece_lines(context, piece) if chosen is None else _taken(context, piece, chosen[place]))
    )
    if format == "parquet":
        with (
            context.published_file(file.name, "parquet") as out,
            Writer(cast(Any, out), file.slice, row_group=row_group) as writer,
        ):
            for shard, n, line in records:
                count.add(writer.write(shard, n, line))
        context.records(role, writer.rows)
    else:
        with context.published(file.name) as lines:
            for _, _, line in records:
                lines.write(line)
                count.add(_decode_text(line).text)
    count.end()
    context.texts(role, text_bytes=count.bytes, tokens=count.tokens)
    receipt = context.receipt
    receipt.read = receipt.kept = receipt.outputs[role].records
    receipt.read_bytes = receipt.bytes
    receipt.tokenizer = counter.sha256 if counter else ""
    if format == "parquet":
        receipt.notes["writer"] = f"pyarrow {library().__version__}"


def piece_lines(context: TaskContext, piece: Piece) -> Iterator[tuple[int, bytes]]:
    """The lines of a piece of a shard with their numbers. Raises :class:`BrokenInput` when the shard has fewer, or
    another one as its last."""
    n = 0
    for lines, _ in line_lists(context.source(piece.path), max_bytes=MAX_LINE):
        if n + len(lines) > piece.first:
            for number, line in enumerate(lines, n):
                if piece.first <= number < piece.end:
                    yield number, cast(bytes, line)
        n += len(lines)
        if n >= piece.end and not piece.whole:
            return
    if n < piece.end or (piece.whole and n != piece.end):
        raise BrokenInput(
            f"{piece.path}: {n} records, its receipt says {piece.end}. Run the slice again: it has changed."
        )


def _taken(context: TaskContext, piece: Piece, choice: Choice) -> Iterator[tuple[int, bytes]]:
    for n, line in sampling.taken(context, piece.path, choice):
        if piece.first <= n < piece.end:
            yield n, line


class _Counted:
    """Bytes and tokens of texts, counted some at a time; without a tokenizer no tokens."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        self._held: list[str] = []
        self._size = self.bytes = self.tokens = 0

    def add(self, text: str) -> None:
        """Count one more text, now or later."""
        self._held.append(text)
        self._size += len(text)
        if self._size >= _TOGETHER:
            self.end()

    def end(self) -> None:
        """Count what is left."""
        size, tokens = measure_texts(self._tokenizer, self._held) if self._tokenizer else (utf8_bytes(self._held), 0)
        self.bytes += size
        self.tokens += tokens
        self._held, self._size = [], 0
