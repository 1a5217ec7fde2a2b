"""The texts that models are trained on: plain text files and JSONL, as streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from redpajama_data.errors import BrokenInput
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.shards import read_jsonl
from redpajama_data.io.storage import whole_file, without_query

MAX_LINE = 64 << 20  # bytes; a longer line of a text file is no document but a damaged file
_TEXT_KEYS = ("text", "raw_content")  # what rpj publishes, and what CCNet writes
_COPY = 1 << 20  # bytes at a time


class Page(NamedTuple):
    """A document, and what its record says of the page it is from; "" where it says nothing."""

    text: str
    url: str = ""
    digest: str = ""


def read_texts(path: str) -> Iterator[str]:
    """The documents of one file, in order, as :func:`read_pages` reads them."""
    return (page.text for page in read_pages(path))


def one_line(text: str) -> str:
    """The text on one line, as the classifier will see it (every line end of ``str.splitlines`` becomes a blank)."""
    return " ".join(text.splitlines())


def read_pages(path: str) -> Iterator[Page]:
    """The documents of one file, in order, with address and digest where the record or its ``meta`` has them.

    ``.txt`` (also ``.txt.gz``, ``.txt.zst``, ``.txt.bz2``): one document a line, empty lines passed over. Anything
    else: JSONL, one object a line with its text under ``text`` (or ``raw_content``, as in CCNet's files).

    Raises :class:`BrokenInput` at a line that is neither, naming it.
    """
    name = without_query(path).lower()
    for suffix in (".gz", ".zst", ".bz2"):
        name = name.removesuffix(suffix)
    if name.endswith(".txt"):
        yield from map(Page, _lines(path))
        return
    for number, record in enumerate(read_jsonl(path), 1):
        text: Any = next((record[key] for key in _TEXT_KEYS if key in record), None)
        if not isinstance(text, str):
            raise BrokenInput(
                f"{path}:{number}: no text under {' or '.join(_TEXT_KEYS)}. Expected JSONL with one of them in every "
                "record, or a .txt file with one document a line.",
                f"line {number}",
            )
        yield Page(text, _said(record, "url"), _said(record, "digest"))


def _said(record: dict[str, Any], name: str) -> str:
    """A field of CCNet's record, or of the meta of ours."""
    meta = record.get("meta")
    value = record.get(name) or (meta.get(name) if isinstance(meta, dict) else None)
    return value if isinstance(value, str) else ""


def _lines(path: str) -> Iterator[str]:
    for number, line in enumerate(iter_lines(path, max_bytes=MAX_LINE), 1):
        if isinstance(line, TooLong):
            raise BrokenInput(
                f"{path}:{number}: a line of {line.length} bytes. Put one document a line.", f"line {number}"
            )
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BrokenInput(
                f"{path}:{number}: not UTF-8 ({error}). Convert the file first.", f"line {number}"
            ) from error
        if text.strip():
            yield text


def publish(finished: str, path: str) -> None:
    """Copy a finished local file to its place, a path or URL, where it appears whole or not at all."""
    with open(finished, "rb") as source, whole_file(path) as target:
        copy(source, target)


def copy(source: IO[bytes], target: Any) -> None:
    """Copy a stream in bounded memory."""
    while chunk := source.read(_COPY):
        target.write(chunk)
