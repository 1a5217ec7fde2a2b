"""What tasks took stands beside the receipts: of each task that was done, kept over runs, and nothing rests on it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import toy
from whole_root import files_of

from redpajama_data.engine import costs
from redpajama_data.engine.costs import Cost, CostBook, Meter
from redpajama_data.engine.executors import open_executor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun, slices_of
from redpajama_data.engine.stages import Planned, RunSettings
from redpajama_data.engine.tasks import Workplace
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import root_status
from redpajama_data.reports.stage_costs import stage_costs


def go(folder: Path, tokenizer: ModelFile, executor: str = "serial") -> SliceRun:
    """Run the toy slice on ``folder/raw`` into ``folder/root``."""
    settings = toy.ToySettings(input=(str(folder / "raw"),))
    with open_executor(executor, workers=2) as pool:
        return run_slice(
            toy.SLICE,
            settings,
            RunSettings(tokenizer, 0.5),
            list_inputs(toy.SLICE, settings.input),
            pool,
            Workplace(str(folder / "root"), 1 << 26),
            partial(StageProgress, quiet=True),
            prune=True,
        )


def raw(folder: Path, name: str, texts: list[str]) -> None:
    (folder / "raw").mkdir(exist_ok=True)
    (folder / "raw" / name).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


@pytest.mark.parametrize("executor", ["serial", "local"])
def test_every_task_has_its_cost(tmp_path: Path, tiny_tokenizer: ModelFile, executor: str) -> None:
    raw(tmp_path, "a.jsonl", ["one", "two"])
    raw(tmp_path, "b.jsonl", ["three"])
    result = go(tmp_path, tiny_tokenizer, executor)
    found = costs.load(str(tmp_path / "root"), "toy")
    assert {stage: set(own) for stage, own in found.items()} == {
        stage: {receipt.task for receipt in own} for stage, own in result.receipts.items()
    }
    for cost in [cost for own in found.values() for cost in own.values()]:
        assert cost.wall > 0 <= cost.cpu
        assert cost.memory == 0 or cost.memory > 1 << 20
        assert cost.bytes > 0
    assert {task: cost.bytes for task, cost in found["clean"].items()} == {
        "a": (tmp_path / "raw/a.jsonl").stat().st_size,
        "b": (tmp_path / "raw/b.jsonl").stat().st_size,
    }
    assert root_status.status(str(tmp_path / "root"))[0].complete()
    assert all(problem is None for _, problem in root_status.verify(str(tmp_path / "root")))


def test_what_was_done_before_keeps_its_cost(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw(tmp_path, "a.jsonl", ["one", "two"])
    raw(tmp_path, "b.jsonl", ["three"])
    go(tmp_path, tiny_tokenizer)
    path = tmp_path / "root/_run/toy/costs.json"
    before, written = costs.load(str(tmp_path / "root"), "toy"), path.stat().st_mtime_ns
    assert go(tmp_path, tiny_tokenizer).done_now == 0
    assert path.stat().st_mtime_ns == written, "nothing was done, nothing is written"
    raw(tmp_path, "c.jsonl", ["four"])
    (tmp_path / "raw/b.jsonl").unlink()
    go(tmp_path, tiny_tokenizer)
    after = costs.load(str(tmp_path / "root"), "toy")
    assert after["clean"]["a"] == before["clean"]["a"]
    assert set(after["clean"]) == set(after["publish"]) == {"a", "c"}


@pytest.mark.parametrize("spoiled", [None, b"", b"{", b'{"clean": {"a": 1}}', b"\xff"])
def test_nothing_rests_on_the_file(tmp_path: Path, tiny_tokenizer: ModelFile, spoiled: bytes | None) -> None:
    raw(tmp_path, "a.jsonl", ["one", "two"])
    go(tmp_path, tiny_tokenizer)
    before, path = files_of(tmp_path / "root"), tmp_path / "root/_run/toy/costs.json"
    path.unlink() if spoiled is None else path.write_bytes(spoiled)
    result = go(tmp_path, tiny_tokenizer)
    assert (result.done_now, result.foreign) == (0, [])
    assert files_of(tmp_path / "root") == before
    assert costs.load(str(tmp_path / "root"), "toy") == {}
    [shown, *_] = stage_costs(str(tmp_path / "root"), slices_of(str(tmp_path / "root")), result_of(result))
    assert (shown.tasks, shown.measured, shown.slowest, shown.rate) == (1, 0, None, None)


def result_of(result: SliceRun) -> dict[str, list[Receipt]]:
    return {"toy": [receipt for own in result.receipts.values() for receipt in own]}


def test_a_file_that_all_tasks_of_a_stage_read_counts_once(tmp_path: Path) -> None:
    shared, own = RawFile("shared", 1000, ""), [RawFile(f"own{n}", 100, "") for n in range(4)]
    book = CostBook(str(tmp_path), "toy", ["groups"])
    book.begin_stage([Planned(f"{n}", print, [shared, own[n]]) for n in range(4)])
    for n in range(4):
        book.enter("groups", f"{n}", Cost(1.0, 0.5, 0, 1100))
    book.end_stage("groups", {"0", "1", "2", "3"})
    found = costs.load(str(tmp_path), "toy")["groups"]
    assert sum(cost.bytes for cost in found.values()) == 1400


def test_costs_are_written_in_a_long_stage_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = CostBook(str(tmp_path), "toy", ["clean"])
    book.begin_stage([Planned("a", print), Planned("b", print)])
    book.enter("clean", "a", Cost(1.0, 0.5, 7, 0))
    assert costs.load(str(tmp_path), "toy") == {}
    monkeypatch.setattr(costs, "SAVED_EACH", -1.0)
    book.enter("clean", "b", Cost(2.0, 0.5, 9, 0))
    assert set(costs.load(str(tmp_path), "toy")["clean"]) == {"a", "b"}


def test_a_stage_is_the_sum_of_its_tasks(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw(tmp_path, "a.jsonl", ["one", "two"])
    raw(tmp_path, "b.jsonl", ["three"])
    every = result_of(go(tmp_path, tiny_tokenizer))
    root = str(tmp_path / "root")
    book = CostBook(root, "toy", ["clean"])
    book.begin_stage([])
    book.enter("clean", "a", Cost(3.0, 1.0, 500, 60))
    book.enter("clean", "b", Cost(1.0, 0.5, 700, 20))
    book.end_stage("clean", {"a", "b"})
    clean = next(each for each in stage_costs(root, slices_of(root), every) if each.stage == "clean")
    assert (clean.owner, clean.tasks, clean.measured) == ("toy", 2, 2)
    assert (clean.wall, clean.cpu, clean.memory, clean.bytes, clean.records) == (4.0, 1.5, 700, 80, 3)
    assert (clean.slowest, clean.rate, clean.record_rate) == (("a", 3.0), 20.0, 0.75)


def test_the_meter_leaves_the_peak_of_the_process_alone() -> None:
    """Who measures a run from outside must see all that it took."""
    held = bytearray(b"x" * (128 << 20))
    peak = Meter().read(0).memory
    del held
    assert Meter().read(0).memory >= peak - (64 << 20), "the system counts pages in lots"
