"""Benchmarks on real input, each part in a fresh process.

    python scripts/bench.py [SLICE | JOB ...] [--data DIR] [--repeat N] [--scale 8] [--growth 1,4,16] [--json]
                            [--peer-python PATH]

pairs    the plain loop (bench_floor.py) and the slice or job, one worker, N times in turn: ratio of CPU times
rate     MB of raw text a CPU second, against the published scripts' rate on the same input; a MB is 10**6 bytes of the
         UTF-8 text of the records that the published scripts read (bench_floor.py); the start of the process counts
workers  wall time with one and with two local workers, pair by pair
growth   1, 4, 16 times the input: CPU time, and the peak memory of the process
peers    the packages that do the same work, in one process (MinHash against datatrove: bench_minhash.py)

The last thing printed is one table of all that was measured.

CPU times and ratios of neighbours in time stand a busy machine; wall times do not, and the load is printed with them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import bench_minhash
from bench_jobs import JOBS, SOURCES
from bench_peers import peers, ratios
from bench_runs import Bench, Numbers, spread
from realdata import DEFAULT, NAMES, raw_files, use_models_of


def _show(value: Numbers, unit: str = "x") -> str:
    return f"{value['median']:.2f}{unit} ({value['min']:.2f} to {value['max']:.2f})"


def _against_datatrove(given: argparse.Namespace, folder: Path, say: Any) -> tuple[Numbers, str]:
    """datatrove and ours in turn on the input of bench_minhash.py: how many times its CPU time ours fits into."""
    found = bench_minhash.pairs(given.peer_python, given.data.resolve(), folder / "datatrove", given.repeat, say)
    return spread(found), "datatrove in turn, no tokens counted"


def bench(name: str, given: argparse.Namespace, folder: Path, say: Any) -> Numbers:
    """Every benchmark of a slice or job; ``say`` gets a line as soon as it is known."""
    subject = Bench(name, given.data.resolve(), folder)
    found: Numbers = {}
    if given.repeat:
        scale = JOBS[name].scale if name in JOBS else given.scale
        p = found["pairs"] = subject.pairs(scale, given.repeat)
        say(f"{name}: {p['megabytes']:.1f} MB of raw text, load {os.getloadavg()[0]:.1f}")
        held = f", {_show(p['times_against'])} {p['against']}" if p["times_against"] else ""
        unit = f" {p['unit']}/s"
        say(f"  rate      {_show(p['rate'], unit)}{held}")
        if p["uncounted_rate"]:
            say(f"            {p['uncounted_rate']:,.1f} {p['unit']}/s without counting tokens (one run)")
        say(f"  floor     {_show(p['times_floor'])} the CPU time of the plain loop ({min(p['floor_cpu']):.2f} s)")
        say(
            f"  memory    {p['peak'] / 1e6:.0f} MB peak, one worker; "
            f"{p['tokens_a_second'] / 1e6:.2f} M tokens/s published"
        )
        w = found["workers"] = subject.workers(scale, given.repeat)
        walls = ", ".join(f"{one:.1f}/{two:.1f} s" for one, two in w["wall"])
        say(
            f"  workers   two are {_show(w['speed_up'])} as fast as one ({walls}); "
            f"peak of a process {w['peak'] / 1e6:.0f} MB, load {os.getloadavg()[0]:.1f}"
        )
        if name == "fuzzy" and given.peer_python:
            p["times_against"], p["against"] = _against_datatrove(given, folder, say)
        found["peers"] = []
        for label, theirs, ours in peers(name, given.data):
            times = ratios(theirs, ours, given.repeat)
            found["peers"].append({"pair": label, "times": spread([a / b for a, b in times])})
            say(f"  peer      {label}: {_show(found['peers'][-1]['times'])} the CPU time")
    if given.growth:
        found["growth"] = subject.growth(given.growth)
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


HEAD = ("", "rate", "times", "held against", "floor", "2 workers", "peak", "growth: CPU, memory")


def table(results: Numbers) -> str:
    """Everything that was measured, a line a slice or job: rate of one worker, its ratio to what it is held against,
    CPU time in floors, speed-up of two workers, peak memory, and what CPU time and memory grow by with the input."""
    rows = [HEAD]
    for name, found in results.items():
        pairs, grown = found.get("pairs"), found.get("growth")
        row = [name]
        if pairs:
            times = pairs["times_against"]
            row += [
                f"{pairs['rate']['median']:,.1f} {pairs['unit']}/s",
                f"{times['median']:.1f} x" if times else "",
                pairs["against"],
                f"{pairs['times_floor']['median']:.1f} x",
                f"{found['workers']['speed_up']['median']:.2f} x",
                f"{pairs['peak'] / 1e6:.0f} MB",
            ]
        else:
            row += [""] * 6
        if grown:
            first, last = grown[0], grown[-1]
            row.append(
                f"input x {last['units'] / first['units']:.0f}: {last['cpu'] / first['cpu']:.1f}, "
                f"{last['peak'] / first['peak']:.2f}"
            )
        rows.append((*row, *[""] * (len(HEAD) - len(row))))  # type: ignore[arg-type]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join((*NAMES, *JOBS))}")
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--repeat", type=int, default=3, help="pairs of each comparison; 0 leaves them out")
    parser.add_argument("--scale", type=int, default=8, help="input of the pairs, in units of the real input")
    parser.add_argument(
        "--growth", type=lambda s: [int(n) for n in s.split(",") if n], default=[1, 4, 16], metavar="1,4,16"
    )
    parser.add_argument("--peer-python", help="python of an environment with datatrove: see bench_minhash.py --help")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.names) - {*NAMES, *JOBS}:
        parser.error(f"no slice or job {', '.join(sorted(unknown))}; there are {', '.join((*NAMES, *JOBS))}")
    results: Numbers = {"load": os.getloadavg(), "cores": len(os.sched_getaffinity(0))}
    for name in given.names or (*NAMES, *JOBS):
        if not raw_files(name if name in NAMES else SOURCES[0], given.data):
            print(f"{name}: no real input in {given.data}; give --data DIR", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(prefix="rpj-bench-") as scratch:
            os.environ.update(use_models_of(given.data, Path(scratch) / "models"))
            say = (lambda line: None) if given.json else (lambda line: print(line, flush=True))
            results[name] = bench(name, given, Path(scratch), say)
    if not given.json:
        print(table({name: found for name, found in results.items() if isinstance(found, dict)}))
    if given.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
