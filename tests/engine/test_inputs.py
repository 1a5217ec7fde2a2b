"""One file is one input, however it is spelled; a root goes on with the name that it knows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy
import toy_job

from redpajama_data.config import RunConfig
from redpajama_data.corpus.listing import list_shards
from redpajama_data.engine.inputs import each_once, identity
from redpajama_data.engine.run_slice import list_inputs
from redpajama_data.errors import UsageError
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import explanation
from redpajama_data.whole_run import RunReport, run_parts

Run = Callable[..., RunReport]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with raw files in ``raw``; the current one."""
    folder = tmp_path / "project"
    (folder / "raw").mkdir(parents=True)
    for name in "ab":
        (folder / "raw" / f"{name}.jsonl").write_text(json.dumps({"text": f"words of {name}"}) + "\n")
    (folder / "other").mkdir()
    (folder / "link").symlink_to("raw")
    (folder / "raw" / "sym.jsonl").symlink_to("a.jsonl")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run_toy(project: Path, tiny_tokenizer: ModelFile) -> Run:
    def go(*where: str, prune: bool = False, part: Any = toy.SLICE, root: str | None = None, **given: Any) -> RunReport:
        root = root or f"{project}/out"
        config = {"root": root, "executor": "serial", "tokenizer": tiny_tokenizer.path, **given}
        settings = part.settings.model_validate({"input": where})
        return run_parts([(part, settings)], RunConfig.model_validate(config), quiet=True, prune=prune)

    return go


SPELLINGS = [
    ["raw/a.jsonl", "./raw/a.jsonl"],
    ["raw/a.jsonl", "raw//a.jsonl", "raw/./a.jsonl", "raw/../raw/a.jsonl"],
    ["{project}/raw/a.jsonl", "raw/a.jsonl"],
    ["file://{project}/raw/a.jsonl", "raw/a.jsonl"],
    ["link/a.jsonl", "raw/a.jsonl"],
    ["raw/sym.jsonl", "raw/a.jsonl"],
    ["raw/a*.jsonl", "raw/?.jsonl", "raw/a.jsonl"],
]


@pytest.mark.parametrize("where", SPELLINGS)
@pytest.mark.parametrize("turned", [False, True])
def test_two_spellings_are_one_file(project: Path, where: list[str], turned: bool) -> None:
    places = [place.format(project=project) for place in (where[::-1] if turned else where)]
    wanted = ["raw/a.jsonl", "raw/b.jsonl"] if "raw/?.jsonl" in where else ["raw/a.jsonl"]
    assert [raw.path for raw in list_inputs(toy.SLICE, places)] == wanted
    assert [raw.path for raw in list_shards(places)] == wanted


def test_a_folder_and_a_link_into_it(project: Path) -> None:
    assert [raw.path for raw in list_inputs(toy.SLICE, ["link", "raw", f"{project}/raw"])] == [
        "raw/a.jsonl",
        "raw/b.jsonl",
    ]


def test_a_link_alone_keeps_its_name(project: Path) -> None:
    """It may say what the file is: the dump, the language, the site."""
    assert [raw.path for raw in list_inputs(toy.SLICE, ["raw/sym.jsonl"])] == ["raw/sym.jsonl"]


def test_hard_links_are_two_files(project: Path) -> None:
    os.link("raw/a.jsonl", "raw/hard.jsonl")
    assert [raw.path for raw in list_inputs(toy.SLICE, ["raw/a.jsonl", "raw/hard.jsonl"])] == [
        "raw/a.jsonl",
        "raw/hard.jsonl",
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("s3://b/x/a.gz", 5, "e"), ("s3://b/x//a.gz", 5, "e"), True),
        (("s3://b/x/a.gz", 5, "e"), ("s3://b/x//a.gz", 6, "f"), False),  # two objects of an object store
        (("https://Host/x/a.gz", 5, ""), ("https://host/x/./a.gz", 5, ""), True),
        (("https://host/X/a.gz", 5, ""), ("https://host/x/a.gz", 5, ""), False),
        (("s3://b/a.gz", 5, "e"), ("s3://c/a.gz", 5, "e"), False),
    ],
)
def test_urls(one: tuple[str, int, str], other: tuple[str, int, str], same: bool) -> None:
    files = [RawFile(*one), RawFile(*other)]
    assert len(each_once(files)) == len(each_once(files[::-1])) == (1 if same else 2)
    assert each_once(files) == each_once(files[::-1])


def test_the_host_of_a_url_has_no_case_and_its_path_has() -> None:
    assert identity("HTTPS://Data.Example.org//A//b") == "https://data.example.org/A/b"


# ------------------------------------------------------------------------------------------------ again


@pytest.mark.parametrize(
    ("folder", "where"),
    [
        (".", ["./raw"]),
        (".", ["{project}/raw"]),
        (".", ["link"]),
        ("other", ["../raw"]),
        ("other", ["{project}/raw/a.jsonl", "../raw/b.jsonl"]),
        ("raw", ["a.jsonl", "b.jsonl"]),
        ("raw", ["."]),
        ("other", ["file://{project}/raw"]),
    ],
)
@pytest.mark.parametrize("part", [toy.SLICE, toy_job.JOB])
@pytest.mark.parametrize("first", ["raw", "{project}/link"])
def test_again_with_another_spelling_does_nothing(
    project: Path, run_toy: Run, monkeypatch: pytest.MonkeyPatch, part: Any, folder: str, where: list[str], first: str
) -> None:
    run_toy(first.format(project=project), part=part)
    before = {path: path.read_bytes() for path in (project / "out").rglob("*") if path.is_file()}
    monkeypatch.chdir(folder)
    [done] = run_toy(*(place.format(project=project) for place in where), part=part).slices
    assert done.done_now == 0
    assert {path: path.read_bytes() for path in (project / "out").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("executor", ["serial", "local"])
def test_from_another_folder_new_and_changed_files_are_read_and_old_names_stay(
    project: Path, run_toy: Run, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    run_toy("raw")
    (project / "raw" / "c.jsonl").write_text('{"text": "a third file"}\n')
    (project / "raw" / "b.jsonl").write_text('{"text": "another second file"}\n')
    monkeypatch.chdir("other")
    [done] = run_toy("../raw", executor=executor, workers=1, root="../out").slices
    assert (done.quarantined, done.broken()) == ([], [])
    names = (project / "out/_run/toy/inputs.txt").read_text().splitlines()
    assert names == ["raw/a.jsonl", "raw/b.jsonl", "raw/c.jsonl"]
    monkeypatch.chdir("..")
    assert run_toy("raw").slices[0].done_now == 0


def test_explain_takes_any_spelling(project: Path, run_toy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run_toy("raw")
    monkeypatch.chdir("other")
    for path in ("raw/a.jsonl", "../raw/a.jsonl", f"{project}/raw/a.jsonl", "../link/a.jsonl"):
        [fate] = explanation.explain(f"{project}/out", f"{path}#0")
        assert (fate.id, fate.line) == ("raw/a.jsonl#0", 1)
    with pytest.raises(UsageError, match="no such record"):
        explanation.explain(f"{project}/out", "a.jsonl#0")


def test_a_project_moved_as_a_whole_goes_on(
    project: Path, run_toy: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_toy("raw", root="out")
    monkeypatch.chdir(tmp_path)
    project.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    assert run_toy("raw", root="out").slices[0].done_now == 0


def test_a_file_that_is_not_given_is_still_refused(
    project: Path, run_toy: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_toy("raw")
    monkeypatch.chdir("raw")
    with pytest.raises(UsageError, match=r"raw/b\.jsonl"):
        run_toy("a.jsonl")
    [done] = run_toy("a.jsonl", prune=True).slices
    assert [receipt.inputs for receipt in done.receipts["clean"]] == [["raw/a.jsonl"]]
