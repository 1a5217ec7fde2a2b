"""Kills runs at random moments and shows that resuming them gives, byte for byte, what an undisturbed run gives.

    python scripts/kill_test.py [--kills 50] [--seed 0] [--files 24] [--input DIR] [-- RPJ OPTIONS]

Runs the GitHub slice of the real command line on the embedded sample (or --input), divided among --files raw files,
and after it the removal of exact and near-duplicates from its shards. In each round a fresh root is run, killed by
SIGKILL (the driver or one of its workers, as the seeded generator says), run again, killed again, until a run ends by
itself; then the root must equal that of the undisturbed run in every file. Rounds go on until --kills kills were
made.

A moment is a number of finished tasks and then a random fraction of a second, from a timer, because any moment is what
is tested; the tasks make the moments spread over the run however slow the machine is. After each killed driver every
receipt that is there must already name whole files. Exits with 1 at the first difference.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from redpajama_data import sample
from redpajama_data.engine.receipts import load_all
from redpajama_data.io.storage import TMP_MARK

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE = 120  # seconds that a run may take; the sample takes three
NOT_COMPARED = {"lock", "holder.json", "costs.json"}  # who runs and what it took, not what was made


def divide(source: Path, target: Path, files: int) -> None:
    """Write the records of the raw files in ``source`` to ``files`` raw files, in order: there are as many tasks."""
    lines = [
        line for path in sorted(source.glob("github_*.gz")) for line in gzip.decompress(path.read_bytes()).split(b"\n")
    ]
    size = -(-len(lines) // files)
    target.mkdir()
    for number in range(files):
        part = lines[number * size : (number + 1) * size]
        (target / f"github_{number:04d}.gz").write_bytes(gzip.compress(b"\n".join(part), mtime=0))


def start(raw: Path, root: Path, options: list[str]) -> subprocess.Popen[bytes]:
    """Start a run in a session of its own: every process of it can then be found by the session's number."""
    command = [sys.executable, "-m", "redpajama_data", "run", "--slice", "github", "--quiet", "--workers", "2"]
    command += ["--job", "exact", "--job", "fuzzy"]
    return subprocess.Popen(
        [*command, "--input", str(raw), "--root", str(root), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def members(session: int) -> dict[int, int]:
    """The living processes of a session, each with its parent."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            state, parent, _, its_session, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(its_session) == session and state not in "ZX":
                found[int(folder.name)] = int(parent)
    return found


def workers(driver: int) -> list[int]:
    """The workers of a run: the children of its fork server, which is a child of the driver."""
    tree = members(driver)
    return sorted(pid for pid, parent in tree.items() if parent in tree and parent != driver)


def wait_for(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """True when the process ended by itself within that time."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False


def end_of(process: subprocess.Popen[bytes]) -> int:
    """Wait for a run that nobody disturbs any more; its exit status."""
    if not wait_for(process, PATIENCE):
        raise SystemExit(f"a run did not end within {PATIENCE} seconds")
    return process.returncode


def orphans_end(session: int) -> float:
    """Wait until no process of a killed driver is left; how long that took, in seconds."""
    began = time.monotonic()
    while members(session):
        if time.monotonic() - began > PATIENCE:
            raise SystemExit(f"processes of a killed driver are still there: {sorted(members(session))}")
        time.sleep(0.01)  # they are nobody's children: there is nothing to wait on but their end
    return time.monotonic() - began


def contents(root: Path) -> dict[str, str]:
    """Every file of a root with its SHA-256."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if path.name not in NOT_COMPARED
    }


def broken_promises(root: Path) -> Iterator[str]:
    """Files that a receipt names but that are not there whole."""
    for receipt in load_all(str(root)):
        for out in receipt.outputs.values():
            path = root / out.path
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != out.sha256:
                yield f"{receipt.stage}/{receipt.task}: {out.path}"


class Round:
    """One root, killed again and again until a run of it ends by itself."""

    def __init__(self, raw: Path, root: Path, options: list[str], chance: random.Random, longest: float) -> None:
        self.raw, self.root, self.options, self.chance, self.longest = raw, root, options, chance, longest
        self.kills: Counter[str] = Counter()
        self.at: list[int] = []  # receipts that were there at each kill
        self.lingered = 0.0

    def run(self, most: int) -> None:
        """Run to the end, with at most ``most`` kills."""
        while True:
            process = start(self.raw, self.root, self.options)
            killed = False
            while self.kills.total() < most and not killed and self.moment(process):
                killed = self.kill(process)
            if killed:
                continue
            status = end_of(process)
            if status == 0:
                return
            if status != 3:  # 3: a task lost its worker three times and is tried again by the next run
                assert process.stderr is not None
                raise SystemExit(f"a resumed run ended with {status}: {process.stderr.read().decode()}")

    def receipts(self) -> int:
        """How many tasks are finished."""
        return sum(1 for _ in self.root.rglob("*.receipt.json"))

    def moment(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for a random moment; False when the run ended before it."""
        tasks = self.chance.randint(0, 4)
        target = self.receipts() + tasks
        while self.receipts() < target:
            if wait_for(process, 0.002):
                return False
        # With no task to wait for, the moment may also lie in the start of the program.
        return not wait_for(process, self.chance.uniform(0, 0.1 if tasks else self.longest / 2))

    def kill(self, process: subprocess.Popen[bytes]) -> bool:
        """Kill a worker or the driver; True when it was the driver, after its orphans have ended."""
        self.at.append(self.receipts())
        there = workers(process.pid)
        if there and self.chance.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(there), signal.SIGKILL)
            self.kills["worker"] += 1
            return False
        process.kill()
        process.wait()
        self.kills["driver"] += 1
        self.lingered = max(self.lingered, orphans_end(process.pid))
        for problem in broken_promises(self.root):
            raise SystemExit(f"a receipt promises what is not there: {problem}")
        return True


def differences(root: Path, calm: dict[str, str]) -> list[str]:
    """What distinguishes a root from the undisturbed one."""
    found = contents(root)
    left = [f"left over: {name}" for name in found if TMP_MARK in name]
    return left + sorted(
        f"{'differs' if name in found and name in calm else 'missing' if name in calm else 'extra'}: {name}"
        for name in found.keys() | calm.keys()
        if found.get(name) != calm.get(name)
    )


def main() -> int:
    """Run the rounds and print what happened; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=24, help="raw files to divide the input among")
    parser.add_argument("--input", type=Path, help="folder of github_*.gz; default: the embedded sample")
    parser.add_argument("options", nargs="*", help="options of rpj run, after --")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    kills: Counter[str] = Counter()
    at: list[int] = []
    lingered = 0.0
    with tempfile.TemporaryDirectory(prefix="kill-test-") as name:
        place = Path(name)
        if options.input is None:
            sample.build(place / "sample", ["github"])
        divide(options.input or place / "sample" / "github", place / "raw", options.files)
        began = time.monotonic()
        calm_run = start(place / "raw", place / "calm", options.options)
        if end_of(calm_run) != 0:
            assert calm_run.stderr is not None
            raise SystemExit(f"the undisturbed run failed: {calm_run.stderr.read().decode()}")
        longest = time.monotonic() - began
        calm = contents(place / "calm")
        published = sum(name.startswith("github/") for name in calm)
        print(f"undisturbed: {longest:.1f} s, {len(calm)} files, {published} of them published shards", flush=True)
        rounds = 0
        while kills.total() < options.kills:
            rounds += 1
            part = Round(place / "raw", place / f"round{rounds}", options.options, chance, longest)
            part.run(min(options.kills - kills.total(), 12))
            wrong = differences(part.root, calm)
            shown = ", ".join(map(str, part.at))
            print(
                f"round {rounds}: {dict(part.kills)}, at {shown} receipts: {'DIFFERS' if wrong else 'equal'}",
                flush=True,
            )
            if wrong:
                print("\n".join(wrong))
                return 1
            kills += part.kills
            at += part.at
            lingered = max(lingered, part.lingered)
    tasks = 2 * options.files + 1
    inside = sum(0 < receipts < tasks for receipts in at)
    print(
        f"{kills.total()} kills ({kills['driver']} drivers, {kills['worker']} workers; {inside} between first and last "
        f"task), {rounds} roots, all equal to the undisturbed one; "
        f"workers outlived their driver by {lingered:.2f} s at most"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
