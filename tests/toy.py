"""A slice small enough to break on purpose: JSON lines in, exact dedup, one filter. Workers import it by name."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from redpajama_data.config import SliceSettings
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.engine.stages import RunSettings, Slice, Stage
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput, StorageError
from redpajama_data.io.lines import iter_lines
from redpajama_data.pipeline.copies import copies_stage
from redpajama_data.pipeline.stages import clean_stage, dedup_stage, publish_stored_stage


class ToySettings(SliceSettings):
    """``min_words`` is the toy's one threshold."""

    min_words: int = 2


def read_toy(path: str) -> Iterator[Document | Rejected]:
    """Lines ``{"text": ...}``; ``crash`` and ``die`` in the text do what they say, ``die once`` only the first time."""
    for n, line in enumerate(iter_lines(path, max_bytes=1 << 20)):
        doc_id = f"{path}#{n}"
        try:
            assert isinstance(line, bytes)
            text = json.loads(line)["text"]
        except (ValueError, KeyError):
            yield Rejected(doc_id, Drop("malformed", f"line {n + 1}"))
            continue
        if text == "crash":
            raise BrokenInput(f"{path}: crashed. Mend it.", f"line {n + 1}")
        if text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if text.startswith("die once"):
            marker = Path(text.split()[-1])
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        yield Document(doc_id, text, {"n": n})


def min_words(doc: Document, *, limit: int) -> Document | Drop:
    """Too few words."""
    words = len(doc.text.split())
    return Drop("min_words", words, limit) if words < limit else doc


def no_bang(doc: Document) -> Document:
    """Raises on one text, as a defect would."""
    if doc.text.startswith("raise"):
        raise ValueError("unexpected")
    return doc


def text_key(doc: Document) -> bytes:
    """MD5 of the text."""
    return hashlib.md5(doc.text.encode()).digest()


def stages(settings: ToySettings, run: RunSettings) -> list[Stage]:
    """Clean, dedup, publish."""
    return [
        clean_stage("clean", reader=read_toy, steps=[no_bang], key=text_key, run=run),
        dedup_stage("dedup", reads="clean"),
        copies_stage("copies", reads="clean", verdicts="dedup"),
        publish_stored_stage(
            "publish",
            reads="clean",
            verdicts="dedup",
            copies="copies",
            steps=[partial(min_words, limit=settings.min_words)],
            run=run,
        ),
    ]


def nothing(context: TaskContext) -> None:
    """A task that is done at once."""


def block(context: TaskContext, *, pid_to: str, wait_on: str) -> None:
    """Tell this process's id, then wait for what never comes."""
    Path(pid_to).write_text(str(os.getpid()))
    Path(wait_on).read_text()


def fill_the_disk(context: TaskContext, *, pid_from: str, pid_to: str) -> None:
    """Fail as a full disk does, once the other task is at work."""
    Path(pid_to).write_text(Path(pid_from).read_text())
    raise StorageError("no space left. Free some.")


SLICE = Slice("toy", "for tests", 1, ("*.jsonl",), ToySettings, stages)
