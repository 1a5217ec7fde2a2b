"""The memory of a run: what a task gets of it, and that nothing else hangs on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from whole_root import files_of

from redpajama_data.config import RunConfig, load_config, slice_settings
from redpajama_data.dedup import partitions
from redpajama_data.errors import UsageError
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import manifest
from redpajama_data.sample import build
from redpajama_data.whole_run import LEAST_MEMORY, RunReport, memory_of_a_task, run_parts
from slices import NAMES, load, stackexchange
from slices.jobs import load as load_job
from slices.parts import crawl_keys, crawl_lines, record_buckets


class Machines:
    """An executor of machines of so many workers."""

    def __init__(self, workers: int) -> None:
        self.workers_a_machine = workers


@pytest.mark.parametrize(
    ("given", "workers", "expected"),
    [
        ({}, 2, 2 << 30),
        ({}, 128, 32 << 20),
        ({}, 192, LEAST_MEMORY),  # 4G would not do, and nobody has said 4G
        ({"memory": "64M"}, 2, 32 << 20),
        ({"memory": "8G"}, 2, 4 << 30),
    ],
)
def test_memory_of_a_task(given: dict[str, Any], workers: int, expected: int) -> None:
    config = RunConfig.model_validate({"root": "out", **given})
    assert memory_of_a_task(config, Machines(workers)) == expected  # type: ignore[arg-type]


def test_too_little_memory_says_what_to_give() -> None:
    config = RunConfig.model_validate({"memory": "100M"})
    with pytest.raises(
        UsageError, match=r"25 MB for each of the 4 tasks .* Give --memory 128M or more, or --workers 3\."
    ):
        memory_of_a_task(config, Machines(4))  # type: ignore[arg-type]


def test_too_little_memory_is_told_before_anything_is_written(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    build(tmp_path / "raw", ["github"])
    part = load("github")
    settings = part.settings.model_validate({"input": str(tmp_path / "raw")})
    config = {"root": str(tmp_path / "out"), "memory": "64M", "workers": 3, "executor": "local"}
    config["tokenizer"] = tiny_tokenizer.path
    with pytest.raises(UsageError, match="--memory 96M"):
        run_parts([(part, settings)], RunConfig.model_validate(config), quiet=True)
    assert not list(tmp_path.glob("out/**/*.zst"))


# ------------------------------------------------------------------------------------------------ end to end

JOBS: dict[str, dict[str, Any]] = {"exact": {"by": "line"}, "fuzzy": {}, "overlap": {}}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    build(folder)
    return folder


def run_all(raw: Path, root: Path, tokenizer: ModelFile, **given: Any) -> RunReport:
    """Every slice of the sample, then the jobs that sort and group."""
    path = str(raw / "rpj.yaml")
    config = load_config(path, {"root": str(root), "tokenizer": tokenizer.path, **given})
    parts = [(load(name), slice_settings(load(name).settings, name, config, {}, path)) for name in NAMES]
    parts += [(load_job(name), load_job(name).settings.model_validate(settings)) for name, settings in JOBS.items()]
    return run_parts(parts, config, quiet=True)


def test_another_memory_redoes_nothing_and_changes_no_byte(
    raw: Path, tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several partitions and flushes of every stage that has them; every file of the root is compared."""
    for module, name, value in (
        (partitions, "ROWS_A_TASK", 200),
        (partitions, "ROWS_A_FLUSH", 50),
        (crawl_lines, "LINES_A_PART", 500),
        (crawl_keys, "_FLUSH", 1000),
        (record_buckets, "FLUSH_BYTES", 20_000),
        (stackexchange, "RANGE_BYTES", 50_000),
    ):
        monkeypatch.setattr(module, name, value)
    given = {"executor": "serial", "workers": 1}
    first = run_all(raw, tmp_path / "one", tiny_tokenizer, memory="8G", **given)
    tasks = {f"{r.slice} {r.stage}" for part in first.slices for r in part.all_receipts() if r.rank}
    parted = ["github dedup", "common_crawl line_groups", "stackexchange threads"]
    parted += ["exact dedup", "fuzzy bands", "overlap exact", "overlap near"]
    assert tasks.issuperset(parted)
    expected = files_of(tmp_path / "one")
    # A thousandth of the least memory, so that every stage takes several passes over so small a sample.
    monkeypatch.setattr("redpajama_data.whole_run.memory_of_a_task", lambda *_: LEAST_MEMORY >> 10)
    again = run_all(raw, tmp_path / "one", tiny_tokenizer, memory="64M", **given)
    assert sum(part.done_now for part in again.slices) == 0
    assert files_of(tmp_path / "one") == expected
    run_all(raw, tmp_path / "other", tiny_tokenizer, memory="64M", **given)
    other = files_of(tmp_path / "other")
    assert sorted(other) == sorted(expected)
    assert [name for name in expected if other[name] != expected[name]] == []
    assert manifest.load(str(tmp_path / "one")) == manifest.load(str(tmp_path / "other"))
