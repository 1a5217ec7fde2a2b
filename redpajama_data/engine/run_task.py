"""Does one task: whole or not at all, on any worker, with the same bytes."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass

from redpajama_data.engine import environment, receipts
from redpajama_data.engine.costs import Cost, Meter
from redpajama_data.engine.receipts import Quarantine, Receipt
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.errors import (
    BrokenInput,
    InputUnavailable,
    MissingModel,
    RootInUse,
    RpjError,
    StorageError,
    TooManyDefects,
    UsageError,
)
from redpajama_data.io import credentials, lease, memory, read_so_far, storage
from redpajama_data.io.root_paths import WITHIN

_SHA256 = re.compile(r"[0-9a-f]{64}$")


@dataclass(frozen=True)
class Done:
    """A task that left its receipt, and what it took; ``read`` are the bytes that it read of files."""

    task: Task
    receipt: Receipt
    cost: Cost
    read: int = 0


@dataclass(frozen=True)
class Underway:
    """A task at work, which has read so many bytes of files since it began."""

    task: Task
    read: int


@dataclass(frozen=True)
class Failed:
    """A task that left nothing. ``fatal`` is the error when the whole run must stop (disk full, model missing,
    the root taken over by another run)."""

    task: Task
    reason: str
    detail: str = ""
    fatal: StorageError | RootInUse | MissingModel | UsageError | None = None


def run_task(task: Task, place: Workplace) -> Done | Failed:
    """Do one task on this process: outputs first, ledger, then the receipt. Never raises."""
    meter, before = Meter(), read_so_far.total()
    receipt = Receipt(
        task.slice,
        task.stage,
        task.name,
        task.lineage,
        list(task.inputs),
        raw_bytes=task.raw_bytes,
        stamps=task.stamps,
        rank=task.rank,
    )
    context = TaskContext(task, place, receipt)
    try:
        if place.environment is not None:
            environment.refuse_other(place.environment)
        lease.check(place.root, place.lease)
        # An error leaves through the stack: no half ledger appears.
        with (
            memory.of_task(place.memory),
            storage.relative_to(place.base),
            credentials.knowing(place.addresses),
            context._stack,
        ):
            _refuse_changed(task)
            task.work(context)
            _refuse_changed(task)
        context.count_sample()
        if not receipt.balanced():
            raise AssertionError(f"read {receipt.read} != kept {receipt.kept} + dropped {receipt.dropped}")
        lease.check(place.root, place.lease)
        receipts.save(place.root, receipt)
        return Done(task, receipt, meter.read(task.bytes), read_so_far.total() - before)
    except StorageError as error:
        return Failed(task, str(error), fatal=None if error.passing else error)
    except (RootInUse, MissingModel, UsageError) as error:
        return Failed(task, str(error), fatal=error)
    except BrokenInput as error:
        return Failed(task, error.message, error.place)
    except TooManyDefects as error:
        return Failed(task, str(error), "\n".join(receipt.defects))
    except RpjError as error:  # InputUnavailable above all: the next run tries it again
        return Failed(task, str(error))
    except MemoryError as error:
        reason = f"out of memory{f' ({error})' if str(error) else ''}. Give the run more --memory or fewer --workers."
        return Failed(task, reason, traceback.format_exc())
    except OSError as error:  # of a file that is neither an input nor of the root: a model, a temporary one
        reason = f"{type(error).__name__}: {error}. If that passes, the next run mends it."
        return Failed(task, reason, traceback.format_exc())
    except Exception as error:
        reason = f"{type(error).__name__}: {error}. This is a defect of rpj: please report it with the detail below."
        return Failed(task, reason, traceback.format_exc())


def _refuse_changed(task: Task) -> None:
    """Raise :class:`InputUnavailable` when a raw file is not the one that the task was planned for: its receipt would
    vouch for the text of another. One look at each, where a listing and a look agree on the stamp (disks and S3). The
    stamp of another root's shard is its SHA-256: of that only the size is looked at."""
    for raw in task.raw_files:
        if raw.path.startswith(WITHIN) or (storage.is_remote(raw.path) and not raw.path.startswith("s3://")):
            continue
        try:
            now = storage.stat(raw.path)
        except UsageError as error:  # gone, which may pass: it costs this task, not the run
            raise InputUnavailable(f"{error} It was there when this run began.") from error
        if now.bytes != raw.bytes or (now.stamp != raw.stamp and not _SHA256.match(raw.stamp)):
            raise InputUnavailable(
                f"{raw.path}: it has changed since this run began ({raw.bytes:,} bytes then, {now.bytes:,} now). "
                "Run the same command again when nothing writes to it."
            )


def quarantine(place: Workplace, failed: Failed) -> Quarantine:
    """Write the quarantine entry of a failed task beside where its receipt would lie. Libraries put addresses into
    their errors: what grants access does not go into it."""
    task, shown = failed.task, credentials.shown
    entry = Quarantine(task.slice, task.stage, task.name, list(task.inputs), shown(failed.reason), shown(failed.detail))
    receipts.save_quarantine(place.root, entry)
    return entry
