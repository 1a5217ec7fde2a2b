"""Slices and jobs run on two sizes of a sample, each in a process of its own: what they cost."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar, cast

from redpajama_data.config import SliceSettings
from redpajama_data.corpus.listing import root_shards
from redpajama_data.engine import receipts
from redpajama_data.engine.child_processes import deaf_to_interrupts, modules_of_this_process
from redpajama_data.engine.run_slice import list_inputs
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.engine.stages import RunSettings, Slice
from redpajama_data.errors import InputUnavailable, UsageError
from redpajama_data.io.storage import RawFile
from redpajama_data.planning import measure, sample
from redpajama_data.planning.calibrate import Seen, watch
from redpajama_data.planning.model import Cost, fit
from redpajama_data.sample.more import write_more

SMALL, EMBEDDED = 1 << 18, 4 << 20  # bytes of each of two embedded files: the small size and the large one
PROBE, MOST = 1 << 20, 64 << 20  # raw bytes of a user's files: the small size, and the large one at most
ROOTS = ("warm", "small", "large")

Given = TypeVar("Given")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Part:
    """A slice or job as it is to be measured. ``files`` are raw files of the user's, empty: the embedded sample of the
    slice that ``like`` names."""

    slice: Slice
    settings: SliceSettings
    common: RunSettings
    files: tuple[RawFile, ...] = ()
    like: str = ""


@dataclass
class Calibrated:
    """What a part costs, and on what that was measured: bytes of text, seconds of the processor, what was cut."""

    cost: Cost
    text: int
    cpu: float
    embedded: bool
    published: int = 0
    trouble: list[str] = field(default_factory=list)


def in_a_process(work: Callable[[Given], Answer], given: Given) -> Answer:
    """``work(given)`` in a new process: what others held in memory is not in its figures, and a library that ends the
    process ends that one. Raises what the work raises, :class:`UsageError` when it ended without an answer."""
    context = multiprocessing.get_context("spawn")
    answers, asked = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(work, given, asked))
    with modules_of_this_process(), deaf_to_interrupts():
        process.start()
    asked.close()
    try:
        answer = answers.recv()
    except EOFError as error:
        raise UsageError(
            "the process that measures ended without an answer. Run what it measured by itself to see why: rpj run."
        ) from error
    finally:
        process.kill()
        process.join()
    if isinstance(answer, BaseException):
        raise answer
    return cast(Answer, answer)


def _answer(work: Callable[[Given], Answer], given: Given, asked: Connection) -> None:
    try:
        answer: object = work(given)
    except Exception as error:
        answer = error
    asked.send(answer)


def calibrate_slice(given: tuple[Part, str, float]) -> Calibrated:
    """Run a slice on two sizes of its sample, within about so many seconds: ``(part, folder, seconds)``.

    The first run of the small size loads models and is thrown away: what it took more is the start of a worker.
    Raises :class:`InputUnavailable` when no sample can be taken of the user's files.
    """
    part, folder, seconds = given
    began = measure.cpu_seconds()
    embedded = not part.files
    probe = SMALL if embedded else PROBE
    small = _files(part, _folder(part, folder, "small"), probe)
    warm = _watched(part, small, folder, "warm")
    # Where the first record was cut, as a book may be, nothing was warmed.
    while not warm.published and probe < MOST and warm.raw < sum(raw.bytes for raw in part.files):
        probe *= 4
        shutil.rmtree(_folder(part, folder, "small"))
        small = _files(part, _folder(part, folder, "small"), probe)
        warm = _watched(part, small, folder, "warm")
    less = _watched(part, small, folder, "small")
    start = began + max(0.0, warm.cpu - less.cpu)
    size = EMBEDDED
    if not embedded:
        rate = less.raw / max(1e-3, less.cpu)  # the small run is a tenth of the time: what is left is the large one's
        size = int(min(MOST, max(2 * probe, 0.8 * seconds * rate)))
    more = _watched(part, _files(part, _folder(part, folder, "large"), size), folder, "large")
    trouble = [said for said in more.trouble if said]
    return Calibrated(fit(less, more, start), more.text, less.cpu + more.cpu, embedded, more.published, trouble)


def _folder(part: Part, folder: str, which: str) -> str:
    return os.path.join(folder, f"files-{part.slice.name}-{which}")


def _files(part: Part, folder: str, size: int) -> list[RawFile]:
    if part.files:
        found = sample.take(part.files, folder, size)
        if not found:
            raise InputUnavailable(
                f"{part.slice.name}: the smallest raw file is above {size >> 20} MB and cannot be cut. Put a smaller "
                "one beside it, or move them away: then the embedded sample counts."
            )
        return found
    write_more(part.like or part.slice.name, Path(folder), files=sample.FILES, size=size)
    return list_inputs(part.slice, [folder])


def _watched(part: Part, files: Sequence[RawFile], folder: str, which: str) -> Seen:
    return watch(part.slice, part.settings, part.common, files, os.path.join(folder, which))


def calibrate_job(given: tuple[Part, str, str | None]) -> Calibrated:
    """Run a job over what the slices published at both sizes: ``(part, folder, corpus)``.

    ``corpus`` is the job whose shards it reads, None: those of the slices.
    """
    part, folder, corpus = given
    began = measure.cpu_seconds()
    seen = {}
    for which in ROOTS:
        root = os.path.join(folder, which)
        shards = root_shards(root, corpus, within=True)
        seen[which] = watch(part.slice, part.settings, part.common, shards, root)
        seen[which].text = _texts(root)
    start = began + max(0.0, seen["warm"].cpu - seen["small"].cpu)
    more = seen["large"]
    cost = fit(seen["small"], more, start)
    return Calibrated(cost, more.text, seen["small"].cpu + more.cpu, False, more.published, more.trouble)


def _texts(root: str) -> int:
    """Bytes of the texts that the slices of a root have published."""
    names = [note.slice for note in slices_of(root) if note.kind == "slice"]
    found = (receipt for name in names for receipt in receipts.load_all(root, name))
    return sum(receipt.bytes for receipt in found if receipts.is_published(receipt))
