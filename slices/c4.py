"""C4: the English web documents of allenai/c4, all kept, with the published metadata.

Input: ``*.json.gz``, gzipped JSON lines ``{"text", "timestamp", "url"}``. Published recipe: data_prep/c4 of
togethercomputer/RedPajama-Data (branch rp_v1).

    read ─► published
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from redpajama_data.config import SliceSettings
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.pipeline import publish_stage
from redpajama_data.shards import MAX_NESTING, nested_too_deep
from redpajama_data.stages import RunSettings, Slice, Stage
from redpajama_data.streams import TooLong, iter_lines

MAX_LINE = 1 << 28  # bytes; the longest document of C4 has about 10**6


class C4Settings(SliceSettings):
    """Settings of the C4 slice: the published recipe has no threshold."""


class _Record(msgspec.Struct, gc=False):
    text: str
    timestamp: Any  # values pass unchanged, whatever they are
    url: Any


def read_c4(path: str) -> Iterator[Document | Rejected]:
    """Each line of a C4 file: {"text", "timestamp", "url"}; ``meta`` is {timestamp, url, language: "en", source: "c4"}.

    A line that is blank, no JSON, or lacks a field (each stops the published script) is rejected with the reason.
    Raises :class:`~redpajama_data.errors.BrokenInput` where the file cannot be read further.
    Source: RedPajama-Data-1T, c4/c4_reformat.py.
    """
    decode = msgspec.json.Decoder(_Record).decode
    for ordinal, line in enumerate(iter_lines(path, max_bytes=MAX_LINE)):
        try:
            record = decode(line)  # type: ignore[arg-type]  # a TooLong is the rare case: left to the TypeError below
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
            yield Rejected(f"{path}#{ordinal}", _malformed(line, error))
            continue
        meta = {"timestamp": record.timestamp, "url": record.url, "language": "en", "source": "c4"}
        if nested_too_deep(meta):
            yield Rejected(f"{path}#{ordinal}", Drop("malformed", "nested too deep", MAX_NESTING))
            continue
        yield Document(f"{path}#{ordinal}", record.text, meta)


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
    revision=1,
    patterns=("*.json.gz",),
    settings=C4Settings,
    stages=stages,
)
