"""Common Crawl end to end: parity with the published scripts on real pages, the same result in any memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from whole_root import files_of

from filters import ccnet_lines
from filters.ccnet import compared_digest, first_of_each_text, kept_records, kept_urls
from redpajama_data.config import SliceSettings
from redpajama_data.dedup import partitions
from redpajama_data.dedup.file_parts import read_rows
from redpajama_data.document import Document, Drop
from redpajama_data.engine import receipts
from redpajama_data.engine.executors import open_executor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import RunSettings, Slice, Stage, StageInput, per_file
from redpajama_data.engine.tasks import TaskContext, Workplace
from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.shards import read_jsonl, read_stored
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import explanation, root_status
from redpajama_data.sample import common_crawl as sample
from slices.common_crawl import SLICE, CommonCrawlSettings, language_models, stages
from slices.parts import crawl_keys, crawl_lines
from slices.parts.crawl_dedup import document_dedup_stages
from slices.parts.crawl_dropped import BY_TEXT, Dropped, dropped_of
from slices.parts.crawl_keys import CrawlKeyWriter
from slices.parts.crawl_layout import crawl_files, crawl_shards

Run = Callable[..., SliceRun]
DUMPS = ("2022-05", "2023-06")
SAMPLE_MODELS = {
    "lm_dir": str(Path(sample.model_paths()["en.sp.model"]).parent),
    "classifier": sample.model_paths()["wikiref.bin"],
}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: ModelFile, shared_data: Path) -> Run:
    """Runs the slice on a folder of dumps, in this process."""

    def go(raw: Path, root: Path, memory: int = 1 << 28, executor: str = "serial", **given: Any) -> SliceRun:
        models = shared_data / "models"
        settings = CommonCrawlSettings(
            **{
                "input": (str(raw),),
                "shards": 2,
                "lid": str(models / "lid.176.ftz"),
                "lm_dir": str(models / "lm_sp"),
                "classifier": str(models / "wikiref.bin"),
                **given,
            }
        )
        inputs = list_inputs(SLICE, settings.input)
        with open_executor(executor, workers=2) as pool:
            quiet = partial(StageProgress, quiet=True)
            return run_slice(
                SLICE, settings, RunSettings(tiny_tokenizer, 0.5), inputs, pool, Workplace(str(root), memory), quiet
            )

    return go


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The two real dumps, each in a folder of its name."""
    folder = tmp_path_factory.mktemp("crawl")
    for dump in DUMPS:
        shutil.copytree(shared_data / "commoncrawl" / dump, folder / dump)
    return folder


@pytest.fixture(scope="session")
def result(run: Run, real: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SliceRun]:
    """Root and account of the run that the expected files describe."""
    root = tmp_path_factory.mktemp("root")
    return root, run(real, root, keep_tail=True)


def published(root: Path) -> list[dict[str, Any]]:
    return [record for path in sorted(root.glob("common_crawl/*")) for record in read_jsonl(str(path))]


def ids_in(path: Path) -> list[str]:
    return [line.decode() for line in iter_lines(str(path), max_bytes=1 << 20) if isinstance(line, bytes)]


def shown(text: str, fields: dict[str, Any]) -> str:
    """A record as the expected files have it: order of fields and printed digits count."""
    return json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "chars": len(text), **fields})


def expected(path: Path) -> list[str]:
    return [json.dumps(json.loads(line)) for line in gzip.decompress(path.read_bytes()).splitlines()]


def mined(root: Path, done: SliceRun, dump: str, name: str) -> list[str]:
    return [
        shown(doc.text, doc.meta)
        for receipt in done.receipts["mine"]
        if receipt.notes["dump"] == dump and f"mined:{name}" in receipt.outputs
        for _, doc in read_stored(str(root / receipt.outputs[f"mined:{name}"].path))
    ]


# ---------------------------------------------------------------- parity


@pytest.mark.parametrize("bucket", ["head", "middle", "tail"])
@pytest.mark.parametrize("dump", DUMPS)
def test_documents_after_ccnet(result: tuple[Path, SliceRun], shared_data: Path, dump: str, bucket: str) -> None:
    wanted = expected(shared_data / "expected" / f"ccnet.{dump}.en_{bucket}.jsonl.gz")
    assert wanted
    assert mined(*result, dump, f"en_{bucket}") == wanted


def test_published_documents(result: tuple[Path, SliceRun], shared_data: Path) -> None:
    fields = ("pred_label", "pred_label_prob", "wiki_prob", "source")
    records = published(result[0])
    wanted = expected(shared_data / "expected" / "common_crawl.jsonl.gz")
    assert [shown(each["text"], {name: each["meta"][name] for name in fields}) for each in records] == wanted
    assert len(wanted) == 92
    assert all(tuple(each) == ("text", "meta") for each in records)
    more = ("url", "date_download", "digest", "dump", "cc_segment", "language", "language_score", "perplexity")
    assert {tuple(each["meta"]) for each in records} == {(*fields, *more, "bucket", "line_ids")}
    for meta in (each["meta"] for each in records):
        assert meta["dump"] == meta["source"].split("/")[1]
        assert f"_{meta['bucket']}_" in meta["source"]
        assert meta["cc_segment"].startswith(f"crawl-data/CC-MAIN-{meta['dump']}/")


def test_every_record_is_accounted_for(result: tuple[Path, SliceRun], real: Path) -> None:
    root, done = result
    assert done.quarantined == []
    assert all(problem is None for _, problem in root_status.verify(str(root)))
    read = sum(receipt.read for receipt in done.receipts["lines"])
    assert read == sum(receipts.sum_drops(done.all_receipts()).values()) + len(published(root))
    assert [status.complete() for status in root_status.status(str(root))] == [True]
    tail = [
        entry for receipt in done.receipts["mine"] for entry in read_jsonl(str(root / receipt.outputs["drops"].path))
    ]
    tail = [entry for entry in tail if entry["rule"] == "bucket_in"]
    assert len(tail) == 124
    assert all(entry["measured"] >= entry["limit"] == 520 for entry in tail)
    [fate] = explanation.explain(str(root), tail[0]["id"])
    assert (fate.stage, fate.drop) == ("mine", tail[0])
    shard = sorted(root.glob("common_crawl/*"))[1]
    ids = root / "_run/common_crawl/publish" / f"2022-05_0001.{shard.name.removesuffix('.jsonl.zst')}.ids.zst"
    [fate] = explanation.explain(str(root), ids_in(ids)[2])
    assert (fate.kept, fate.line) == (f"common_crawl/{shard.name}", 3)


def test_the_same_bytes_in_little_memory_and_on_other_workers(
    run: Run, real: Path, result: tuple[Path, SliceRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, done = result
    # Passes over a few lines each; then, elsewhere, many ranges, and parts and flushes of a few lines.
    small = run(real, tmp_path / "small", memory=1 << 16, keep_tail=True)
    assert files_of(tmp_path / "small") == files_of(root)
    local = run(real, tmp_path / "local", executor="local", keep_tail=True)
    assert files_of(tmp_path / "local") == files_of(root)
    monkeypatch.setattr(crawl_lines, "LINES_A_PART", 500)
    monkeypatch.setattr(partitions, "ROWS_A_FLUSH", 50)
    monkeypatch.setattr(partitions, "ROWS_A_TASK", 400)
    parted = run(real, tmp_path / "parted", keep_tail=True)
    tight = run(real, tmp_path / "tight", memory=1 << 13, keep_tail=True)
    assert files_of(tmp_path / "tight") == files_of(tmp_path / "parted")
    assert len(parted.receipts["line_groups"]) > 2 * len(done.receipts["line_groups"])
    for other in (small, local, parted, tight):
        assert receipts.sum_drops(other.all_receipts()) == receipts.sum_drops(done.all_receipts())
    for place in ("common_crawl", "_run/common_crawl/publish", "_run/common_crawl/mine"):
        for path in sorted((root / place).glob("*.zst")):
            name = path.relative_to(root)
            assert (tmp_path / "parted" / name).read_bytes() == path.read_bytes(), name


LINES_LEFT = {  # repairs: documents and lines that the dedup of lines leaves of the two dumps
    "none": (544, 29_551),
    "keep_first_lines": (562, 32_897),
    "lines_of_dump": (522, 26_118),
    "lines_of_dump,keep_first_lines": (547, 30_277),
}


@pytest.mark.parametrize("repairs", LINES_LEFT)
def test_lines_left_by_the_repairs(
    run: Run, real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repairs: str
) -> None:
    left = [0, 0]
    clean = ccnet_lines._cleaned

    def counted(doc: Document, rule: str, text: str, ids: list[int]) -> Document | Drop:
        left[0] += bool(ids)
        left[1] += len(ids)
        return clean(doc, rule, text, ids)

    monkeypatch.setattr(ccnet_lines, "_cleaned", counted)
    run(real, tmp_path / "large", repairs=repairs)
    assert tuple(left) == LINES_LEFT[repairs]
    run(real, tmp_path / "small", repairs=repairs, memory=1 << 16)
    assert files_of(tmp_path / "small") == files_of(tmp_path / "large")


@pytest.mark.parametrize(("given", "made"), [(1, 1), ("2", 2), ("all", "all"), (0, None), ("none", None), (1.5, None)])
def test_how_many_shards_are_compared(given: Any, made: Any) -> None:
    if made is not None:
        assert CommonCrawlSettings.model_validate({"hash_in_mem": given}).hash_in_mem == made
    else:
        with pytest.raises(ValidationError, match="expected a number of shards, from 1 on, or all"):
            CommonCrawlSettings.model_validate({"hash_in_mem": given})


def test_all_shards_of_a_dump_by_setting_or_repair(run: Run, real: Path, tmp_path: Path) -> None:
    run(real, tmp_path / "all", hash_in_mem="all")
    run(real, tmp_path / "repair", repairs="lines_of_dump")
    assert published(tmp_path / "all") == published(tmp_path / "repair")


def test_a_group_of_all_shards_is_one_large_shard(
    run: Run, real: Path, result: tuple[Path, SliceRun], tmp_path: Path
) -> None:
    run(real, tmp_path / "one", shards=1)
    run(real, tmp_path / "group", shards=2, hash_in_mem=2, memory=1 << 16)
    one, group = published(tmp_path / "one"), published(tmp_path / "group")
    assert one == group
    assert {each["text"] for each in one} != {each["text"] for each in published(result[0])}


# ---------------------------------------------------------------- sample


@pytest.fixture(scope="module")
def sampled(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, SliceRun]:
    """Raw folder, root and account of the embedded sample."""
    raw, root = tmp_path_factory.mktemp("sample"), tmp_path_factory.mktemp("root")
    sample.build(raw)
    return raw, root, run(raw, root, **SAMPLE_MODELS)


def test_planted_records_meet_their_rules(sampled: tuple[Path, Path, SliceRun]) -> None:
    _, root, done = sampled
    planted: Counter[str] = Counter()
    for each in sample.PLANTED:
        planted[each.rule] += each.number
    del planted[""]
    assert receipts.sum_drops(done.all_receipts()) == planted
    urls = Counter(each["meta"]["url"] for each in published(root))
    assert sum(count == 2 for count in urls.values()) == 5  # planted to stay twice
    ledger = [
        entry
        for receipt in done.receipts["publish"]
        if "drops" in receipt.outputs
        for entry in read_jsonl(str(root / receipt.outputs["drops"].path))
    ]
    assert all(entry["measured"].startswith("sha1:") for entry in ledger if entry["rule"] == "kept_urls")
    lines = [each["meta"]["source"].split("/") for each in published(root)]
    order = [(dump, name, int(line.removeprefix("line"))) for _, dump, name, line in lines]
    assert order == sorted(set(order))


@pytest.fixture
def two_files(sampled: tuple[Path, Path, SliceRun], tmp_path: Path) -> Path:
    """One dump of the sample, to be changed."""
    shutil.copytree(sampled[0] / "2022-05", tmp_path / "raw" / "2022-05")
    return tmp_path


def test_a_broken_file_costs_its_rest_only(run: Run, two_files: Path) -> None:
    first, second = sorted((two_files / "raw" / "2022-05").iterdir())
    data = first.read_bytes()
    first.write_bytes(data[: len(data) // 2])
    done = run(two_files / "raw", two_files / "root", **SAMPLE_MODELS, shards=1)
    [broken] = done.broken()
    assert "ends inside a gzip member" in broken.broken[0]
    assert str(first) in broken.broken[0]
    dropped = receipts.sum_drops(done.all_receipts())
    assert dropped["broken_input"] == len(broken.broken) == 2  # this one, and the damaged member of the sample
    ids = [doc_id for path in two_files.glob("root/_run/**/*.ids.zst") for doc_id in ids_in(path)]
    assert {doc_id.split("#")[0] for doc_id in ids} == {str(first), str(second)}
    assert all(problem is None for _, problem in root_status.verify(str(two_files / "root")))


def test_damaged_members_and_bytes_cost_their_record(run: Run, two_files: Path) -> None:
    first, _ = sorted((two_files / "raw" / "2022-05").iterdir())
    data = bytearray(first.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"\x1f\x8b\x08\x00"]
    middle = (starts[3] + starts[4]) // 2
    data[middle : middle + 8] = bytes(8)
    first.write_bytes(bytes(data))
    done = run(two_files / "raw", two_files / "root")
    broken = [message for receipt in done.broken() for message in receipt.broken]
    assert len(broken) == 2  # this one, and the one of the sample
    assert f"(byte {starts[3]})" in broken[0] + broken[1]
    assert receipts.sum_drops(done.receipts["lines"])["broken_input"] == 2


def test_a_shard_of_garbage_is_quarantined_and_the_others_go_on(run: Run, two_files: Path) -> None:
    first, second = sorted((two_files / "raw" / "2022-05").iterdir())
    record = "WARC/1.0\r\nWARC-Type: conversion\r\nA: b\r\nC: d\r\n\r\nE: f\r\nG: h\r\nI: 9\r\n\r\n\xff\r\n"
    first.write_bytes(gzip.compress(record.encode("latin-1") * 200))
    done = run(two_files / "raw", two_files / "root", **SAMPLE_MODELS)
    [entry] = done.quarantined
    assert (entry.stage, entry.inputs) == ("lines", [str(first)])
    assert "200 of 200 records are malformed, all of them" in entry.reason
    assert {each["meta"]["cc_segment"].split("/")[-1] for each in published(two_files / "root")} == {second.name}


def test_languages_without_a_model_fall_into_no_bucket(run: Run, two_files: Path) -> None:
    done = run(two_files / "raw", two_files / "root", languages=("de", "fr"), keep_tail=True)
    entries = [
        entry
        for receipt in done.receipts["mine"]
        for entry in read_jsonl(str(two_files / "root" / receipt.outputs["drops"].path))
        if entry["rule"] == "bucket_in"
    ]
    assert len(entries) == 4
    assert {(entry["measured"], entry["limit"]) for entry in entries} == {("all", "head middle")}
    assert {role for receipt in done.receipts["mine"] for role in receipt.outputs if role.startswith("mined:")} == {
        "mined:de_all",
        "mined:fr_all",
    }
    assert published(two_files / "root") == []


# ---------------------------------------------------------------- layout


def raw_files(*paths: str | Path) -> list[RawFile]:
    return [RawFile(str(path), 1, "") for path in paths]


def test_shards_of_a_dump_with_fewer_files_than_shards() -> None:
    found = crawl_shards(raw_files("/d/2023-06/a.warc.wet.gz", "/d/2023-06/b.warc.wet.gz"), shards=5000)
    assert [(shard.dump, shard.number, len(shard.files)) for shard in found] == [
        ("2023-06", 2499, 1),
        ("2023-06", 4999, 1),
    ]
    assert found[0].segments == ("crawl-data/CC-MAIN-2023-06/segments/0/wet/a.warc.wet.gz",)


def test_shards_of_common_crawls_own_folders() -> None:
    path = "/d/crawl-data/CC-MAIN-2023-06/segments/1674.88/wet/CC-0.warc.wet.gz"
    [shard] = crawl_shards(raw_files(path), shards=1)
    assert (shard.dump, shard.segments) == ("2023-06", (path.removeprefix("/d/"),))


def listing(folder: Path, names: list[str]) -> list[str]:
    lines = [f"crawl-data/CC-MAIN-2022-05/segments/{n}.9/wet/{name}" for n, name in enumerate(names)]
    (folder / "wet.paths.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return lines


def test_a_listing_gives_the_bounds_and_names_what_is_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = listing(tmp_path, [f"{name}.warc.wet.gz" for name in "zyxwvut"])
    files = raw_files(*(tmp_path / f"{name}.warc.wet.gz" for name in "tvxz"))
    found = crawl_shards(files, shards=3, report=True)  # 7 files: z y, x w, v u t
    named = [([Path(raw.path).name[0] for raw in shard.files], shard.segments, shard.absent) for shard in found]
    assert named == [
        (["z"], (lines[0],), (lines[1],)),
        (["x"], (lines[2],), (lines[3],)),
        (["v", "t"], (lines[4], lines[6]), (lines[5],)),
    ]
    assert "3 of the 7 files" in caplog.text
    assert lines[5] in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: listing(folder, ["other.warc.wet.gz"]), r"a\.warc\.wet\.gz is not in wet\.paths\.gz"),
        (lambda folder: (folder / "wet.paths.gz").write_bytes(b"\x1f\x8b nothing"), "damaged"),
    ],
)
def test_listings_that_cannot_be_used(tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    change(tmp_path)
    with pytest.raises(UsageError, match=message):
        crawl_shards(raw_files(tmp_path / "a.warc.wet.gz"), shards=1)


@pytest.mark.parametrize(
    ("one", "other", "dump"),
    [
        ("/a/2023-06", "/b/CC-MAIN-2023-06", "2023-06"),
        # Their published shards would have the same names, and one would be written over the other.
        ("/a/week 6", "/a/week_6", "week_6"),
        ("/a/Week", "/a/week", "week"),
    ],
)
def test_two_folders_of_one_dump_are_refused(one: str, other: str, dump: str) -> None:
    with pytest.raises(UsageError, match=f"both the dump {dump}"):
        crawl_shards(raw_files(f"{one}/a.warc.wet.gz", f"{other}/b.warc.wet.gz"), shards=1)


def test_a_run_with_a_listing(run: Run, two_files: Path) -> None:
    folder = two_files / "raw" / "2022-05"
    names = sorted(path.name for path in folder.iterdir())
    lines = listing(folder, [names[1], "absent.warc.wet.gz", names[0]])
    done = run(two_files / "raw", two_files / "root", **SAMPLE_MODELS)
    assert [(receipt.notes["shard"], receipt.notes.get("absent")) for receipt in done.receipts["lines"]] == [
        (0, None),
        (1, [lines[1]]),
    ]
    segments = list(dict.fromkeys(each["meta"]["cc_segment"] for each in published(two_files / "root")))
    assert segments == [lines[0], lines[2]]


# ---------------------------------------------------------------- document dedup


def keys_work(context: TaskContext, *, path: str, texts: bool) -> None:
    """Stands for ``mine``: a JSON file has the (part, URL, digest, text) of each document of a shard."""
    shard = json.loads(Path(path).read_text())
    counts: dict[str, list[int]] = {}
    with context.file("keys", "keys") as file:
        keys = CrawlKeyWriter(file, texts=texts)
        for n, (part, url, digest, text) in enumerate(shard["documents"]):
            counts.setdefault(part, [0, 1 << 20])[0] += 1
            keys.add(url, digest, list(counts).index(part), n, text)
        keys.close()
    context.records("keys", keys.count)
    context.receipt.notes = {"dump": shard["dump"], "shard": shard["number"], "parts": counts}


def dedup_stages(settings: SliceSettings, run: RunSettings, *, each_record: bool, texts: bool) -> list[Stage]:
    mine = per_file("mine", lambda raw: partial(keys_work, path=raw.path, texts=texts))
    return [mine, *document_dedup_stages(per_file=settings.source_shards, each_record=each_record, texts=texts)]


@pytest.mark.parametrize(("each_record", "texts"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("memory", "rows_a_task"), [(1 << 30, 1 << 22), (1 << 13, 1 << 22), (1, 16)])
@pytest.mark.parametrize(("seed", "per_file"), [(1, 1), (2, 2), (3, None), (4, 3)])
def test_document_dedup_as_the_plain_reading(
    tmp_path: Path,
    tiny_tokenizer: ModelFile,
    seed: int,
    per_file: int | None,
    memory: int,
    rows_a_task: int,
    each_record: bool,
    texts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(seed)
    shards: list[tuple[str, int, list[tuple[str, str, str, str]]]] = []
    for dump in ("a", "b", "c"):
        for number in range(4):
            documents = [
                (
                    chance.choice(("en_head", "en_middle", "de_head")),
                    f"u{chance.randrange(60)}",
                    f"d{chance.randrange(50)}",
                    f"t{chance.randrange(40)}",
                )
                for _ in range(chance.choice((0, 1, 10, 20)))
            ]
            shards.append((dump, number, documents))
            raw = {"dump": dump, "number": number, "documents": documents}
            (tmp_path / f"{len(shards):02}.json").write_text(json.dumps(raw))
    settings = SliceSettings(source_shards=per_file)
    plan = partial(dedup_stages, each_record=each_record, texts=texts)
    dedup = Slice("dedup", "for tests", 1, ("*.json",), SliceSettings, plan)
    monkeypatch.setattr(crawl_keys, "_FLUSH", 500)
    monkeypatch.setattr(partitions, "ROWS_A_TASK", rows_a_task)
    monkeypatch.setattr(partitions, "ROWS_A_FLUSH", 7)
    with open_executor("serial", workers=1) as pool:
        done = run_slice(
            dedup,
            settings,
            RunSettings(tiny_tokenizer, 0.5),
            list_inputs(dedup, [str(tmp_path)]),
            pool,
            Workplace(str(tmp_path / "root"), memory),
            partial(StageProgress, quiet=True),
        )
    assert done.quarantined == []
    assert (len(done.receipts["new_urls"]) > 1) == (rows_a_task == 16)

    places: list[list[tuple[int, int]]] = []  # of the records of each file: their shard, and their number there
    for dump in ("a", "b", "c"):
        for part in ("de_head", "en_head", "en_middle"):
            having = [
                [(rank, n) for n, (name, *_) in enumerate(documents) if name == part]
                for rank, (of, _, documents) in enumerate(shards)
                if of == dump and any(name == part for name, *_ in documents)
            ]
            step = per_file or len(having) or 1
            groups = [having[at : at + step] for at in range(0, len(having), step)]
            places += [[record for records in group for record in records] for group in groups]
    files = [[shards[rank][2][n][1:3] for rank, n in file] for file in places]
    kept = kept_urls(files)
    own = {places[file][place] for file, place in kept_records(files)}
    stay = [
        [(rank, n) for rank, n in file if ((rank, n) in own if each_record else shards[rank][2][n][1] in kept)]
        for file in places
    ]
    first = first_of_each_text([shards[rank][2][n][3] for rank, n in file] for file in stay)
    firsts = {stay[file][place] for file, place in first} if texts else {record for file in stay for record in file}
    assert len(firsts) < sum(map(len, stay)) or not texts
    told = dropped_of(StageInput([], Output("", 0, "", 0), done.receipts))
    assert sum(len(documents) for _, _, documents in shards) > len(kept) > 10
    assert len(told) == len(shards)
    for rank, ((_, _, documents), mined) in enumerate(zip(shards, done.receipts["mine"], strict=True)):
        wanted = [n for n in range(len(documents)) if (rank, n) not in firsts]
        found = numbers_of(tmp_path / "root", told[mined.task])
        assert [n & ~int(BY_TEXT) for n in found] == wanted
        assert [n >= BY_TEXT for n in found] == [any((rank, n) in file for file in stay) for n in wanted]
        parts = list(dict.fromkeys(name for name, *_ in documents))
        assert told[mined.task].counts == [sum(documents[n][0] == name for n in wanted) for name in parts]


def test_records_without_a_digest_are_no_copies(run: Run, real: Path, tmp_path: Path) -> None:
    raw, root = tmp_path / "2022-05", tmp_path / "root"
    raw.mkdir()
    for path in (real / "2022-05").glob("*.warc.wet.gz"):  # the language stands where the digest should
        data = gzip.decompress(path.read_bytes())
        (raw / path.name).write_bytes(
            gzip.compress(re.sub(rb"WARC-Block-Digest: [^\r\n]+", b"WARC-Language: eng", data))
        )
    run(raw, root)
    assert len({record["meta"]["url"] for record in published(root)}) <= 1  # as published: one URL keeps the digest
    run(raw, root, repairs=("kept_records",))
    assert {record["meta"]["digest"] for record in published(root)} == {"eng"}
    assert len({record["meta"]["url"] for record in published(root)}) > 10


@pytest.mark.parametrize(
    ("digest", "compared"), [("sha1:A", "sha1:A"), ("eng", "a#0"), ("text/plain", "a#0"), ("", "a#0")]
)
def test_compared_digest(digest: str, compared: str) -> None:
    assert compared_digest(digest, "a#0") == compared


def numbers_of(root: Path, dropped: Dropped) -> list[int]:
    part = dropped.numbers
    rows = read_rows(str(root / part.path), part, "<u8") if part else ()
    return [n for piece in rows for n in piece.tolist()]


def test_files_hold_four_gibibytes_or_as_many_shards_as_asked_for() -> None:
    size = (1 << 30) // 34 * 100  # 1 GiB compressed
    made = [
        receipts.Receipt(
            "s", "mine", str(rank), "", notes={"dump": "d", "shard": rank, "parts": {"en_head": [1, size]}}, rank=rank
        )
        for rank in range(9)
    ]
    names = [(file.name, [rank for rank, _ in file.parts]) for file in crawl_files(made, per_file=None)]
    assert names == [
        ("d/en_head_0000.json.gz", [0, 1, 2, 3]),
        ("d/en_head_0001.json.gz", [4, 5, 6, 7]),
        ("d/en_head_0002.json.gz", [8]),
    ]
    assert [len(file.parts) for file in crawl_files(made, per_file=5)] == [5, 4]


# ---------------------------------------------------------------- settings


def test_defaults_are_the_published_values() -> None:
    made = CommonCrawlSettings()
    assert (made.languages, made.shards, made.hash_in_mem, made.min_length) == (("en",), 5000, 1, 300)
    assert (made.min_language_score, made.min_wiki_prob) == (0.5, 0.25)


def test_languages_are_codes() -> None:
    assert CommonCrawlSettings.model_validate({"languages": "en, de"}).languages == ("en", "de")
    with pytest.raises(ValueError, match="codes of languages"):
        CommonCrawlSettings.model_validate({"languages": "english"})


def test_missing_models_are_named(tmp_path: Path, tiny_tokenizer: ModelFile, shared_data: Path) -> None:
    lid = str(shared_data / "models" / "lid.176.ftz")
    with pytest.raises(MissingModel, match="rpj train classifier"):
        stages(CommonCrawlSettings(lid=lid, lm_dir=str(tmp_path)), RunSettings(tiny_tokenizer, 0.5))
    with pytest.raises(MissingModel, match="no such folder"):
        language_models(("en",), str(tmp_path / "nothing"))
    assert language_models(("en", "sv"), str(tmp_path)) == {}
    (tmp_path / "en.sp.model").write_bytes(b"")
    with pytest.raises(MissingModel, match=r"en\.arpa\.bin: no such file"):
        language_models(("en",), str(tmp_path))


def test_damaged_language_models_are_found_before_the_first_task(tmp_path: Path, shared_data: Path) -> None:
    whole = shared_data / "models" / "lm_sp"
    for name in ("en.sp.model", "en.arpa.bin"):
        shutil.copy(whole / name, tmp_path / name)
    assert set(language_models(("en",), str(tmp_path))) == {"en"}
    for name in ("en.sp.model", "en.arpa.bin"):
        data = (whole / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(MissingModel, match=r"no model that can be used.*Fetch it again"):
            language_models(("en",), str(tmp_path))
        (tmp_path / name).write_bytes(data)
    shutil.copy(shared_data / "models" / "kenlm_test.arpa", tmp_path / "en.arpa.bin")  # in text: not read as a whole
    assert set(language_models(("en",), str(tmp_path))) == {"en"}


def test_a_changed_classifier_threshold_redoes_the_last_stage_only(
    run: Run, sampled: tuple[Path, Path, SliceRun], tmp_path: Path
) -> None:
    raw, root, first = sampled
    shutil.copytree(root, tmp_path / "root")
    again = run(raw, tmp_path / "root", **SAMPLE_MODELS, min_wiki_prob=0.5)
    assert again.done_now == len(first.receipts["publish"])
    assert len(published(tmp_path / "root")) < len(published(root))
