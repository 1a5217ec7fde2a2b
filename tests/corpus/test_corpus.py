"""Jobs over shards: what counts as a shard, what a record is, and that kept lines pass byte for byte."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import SLICE, ToySettings
from toy_job import JOB, ToyJobSettings
from whole_root import files_of

from redpajama_data.cli import output
from redpajama_data.config import load_config
from redpajama_data.corpus import columns
from redpajama_data.corpus.listing import Record, list_shards, published_name, shard_task_names, slice_of, with_meta
from redpajama_data.engine import receipts
from redpajama_data.errors import UsageError
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import explanation, root_status
from redpajama_data.whole_run import RunReport, run_parts

LINES = [
    b'{"meta": {"b": 1, "a": [1, 2]},   "text": "a text as it was", "more": null}',
    b'{"text": "no"}',
    b'{"text": "measure this", "meta": {"url": "u"}}',
    b'{"text": 7}',
    b'{"text": "cut off',
    b'[]',
    b"\xff\xfe",
    b'{"text": "a meta that is no UTF-8", "meta": {"a": "\xff"}}',
    b'{"text": "\\u00e9\\ud83d\\ude00!", "meta": null}',
]  # fmt: skip


def write(path: Path, lines: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def run_job(root: Path, tokenizer: ModelFile, *inputs: Path, executor: str = "serial", **more: object) -> RunReport:
    config = load_config(None, {"root": str(root), "executor": executor, "tokenizer": tokenizer.path, "workers": 2})
    return run_parts([(JOB, ToyJobSettings(input=tuple(map(str, inputs)), **more))], config, quiet=True)  # type: ignore[arg-type]


def kept_lines(root: Path) -> list[bytes]:
    return [
        line
        for path in sorted(root.joinpath("toy_job").rglob("*.jsonl.zst"))
        for line in iter_lines(str(path), max_bytes=1 << 20)
        if isinstance(line, bytes)
    ]


def test_kept_lines_pass_byte_for_byte_and_others_have_a_reason(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shard = write(tmp_path / "in" / "c4" / "x.jsonl", LINES)
    report = run_job(tmp_path / "out", tiny_tokenizer, shard)
    kept = kept_lines(tmp_path / "out")
    assert kept[0] == LINES[0]
    assert msgspec.json.decode(kept[1]) == {"text": "measure this", "meta": {"url": "u", "length": 12}}
    assert kept[2:] == LINES[8:]
    (receipt,) = report.slices[0].all_receipts()
    assert (receipt.read, receipt.kept, receipt.dropped) == (9, 3, {"min_length": 1, "malformed": 5})
    assert receipt.tokens == len("a text as it was" + "measure this") + len("é😀!".encode())  # one token a byte
    (drops,) = [out for role, out in receipt.outputs.items() if role == "drops"]
    ledger = list(read_jsonl(str(tmp_path / "out" / drops.path)))
    assert [(entry["id"].rpartition("#")[2], entry["rule"]) for entry in ledger] == [
        ("3", "malformed"),
        ("4", "malformed"),
        ("5", "malformed"),
        ("6", "malformed"),
        ("7", "malformed"),
        ("1", "min_length"),
    ]
    assert not [problem for _, problem in root_status.verify(str(tmp_path / "out")) if problem]
    (fate,) = explanation.explain(str(tmp_path / "out"), f"{shard}#8")
    assert (fate.line, fate.kept) == (3, "toy_job/c4/x.jsonl.zst")


@pytest.mark.parametrize(("length", "kept"), [(2, 0), (3, 1)])
def test_the_limit_of_a_step(tmp_path: Path, tiny_tokenizer: ModelFile, length: int, kept: int) -> None:
    shard = write(tmp_path / "c4" / "x.jsonl", [b'{"text": "' + b"x" * length + b'"}'])
    (receipt,) = run_job(tmp_path / "out", tiny_tokenizer, shard).slices[0].all_receipts()
    assert receipt.kept == kept


def test_a_shard_that_breaks_off_keeps_what_came_before(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shard = write(tmp_path / "c4" / "x.jsonl.gz", [b'{"text": "%020d"}' % n for n in range(200_000)])
    shard.write_bytes(shard.read_bytes()[:-1000])
    report = run_job(tmp_path / "out", tiny_tokenizer, shard)
    (receipt,) = report.slices[0].all_receipts()
    assert report.exit_code() == 3
    assert receipt.dropped == {"broken_input": 1}
    assert receipt.kept == receipt.read - 1 > 100_000


def test_a_file_of_another_form_is_quarantined(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shard = write(tmp_path / "c4" / "x.jsonl", [b'{"body": "no text"}'] * 150)
    report = run_job(tmp_path / "out", tiny_tokenizer, shard)
    assert "150 of 150 records are malformed" in report.slices[0].quarantined[0].reason


def test_serial_and_local_workers_write_the_same_bytes(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / "in" / name / "x.jsonl", [b'{"text": "%s %d"}' % (name.encode(), n) for n in range(50)])
    made = []
    for executor in ("serial", "local"):
        root = tmp_path / executor
        run_job(root, tiny_tokenizer, tmp_path / "in", executor=executor)
        made.append(files_of(root))
    assert made[0].keys() == made[1].keys()
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []


def test_a_job_after_a_slice_reads_what_the_slice_published(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    write(tmp_path / "in" / "x.jsonl", [b'{"text": "one two three"}', b'{"text": "a b"}'])
    config = load_config(None, {"root": str(tmp_path / "out"), "executor": "serial", "tokenizer": tiny_tokenizer.path})
    parts = [(SLICE, ToySettings(input=(str(tmp_path / "in"),))), (JOB, ToyJobSettings(min_length=4))]
    report = run_parts(parts, config, quiet=True)
    assert [part.slice for part in report.slices] == ["toy", "toy_job"]
    assert [msgspec.json.decode(line)["text"] for line in kept_lines(tmp_path / "out")] == ["one two three"]
    again = run_parts(parts, config, quiet=True)
    assert [part.done_now for part in again.slices] == [0, 0]
    # the corpus of a root is what its slices published, once
    assert [raw.path.removeprefix(f"{tmp_path}/out/") for raw in list_shards([str(tmp_path / "out")])] == [
        "toy/x.jsonl.zst"
    ]


def test_a_shard_made_again_with_the_same_bytes_is_the_same_input(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    write(tmp_path / "in" / "x.jsonl", [b'{"text": "one two three"}'])
    config = load_config(None, {"root": str(tmp_path / "out"), "executor": "serial", "tokenizer": tiny_tokenizer.path})
    parts = [(SLICE, ToySettings(input=(str(tmp_path / "in"),))), (JOB, ToyJobSettings())]
    run_parts(parts, config, quiet=True)
    (tmp_path / "out" / "toy" / "x.jsonl.zst").unlink()
    again = run_parts(parts, config, quiet=True)
    assert [part.done_now for part in again.slices] == [1, 0]


def test_list_shards(tmp_path: Path) -> None:
    for name in ("a/x.jsonl", "a/y.jsonl.gz", "b/z.json.gz", "b/readme.txt", "_run/a/s/t.drops.jsonl"):
        write(tmp_path / "in" / name, [b"{}"])
    inside = [str(tmp_path / "in" / name) for name in ("a/x.jsonl", "a/y.jsonl.gz", "b/z.json.gz")]
    twice = [inside[0], str(tmp_path / "in" / "?" / "*.jsonl*"), str(tmp_path / "in" / "b")]
    assert [raw.path for raw in list_shards(twice)] == inside
    with pytest.raises(UsageError, match=r"no input"):
        list_shards([])
    with pytest.raises(UsageError, match=r"no input there"):
        list_shards([str(tmp_path / "nowhere")])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("out/c4/x.jsonl.zst", "c4"),
        ("s3://bucket/out/c4/x.jsonl", "c4"),
        ("x.jsonl", "files"),
        ("./x.jsonl", "files"),
        ("/x.jsonl", "files"),
    ],
)
def test_slice_of(path: str, name: str) -> None:
    assert slice_of(path) == name


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["out/c4/x.jsonl.zst"], ["c4~x"]),
        (["out/c4/x.jsonl", "out/github/x.jsonl", "x.jsonl"], ["c4~x", "github~x", "files~x"]),
        (["a/c4/x.jsonl", "a/c4/y.jsonl", "b/c4/x.jsonl"], ["c4~a_x", "c4~y", "c4~b_x"]),
        (["root:/c4/x.jsonl.zst", "root:/exact/c4/x.jsonl.zst"], ["c4~x", "c4~exact_x"]),
        (["out/a~b/x.jsonl", "out/a/b~x.jsonl"], ["a~b~x", "a~b_x"]),
    ],
)
def test_shard_task_names(paths: list[str], names: list[str]) -> None:
    assert shard_task_names(paths) == names
    published = [published_name(*of) for of in zip(names, paths, strict=True)]
    assert [name.rpartition("/")[0] for name in published] == [slice_of(path) for path in paths]


@pytest.mark.parametrize(
    "paths",
    [
        ["x.jsonl", "files/x.jsonl"],  # of the slice "files", one by its folder and one for want of it
        ["../x.jsonl", "../../x.jsonl", "/x.jsonl", "/files/x.jsonl", "a/files/x.jsonl"],
        [f"{'é' * 120}{letter}/x.jsonl" for letter in "ab"],
        [f"{'s' * 250}/{'f' * 250}.jsonl", f"{'t' * 250}/{'s' * 250}/{'f' * 250}.jsonl"],
    ],
)
def test_shards_of_any_place_have_names_of_their_own(paths: list[str]) -> None:
    """Short enough for the longest ending and the mark of an unfinished file behind it."""
    names = shard_task_names(paths)
    assert len(set(names)) == len({published_name(*of) for of in zip(names, paths, strict=True)}) == len(paths)
    assert all(len(name.encode()) <= 180 for name in names)


def record(line: bytes) -> Record:
    found = msgspec.json.decode(line, type=columns._Line)
    return Record(0, line, found.text, found.meta)


def test_with_meta_adds_after_what_is_there() -> None:
    changed = with_meta(record(b'{"id": 1, "text": "t", "meta": {"b": 1, "a": 2}, "z": 3}'), {"c": 0.5, "b": 9})
    assert changed.line == b'{"id":1,"text":"t","meta":{"b":9,"a":2,"c":0.5},"z":3}'
    assert with_meta(record(b'{"text": "t", "meta": 7}'), {"c": 1}).line == b'{"text":"t","meta":{"c":1}}'


def test_receipts_of_a_job_name_its_shard(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shard = write(tmp_path / "in" / "c4" / "x.jsonl", LINES)
    run_job(tmp_path / "out", tiny_tokenizer, shard)
    (receipt,) = receipts.load_all(str(tmp_path / "out"), "toy_job")
    assert receipt.inputs == [str(shard)]
    assert receipts.is_published(receipt)


def test_without_a_tokenizer_no_tokens_are_counted_and_the_shards_are_the_same(
    tmp_path: Path, tiny_tokenizer: ModelFile, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = write(tmp_path / "in" / "c4" / "x.jsonl", LINES)
    run_job(tmp_path / "counted", tiny_tokenizer, shard)
    config = load_config(None, {"root": str(tmp_path / "out"), "executor": "serial", "tokenizer": "none"})
    report = run_parts([(JOB, ToyJobSettings(input=(str(shard),)))], config, quiet=True)
    assert kept_lines(tmp_path / "out") == kept_lines(tmp_path / "counted")
    (receipt,) = report.slices[0].all_receipts()
    assert (receipt.tokens, receipt.tokenizer) == (0, "")
    output.print_report(report, as_json=False)
    shown = capsys.readouterr().out
    assert "tokens not counted" in shown
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith(("read by", "left after"))] == ["-", "-"]


def test_a_slice_counts_tokens(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x.jsonl", [b'{"text": "one two three"}'])
    config = load_config(None, {"root": str(tmp_path / "out"), "executor": "serial", "tokenizer": "none"})
    with pytest.raises(UsageError, match="--tokenizer"):
        run_parts([(SLICE, ToySettings(input=(str(tmp_path / "in"),)))], config, quiet=True)


def test_explain_follows_a_record_through_the_jobs(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw = write(tmp_path / "in" / "x.jsonl", [b'{"text": "short"}', b'{"text": "a b"}', b'{"text": "one two three"}'])
    root = str(tmp_path / "out")
    config = load_config(None, {"root": root, "executor": "serial", "tokenizer": tiny_tokenizer.path})
    run_parts([(SLICE, ToySettings(input=(str(raw),))), (JOB, ToyJobSettings(min_length=4))], config, quiet=True)
    fates = [
        (fate.slice, fate.kept, fate.line, fate.drop and fate.drop["rule"])
        for fate in explanation.explain(root, f"{raw}#1")
    ]
    assert fates == [("toy", "toy/x.jsonl.zst", 1, None), ("toy_job", None, None, "min_length")]
    fates = [(fate.slice, fate.kept, fate.line, None) for fate in explanation.explain(root, f"{raw}#2")]
    assert fates == [("toy", "toy/x.jsonl.zst", 2, None), ("toy_job", "toy_job/toy/x.jsonl.zst", 1, None)]
    assert [fate.slice for fate in explanation.explain(root, "root:/toy/x.jsonl.zst#1")] == ["toy_job"]


def test_equal_runs_in_two_roots_leave_equal_files(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw = write(tmp_path / "in" / "x.jsonl", [b'{"text": "one two three"}', b'{"text": "a b"}'])
    made = []
    for root in (tmp_path / "a", tmp_path / "b"):
        config = load_config(None, {"root": str(root), "executor": "serial", "tokenizer": tiny_tokenizer.path})
        run_parts([(SLICE, ToySettings(input=(str(raw),))), (JOB, ToyJobSettings(min_length=4))], config, quiet=True)
        run_parts(
            [(JOB, ToyJobSettings(input=(str(root),), min_length=4))], config, quiet=True
        )  # as a command on that root
        made.append(files_of(root))
    assert "manifest.json" in made[0]
    assert made[0] == made[1]


def test_a_shard_of_the_root_that_is_gone_is_taken_again_when_it_is_back(
    tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    raw = write(tmp_path / "in" / "x.jsonl", [b'{"text": "one two three"}'])
    config = load_config(None, {"root": str(tmp_path / "out"), "executor": "serial", "tokenizer": tiny_tokenizer.path})
    slice_alone = [(SLICE, ToySettings(input=(str(raw),)))]
    job = [(JOB, ToyJobSettings(input=(str(tmp_path / "out"),)))]
    run_parts(slice_alone, config, quiet=True)
    (tmp_path / "out" / "toy" / "x.jsonl.zst").unlink()
    report = run_parts(job, config, quiet=True)
    assert "no such file" in report.slices[0].quarantined[0].reason
    run_parts(slice_alone, config, quiet=True)
    assert run_parts(job, config, quiet=True).slices[0].done_now == 1
    assert len(kept_lines(tmp_path / "out")) == 1


@pytest.mark.parametrize("root", ["shards", "shards/out"])
def test_a_root_inside_the_input_is_refused(tmp_path: Path, tiny_tokenizer: ModelFile, root: str) -> None:
    write(tmp_path / "shards" / "c4" / "x.jsonl", LINES)
    with pytest.raises(UsageError, match="lies in the input"):
        run_job(tmp_path / root, tiny_tokenizer, tmp_path / "shards")
    assert not (tmp_path / root / "toy_job").exists()


def test_what_a_job_wrote_is_no_input_of_its_own(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    write(tmp_path / "in" / "c4" / "x.jsonl", LINES)
    run_job(tmp_path / "out", tiny_tokenizer, tmp_path / "in")
    with pytest.raises(UsageError, match="itself writes"):
        run_job(tmp_path / "out", tiny_tokenizer, tmp_path / "out" / "toy_job")


def test_a_file_named_in_several_ways_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "c4" / "x.jsonl", LINES)
    monkeypatch.chdir(tmp_path)
    found = list_shards(["c4", "./c4", f"{tmp_path}/c4/x.jsonl", f"file://{tmp_path}/c4/x.jsonl"])
    assert [raw.path for raw in found] == ["c4/x.jsonl"]


def depth_of(value: object) -> int:
    """How many lists and objects lie inside each other."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth_of, inside), default=0)


@given(
    st.recursive(
        st.text(st.sampled_from('[]{}"\\a,:\n'), max_size=8) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(st.sampled_from('[{"\\}'), max_size=4), inner, max_size=3)
        ),
        max_leaves=20,
    )
)
def test_brackets_in_strings_are_no_depth(value: object) -> None:
    assert columns._depth(json.dumps(value).encode()) == depth_of(value)


@pytest.mark.parametrize(("depth", "kept"), [(399, 1), (400, 0), (900, 0), (5000, 0)])
def test_nesting_has_the_same_limit_everywhere(
    tmp_path: Path, tiny_tokenizer: ModelFile, depth: int, kept: int
) -> None:
    line = b'{"text": "[[[ \\" [[[", "meta": ' + b"[" * depth + b"]" * depth + b"}"
    shard = write(tmp_path / "c4" / "x.jsonl", [line, b'{"text": "short"}'])
    for executor in ("serial", "local"):
        (receipt,) = run_job(tmp_path / executor, tiny_tokenizer, shard, executor=executor).slices[0].all_receipts()
        assert (receipt.kept, receipt.dropped) == (kept + 1, {} if kept else {"malformed": 1})


def test_a_name_with_a_unicode_line_end_is_one_name(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    write(tmp_path / "c4" / "a\u2028b.jsonl", LINES)
    for _ in range(2):
        assert run_job(tmp_path / "out", tiny_tokenizer, tmp_path / "c4").exit_code() == 0


@pytest.mark.parametrize("name", ["a\nb.jsonl", "a\udcffb.jsonl"])
def test_a_name_that_cannot_be_listed_is_refused(tmp_path: Path, tiny_tokenizer: ModelFile, name: str) -> None:
    write(tmp_path / "c4" / name, LINES)
    with pytest.raises(UsageError, match="Rename it"):
        run_job(tmp_path / "out", tiny_tokenizer, tmp_path / "c4")


def test_a_slice_without_shards_leaves_the_jobs_out(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    write(tmp_path / "in" / "x.jsonl", [b"crash"] * 200)
    config = load_config(None, {"root": str(tmp_path / "out"), "executor": "serial", "tokenizer": tiny_tokenizer.path})
    report = run_parts(
        [(SLICE, ToySettings(input=(str(tmp_path / "in"),))), (JOB, ToyJobSettings())], config, quiet=True
    )
    assert report.exit_code() == 3
    assert [bool(part.left_out) for part in report.slices] == [False, True]
    output.print_report(report, as_json=False)
