"""The job of the quality signals: its files in RedPajama-V2's form, ids, what goes to the ledger, its command."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from filters.signals import quality_signals
from redpajama_data.cli.signals import signals as command
from redpajama_data.config import load_config
from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Receipt
from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import root_status
from redpajama_data.whole_run import RunReport, run_parts
from slices.jobs.signals import JOB, SignalsSettings
from slices.jobs.signals_ids import document_ids, metadata, shard_names

CRAWL = {
    "url": "https://www.example.com/a",
    "dump": "2023-06",
    "cc_segment": "crawl-data/x.warc.wet.gz",
    "language": "en",
    "language_score": 0.97,
    "perplexity": 341.2,
    "bucket": "head",
    "digest": "sha1:AAAA",
}
LINES = [
    json.dumps({"text": "A first line.\nAnd a second…", "meta": CRAWL}).encode(),
    b"not json",
    b'{"text": "a lone \\ud800", "meta": {}}',
    b'{"text": "", "meta": null}',
    b'{"text": "kept", "meta": {"language": 7}}',
    b'{"meta": {"text": "none"}}',
]


def write(path: Path, lines: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def run_job(root: Path, tokenizer: ModelFile, *inputs: Path, executor: str = "serial", **more: Any) -> RunReport:
    config = load_config(None, {"root": str(root), "executor": executor, "tokenizer": tokenizer.path, "workers": 2})
    return run_parts([(JOB, SignalsSettings(input=tuple(map(str, inputs)), **more))], config, quiet=True)


def written(root: Path) -> dict[str, list[dict[str, Any]]]:
    base = root / "signals"
    return {str(path.relative_to(base)): [*read_jsonl(str(path))] for path in sorted(base.rglob("*")) if path.is_file()}


def only_receipt(root: Path) -> Receipt:
    (receipt,) = receipts.load_all(str(root), "signals")
    return receipt


def test_a_line_a_document_in_the_published_form(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shard = write(tmp_path / "in" / "web" / "x.jsonl", LINES)
    assert run_job(tmp_path / "out", tiny_tokenizer, shard).exit_code() == 0
    ((name, documents),) = written(tmp_path / "out").items()
    assert name == "web/x.signals.jsonl.zst"
    assert [document["id"] for document in documents] == ["web/x.jsonl/0", "web/x.jsonl/3", "web/x.jsonl/4"]
    first = documents[0]
    assert list(first) == ["id", "id_int", "metadata", "quality_signals"]
    assert first["id_int"] == int.from_bytes(hashlib.sha1(b"web/x.jsonl/0").digest()[:8], "little")
    assert first["metadata"] == {
        "cc_segment": "crawl-data/x.warc.wet.gz",
        "cc_net_source": "web/x.jsonl",
        "url": "https://www.example.com/a",
        "source_domain": "www.example.com",
        "language": "en",
        "snapshot_id": "2023-06",
    }
    found = first["quality_signals"]
    assert found == json.loads(json.dumps(quality_signals("A first line.\nAnd a second…", CRAWL)))
    assert list(found)[:3] == ["ccnet_language_score", "ccnet_perplexity", "ccnet_bucket"]
    assert found["rps_lines_num_words"] == [[0, 14, 3], [14, 27, 3]]
    assert found["rps_doc_frac_lines_end_with_ellipsis"] == [[0, 27, 0.5]]
    assert documents[1]["quality_signals"]["rps_lines_num_words"] == []
    assert documents[1]["metadata"] == {**dict.fromkeys(first["metadata"]), "cc_net_source": "web/x.jsonl"}


def test_what_is_no_record_goes_to_the_ledger(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shard = write(tmp_path / "x.jsonl", LINES)
    run_job(tmp_path / "out", tiny_tokenizer, shard)
    receipt = only_receipt(tmp_path / "out")
    assert (receipt.read, receipt.kept, receipt.dropped) == (6, 3, {"malformed": 3})
    entries = [*read_jsonl(str(tmp_path / "out" / receipt.outputs["drops"].path))]
    assert [entry["id"] for entry in entries] == [f"{shard}#{n}" for n in (1, 2, 5)]
    assert [problem for _, problem in root_status.verify(str(tmp_path / "out")) if problem] == []


@pytest.mark.parametrize(
    ("settings", "text", "rule"),
    [
        ({"max_characters": 9}, "a" * 9, None),
        ({"max_characters": 9}, "a" * 10, ("max_characters", 10, 9)),
        ({"max_lines": 3}, "a\nbb\ncc", None),
        ({"max_lines": 3}, "a\nbb\ncc\n", None),
        ({"max_lines": 3}, "a\nbb\ncc\nd", ("max_lines", 4, 3)),
    ],
)
def test_texts_that_are_too_large(
    tmp_path: Path, tiny_tokenizer: ModelFile, settings: dict[str, int], text: str, rule: tuple[str, int, int] | None
) -> None:
    shard = write(tmp_path / "x.jsonl", [json.dumps({"text": text}).encode(), b'{"text": ""}'])
    run_job(tmp_path / "out", tiny_tokenizer, shard, **settings)
    receipt = only_receipt(tmp_path / "out")
    found = [
        (entry["rule"], entry["measured"], entry["limit"])
        for role in ["drops"]
        if role in receipt.outputs
        for entry in read_jsonl(str(tmp_path / "out" / receipt.outputs[role].path))
    ]
    assert found == ([rule] if rule else [])
    ((_, documents),) = written(tmp_path / "out").items()
    assert [document["id"].rsplit("/", 1)[1] for document in documents] == (["1"] if rule else ["0", "1"])


def test_equal_bytes_from_any_executor_and_nothing_done_twice(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shards = [
        write(tmp_path / "in" / name, [json.dumps({"text": f"{name} {n}\n" * n}).encode() for n in range(40)])
        for name in ("a/one.jsonl", "a/two.jsonl.gz", "b/one.jsonl")
    ]
    for executor in ("serial", "local"):
        run_job(tmp_path / executor, tiny_tokenizer, tmp_path / "in", executor=executor)
    one, other = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name / "signals").rglob("*.zst")}
        for name in ("serial", "local")
    )
    assert one == other
    assert len(one) == len(shards)
    again = run_job(tmp_path / "serial", tiny_tokenizer, tmp_path / "in").slices[0]
    assert (again.done_now, again.skipped) == (0, 3)
    stop = tmp_path / "stop.json"
    stop.write_text('{"en": ["one"]}')
    changed = run_job(tmp_path / "serial", tiny_tokenizer, tmp_path / "in", stop_words=str(stop))
    assert changed.slices[0].done_now == 3
    documents = written(tmp_path / "serial")["a/one.signals.jsonl.zst"]
    assert documents[1]["quality_signals"]["rps_doc_stop_word_fraction"] == [[0, 14, 0.16666667]]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["out/github/x.jsonl.zst"], ["github/x.jsonl.zst"]),
        (["s3://b/github/x.jsonl", "x.jsonl", "./x2.jsonl"], ["github/x.jsonl", "x.jsonl", "x2.jsonl"]),
        (["/d/2023-06/0000/en_head.json.gz"], ["2023-06/0000/en_head.json.gz"]),
        (["/d/c4/2023-06.json.gz"], ["c4/2023-06.json.gz"]),
        (["a/c4/x", "b/c4/x", "b/c4/y"], ["a/c4/x", "b/c4/x", "c4/y"]),
        (["r/a/c4/x", "s/a/c4/x", "s/b/c4/x"], ["r/a/c4/x", "s/a/c4/x", "b/c4/x"]),
        (["a/2023-06/x", "b/2023-06/x"], ["a/2023-06/x", "b/2023-06/x"]),
        (["/c4/x", "c4/x"], ["/c4/x", "c4/x"]),
    ],
)
def test_names_of_shards(paths: list[str], names: list[str]) -> None:
    assert shard_names(paths) == names


def test_ids_and_snapshot_of_ccnets_layout() -> None:
    ((name, number),) = document_ids("2023-06/0000/en_head.json.gz", [7])
    assert name == "2023-06/0000/en_head.json.gz/7"
    assert number == int.from_bytes(hashlib.sha1(name.encode()).digest()[:8], "little")
    assert metadata({"dump": "2014-15"}, "2023-06/0000/en_head.json.gz")["snapshot_id"] == "2023-06"
    assert metadata({"url": 7, "source_domain": "a.com"}, "c4/2023-06.json.gz") == {
        "cc_segment": None,
        "cc_net_source": "c4/2023-06.json.gz",
        "url": None,
        "source_domain": "a.com",
        "language": None,
        "snapshot_id": None,
    }


@pytest.mark.parametrize("name", ["stop_words", "bad_words", "bad_domains", "classifiers", "dsir"])
def test_lists_that_are_not_there_show_before_the_first_task(
    tmp_path: Path, tiny_tokenizer: ModelFile, name: str
) -> None:
    shard = write(tmp_path / "x.jsonl", LINES)
    with pytest.raises(MissingModel, match="nowhere"):
        run_job(tmp_path / "out", tiny_tokenizer, shard, **{name: str(tmp_path / "nowhere")})
    assert not (tmp_path / "out" / "signals").exists()


DAMAGED = [  # setting, files, what is said
    ("stop_words", {"list.json": b'["the"]'}, "no stop words"),
    ("bad_words", {"words/en": b"\xff\xfe"}, "no list of bad words"),
    ("bad_domains", {"domain_to_category_id.json": b"a.com"}, "domain_to_category_id.json"),
    ("bad_domains", {"domain_to_category_id.json": b'{"a.com": 1, "b.com": 2'}, "domain_to_category_id.json"),
    ("classifiers", {"models/en/wikiref.bin": b"no model"}, "no fastText model"),
    ("dsir", {"d/en/ccnet.en.10.counts.npy": b"x", "d/en/books.en.10.counts.npy": b"x"}, "no array of numpy"),
]


@pytest.mark.parametrize(("name", "files", "said"), DAMAGED)
def test_lists_of_another_form_show_before_the_first_task(
    tmp_path: Path, tiny_tokenizer: ModelFile, name: str, files: dict[str, bytes], said: str
) -> None:
    shard = write(tmp_path / "x.jsonl", LINES)
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    with pytest.raises(MissingModel, match=said):
        run_job(tmp_path / "out", tiny_tokenizer, shard, **{name: str(tmp_path / next(iter(files)).split("/")[0])})
    assert not (tmp_path / "out" / "signals").exists()


def test_no_input(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    with pytest.raises(UsageError, match="no input"):
        run_job(tmp_path / "out", tiny_tokenizer, tmp_path / "none")


def test_the_command(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shard = write(tmp_path / "web" / "x.jsonl", LINES)
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "en").write_text("first\na second\n")
    arguments = [str(shard), "--out", str(tmp_path / "out"), "--tokenizer", tiny_tokenizer.path, "--quiet"]
    arguments += ["--executor", "serial", "--bad-words", str(tmp_path / "words"), "--words", "re", "--siphash", "24"]
    ran = CliRunner().invoke(command, arguments)
    assert ran.exit_code == 0, ran.output
    assert ran.output == f"signals of 3 documents in {tmp_path / 'out'}/signals, 3 lines without (malformed 3)\n"
    first = written(tmp_path / "out")["web/x.signals.jsonl.zst"][0]["quality_signals"]
    assert first["rps_doc_ldnoobw_words"] == [[0, 27, 1.0]]  # "second…" keeps its ellipsis
    ran = CliRunner().invoke(command, [*arguments, "--json"])
    assert json.loads(ran.output) == {
        "root": str(tmp_path / "out"),
        "exit_code": 0,
        "documents": 3,
        "dropped": {"malformed": 3},
        "broken": [],
        "quarantined": [],
    }


def test_signals_of_published_documents(shared_data: Path, tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    """From C4's own shard, without a run before."""
    run_job(tmp_path / "out", tiny_tokenizer, shared_data / "c4")
    ((_, documents),) = written(tmp_path / "out").items()
    with gzip.open(shared_data / "expected" / "rpv2_signals.c4.jsonl.gz") as file:
        expected = [json.loads(line) for line in file]
    assert documents[299]["id"] == "c4/c4-train.00000-of-00001.json.gz/299"
    for document, entry in zip(documents, expected, strict=False):
        assert document["quality_signals"] == entry["quality_signals"]
