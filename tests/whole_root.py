"""A whole root as bytes, to hold one run against another: equal work leaves equal files."""

from __future__ import annotations

from pathlib import Path

from redpajama_data.engine.ownership import COSTS

_OF_ONE_RUN = {"lock", "lock.json", "holder.json", COSTS}  # who holds the root, and how long tasks took


def files_of(root: Path) -> dict[str, bytes]:
    """Every file of a root by its path in it, without those that two equal runs may leave different."""
    files = {path.relative_to(root): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {
        name.as_posix(): path.read_bytes()
        for name, path in files.items()
        if not (name.parts[0] == "_run" and name.name in _OF_ONE_RUN)
    }
