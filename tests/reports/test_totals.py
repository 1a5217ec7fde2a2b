"""Totals, projections and the check against the published figures, on both sides of each limit."""

from __future__ import annotations

import gzip
import json
import math
import random
import re
from pathlib import Path

import pytest

from redpajama_data.errors import UsageError
from redpajama_data.models.tokens import Tokenizer
from redpajama_data.reports.count import count_files
from redpajama_data.reports.published import PUBLISHED
from redpajama_data.reports.totals import (
    SliceTotals,
    amount,
    check,
    parse_percent,
    project,
    student_t,
)
from redpajama_data.reports.totals_table import render, summary


def exact(name: str, factor: float = 1.0) -> SliceTotals:
    return SliceTotals(name, 1, 1, 1, round(PUBLISHED[name].redpajama * 1e9 * factor))


ALL = [exact(name) for name in PUBLISHED]


def test_published_figures_add_up() -> None:
    assert sum(p.redpajama for p in PUBLISHED.values()) == 1210
    assert sum(p.llama for p in PUBLISHED.values()) == 1252


# ------------------------------------------------------------------------------------------------ projection


def test_projection_by_hand() -> None:
    # mean 20, standard deviation 10, 3 of 12: t(2) = 4.303, error = 12 * 10 / sqrt(3) * sqrt(0.75) = 60
    found = project(SliceTotals("github", tokens=60, shard_tokens=[10, 20, 30], source_shards=12))
    assert found is not None
    assert found.tokens == 240
    assert found.high == pytest.approx(240 + 4.303 * 60)
    assert found.low == 60, "the whole is never less than what was counted"
    assert "expansion estimator" in found.method


def test_every_shard_counted_is_exact() -> None:
    found = project(SliceTotals("c4", shard_tokens=[1, 5], source_shards=2))
    assert found is not None
    assert (found.tokens, found.low, found.high) == (6, 6, 6)


def test_one_shard_has_no_interval_and_says_so() -> None:
    found = project(SliceTotals("c4", shard_tokens=[5], source_shards=4))
    assert found is not None
    assert (found.tokens, found.low, found.high) == (20, None, None)
    assert "no confidence interval" in found.method


@pytest.mark.parametrize("totals", [SliceTotals("c4", shard_tokens=[5]), SliceTotals("c4", source_shards=5)])
def test_no_projection_without_both_numbers(totals: SliceTotals) -> None:
    assert project(totals) is None


def test_more_shards_than_the_source_has() -> None:
    with pytest.raises(UsageError, match="source_shards"):
        project(SliceTotals("c4", shard_tokens=[1, 2, 3], source_shards=2))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(11)
    population = [round(rng.gauss(1000, 200)) for _ in range(60)]
    hits = 0
    for _ in range(1000):
        found = project(SliceTotals("c4", shard_tokens=rng.sample(population, 8), source_shards=60))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= sum(population) <= found.high
    assert 930 <= hits <= 970


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (30, 2.042), (31, 2.0395), (60, 2.0003), (100000, 1.95998)]
)
def test_student_t(freedom: int, quantile: float) -> None:
    assert student_t(freedom) == pytest.approx(quantile, abs=1e-3)


# ------------------------------------------------------------------------------------------------ check


@pytest.mark.parametrize(
    ("factor", "failures"), [(1.0, 0), (1.049, 0), (0.951, 0), (1.0501, 1), (0.9499, 1), (0.0, 1), (2.0, 1)]
)
def test_check_one_slice(factor: float, failures: int) -> None:
    assert len(check([exact("arxiv", factor)], 0.05)) == failures


def test_check_compares_the_sum_when_all_are_there() -> None:
    assert check(ALL, 0) == []
    low = [exact(name, 0.96) for name in PUBLISHED]
    assert check(low, 0.05) == []
    failures = check(low, 0.03)
    assert len(failures) == 8
    assert failures[-1].startswith("all slices: 1.16 T tokens (sum) is -4.0% off RedPajama-1T's 1.21 T")
    assert len(check(low[:-1], 0.03)) == 6


def test_check_uses_the_projection_and_names_it() -> None:
    half = SliceTotals("arxiv", tokens=14_000_000_000, shard_tokens=[7_000_000_000] * 2, source_shards=4)
    assert check([half], 0.05) == []
    half.source_shards = 8
    assert "projected from 2 of 8 shards" in check([half], 0.05)[0]
    half.source_shards = None
    assert "size of the source not configured" in check([half], 0.05)[0]
    half.source_shards = 2
    assert "whole source" in check([half], 0.05)[0]


def test_check_against_llama() -> None:
    assert check([exact("github")], 0.05) == []
    assert "LLaMA's 100 B" in check([exact("github")], 0.05, "llama")[0]


@pytest.mark.parametrize("totals", [[], [SliceTotals("files", tokens=5)]])
def test_a_check_of_nothing_fails(totals: list[SliceTotals]) -> None:
    assert check(totals, 0.05)[0].startswith("nothing to check")


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("0.05", 0.05), ("0", 0), ("0.5%", 0.005), ("150%", 1.5)])
def test_parse_percent(text: str, value: float) -> None:
    assert parse_percent(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "%", "five", "-1%", "nan", "inf", "5%%"])
def test_parse_percent_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        parse_percent(text)


# ------------------------------------------------------------------------------------------------ table


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (999.6, "1.00 K"), (9994, "9.99 K"), (9996, "10.0 K"), (99_960, "100 K"),
     (999_499, "999 K"), (999_500, "1.00 M"), (59e9, "59.0 B"), (1.21e12, "1.21 T"), (5e15, "5000 T")],
)  # fmt: skip
def test_amount(value: float, text: str) -> None:
    assert amount(value) == text


def test_table_is_narrow_and_complete() -> None:
    large = [
        SliceTotals(name, 10**12 - 1, 10**13, 10**13, 999_499_999_999, [123_456_789, 987_654_321], 54321)
        for name in PUBLISHED
    ]
    text = render(large, "gpt-neox-20b.tokenizer.json sha256:56ac4821e129")
    assert max(map(len, text.splitlines())) <= 100
    for name in PUBLISHED:
        assert f"\n{name}" in text
    assert "95 % confidence" in text
    assert "1.25 T" in text, "LLaMA's total"


def test_tokens_a_document_stand_beside_those_of_another_run() -> None:
    github = SliceTotals("github", documents=4, tokens=10)
    data = summary([github, SliceTotals("c4")], "x")
    assert [row["tokens_a_document"] for row in data["slices"]] == [2.5, None]
    assert data["total"]["tokens_a_document"] == 2.5
    assert data["document_ends"] is False
    assert round(data["rerun"]["github"]["tokens_a_document"]) == 2054
    text = " ".join(render([github, SliceTotals("c4")], "x").split())
    assert "Tokens counted with x, ends of documents not among them." in text
    assert "data-juicer's run of RedPajama's scripts: github 2,054." in text
    assert "data-juicer" not in render([SliceTotals("c4")], "x")


def test_what_projections_rest_on_is_said_once() -> None:
    some = [SliceTotals(name, tokens=60, shard_tokens=[10, 20, 30], source_shards=12) for name in ("c4", "arxiv")]
    text = render(some, "x")
    assert text.count("Student's t") == 1
    assert re.search(r"^c4 +3 of 12 +240 +60 to 498$", text, re.MULTILINE), text
    assert "too high" not in text
    assert "One raw file" not in text
    alone = SliceTotals("github", tokens=5, shard_tokens=[5], source_shards=4)
    text = render([*some, alone], "x")
    assert re.search(r"^github +1 of 4 +20 +-$", text, re.MULTILINE), text
    assert "One raw file gives no confidence interval" in " ".join(text.split())
    assert "for github it is too high" in " ".join(text.split())
    whole = SliceTotals("c4", tokens=60, shard_tokens=[10, 20, 30], source_shards=3)
    assert "Projected" not in render([whole], "x")


def test_table_of_part_of_the_slices_has_no_published_total() -> None:
    text = render(ALL[:2], "x")
    line = next(line for line in text.splitlines() if line.startswith("total"))
    assert line.split()[-4:] == ["-"] * 4


def test_summary_is_plain_data_and_shares_add_up() -> None:
    data = json.loads(json.dumps(summary([*ALL, SliceTotals("files")], "neox")))
    assert math.fsum(row["share"] for row in data["slices"]) == pytest.approx(1)
    assert data["total"]["tokens"] == 1_210_000_000_000
    assert data["total"]["redpajama_ratio"] == pytest.approx(1)
    assert data["slices"][2]["llama_ratio"] == pytest.approx(0.59)
    assert data["slices"][-1]["redpajama"] is None
    assert summary([SliceTotals("c4")], "neox")["slices"][0]["share"] == 0


# ------------------------------------------------------------------------------------------------ files

WORDS = Tokenizer("words", "0" * 64, "test", lambda data: range(len(data.split())))


def test_count_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one two"}\n{"text": "drei \\u00fc"}\n')
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write('{"text": ""}\n')
    seen: list[int] = []
    found = count_files([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl.gz")], WORDS, progress=seen.append)
    assert found == SliceTotals("files", 3, 14, 13, 4, [4, 0])
    assert seen == [7, 7, 0]


@pytest.mark.parametrize("record", ['{"content": "x"}', '{"text": null}', '{"text": 5}', "{}"])
def test_a_record_without_text_is_named(tmp_path: Path, record: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x"}\n' + record + "\n")
    found = count_files([str(path)], WORDS)
    assert (found.documents, found.unread) == (1, 1)
    assert "a.jsonl:2: no text in 'text'" in found.first_unread


def test_another_field(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "x y"}\n')
    assert count_files([str(path)], WORDS, text_field="content").tokens == 2


BAD = [b"hello", b'"text"', b"[1]", b'{"text": "\xff"}', b'{"text": "x"', b"[" * 100_000]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_line_is_counted_and_named_and_counting_goes_on(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "one two"}\n' + bad + b'\n{"text": "three"}\n' + bad + b"\n")
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "four"}\n')
    found = count_files([str(path), str(tmp_path / "b.jsonl")], WORDS)
    assert (found.documents, found.tokens, found.shard_tokens, found.unread) == (3, 4, [3, 1], 2)
    assert found.first_unread.startswith(f"{path}:2: ")


def test_a_file_that_breaks_off_counts_what_came_before(tmp_path: Path) -> None:
    lines = b"".join(b'{"text": "w%d %d"}\n' % (n, n * n) for n in range(20_000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines)[:-1000])
    found = count_files([str(tmp_path / "a.jsonl.gz")], WORDS)
    assert 10_000 < found.documents < 20_000
    assert found.unread == 1
    assert "a.jsonl.gz" in found.first_unread
