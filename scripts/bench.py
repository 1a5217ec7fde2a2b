"""Benchmarks on real input, each part in a fresh process; without names all of them, and BENCHMARKS.md is written.

    python scripts/bench.py [SLICE | JOB | public ...] [--data DIR] [--repeat N] [--scale 8] [--growth 1,4,16] [--json]

pairs    the plain loop (bench_floor.py) and the slice or job, one worker, N times in turn: ratio of CPU times
rate     MB of raw text a CPU second, against the published scripts' rate on the same input; a MB is 10**6 bytes of the
         UTF-8 text of the records that the published scripts read (bench_floor.py); the start of the process counts
workers  wall time with one and with two local workers, pair by pair
growth   1, 4, 16 times the input: CPU time, and the peak memory of the process
peers    the packages that do the same work, in one process (bench_peers.py)
public   the programs that do the same work, in an environment of their own (bench_public.py)

CPU times and ratios of neighbours in time stand a busy machine; wall times do not, and the load is printed with them.
All numbers go to build/benchmarks.json, after each slice or job.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bench_page
import bench_public
from bench_jobs import JOBS, SOURCES
from bench_page import times
from bench_peers import peers, ratios
from bench_runs import Bench, Numbers, spread
from realdata import DEFAULT, NAMES, raw_files, use_models_of

from redpajama_data.io.storage import write_bytes

HERE = Path(__file__).resolve().parents[1]
Say = Callable[[str], None]


def bench(name: str, given: argparse.Namespace, folder: Path, say: Say) -> Numbers:
    """Every benchmark of a slice or job; ``say`` gets a line as soon as it is known."""
    subject = Bench(name, given.data.resolve(), folder)
    found: Numbers = {}
    if given.repeat:
        scale = JOBS[name].scale if name in JOBS else given.scale
        p = found["pairs"] = subject.pairs(scale, given.repeat)
        say(f"{name}: {p['megabytes']:.1f} MB of raw text, load {os.getloadavg()[0]:.1f}")
        held = f", {times(p['times_against'])} {p['against']}" if p["times_against"] else ""
        unit = f" {p['unit']}/s"
        say(f"  rate      {times(p['rate'], unit)}{held}")
        if p["uncounted_rate"]:
            say(f"            {p['uncounted_rate']:,.1f} {p['unit']}/s without counting tokens (one run)")
        say(f"  floor     {times(p['times_floor'])} the CPU time of the plain loop ({min(p['floor_cpu']):.2f} s)")
        say(
            f"  memory    {p['peak'] / 1e6:.0f} MB peak, one worker; "
            f"{p['tokens_a_second'] / 1e6:.2f} M tokens/s published"
        )
        w = found["workers"] = subject.workers(scale, given.repeat)
        walls = ", ".join(f"{one:.1f}/{two:.1f} s" for one, two in w["wall"])
        say(
            f"  workers   two are {times(w['speed_up'])} as fast as one ({walls}); "
            f"peak of a process {w['peak'] / 1e6:.0f} MB, load {os.getloadavg()[0]:.1f}"
        )
        found["peers"] = []
        for pair in peers(name, given.data):
            both = ratios(pair.theirs, pair.ours, given.repeat)
            row = {
                "pair": pair.label,
                "their_rate": spread([pair.megabytes / theirs for theirs, _ in both]),
                "our_rate": spread([pair.megabytes / ours for _, ours in both]),
                "times": spread([theirs / ours for theirs, ours in both]),
            }
            found["peers"].append(row)
            say(f"  peer      {pair.label}: {times(row['times'])}, ours {row['our_rate']['median']:.1f} MB/s")
    if given.growth:
        found["growth"] = subject.growth(given.growth)
        for step in found["growth"]:
            say(
                f"  growth    {step['units']:>3} x  {step['cpu']:7.2f} s CPU  {step['wall']:7.2f} s  "
                f"{step['peak'] / 1e6:6.0f} MB peak"
            )
    return found


def machine() -> Numbers:
    """What this ran on."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].partition(":")[2].strip() if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
    }


def revision() -> str:
    """The commit that is checked out."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def measure(names: list[str], given: argparse.Namespace, say: Say) -> Numbers:
    """All that is asked for; build/benchmarks.json has what is known so far."""
    results: Numbers = {
        "date": time.strftime("%Y-%m-%d"),
        "revision": revision(),
        "machine": machine(),
        "load": [os.getloadavg()[0]] * 2,  # the lowest and the highest
        "subjects": {},
        "public": [],
    }
    for name in names:
        if not raw_files(name if name in NAMES else SOURCES[0], given.data):
            print(f"{name}: no real input in {given.data}; give --data DIR", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(prefix="rpj-bench-") as scratch:
            os.environ.update(use_models_of(given.data, Path(scratch) / "models"))
            if name == "public":
                for work in bench_public.WORKS:
                    results["public"] += bench_public.compare(work, given, Path(scratch, work), say)
            else:
                results["subjects"][name] = bench(name, given, Path(scratch), say)
        load = os.getloadavg()[0]
        results["load"] = [min(results["load"][0], load), max(results["load"][1], load)]
        write_bytes(str(HERE / "build" / "benchmarks.json"), json.dumps(results, indent=1).encode())
    return results


def main() -> None:
    """The command line."""
    every = (*NAMES, *JOBS, "public")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(every)}")
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--repeat", type=int, default=3, help="pairs of a slice or job; 0 leaves them out")
    parser.add_argument("--scale", type=int, default=8, help="input of the pairs, in units of the real input")
    parser.add_argument(
        "--growth", type=lambda s: [int(n) for n in s.split(",") if n], default=[1, 4, 16], metavar="1,4,16"
    )
    parser.add_argument("--json", action="store_true")
    bench_public.add_options(parser)
    given = parser.parse_args()
    if unknown := set(given.names) - set(every):
        parser.error(f"no slice or job {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    results = measure(given.names or list(every), given, lambda line: None if given.json else print(line, flush=True))
    if given.json:
        print(json.dumps(results, indent=1))
    else:
        print(bench_page.plain(bench_page.HEAD, bench_page.main_rows(results["subjects"])))
    if not given.names:
        (HERE / "BENCHMARKS.md").write_text(bench_page.page(results))


if __name__ == "__main__":
    main()
