"""Random schedules of failing servers and killed processes against the engine of downloads: most within one process and
on a clock of their own, some with the real command and real signals.

python scripts/soak/downloads.py --schedules 1000 --commands 20 [--first 0] [--minutes 10]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "tests" / "download")]
_ENDS = 5  # of a command, before it may come to its end


def main() -> None:
    """Carry them out; exit status 1 when one of them shows a problem."""
    import processes
    import schedules

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=100)
    parser.add_argument("--commands", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no further one is begun after so many")
    given = parser.parse_args()
    begun, wrong, done, went_on = time.monotonic(), 0, 0, 0
    for number in range(given.commands + given.schedules):
        if time.monotonic() - begun > given.minutes * 60:
            break
        with tempfile.TemporaryDirectory(prefix="rpj-soak-") as folder:
            if number < given.commands:
                problems, count = processes.problems_of(given.first + number, Path(folder), _ENDS)
                went_on += count
            else:
                problems = schedules.problems_of(given.first + number - given.commands, Path(folder))
        done, wrong = done + 1, wrong + bool(problems)
        for problem in problems:
            print(problem, flush=True)
    commands = min(done, given.commands)
    print(
        f"{commands} commands ended {commands * _ENDS} times ({went_on} files went on where they were), "
        f"{done - commands} schedules, {wrong} with problems, {time.monotonic() - begun:.0f} s"
    )
    sys.exit(bool(wrong) or not done or (commands > 0 and not went_on))


if __name__ == "__main__":
    main()
