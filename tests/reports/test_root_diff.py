"""Two roots held against each other, document by document: against plain sets, in little memory, by hand."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from toy_job import JOB, ToyJobSettings

from redpajama_data.cli.totals import diff as diff_command
from redpajama_data.config import load_config
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import root_diff
from redpajama_data.reports.document_diff import KINDS, ROW, Found, compare_rows
from redpajama_data.reports.root_diff import SliceDiff, diff
from redpajama_data.whole_run import run_parts

MEMORY = 1 << 26
Go = Callable[..., Path]


@pytest.fixture
def go(tmp_path: Path, tiny_tokenizer: ModelFile) -> Go:
    """Runs the toy slice on ``texts`` (raw files in ``folder``, or one of the root's own), and the job if asked to."""

    def run_toy(root: str, texts: dict[str, list[str]], folder: str | None = None, job: bool = False) -> Path:
        raw = tmp_path / (folder or f"raw-{root}")
        raw.mkdir(exist_ok=True)
        for name, of in texts.items():
            (raw / name).parent.mkdir(exist_ok=True)
            (raw / name).write_text("".join(json.dumps({"text": text}) + "\n" for text in of))
        options = {"root": str(tmp_path / root), "executor": "serial", "tokenizer": tiny_tokenizer.path}
        made: dict[str, Any] = {"input": (str(raw),), "min_words": 1}
        parts: list[Any] = [(toy.SLICE, toy.ToySettings(**made))]
        run_parts(
            [*parts, *([(JOB, ToyJobSettings.model_validate({}))] if job else [])],
            load_config(None, options),
            quiet=True,
        )
        return tmp_path / root

    return run_toy


def counts(found: SliceDiff) -> tuple[int, ...]:
    return tuple(getattr(found, kind) for kind in KINDS)


def test_by_hand(go: Go) -> None:
    a = go("a", {"x.jsonl": ["one", "two", "three", "four"], "y.jsonl": ["five"]})
    b = go("b", {"x.jsonl": ["one", "TWO", "three"], "z.jsonl": ["six", "seven"]})
    [found] = diff(str(a), str(b), memory=MEMORY, show=9)
    assert counts(found) == (2, 1, 2, 2)
    names = {kind: [Path(name).name for name in of] for kind, of in found.examples.items()}
    assert names == {
        "changed": ["x.jsonl#1"],
        "only_a": ["x.jsonl#3", "y.jsonl#0"],
        "only_b": ["z.jsonl#0", "z.jsonl#1"],
    }
    assert found.examples["changed"] == [f"{a.parent}/raw-a/x.jsonl#1"]  # as `rpj explain` takes it
    [back] = diff(str(b), str(a), memory=MEMORY)
    assert counts(back) == (2, 1, 2, 2)
    assert back.examples == {}


def test_shards_with_equal_bytes_and_ids_are_not_read(go: Go, tmp_path: Path) -> None:
    a = go("a", {"x.jsonl": ["one", "two"], "y.jsonl": ["three"]})
    shutil.copytree(a, tmp_path / "b")
    for shard in (tmp_path / "b").glob("toy/*"):
        shard.unlink()
    [found] = diff(str(a), str(tmp_path / "b"), memory=MEMORY, show=3)
    assert (counts(found), found.examples) == ((3, 0, 0, 0), {})


def test_raw_files_may_lie_elsewhere_and_shards_may_have_another_number(go: Go) -> None:
    a = go("a", {"x.jsonl": ["one", "two"]}, folder="here")
    b = go("b", {"0.jsonl": ["zero"], "x.jsonl": ["one", "two"]}, folder="there")
    [found] = diff(str(a), str(b), memory=MEMORY)
    assert counts(found) == (2, 0, 0, 1)


def test_equal_bytes_of_other_documents_are_not_equal(go: Go) -> None:
    a, b = go("a", {"x.jsonl": ["one"]}), go("b", {"y.jsonl": ["one"]})
    [found] = diff(str(a), str(b), memory=MEMORY, show=1)
    assert counts(found) == (0, 0, 1, 1)


def test_raw_files_of_one_name_are_compared_together(go: Go) -> None:
    a = go("a", {"s1/p.jsonl": ["one", "two"], "s2/p.jsonl": ["three", "four"]})
    b = go("b", {"s1/p.jsonl": ["one", "TWO"], "s2/p.jsonl": ["three"], "s3/p.jsonl": ["five"]})
    [found] = diff(str(a), str(b), memory=MEMORY)
    # Of p.jsonl#0 a has one, three; b one, three, five. Of p.jsonl#1 a has two, four; b TWO.
    assert counts(found) == (2, 1, 1, 1)


def test_what_jobs_published_is_compared_by_line(go: Go) -> None:
    a = go("a", {"x.jsonl": ["short", "one two", "three four"]}, job=True)
    b = go("b", {"x.jsonl": ["one two", "three FOUR", "short"]}, job=True)
    found = {part.slice: part for part in diff(str(a), str(b), memory=MEMORY, show=2)}
    assert list(found) == ["toy", "toy_job/toy"]
    assert counts(found["toy"]) == (0, 3, 0, 0)
    # The toy's meta has the number of the record: only a line at the same place is the same line.
    assert counts(found["toy_job/toy"]) == (0, 0, 3, 3)
    assert found["toy_job/toy"].examples["only_a"] == [
        "toy_job/toy/x.jsonl.zst:1",
        "toy_job/toy/x.jsonl.zst:2",
    ]
    c = go("c", {"x.jsonl": ["short", "one two", "three FOUR"]}, job=True)
    [_, job] = diff(str(a), str(c), memory=MEMORY)
    assert counts(job) == (2, 0, 1, 1)


def test_a_slice_that_only_one_root_has(go: Go) -> None:
    a, b = go("a", {"x.jsonl": ["one", "two"]}, job=True), go("b", {"x.jsonl": ["one", "two"]})
    assert [(part.slice, *counts(part)) for part in diff(str(a), str(b), memory=MEMORY)] == [
        ("toy", 2, 0, 0, 0),
        ("toy_job/toy", 0, 0, 2, 0),
    ]
    assert [part.only_b for part in diff(str(b), str(a), memory=MEMORY)] == [0, 2]


def test_little_memory_finds_the_same(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"text {n}" for n in range(3000)]
    a = go("a", {"x.jsonl": many})
    b = go("b", {"x.jsonl": [text if n % 7 else f"other {n}" for n, text in enumerate(many[:-5])]})
    [whole] = diff(str(a), str(b), memory=MEMORY, show=4)
    assert counts(whole) == (2995 - 428, 428, 5, 0)
    compared: list[int] = []

    def counted(rows_a: Any, rows_b: Any, found: Found) -> None:
        compared.append(len(rows_a) + len(rows_b))
        compare_rows(rows_a, rows_b, found)

    monkeypatch.setattr(root_diff, "compare_rows", counted)
    least = 10 * ROW.itemsize * root_diff.PEAK  # the fullest bucket has ten rows
    [parts] = diff(str(a), str(b), memory=least, show=4)
    assert parts == whole
    assert len(compared) > 100
    assert max(compared) == 10
    with pytest.raises(UsageError, match=r"do not fit into memory\. Give --memory 1M\.$"):
        diff(str(a), str(b), memory=least - 1)


def test_a_shard_that_does_not_match_its_ids(go: Go) -> None:
    a, b = go("a", {"x.jsonl": ["one", "two"]}), go("b", {"x.jsonl": ["one"]})
    other = go("other", {"x.jsonl": ["one"]})
    shutil.copy(other / "toy" / "x.jsonl.zst", a / "toy" / "x.jsonl.zst")
    with pytest.raises(BrokenInput, match=r"does not match its ids\. Run rpj verify\."):
        diff(str(a), str(b), memory=MEMORY)


# ------------------------------------------------------------------------------------------------ arithmetic

DOCUMENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12)


def rows(documents: list[tuple[int, int]]) -> Any:
    return np.array([(doc_id << 60, line, 0, n) for n, (doc_id, line) in enumerate(documents)], dtype=ROW)


def by_counters(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> dict[str, int]:
    """The plain way."""
    found = dict.fromkeys(KINDS, 0)
    for doc_id in range(4):
        of_a, of_b = (Counter(line for each, line in documents if each == doc_id) for documents in (a, b))
        left = [(of_a - of_b).total(), (of_b - of_a).total()]
        found["equal"] += (of_a & of_b).total()
        found["changed"] += min(left)
        found["only_a"] += left[0] - min(left)
        found["only_b"] += left[1] - min(left)
    return found


@given(DOCUMENTS, DOCUMENTS)
def test_rows_against_counters(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    found = Found(show=20)
    compare_rows(rows(a), rows(b), found)
    assert found.counts == by_counters(a, b)
    for kind, count in found.counts.items():
        if kind != "equal":
            assert bool(found.places[kind]) == bool(count)
            assert len({*found.places[kind]}) == len(found.places[kind])


def test_examples_are_the_first_wherever_they_are_found() -> None:
    found = Found(show=2)
    for n in (5, 3, 9, 1):
        compare_rows(np.array([(n, n, 0, n)], dtype=ROW), np.array([], dtype=ROW), found)
    assert found.places["only_a"] == [(0, 1), (0, 3)]


# ------------------------------------------------------------------------------------------------ the command


def shown(*args: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(diff_command, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_command(go: Go) -> None:
    a = go("a", {"x.jsonl": ["one", "two", "three"]})
    b = go("b", {"x.jsonl": ["one", "TWO"]})
    code, out = shown(a, b, "--show", "1")
    assert code == 1
    assert [line.split() for line in out.splitlines()[:2]] == [
        ["slice", "equal", "changed", "only", "in", "A", "only", "in", "B"],
        ["toy", "1", "1", "1", "0"],
    ]
    assert f"toy, only in A:\n  {a.parent}/raw-a/x.jsonl#2\n" in out
    assert "raw-" not in shown(a, b, "--show", "0")[1]
    code, out = shown(a, b, "--json")
    [part] = json.loads(out)
    assert (code, part["changed"], list(part["examples"])) == (1, 1, ["changed", "only_a"])
    assert shown(a, a)[0] == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--memory", "much"], "--memory much: expected a size such as"),
        (["--memory", "15M"], r"too little to compare documents\. Give 16M or more\."),
        (["--show", "-1"], "expected 0 or more"),
    ],
)
def test_wrong_options(go: Go, args: list[str], message: str) -> None:
    a = go("a", {"x.jsonl": ["one"]})
    with pytest.raises(UsageError, match=message):
        shown(a, a, *args)
    assert shown(a, a, "--memory", "16M")[0] == 0


def test_no_root(tmp_path: Path, go: Go) -> None:
    a = go("a", {"x.jsonl": ["one"]})
    with pytest.raises(UsageError, match="no run there"):
        diff(str(a), str(tmp_path / "none"), memory=MEMORY)
