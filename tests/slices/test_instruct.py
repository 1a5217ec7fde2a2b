"""Instructions as dialogues: the forms they come in, what of a dialogue is prompt, what is refused; jobs behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.dialogue import exchange, prompts_of
from redpajama_data import api, sample
from redpajama_data.document import Document, Rejected
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.sample.instruct import PLANTED
from slices import BESIDE, NAMES, load
from slices.instruct import SLICE, read_instructions


def read(tmp_path: Path, *records: Any, name: str = "unified_x.jsonl") -> list[Any]:
    lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
    (tmp_path / name).write_text("".join(line + "\n" for line in lines))
    return list(read_instructions(str(tmp_path / name)))


def answers(text: str, ranges: list[list[int]]) -> list[str]:
    """What is no prompt."""
    edges = [0, *(edge for span in ranges for edge in span), len(text)]
    return [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]


FORMS = [  # record, text, source, task, license, answers
    (
        {"inputs": " Who? ", "targets": "\nMe. ", "meta": {"task": "t"}},
        "<human>: Who?\n<bot>: Me.", "p3", "t", "Apache-2.0", ["Me."],
    ),
    (
        {"definition": "Name it.", "inputs": "x", "targets": ["y", "z"], "meta": {"task_name": "n", "license": "MIT"}},
        "<human>: Name it.\n\nx\n<bot>: y", "natural_instructions", "n", "MIT", ["y"],
    ),
    (
        {"definition": ["Name it.", "b"], "inputs": "", "targets": "y"},
        "<human>: Name it.\n<bot>: y", "natural_instructions", "unified_x", "Apache-2.0", ["y"],
    ),
    (
        {"definition": "", "inputs": "x", "targets": "y", "meta": "no object"},
        "<human>: x\n<bot>: y", "natural_instructions", "unified_x", "Apache-2.0", ["y"],
    ),
    (
        {"text": "\n<human>: a\n<bot>: b\nc\n<human>: d\n<bot>: e\n", "metadata": {"source": "s"}},
        "<human>: a\n<bot>: b\nc\n<human>: d\n<bot>: e", "oig", "s", None, ["b\nc", "e"],
    ),
    (
        {"text": "Background: x\n<human>: a <bot>: no turn\n<bot>:b"},
        "Background: x\n<human>: a <bot>: no turn\n<bot>:b", "oig", "unified_x", None, ["b"],
    ),
    (
        {"inputs": "a\n<bot>: not an answer", "targets": "b\n<human>: not a question"},
        "<human>: a\n<bot>: not an answer\n<bot>: b\n<human>: not a question", "p3", "unified_x", "Apache-2.0",
        ["b\n<human>: not a question"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("record", "text", "source", "task", "licence", "answered"), FORMS)
def test_the_forms(
    tmp_path: Path, record: Any, text: str, source: str, task: str, licence: str | None, answered: list[str]
) -> None:
    [document] = read(tmp_path, record)
    assert isinstance(document, Document)
    assert document.text == text
    assert list(document.meta) == ["source", "task", "license", "no_loss_ranges"]
    assert [document.meta[key] for key in ("source", "task", "license")] == [source, task, licence]
    assert answers(text, document.meta["no_loss_ranges"]) == answered


@pytest.mark.parametrize(
    "record",
    [
        "", "{", "[]", {}, {"inputs": "a"}, {"targets": "a"}, {"text": "no turn"}, {"inputs": 1, "targets": "a"},
        {"inputs": "a", "targets": [1]}, {"text": None}, '{"inputs": "\\ud800", "targets": "a"}',
    ],
)  # fmt: skip
def test_what_is_no_instruction(tmp_path: Path, record: Any) -> None:
    [rejected] = read(tmp_path, record)
    assert isinstance(rejected, Rejected)
    assert rejected.drop.rule == "malformed"


TURNS = st.lists(st.sampled_from(["<human>:", "<bot>:", "<bot>: ", " ", "a", "\n", "\u6f22", "<bot"])).map("".join)


@given(TURNS)
def test_ranges_against_the_plain_reading(text: str) -> None:
    """Line by line: a line that begins a turn of the bot, and those behind it that begin none, are its answer."""
    answered, at, in_answer = [False] * len(text), 0, False
    for line in text.splitlines(keepends=True) if "\n" in text else [text]:
        mark = next((mark for mark in ("<human>:", "<bot>:") if line.startswith(mark)), "")
        if mark:
            if in_answer:
                answered[at - 1] = False  # the line end before a turn
            in_answer = mark == "<bot>:"
        rest = line[len(mark) :]
        size = len(mark) + (len(rest) - len(rest.lstrip(" \t")) if mark else 0)
        for i in range(at + size, at + len(line)):
            answered[i] = in_answer
        at += len(line)
    ranges = prompts_of(text)
    assert all(start < end for start, end in ranges)
    assert [any(start <= i < end for start, end in ranges) for i in range(len(text))] == [not a for a in answered]


@given(TURNS, TURNS)
def test_an_exchange_is_prompt_up_to_its_answer(asked: str, answered: str) -> None:
    text, [[start, end]] = exchange(asked, answered)
    assert (start, text[end:]) == (0, answered)


def test_it_is_no_part_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: ModelFile) -> None:
    assert "instruct" in BESIDE
    assert not {*BESIDE} & {*NAMES}
    assert load("instruct") is SLICE
    monkeypatch.chdir(tmp_path)
    sample.build(Path("raw"), ["instruct", "c4"])
    report = api.run(executor="serial", tokenizer=tiny_tokenizer.path)
    assert [part.slice for part in report.slices] == ["c4"]


def test_the_sample_and_the_jobs_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, neox: str) -> None:
    monkeypatch.chdir(tmp_path)
    sample.build(Path("raw"), ["instruct"])
    options = {"executor": "serial", "tokenizer": neox}
    rules = {
        "decontaminate.against": "raw/test_sets",
        "decontaminate.preset": "redpajama-instruct",
        "decontaminate.same_task": "harbour_quiz=harbour_quiz*",
    }
    report = api.run("instruct", jobs=["exact", "decontaminate"], settings=rules, **options)
    assert report.exit_code() == 0
    dropped: dict[str, int] = {}
    for part in report.slices:
        for receipt in part.all_receipts():
            for rule, number in receipt.dropped.items():
                dropped[rule] = dropped.get(rule, 0) + number
    planted: dict[str, int] = {}
    for row in PLANTED:
        planted[row.rule] = planted.get(row.rule, 0) + row.number
    assert {rule: dropped.get(rule) for rule in ("malformed", "has_prompt", "has_answer")} == {
        rule: planted[rule] for rule in ("malformed", "has_prompt", "has_answer")
    }
    assert dropped["duplicate"] == 1
    texts = [document.text for document in api.open("out", "instruct", job="decontaminate")]
    assert len([text for text in texts if text.startswith("<human>: Go on:")]) == 1  # 9 words of a test, and not 10
    every = [row for path in Path("out/decontaminate/instruct").glob("*.zst") for row in read_jsonl(str(path))]
    assert "harbour_quiz_after_reading" not in {row["meta"]["task"] for row in every}
    assert [total.slice for total in api.totals("out")] == ["instruct"]
    tokens = api.run_job("tokenize", "out", root="tokens", **options)
    assert tokens.exit_code() == 0
