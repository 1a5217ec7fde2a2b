"""Shards: JSON lines, compressed or plain. Published shards hold ``{"text", "meta"}``, intermediate ones whole
documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import msgspec
import zstandard

from redpajama_data.document import Document
from redpajama_data.errors import NOT_JSON, BrokenInput
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.storage import read_bytes

MAX_LINE = 1 << 30  # bytes of one JSON line; the largest book of the corpus is under 100 MB
MAX_NESTING = 64  # lists and objects inside each other in a raw record's fields; real records have two or three
_BUFFER = 1 << 20  # bytes gathered before the compressor is called

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Stored(msgspec.Struct):
    """One line of an intermediate shard: the document and its number among the records its task read."""

    n: int
    id: str
    text: str
    meta: dict[str, Any]
    work: dict[str, Any] = {}


_decode_stored = msgspec.json.Decoder(_Stored).decode


class LineWriter:
    """Writes lines through zstd into a binary file. ``records`` counts the lines."""

    def __init__(self, file: BinaryIO, level: int) -> None:
        # One frame with a checksum: a reader notices damage even without the receipt.
        self._out = zstandard.ZstdCompressor(level=level, write_checksum=True).stream_writer(file, closefd=False)
        self._buffer = bytearray()
        self.records = 0

    def write(self, line: bytes) -> None:
        """Append one line (without its newline)."""
        self._buffer += line
        self._buffer += b"\n"
        self.records += 1
        if len(self._buffer) >= _BUFFER:
            self._out.write(self._buffer)
            self._buffer.clear()

    def write_all(self, lines: list[bytes]) -> None:
        """Append lines: one call costs a third of one for each."""
        if lines:
            self.write(b"\n".join(lines))
            self.records += len(lines) - 1

    def close(self) -> None:
        """Finish the frame; the file stays open."""
        self._out.write(self._buffer)
        self._buffer.clear()
        self._out.close()  # type: ignore[no-untyped-call]


def published_line(doc: Document) -> bytes:
    """The published record of a document: exactly ``{"text", "meta"}``, UTF-8, one line, no newline."""
    return _encode({"text": doc.text, "meta": doc.meta})


def stored_line(n: int, doc: Document) -> bytes:
    """The intermediate record of a document, the n-th record of its task."""
    return _encode(_Stored(n, doc.id, doc.text, doc.meta, doc.work))


def to_json(value: Any) -> bytes:
    """JSON bytes of plain data."""
    return _encode(value)


def read_jsonl(path: str) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file (``.jsonl``, ``.jsonl.zst``, ``.jsonl.gz``) as a stream.

    Raises :class:`BrokenInput` at a line that is no JSON object, naming it.
    """
    for number, line in enumerate(iter_lines(path, max_bytes=MAX_LINE), 1):
        if isinstance(line, TooLong):
            raise BrokenInput(f"{path}:{number}: a line of {line.length} bytes. Is this JSONL?", f"line {number}")
        try:
            record = _decode(line)
        except NOT_JSON as error:
            raise BrokenInput(f"{path}:{number}: not JSON ({error}). Expected one object a line.") from error
        if not isinstance(record, dict):
            raise BrokenInput(f"{path}:{number}: a {type(record).__name__}. Expected one JSON object a line.")
        yield cast("dict[str, Any]", record)


def read_stored(path: str) -> Iterator[tuple[int, Document]]:
    """The documents of an intermediate shard with their numbers, in order. Raises :class:`MemoryError` for one that the
    task has no memory for; as a task has written it, none is too long otherwise."""
    for line in iter_lines(path, max_bytes=None):
        stored = _decode_stored(cast(bytes, line))
        yield stored.n, Document(stored.id, stored.text, stored.meta, stored.work)


def read_names(path: str) -> list[str]:
    """A small file of one name a line."""
    return (read_bytes(path) or b"").decode().split("\n")[:-1]  # splitlines would split a name at U+2028


def nested_too_deep(record: dict[str, Any]) -> bool:
    """True when a raw record's fields hold more than :data:`MAX_NESTING` lists and objects inside each other.

    The decoder itself gives up only near the interpreter's recursion limit, which depends on who calls it: the same
    record would pass in one process and fail in another, or be read and not written.
    """
    level: list[Any] = [record]
    for _ in range(MAX_NESTING + 1):
        items = (item for part in level for item in (part.values() if isinstance(part, dict) else part))
        level = [item for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True
