"""Stack Exchange through the engine: parity, which dumps are read, threads out of core, damage."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import py7zr
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from redpajama_data import sample
from redpajama_data.cli.main import cli
from redpajama_data.document import Drop
from redpajama_data.engine import receipts
from redpajama_data.engine.executors import open_executor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import RunSettings
from redpajama_data.engine.tasks import Workplace
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import explanation, root_status
from redpajama_data.sample.stackexchange import PLANTED
from slices import stackexchange
from slices.parts import record_buckets, stackexchange_threads
from slices.stackexchange import SLICE, StackexchangeSettings, bucket_ranges, buckets_of, choose_dumps
from tests.whole_root import files_of

Row = dict[str, str]
Run = Callable[..., SliceRun]


@pytest.fixture
def run(tmp_path: Path, tiny_tokenizer: ModelFile, tiny_lid: str) -> Run:
    """Runs the slice on ``tmp_path/raw`` (or ``inputs``) into ``tmp_path/<root>``; the root verifies."""

    def go(
        root: str = "root",
        inputs: Iterable[Path] = (),
        executor: str = "serial",
        workers: int = 1,
        memory: int = 1 << 26,
        **settings: Any,
    ) -> SliceRun:
        made = StackexchangeSettings(**{"lid": tiny_lid, **settings})
        raw = list_inputs(SLICE, [str(path) for path in inputs] or [str(tmp_path / "raw")])
        with open_executor(executor, workers=workers) as pool:
            place = Workplace(str(tmp_path / root), memory)
            quiet = partial(StageProgress, quiet=True)
            result = run_slice(SLICE, made, RunSettings(tiny_tokenizer, 0.5), raw, pool, place, quiet)
        assert [problem for _, problem in root_status.verify(str(tmp_path / root)) if problem] == []
        return result

    return go


def question(number: int | str, title: str | None = "T", body: str = "b", **more: str) -> Row:
    return {"Id": str(number), **({} if title is None else {"Title": title}), "Body": body, "Score": "1", **more}


def answer(number: int | str, parent: int | str, body: str, score: int = 1) -> Row:
    return {"Id": str(number), "ParentId": str(parent), "Body": body, "Score": str(score)}


def xml(rows: Iterable[Row]) -> bytes:
    lines = ("<row " + " ".join(f"{name}={quoteattr(value)}" for name, value in row.items()) + " />" for row in rows)
    return "\n".join(['<?xml version="1.0"?>', "<posts>", *lines, "</posts>"]).encode()


def dump(folder: Path, name: str, rows: Iterable[Row]) -> Path:
    """A dump under ``folder/raw``, in the form that its name says."""
    path = folder / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".7z"):
        with py7zr.SevenZipFile(path, "w") as archive:
            archive.writestr(xml(rows), "Posts.xml")
    else:
        path.write_bytes(xml(rows))
    return path


def published(root: Path) -> list[dict[str, Any]]:
    return [record for path in sorted((root / "stackexchange").glob("*")) for record in read_jsonl(str(path))]


def texts(root: Path) -> list[str]:
    return [record["text"] for record in published(root)]


def files(root: Path, pattern: str = "stackexchange/*") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob(pattern) if path.is_file()}


def ledger(root: Path) -> dict[str, Drop]:
    entries = [e for path in (root / "_run" / "stackexchange").rglob("*.drops.*") for e in read_jsonl(str(path))]
    return {entry["id"]: Drop(entry["rule"], entry["measured"], entry["limit"]) for entry in entries}


# ------------------------------------------------------------------------------------------------ parity, sample


def test_equal_to_the_published_scripts(run: Run, shared_data: Path, tmp_path: Path) -> None:
    archives = sorted((shared_data / "stackexchange").glob("*.7z"))
    result = run(
        inputs=[path for path in archives if not path.name.startswith("history.meta")],
        lid=str(shared_data / "models" / "lid.176.ftz"),
        memory=1 << 20,
    )
    assert result.quarantined == []
    ours = [
        (hashlib.sha256(record["text"].encode()).hexdigest(), len(record["text"]), list(record["meta"].items()))
        for record in published(tmp_path / "root")
    ]
    with gzip.open(shared_data / "expected" / "stack_exchange.jsonl.gz") as lines:
        expected = [json.loads(line) for line in lines]
    assert len(expected) == 1853
    assert ours == [(record["sha256"], record["chars"], list(record["meta"].items())) for record in expected]


def test_what_the_sample_plants_meets_its_rule(run: Run, tmp_path: Path) -> None:
    sample.build(tmp_path / "sample", ["stackexchange"])
    result = run(inputs=[tmp_path / "sample" / "stackexchange"])
    expected: Counter[str] = Counter()
    for row in PLANTED:
        expected[row.rule] += row.number if row.rule else 0
    del expected[""]
    assert receipts.sum_drops(result.all_receipts()) == dict(expected)
    assert result.broken() == result.quarantined == []
    assert sum(receipt.kept for receipt in result.receipts["publish"]) == len(published(tmp_path / "root")) == 113


# ------------------------------------------------------------------------------------------------ which dumps


def test_an_archive_is_taken_before_another_form_of_its_site(run: Run, tmp_path: Path) -> None:
    folder = dump(tmp_path, "beer.example/Posts.xml", [question(1, "folder")])
    dump(tmp_path, "beer.example.7z", [question(1, "archive")])
    dump(tmp_path, "coffee.example/Posts.xml", [question(1, "coffee")])
    result = run()
    assert texts(tmp_path / "root") == ["Q: archive b", "Q: coffee b"]
    assert ledger(tmp_path / "root") == {
        str(folder): Drop("same_site", str(folder), str(tmp_path / "raw" / "beer.example.7z"))
    }
    assert result.broken() == []
    [fate] = explanation.explain(str(tmp_path / "root"), str(folder))
    assert fate.drop is not None


@pytest.mark.parametrize(
    ("names", "wanted", "rules"),
    [
        (["a.x.7z", "b.x.xml"], (), [None, None]),
        (["a.x.7z", "b.x.xml"], ("all",), [None, None]),
        (["a.x.7z", "b.x.xml"], ("b.x",), ["sites", None]),
        (["a.x.xml", "a.x/Posts.xml", "b.x.7z"], ("a.x",), [None, "same_site", "sites"]),
        (["a.x.xml", "z/a.x.7z"], (), ["same_site", None]),
        (["so.com-Badges.7z", "so.com-Posts.7z", "so.com-PostHistory.7z"], (), ["no_posts", None, "no_posts"]),
    ],
)
def test_choose_dumps(names: list[str], wanted: tuple[str, ...], rules: list[str | None]) -> None:
    drops = choose_dumps([RawFile(name, 1, "") for name in names], wanted)
    assert [drop and drop.rule for drop in drops] == rules


def test_a_site_that_is_not_there_is_named_with_its_neighbours(run: Run, tmp_path: Path) -> None:
    dump(tmp_path, "beer.stackexchange.com.xml", [question(1)])
    with pytest.raises(UsageError, match=r"no dump of bear\.stackexchange\.com .*There are beer\.stackexchange\.com"):
        run(sites="bear.stackexchange.com")


def test_a_wanted_site_without_a_dump_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.stackexchange.com.xml").write_text("<posts/>")
    words = ["run", "--slice", "stackexchange", "--input", str(tmp_path), "--set", "sites=b.stackexchange.com"]
    done = CliRunner().invoke(cli, [*words, "--root", str(tmp_path / "root")])
    assert (done.exit_code, (tmp_path / "root").exists()) == (2, False), done.output
    assert "no dump of b.stackexchange.com" in done.output


def test_the_largest_sites_are_the_default(run: Run, tmp_path: Path) -> None:
    for name, posts in (("a.x", 2), ("b.x", 3), ("c.x", 2), ("d.x", 1)):
        dump(tmp_path, f"{name}.xml", [question(n, f"{name} {n}") for n in range(posts)])
    run(largest_sites=2)
    assert [record["text"].split()[1] for record in published(tmp_path / "root")] == ["a.x"] * 2 + ["b.x"] * 3
    assert ledger(tmp_path / "root") == {
        f"{tmp_path}/raw/c.x.xml#0": Drop("largest_sites", 2, 2),
        f"{tmp_path}/raw/c.x.xml#1": Drop("largest_sites", 2, 2),
        f"{tmp_path}/raw/d.x.xml#0": Drop("largest_sites", 1, 2),
    }
    run(largest_sites=2, sites="all")
    assert len(published(tmp_path / "root")) == 8
    run(largest_sites=4)
    assert len(published(tmp_path / "root")) == 8
    assert StackexchangeSettings().largest_sites == 28


def test_files_of_a_dump_are_found_and_other_tables_are_not(tmp_path: Path) -> None:
    rows = [question(1)]
    for name in ("a.x.xml", "b.x/Posts.xml", "stackoverflow_part_aa.xml", "c.x.7z"):
        dump(tmp_path, name, rows)
    for name in ("b.x/Badges.xml", "b.x/Users.xml", "b.x/readme.txt"):
        dump(tmp_path, name, rows)
    found = [raw.path.removeprefix(f"{tmp_path}/raw/") for raw in list_inputs(SLICE, [str(tmp_path / "raw")])]
    assert found == ["a.x.xml", "b.x/Posts.xml", "c.x.7z", "stackoverflow_part_aa.xml"]


# ------------------------------------------------------------------------------------------------ threads

ODD = [
    answer(10, 3, "before its question", 5),
    question(1, "first"),
    answer(11, 99, "of nothing"),
    question(3, "third"),
    answer(12, 1, "low", 10),
    answer(13, 1, "high", 9),
    answer(14, 10, "on an answer"),
    question(2, None),
    answer(15, 2, "on a wiki"),
    question(3, "third again"),
]
ODD_TEXTS = [
    "Q: first b\nA: high\nA: low",  # scores compare as strings
    "Q: third b\nA: before its question",
    "Q: third again b\nA: before its question",
]
ODD_RULES = {2: "orphan_answer", 6: "orphan_answer", 7: "no_title"}


@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_every_post_is_in_a_document_or_the_ledger(run: Run, tmp_path: Path, memory: int) -> None:
    path = dump(tmp_path, "odd.x.xml", ODD)
    result = run(memory=memory)
    assert texts(tmp_path / "root") == ODD_TEXTS
    assert {name: drop.rule for name, drop in ledger(tmp_path / "root").items()} == {
        f"{path}#{n}": rule for n, rule in ODD_RULES.items()
    }
    [posts], threads = result.receipts["posts"], result.receipts["threads"]
    assert (posts.kept, posts.notes["questions"], posts.notes["answers"]) == (10, 4, 6)
    assert len(threads) == 1
    assert posts.kept == sum(receipt.read + receipt.notes["joined"] for receipt in threads)
    joined = {
        entry["id"]: entry["document"]
        for receipt in threads
        for entry in read_jsonl(str(tmp_path / "root" / receipt.outputs["joined"].path))
    }
    assert joined == {f"{path}#{n}": f"{path}#{document}" for n, document in ((0, 3), (4, 1), (5, 1), (8, 7))}
    assert [receipt.notes for receipt in result.receipts["publish"]] == [{"source": str(path)}]


def many(number: int) -> list[Row]:
    """Questions, each followed by answers to others, before and after it."""
    rows = []
    for n in range(number):
        rows.append(question(n, f"question {n}", "<p>the body</p>" * (n % 7)))
        rows += [answer(f"{n}-{k}", (n * 31 + k * 17) % number, f"<p>{n} {k}</p>", k) for k in range(n % 4)]
    return rows


@pytest.mark.parametrize(
    ("memory", "executor", "workers"), [(1, "serial", 1), (5000, "local", 3), (1 << 28, "local", 2)]
)
def test_same_shards_whatever_the_memory_and_the_workers(
    run: Run, tmp_path: Path, memory: int, executor: str, workers: int
) -> None:
    dump(tmp_path, "a.x.xml", many(300))
    dump(tmp_path, "b.x.7z", many(100))
    run("reference", memory=1 << 30)
    run("other", memory=memory, executor=executor, workers=workers)
    assert files_of(tmp_path / "other") == files_of(tmp_path / "reference")
    assert len(texts(tmp_path / "other")) == 400


def test_a_large_site_is_published_in_several_shards(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump(tmp_path, "a.x.xml", many(300))  # 748 rows
    run("reference")
    monkeypatch.setattr(stackexchange_threads, "ROWS_A_STRETCH", 10)
    monkeypatch.setattr(stackexchange, "STRETCHES_A_SHARD", 20)
    monkeypatch.setattr(stackexchange, "RANGE_BYTES", 2500)
    result = run("split", memory=5000)
    assert sorted(files(tmp_path / "split")) == [f"a.x-{n:04d}.jsonl.zst" for n in range(4)]
    assert len(result.receipts["threads"]) > 10
    assert published(tmp_path / "split") == published(tmp_path / "reference")


def test_memory_is_that_of_a_task_and_not_of_the_site(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stackexchange_threads, "ROWS_A_STRETCH", 64)
    monkeypatch.setattr(stackexchange, "BUCKET_BYTES", 1 << 18)
    peaks = []
    for posts in (20, 400, 2400):  # 0.8 MB and 5 MB, after a warm-up
        dump(tmp_path, "a.x.xml", [question(n, f"{n}", f"<p>{f'{n} more words ' * 120}</p>") for n in range(posts)])
        tracemalloc.start()
        run(f"{posts}", memory=400_000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1], peaks


def test_a_defect_costs_one_thread(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(doc: Any, **_: Any) -> Any:
        if doc.work["question"].id == "1":
            raise ValueError("unexpected")
        return assemble_thread(doc, **_)

    assemble_thread = stackexchange_threads.assemble_thread
    fails.__qualname__ = "fails"
    monkeypatch.setattr(stackexchange, "assemble_thread", fails)
    path = dump(tmp_path, "a.x.xml", [question(1), question(2, "two"), answer(3, 1, "lost")])
    run()
    assert texts(tmp_path / "root") == ["Q: two b"]
    assert ledger(tmp_path / "root") == {f"{path}#0": Drop("defect", "fails: ValueError: unexpected", None)}


# ------------------------------------------------------------------------------------------------ damage


def test_a_cut_dump_keeps_what_came_before(run: Run, tmp_path: Path) -> None:
    path = dump(tmp_path, "a.x.xml", many(50))
    path.write_bytes(path.read_bytes()[:-500])
    dump(tmp_path, "b.x.xml", [question(1, "whole")])
    result = run(largest_sites=1)
    [broken] = result.broken()
    assert "cut off" in str(broken.broken)
    assert broken.dropped == {"broken_input": 1}
    assert broken.notes["records"] == broken.kept == broken.read - 1
    assert 30 < len(texts(tmp_path / "root")) < 50


def test_a_cut_archive_and_no_archive_are_reported_and_the_others_published(run: Run, tmp_path: Path) -> None:
    cut = dump(tmp_path, "a.x.7z", many(50))
    cut.write_bytes(cut.read_bytes()[:-10])
    (tmp_path / "raw" / "b.x.7z").write_bytes(b"<html>404</html>")
    dump(tmp_path, "c.x.xml", [question(1, "whole")])
    result = run()
    first, second = (" ".join(receipt.broken) for receipt in result.broken())
    assert "before the 7z header" in first
    assert "not a 7z archive; it is an HTML page" in second
    assert texts(tmp_path / "root") == ["Q: whole b"]
    assert {drop.rule for drop in ledger(tmp_path / "root").values()} == {"broken_input"}


def test_a_file_that_is_no_dump_inside_is_quarantined(run: Run, tmp_path: Path) -> None:
    dump(tmp_path, "a.x.xml", [{"Title": "no Id"}] * 150)
    dump(tmp_path, "b.x.xml", [question(1, "whole")])
    result = run()
    [entry] = result.quarantined
    assert "150 of 150 records are malformed" in entry.reason
    assert texts(tmp_path / "root") == ["Q: whole b"]


# ------------------------------------------------------------------------------------------------ buckets


@given(
    st.lists(st.tuples(st.integers(0, 7), st.text(max_size=20)), max_size=60),
    st.integers(1, 200),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_records_come_back_in_order_and_the_memory_does_not_show(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[int, str]], flush: int, first: int, end: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "records"
    encode, decode = record_buckets.msgspec.msgpack.encode, record_buckets.msgspec.msgpack.Decoder(list[str]).decode
    written = []
    for memory in (0, 30, 1 << 20):
        with (
            pytest.MonkeyPatch.context() as patch,
            path.open("wb") as file,
            record_buckets.RecordWriter(file, 8, memory) as writer,
        ):
            patch.setattr(record_buckets, "FLUSH_BYTES", flush)
            for bucket, text in records:
                writer.add(bucket, encode(text))
            writer.close()
        written.append(path.read_bytes())
        assert writer.size == sum(len(encode(text)) for _, text in records)
    assert written[0] == written[1] == written[2]
    first, end = min(first, end), max(first, end)
    got = {b: record_buckets.unpack(pieces, decode) for b, pieces in record_buckets.read_packed(str(path), first, end)}
    wanted = {b: [text for bucket, text in records if bucket == b] for b in range(first, end)}
    assert got == {bucket: found for bucket, found in wanted.items() if found}
    assert list(got) == sorted(got)


def test_a_damaged_piece_is_noticed() -> None:
    with pytest.raises(BrokenInput, match="damaged"):
        record_buckets.unpack([b"no zstd frame"], record_buckets.msgspec.json.Decoder(list[int]).decode)


@pytest.mark.parametrize(
    ("name", "size", "buckets"),
    [
        ("a.xml", 1, 16),
        ("a.xml", 100 << 20, 100),
        ("a.7z", 100 << 20, 600),
        ("a.xml.zst", 100 << 20, 600),
        ("a.7z", 20 << 30, 4096),
        ("a.7z", 0, 4096),  # size not known
    ],
)
def test_buckets_of(name: str, size: int, buckets: int) -> None:
    assert buckets_of([RawFile(name, size, "")]) == buckets


@pytest.mark.parametrize(
    ("size", "limit", "ranges"),
    [
        (100, 100, [(0, 16)]),
        (101, 100, [(0, 8), (8, 16)]),
        (300, 100, [(0, 5), (5, 10), (10, 16)]),
        (10_000, 0, [(n, n + 1) for n in range(16)]),
        (0, 100, [(0, 16)]),
    ],
)
def test_bucket_ranges(size: int, limit: int, ranges: list[tuple[int, int]]) -> None:
    assert bucket_ranges(16, size, limit) == ranges


@pytest.mark.parametrize(
    ("sizes", "limit", "groups"),
    [
        ([1, 1, 1], 3, [(0, 3)]),
        ([1, 1, 1, 1], 3, [(0, 3), (3, 4)]),
        ([9, 1, 9], 3, [(0, 1), (1, 2), (2, 3)]),
        ([0, 0, 5], 3, [(0, 3)]),
        ([], 3, [(0, 0)]),
    ],
)
def test_groups(sizes: list[int], limit: int, groups: list[tuple[int, int]]) -> None:
    assert list(stackexchange_threads._groups(sizes, limit)) == groups
