"""Totals counted: those of a root from its receipts or anew with another tokenizer, and those of any JSONL files."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from redpajama_data.corpus.listing import PATTERNS, is_root
from redpajama_data.errors import NOT_JSON, BrokenInput, UsageError
from redpajama_data.io import storage
from redpajama_data.io.credentials import admit_all
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.shards import MAX_LINE
from redpajama_data.io.terminal import bar, is_drawn_on
from redpajama_data.models.known import known_name
from redpajama_data.models.tokens import Tokenizer, load_tokenizer
from redpajama_data.reports.root_status import root_totals
from redpajama_data.reports.totals import SliceTotals

DEFAULT_TOKENIZER = "gpt-neox-20b"


def only_root(places: Sequence[str]) -> str | None:
    """The root of a run, when ``places`` is one and nothing else."""
    return places[0] if len(places) == 1 and is_root(places[0]) else None


def count_totals(places: Sequence[str], tokenizer: str | None) -> tuple[list[SliceTotals], str]:
    """Totals of a root (from its receipts, unless another ``tokenizer`` is named) or of files, and what counted them.

    Raises :class:`UsageError` when roots and files are mixed.
    """
    if only_root(places):
        totals, by = root_totals(places[0])
        if tokenizer is None or by == {load_tokenizer(tokenizer).sha256}:
            return totals, ", ".join(map(_tokenizer_name, sorted(by))) or "nothing"
        return [_recount(places[0], part, tokenizer) for part in totals], load_tokenizer(tokenizer).identity
    for place in places:
        if is_root(place):
            raise UsageError(f"{place} is the root of a run: give it alone. Roots and files are not counted together.")
    loaded = load_tokenizer(tokenizer or DEFAULT_TOKENIZER)
    places = admit_all(places)
    if not storage.is_remote(places[0]) and len(places) == 1:
        places = [raw.path for raw in storage.list_files(places[0], PATTERNS)]
    return [_count(places, loaded, "files")], loaded.identity


def _tokenizer_name(sha256: str) -> str:
    return known_name(sha256) or f"the tokenizer with SHA-256 {sha256[:16]}"


def _recount(root: str, part: SliceTotals, tokenizer: str) -> SliceTotals:
    """A slice's published shards counted again with another tokenizer, one source shard a file."""
    shards = [raw.path for raw in storage.list_files(storage.join(root, part.slice), ("*.jsonl.zst",))]
    counted = _count(shards, load_tokenizer(tokenizer), part.slice)
    if len(shards) != len(part.shard_tokens):  # several shards a raw file: its part of the tokens as it was counted
        rate = counted.tokens / part.tokens if part.tokens else 0
        counted.shard_tokens = [round(tokens * rate) for tokens in part.shard_tokens]
    counted.source_shards = part.source_shards
    return counted


def _count(paths: Sequence[str], tokenizer: Tokenizer, name: str) -> SliceTotals:
    with bar(desc=f"count {name}", unit="B", unit_scale=True, disable=not is_drawn_on()) as drawn:

        def advance(size: int) -> None:
            drawn.update(size)

        return count_files(paths, tokenizer, name=name, progress=advance)


def count_files(
    paths: Iterable[str],
    tokenizer: Tokenizer,
    *,
    text_field: str = "text",
    name: str = "files",
    progress: Callable[[int], None] | None = None,
) -> SliceTotals:
    """Count the texts of JSONL files (``.jsonl``, ``.gz``, ``.zst``), one shard a file, as a stream.

    ``progress`` is called with the UTF-8 bytes of each text. A line that is no record with a text is counted as unread
    and named, and so is the place where a damaged file breaks off; counting goes on. Raises
    :class:`InputUnavailable` for a file that cannot be read now.
    """
    totals = SliceTotals(name)
    for path in paths:
        shard = 0
        for text in _texts(path, text_field):
            if isinstance(text, BrokenInput):
                totals.unread += 1
                totals.first_unread = totals.first_unread or text.message
                continue
            size = len(text.encode("utf-8", "replace"))
            shard += tokenizer.count([text])[0]
            totals.documents += 1
            totals.bytes += size
            totals.characters += len(text)
            if progress is not None:
                progress(size)
        totals.tokens += shard
        totals.shard_tokens.append(shard)
    return totals


def _texts(path: str, field: str) -> Iterator[str | BrokenInput]:
    """The texts of a JSONL file, and what is wrong with the lines that have none."""
    lines = iter_lines(path, max_bytes=MAX_LINE)
    for number in itertools.count(1):
        try:
            line: Any = next(lines, None)
        except BrokenInput as error:
            yield error
            return
        if line is None:
            return
        if isinstance(line, BrokenInput):
            yield line
        elif isinstance(line, TooLong):
            yield BrokenInput(f"{path}:{number}: a line of {line.length} bytes. Is this JSONL?")
        else:
            yield _text(line, field, f"{path}:{number}")


def _text(line: bytes, field: str, place: str) -> str | BrokenInput:
    try:
        record = msgspec.json.decode(line)
    except NOT_JSON as error:
        return BrokenInput(f"{place}: not JSON ({error}). Expected one object a line.")
    if not isinstance(record, dict):
        return BrokenInput(f"{place}: a {type(record).__name__}. Expected one JSON object a line.")
    text = record.get(field)
    if not isinstance(text, str):
        return BrokenInput(
            f"{place}: no text in {field!r}; the record has {sorted(record)}. "
            "Expected the published form, one object a line with its text in 'text'."
        )
    return text
