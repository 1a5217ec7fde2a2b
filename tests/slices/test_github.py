"""GitHub: every rule on both sides of its limit, the reader on hostile records, the published recipe's own result."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filters import code
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.engine import receipts
from redpajama_data.engine.executors import open_executor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import RunSettings
from redpajama_data.engine.tasks import Workplace
from redpajama_data.errors import BrokenInput
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.registry import resolve
from redpajama_data.reports import root_status
from redpajama_data.sample import build
from redpajama_data.sample.github import PLANTED
from slices import github

REPOSITORY = Path(__file__).resolve().parents[2]


# ------------------------------------------------------------------------------------------------ filters


def document(text: str = "x", work: dict[str, Any] | None = None, **meta: Any) -> Document:
    return Document("raw#0", text, meta, work or {})


licence = partial(code.license_starts_with, prefixes=github.LICENSES)
path_not_in = partial(code.path_not_in, names=("LICENSE",), suffixes=(".crt",))
extension = partial(code.extension_in, allowed=github.EXTENSIONS)
longest = partial(code.max_line_length, limit=1000)
average = partial(code.avg_line_length, limit=100)
alnum = partial(code.min_alnum_prop, limit=0.25)
letters = partial(code.min_alpha_per_token, limit=1.5)

KEPT = [
    *((licence, document(license=name)) for name in ("mit", "mit-0", "bsd-2-clause", "bsd", "apache-2.0", "apache")),
    *(
        (path_not_in, document(path=path))
        for path in ("a/LICENSE", "LICENSE.txt", "license", "a.CRT", "crt", "a.crt/b")
    ),
    *((extension, document(path=f"a{ending}")) for ending in github.EXTENSIONS),
    *((extension, document(path=path)) for path in ("myMakefile", "Dockerfile", ".c", "a/b.tar.c++", "x.H")),
    (code.not_empty, document("\n")),
    (longest, document(max_line_length=1000)),
    (longest, document(max_line_length=0)),
    (average, document(avg_line_length=100.0)),
    (alnum, document(alnum_prop=0.25)),
    (letters, document(work={"alpha": 3, "tokens": 2})),
]
DROPPED = [
    *(
        (licence, document(license=name), ("license_starts_with", shown, "mit,bsd,apache"))
        for name, shown in [("gpl-2.0", "gpl-2.0"), ("MIT", "MIT"), (" mit", " mit"), ("", ""), (None, None), (7, None)]
    ),
    (licence, document(), ("license_starts_with", None, "mit,bsd,apache")),
    *(
        (path_not_in, document(path=path), ("path_not_in", path, "LICENSE,.crt"))
        for path in ("LICENSE", "a.crt", "a/b/.crt")
    ),
    *(
        (extension, document(path=path), ("extension_in", path, None))
        for path in (
            "GNUmakefile",
            "Foo.PY",
            "a.json",
            "a.yml",
            "a.txt",
            "a.R",
            "a.swift",
            "a.kt",
            "a",
            "",
            "a.py ",
            "py",
        )
    ),
    (code.not_empty, document(""), ("not_empty", 0, 1)),
    (longest, document(max_line_length=1001), ("max_line_length", 1001, 1000)),
    (average, document(avg_line_length=100.01), ("avg_line_length", 100.01, 100)),
    (alnum, document(alnum_prop=0.2499), ("min_alnum_prop", 0.2499, 0.25)),
    (letters, document(work={"alpha": 299, "tokens": 200}), ("min_alpha_per_token", 1.495, 1.5)),
]


@pytest.mark.parametrize(("rule", "doc"), KEPT)
def test_rules_keep(rule: Callable[[Document], Document | Drop], doc: Document) -> None:
    assert rule(doc) is doc


@pytest.mark.parametrize(("rule", "doc", "drop"), DROPPED)
def test_rules_drop_with_rule_measure_and_limit(
    rule: Callable[[Document], Document | Drop], doc: Document, drop: tuple[Any, ...]
) -> None:
    assert rule(doc) == Drop(*drop)


def test_the_defaults_are_the_published_values() -> None:
    chosen = github.GithubSettings.model_validate({})
    assert (chosen.max_line_length, chosen.avg_line_length) == (1000, 100)
    assert (chosen.min_alnum_prop, chosen.min_alpha_per_token) == (0.25, 1.5)
    assert len(github.EXTENSIONS) == len(set(github.EXTENSIONS)) == 66


STRIPPED = [
    ("#!/bin/sh\n# a\n\necho\n", "echo\n"),
    ("-- a\n--b\nSELECT 1", "SELECT 1"),
    ("//\n#\n--\n\n x", " x"),
    ("# a\r\n\r\nb", "\r\nb"),  # a line of "\r" is not empty
    (" # indented", " # indented"),
    ("# only", ""),
    ("", ""),
    ("\n\n", ""),
    ("/* Copyright 1 */\nint a;", "\nint a;"),  # the newline after the block stays
    ("/* COPYRIGHT */", ""),
    ("a\n/* copyright */b", "a\nb"),  # anywhere in the file
    ("// copyright\n/* other */ a", "// copyright\n/* other */ a"),  # a block comment saves the line comments
    ("/* one */ /* copyright */", "/* one */ /* copyright */"),  # only the first block is looked at
    ("/* copyright", "/* copyright"),
    ("# a\n/* copyright", "/* copyright"),  # no end: no block comment
    ("/*/ copyright */x", "x"),  # "/*/" is not a whole comment
    ("/**copyright**/x", "x"),
]


@pytest.mark.parametrize(("text", "left"), STRIPPED)
def test_headers(text: str, left: str) -> None:
    assert code.strip_copyright_header(document(text)).text == left == strip_as_written(text)


def strip_as_written(text: str) -> str:
    """The recipe's two sentences on headers, word by word."""
    comment = re.search(r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/", text)
    if comment:
        return text.replace(comment[0], "", 1) if "copyright" in comment[0].lower() else text
    lines = text.split("\n")
    while lines and (lines[0].startswith(("//", "#", "--")) or lines[0] == ""):
        del lines[0]
    return "\n".join(lines)


PIECES = st.sampled_from(
    ["/*", "*/", "/", "*", "\n", "\r", " ", "#", "-", "--", "//", "copyright", "CopyRight", "copy", "a"]
)
SOURCE = st.one_of(st.lists(PIECES, max_size=14).map("".join), st.text("/*\n #-ac opyrightCO", max_size=24))


@given(SOURCE)
@example("/*/")
@example("/* */ copyright */")
def test_headers_as_the_recipe_is_written(text: str) -> None:
    assert code.strip_copyright_header(document(text)).text == strip_as_written(text)


def test_headers_take_linear_time() -> None:
    """The published expression needs 2 s of CPU for this text and four times as much for twice the length."""
    text = "/* a * b " * 4000
    start = time.process_time()
    assert code.strip_copyright_header(document(text)).text == text
    assert time.process_time() - start < 0.2


LINE_ENDS = st.text("ab1 ٣é_-\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029\x00", max_size=30)


@given(LINE_ENDS)
def test_statistics_as_the_recipe_is_written(text: str) -> None:
    doc = code.measure_lines(document(text, {"content_hash": "h"}, path="p"))
    lines = text.splitlines()
    assert doc.meta == {
        "content_hash": "h",
        "timestamp": "",
        "source": "github",
        "line_count": len(lines),
        "max_line_length": max(map(len, lines), default=0),
        "avg_line_length": len(text) / len(lines) if lines else 0,
        "alnum_prop": sum(map(str.isalnum, text)) / len(text) if text else 0,
        "path": "p",
    }
    assert doc.work["alpha"] == sum(map(str.isalpha, text))


def test_statistics_of_nothing_are_whole_zeros() -> None:
    meta = code.measure_lines(document("", {"content_hash": "h"})).meta
    assert json.dumps(meta).endswith('"line_count": 0, "max_line_length": 0, "avg_line_length": 0, "alnum_prop": 0}')


def test_an_input_field_of_the_same_name_takes_the_value_but_not_the_place() -> None:
    doc = document("ab\n", {"content_hash": "h"}, z=1, alnum_prop=0.9, path="p", source="theirs", a=2)
    assert json.dumps(code.measure_lines(doc).meta) == (
        '{"content_hash": "h", "timestamp": "", "source": "theirs", "line_count": 1, "max_line_length": 2, '
        '"avg_line_length": 3.0, "alnum_prop": 0.9, "z": 1, "path": "p", "a": 2}'
    )


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_the_key_is_the_content_hash(text: str) -> None:
    doc = code.content_hash(document(text))
    assert doc.work["content_hash"] == hashlib.md5(text.encode()).hexdigest()
    assert code.content_key(doc).hex() == doc.work["content_hash"]


# ------------------------------------------------------------------------------------------------ reader


GOOD = b'{"path": "a.py", "content": "x"}'
OBJECT, STRINGS = "a JSON object in UTF-8", "content and path as strings"


def nested(levels: int) -> bytes:
    return b'{"path": "a.py", "license": "mit", "content": "x", "deep": ' + b"[" * levels + b"]" * levels + b"}"


RECORDS: list[tuple[bytes, str | tuple[str, str | None, str | None]]] = [
    (GOOD, "x"),
    (b'{"content": "\\u0000\\ud83d\\ude00", "path": ""}', "\x00😀"),
    (b'{"path": "a", "content": "", "path": "b"}', ""),
    (b'  {"path": "a", "content": "x"}\r', "x"),
    (b'{"path": "a.py", "content": null}', ("content_not_null", None, "a string")),
    (b'{"path": "a.py"}', ("content_not_null", None, "a string")),
    (b"{}", ("content_not_null", None, "a string")),
    (b'{"content": "x"}', ("malformed", "content: str, path: NoneType", STRINGS)),
    (b'{"path": null, "content": "x"}', ("malformed", "content: str, path: NoneType", STRINGS)),
    (b'{"path": 7, "content": "x"}', ("malformed", "content: str, path: int", STRINGS)),
    (b'{"path": "a", "content": ["x"]}', ("malformed", "content: list, path: str", STRINGS)),
    (b'{"path": "a", "content": 0}', ("malformed", "content: int, path: str", STRINGS)),
    (b"", ("malformed", "", OBJECT)),
    (b" ", ("malformed", "", OBJECT)),
    (GOOD[:-1], ("malformed", "", OBJECT)),
    (GOOD + GOOD, ("malformed", "", OBJECT)),
    (b"not json", ("malformed", "", OBJECT)),
    (b"null", ("malformed", "", OBJECT)),
    (b'["a"]', ("malformed", "array", OBJECT)),
    (b'"a"', ("malformed", "", OBJECT)),
    (b'{"path": "a", "content": NaN}', ("malformed", "", OBJECT)),
    (b'{"path": "a", "content": "\xff"}', ("malformed", "utf-8", OBJECT)),
    (b'{"path": "a", "content": "\xed\xa0\x80"}', ("malformed", "utf-8", OBJECT)),  # a surrogate in UTF-8
    (b'{"path": "\xff", "content": "x"}', ("malformed", "utf-8", OBJECT)),
    (b'{"\xff": "a", "path": "a", "content": "x"}', ("malformed", "utf-8", OBJECT)),
    (b'{"path": "a", "content": "\\ud800"}', ("malformed", "", OBJECT)),  # half of a surrogate pair
    (b'{"path": "a", "content": "\\udc00\\ud800"}', ("malformed", "surrogate", OBJECT)),
    (b'{"path": "a", "content": "a\x00b"}', ("malformed", "", OBJECT)),  # a raw NUL
    (b"\x00" * 40, ("malformed", "", OBJECT)),
    (b"\xef\xbb\xbf{" + GOOD, ("malformed", "", OBJECT)),
    (nested(64), "x"),
    (nested(65), ("malformed", "deeply nested", "64 levels")),
    (nested(700), ("malformed", "deeply nested", "64 levels")),
    (nested(100_000), ("malformed", "recursion", OBJECT)),
    (b'{"path": "a", "content": "' + b"x" * 300_000 + b'"}', ("max_record_bytes", "300028", "250000")),
    (GOOD, "x"),
]


def write_gz(path: Path, lines: list[bytes]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines), 1, mtime=0))
    return str(path)


def test_the_reader_says_of_every_record_what_became_of_it(tmp_path: Path) -> None:
    path = write_gz(tmp_path / "github_0.gz", [record for record, _ in RECORDS])
    found = list(github.read_bigquery(path, max_record_bytes=250_000))
    assert len(found) == len(RECORDS)
    for n, (result, (raw, expected)) in enumerate(zip(found, RECORDS, strict=True)):
        assert result.id == f"{path}#{n}"
        if isinstance(expected, str):
            assert isinstance(result, Document), raw[:80]
            assert (result.text, "content" in result.meta) == (expected, False)
            continue
        assert isinstance(result, Rejected), raw[:80]
        rule, part, limit = expected
        assert (result.drop.rule, str(result.drop.limit)) == (rule, limit), raw[:80]
        if rule == "malformed":
            assert str(result.drop.measured).startswith(f"line {n + 1}: ")
        assert part is None or part.lower() in str(result.drop.measured).lower(), raw[:80]


def test_meta_is_the_rest_of_the_record_in_its_order(tmp_path: Path) -> None:
    line = b'{"z": [1, 2.50], "content": "x", "path": "a", "b": {"y": null, "a": true}, "size": "07"}'
    [doc] = github.read_bigquery(write_gz(tmp_path / "github_0.gz", [line]), max_record_bytes=1000)
    assert isinstance(doc, Document)
    assert json.dumps(doc.meta) == '{"z": [1, 2.5], "path": "a", "b": {"y": null, "a": true}, "size": "07"}'


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    """A gzip file of nothing is whole; a file of no bytes is a download that went wrong."""
    whole, empty = tmp_path / "github_0.gz", tmp_path / "github_1.gz"
    whole.write_bytes(gzip.compress(b"", mtime=0))
    empty.write_bytes(b"")
    assert list(github.read_bigquery(str(whole), max_record_bytes=1000)) == []
    with pytest.raises(BrokenInput, match="an empty file"):
        list(github.read_bigquery(str(empty), max_record_bytes=1000))


def test_the_last_line_may_lack_its_end(tmp_path: Path) -> None:
    (tmp_path / "github_0.jsonl").write_bytes(GOOD + b"\n" + GOOD)
    assert len(list(github.read_bigquery(str(tmp_path / "github_0.jsonl"), max_record_bytes=1000))) == 2


READ_AND_MEASURE = """
import sys
from slices import github
from redpajama_data.document import Document

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

before = peak()
for record in github.read_bigquery(sys.argv[1], max_record_bytes=github.GithubSettings().max_record_bytes):
    print(record.text if isinstance(record, Document) else record.drop)
print((peak() - before) // 1024)
"""


def test_a_record_of_200_megabytes_is_a_drop_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "github_0.gz"
    start, middle, end = GOOD + b'\n{"path": "a.py", "content": "', b"x" * (1 << 20), b'"}\n' + GOOD + b"\n"
    path.write_bytes(gzip.compress(start) + gzip.compress(middle) * 200 + gzip.compress(end))
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_MEASURE, path],
        capture_output=True, text=True, timeout=120, check=True, cwd=REPOSITORY,
    )  # fmt: skip
    *records, megabytes = done.stdout.splitlines()
    size = (200 << 20) + len('{"path": "a.py", "content": ""}')
    assert records == ["x", f"Drop(rule='max_record_bytes', measured={size}, limit={32 << 20})", "x"]
    assert int(megabytes) < 100  # the longest record that is let through, its copy and the decompressor's buffers


# ------------------------------------------------------------------------------------------------ the whole slice


def run_github(
    raw: Path, root: Path, neox: str, executor: str = "serial", *, max_malformed: float = 0.5, **settings: Any
) -> SliceRun:
    made = github.GithubSettings(input=(str(raw),), code_tokenizer=neox, **settings)
    run = RunSettings(resolve(neox), max_malformed)
    inputs = list_inputs(github.SLICE, made.input)
    with open_executor(executor, workers=1) as pool:
        place = Workplace(str(root), 1 << 28)
        return run_slice(github.SLICE, made, run, inputs, pool, place, partial(StageProgress, quiet=True))


def published(root: Path) -> list[dict[str, Any]]:
    return [record for path in sorted(root.glob("github/*.zst")) for record in read_jsonl(str(path))]


def drops(root: Path) -> Counter[tuple[str, Any, Any]]:
    ledgers = root.glob("_run/github/*/*.drops.jsonl.zst")
    return Counter((d["rule"], d["measured"], d["limit"]) for path in ledgers for d in read_jsonl(str(path)))


def test_parity_with_the_published_scripts(shared_data: Path, tmp_path: Path, neox: str) -> None:
    result = run_github(shared_data / "github", tmp_path, neox)
    ours = [
        (hashlib.sha256(record["text"].encode()).hexdigest(), len(record["text"]), json.dumps(record["meta"]))
        for record in published(tmp_path)
    ]
    with gzip.open(shared_data / "expected" / "github.jsonl.gz", "rt") as file:
        theirs = [(r["sha256"], r["chars"], json.dumps(r["meta"])) for r in map(json.loads, file)]
    assert len(theirs) == 2039
    assert ours == theirs
    read = sum(receipt.read for receipt in result.receipts["clean"])
    assert (read, sum(receipts.sum_drops(result.all_receipts()).values())) == (3206, 3206 - 2039)


def test_the_sample_drops_what_was_planted_by_the_rule_it_was_planted_for(tmp_path: Path, neox: str) -> None:
    build(tmp_path / "raw", ["github"])
    result = run_github(tmp_path / "raw" / "github", tmp_path / "root", neox)
    planted: Counter[str] = Counter()
    for row in PLANTED:
        planted[row.rule] += row.number
    del planted[""]
    assert receipts.sum_drops(result.all_receipts()) == planted
    read = sum(receipt.read for receipt in result.receipts["clean"])
    assert len(published(tmp_path / "root")) == read - planted.total() > 250
    assert result.quarantined == []
    assert all(problem is None for _, problem in root_status.verify(str(tmp_path / "root")))
    ledger = drops(tmp_path / "root")
    assert ledger["max_line_length", 1001, 1000] == 1  # the planted lines just over a limit
    assert ledger["avg_line_length", 101.0, 100.0] == 2


def test_a_threshold_is_a_setting(tmp_path: Path, neox: str) -> None:
    lines = [json.dumps({"path": "a.py", "license": "mit", "content": "word " * n + "\n"}).encode() for n in (1, 2, 3)]
    write_gz(tmp_path / "raw" / "github_0.gz", lines)
    run_github(tmp_path / "raw", tmp_path / "root", neox, max_line_length=10)
    assert [record["text"].split() for record in published(tmp_path / "root")] == [["word"], ["word"] * 2]
    assert drops(tmp_path / "root") == {("max_line_length", 15, 10): 1}


BODY = "import sums\nsums.add_all_of_them()\n"
# Two files, (path, content) each, and the paths of those that stay: as published, and with the repaired key.
PAIRS = [
    ("year", ("a.py", f"# Copyright 2015 A\n{BODY}"), ("b.py", f"# Copyright 2016 A\n{BODY}"), "ab", "a"),
    ("licence", ("a.py", f"# MIT licence\n{BODY}"), ("b.py", f"# Apache licence\n{BODY}"), "ab", "a"),
    ("no licence", ("a.py", f"# Sums.\n{BODY}"), ("b.py", f"# Adds.\n{BODY}"), "ab", "ab"),
    ("windows line ends", ("a.py", BODY), ("b.py", BODY.replace("\n", "\r\n")), "ab", "a"),
    ("blanks at the end", ("a.py", BODY), ("b.py", f"{BODY} \n\n"), "ab", "a"),
    ("blanks in a line", ("a.py", BODY), ("b.py", BODY.replace("\n", " \n")), "ab", "ab"),
    ("ending not on the list", ("a.nosuch", BODY), ("b.py", BODY), "", "b"),
    ("ending on the list", ("a.py", BODY), ("b.nosuch", BODY), "a", "a"),
    ("equal", ("a.py", BODY), ("b.py", BODY), "a", "a"),
]


@pytest.mark.parametrize(("one", "other", "kept", "repaired"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_which_of_two_files_stays(
    tmp_path: Path, neox: str, one: tuple[str, str], other: tuple[str, str], kept: str, repaired: str
) -> None:
    lines = [json.dumps({"path": path, "license": "mit", "content": text}).encode() for path, text in (one, other)]
    write_gz(tmp_path / "raw" / "github_0.gz", lines)
    for repairs, left in (((), kept), (("cut_licence_header", "cleaned_key"), repaired)):
        run_github(tmp_path / "raw", tmp_path / "root", neox, repairs=repairs)
        assert "".join(record["meta"]["path"][0] for record in published(tmp_path / "root")) == left


HOSTILE = [
    b'"big": 123456789012345678901234567890123456789',  # beyond 64 bits: JSON has no limit, encoders do
    b'"max_line_length": "long"',
    b'"avg_line_length": null',
    b'"text": "x", "meta": {}, "": "", "n": 1, "work": [], "id": 5',
]


@pytest.mark.parametrize("field", HOSTILE, ids=range(len(HOSTILE)))
def test_one_hostile_record_costs_itself_at_most(tmp_path: Path, neox: str, field: bytes) -> None:
    plain = [b'{"path": "a.py", "license": "mit", "content": "def %s(): pass"}' % name for name in (b"one", b"two")]
    write_gz(
        tmp_path / "raw" / "github_0.gz",
        [plain[0], plain[1].replace(b"two", b"odd")[:-1] + b", " + field + b"}", plain[1]],
    )
    result = run_github(tmp_path / "raw", tmp_path / "root", neox)
    assert result.quarantined == []
    texts = [record["text"] for record in published(tmp_path / "root")]
    assert texts in (["def one(): pass", "def two(): pass"], ["def one(): pass", "def odd(): pass", "def two(): pass"])
    assert drops(tmp_path / "root").total() == 3 - len(texts)


def test_nesting_near_the_interpreters_limit_drops_the_same_in_every_process(tmp_path: Path, neox: str) -> None:
    """Where the decoder gives up depends on the depth of the call; the rule must not."""
    write_gz(tmp_path / "raw" / "github_0.gz", [nested(levels) for levels in range(900, 1000)])
    counts = []
    for executor in ("serial", "local"):
        result = run_github(tmp_path / "raw", tmp_path / executor, neox, executor, max_malformed=1.0)
        counts.append((receipts.sum_drops(result.all_receipts()), len(result.quarantined)))
    assert counts == [({"malformed": 100}, 0)] * 2
