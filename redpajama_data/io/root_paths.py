"""Where things lie in a root."""

from __future__ import annotations

from redpajama_data.io import storage

RUN = "_run"  # everything of a root that is not a published shard lies below ROOT/_run
WITHIN = "root:/"  # a path below the root itself, wherever that lies: equal runs in two roots leave equal receipts


def locate(root: str, path: str) -> str:
    """The full path of an input: one that begins with :data:`WITHIN` lies in the root."""
    return storage.join(root, path.removeprefix(WITHIN)) if path.startswith(WITHIN) else path


def task_path(root: str, slice_name: str, stage: str, task: str, ending: str) -> str:
    """Where a task's file of that ending lies: ``ROOT/_run/<slice>/<stage>/<task>.<ending>``."""
    return storage.join(root, RUN, slice_name, stage, f"{task}.{ending}")
