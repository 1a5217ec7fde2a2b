"""The real command line, with a github slice of one stage whose last shard never ends: it tells its process to the pipe
$TELL and waits at the pipe $WAIT. The arguments are those of ``rpj``."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

import toy

from redpajama_data.__main__ import main
from redpajama_data.engine.stages import RunSettings, Stage, Work, per_file
from redpajama_data.io.storage import RawFile
from slices import github


def stages(settings: github.GithubSettings, run: RunSettings) -> list[Stage]:
    """One task a file."""

    def work(raw: RawFile) -> Work:
        if not raw.path.endswith("_2.gz"):
            return toy.nothing
        return partial(toy.block, pid_to=os.environ["TELL"], wait_on=os.environ["WAIT"])

    return [per_file("clean", work)]


if __name__ == "__main__":
    github.SLICE = replace(github.SLICE, stages=stages)
    main()
