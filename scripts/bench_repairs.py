"""What the corrected recipe costs: CPU time of a slice with all repairs against the published one, in pairs.

    python scripts/bench_repairs.py                        every slice with repairs
    python scripts/bench_repairs.py books --repeat 5       one of them, five pairs
    python scripts/bench_repairs.py books --repairs join_lines,plain_italics

Each run is in a fresh process, on the real input ``--scale`` times over; published and corrected come in turn, so that
a busy machine slows both. The time is that of the run alone, from the first task on: imports cost both the same. Exit
status 1 when the median of a slice is above the limit (``--limit``, 1.2), 2 when the real input is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from bench_runs import Bench, spread
from realdata import DEFAULT, NAMES, raw_files, use_models_of

from slices.repairs import ALL, NONE, repairs_of

LIMIT = 1.2  # what the corrected recipe may take of the published one's time


def pairs(name: str, given: argparse.Namespace, folder: Path) -> list[tuple[float, float]]:
    """CPU seconds of each published run and of the corrected one behind it; the first pair warms up and is left out."""
    subject = Bench(name, given.data.resolve(), folder)

    def seconds(repairs: str) -> float:
        return float(subject.part("pipeline", given.scale, settings={"repairs": repairs})["run_cpu"])

    return [(seconds(NONE), seconds(given.repairs)) for _ in range(given.repeat + 1)][1:]


def main() -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", nargs="*", metavar="SLICE", help=f"of {', '.join(NAMES)}; default: all with repairs")
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--repairs", default=ALL, help="names of repairs, for one slice; default: all")
    parser.add_argument("--repeat", type=int, default=5, help="pairs")
    parser.add_argument("--scale", type=int, default=1, help="times the input")
    parser.add_argument("--limit", type=float, default=LIMIT, help="highest median that is no failure")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    names = [name for name in (given.slices or NAMES) if repairs_of(name)]
    if not all(raw_files(name, given.data) for name in names):
        print(f"{given.data}: no input for {', '.join(names)}. Give --data DIR.", file=sys.stderr)
        return 2
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            os.environ.update(use_models_of(given.data.resolve(), Path(folder) / "cache"))
            times = pairs(name, given, Path(folder))
        found[name] = ratio = spread([corrected / published for published, corrected in times])
        if not given.json:
            one = min(published for published, _ in times)
            times_as_much = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) times the CPU time"
            told = f"published {one:.1f} s; {len(times)} pairs, load {os.getloadavg()[0]:.1f}"
            sys.stdout.write(f"{name:<14} {times_as_much}; {told}\n")
            sys.stdout.flush()
    if given.json:
        print(json.dumps(found, indent=1))
    slow = [name for name, ratio in found.items() if ratio["median"] > given.limit]
    if slow:
        print(f"above {given.limit:g}: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
