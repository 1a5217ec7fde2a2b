"""The slices c4, books and arxiv through the engine: what is planted in the sample, and parity on real input."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
import tracemalloc
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import slices
from redpajama_data import sample
from redpajama_data.engine import receipts
from redpajama_data.engine.executors import SerialExecutor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import RunSettings
from redpajama_data.engine.tasks import Workplace
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import explanation, root_status
from redpajama_data.sample.planted import Planted
from slices.parts import books_ids


def run(name: str, raw: Path, root: Path, tokenizer: ModelFile, **settings: Any) -> SliceRun:
    part = slices.load(name)
    inputs = list_inputs(part, [str(raw)])
    quiet = partial(StageProgress, quiet=True)
    place = Workplace(str(root), 64 << 20)
    made = part.settings(**settings)
    result = run_slice(part, made, RunSettings(tokenizer, 0.5), inputs, SerialExecutor(), place, quiet)
    assert all(problem is None for _, problem in root_status.verify(str(root)))
    return result


def published(root: Path, name: str) -> list[dict[str, Any]]:
    return [record for path in sorted((root / name).iterdir()) for record in read_jsonl(str(path))]


def ledger(root: Path, name: str) -> dict[str, dict[str, Any]]:
    entries = [e for path in (root / "_run" / name).rglob("*.drops.jsonl.zst") for e in read_jsonl(str(path))]
    return {entry["id"]: entry for entry in entries}


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    sample.build(folder, ["c4", "books", "arxiv"])
    return folder


def settings_of(name: str, lid: str) -> dict[str, Any]:
    return {"lid": lid} if name == "arxiv" else {}


KEPT = {"c4": 273, "books": 16, "arxiv": 20}


@pytest.mark.parametrize("name", ["c4", "books", "arxiv"])
def test_each_planted_record_meets_its_rule(
    name: str, raw: Path, tmp_path: Path, tiny_tokenizer: ModelFile, tiny_lid: str
) -> None:
    result = run(name, raw / name, tmp_path, tiny_tokenizer, **settings_of(name, tiny_lid))
    table: tuple[Planted, ...] = __import__(f"redpajama_data.sample.{name}", fromlist=["PLANTED"]).PLANTED
    expected: Counter[str] = Counter()
    for row in table:
        if row.rule:
            expected[row.rule] += row.number
    assert receipts.sum_drops(result.all_receipts()) == dict(expected)
    assert result.quarantined == []
    assert result.broken() == []
    assert len(published(tmp_path, name)) == KEPT[name]


@pytest.mark.parametrize("name", ["c4", "books", "arxiv"])
def test_real_input_gives_the_published_documents(
    name: str, shared_data: Path, tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    settings = settings_of(name, str(shared_data / "models" / "lid.176.ftz"))
    run(name, shared_data / name, tmp_path, tiny_tokenizer, **settings)
    ours = [
        (hashlib.sha256(record["text"].encode()).hexdigest(), list(record["meta"].items()))
        for record in published(tmp_path, name)
    ]
    with gzip.open(shared_data / "expected" / f"{name}.jsonl.gz") as lines:
        expected = [json.loads(line) for line in lines]
    assert ours == [(record["sha256"], list(record["meta"].items())) for record in expected]


def test_a_cut_c4_file_keeps_what_came_before(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    noise = random.Random(0)
    record = '{{"text":"{}","timestamp":"2019-04-18T00:00:00Z","url":"https://a.example/"}}\n'
    whole = gzip.compress("".join(record.format(noise.randbytes(20_000).hex()) for _ in range(100)).encode(), 1)
    (tmp_path / "c4-train.00000-of-00002.json.gz").write_bytes(whole[: len(whole) // 2])
    result = run("c4", tmp_path, tmp_path / "root", tiny_tokenizer)
    [broken] = result.broken()
    assert "ends early" in str(broken.broken)
    assert broken.dropped == {"broken_input": 1}
    assert 0 < broken.kept == len(published(tmp_path / "root", "c4")) < 50


def test_a_cut_arxiv_tar_keeps_the_papers_that_are_whole(
    raw: Path, tmp_path: Path, tiny_tokenizer: ModelFile, tiny_lid: str
) -> None:
    whole = (raw / "arxiv" / "arXiv_src_0301_001.tar").read_bytes()
    third = whole.index(b"0301/math.GT0301007.gz")
    (tmp_path / "arXiv_src_0301_001.tar").write_bytes(whole[: third + 700])
    result = run("arxiv", tmp_path, tmp_path / "root", tiny_tokenizer, lid=tiny_lid)
    [broken] = result.broken()
    assert (broken.kept, broken.dropped) == (2, {"broken_input": 1})


def test_papers_are_not_held_together(tmp_path: Path, tiny_tokenizer: ModelFile, tiny_lid: str) -> None:
    """Sources count in memory though the text of a paper is empty until its last step."""
    paper = gzip.compress(b"\\section{A}\nB\n\\appendix" + b"x" * (4 << 20))
    with tarfile.open(tmp_path / "arXiv_src_2301_001.tar", "w") as tar:
        for number in range(16):
            info = tarfile.TarInfo(f"2301/2301.{number:05d}.gz")
            info.size = len(paper)
            tar.addfile(info, io.BytesIO(paper))
    tracemalloc.start()
    result = run("arxiv", tmp_path, tmp_path / "root", tiny_tokenizer, lid=tiny_lid)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.receipts["publish"][0].kept == 16
    assert peak < 32 << 20  # one paper takes 20 MB; all at once took 160


# ------------------------------------------------------------------------------------------------ books


def test_a_copy_is_reported_with_the_book_that_won(raw: Path, tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run("books", raw / "books", tmp_path, tiny_tokenizer)
    folder = raw / "books"
    entries = {
        (Path(doc_id).name.replace(".jsonl", ""), Path(entry["measured"]).name.replace(".jsonl", ""), entry["limit"])
        for doc_id, entry in ledger(tmp_path, "books").items()
        if entry["rule"] == "near_duplicate_book"
    }
    assert entries == {
        ("pg19-train#3", "pg19-train#0", 5),
        ("books3-train#3", "pg19-train#0", 5),
        ("pg19-train#6", "pg19-train#1", 5),
        ("pg19-validation#0", "pg19-test#1", 5),
        ("pg19-validation#1", "books3-train#1", 5),
        ("pg91004.txt#0", "pg91002.txt#0", 5),
    }
    decided = {i: e["decided_by"] for i, e in ledger(tmp_path, "books").items() if "decided_by" in e}
    assert decided == {f"{folder}/pg19-train.jsonl#3": f"{folder}/books3-train.jsonl#3"}
    [fate] = explanation.explain(str(tmp_path), f"{folder}/gutenberg/pg91003.txt#0")
    assert fate.line == 3


def test_books_come_in_the_published_order(raw: Path, tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run("books", raw / "books", tmp_path, tiny_tokenizer)
    order = [path.name for path in sorted((tmp_path / "books").iterdir())]
    assert order == [
        f"{x}.jsonl.zst" for x in ("1-pg19-train", "2-pg19-test", "3-pg19-validation", "4-books3-train", "5-pg91001")
    ]


def book(text: str) -> str:
    return json.dumps({"title": "T", "text": text}) + "\n"


def plays(folder: Path, **files: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, texts in files.items():
        (folder / f"{name.replace('_', '-')}.jsonl").write_text("".join(book(text) for text in texts))
    return folder


def test_books_that_the_published_scripts_did_not_read(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    """Chunks of two: pg19-train fills two and is cut after one, books3 fills three and is read up to the second."""
    names = ["castle", "winter", "copper", "fugitive"]
    raw = plays(tmp_path / "raw", pg19_train=names, pg19_test=["copper"], books3_train=[*"vwxyz"])
    run("books", raw, tmp_path / "root", tiny_tokenizer, chunk_lines=2, pg19_chunks=1, books3_chunks=2)
    found = {
        i.removeprefix(f"{raw}/"): (e["rule"], e["measured"], e["limit"])
        for i, e in ledger(tmp_path / "root", "books").items()
    }
    assert found == {
        "pg19-train.jsonl#2": ("lost_by_pg19_overwrite", 2, 2),
        "pg19-train.jsonl#3": ("lost_by_pg19_overwrite", 3, 2),
        "books3-train.jsonl#4": ("beyond_published_chunks", 4, 4),
    }
    texts = [record["text"] for record in published(tmp_path / "root", "books")]
    assert texts == ["castle", "winter", "copper", *"vwxy"]  # the lost copy of "copper" drops no other


COLLIDING: dict[str, list[str]] = {  # books of the same ids; the tail of train lies behind the only chunk that is read
    "pg19_train": ["castle", "winter", "copper"],
    "pg19_test": ["fugitive"],
    "books3_train": ["castle", "orange", ""],
}
ONE_ID_SPACE = [  # collections that are there, their order, and the texts that stay with the repairs of the ids
    (["pg19_train", "pg19_test", "books3_train"], None, ["castle", "winter", "copper", "fugitive", "orange", ""]),
    (["pg19_train", "pg19_test"], None, ["castle", "winter", "copper", "fugitive"]),
    (["books3_train"], None, ["castle", "orange", ""]),
    (
        ["pg19_train", "pg19_test", "books3_train"],
        ("books3", "pg19", "gutenberg"),
        ["winter", "copper", "fugitive", "castle", "orange", ""],
    ),
]


@pytest.mark.parametrize(("there", "order", "texts"), ONE_ID_SPACE)
def test_books_of_one_id_space(
    tmp_path: Path, tiny_tokenizer: ModelFile, there: list[str], order: tuple[str, ...] | None, texts: list[str]
) -> None:
    raw = plays(tmp_path / "raw", **{name: COLLIDING[name] for name in there})
    asked = {"collections": order} if order else {}
    repairs = ("own_ids", "first_of_cluster")
    run("books", raw, tmp_path / "root", tiny_tokenizer, chunk_lines=2, pg19_chunks=1, repairs=repairs, **asked)
    assert [record["text"] for record in published(tmp_path / "root", "books")] == texts
    found = {Path(i).name: Path(e["measured"]).name for i, e in ledger(tmp_path / "root", "books").items()}
    first, other = "pg19-train.jsonl#0", "books3-train.jsonl#0"
    assert found == (
        {} if len(there) < 3 else {first: other} if order else {other: first}
    )  # the ledger names what stays


def test_a_gutenberg_file_loses_against_both_collections(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw = plays(tmp_path / "raw", pg19_train=["castle"], books3_train=["winter", "copper"])
    for name, text in {"a": "copper", "b": "fugitive", "c": "castle", "d": "fugitive"}.items():
        (raw / f"{name}.txt").write_text(text)
    run("books", raw, tmp_path / "root", tiny_tokenizer)
    found = {Path(i).name: Path(e["measured"]).name for i, e in ledger(tmp_path / "root", "books").items()}
    assert found == {
        "a.txt#0": "books3-train.jsonl#1",
        "c.txt#0": "pg19-train.jsonl#0",
        "d.txt#0": "b.txt#0",
    }


def test_groups_of_gutenberg_files_do_not_matter(
    raw: Path, tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("books", raw / "books", tmp_path / "one", tiny_tokenizer)
    monkeypatch.setattr(books_ids, "GUTENBERG_FILES", 2)
    run("books", raw / "books", tmp_path / "groups", tiny_tokenizer)
    assert len(list((tmp_path / "groups" / "books").iterdir())) == 7
    assert published(tmp_path / "groups", "books") == published(tmp_path / "one", "books")
    assert ledger(tmp_path / "groups", "books") == ledger(tmp_path / "one", "books")


def test_gutenberg_files_that_cannot_be_read_are_named(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a", "b", "d"):
        (raw / f"{name}.txt.gz").write_bytes(gzip.compress(f"The book {name}".encode() * 9)[:-9])
    (raw / "c.txt").write_text("castle")
    result = run("books", raw, tmp_path / "root", tiny_tokenizer)
    [broken] = result.broken()
    assert f"{raw}/a.txt.gz" in str(broken.broken)
    assert len(broken.broken) == 3
    assert broken.dropped == {"broken_input": 3}
    assert [record["text"] for record in published(tmp_path / "root", "books")] == ["castle"]


def test_a_file_that_is_no_split_is_refused(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    (tmp_path / "novels.jsonl").write_text(book("castle"))
    with pytest.raises(UsageError, match="its name is not that of a book"):
        run("books", tmp_path / "novels.jsonl", tmp_path / "root", tiny_tokenizer)
