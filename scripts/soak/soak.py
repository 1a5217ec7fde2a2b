"""Runs the sample's slices and jobs under random faults of the machine, and shows that nothing is lost.

    python scripts/soak/soak.py [--faults 60] [--seed 0] [--minutes M] [--only NAME] [--list]

A round: a root in some state (empty; done; done with another setting; with files cut or gone), one fault drawn by the
seeded generator (``sitecustomize.py`` beside this says which there are), the command; then the same command without
the fault, with another memory and other workers, until it ends as the undisturbed run does. The root must then be
clean by ``rpj verify``, and equal that of the undisturbed run in every byte. Exits with 1 at the first round that is
not; ``--round N`` repeats one. Rounds run in a process forked from this one, so that a round costs its work and not
the start of Python; every fourth one runs on local workers, which get the fault through the environment.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import sitecustomize
from sitecustomize import Fault

from redpajama_data import sample

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parents[1]
PATIENCE = 300  # seconds that a run may take; those of the sample take up to five
ATTEMPTS = 4  # runs after the one with the fault: one quarantined stage lets the next be tried only then
NOT_COMPARED = {"lock", "holder.json", "costs.json"}  # who runs and what it took, not what was made

READS = ("EIO", "ETIMEDOUT", "ESTALE", "EMFILE", "EACCES", "ENOENT", "memory", "cut", "kill", "driver", "term")
WRITES = ("EIO", "ENOSPC", "EDQUOT", "EMFILE", "EFBIG", "memory", "cut", "kill", "driver", "term")
CHANGES = ("EIO", "ENOSPC", "EACCES", "ESTALE", "kill", "driver", "term")
OPS = {  # op: what it may end in, and the calls of it in a run of the sample, about
    "open": (READS, 200),
    "read": (READS, 400),
    "list": (READS, 60),
    "write": (WRITES, 150),
    "fsync": (CHANGES, 100),
    "replace": (CHANGES, 150),
    "unlink": (CHANGES, 150),
    "mkdir": (CHANGES, 100),
}
STATES = ("empty", "empty", "done", "other setting", "cut", "gone")


class Case(NamedTuple):
    """A command of the sample: what stands before and after ``--root ROOT``, and a setting that makes another text."""

    words: tuple[str, ...]
    other: tuple[str, ...]


def cases(raw: Path) -> dict[str, Case]:
    """The slices, and jobs over the shards of two of them."""
    config = ("--config", str(raw / "rpj.yaml"))

    def slice_case(name: str, *other: str) -> Case:
        return Case(("run", "--slice", name, *config), other)

    jobs = ("run", "--slice", "c4", "--slice", "github", *config)
    return {
        "common_crawl": slice_case("common_crawl", "--set", "min_length=400"),
        "c4": slice_case("c4", "--set", "max_malformed=0.9"),
        "github": slice_case("github", "--set", "min_alnum_prop=0.3"),
        "books": slice_case("books", "--set", "distance=1"),
        "arxiv": slice_case("arxiv", "--set", "max_malformed=0.9"),
        "wikipedia": slice_case("wikipedia", "--set", "date=20200101"),
        "stackexchange": slice_case("stackexchange", "--set", "timestamp=2020"),
        "jobs": Case(jobs, ("--set", "fuzzy.threshold=0.7")),
        "signals": Case(("signals", str(raw.parent / "shards" / "c4")), ()),
        "overlap": Case(("overlap", str(raw.parent / "shards")), ()),
        "tokenize": Case(("tokenize", str(raw.parent / "shards")), ("--held-out", "0.1")),
    }


# ------------------------------------------------------------------------------------------------ runs


def in_a_fork(work: Callable[[], int], log: Path) -> int:
    """Do ``work`` in a forked process; its exit status, negative when a signal ended it. What it prints goes to the
    log."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setsid()
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for stream in (1, 2):
                os.dup2(out, stream)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            status = work()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    began = time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - began > PATIENCE:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise SystemExit(f"a run did not end within {PATIENCE} s; see {log}")
        time.sleep(0.01)


def rpj(words: list[str], fault: Fault | None = None) -> Callable[[], int]:
    """The command line with those words, and perhaps a fault, as work for :func:`in_a_fork`."""

    def work() -> int:
        from redpajama_data.__main__ import main

        os.environ["PYTHONPATH"] = f"{FOLDER}:{REPOSITORY}"
        sys.argv = ["rpj", *words]
        if fault is not None:
            fault.driver = os.getpid()
            if "local" in words:
                os.environ[sitecustomize.FAULT] = json.dumps(vars(fault))
            sitecustomize.install(fault)
        main()
        return 0

    return work


def contents(root: Path) -> dict[str, str]:
    """Every file of a root with its SHA-256."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if path.name not in NOT_COMPARED
    }


class Calm(NamedTuple):
    """The undisturbed run of a case: its root, exit status and files; a root of the other setting."""

    root: Path
    status: int
    files: dict[str, str]
    other: Path


def undisturbed(name: str, case: Case, place: Path) -> Calm:
    """Run a case in peace, with both settings."""
    log = place / "calm.log"
    root, other = place / "calm" / name, place / "other" / name
    options = ["--executor", "serial", "--quiet"]
    status = in_a_fork(rpj([*case.words, "--root", str(root), *options]), log)
    if case.other:
        status = max(status, in_a_fork(rpj([*case.words, *case.other, "--root", str(other), *options]), log))
    if status not in (0, 3):
        raise SystemExit(f"{name} ended with {status} in peace; see {log}")
    return Calm(root, in_a_fork(rpj([*case.words, "--root", str(root), *options]), log), contents(root), other)


# ------------------------------------------------------------------------------------------------ rounds


class Round:
    """One fault on one case."""

    def __init__(self, number: int, seed: int, all_cases: dict[str, Case], place: Path) -> None:
        self.chance = random.Random(f"{seed}/{number}")
        self.name = self.chance.choice(list(all_cases))
        self.case = all_cases[self.name]
        self.state = self.chance.choice(STATES)
        self.op = self.chance.choice(list(OPS))
        actions, calls = OPS[self.op]
        self.local = number % 4 == 3
        self.action = self.chance.choice(actions)
        self.at = 1 + int(calls ** self.chance.random())
        self.times = self.chance.choice((1, 1, 2, 10, 10**6))
        self.where = self.chance.choice((str(place / "root"), str(place / "root"), str(place / "raw")))
        if self.op in ("write", "fsync", "replace", "unlink", "mkdir"):
            self.where = str(place / "root")
        self.place = place
        self.struck = False

    def __str__(self) -> str:
        where = "raw files" if self.where.endswith("raw") else "root"
        return (
            f"{self.name} ({self.state}{', local' if self.local else ''}): {self.op} {self.action} "
            f"from call {self.at} on, {self.times} times, in the {where}"
        )

    def prepare(self, calm: Calm) -> Path:
        """A root in the round's state."""
        root = self.place / "root"
        shutil.rmtree(root, ignore_errors=True)
        source = calm.other if self.state == "other setting" else calm.root
        if self.state != "empty" and source.exists():
            shutil.copytree(source, root)
        if self.state in ("cut", "gone"):
            files = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in NOT_COMPARED)
            for path in self.chance.sample(files, min(3, len(files))):
                if self.state == "gone":
                    path.unlink()
                else:
                    path.write_bytes(path.read_bytes()[: self.chance.randrange(1 + path.stat().st_size)])
        return root

    def play(self, calm: Calm, log: Path) -> list[str]:
        """Run with the fault, then without it; what is wrong afterwards."""
        log.unlink(missing_ok=True)
        root, count = self.prepare(calm), self.place / "count"
        count.unlink(missing_ok=True)
        fault = Fault(self.op, self.where, self.at, self.times, self.action, str(count))
        words = [*self.case.words, "--root", str(root), "--quiet"]
        how = ["--executor", "local", "--workers", "2"] if self.local else ["--executor", "serial"]
        first = in_a_fork(rpj([*words, *how], fault), log)
        self.struck = count.exists() and count.stat().st_size >= self.at
        statuses = [first]
        for attempt in range(ATTEMPTS):
            memory = self.chance.choice(("256M", "1G", "4G"))
            how = ["--executor", "serial", "--memory", memory]
            statuses.append(in_a_fork(rpj([*words, *how, *(["--retry-broken"] if attempt else [])]), log))
            if statuses[-1] == calm.status and contents(root) == calm.files:
                break
        wrong = [] if statuses[-1] == calm.status else [f"exit statuses {statuses}, in peace {calm.status}"]
        if first not in (0, 1, 2, 3, 4, 5, 143, -signal.SIGKILL, -signal.SIGTERM):
            wrong.append(f"the run with the fault ended with {first}")
        if "Traceback" in log.read_text(errors="replace"):
            wrong.append(f"a traceback; see {log}")
        status = in_a_fork(rpj(["verify", str(root)]), log)
        if status:
            wrong.append(f"rpj verify: {status}")
        found = contents(root)
        wrong += sorted(
            f"{'differs' if name in found and name in calm.files else 'missing' if name in calm.files else 'extra'}: "
            f"{name}"
            for name in found.keys() | calm.files.keys()
            if found.get(name) != calm.files.get(name)
        )[:10]
        return wrong


@contextlib.contextmanager
def workshop(keep: Path | None) -> Iterator[Path]:
    """A folder for the soak, removed afterwards unless it was named."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        yield Path(name)


def main() -> int:
    """Play the rounds and print what came of them; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--faults", type=int, default=60, help="faults that strike; default 60")
    parser.add_argument("--minutes", type=float, help="no new round after that time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--round", type=int, help="this round alone")
    parser.add_argument("--only", help="this case alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and keep it")
    options = parser.parse_args()
    began = time.monotonic()
    actions: Counter[str] = Counter()
    with workshop(options.keep) as place:
        sample.build(place / "raw")
        sample.write_config(place / "raw", jobs=True)
        log = place / "round.log"
        config = str(place / "raw" / "rpj.yaml")
        shards = ["run", "--slice", "c4", "--slice", "wikipedia", "--config", config]
        in_a_fork(rpj([*shards, "--root", str(place / "shards"), "--executor", "serial", "--quiet"]), log)
        chosen = {name: case for name, case in cases(place / "raw").items() if options.only in (None, name)}
        calm: dict[str, Calm] = {}
        number = options.round or 0
        while actions.total() < options.faults and (options.round is None or number == options.round):
            if options.minutes and time.monotonic() - began > 60 * options.minutes:
                break
            played = Round(number, options.seed, chosen, place)
            if played.name not in calm:
                calm[played.name] = undisturbed(played.name, played.case, place)
            wrong = played.play(calm[played.name], log)
            actions[f"{played.op} {played.action}"] += played.struck
            if wrong or options.round is not None:
                print(f"round {number}, {played}", *(wrong or ["equal"]), sep="\n  ", flush=True)
            if wrong:
                print(log.read_text(errors="replace")[-3000:])
                return 1
            number += 1
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(actions.items()))
    print(f"{actions.total()} faults in {number} rounds, all equal to the undisturbed run ({kinds})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
