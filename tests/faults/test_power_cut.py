"""What is not yet on the disk when the power goes, or never gets there, is done again."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import toy
from whole_root import files_of

from redpajama_data.engine.executors import SerialExecutor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import RunSettings
from redpajama_data.engine.tasks import Workplace
from redpajama_data.errors import StorageError
from redpajama_data.io import storage, writing
from redpajama_data.models.model_file import ModelFile

Go = Callable[[str], SliceRun]
SHARDS, STAGES = 3, 4


@pytest.fixture
def go(tmp_path: Path, tiny_tokenizer: ModelFile) -> Go:
    (tmp_path / "raw").mkdir()
    for shard in range(SHARDS):
        texts = [f"shard {shard} document {n}" for n in range(5)] + ["a copy of all"]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (tmp_path / "raw" / f"{shard}.jsonl").write_text(lines)
    settings = toy.ToySettings(input=(str(tmp_path / "raw"),))

    def run(root: str) -> SliceRun:
        place = Workplace(str(tmp_path / root), 1 << 26)
        inputs = list_inputs(toy.SLICE, settings.input)
        counted = RunSettings(tiny_tokenizer, 0.5)
        return run_slice(
            toy.SLICE, settings, counted, inputs, SerialExecutor(), place, partial(StageProgress, quiet=True)
        )

    return run


@contextlib.contextmanager
def disk(patch: pytest.MonkeyPatch, fails_at: int, error: BaseException) -> Iterator[list[tuple[str, bool]]]:
    """Every file written, and whether it was waited for; the wait at the end of that stage fails (1: the first)."""
    written: list[tuple[str, bool]] = []
    whole_file, waits = storage.whole_file, 0

    def noted(path: str, *, durable: bool = True) -> Any:
        written.append((path, durable))
        return whole_file(path, durable=durable)

    def wait(number: int) -> None:
        nonlocal waits
        waits += 1
        if waits == fails_at:
            raise error

    with patch.context() as inner:
        inner.setattr(storage, "whole_file", noted)
        inner.setattr(writing, "_sync_filesystem", wait)
        yield written


def test_a_task_waits_for_the_disk_once_and_only_for_what_it_publishes(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with disk(monkeypatch, 0, AssertionError()) as written:
        go("root")
    published = str(tmp_path / "root" / "toy")
    in_stages = published.count("/") + 3  # ROOT/_run/toy/STAGE/FILE
    of_tasks = [(path, durable) for path, durable in written if path.count("/") == in_stages]
    assert [durable for path, durable in written if path.startswith(published)] == [True] * SHARDS
    assert len(of_tasks) > STAGES * SHARDS
    assert not any(durable for _, durable in of_tasks)


@pytest.mark.parametrize("stage", range(1, STAGES + 1))
def test_what_the_disk_has_lost_is_made_again(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: int
) -> None:
    go("fresh")
    before = [len(receipts) for receipts in go("fresh").receipts.values()]
    lost = OSError(errno.EIO, os.strerror(errno.EIO))
    with disk(monkeypatch, stage, lost), pytest.raises(StorageError, match="run the same command again"):
        go("root")
    assert go("root").done_now == sum(before[stage - 1 :])
    assert files_of(tmp_path / "root") == files_of(tmp_path / "fresh")


class Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("stage", range(1, STAGES + 1))
def test_a_power_cut_costs_the_tasks_of_its_stage(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: int, left: int
) -> None:
    """``left``: what a file has after it, its first bytes or none."""
    go("fresh")
    with disk(monkeypatch, stage, Cut()) as written, pytest.raises(Cut):
        go("root")
    name = list(go("fresh").receipts)[stage - 1]
    for path, durable in written:
        if not durable and f"/_run/toy/{name}/" in path:
            os.truncate(path, left * os.path.getsize(path) // 2)
    go("root")
    assert files_of(tmp_path / "root") == files_of(tmp_path / "fresh")


def test_a_folder_that_is_not_there_cannot_be_waited_for(tmp_path: Path) -> None:
    storage.settle(str(tmp_path))
    storage.settle("s3://bucket/anything")
    with pytest.raises(StorageError):
        storage.settle(str(tmp_path / "none"))
