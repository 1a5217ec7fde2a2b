"""One subject of the benchmarks, a slice or a job over shards: its parts run in fresh processes and measured."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_inputs import enlarge
from bench_jobs import JOBS, texts
from bench_parts import high_water
from realdata import raw_files

PUBLISHED = {  # MB of raw text a second: the published scripts on this input, one process, on a small machine
    "github": 0.95,
    "stackexchange": 0.77,
    "wikipedia": 0.77,
    "common_crawl": 1.2,
    "books": 0.42,
    "arxiv": 0.19,
    "c4": 22.0,
}
JOB_MEMORY = "64M"
MIDDLE = Path(__file__).parent / "bench_parts.py"
Numbers = dict[str, Any]


class Bench:
    """Measures one slice or job; ``folder`` is scratch space."""

    def __init__(self, name: str, data: Path, folder: Path) -> None:
        self.name, self.data, self.folder = name, data, folder
        self._made: dict[int, list[Path]] = {}
        self.uncounted: dict[str, str] = {}  # what makes a job count no tokens
        self._spec: dict[str, Any] = {"slice": name, "data": str(data)}
        self.against, self.whose, self.unit = PUBLISHED.get(name), "MB/s of the published scripts", "MB"
        if name in JOBS:
            job = JOBS[name]
            self._spec |= {"job": name, "floor": "shards", "settings": job.settings(data)}
            self.against, self.whose, self.unit = job.against, job.whose, job.unit
            self.uncounted = {"tokenizer": "none"} if job.uncounted else {}

    def files(self, units: int) -> list[Path]:
        """The input, ``units`` times."""
        if units not in self._made:
            place = self.folder / f"in-{units}"
            if self.name in JOBS:
                self._made[units] = JOBS[self.name].make(texts(self.data), place, units)
            else:
                self._made[units] = enlarge(self.name, raw_files(self.name, self.data), place, units)
        return self._made[units]

    def part(self, kind: str, units: int, **more: Any) -> Numbers:
        """One part in a fresh process."""
        out = self.folder / "out"
        spec = {**self._spec, "part": kind, "files": [str(path) for path in self.files(units)]}
        with tempfile.TemporaryFile("w+") as stdout:
            process = subprocess.Popen(
                [sys.executable, str(MIDDLE), json.dumps({**spec, "out": str(out), **more})], stdout=stdout
            )
            peaks: dict[int, int] = {}
            while process.poll() is None:
                for pid in descendants(process.pid):
                    peaks[pid] = max(peaks.get(pid, 0), high_water(pid))
                time.sleep(0.05)
            stdout.seek(0)
            answer = stdout.read()
        if process.returncode:
            raise SystemExit(f"{self.name} {kind}: exit status {process.returncode}")
        shutil.rmtree(out, ignore_errors=True)
        out.unlink(missing_ok=True)
        numbers: Numbers = json.loads(answer)
        numbers["peak"] = max(numbers["peak"], *peaks.values(), 0)
        return numbers

    def pairs(self, units: int, repeat: int) -> Numbers:
        """Floor and pipeline, alternating."""
        runs = [(self.part("floor", units), self.part("pipeline", units)) for _ in range(repeat)]
        megabytes = runs[0][0]["raw_text"] / 1e6
        amounts = [megabytes if self.unit == "MB" else pipeline["records"] for _, pipeline in runs]
        rates = [amount / pipeline["cpu"] for amount, (_, pipeline) in zip(amounts, runs, strict=True)]
        alone = self.part("pipeline", units, **self.uncounted) if self.uncounted else None
        return {
            "uncounted_rate": alone and amounts[0] / alone["cpu"],
            "megabytes": megabytes,
            "floor_cpu": [floor["cpu"] for floor, _ in runs],
            "pipeline_cpu": [pipeline["cpu"] for _, pipeline in runs],
            "times_floor": spread([pipeline["cpu"] / floor["cpu"] for floor, pipeline in runs]),
            "rate": spread(rates),
            "times_against": spread([rate / self.against for rate in rates]) if self.against else None,
            "against": f"{self.against:g} {self.whose}" if self.against else "",
            "unit": self.unit,
            "tokens_a_second": statistics.median(p["tokens"] / p["cpu"] for _, p in runs),
            "peak": max(pipeline["peak"] for _, pipeline in runs),
        }

    def workers(self, units: int, repeat: int) -> Numbers:
        """One and two local workers, alternating."""
        runs = [[self.part("pipeline", units, executor="local", workers=n) for n in (1, 2)] for _ in range(repeat)]
        return {
            "wall": [[one["wall"], two["wall"]] for one, two in runs],
            "speed_up": spread([one["wall"] / two["wall"] for one, two in runs]),
            "peak": max(run["peak"] for pair in runs for run in pair),
        }

    def growth(self, steps: list[int]) -> list[Numbers]:
        """The pipeline on more and more input, one worker."""
        rows = []
        # Jobs hold tables of all they read: a limit that the least input reaches shows that memory is bounded by it.
        # The tokenizer's cache of words, bounded too, would fill up meanwhile: each copy has words of its own.
        limit = {"memory": JOB_MEMORY, **self.uncounted} if self.name in JOBS else {}
        for units in steps:
            run = self.part("pipeline", units, **limit)
            rows.append({"units": units, "cpu": run["cpu"], "wall": run["wall"], "peak": run["peak"]})
            if units not in (1, min(steps)):
                shutil.rmtree(self.folder / f"in-{units}", ignore_errors=True)
                self._made.pop(units, None)
        return rows


def spread(values: list[float]) -> Numbers:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, []))
    return found
