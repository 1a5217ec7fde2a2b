"""Progress within a task: what has been read of its files, while it is at work."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import toy

from redpajama_data.config import RunConfig
from redpajama_data.engine import progress, run_slice
from redpajama_data.engine.costs import Cost
from redpajama_data.engine.local_workers import LocalExecutor
from redpajama_data.engine.progress import StageProgress, size_of
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.run_task import Done, Failed, Underway
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.io import read_so_far
from redpajama_data.io.raw_files import RawFile, open_input
from redpajama_data.models.model_file import ModelFile
from redpajama_data.whole_run import run_parts

MB = 1_000_000


def read_all(context: TaskContext, *, path: str) -> None:
    """Read a file piece by piece."""
    with open_input(path) as file:
        while file.read(1000):
            pass


def task(name: str, *raw: RawFile, more: int = 0) -> Task:
    """A task that reads raw files, and ``more`` bytes of other ones."""
    size = sum(file.bytes for file in raw)
    return Task("toy", "clean", name, 0, print, "", raw_bytes=size, bytes=size + more, raw_files=raw)


def done(of: Task, read: int) -> Done:
    return Done(of, Receipt("toy", "clean", of.name, "", read=10, kept=10), Cost(0, 0, 0, 0), read)


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_a_worker_tells_how_much_it_has_read(tmp_path: Path, every: float) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(500_000))
    work = Task("toy", "clean", "a", 0, partial(read_all, path=str(path)), "")
    executor = LocalExecutor(1, told_each=every)
    try:
        *told, last = executor.map([work, work], Workplace(str(tmp_path / "root"), 1 << 26))
    finally:
        executor.close()
    assert isinstance(last, Done)
    assert last.read == 500_000
    at_work = [one.read for one in told if isinstance(one, Underway)]
    if every:
        assert at_work == []
    else:  # of each task anew, the second in the same process
        assert len(at_work) >= 8
        assert at_work == 2 * at_work[: len(at_work) // 2]
        assert at_work[: len(at_work) // 2] == sorted(at_work[: len(at_work) // 2])
        assert at_work[-1] == 500_000


def test_nothing_is_told_after_the_block() -> None:
    found: list[int] = []
    with read_so_far.told(found.append, 0.0):
        read_so_far.count(3)
        read_so_far.count(4)
    read_so_far.count(5)
    assert found == [3, 7]


def test_a_line_says_what_of_a_large_file_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_PLAIN_EVERY", -1.0)
    one, other = task("one", RawFile("1", 3 * MB, "")), task("other", RawFile("2", 2 * MB, ""))
    with StageProgress("toy clean", 2, 0, size_of([one, other])) as shown:
        shown.update(Underway(one, 1 * MB))
        shown.update(Underway(other, 2 * MB))
        shown.update(done(other, 2 * MB))
        shown.update(Underway(one, 2 * MB))
        shown.update(Failed(one, "broken"))
    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(r"[\d,.]+ (docs|MB)/s", r"N \1/s", line) for line in lines] == [
        "toy clean: running, 0/2 tasks, N MB/s, 1 of 5 MB read",
        "toy clean: running, 0/2 tasks, N MB/s, 3 of 5 MB read",
        "toy clean: running, 1/2 tasks, N docs/s, N MB/s, 3 of 5 MB read",
        "toy clean: running, 1/2 tasks, N docs/s, N MB/s, 4 of 5 MB read",
        "toy clean: running, 2/2 tasks, N docs/s, N MB/s, 1 quarantined",
        "toy clean: done, 2/2 tasks, N docs/s, N MB/s, 1 quarantined",
    ]


def test_the_size_of_a_stage_has_each_raw_file_once_and_is_not_known_with_others() -> None:
    large, small = RawFile("1", 30, ""), RawFile("2", 1, "")
    assert size_of([]) == 0
    assert size_of([task("piece-1", large), task("piece-2", large), task("b", small)]) == 31
    assert size_of([task("a", large), task("b", small, more=1)]) == 0


def test_more_is_read_than_there_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a task reads twice."""
    monkeypatch.setattr(progress, "_PLAIN_EVERY", -1.0)
    with StageProgress("toy clean", 1, 0, 2 * MB) as shown:
        shown.update(Underway(task("one"), 2 * MB))
        shown.update(Underway(task("one"), 3 * MB))
    said = capsys.readouterr().err
    assert "2 of 2 MB read" in said
    assert ", 3 MB read" in said


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize(("many", "said"), [(2, ["clean", "dedup", "copies", "publish"]), (5, ["copies", "publish"])])
def test_a_line_says_that_many_tasks_are_planned(
    tmp_path: Path,
    tiny_tokenizer: ModelFile,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    many: int,
    said: list[str],
    quiet: bool,
) -> None:
    """Copies are planned from two files, two receipts and one of the keys."""
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "one two"}\n')
    monkeypatch.setattr(run_slice, "MANY", many)
    config = RunConfig(root=str(tmp_path / "root"), executor="serial", tokenizer=tiny_tokenizer.path)
    run_parts([(toy.SLICE, toy.ToySettings(input=(str(tmp_path / "*.jsonl"),)))], config, quiet=quiet)
    lines = [line.split(":")[0] for line in capsys.readouterr().err.splitlines() if "planning, from" in line]
    assert lines == ([] if quiet else [f"toy {stage}" for stage in said])
