"""Reads PG19 and Books3 as their JSON lines files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from filters.books import SPLITS, Split
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.shards import MAX_NESTING, nested_too_deep
from redpajama_data.streams import TooLong, iter_lines

PATTERNS = tuple(f"{split}*.jsonl{ending}" for split in SPLITS for ending in ("", ".gz", ".zst", ".bz2"))
MAX_LINE = 1 << 30  # bytes: 100 times the longest book known; a longer line is damage, and would not fit in memory
_NAME = re.compile(r"(pg19-train|pg19-test|pg19-validation|books3-train)[^/]*$")


def split_of(path: str) -> Split:
    """The split that a file's name begins with. Raises :class:`BrokenInput` for any other name."""
    found = _NAME.match(path.rsplit("/", 1)[-1])
    if not found:
        raise BrokenInput(f"{path}: the name says no split. Rename it to begin with one of {', '.join(SPLITS)}.")
    return cast(Split, found[1])


def input_order(path: str) -> tuple[int, str]:
    """Sort key: pg19-train, pg19-test, pg19-validation, books3-train, then by path. It is the order of the output."""
    return SPLITS.index(split_of(path)), path


def read_books(path: str) -> Iterator[Document | Rejected]:
    """Each line of a books file: {"text", any other fields}; those become ``meta`` in their order.

    The ordinal in the id is the 0-based line number, bad lines counted: the published ids count them too.
    ``work["split"]`` and ``work["line"]`` say where the book stood.
    Raises :class:`BrokenInput` where the file cannot be read further, or when its name says no split.
    """
    split = split_of(path)
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for ordinal, line in enumerate(iter_lines(path, max_bytes=MAX_LINE)):
        name = f"{path}#{ordinal}"
        if isinstance(line, TooLong):
            yield Rejected(name, Drop("malformed", f"line of {line.length} bytes", f"at most {MAX_LINE} bytes"))
            continue
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
