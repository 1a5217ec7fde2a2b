"""The inputs that failed of people who read Wikipedia dumps, through the command, where they lie beside this folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from redpajama_data.cli.main import cli
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile


class Done:
    """What a run gave."""

    def __init__(self, exit_code: int, output: str, root: Path) -> None:
        self.exit_code, self.output = exit_code, output
        paths = sorted(root.glob("wikipedia/*.jsonl.zst"))
        self.records: list[dict[str, Any]] = [record for path in paths for record in read_jsonl(str(path))]
        self.titles = [record["meta"]["title"] for record in self.records]
        receipts = [json.loads(path.read_bytes()) for path in root.glob("_run/wikipedia/*/*.receipt.json")]
        self.dropped: dict[str, int] = {}
        for receipt in receipts:
            assert receipt["read"] == receipt["kept"] + sum(receipt["dropped"].values())
            for rule, count in receipt["dropped"].items():
                self.dropped[rule] = self.dropped.get(rule, 0) + count


Run = Callable[..., Done]


@pytest.fixture
def run(shared_data: Path, tmp_path: Path, tiny_tokenizer: ModelFile) -> Run:
    def go(case: str) -> Done:
        [place] = sorted(shared_data.parent.glob(f"cases/sources/{case}"))
        root = tmp_path / "root"
        command = ["run", "--slice", "wikipedia", "--input", str(place), "--root", str(root)]
        result = CliRunner().invoke(cli, [*command, "--tokenizer", tiny_tokenizer.path])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Done(result.exit_code, result.output, root)

    return go


def towns(*without: int) -> list[str]:
    return [f"Town {number}" for number in range(1, 9) if number not in without]


def test_two_forms_of_a_dump_are_refused(run: Run) -> None:
    done = run("05-*")
    assert (done.exit_code, done.titles) == (2, [])
    assert "two forms of one dump" in done.output
    assert "Give one form, for example --input" in done.output


def test_the_feed_of_a_latest_folder_is_no_dump(run: Run) -> None:
    done = run("06-*")
    assert (done.exit_code, done.titles, done.dropped) == (0, towns(), {})


def test_what_is_no_dump_is_named(run: Run) -> None:
    done = run("06b-*")
    assert (done.exit_code, done.titles) == (3, [])
    assert "not a MediaWiki export: root element is <posts>" in done.output
    assert "it is an HTML page" in done.output


def test_of_a_history_dump_the_newest_revision_is_published(run: Run) -> None:
    done = run("08-*/*.bz2")
    assert done.exit_code == 0
    assert [record["text"] for record in done.records] == [
        "The harbour is the newest, complete article about the harbour.",
        "The quay, newest text.",
    ]


def test_a_bad_byte_costs_its_page(run: Run) -> None:
    done = run("09-*")
    assert (done.exit_code, done.titles, done.dropped) == (0, towns(2), {"malformed": 1})


@pytest.mark.parametrize("case", ["11-*", "11-*/only-gz"])
def test_other_packings_are_read(run: Run, case: str) -> None:
    done = run(case)
    assert done.exit_code == 0
    assert done.titles == (towns() if case.endswith("gz") else towns() * 2)  # the 7z has no page
    assert "left out" not in done.output


@pytest.mark.parametrize("case", ["42b-*", "42c-*"])
def test_damage_costs_its_stream_and_is_reported(run: Run, case: str) -> None:
    done = run(case)
    assert done.exit_code == 3
    assert len(done.titles) == 700
    assert done.dropped == {"broken_input": 1}
    assert "bytes 75052 to 112410" in done.output


def test_an_export_of_2010_is_read(run: Run) -> None:
    done = run("43-*")
    assert (done.exit_code, len(done.titles), done.dropped) == (0, 30, {})
