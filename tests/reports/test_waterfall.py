"""Waterfalls: raw records less what went is what was published, for every slice of the sample, and by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st
from toy_job import JOB, ToyJobSettings
from whole_root import files_of

import slices
from redpajama_data import sample
from redpajama_data.config import load_config
from redpajama_data.document import Drop
from redpajama_data.engine import receipts
from redpajama_data.engine.drop_sample import ONE_IN, PIECE, RULE_BYTES, DropSample, takes, utf8_length
from redpajama_data.engine.executors import SerialExecutor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.receipts import Sample
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.run_task import run_task
from redpajama_data.engine.stages import RunSettings, Slice
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import waterfall_table
from redpajama_data.reports.waterfall import Row, Waterfall, waterfalls
from redpajama_data.whole_run import run_parts

GONE = ("dropped", "joined", "missing", "changed")


def run_part(
    part: Slice, inputs: list[str], root: Path, tokenizer: ModelFile, place: Any = (), **settings: Any
) -> None:
    where = Workplace(str(root), *(place or (64 << 20, 3, tokenizer)))
    quiet = partial(StageProgress, quiet=True)
    made = part.settings(**settings)
    run_slice(part, made, RunSettings(tokenizer, 0.5), list_inputs(part, inputs), SerialExecutor(), where, quiet)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: ModelFile, tiny_lid: str) -> Path:
    """The root of the whole sample; the tokenizer has one token a byte."""
    raw, root = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("root")
    sample.build(raw)
    models = {name: str(path) for name, path in sample_models().items()}
    of: dict[str, dict[str, Any]] = {
        "common_crawl": {
            "lid": tiny_lid,
            "lm_dir": str(Path(models["en.arpa.bin"]).parent),
            "classifier": models["wikiref.bin"],
            "min_language_score": 0.0,
        },
        "github": {"code_tokenizer": tiny_tokenizer.path, "min_alpha_per_token": 0},
        "arxiv": {"lid": tiny_lid},
        "stackexchange": {"lid": tiny_lid},
    }
    for name in sample.SLICES:
        chosen: dict[str, Any] = {**sample.SETTINGS.get(name, {}), **of.get(name, {})}
        run_part(slices.load(name), [str(raw / name)], root, tiny_tokenizer, **chosen)
    return root


def sample_models() -> dict[str, Any]:
    from redpajama_data.sample.common_crawl import model_paths

    return dict(model_paths())


def settings(**made: Any) -> ToyJobSettings:
    return ToyJobSettings(**made)


def balance(rows: list[Row]) -> tuple[int, int]:
    """Documents and bytes of the first row, less those that went."""
    gone = [row for row in rows if row.kind in GONE]
    return rows[0].documents - sum(r.documents for r in gone), (rows[0].bytes or 0) - sum(r.bytes or 0 for r in gone)


@pytest.mark.parametrize("name", sample.SLICES)
def test_raw_is_published_and_dropped(sampled: Path, name: str) -> None:
    [fall] = [each for each in waterfalls(str(sampled)) if each.slice == name]
    every = list(receipts.load_all(str(sampled), name))
    published = [receipt for receipt in every if receipt.tokenizer]
    last = fall.rows[-1]
    assert (fall.rows[0].kind, last.kind) == ("raw", "published")
    assert last.documents == sum(receipt.kept for receipt in published) > 0
    assert last.bytes == sum(receipt.bytes for receipt in published) > 0
    assert balance(fall.rows) == (last.documents, last.bytes)
    assert not [row for row in fall.rows if row.kind == "missing"]
    drops = {row.rule: row.documents for row in fall.rows if row.kind == "dropped"}
    assert drops == receipts.sum_drops(every)
    # A token a byte: what the sample says of dropped text is its size, exactly.
    assert {row.rule: row.tokens for row in fall.rows if row.kind == "dropped"} == pytest.approx(
        {row.rule: row.bytes for row in fall.rows if row.kind == "dropped"}
    )
    assert fall.rows[0].tokens == pytest.approx(fall.rows[0].bytes)


@pytest.mark.parametrize("name", ["common_crawl", "github", "books", "arxiv", "stackexchange"])
def test_bytes_between_two_stages_are_the_same(sampled: Path, name: str) -> None:
    every = list(receipts.load_all(str(sampled), name))
    stages = {receipt.stage: [r for r in every if r.stage == receipt.stage] for receipt in every if receipt.read}
    order = sorted(stages, key=lambda stage: -sum(receipt.read for receipt in stages[stage]))
    for before, after in pairwise(order):
        kept = sum(receipt.bytes for receipt in stages[before])
        assert kept == sum(receipt.read_bytes for receipt in stages[after]), (before, after)


def test_lines_that_all_pages_have_show_as_changed_text(sampled: Path) -> None:
    of = {fall.slice: fall for fall in waterfalls(str(sampled))}
    changed = {name: {row.stage for row in fall.rows if row.kind == "changed"} for name, fall in of.items()}
    assert changed["c4"] == changed["books"] == set()
    assert changed["common_crawl"] == {"mine"}
    assert changed["github"] == {"publish"}  # headers, after the dedup
    assert changed["stackexchange"] == {"threads"}  # HTML
    [joined] = [row for row in of["stackexchange"].rows if row.kind == "joined"]
    assert joined.documents > 0


# ------------------------------------------------------------------------------------------------ by hand


def write(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


@pytest.fixture
def toy_root(tmp_path: Path, tiny_tokenizer: ModelFile) -> Path:
    write(tmp_path / "raw" / "a.jsonl", ["one two", "short", "three four", "one two"])
    write(tmp_path / "raw" / "b.jsonl", ["é è", "three four", "raise x"])
    with (tmp_path / "raw" / "b.jsonl").open("a") as file:
        file.write("no json\n")
    run_part(toy.SLICE, [str(tmp_path / "raw")], tmp_path / "root", tiny_tokenizer)
    return tmp_path / "root"


def test_toy_by_hand(toy_root: Path, tiny_tokenizer: ModelFile) -> None:
    [fall] = waterfalls(str(toy_root))
    assert fall.rows == [
        # "one two" 7, "short" 5, "three four" 10, "one two" 7, "é è" 5, "three four" 10, "raise x" 7
        Row("raw", "", "", 8, 51, 51.0, False),
        Row("dropped", "clean", "defect", 1, 7, 7.0, False),
        Row("dropped", "clean", "malformed", 1, 0, 0, False),
        Row("dropped", "publish", "duplicate", 2, 17, 17.0, False),
        Row("dropped", "publish", "min_words", 1, 5, 5.0, False),
        Row("published", "", "", 3, 22, 22, False),
    ]
    assert fall.tokenizers == {tiny_tokenizer.sha256}


def test_a_quarantined_task_shows_as_missing(toy_root: Path, tmp_path: Path) -> None:
    (toy_root / "_run" / "toy" / "publish" / "b.receipt.json").unlink()
    [fall] = waterfalls(str(toy_root))
    [missing] = [row for row in fall.rows if row.kind == "missing"]
    assert (missing.stage, missing.documents, missing.bytes) == ("publish", 2, 15)
    assert balance(fall.rows) == (fall.rows[-1].documents, fall.rows[-1].bytes)
    for path in (toy_root / "_run" / "toy" / "publish").glob("*.receipt.json"):
        path.unlink()
    [fall] = waterfalls(str(toy_root))
    assert [row.documents for row in fall.rows if row.kind == "missing"] == [6]
    assert balance(fall.rows) == (0, 0)


def test_receipts_without_byte_counts_leave_them_open(toy_root: Path) -> None:
    for path in toy_root.glob("_run/toy/*/*.receipt.json"):
        data = json.loads(path.read_text())
        for key in ("read_bytes", "dropped_bytes", "samples", "sample_tokenizer"):
            del data[key]
        data["bytes"] = data["bytes"] if data["tokenizer"] else 0
        path.write_text(json.dumps(data))
    [fall] = waterfalls(str(toy_root))
    assert fall.rows[0].bytes is None
    assert fall.rows[0].tokens is None
    assert {row.bytes for row in fall.rows if row.kind == "dropped"} == {None}
    assert fall.rows[0].documents == 8
    assert "-" in waterfall_table.render([fall]).splitlines()[1].split()


def test_a_job_goes_on_from_what_was_published(toy_root: Path, tiny_tokenizer: ModelFile) -> None:
    config = load_config(None, {"root": str(toy_root), "executor": "serial", "tokenizer": tiny_tokenizer.path})
    run_parts([(JOB, settings(min_length=8))], config, quiet=True)
    [fall] = waterfalls(str(toy_root))
    [(job, source, rows)] = fall.jobs
    assert (job, source) == ("toy_job", None)
    assert (rows[0].documents, rows[0].bytes) == (fall.rows[-1].documents, fall.rows[-1].bytes) == (3, 22)
    assert [(row.kind, row.rule, row.documents, row.bytes) for row in rows[1:]] == [
        ("dropped", "min_length", 2, 12),
        ("left", "", 1, 10),
    ]
    shown = waterfall_table.render([fall]).splitlines()
    assert any("toy_job: keep" in line and "min_length" in line and "-2" in line for line in shown)
    assert any(line.strip().startswith("left after toy_job") for line in shown)
    assert not any("read by" in line for line in shown)  # it read all of what the line above says


def test_jobs_stand_in_the_order_in_which_they_read_each_other(toy_root: Path, tiny_tokenizer: ModelFile) -> None:
    config = load_config(None, {"root": str(toy_root), "executor": "serial", "tokenizer": tiny_tokenizer.path})
    after = replace(JOB, name="a_later_job")  # before the other by its name
    run_parts([(JOB, settings(min_length=4)), (after, settings(min_length=8))], config, quiet=True)
    [fall] = waterfalls(str(toy_root))
    assert [(job, source) for job, source, _ in fall.jobs] == [("toy_job", None), ("a_later_job", "toy_job")]
    assert [[row.documents for row in rows] for *_, rows in fall.jobs] == [[3, 1, 2], [2, 1, 1]]
    assert "read by" not in waterfall_table.render([fall])


def test_a_job_on_files_from_elsewhere_has_no_slice_before_it(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    write(tmp_path / "c4" / "x.jsonl", ["a", "longer text"])
    config = load_config(None, {"root": str(tmp_path / "out"), "executor": "serial", "tokenizer": tiny_tokenizer.path})
    run_parts([(JOB, settings(input=(str(tmp_path / "c4"),)))], config, quiet=True)
    [fall] = waterfalls(str(tmp_path / "out"))
    assert (fall.slice, fall.rows) == ("c4", [])
    assert [row.documents for row in fall.jobs[0][2]] == [2, 1, 1]
    assert "read by toy_job" in waterfall_table.render([fall])


def test_which_tokenizer_counts_the_samples_changes_nothing_else(
    toy_root: Path, tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    run_part(toy.SLICE, [str(tmp_path / "raw")], tmp_path / "none", tiny_tokenizer, (64 << 20, 3, None))
    for path in sorted(toy_root.rglob("*")):
        other = tmp_path / "none" / path.relative_to(toy_root)
        if path.is_file() and path.name.endswith("receipt.json"):
            mine, theirs = json.loads(path.read_text()), json.loads(other.read_text())
            assert theirs.pop("sample_tokenizer") == ""
            assert mine.pop("sample_tokenizer") == (tiny_tokenizer.sha256 if mine["samples"] else "")
            assert {rule: each[:2] for rule, each in mine.pop("samples").items()} == {
                rule: each[:2] for rule, each in theirs.pop("samples").items()
            }
            assert mine == theirs
    none = files_of(tmp_path / "none")
    for name, data in files_of(toy_root).items():
        assert name.endswith("receipt.json") or none[name] == data, name
    [fall] = waterfalls(str(tmp_path / "none"))
    assert [row.tokens for row in fall.rows if row.rule == "duplicate"] == [None]


# ------------------------------------------------------------------------------------------------ the sample of drops


@given(st.text())
def test_utf8_length_of_any_text(text: str) -> None:
    assert utf8_length(text) == len(text.encode("utf-8", "replace"))


@pytest.mark.parametrize("text", ["\ud800", "a\udfffé", "\0", "", "😀\ud83d"])
def test_utf8_length_of_hostile_texts(text: str) -> None:
    assert utf8_length(text) == len(text.encode("utf-8", "replace")) == utf8_length(text)


def test_the_sample_hangs_on_file_name_and_ordinal_alone() -> None:
    names = [f"x_{n % 7}.gz#{n}" for n in range(16000)]
    taken = [name for name in names if takes(f"/here/{name}")]
    assert taken == [name for name in names if takes(f"s3://there/raw/{name}")]
    assert 0.9 < len(taken) * ONE_IN / len(names) < 1.1


def test_the_first_of_a_rule_is_always_in_the_sample() -> None:
    outside = [f"x#{n}" for n in range(100) if not takes(f"x#{n}")]
    made = DropSample()
    for doc_id in outside:
        made.add("rule", doc_id, "ab")
        made.add("other", doc_id, b"\xff\xfe")
    assert made.count(None) == {"rule": Sample(1, 2, 0), "other": Sample(1, 6, 0)}  # two U+FFFD


def test_the_sample_is_bounded() -> None:
    inside = [f"x#{n}" for n in range(1000) if takes(f"x#{n}")]
    made = DropSample()
    made.add("long", inside[0], "x" * (PIECE + 1))
    assert made.count(None)["long"] == Sample(1, PIECE, 0)
    many = RULE_BYTES // PIECE
    for less, taken in ((0, many), (1, many + 1)):  # the last one fills it, or leaves a place for one more
        made = DropSample()
        for doc_id in inside[: many + 2]:
            made.add("rule", doc_id, "x" * (PIECE - less))
        assert made.count(None)["rule"] == Sample(taken, taken * (PIECE - less), 0)


def test_the_estimate_of_a_mixed_rule_is_near(tmp_path: Path, neox: str) -> None:
    import hashlib

    from redpajama_data.models.tokens import tokenizer_for

    model = ModelFile(neox, hashlib.sha256(Path(neox).read_bytes()).hexdigest())
    texts = [("word " * (n % 40) + f"x{n} = {n};\n" * (n % 11)) for n in range(4000)]

    def work(context: TaskContext) -> None:
        for n, text in enumerate(texts):
            context.count_read(text)
            context.drop(f"raw/x.gz#{n}", Drop("rule"), text=text)

    done = run_task(Task("s", "stage", "t", 0, work, "l"), Workplace(str(tmp_path), 1 << 20, 3, model))
    receipt = receipts.load_state(str(tmp_path), "s", "stage", "t")
    assert receipt is not None, done
    assert receipt.read_bytes == receipt.dropped_bytes["rule"] == sum(map(len, texts))
    sampled = receipt.samples["rule"]
    true = sum(tokenizer_for(model).count(texts))
    assert sampled.tokens * receipt.dropped_bytes["rule"] / sampled.bytes == pytest.approx(true, rel=0.05)
    assert receipt.sample_tokenizer == model.sha256


# ------------------------------------------------------------------------------------------------ the table

ROWS = [
    Row("raw", "", "", 3206, 25_100_000, 7_970_000.4, True),
    Row("dropped", "clean", "license_starts_with", 306, 4_940_000, 1_810_000.0, True),
    Row("dropped", "clean", "content_not_null", 123, 0, 0, False),
    Row("changed", "publish", "", 0, -297, -88.0, True),
    Row("joined", "publish", "", 12),
    Row("missing", "publish", "", 3, None, None, True),
    Row("published", "", "", 2039, 13_900_000, 4_150_000),
]


def test_table() -> None:
    shown = waterfall_table.render([Waterfall("github", ROWS, [("fuzzy", "exact", [ROWS[-1], ROWS[1], ROWS[-1]])])])
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].split() == ["raw", "records", "3,206", "25.1", "MB", "~7.97", "M"]
    assert lines[2].split() == ["clean", "license_starts_with", "-306", "-4.94", "MB", "~-1.81", "M"]
    assert lines[3].split()[-4:] == ["-123", "0", "B", "0"]
    assert lines[4].split()[-3:] == ["297", "B", "~88"]
    assert lines[6].split()[-3:] == ["-3", "-", "-"]
    assert "from exact" in shown
    assert lines[-1].endswith("0 bytes.")
    exact = waterfall_table.render([Waterfall("c4", [ROWS[-1], ROWS[-1]])])
    assert "~" not in exact


def test_long_names_stay_in_the_table() -> None:
    rows = [ROWS[0], Row("dropped", "a_stage_" * 5, "a_rule_" * 20, 1, 1, 1), ROWS[-1]]
    assert max(map(len, waterfall_table.render([Waterfall("x" * 30, rows)]).splitlines())) <= 100


def test_plain_data_is_unrounded_and_json() -> None:
    [plain] = waterfall_table.plain([Waterfall("github", ROWS, [("fuzzy", None, ROWS)], frozenset({"abc"}))])
    assert json.loads(json.dumps(plain)) == plain
    assert plain["rows"][0] == {
        "kind": "raw", "stage": "", "rule": "", "documents": 3206, "bytes": 25_100_000, "tokens": 7_970_000,
        "estimated": True,
    }  # fmt: skip
    assert (plain["jobs"][0]["job"], plain["sample_tokenizers"]) == ("fuzzy", ["abc"])
