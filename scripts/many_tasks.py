"""What many tasks cost: so many tiny C4 files, run, run again, one added in the middle, one removed, looked at.

    python scripts/many_tasks.py [--files 2000] [--workers 2] [--json]

Each line is a command of its own, with the time of the clock and of the processor (workers included), and what of that
is a task's: of those that are done, or of those that are only recognised.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

TOKENIZER = "gpt-neox-20b"


class Measured(NamedTuple):
    """A command: seconds of the clock, of the processor; how many tasks it had to do, and to look at."""

    what: str
    seconds: float
    cpu: float
    done: int
    tasks: int


def write_file(path: Path, number: int) -> None:
    """A C4 file of one record."""
    record = {
        "text": f"Text number {number} of many.",
        "timestamp": "2020-01-01T00:00:00Z",
        "url": f"http://x/{number}",
    }
    path.write_bytes(gzip.compress(json.dumps(record).encode() + b"\n", mtime=0))


def measured(what: str, words: list[str], done: int, tasks: int) -> Measured:
    """Run a command of rpj. Raises CalledProcessError when it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "redpajama_data", *words], check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(what, seconds, cpu, done, tasks)


def measure(folder: Path, files: int, workers: int) -> list[Measured]:
    """All commands, on ``files`` files in ``folder``."""
    raw, root = folder / "raw", str(folder / "root")
    raw.mkdir()
    for number in range(files):
        write_file(raw / f"c4-{2 * number:07d}.json.gz", number)
    run = ["run", "--slice", "c4", "--input", str(raw), "--root", root, "--workers", str(workers), "--quiet"]
    run += ["--tokenizer", TOKENIZER]
    found = [measured("start alone", ["--version"], 0, 0)]
    found.append(measured("first run", run, files, files))
    found.append(measured("nothing to do", run, 0, files))
    added = raw / f"c4-{files // 2 * 2 + 1:07d}.json.gz"
    write_file(added, files)
    found.append(measured("one added in the middle", run, 1, files + 1))
    (raw / f"c4-{files // 2:07d}.json.gz" if files // 2 % 2 == 0 else added).unlink()
    found.append(measured("one removed, --prune", [*run, "--prune"], 0, files))
    found.append(measured("status", ["status", root], 0, files))
    found.append(measured("count-tokens", ["count-tokens", root], 0, files))
    found.append(measured("verify", ["verify", root], 0, files))
    return found


def table(found: list[Measured]) -> str:
    """The measurements for people."""
    lines = [f"{'':24} {'seconds':>8} {'CPU s':>8} {'ms a task':>10}"]
    for one in found:
        each = f"{1000 * one.seconds / one.tasks:10.2f}" if one.tasks else ""
        lines.append(f"{one.what:24} {one.seconds:8.2f} {one.cpu:8.2f} {each}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-tasks-") as folder:
        found = measure(Path(folder), chosen.files, chosen.workers)
    print(json.dumps([one._asdict() for one in found]) if chosen.json else table(found))


if __name__ == "__main__":
    main()
