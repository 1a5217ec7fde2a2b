"""A release: what is in it, that it comes back byte for byte, and that it is whole or not there."""

from __future__ import annotations

import errno
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from roots import config_of, files_of, line, lines_of, make_root, release

import redpajama_data
from redpajama_data.cli.main import cli
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io.shards import to_json
from redpajama_data.models.model_file import ModelFile
from redpajama_data.release import folder, parquet, work
from redpajama_data.reports import manifest, root_status

SHARDS = {
    "c4/a": [line(f"page {n} " * 20, {"url": f"http://a.example/{n}", "language": "en"}) for n in range(30)],
    "c4/b": [line("last page", {"timestamp": "2019-04-24T07:44:17Z", "url": None})],
    "github/x": [line("code", {"language": [{"name": "C", "bytes": "1"}], "p": 0.7022107839584351})],
    "books/none": [],
    "books/one": [line("a book " * 300, {"short_book_title": "é\u2028\x7f"}), line("", {})],
}


def rows_of(to: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(to.glob("data/*/*")) for row in pyarrow.parquet.read_table(path).to_pylist()]


def test_every_record_is_there_and_its_line_comes_back(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    made = release(root, tmp_path / "to", tiny_tokenizer)
    assert {name: sum(f.documents for f in own) for name, own in made.files.items()} == {
        "c4": 31,
        "github": 1,
        "books": 2,
    }
    paths = sorted((tmp_path / "to").glob("data/*/*"))
    assert [path.relative_to(tmp_path / "to").as_posix() for path in paths] == [
        f"data/{name}/train-00000-of-00001.parquet" for name in ("books", "c4", "github")
    ]
    assert [each for path in paths for each in parquet.json_lines(str(path))] == lines_of(root / "toy_job")
    for row in rows_of(tmp_path / "to"):  # as the card says
        text = json.dumps(row["text"], ensure_ascii=False)
        assert ('{"text":%s,"meta":%s}' % (text, row["meta"])).encode() in lines_of(root / "toy_job")  # noqa: UP031


def test_the_columns_take_strings_only_and_ids_lead_back(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer)
    rows = {row["text"][:8]: row for row in rows_of(tmp_path / "to")}
    assert (rows["page 7 p"]["url"], rows["page 7 p"]["language"]) == ("http://a.example/7", "en")
    assert (rows["code"]["url"], rows["code"]["language"]) == (None, None)
    assert rows["last pag"]["url"] is None
    shard, _, number = rows["page 7 p"]["id"].partition("#")
    assert (number, rows["page 7 p"]["slice"]) == ("000000007", "c4")
    assert json.loads(lines_of(root / "toy_job" / "c4")[int(number)])["text"] == rows["page 7 p"]["text"]
    assert (root / "toy_job" / shard).exists()


@pytest.mark.parametrize(("file_size", "files"), [(1 << 20, 1), (4800, 1), (3000, 2), (1024, 5)])
def test_large_shards_come_in_pieces_and_small_ones_together(
    tmp_path: Path, tiny_tokenizer: ModelFile, file_size: int, files: int
) -> None:
    root = make_root(tmp_path, {"c4/a": SHARDS["c4/a"], "c4/b": SHARDS["c4/b"]}, tiny_tokenizer)
    wanted = folder.planned(str(root), folder.settings_of(str(root), {"job": "toy_job", "file_size": file_size}))
    made = release(root, tmp_path / "to", tiny_tokenizer, file_size=file_size)
    assert len(made.files["c4"]) == files
    assert [(file.path, file.documents) for file in wanted] == [(f.path, f.documents) for f in made.files["c4"]]
    paths = sorted((tmp_path / "to").glob("data/c4/*"))
    assert [each for path in paths for each in parquet.json_lines(str(path))] == lines_of(root / "toy_job")


def test_row_groups_are_bounded_by_bytes_and_sorted(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, {"c4/a": [*SHARDS["c4/a"], line("x" * 5000), line("y")]}, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer, row_group=1024)
    metadata = pyarrow.parquet.read_metadata(tmp_path / "to/data/c4/train-00000-of-00001.parquet")
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    sizes = list(map(len, lines_of(root / "toy_job")))
    starts = [sum(group.num_rows for group in groups[:i]) for i in range(len(groups) + 1)]
    for start, end in itertools.pairwise(starts):
        assert sum(sizes[start:end]) <= 1024 or end == start + 1  # a longer record is by itself
        assert end == len(sizes) or sum(sizes[start : end + 1]) > 1024  # and nothing is smaller than it must be
    assert all(group.sorting_columns[0].column_index == 0 for group in groups)
    assert all(group.column(0).has_column_index for group in groups)
    bounds = [(group.column(0).statistics.min, group.column(0).statistics.max) for group in groups]
    assert bounds == sorted(bounds)


def test_the_same_bytes_on_any_executor_and_nothing_is_done_twice(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    release(root, tmp_path / "serial", tiny_tokenizer, sample="50%", file_size=1024)
    release(root, tmp_path / "local", tiny_tokenizer, sample="50%", file_size=1024, executor="local")
    assert files_of(tmp_path / "serial") == files_of(tmp_path / "local")
    again = release(root, tmp_path / "serial", tiny_tokenizer, sample="50%", file_size=1024)
    assert (again.report.slices[0].done_now, again.left_alone) == (0, [])
    assert files_of(tmp_path / "serial") == files_of(tmp_path / "local")
    assert not [problem for _, problem in root_status.verify(str(tmp_path / "serial")) if problem]


def test_a_failed_write_leaves_no_file_and_the_next_run_mends_it(
    tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)

    class Failing(parquet.Writer):
        def _flush(self) -> None:
            if self._slice == "c4":
                raise OSError(errno.EIO, "the disk does not answer")
            super()._flush()

    with monkeypatch.context() as patched:
        patched.setattr(work, "Writer", Failing)
        made = release(root, tmp_path / "to", tiny_tokenizer)
    assert made.report.exit_code() == 3
    assert sorted(files_of(tmp_path / "to")) == [f"data/{n}/train-00000-of-00001.parquet" for n in ("books", "github")]
    made = release(root, tmp_path / "to", tiny_tokenizer)
    assert (made.report.exit_code(), made.report.slices[0].done_now) == (0, 1)
    release(root, tmp_path / "other", tiny_tokenizer)
    assert files_of(tmp_path / "to") == files_of(tmp_path / "other")


def test_a_shard_that_goes_goes_from_the_release(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer)
    (tmp_path / "in/github/x.jsonl").unlink()
    make_root(tmp_path, {"c4/b": [line("another page")]}, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer)
    assert not (tmp_path / "to/data/github/train-00000-of-00001.parquet").exists()
    assert "github" not in (tmp_path / "to" / folder.CARD).read_text().split("## What is wrong")[0]
    assert "another page" in [row["text"] for row in rows_of(tmp_path / "to")]


@pytest.mark.parametrize("form", [{}, {"format": "jsonl"}, {"sample": "100%"}])
def test_what_goes_costs_the_files_that_had_it_alone(
    tmp_path: Path, tiny_tokenizer: ModelFile, form: dict[str, Any]
) -> None:
    shards = {"c4/a": [line("one")], "github/b": [line("two")], "wikipedia/c": [line("three")]}
    root = make_root(tmp_path, shards, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer, **form)
    (tmp_path / "in/c4/a.jsonl").unlink()
    make_root(tmp_path, {}, tiny_tokenizer)
    assert release(root, tmp_path / "to", tiny_tokenizer, **form).report.slices[0].done_now == 0
    assert sorted(path.name for path in (tmp_path / "to/data").iterdir()) == ["github", "wikipedia"]
    make_root(tmp_path, {"c4/a": [line("four")]}, tiny_tokenizer)
    done = release(root, tmp_path / "to", tiny_tokenizer, **form).report.slices[0]
    assert done.done_now == len(done.receipts), "one task a stage"


def test_jsonl_copies_the_shards_without_the_empty_ones(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer, format="jsonl")
    there = {p.relative_to(tmp_path / "to/data").as_posix(): p.read_bytes() for p in (tmp_path / "to").glob("data/*/*")}
    kept = [shard for shard in manifest.build(str(root)).shards if shard.documents]
    assert there == {path[len("toy_job/") :]: (root / path).read_bytes() for path in [shard.path for shard in kept]}
    assert len(there) == 4


@pytest.mark.parametrize(
    "foreign", [b'{"text": "with a blank", "meta": {}}', b'{"text":"a","meta":{},"more":1}', b'{"text":"no meta"}']
)
def test_a_line_that_would_not_come_back_fails_its_file_and_says_what_to_do(
    tmp_path: Path, tiny_tokenizer: ModelFile, foreign: bytes
) -> None:
    root = make_root(tmp_path, {"c4/a": [line("ours"), foreign]}, tiny_tokenizer)
    made = release(root, tmp_path / "to", tiny_tokenizer)
    (entry,) = made.report.slices[0].quarantined
    assert "line 2 is not of the form that rpj writes" in entry.reason
    assert entry.reason.endswith("--format jsonl.")
    assert release(root, tmp_path / "as-it-is", tiny_tokenizer, format="jsonl").report.exit_code() == 0


def test_what_somebody_wrote_is_left_alone(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / folder.CARD).write_text("mine")
    assert release(root, tmp_path / "to", tiny_tokenizer).left_alone == [folder.CARD]
    assert (tmp_path / "to" / folder.CARD).read_text() == "mine"
    (tmp_path / "to" / folder.CARD).unlink()
    assert release(root, tmp_path / "to", tiny_tokenizer).left_alone == []
    ours = (tmp_path / "to" / folder.CARD).read_text()
    assert release(root, tmp_path / "to", tiny_tokenizer, format="jsonl").left_alone == []  # ours, and made anew
    assert (tmp_path / "to" / folder.CARD).read_text() != ours
    (tmp_path / "to" / folder.CARD).write_text(ours + "changed by hand")
    assert release(root, tmp_path / "to", tiny_tokenizer).left_alone == [folder.CARD]


@pytest.mark.parametrize("to", [".", "release", "toy_job/x"])
def test_a_release_never_lies_in_its_root(tmp_path: Path, tiny_tokenizer: ModelFile, to: str) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    with pytest.raises(UsageError, match="lies beside the root"):
        release(root, root / to, tiny_tokenizer)


def test_a_row_group_must_fit_into_the_memory_of_a_task(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    config = config_of(tmp_path / "to", tiny_tokenizer, memory="64M")
    with pytest.raises(UsageError, match="smaller --row-group"):
        folder.release(str(root), str(tmp_path / "to"), {"job": "toy_job", "row_group": "17M"}, config, {})
    made = folder.release(str(root), str(tmp_path / "to"), {"job": "toy_job", "row_group": "16M"}, config, {})
    assert made.report.exit_code() == 0


def test_the_card_names_what_is_there_and_nothing_else(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer)
    text = (tmp_path / "to" / folder.CARD).read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert [c["config_name"] for c in front["configs"]] == ["default", "c4", "github", "books"]
    assert all(list((tmp_path / "to").glob(c["data_files"][0]["path"])) for c in front["configs"])
    assert str(tmp_path) not in text
    described = json.loads((tmp_path / "to" / folder.CROISSANT).read_text())
    files = {f["@id"]: f["sha256"] for f in described["distribution"] if f["@type"] == "cr:FileObject"}
    assert files == {shard.path: shard.sha256 for shard in manifest.build(str(tmp_path / "to")).shards}


def test_the_card_tells_what_was_not_run_from_what_left_nothing(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    for name, lines in {"c4": [{"text": "one", "timestamp": "t", "url": "u"}], "books": [{"meta": {}}]}.items():
        (tmp_path / "raw" / name).mkdir(parents=True)
        ending = {"c4": "c4-train.00000-of-00001.json", "books": "pg19-test.jsonl"}[name]
        (tmp_path / "raw" / name / ending).write_text("".join(json.dumps(each) + "\n" for each in lines))
    redpajama_data.run(
        ["c4", "books"],
        config=os.devnull,
        input=str(tmp_path / "raw"),
        root=str(tmp_path / "root"),
        executor="serial",
        tokenizer=tiny_tokenizer.path,
        max_malformed=1.0,
    )
    done = CliRunner().invoke(cli, ["release", str(tmp_path / "root"), "--to", str(tmp_path / "to"), "--quiet"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "to" / folder.CARD).read_text()
    assert "- `books`: it was run, and no document of it is here." in text
    assert "- Slices of the recipe that were not run: common_crawl, github, arxiv, wikipedia, stackexchange." in text


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--sample", "0", "rpj: --sample: expected tokens such as 1B"),
        ("--row-group", "x", "rpj: --row-group: expected"),
    ],
)
def test_a_wrong_option_is_named_as_it_was_given(tmp_path: Path, option: str, value: str, said: str) -> None:
    done = CliRunner().invoke(cli, ["release", str(tmp_path), "--to", str(tmp_path / "to"), option, value])
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_dry_run_lists_files_and_writes_none(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, SHARDS, tiny_tokenizer)
    call = ["release", str(root), "--to", str(tmp_path / "to"), "--job", "toy_job", "--dry-run", "--json"]
    shown = CliRunner().invoke(cli, call)
    assert shown.exit_code == 0, shown.output
    assert [(file["path"].split("/")[1], file["documents"]) for file in json.loads(shown.output)] == [
        ("c4", 31),
        ("github", 1),
        ("books", 2),
    ]
    assert not (tmp_path / "to").exists()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
METAS = st.dictionaries(
    TEXTS,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
        max_leaves=5,
    ),
)


@given(st.lists(st.tuples(TEXTS, METAS), max_size=8), st.integers(1, 500))
def test_any_record_comes_back(tmp_path_factory: pytest.TempPathFactory, records: list[Any], row_group: int) -> None:
    path = tmp_path_factory.mktemp("any") / "x.parquet"
    lines = [to_json({"text": text, "meta": meta}) for text, meta in records]
    with path.open("wb") as file, parquet.Writer(file, "c4", row_group=row_group) as writer:
        for n, each in enumerate(lines):
            writer.write("c4/x", n, each)
    assert list(parquet.json_lines(str(path))) == lines
    table = pyarrow.parquet.read_table(path)
    for row, each in zip(table.to_pylist(), lines, strict=True):
        text = json.dumps(row["text"], ensure_ascii=False)
        assert ('{"text":%s,"meta":%s}' % (text, row["meta"])).encode() == each  # noqa: UP031


@given(st.binary() | st.builds(lambda a, b: b'{"text":%b,"meta":%b}' % (a, b), st.binary(), st.binary()))
def test_any_other_line_comes_back_or_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "x.parquet"
    with path.open("wb") as file:
        try:
            with parquet.Writer(file, "c4", row_group=100) as writer:
                writer.write("c4/x", 0, data)
        except BrokenInput:
            return
    assert list(parquet.json_lines(str(path))) == [data]
