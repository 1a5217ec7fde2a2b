"""A few kills of the real command line at random moments; ``scripts/kill_test.py --kills 50`` makes many."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from redpajama_data.engine.executors import open_executor
from redpajama_data.engine.run_task import Done
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.models.model_file import ModelFile

REPOSITORY = Path(__file__).resolve().parents[2]


def test_killed_runs_resume_to_the_same_bytes(tiny_tokenizer: ModelFile) -> None:
    tokens = ["--tokenizer", tiny_tokenizer.path, "--set", f"code_tokenizer={tiny_tokenizer.path}"]
    script = REPOSITORY / "scripts" / "kill_test.py"
    done = subprocess.run(
        [sys.executable, script, "--kills", "6", "--files", "8", "--", *tokens, "--set", "min_alpha_per_token=0"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(
        r"^6 kills \(\d drivers, \d workers; .*all equal to the undisturbed one", done.stdout, re.MULTILINE
    )


def nothing(context: TaskContext) -> None:
    """A task that is done at once."""


def grandchildren() -> list[int]:
    """The children of this process's children: the workers of a fork server."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                parents[int(folder.name)] = int(parent)
    return [pid for pid, parent in parents.items() if parents.get(parent) == os.getpid()]


def test_workers_killed_while_they_idle_are_replaced(tmp_path: Path) -> None:
    tasks = [Task("s", "stage", f"t{n}", n, nothing, "lineage") for n in range(6)]
    place = Workplace(str(tmp_path), 1 << 26)
    with open_executor("local", workers=2) as pool:
        before = set(grandchildren())
        assert {type(outcome) for outcome in pool.map(tasks, place)} == {Done}
        idle = set(grandchildren()) - before
        assert idle
        for pid in idle:
            os.kill(pid, signal.SIGKILL)
        while idle & set(grandchildren()):
            pass  # until the system has ended them
        assert {type(outcome) for outcome in pool.map(tasks, place)} == {Done}
