"""Benchmarks on real input, each part in a fresh process.

    python scripts/bench.py [SLICE ...] [--data DIR] [--repeat N] [--scale 8] [--growth 1,4,16] [--json]

pairs    the plain loop (bench_floor.py) and the slice, one worker, in turn, N times: ratio of CPU time pair by pair
rate     MB of raw text a CPU second, against the published scripts' rate on the same input; a MB is 10**6 bytes of the
         UTF-8 text of the records that the published scripts read (bench_floor.py); the start of the process counts
workers  wall time with one and with two local workers, pair by pair
growth   1, 4, 16 times the input: CPU time, and the peak memory of the process
peers    the packages that do the same work, in one process

CPU times and ratios of neighbours in time stand a busy machine; wall times do not, and the load is printed with them.
"""

from __future__ import annotations

import argparse
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
from bench_parts import high_water
from bench_peers import peers, ratios
from realdata import DEFAULT, NAMES, raw_files, use_models_of

PUBLISHED = {  # MB of raw text a second: the published scripts on this input, one process, on a small machine
    "github": 0.95,
    "stackexchange": 0.77,
    "wikipedia": 0.77,
    "common_crawl": 1.2,
    "books": 0.42,
    "arxiv": 0.19,
    "c4": 22.0,
}
MIDDLE = Path(__file__).parent / "bench_parts.py"
Numbers = dict[str, Any]


class Bench:
    """Measures one slice; ``folder`` is scratch space."""

    def __init__(self, name: str, data: Path, folder: Path) -> None:
        self.name, self.data, self.folder = name, data, folder
        self._made: dict[int, list[Path]] = {}

    def files(self, units: int) -> list[Path]:
        """The input, ``units`` times."""
        if units not in self._made:
            place = self.folder / f"in-{units}"
            self._made[units] = enlarge(self.name, raw_files(self.name, self.data), place, units)
        return self._made[units]

    def part(self, kind: str, units: int, **more: Any) -> Numbers:
        """One part in a fresh process."""
        out = self.folder / "out"
        spec = {"part": kind, "slice": self.name, "files": [str(p) for p in self.files(units)], "data": str(self.data)}
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
        rates = [megabytes / pipeline["cpu"] for _, pipeline in runs]
        return {
            "megabytes": megabytes,
            "floor_cpu": [floor["cpu"] for floor, _ in runs],
            "pipeline_cpu": [pipeline["cpu"] for _, pipeline in runs],
            "times_floor": spread([pipeline["cpu"] / floor["cpu"] for floor, pipeline in runs]),
            "rate": spread(rates),
            "times_published": spread([rate / PUBLISHED[self.name] for rate in rates]),
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
        for units in steps:
            run = self.part("pipeline", units)
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


def _show(value: Numbers, unit: str = "x") -> str:
    return f"{value['median']:.2f}{unit} ({value['min']:.2f} to {value['max']:.2f})"


def bench(name: str, given: argparse.Namespace, folder: Path, say: Any) -> Numbers:
    """Every benchmark of a slice; ``say`` gets a line as soon as it is known."""
    slice_bench = Bench(name, given.data.resolve(), folder)
    found: Numbers = {}
    if given.repeat:
        p = found["pairs"] = slice_bench.pairs(given.scale, given.repeat)
        say(f"{name}: {p['megabytes']:.1f} MB of raw text, load {os.getloadavg()[0]:.1f}")
        say(
            f"  rate      {_show(p['rate'], ' MB/s')}, "
            f"{_show(p['times_published'])} the published scripts' {PUBLISHED[name]} MB/s"
        )
        say(f"  floor     {_show(p['times_floor'])} the CPU time of the plain loop ({min(p['floor_cpu']):.2f} s)")
        say(
            f"  memory    {p['peak'] / 1e6:.0f} MB peak, one worker; "
            f"{p['tokens_a_second'] / 1e6:.2f} M tokens/s published"
        )
        w = found["workers"] = slice_bench.workers(given.scale, given.repeat)
        walls = ", ".join(f"{one:.1f}/{two:.1f} s" for one, two in w["wall"])
        say(
            f"  workers   two are {_show(w['speed_up'])} as fast as one ({walls}); "
            f"peak of a process {w['peak'] / 1e6:.0f} MB, load {os.getloadavg()[0]:.1f}"
        )
        found["peers"] = []
        for label, theirs, ours in peers(name, given.data):
            times = ratios(theirs, ours, given.repeat)
            found["peers"].append({"pair": label, "times": spread([a / b for a, b in times])})
            say(f"  peer      {label}: {_show(found['peers'][-1]['times'])} the CPU time")
    if given.growth:
        found["growth"] = slice_bench.growth(given.growth)
        for row in found["growth"]:
            say(
                f"  growth    {row['units']:>3} x  {row['cpu']:7.2f} s CPU  {row['wall']:7.2f} s  "
                f"{row['peak'] / 1e6:6.0f} MB peak"
            )
        first, last = found["growth"][0], found["growth"][-1]
        say(
            f"            input x {last['units'] / first['units']:.0f}: CPU x {last['cpu'] / first['cpu']:.1f}, "
            f"memory x {last['peak'] / first['peak']:.2f}"
        )
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", nargs="*", metavar="SLICE", help=f"default: all of {', '.join(NAMES)}")
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--repeat", type=int, default=3, help="pairs of each comparison; 0 leaves them out")
    parser.add_argument("--scale", type=int, default=8, help="input of the pairs, in units of the real input")
    parser.add_argument(
        "--growth", type=lambda s: [int(n) for n in s.split(",") if n], default=[1, 4, 16], metavar="1,4,16"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.slices) - set(NAMES):
        parser.error(f"no slice {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    results: Numbers = {"load": os.getloadavg(), "cores": len(os.sched_getaffinity(0))}
    for name in given.slices or NAMES:
        if not raw_files(name, given.data):
            print(f"{name}: no real input in {given.data}; give --data DIR", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(prefix="rpj-bench-") as scratch:
            os.environ.update(use_models_of(given.data, Path(scratch) / "models"))
            say = (lambda line: None) if given.json else (lambda line: print(line, flush=True))
            results[name] = bench(name, given, Path(scratch), say)
    if given.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
