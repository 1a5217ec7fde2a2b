"""The real command line, killed by SIGKILL at an exact moment: within a file of the root, or when that file is whole
and no receipt tells of it yet.

    python tests/killed_at.py '[{"file": "train.bin", "moment": "within", "words": ["tokenize", ...]}, ...]'

Each case is a process of its own. Prints their exit statuses as JSON. The library of MosaicML's shards is the stand-in.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent / "jobs"))

from test_tokenize_mds import StandIn

from redpajama_data.cli.main import cli
from redpajama_data.corpus import mds_shards
from redpajama_data.io import writing
from redpajama_data.models.tokens import resolve_tokenizer


def die() -> None:
    """End this process as a cut of power would."""
    os.kill(os.getpid(), signal.SIGKILL)


def run(case: dict[str, Any]) -> None:
    """A command that is killed at the moment of its case."""
    write, replace = writing.WholeFile.write, os.replace

    def half(self: writing.WholeFile, data: Any) -> int:
        if case["moment"] == "within" and self._path.endswith(case["file"]):
            view = memoryview(data).cast("B")
            write(self, view[: len(view) // 2])
            self._file.flush()
            die()
        return write(self, data)

    def replaced(old: str, new: str) -> None:
        replace(old, new)
        if case["moment"] == "after" and new.endswith(case["file"]):
            die()

    with (
        mock.patch.object(writing.WholeFile, "write", half),
        mock.patch.object(os, "replace", replaced),
        mock.patch.object(mds_shards, "SHARD_BYTES", 2000),
        mock.patch.object(mds_shards, "writer_class", return_value=StandIn),
        mock.patch("slices.jobs.tokenize.require_library"),
    ):
        cli(case["words"])


if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")  # of a process without threads: each case spares the imports
    cases = json.loads(sys.argv[1])
    for name in {case["words"][case["words"].index("--tokenizer") + 1] for case in cases}:
        resolve_tokenizer(name)  # tried once, in a process of its own, not in each case
    processes = [fork.Process(target=run, args=(case,)) for case in cases]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(json.dumps([process.exitcode for process in processes]))
