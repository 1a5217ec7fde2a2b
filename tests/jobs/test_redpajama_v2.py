"""RedPajama-V2 end to end on the sample: read back by what knows the published layout and nothing of ours."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyarrow import parquet

from filters import minhash_v2
from filters.signals import quality_signals
from redpajama_data import sample
from redpajama_data.cli.redpajama_v2 import redpajama_v2 as command
from redpajama_data.cli.root import count_tokens
from redpajama_data.config import load_config
from redpajama_data.engine import receipts
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports.language_totals import tag_of
from redpajama_data.sample.common_crawl import model_paths
from redpajama_data.whole_run import run_parts
from slices.common_crawl_v2 import SLICE, CommonCrawlV2Settings
from slices.jobs.redpajama_v2 import JOB, RedPajamaV2Settings

LANGUAGES = ("en", "de", "fr", "es", "it")
CCNET = [
    "url", "date_download", "digest", "length", "nlines", "source_domain", "title", "raw_content", "cc_segment",
    "original_nlines", "original_length", "line_ids", "language", "language_score", "perplexity", "bucket",
]  # fmt: skip


# ------------------------------------------------------------------------------------- the published layout, read


def lines_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def load(base: Path, snapshot: str, languages: tuple[str, ...], buckets: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """As the loading script of the published data set: documents with their signals, and whether they are copies."""
    for number in range(5000):
        for language in languages:
            for bucket in buckets:
                tag = f"{snapshot}/{number:04d}/{language}_{bucket}"
                documents = base / f"documents/{tag}.json.gz"
                if not documents.exists():
                    continue
                signals: dict[str, Any] = {}
                copies: set[str] = set()
                if bucket != "tail":
                    signals = {row["id"]: row for row in lines_of(base / f"quality_signals/{tag}.signals.json.gz")}
                    table = parquet.read_table(base / f"duplicates/{tag}.duplicates.parquet", columns=["doc_id"])
                    copies = set(table["doc_id"].to_pylist())
                for row, document in enumerate(lines_of(documents)):
                    doc_id = f"{tag}.json.gz/{row}"
                    yield {
                        "doc_id": doc_id,
                        "raw_content": document.pop("raw_content"),
                        "meta": document,
                        "quality_signals": signals.get(doc_id, {}),
                        "is_duplicate": doc_id in copies,
                    }


# -------------------------------------------------------------------------------------------------------- running


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: ModelFile) -> Path:
    """The slice and the job on the sample's crawl, with the English models for the other languages too."""
    folder = tmp_path_factory.mktemp("v2")
    sample.build(folder / "raw", ["common_crawl"])
    (folder / "lm").mkdir()
    for language in LANGUAGES:
        for ending in ("sp.model", "arpa.bin"):
            shutil.copy(model_paths()[f"en.{ending}"], folder / "lm" / f"{language}.{ending}")
    settings = CommonCrawlV2Settings(input=(str(folder / "raw" / "common_crawl"),), shards=2, lm_dir=str(folder / "lm"))
    run(folder / "root", tiny_tokenizer, [(SLICE, settings), (JOB, RedPajamaV2Settings())])
    return folder / "root"


def run(root: Path, tokenizer: ModelFile, parts: list[Any], executor: str = "serial") -> None:
    options = {"root": str(root), "executor": executor, "workers": 2, "tokenizer": tokenizer.path}
    run_parts(parts, load_config(None, options), quiet=True)


@pytest.fixture(scope="module")
def documents(root: Path) -> list[dict[str, Any]]:
    """Newest dump first, as copies are looked for."""
    base = root / "redpajama_v2"
    return [
        document
        for snapshot in ("2023-06", "2022-05")
        for document in load(base, snapshot, tuple(sorted(LANGUAGES)), ("head", "middle", "tail"))
    ]


def test_the_loader_finds_every_document_that_the_slice_published(root: Path, documents: list[dict[str, Any]]) -> None:
    shards = sorted((root / "common_crawl_v2").iterdir())
    published = [record["text"] for shard in shards for record in read_jsonl(str(shard))]
    assert sorted(document["raw_content"] for document in documents) == sorted(published)
    buckets = {(document["meta"]["language"], document["meta"]["bucket"]) for document in documents}
    assert {("en", "head"), ("en", "middle"), ("en", "tail")} < buckets
    assert {"de", "fr", "es"} <= {language for language, _ in buckets}
    for document in documents:
        file = document["doc_id"].split("/")[2]
        assert file == f"{document['meta']['language']}_{document['meta']['bucket']}.json.gz"


def test_a_document_is_ccnets_record(root: Path) -> None:
    [first, *_] = lines_of(root / "redpajama_v2/documents/2023-06/0000/en_head.json.gz")
    assert list(first) == CCNET
    assert first["digest"].startswith("sha1:")


def test_files_are_the_published_ones_and_no_others(root: Path) -> None:
    base = root / "redpajama_v2"
    found = {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}
    tags = {tag_of(path.name) for path in (root / "common_crawl_v2").iterdir()}
    expected = {f"documents/{tag}.json.gz" for tag in tags}
    for tag in tags:
        if not str(tag).endswith("tail"):
            expected |= {f"quality_signals/{tag}.signals.json.gz", f"minhash/{tag}.minhash.parquet"}
            expected.add(f"duplicates/{tag}.duplicates.parquet")
    assert found == expected
    assert any(str(tag).endswith("tail") for tag in tags)


def test_head_and_middle_have_the_signals_of_their_text(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        if document["meta"]["bucket"] == "tail":
            assert document["quality_signals"] == {}
            continue
        row = document["quality_signals"]
        meta = document["meta"]
        measured = quality_signals(document["raw_content"], meta)
        assert row["quality_signals"] == {name: [list(t) for t in triples] for name, triples in measured.items()}
        digest = hashlib.sha1(document["doc_id"].encode()).digest()
        assert row["id_int"] == int.from_bytes(digest[:8], "little")
        snapshot, number, file, _ = document["doc_id"].split("/")
        assert row["metadata"] == {
            "cc_segment": meta["cc_segment"],
            "cc_net_source": f"{snapshot}/{number}/{file}",
            "url": meta["url"],
            "source_domain": meta["source_domain"],
            "language": meta["language"],
            "snapshot_id": snapshot,
        }


def test_signatures_are_in_the_published_columns(root: Path) -> None:
    tag = "2022-05/0000/en_middle"
    table = parquet.read_table(root / f"redpajama_v2/minhash/{tag}.minhash.parquet")
    thresholds = (1.0, 0.9, 0.8, 0.7)
    assert table.column_names == ["shard_id", "id", "id_int", *(f"signature_sim{t}" for t in thresholds)]
    assert [str(field.type) for field in table.schema][:3] == ["string", "string", "uint64"]
    assert {str(field.type) for field in table.schema if "sim" in field.name} == {"list<element: binary>"}
    texts = [row["raw_content"] for row in lines_of(root / f"redpajama_v2/documents/{tag}.json.gz")]
    assert texts
    for n, (row, text) in enumerate(zip(table.to_pylist(), texts, strict=True)):
        assert (row["shard_id"], row["id"]) == (f"{tag}.json.gz", f"{tag}.json.gz/{n}")
        assert {name: row[name] for name in row if "sim" in name} == minhash_v2.banded(minhash_v2.signature(text))


def copies_of(documents: list[dict[str, Any]]) -> set[str]:
    """The ids whose digest an earlier document of head or middle has."""
    seen: set[str] = set()
    copies = set()
    for document in documents:
        if document["meta"]["bucket"] != "tail":
            if document["meta"]["digest"] in seen:
                copies.add(document["doc_id"])
            seen.add(document["meta"]["digest"])
    return copies


def test_a_copy_is_what_came_before_in_a_newer_dump_or_an_earlier_file(documents: list[dict[str, Any]]) -> None:
    found = {document["doc_id"] for document in documents if document["is_duplicate"]}
    assert copies_of(documents) <= found  # a filter may take others for copies, as it does of none here
    assert len(found) <= len(copies_of(documents)) + 1
    assert found
    assert all(name.startswith("2022-05/") for name in copies_of(documents))


def test_exact_finds_exactly_the_copies_and_names_their_digest(
    root: Path, documents: list[dict[str, Any]], tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    shards = (str(root / "common_crawl_v2"),)
    run(tmp_path / "exact", tiny_tokenizer, [(JOB, RedPajamaV2Settings(input=shards, dedup="exact"))], "local")
    base = tmp_path / "exact" / "redpajama_v2"
    rows = [
        row for path in base.rglob("*.parquet") if "dup" in path.name for row in parquet.read_table(path).to_pylist()
    ]
    assert {row["doc_id"] for row in rows} == copies_of(documents)
    digests = {document["doc_id"]: document["meta"]["digest"] for document in documents}
    for row in rows:
        assert f"sha1:{row['digest']}" == digests[row["doc_id"]]
        assert row["doc_id"].startswith(row["shard_id"] + "/")
    same = [path for path in base.rglob("*") if path.is_file() and "duplicates" not in path.parts]
    assert same
    for path in same:  # of two workers, in another root
        assert path.read_bytes() == (root / "redpajama_v2" / path.relative_to(base)).read_bytes()


def duplicates_of(base: Path) -> set[str]:
    paths = (base / "redpajama_v2" / "duplicates").rglob("*.parquet")
    return {name for path in paths for name in parquet.read_table(path)["doc_id"].to_pylist()}


def test_dumps_in_roots_of_their_own_newest_first_give_what_one_root_gives(
    root: Path, documents: list[dict[str, Any]], tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    shards = {dump: str(root / "common_crawl_v2" / f"*{dump}_*") for dump in ("2023-06", "2022-05")}
    newer, older = tmp_path / "newer", tmp_path / "older"
    given = RedPajamaV2Settings(capacity=1000)
    run(newer, tiny_tokenizer, [(JOB, given.model_copy(update={"input": (shards["2023-06"],)}))])
    after = given.model_copy(update={"input": (shards["2022-05"],), "after": str(newer)})
    run(older, tiny_tokenizer, [(JOB, after)])
    assert duplicates_of(newer) | duplicates_of(older) == copies_of(documents)
    assert duplicates_of(older)
    with pytest.raises(UsageError, match="no filter keys-0000-4096 there"):
        nowhere = after.model_copy(update={"after": str(root)})
        run(tmp_path / "x", tiny_tokenizer, [(JOB, nowhere)])


@pytest.mark.parametrize(
    ("given", "message"),
    [({"after": "x"}, "after needs a capacity"), ({"capacity": 5, "dedup": "exact"}, "capacity is of Bloom filters")],
)
def test_settings_that_do_not_go_together(
    given: dict[str, Any], message: str, root: Path, tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    settings = RedPajamaV2Settings(input=(str(root / "common_crawl_v2"),), **given)
    with pytest.raises(UsageError, match=message):
        run(tmp_path, tiny_tokenizer, [(JOB, settings)])


def test_another_error_rate_redoes_the_dedup_alone(root: Path, tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shards = (str(root / "common_crawl_v2"),)
    go = tmp_path / "again"
    run(go, tiny_tokenizer, [(JOB, RedPajamaV2Settings(input=shards))])
    before = {(r.stage, r.task): r.lineage for r in receipts.load_all(str(go))}
    run(go, tiny_tokenizer, [(JOB, RedPajamaV2Settings(input=shards, error_rate=0.5))])
    changed = {
        stage
        for (stage, task), lineage in before.items()
        for r in receipts.load_all(str(go))
        if (r.stage, r.task) == (stage, task) and r.lineage != lineage
    }
    assert "dedup" in changed
    assert not changed & {"documents", "signals", "minhash"}


def test_a_text_of_too_many_lines_has_no_signals_and_keeps_its_number(
    root: Path, tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    shard = next(path for path in sorted((root / "common_crawl_v2").iterdir()) if "en_head" in path.name)
    texts = [record["text"] for record in read_jsonl(str(shard))]
    most = max(text.count("\n") + 1 for text in texts)
    kept = [n for n, text in enumerate(texts) if text.count("\n") + 1 < most]
    assert 0 < len(kept) < len(texts)
    settings = RedPajamaV2Settings(input=(str(shard),), max_lines=most - 1)
    run(tmp_path, tiny_tokenizer, [(JOB, settings)])
    tag = tag_of(shard.name)
    rows = lines_of(tmp_path / f"redpajama_v2/quality_signals/{tag}.signals.json.gz")
    assert [row["id"] for row in rows] == [f"{tag}.json.gz/{n}" for n in kept]
    assert len(lines_of(tmp_path / f"redpajama_v2/documents/{tag}.json.gz")) == len(texts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("out/common_crawl_v2/00003-2023-06_0017_en_head.jsonl.zst", "2023-06/0017/en_head"),
        ("2014-15_4999_it_tail.jsonl", "2014-15/4999/it_tail"),
        ("out/common_crawl/00000-2022-05_en_head_0000.jsonl.zst", None),
        ("2023-06_0017_en_all.jsonl", None),
        ("out/c4/00000-c4-train.jsonl.zst", None),
    ],
)
def test_the_place_of_a_shard_is_in_its_name(name: str, expected: str | None) -> None:
    assert tag_of(name) == expected


def test_shards_without_a_place_and_two_of_one_place_are_refused(
    root: Path, tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    shard = next((root / "common_crawl_v2").iterdir())
    (tmp_path / "a").mkdir()
    shutil.copy(shard, tmp_path / "a" / shard.name)
    other = tmp_path / "c4.jsonl"
    other.write_text('{"text": "a"}\n')
    with pytest.raises(UsageError, match="Run the slice first: rpj run --slice common_crawl_v2"):
        run(tmp_path / "x", tiny_tokenizer, [(JOB, RedPajamaV2Settings(input=(str(other),)))])
    with pytest.raises(UsageError, match=r"are both 20\d\d-.*Give one of them"):
        both = (str(shard), str(tmp_path / "a"))
        run(tmp_path / "y", tiny_tokenizer, [(JOB, RedPajamaV2Settings(input=both))])


def test_the_command_prints_languages_and_the_totals_stand_beside_the_published(root: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(command, [str(root), "--root", str(tmp_path / "o"), "--quiet", "--dedup", "exact"])
    assert shown.exit_code == 0, shown.output
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:3]] == ["en", "de"]
    as_json = CliRunner().invoke(command, [str(root), "--root", str(tmp_path / "o"), "--dedup", "exact", "--json"])
    found = json.loads(as_json.stdout)["languages"]
    assert found["all"]["documents"] == sum(row["documents"] for name, row in found.items() if name != "all")
    assert json.loads(as_json.stdout)["error_rate"] == 0
    full = CliRunner().invoke(command, [str(root), "--root", str(tmp_path / "f"), "--capacity", "5", "--quiet"])
    assert "of new documents would be taken for copies" in full.stdout
    assert "fuller than asked for: give --capacity" in full.stderr
    table = CliRunner().invoke(count_tokens, [str(root), "--against", "redpajama-v2", "--json"])
    against = json.loads(table.stdout)["against"]
    assert against["languages"]["all"]["published_tokens"] == 30.4e12
    assert against["languages"]["en"]["documents"] == found["en"]["documents"]
    assert against["languages"]["en"]["copies"] == found["en"]["copies"]
    text = CliRunner().invoke(count_tokens, [str(root), "--against", "redpajama-v2"]).stdout
    assert "30.4 T" in text
    assert "Mistral-7B" in text
