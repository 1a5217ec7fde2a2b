"""What a run is made with: noted, in the lineage where it changes texts, told where two runs differ, never mixed."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy

from redpajama_data.cli.output_compare import print_diff
from redpajama_data.config import RunConfig
from redpajama_data.engine import environment
from redpajama_data.engine.environment import UNICODE, Environment, differences
from redpajama_data.engine.run_task import Failed, run_task
from redpajama_data.engine.tasks import Task, Workplace
from redpajama_data.errors import UsageError
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import manifest
from redpajama_data.reports.manifest_compare import Difference, compare, render, reproduced
from redpajama_data.whole_run import RunReport, run_parts

Run = Callable[..., RunReport]


@pytest.fixture
def run_toy(tmp_path: Path, tiny_tokenizer: ModelFile) -> Run:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text('{"text": "one two"}\n{"text": "three four"}\n')
    (tmp_path / "raw" / "b.jsonl").write_text('{"text": "five six"}\n')

    def go(root: str = "root", part: Any = toy.SLICE, **settings: Any) -> RunReport:
        config = {"root": str(tmp_path / root), "executor": "serial", "tokenizer": tiny_tokenizer.path}
        made = toy.ToySettings(input=(str(tmp_path / "raw"),), **settings)
        return run_parts([(part, made)], RunConfig.model_validate(config), quiet=True)

    return go


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give this process other versions."""
    real = environment.current()

    def go(**other: str) -> None:
        changed = {**real, **{name.replace("_", " "): value for name, value in other.items()}}
        monkeypatch.setattr(environment, "current", lambda: dict(changed))

    return go


def test_what_is_noted() -> None:
    found = environment.current()
    assert found[UNICODE] == unicodedata.unidata_version
    assert {"python", "platform", "zstd", *environment.LIBRARIES} < set(found)
    assert {name for name in found if name.startswith("kernel ")} >= {"kernel _native", "kernel _minhash"}
    assert "unknown" not in [found[name] for name in environment.LIBRARIES]


def test_run_and_manifest_have_it(run_toy: Run, tmp_path: Path) -> None:
    run_toy()
    assert manifest.load(str(tmp_path / "root")).environments == [environment.current()]


def test_other_unicode_tables_do_the_work_again_and_another_library_does_not(
    run_toy: Run, pretend: Callable[..., None], tmp_path: Path
) -> None:
    run_toy()
    plain = replace(toy.SLICE, name="plain", unicode=False)
    run_toy("plain", plain)
    pretend(lxml="99", zstd="99")
    assert run_toy().slices[0].done_now == 0
    assert [each["lxml"] for each in manifest.load(str(tmp_path / "root")).environments] != ["99"]  # it did nothing
    pretend(Unicode_tables="99")
    assert run_toy("plain", plain).slices[0].done_now == 0
    assert run_toy().slices[0].skipped == 0
    assert [each[UNICODE] for each in manifest.load(str(tmp_path / "root")).environments] == ["99"]


def test_a_root_made_in_two_environments_names_both(run_toy: Run, pretend: Callable[..., None], tmp_path: Path) -> None:
    run_toy()
    pretend(lxml="99")
    report = run_toy(min_words=1)
    assert report.slices[0].skipped
    assert report.slices[0].done_now
    assert len(manifest.load(str(tmp_path / "root")).environments) == 2


def test_a_comparison_names_what_differs(
    run_toy: Run, pretend: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_toy("here")
    pretend(Unicode_tables="99.0.0")
    run_toy("there")
    here, there = (manifest.load(str(tmp_path / name)) for name in ("here", "there"))
    found = compare(here, there)
    assert found == [Difference(UNICODE, unicodedata.unidata_version, "99.0.0", explains=True)]
    assert reproduced(found)
    shown = render([Difference("x", "1", "2"), *found], 2)
    assert f"may explain it: Unicode tables: {unicodedata.unidata_version}; there 99.0.0" in shown
    print_diff([], str(tmp_path / "here"), str(tmp_path / "there"))
    assert (
        f"made with other versions: Unicode tables: A {unicodedata.unidata_version}, B 99.0.0"
        in capsys.readouterr().out
    )


A, B = {"lxml": "6", "python": "3.11"}, {"lxml": "7", "python": "3.11"}


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ([A], [A], []),
        ([A], [B], [("lxml", "6", "7")]),
        ([A, B], [B], [("lxml", "6 and 7", "7")]),
        ([A], [{"python": "3.11"}], [("lxml", "6", "none")]),
        ([], [A], []),  # made before it was noted
    ],
)
def test_differences(mine: list[Environment], theirs: list[Environment], expected: list[tuple[str, str, str]]) -> None:
    assert differences(mine, theirs) == expected


def test_a_node_that_differs_does_no_task(tmp_path: Path) -> None:
    driver = {**environment.current(), UNICODE: "99.0.0", "lxml": "99"}
    task = Task("s", "stage", "t", 0, print, "lineage")
    outcome = run_task(task, Workplace(str(tmp_path), 1 << 26, environment=driver))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.fatal, UsageError)
    assert f"{UNICODE} {unicodedata.unidata_version} there, 99.0.0 here" in str(outcome.fatal)
    assert "on every node" in str(outcome.fatal)
    assert not list(tmp_path.iterdir())
