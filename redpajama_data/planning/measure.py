"""Processor time and memory of this process and of all that it started."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """Seconds of the processor, user and system together: :func:`user_and_system`."""
    return sum(user_and_system())


def user_and_system() -> tuple[float, float]:
    """Seconds of the processor of this process and all below it, also of those that still run (the process that parses
    wikitext lives as long as its worker). Without /proc those that run are left out."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    alive = [_cpu_of(pid) for pid in _descendants(os.getpid())]
    return (
        sum(usage.ru_utime for usage in used) + sum(user for user, _ in alive),
        sum(usage.ru_stime for usage in used) + sum(system for _, system in alive),
    )


def forget_peak() -> None:
    """Let :func:`peak_memory` begin anew. Without a kernel that can the peak is that since the start."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """The most bytes that this process had resident since :func:`forget_peak`, and what those below it had at most."""
    found = [_high_water(pid) for pid in ("self", *map(str, _descendants(os.getpid())))]
    return sum(found) or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _descendants(pid: int) -> Iterator[int]:
    """The processes below one, that still run."""
    with contextlib.suppress(OSError, ValueError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                yield child
                yield from _descendants(child)


def _cpu_of(pid: int) -> tuple[float, float]:
    """Seconds of a process that runs, and of those of its children that have ended; none when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    user, system, of_children, system_of_children = map(int, fields[11:15])  # proc(5), fields 14 to 17
    return (user + of_children) * _TICK, (system + system_of_children) * _TICK


def _high_water(pid: str) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
