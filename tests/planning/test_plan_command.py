"""The command rpj plan: measured on raw files that are here or on the embedded sample, in a process of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import redpajama_data
from redpajama_data import sample
from redpajama_data.cli import output_plan
from redpajama_data.cli.main import cli
from redpajama_data.errors import UsageError
from redpajama_data.models.model_file import ModelFile
from redpajama_data.planning.calibration import in_a_process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: ModelFile) -> Path:
    """Two slices of the sample, and a configuration that names them and a job."""
    folder = tmp_path_factory.mktemp("plan")
    sample.build(folder / "raw", ["c4", "books"])
    slices = {name: {"input": [str(folder / "raw" / name)]} for name in ("c4", "books")}
    config = {"tokenizer": tiny_tokenizer.path, "slices": slices, "jobs": {"exact": {}}}
    (folder / "rpj.yaml").write_text(yaml.safe_dump(config))
    return folder


def rpj(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(cli, ["plan", *words])
    assert result.exit_code == status, result.output + result.stderr
    return result.stdout if status == 0 else result.stderr


@pytest.fixture(scope="module")
def here(folder: Path) -> dict[str, Any]:
    """What is planned for the raw files that are here."""
    words = ("--here", "--cores", "2", "--memory", "8G", "--disk", "1T", "--bandwidth", "1M", "--json")
    plan: dict[str, Any] = json.loads(rpj(str(folder / "rpj.yaml"), *words))
    return plan


def test_raw_files_that_are_here_are_all_there_is(here: dict[str, Any], folder: Path) -> None:
    c4, books, exact = here["slices"]
    assert [c4["name"], books["name"], exact["name"]] == ["c4", "books", "exact"]
    for part in (c4, books):
        files = [path for path in (folder / "raw" / part["name"]).rglob("*") if path.is_file()]
        assert part["raw"] <= sum(path.stat().st_size for path in files)
        assert part["raw"] > 0
        assert (part["fetch"], part["requests"], part["usd"], part["fetch_hours"]) == (0, 0, 0, 0)
        assert part["disk"] == pytest.approx(part["raw"] + part["steps"] + part["final"])
    assert exact["raw"] == 0
    assert here["left_out"] == {}
    assert here["machine"] == {"cores": 2, "memory": 8 << 30, "disk": 1 << 40, "bandwidth": 1 << 20}


def test_every_stage_has_its_own_line(here: dict[str, Any]) -> None:
    _, books, _ = here["slices"]
    assert [stage["stage"] for stage in books["stages"]] == ["hash", "near_duplicates", "publish"]
    assert all(stage["tasks"] >= 1 and stage["worker_memory"] > 1 << 20 for stage in books["stages"])


def test_a_whole_source_by_the_embedded_sample(folder: Path) -> None:
    """The sample's own folder says nothing of real files: more of it is made, and the source's ratios hold."""
    found = redpajama_data.plan(
        str(folder / "rpj.yaml"), slices="c4", cores=10, memory=1 << 40, disk=1 << 30, bandwidth=1e9
    )
    c4 = found.parts[0]
    assert found.calibrated["c4"].embedded
    assert (c4.raw, c4.fetch, c4.requests) == (326778635540, 326778635540, 1032)
    assert c4.fetch_hours == pytest.approx(326778635540 / 1e9 / 3600)
    assert c4.stages[0].tasks == 1032
    assert c4.limit == found.total.limit == "disk"
    assert found.plain()["sources"]["c4"]["raw"]["origin"]


def test_the_table_and_what_limits(folder: Path) -> None:
    out = rpj(str(folder / "rpj.yaml"), "--here", "--slice", "c4", "--cores", "1", "--disk", "1T", "--quiet")
    assert out.startswith("1 core, ")
    rows = {line.split()[0]: line for line in out.splitlines() if line[:1].strip()}
    assert {"c4", "exact", "in"} <= set(rows)
    assert "to run with 1 worker. What limits it: cores." in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nosuch.yaml",), "nosuch.yaml"),
        (("--slice", "nosuch"), "no slice is called 'nosuch'"),
        (("--memory", "0"), "--memory 0: expected more than nothing"),
        (("--bandwidth", "fast"), "--bandwidth fast"),
        (("--slice", "instruct"), "--here"),
        (("--slice", "c4", "--here"), "Leave --here out"),
    ],
)
def test_errors_end_in_what_to_do(
    words: tuple[str, ...], message: str, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rpj.yaml").write_text(yaml.safe_dump({"tokenizer": tiny_tokenizer.path}))
    assert message in rpj(*words, status=2)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (4405.4, "4,405 h"),
        (8.44, "8.4 h"),
        (1, "1.0 h"),
        (0.99, "59.4 min"),
        (1 / 60, "1.0 min"),
        (0.01, "36.0 s"),
        (0, "0"),
    ],
)
def test_times_in_the_unit_that_suits_them(number: float, shown: str) -> None:
    assert output_plan.hours(number) == shown


def _raise(word: str) -> None:
    raise UsageError(word)


def _end(status: int) -> None:
    os._exit(status)


def test_what_fails_in_the_measuring_process_is_told() -> None:
    with pytest.raises(UsageError, match="as it was said"):
        in_a_process(_raise, "as it was said")
    with pytest.raises(UsageError, match="without an answer"):
        in_a_process(_end, 3)
