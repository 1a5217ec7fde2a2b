"""Exact duplicates line by line, as CCNet and C4 do it to paragraphs, over a whole corpus.

A line is what stands between two ``\\n`` of a text; no other character ends one. Lines are compared without the white
space around them and in lower case (``strip``, ``lower`` of Python's strings). Blank lines stay and do not count. Of
equal lines the first of the corpus stays, even where the others stand in the same text.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128_digest as hash128

from redpajama_data.corpus.columns import Batch, Columns
from redpajama_data.corpus.keep import keep
from redpajama_data.dedup.copies import Copies, Copy
from redpajama_data.document import Drop
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import to_json
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.copies import read_copies

LINE_BITS = 30  # of a key's number: the line in its text. A JSON line has at most 2^30 bytes, and a "\n" takes two
_PIECE = 1 << 20  # characters of a text split into lines at a time: a list of lines takes many times their size
_KEYS = 1 << 16  # keys gathered before they are handed on

_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def pieces(text: str, *, size: int = _PIECE) -> Iterator[str]:
    """A text in pieces of whole lines, of ``size`` characters or a line more; joined by ``\\n`` they are the text."""
    start = 0
    while len(text) - start > size and (end := text.find("\n", start + size)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def normalised_lines(piece: str) -> list[str]:
    """The lines as they are compared: lower case, without white space around them. Blank ones are empty."""
    # No rule of lower() looks beyond a line end, so the whole piece may be lowered at once.
    return [line.strip() for line in piece.lower().split("\n")]


def line_keys(batch: Batch) -> Iterator[tuple[bytes, npt.NDArray[np.uint64]]]:
    """The keys of the lines of a batch that are not blank: 16 bytes each (XXH3-128 over UTF-8), and their numbers, the
    record's shifted by :data:`LINE_BITS` and the line's (from 0) in its text."""
    digests: list[bytes] = []
    numbers: list[int] = []
    for n, text in zip(batch.n, batch.texts, strict=True):
        number = n << LINE_BITS
        for piece in pieces(text):
            lines = normalised_lines(piece)
            digests += [hash128(line.encode()) for line in lines if line]
            numbers += [at for at, line in enumerate(lines, number) if line]
            number += len(lines)
            if len(digests) >= _KEYS:
                yield b"".join(digests), np.array(numbers, "<u8")
                digests, numbers = [], []
    yield b"".join(digests), np.array(numbers, "<u8")


def keep_lines_work(
    context: TaskContext,
    *,
    path: str,
    name: str,
    part: Copies | None,
    records: int,
    tokenizer: ModelFile | None,
) -> None:
    """Publish the records of a shard without the lines that verdicts name; records of which nothing but blanks is left
    go as ``duplicate_lines``, with the number of lines that went, and where the first of them had been before.

    A record that loses no line passes byte for byte. The receipt notes ``lines_removed`` and ``bytes_removed``, the
    UTF-8 bytes by which the texts became shorter, whole texts of dropped records included. ``records`` is how many the
    keys were made of. Raises :class:`BrokenInput` when there are not as many now.
    """
    repeated = LineVerdicts(read_copies(context, part))

    def staying(batch: Batch) -> Columns:
        numbers, lines, texts = [], [], []
        for n, line, text in zip(batch.n, batch.lines, batch.texts, strict=True):
            left = text
            before = repeated.removed
            first = repeated.next
            if first is not None and first[0] >> LINE_BITS == n:
                left = without_lines(text, n << LINE_BITS, repeated)
                if not left or left.isspace():
                    seen = f"{first[1]}#{first[2] >> LINE_BITS}"
                    drop = Drop("duplicate_lines", repeated.removed - before)
                    context.drop(f"{path}#{n}", drop, text=text, detail={"first_seen": seen})
                    continue
                line = with_text(line, left)
            numbers.append(n)
            lines.append(line)
            texts.append(left)
        return numbers, lines, texts

    keep(context, staying, path=path, name=name, records=records, tokenizer=tokenizer)
    receipt = context.receipt
    receipt.notes = {"lines_removed": repeated.removed, "bytes_removed": receipt.read_bytes - receipt.bytes}


class LineVerdicts:
    """Verdicts on the lines of a shard, by rising number: ``next`` is the next one, ``removed`` counts those before."""

    def __init__(self, verdicts: Iterator[Copy]) -> None:
        self._verdicts = verdicts
        self.next = next(verdicts, None)
        self.removed = 0

    def takes(self, number: int) -> bool:
        """True when the next verdict is on the line of that number; it is passed then."""
        if self.next is None or self.next[0] != number:
            return False
        self.next = next(self._verdicts, None)
        self.removed += 1
        return True


def without_lines(text: str, number: int, verdicts: LineVerdicts) -> str:
    """A text without the lines that ``verdicts`` name; ``number`` is that of its first line."""
    left = []
    for piece in pieces(text):
        lines = piece.split("\n")
        stay = [line for at, line in enumerate(lines, number) if not verdicts.takes(at)]
        number += len(lines)
        if stay:
            left.append("\n".join(stay))
    return "\n".join(left)


def with_text(line: bytes, text: str) -> bytes:
    """The JSON line of a record with another text; the values of its other fields pass as they were written."""
    fields = _fields_of(line)
    fields["text"] = msgspec.Raw(to_json(text))
    return to_json(fields)
