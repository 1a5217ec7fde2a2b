"""Records as Parquet that every reader takes alike: six columns, the meta as the record's own JSON text.

A schema of the meta itself is what breaks readers: its keys differ by slice and within books, and some readers change
what looks like a date or a float. As text it keeps its bytes, and ``{"text":<text as JSON>,"meta":<meta>}`` is the line
of the shard again (:func:`json_lines`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from redpajama_data.errors import NOT_JSON, BrokenInput, MissingModel
from redpajama_data.io.shards import to_json

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = {
    "id": "shard in the root and line in it, from 0: `c4/c4-train.jsonl.zst#000000017`",
    "slice": "one of the slices",
    "text": "the document",
    "url": "where the document is from, when its meta has a `url`, else null",
    "language": "when the meta has one that is a string, else null (of GitHub the list of languages is in `meta`)",
    "meta": "the record's metadata, as the JSON text it had in the shard",
}
DIGITS = 9  # of a line number in an id, so that ids sort as the corpus does
LEVEL = 7  # zstd: 9 % smaller than 3, written at 29 MB/s of lines instead of 48; 9 saves 1 % more, at 22
GATHERED = 4 << 20  # bytes of lines that become columns at a time


class _Line(msgspec.Struct, gc=False):
    text: str
    meta: msgspec.Raw


class _Fields(msgspec.Struct, gc=False):
    url: Any = None
    language: Any = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_fields = msgspec.json.Decoder(_Fields).decode


def library() -> Any:
    """The module ``pyarrow``. Raises :class:`MissingModel` with the line that installs it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingModel(
            f"Parquet needs pyarrow ({error}). Install it: pip install 'redpajama-data[release]'. "
            "Or release the shards as they are: --format jsonl."
        ) from error
    return pyarrow


def schema() -> pa.Schema:
    """The columns of every file of a release."""
    pa = library()
    wide = {"text": pa.large_string(), "meta": pa.large_string()}  # of a column more than 2 GB may be read at once
    return pa.schema([pa.field(n, wide.get(n, pa.string()), n in ("url", "language")) for n in COLUMNS])


class Writer:
    """Writes records of one slice into a Parquet file, in row groups of at most ``row_group`` bytes of JSON lines, or
    one record where that is longer.

    To be used in a ``with`` block. Holds a row group as columns, and once more while it is packed. ``rows`` counts the
    records.
    """

    def __init__(self, file: BinaryIO, slice_name: str, *, row_group: int) -> None:
        self._pa = library()
        self._schema = schema()
        self._slice, self._row_group = slice_name, row_group
        parquet = self._pa.parquet
        self._writer = parquet.ParquetWriter(
            file,
            self._schema,
            compression="zstd",
            compression_level=LEVEL,
            use_dictionary=["slice", "language"],
            write_statistics=["id", "slice", "language"],
            write_page_index=True,
            write_page_checksum=True,
            use_content_defined_chunking=True,  # pages of 256 kB to 1 MB that stay the same when documents go
            sorting_columns=parquet.SortingColumn.from_ordering(self._schema, [("id", "ascending")]),
        )
        self._rows: list[tuple[str, str, str, str | None, str | None, str]] = []
        self._gathered = 0  # bytes of the lines in _rows
        self._group: list[Any] = []
        self._size = 0  # bytes of the lines in _group and _rows
        self.rows = 0

    def write(self, shard: str, n: int, line: bytes) -> str:
        """Add line ``n`` of a shard; gives its text. Raises :class:`BrokenInput` for a line that would not come back
        byte for byte."""
        try:
            found = _decode_line(line)
            text, meta = to_json(found.text), bytes(found.meta)
            same = len(line) == len(text) + len(meta) + 17 and line == b'{"text":%b,"meta":%b}' % (text, meta)
            fields = _decode_fields(meta) if same else _Fields()
        except NOT_JSON as error:
            raise not_ours(shard, n) from error
        if not same:
            raise not_ours(shard, n)
        if self._size and self._size + len(line) > self._row_group:
            self._flush()
        url, language = (value if isinstance(value, str) else None for value in (fields.url, fields.language))
        self._rows.append((f"{shard}#{n:0{DIGITS}d}", self._slice, found.text, url, language, meta.decode()))
        self._size += len(line)
        self._gathered += len(line)
        self.rows += 1
        if self._gathered >= GATHERED:
            self._gather()
        return found.text

    def _gather(self) -> None:
        if self._rows:
            columns = [
                self._pa.array(column, field.type)
                for column, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ]
            self._group.append(self._pa.RecordBatch.from_arrays(columns, schema=self._schema))
            self._rows, self._gathered = [], 0

    def _flush(self) -> None:
        self._gather()
        if self._group:
            table = self._pa.Table.from_batches(self._group, self._schema)
            self._group, self._size = [], 0
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what is left, and the footer; the file stays open. After an error nothing more is written."""
        try:
            if kind is None:
                self._flush()
                self._writer.close()
        finally:
            self._writer.is_open = False  # else it writes a footer when it is collected, to a file that is closed


def not_ours(shard: str, n: int) -> BrokenInput:
    """The error for a line that is not as rpj writes records: other fields, or other spelling."""
    return BrokenInput(
        f"{shard}: line {n + 1} is not of the form that rpj writes, so Parquet would not keep its bytes. "
        "Release the shards as they are: --format jsonl."
    )


def json_lines(path: str) -> Iterator[bytes]:
    """The lines of the shards that a Parquet file of a release was made of, in order, without their ends."""
    parquet = library().parquet
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=64, columns=["text", "meta"]):
            for text, meta in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield b'{"text":%b,"meta":%b}' % (to_json(text), meta.encode())
