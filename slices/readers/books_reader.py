"""Reads PG19 and Books3 as their JSON lines files."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from filters.books import SPLITS, Split
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.io.first_bytes import LOOK, known, not_that
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.shards import MAX_NESTING, nested_too_deep
from redpajama_data.io.storage import without_query

PATTERNS = tuple(f"{split}*.jsonl{ending}" for split in SPLITS for ending in ("", ".gz", ".zst", ".bz2"))
MAX_LINE = 1 << 30  # bytes: 100 times the longest book known; a longer line is damage, and would not fit in memory
_NAME = re.compile(r"(pg19-train|pg19-test|pg19-validation|books3-train)[^/]*$")


def split_of(path: str) -> Split:
    """The split that a file's name begins with. Raises :class:`BrokenInput` for any other name."""
    name = _NAME.match(without_query(path).rsplit("/", 1)[-1])
    if not name:
        web = ", and HTML is not read" if path.lower().endswith((".html", ".htm", ".xhtml")) else ""
        raise BrokenInput(
            f"{path}: its name is not that of a book's text (.txt, .txt.utf-8, .zip) nor of a published collection "
            f"({', '.join(SPLITS)}, each with .jsonl){web}. Rename it to what it is, or give the book's .txt."
        )
    return cast(Split, name[1])


def input_order(path: str) -> tuple[int, str]:
    """Sort key: pg19-train, pg19-test, pg19-validation, books3-train, then by path. It is the order of the output."""
    return SPLITS.index(split_of(path)), path


def read_books(path: str) -> Iterator[Document | Rejected]:
    """Each line of a books file: {"text", any other fields}; those become ``meta`` in their order.

    The ordinal in the id is the 0-based line number, bad lines counted: the published ids count them too.
    ``work["split"]`` and ``work["line"]`` say where the book stood.
    A byte order mark belongs to no book.
    Raises :class:`BrokenInput` where the file cannot be read further, when its name says no split, when it is empty,
    and when its first bytes are those of something else.
    """
    split = split_of(path)
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    ordinal = -1
    for ordinal, line in enumerate(iter_lines(path, max_bytes=MAX_LINE)):
        name = f"{path}#{ordinal}"
        if isinstance(line, TooLong):
            yield Rejected(name, Drop("malformed", f"line of {line.length} bytes", f"at most {MAX_LINE} bytes"))
            continue
        if ordinal == 0:
            line = line.removeprefix(BOM_UTF8)
            _check_first(path, line)
        try:
            meta = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            yield Rejected(name, Drop("malformed", str(error) if line.strip() else "blank line", "a JSON object"))
            continue
        text = meta.pop("text", None)
        if not isinstance(text, str):
            yield Rejected(name, Drop("malformed", f"text is {type(text).__name__}", "a field text with a string"))
            continue
        if nested_too_deep(meta):
            yield Rejected(name, Drop("malformed", "nested too deep", MAX_NESTING))
            continue
        yield Document(name, text, meta, {"split": split, "line": ordinal})
    if ordinal < 0:
        raise not_that(path, b"", "JSON lines")


def _check_first(path: str, line: bytes) -> None:
    """Raise :class:`BrokenInput` when the first line says that the file is something else altogether."""
    head = line[:LOOK]
    if head.strip() and not head.lstrip().startswith((b"{", b"[")) and known(head):
        raise not_that(path, head, "JSON lines")
