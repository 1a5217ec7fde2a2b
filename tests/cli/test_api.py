"""The Python API: what the functions give, and that naming them costs nothing. docs/python.md shows them at work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import redpajama_data
from redpajama_data import api, sample
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, neox: str) -> str:
    """A root of two slices and a job, made by the API."""
    folder = tmp_path_factory.mktemp("api")
    sample.build(folder / "raw", ["c4", "books"])
    report = redpajama_data.run(
        ["c4", "books"],
        config=str(_empty(folder)),
        input=str(folder / "raw"),
        root=str(folder / "out"),
        jobs=["exact"],
        executor="serial",
        tokenizer=neox,
    )
    assert [part.slice for part in report.slices] == ["c4", "books", "exact"]
    return str(folder / "out")


def _empty(folder: Path) -> Path:
    (folder / "none.yaml").touch()
    return folder / "none.yaml"


def test_the_package_offers_what_it_names_and_no_more() -> None:
    for name in redpajama_data.__all__:
        assert getattr(redpajama_data, name) is getattr(api, name)
        assert name in dir(redpajama_data)
    with pytest.raises(AttributeError, match="nosuch"):
        redpajama_data.nosuch  # noqa: B018


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import redpajama_data; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name.split(".")[0] for name in loaded} - sys.stdlib_module_names == {"redpajama_data"}
    assert [name for name in loaded if name.startswith("redpajama_data.")] == []


def test_report_writes_a_page_and_gives_what_it_shows(root: str, tmp_path: Path) -> None:
    shown = redpajama_data.report(root, out=str(tmp_path / "page.html"), examples=1)
    page = (tmp_path / "page.html").read_bytes()
    assert (page[:15], len(page), shown.examples, shown.against) == (b"<!doctype html>", shown.bytes, 1, None)
    assert [part.name for part in shown.slices] == ["c4", "books"]
    assert {stage.owner for stage in shown.stages} == {"c4", "books", "exact"}
    beside = redpajama_data.report(root, out=str(tmp_path / "page.html"), against=root, examples=0)
    assert beside.against is not None
    assert beside.against.rules == []
    for wrong in (-1, 21):
        with pytest.raises(UsageError, match=f"examples: {wrong} of a rule. Give 0 to 20"):
            redpajama_data.report(root, out=str(tmp_path / "none.html"), examples=wrong)
    assert not (tmp_path / "none.html").exists()


def test_open_gives_the_published_records_with_the_ids_of_their_raw_ones(root: str) -> None:
    for name in ("c4", "books"):
        found = list(redpajama_data.open(root, name))
        shards = sorted(Path(root, name).glob("*.jsonl.zst"))
        assert [{"text": d.text, "meta": d.meta} for d in found] == [
            r for path in shards for r in read_jsonl(str(path))
        ]
        assert len({document.id for document in found}) == len(found)
        for document in found[:3]:
            (fate, *_) = redpajama_data.explain(root, document.id)
            assert fate.kept is not None
            assert fate.slice == name
    every = [document.id for document in redpajama_data.open(root)]
    assert every == [d.id for name in ("c4", "books") for d in redpajama_data.open(root, name)]


def test_open_gives_what_a_job_left(root: str) -> None:
    left = list(redpajama_data.open(root, job="exact"))
    assert 0 < len(left) < len(list(redpajama_data.open(root)))
    assert [d.id for d in left if d.id.startswith("root:/books/")] == [
        d.id for d in redpajama_data.open(root, "books", job="exact")
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slice": "github"}, "no documents of github. There are c4, books"),
        ({"job": "fuzzy"}, "'fuzzy'. There are exact"),
        ({"slice": "github", "job": "exact"}, "no documents of github"),
    ],
    ids=str,
)
def test_open_of_what_is_not_there(root: str, given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        redpajama_data.open(root, **given)


def test_totals_status_and_verify(root: str) -> None:
    counted = {part.slice: part.documents for part in redpajama_data.totals(root)}
    assert counted == {name: len(list(redpajama_data.open(root, name))) for name in ("c4", "books")}
    assert [part.slice for part in redpajama_data.status(root)] == ["c4", "books", "exact"]
    checks = list(redpajama_data.verify(root))
    assert len(checks) > 10
    assert not [problem for _, problem in checks if problem]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slices": "github"}, "no input for github"),
        ({"slices": ["c4"], "settings": {"nosuch": 1}}, "no such setting"),
        ({"slices": ["c4"], "nosuch": 1}, "no such key"),
        ({"slices": "nosuch"}, "no slice is called 'nosuch'"),
        ({}, "no slice has input"),
    ],
    ids=str,
)
def test_what_run_refuses(
    given: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        redpajama_data.run(**given)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
