"""Instructions: P3, Natural Instructions and OIG as dialogues, for tuning after the training. Not one of the seven.

Input: JSON lines, told apart record by record:

    P3                    {"inputs", "targets", "meta"}                as in togethercomputer/RedPajama-Data-Instruct
    Natural Instructions  {"definition", "inputs", "targets", "meta"}  as there
    OIG                   {"text", "metadata"}                         unified_*.jsonl of laion/OIG

    read ─► has_prompt ─► has_answer ─► published

Output: ``{"text": "<human>: ...\\n<bot>: ...", "meta": {source, task, license, no_loss_ranges}}``, the dialogues of
OpenChatKit (:mod:`filters.dialogue`). Dedup, decontamination, counts and tokens are jobs, as for every slice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from filters.dialogue import BOT, HUMAN, RANGES, exchange, has_answer, has_prompt, prompts_of
from redpajama_data.config import SliceSettings
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.engine.stages import RunSettings, Slice, Stage
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.pipeline.stages import publish_stage

MAX_LINE = 1 << 26  # bytes; a task's longest inputs are books of some 10**6
EXPECTED = "an object with inputs and targets, or a text with turns of <human>: and <bot>:"
LICENCES = {"p3": "Apache-2.0", "natural_instructions": "Apache-2.0", "oig": None}
"""Of the collections, by the card of RedPajama-Data-Instruct; a record that names its own has that. OIG is of many."""

# What a record calls its task; the card does not say how the published files do.
_TASK_KEYS = ("task", "task_name", "dataset", "source", "name")
_LICENCE_KEYS = ("license", "licence")
_ENDINGS = re.compile(r"\.(jsonl|json)(\.(gz|zst))?$")


class InstructSettings(SliceSettings):
    """Settings of the slice: it has no threshold."""


class _Record(msgspec.Struct, gc=False):
    inputs: str | None = None
    targets: str | list[str] | None = None
    definition: str | list[str] | None = None
    text: str | None = None
    meta: Any = None
    metadata: Any = None


def read_instructions(path: str) -> Iterator[Document | Rejected]:
    """Each line of a file of instructions, as a dialogue; white space around questions and answers goes.

    Of several targets the first is the answer. A definition stands before the inputs, a blank line between them. A line
    of no known form is rejected. Raises :class:`~redpajama_data.errors.BrokenInput` where the file cannot be read.
    """
    decode = msgspec.json.Decoder(_Record).decode
    stem = _ENDINGS.sub("", path.rsplit("/", 1)[-1])
    for ordinal, line in enumerate(iter_lines(path, max_bytes=MAX_LINE)):
        doc_id = f"{path}#{ordinal}"
        if isinstance(line, TooLong):
            yield Rejected(doc_id, Drop("malformed", f"line of {line.length} bytes", MAX_LINE))
            continue
        try:
            record = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            yield Rejected(doc_id, Drop("malformed", str(error) if line.strip() else "blank line", EXPECTED))
            continue
        document = _document(doc_id, record, stem)
        yield document or Rejected(doc_id, Drop("malformed", "no known form", EXPECTED))


def _document(doc_id: str, record: _Record, stem: str) -> Document | None:
    """A record as a document, by the fields that it has; None when it is of no known form."""
    if record.inputs is not None and record.targets is not None:
        asked = [part for part in (_first(record.definition), record.inputs.strip()) if part]
        text, ranges = exchange("\n\n".join(asked), _first(record.targets))
        source = "p3" if record.definition is None else "natural_instructions"
        told = record.meta
    elif record.text is not None and (HUMAN in record.text or BOT in record.text):
        text, source, told = record.text.strip(), "oig", record.metadata
        ranges = prompts_of(text)
    else:
        return None
    meta = {
        "source": source,
        "task": _told(told, _TASK_KEYS) or stem,
        "license": _told(told, _LICENCE_KEYS) or LICENCES[source],
        RANGES: ranges,
    }
    return Document(doc_id, text, meta)


def _first(value: str | list[str] | None) -> str:
    """A string, or the first of several, without white space around it."""
    return (value if isinstance(value, str) else next(iter(value or ()), "")).strip()


def _told(meta: Any, keys: tuple[str, ...]) -> str | None:
    """The first string that a record's meta has under one of these names."""
    values = (meta.get(key) for key in keys) if isinstance(meta, dict) else ()
    return next((value for value in values if isinstance(value, str) and value), None)


def stages(settings: InstructSettings, run: RunSettings) -> list[Stage]:
    """Read, filter, publish."""
    return [publish_stage("publish", reader=read_instructions, steps=[has_prompt, has_answer], run=run)]


SLICE = Slice(
    name="instruct",
    summary="instructions of P3, Natural Instructions and OIG as dialogues",
    revision=1,
    patterns=("*.jsonl", "*.jsonl.gz", "*.jsonl.zst"),
    settings=InstructSettings,
    stages=stages,
)
