"""C4: the English web documents of allenai/c4, all kept, with the published metadata.

Input: ``*.json.gz``, gzipped JSON lines ``{"text", "timestamp", "url"}``; files of multilingual C4 as well, which
say their language in their name. Published recipe: data_prep/c4 of togethercomputer/RedPajama-Data (branch rp_v1).

    read ─► published
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
from pydantic import Field

from redpajama_data.config import Names, SliceSettings
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.engine.stages import RunSettings, Slice, Stage
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.shards import MAX_NESTING, nested_too_deep
from redpajama_data.io.storage import without_query
from redpajama_data.pipeline.stages import publish_stage
from slices.repairs import SETTING, chosen_from

_MULTILINGUAL = re.compile(r"c4-([a-z]{2,3}(?:-[A-Z][a-z]{3})?)(?:-validation)?\.tfrecord-")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError)
MAX_LINE = 1 << 28  # bytes; the longest document of C4 has about 10**6


class C4Settings(SliceSettings):
    """Settings of the C4 slice: the published recipe has no threshold."""

    repairs: Annotated[Names, chosen_from("c4")] = Field((), description=SETTING)


class _Record(msgspec.Struct, gc=False):
    text: str
    timestamp: Any  # values pass unchanged, whatever they are
    url: Any


def language_of(path: str) -> str:
    """The language of a file by its name: ``c4-de.tfrecord-...`` and ``c4-zh-Latn-validation.tfrecord-...`` are of
    multilingual C4 (``de``, ``zh-Latn``); every other file is English."""
    found = _MULTILINGUAL.match(without_query(path).rsplit("/", 1)[-1])
    return found[1] if found else "en"


def read_c4(path: str) -> Iterator[Document | Rejected]:
    """Each line of a C4 file: {"text", "timestamp", "url"}; ``meta`` is {timestamp, url, language, source: "c4"}.

    A line that is blank, no JSON, or lacks a field (each stops the published script) is rejected with the reason.
    Raises :class:`~redpajama_data.errors.BrokenInput` where the file cannot be read further.
    Source: RedPajama-Data-1T, c4/c4_reformat.py.
    """
    decode = msgspec.json.Decoder(_Record).decode
    language = language_of(path)
    for ordinal, line in enumerate(iter_lines(path, max_bytes=MAX_LINE)):
        try:
            record = decode(line)  # type: ignore[arg-type]  # a TooLong is the rare case: left to the TypeError below
        except _UNREADABLE as error:
            found = _after_mark(decode, line)
            if found is None:
                yield Rejected(f"{path}#{ordinal}", _malformed(line, error))
                continue
            record = found
        meta = {"timestamp": record.timestamp, "url": record.url, "language": language, "source": "c4"}
        if nested_too_deep(meta):
            yield Rejected(f"{path}#{ordinal}", Drop("malformed", "nested too deep", MAX_NESTING))
            continue
        yield Document(f"{path}#{ordinal}", record.text, meta)


def _after_mark(decode: Callable[[bytes], _Record], line: bytes | TooLong) -> _Record | None:
    """The record behind a byte order mark: files put together keep the mark of each."""
    if not isinstance(line, bytes) or not line.startswith(BOM_UTF8):
        return None
    try:
        return decode(line[len(BOM_UTF8) :])
    except _UNREADABLE:
        return None


def _malformed(line: bytes | TooLong, error: Exception) -> Drop:
    """Why a line is no record."""
    if isinstance(line, TooLong):
        return Drop("malformed", f"line of {line.length} bytes", f"at most {MAX_LINE} bytes")
    return Drop("malformed", str(error) if line.strip() else "blank line", "JSON with text, timestamp, url")


def stages(settings: C4Settings, run: RunSettings) -> list[Stage]:
    """The slice's one stage: C4 is taken as it is."""
    return [publish_stage("publish", reader=read_c4, steps=[], run=run)]


SLICE = Slice(
    name="c4",
    summary="web documents of C4 (allenai/c4, English)",
    revision=2,
    patterns=("*.json.gz", "*.json.zst", "c4-*.json", "c4-*.jsonl"),
    settings=C4Settings,
    stages=stages,
    unicode=False,  # texts pass as they are
)
