"""Exact dedup over shards: which copy stays, what is a duplicate, and that nothing leaves without an entry."""

from __future__ import annotations

import gzip
import io
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole_root import files_of

from redpajama_data.cli.exact import exact
from redpajama_data.config import load_config, slice_settings
from redpajama_data.corpus import columns
from redpajama_data.corpus.columns import line_lists, measure_texts, read_batches
from redpajama_data.dedup import equal_keys, partitions
from redpajama_data.engine import receipts
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io import lines as line_reader
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import resolve
from redpajama_data.models.tokens import tokenizer_for
from redpajama_data.reports import explanation, root_status
from redpajama_data.whole_run import RunReport, run_parts
from slices.jobs import exact_lines
from slices.jobs.exact import JOB, ExactSettings

Corpus = dict[str, list[bytes]]  # path below the input folder -> lines


def record(text: str, **more: Any) -> bytes:
    return json.dumps({"text": text, **more}, ensure_ascii=False).encode()


def texts(*found: str) -> list[bytes]:
    return [record(text) for text in found]


def write(folder: Path, corpus: Corpus) -> Path:
    for name, lines in corpus.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = b"".join(line + b"\n" for line in lines)
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return folder


def dedup_of(
    root: Path, folder: Path, tokenizer: ModelFile, *, executor: str = "serial", workers: int = 1, **given: Any
) -> RunReport:
    options = {"root": str(root), "executor": executor, "tokenizer": tokenizer.path, "workers": workers}
    config = load_config(None, options)
    settings = slice_settings(ExactSettings, "exact", config, {**given, "input": (str(folder),)}, None)
    return run_parts([(JOB, settings)], config, quiet=True)


def kept(root: Path) -> dict[str, list[bytes]]:
    """What was published, a list of lines a slice."""
    found: dict[str, list[bytes]] = {}
    for path in sorted((root / "exact").rglob("*.jsonl.zst")):
        found.setdefault(path.parent.name, []).extend(path_lines(path))
    return found


def path_lines(path: Path) -> list[bytes]:
    return [line for line in iter_lines(str(path), max_bytes=1 << 30) if isinstance(line, bytes)]


def kept_texts(root: Path) -> dict[str, list[str]]:
    return {name: [json.loads(line)["text"] for line in lines] for name, lines in kept(root).items()}


def ledger(root: Path, folder: Path) -> list[tuple[str, str, Any]]:
    """Every drop: id, rule, measured; ids without the input folder."""
    entries = [
        entry
        for receipt in receipts.load_all(str(root), "exact")
        for role, out in receipt.outputs.items()
        if role == "drops"
        for entry in read_jsonl(str(root / out.path))
    ]
    return [
        (
            e["id"].removeprefix(f"{folder}/"),
            e["rule"],
            e["measured"].removeprefix(f"{folder}/") if isinstance(e["measured"], str) else e["measured"],
        )
        for e in entries
    ]


def check_account(root: Path, report: RunReport, lines: int) -> None:
    """Every line is published or has its entry; every receipt, ledger and checksum agrees."""
    published = sum(len(found) for found in kept(root).values())
    dropped = sum(sum(receipt.dropped.values()) for receipt in report.slices[0].all_receipts())
    assert published + dropped == lines
    assert not [problem for _, problem in root_status.verify(str(root)) if problem]


# ---------------------------------------------------------------------------------------------- documents

THREE: Corpus = {
    "c4/b.jsonl": texts("one", "two", "one", "three"),
    "c4/a.jsonl": texts("zero", "one"),
    "wikipedia/a.jsonl": texts("two", "four", "two", "One", "one "),
}


def test_the_first_copy_stays_within_and_across_shards_and_slices(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", THREE)
    report = dedup_of(tmp_path / "out", folder, tiny_tokenizer)
    assert kept_texts(tmp_path / "out") == {"c4": ["zero", "one", "two", "three"], "wikipedia": ["four", "One", "one "]}
    assert ledger(tmp_path / "out", folder) == [
        ("c4/b.jsonl#0", "duplicate", "c4/a.jsonl#1"),
        ("c4/b.jsonl#2", "duplicate", "c4/a.jsonl#1"),
        ("wikipedia/a.jsonl#0", "duplicate", "c4/b.jsonl#1"),
        ("wikipedia/a.jsonl#2", "duplicate", "c4/b.jsonl#1"),
    ]
    check_account(tmp_path / "out", report, 11)
    receipt = report.slices[0].receipts["keep"][2]
    assert (receipt.read, receipt.kept, receipt.dropped) == (5, 3, {"duplicate": 2})
    assert receipt.tokens == receipt.bytes == receipt.characters == len("fourOneone ")  # one token a byte
    (fate,) = explanation.explain(str(tmp_path / "out"), f"{folder}/wikipedia/a.jsonl#3")
    assert (fate.kept, fate.line) == ("exact/wikipedia/a.jsonl.zst", 2)


def test_what_stays_passes_byte_for_byte(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    odd = [
        b'{"meta": {"b": 1.0e2, "a": [1, 2]},   "text": "a", "more": "\\u00ff"}',
        b'{"text":"\\u0061\\u0301 \\u0000"}',
        b'{"text": "", "meta": null} ',
    ]
    dedup_of(tmp_path / "out", write(tmp_path / "in", {"c4/a.jsonl.gz": odd}), tiny_tokenizer)
    assert kept(tmp_path / "out")["c4"] == odd


def test_texts_are_equal_when_their_characters_are(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    """However JSON spells them; composed and decomposed letters are different characters."""
    spelt = [
        b'{"text": "\xc3\xa9"}',
        b'{"text": "\\u00e9"}',
        b'{"text": "e\xcc\x81"}',
        b'{"text": ""}',
        b'{"text": ""}',
    ]
    folder = write(tmp_path / "in", {"c4/a.jsonl": spelt})
    dedup_of(tmp_path / "out", folder, tiny_tokenizer)
    assert kept(tmp_path / "out")["c4"] == [spelt[0], spelt[2], spelt[3]]


@pytest.mark.parametrize(
    ("priority", "one_stays_in", "two_stays_in"),
    [
        ("", "c4", "c4"),
        ("c4", "c4", "c4"),
        ("wikipedia", "c4", "wikipedia"),
        ("books,wikipedia,c4", "c4", "wikipedia"),  # no shard of books: its place is empty
        ("github,c4,wikipedia", "github", "c4"),
    ],
)
def test_the_copy_in_the_slice_of_highest_priority_stays(
    tmp_path: Path, tiny_tokenizer: ModelFile, priority: str, one_stays_in: str, two_stays_in: str
) -> None:
    folder = write(tmp_path / "in", {**THREE, "github/a.jsonl": texts("g", "one")})
    dedup_of(tmp_path / "out", folder, tiny_tokenizer, priority=priority)
    found = kept_texts(tmp_path / "out")
    assert [name for name, kept in found.items() if "one" in kept] == [one_stays_in]
    assert [name for name, kept in found.items() if "two" in kept] == [two_stays_in]


def test_a_priority_that_nothing_has_is_refused(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", THREE)
    with pytest.raises(UsageError, match=r"--priority wikipeda: no such slice\. The input has c4, wikipedia"):
        dedup_of(tmp_path / "out", folder, tiny_tokenizer, priority="wikipeda")
    assert not (tmp_path / "out").exists(), "what does not go together is said before anything is written"


def test_another_priority_makes_no_keys_again(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", THREE)
    dedup_of(tmp_path / "out", folder, tiny_tokenizer)
    report = dedup_of(tmp_path / "out", folder, tiny_tokenizer, priority="wikipedia")
    assert (report.slices[0].skipped, report.slices[0].done_now) == (4, 4)  # and a shard that loses and keeps the same
    assert kept_texts(tmp_path / "out")["wikipedia"] == ["two", "four", "One", "one "]
    assert ("wikipedia/a.jsonl#2", "duplicate", "wikipedia/a.jsonl#0") in ledger(tmp_path / "out", folder)


# ---------------------------------------------------------------------------------------------- URLs


def test_records_with_the_same_url_are_duplicates_and_those_without_stay(
    tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    address = {"url": "http://a/"}
    lines = [
        record("first", meta=address),
        record("second", meta={"url": "http://A/"}),
        record("same text, no url"),
        record("same text, no url", meta=None),
        record("null", meta={"url": None}),
        record("null", meta={"url": None}),
        record("number", meta={"url": 7}),
        record("list", meta=["http://a/"]),
        record("empty", meta={"url": ""}),
        record("empty", meta={"url": ""}),
    ]
    folder = write(tmp_path / "in", {"c4/a.jsonl": lines, "c4/b.jsonl": [record("later", meta=address), lines[2]]})
    report = dedup_of(tmp_path / "out", folder, tiny_tokenizer, by="url")
    assert kept(tmp_path / "out")["c4"] == [*lines, lines[2]]
    assert ledger(tmp_path / "out", folder) == [("c4/b.jsonl#0", "duplicate_url", "c4/a.jsonl#0")]
    assert [receipt.notes["keys"] for receipt in report.slices[0].receipts["keys"]] == [2, 1]
    check_account(tmp_path / "out", report, 12)


# ---------------------------------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("earlier", "text", "left"),
    [
        ("Menu", "menu\nnews", "news"),
        ("Menu", " \tMENU\u3000\nnews", "news"),
        ("menu\r\nx", "menu\nnews", "news"),
        ("STRASSE ΟΔΟΣ", "strasse οδος\nnews", "news"),  # the last sigma of a word has a form of its own
        ("a  b", "a b\nnews", "a b\nnews"),
        ("menu.", "menu\nnews", "menu\nnews"),
        ("a\nb", "a\u2028b\na\x85b\na\x0bb", "a\u2028b\na\x85b\na\x0bb"),  # a line ends at \n alone
        ("\n \n", "\n\nnews\n", "\n\nnews\n"),
        ("menu", "x\nmenu\ny\nmenu\n", "x\ny\n"),
        ("", "again\nagain\n  Again", "again"),
    ],
)
def test_lines_that_occurred_before_go(
    tmp_path: Path, tiny_tokenizer: ModelFile, earlier: str, text: str, left: str
) -> None:
    folder = write(tmp_path / "in", {"c4/a.jsonl": [record(earlier), record(text, meta={"url": "u"})]})
    report = dedup_of(tmp_path / "out", folder, tiny_tokenizer, by="line")
    first, second = kept(tmp_path / "out")["c4"]
    assert first == record(earlier)
    assert json.loads(second) == {"text": left, "meta": {"url": "u"}}
    (receipt,) = report.slices[0].receipts["keep"]
    assert receipt.notes == {
        "lines_removed": text.count("\n") - left.count("\n"),
        "bytes_removed": len(text.encode()) - len(left.encode()),
    }
    assert receipt.bytes == len((earlier + left).encode())


def test_a_record_without_a_line_left_goes(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    lines = texts("x", "menu\n\nnews", " \n", "", "News\n \nMENU\n", "menu", "news\nlast")
    folder = write(tmp_path / "in", {"c4/a.jsonl": lines})
    report = dedup_of(tmp_path / "out", folder, tiny_tokenizer, by="line")
    assert kept_texts(tmp_path / "out")["c4"] == ["x", "menu\n\nnews", " \n", "", "last"]
    assert ledger(tmp_path / "out", folder) == [
        ("c4/a.jsonl#4", "duplicate_lines", 2),
        ("c4/a.jsonl#5", "duplicate_lines", 1),
    ]
    (fate,) = explanation.explain(str(tmp_path / "out"), f"{folder}/c4/a.jsonl#4")
    assert fate.drop is not None
    assert fate.drop["first_seen"] == f"{folder}/c4/a.jsonl#1"
    (receipt,) = report.slices[0].receipts["keep"]
    assert receipt.notes == {"lines_removed": 4, "bytes_removed": len("News\n \nMENU\n" + "menu" + "news\n")}
    check_account(tmp_path / "out", report, 7)


def test_a_shortened_record_keeps_its_other_fields_as_they_were_written(
    tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    lines = [
        b'{"text": "menu"}',
        b'{"n": 1.00, "text": "menu\\nnews", "odd": "\\/", "deep": ' + b"[" * 300 + b"]" * 300 + b"}",
    ]
    folder = write(tmp_path / "in", {"c4/a.jsonl": lines})
    report = dedup_of(tmp_path / "out", folder, tiny_tokenizer, by="line")
    assert kept(tmp_path / "out")["c4"] == [
        lines[0],
        b'{"n":1.00,"text":"news","odd":"\\/","deep":' + b"[" * 300 + b"]" * 300 + b"}",
    ]
    check_account(tmp_path / "out", report, 2)


@given(text=st.text(alphabet="aB \n\r", max_size=40), size=st.integers(1, 9))
def test_pieces_are_the_text_in_whole_lines(text: str, size: int) -> None:
    found = list(exact_lines.pieces(text, size=size))
    assert "\n".join(found) == text
    assert all(len(piece) >= size for piece in found[:-1])
    assert [line for piece in found for line in exact_lines.normalised_lines(piece)] == [
        line.strip().lower() for line in text.split("\n")
    ]


@given(text=st.text(max_size=30), cut=st.integers(0, 30))
def test_lowering_a_text_lowers_its_lines(text: str, cut: int) -> None:
    """What normalised_lines relies on."""
    text = text[:cut] + "\n" + text[cut:]
    assert text.lower().split("\n") == [line.lower() for line in text.split("\n")]


def plain_lines(corpus: list[str]) -> list[str | None]:
    """What line dedup leaves of texts in order; None for a text that goes."""
    seen: set[str] = set()
    result: list[str | None] = []
    for text in corpus:
        stay, gone = [], False
        for line in text.split("\n"):
            key = line.strip().lower()
            if key and key in seen:
                gone = True
            else:
                stay.append(line)
            seen.add(key)
        left = "\n".join(stay)
        result.append(None if gone and not left.strip() else left)
    return result


SMALL = st.lists(st.lists(st.text(alphabet="aAb \n\u2028é", max_size=8), max_size=5), min_size=1, max_size=3)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shards=SMALL, piece=st.sampled_from([1, 3, 1 << 20]))
def test_lines_equal_the_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: ModelFile, shards: list[list[str]], piece: int
) -> None:
    before = exact_lines.pieces.__kwdefaults__["size"]
    place = tmp_path_factory.mktemp("lines")
    folder = write(place / "in", {f"c4/{n}.jsonl": texts(*shard) for n, shard in enumerate(shards)})
    try:
        exact_lines.pieces.__kwdefaults__["size"] = piece
        report = dedup_of(place / "out", folder, tiny_tokenizer, by="line")
    finally:
        exact_lines.pieces.__kwdefaults__["size"] = before
    expected = [text for text in plain_lines([text for shard in shards for text in shard]) if text is not None]
    assert kept_texts(place / "out")["c4"] == expected
    check_account(place / "out", report, sum(map(len, shards)))


# ---------------------------------------------------------------------------------------------- hostile, restarts


def test_what_is_no_record_is_in_the_ledger_once(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    lines = [
        b'{"text": "\\ud800"}',
        b'{"text": "\\udc00 x"}',
        b'{"text": 7}',
        b"",
        b'{"text": "a\\u0000"}',
        b'{"text": "\xed\xa0\x80"}',
        b'{"text": "deep", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"text": "a\\u0000"}',
        b'{"text": "x", "meta": {"url": "\xff"}}',
    ]
    for by in ("document", "line", "url"):
        folder = write(tmp_path / by / "in", {"c4/a.jsonl": lines})
        report = dedup_of(tmp_path / by / "out", folder, tiny_tokenizer, by=by)
        found = ledger(tmp_path / by / "out", folder)
        assert [int(where[-1]) for where, rule, _ in found if rule == "malformed"] == [0, 1, 2, 3, 5, 6, 8]
        assert [(where, rule) for where, rule, _ in found if rule != "malformed"] == {
            "document": [("c4/a.jsonl#7", "duplicate")],
            "line": [("c4/a.jsonl#7", "duplicate_lines")],
            "url": [],
        }[by]
        check_account(tmp_path / by / "out", report, 9)


def test_a_shard_that_breaks_off_keeps_what_came_before(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", {"c4/a.jsonl.gz": texts(*(f"{n:020d}" for n in range(100_000)))})
    path = folder / "c4/a.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    report = dedup_of(tmp_path / "out", folder, tiny_tokenizer)
    assert report.exit_code() == 3
    ((where, rule, _),) = ledger(tmp_path / "out", folder)
    count = len(kept(tmp_path / "out")["c4"])
    assert (where, rule) == (f"c4/a.jsonl.gz#{count}", "broken_input")
    assert 50_000 < count < 100_000
    check_account(tmp_path / "out", report, count + 1)


def test_a_file_of_another_form_is_quarantined_and_the_others_go_on(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", {"c4/a.jsonl": [b'{"body": "x"}'] * 150, "c4/b.jsonl": texts("x", "x")})
    report = dedup_of(tmp_path / "out", folder, tiny_tokenizer)
    reason = report.slices[0].quarantined[0].reason
    assert "150 of 150 records are malformed" in reason
    assert "Expected JSON lines with a string in 'text'" in reason
    assert kept_texts(tmp_path / "out") == {"c4": ["x"]}


def test_a_shard_that_changes_between_the_stages_is_not_published(
    tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "in", THREE)
    plain = equal_keys.first_wins

    def then_change(*arguments: Any, **named: Any) -> tuple[int, int]:
        counts = plain(*arguments, **named)
        write(folder, {"c4/b.jsonl": texts("one")})
        return counts

    monkeypatch.setattr(equal_keys, "first_wins", then_change)
    report = dedup_of(tmp_path / "out", folder, tiny_tokenizer)
    (entry,) = report.slices[0].quarantined
    assert "c4/b.jsonl: it has changed since this run began" in entry.reason


def mixed_corpus() -> Corpus:
    """Copies at every distance, records of several lines, three slices."""
    words = ["alpha", "beta", "Gamma", "delta\nomega", "menu\nalpha", "x\n\nmenu", "eta"]
    return {
        f"{name}/{shard}.jsonl": texts(
            *(f"{words[(n * 7 + shard) % len(words)]}{n % 5 * (n % 3)}" for n in range(40 + shard))
        )
        for name, shard in itertools.product(("c4", "books", "wikipedia"), range(2))
    }


@pytest.mark.parametrize("by", ["document", "line"])
def test_every_executor_memory_and_restart_gives_the_same_bytes(
    tmp_path: Path, tiny_tokenizer: ModelFile, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "in", mixed_corpus())
    given = {"by": by, "priority": "wikipedia"}
    dedup_of(tmp_path / "serial", folder, tiny_tokenizer, **given)
    expected = files_of(tmp_path / "serial")
    assert any(name.endswith("drops.jsonl.zst") for name in expected)
    for workers in (1, 2):
        root = tmp_path / f"local-{workers}"
        dedup_of(root, folder, tiny_tokenizer, executor="local", workers=workers, **given)
        assert files_of(root) == expected
    for stage in ("keys", "dedup", "keep"):
        first = sorted((tmp_path / "serial/_run/exact" / stage).glob("*.receipt.json"))[0]
        first.unlink()
        report = dedup_of(tmp_path / "serial", folder, tiny_tokenizer, **given)
        assert report.slices[0].done_now == 1
        assert files_of(tmp_path / "serial") == expected
    monkeypatch.setattr(equal_keys, "_BYTES_PER_KEY", 2 << 30)  # a key or two a pass: what a tiny memory does
    assert dedup_of(tmp_path / "serial", folder, tiny_tokenizer, **given).slices[0].done_now == 0
    dedup_of(tmp_path / "tiny", folder, tiny_tokenizer, **given)
    assert files_of(tmp_path / "tiny") == expected
    monkeypatch.setattr(partitions, "ROWS_A_TASK", 4)
    report = dedup_of(tmp_path / "parted", folder, tiny_tokenizer, **given)
    assert len(report.slices[0].receipts["dedup"]) > 32
    parted = files_of(tmp_path / "parted")
    published = [name for name in expected if name.startswith("exact/") or "drops" in name]
    assert {name: parted[name] for name in published} == {name: expected[name] for name in published}


# ---------------------------------------------------------------------------------------------- batches, keys


@given(
    lines=st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    ended=st.booleans(),
    limit=st.sampled_from([1, 3, 1 << 20]),
    step=st.sampled_from([1, 4, 1 << 20]),
)
def test_line_lists_are_the_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], ended: bool, limit: int, step: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.write_bytes(b"\n".join(lines) + (b"\n" if ended else b""))
    before, line_reader._STEP = line_reader._STEP, step
    try:
        found = [line for held, _ in line_lists(str(path), max_bytes=limit) for line in held]
    finally:
        line_reader._STEP = before
    assert found == list(iter_lines(str(path), max_bytes=limit))


@pytest.mark.parametrize(
    ("count", "length", "sizes"),
    [
        (600, 10, [256, 256, 88]),
        (256, 10, [256]),
        (257, 10, [256, 1]),
        (3, 5 << 20, [1, 1, 1]),
    ],
)
def test_batches_are_bounded_by_records_and_by_bytes(tmp_path: Path, count: int, length: int, sizes: list[int]) -> None:
    folder = write(tmp_path, {"c4/a.jsonl": texts(*("x" * length for _ in range(count)))})
    found = list(read_batches(f"{folder}/c4/a.jsonl"))
    assert [len(batch.n) for batch in found if batch.n] == sizes
    assert [n for batch in found for n in batch.n] == list(range(count))


def test_a_damaged_shard_gives_what_came_before_and_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n' * 100_000)[:-200])
    *before, last = read_batches(str(path))
    assert all(batch.broken is None for batch in before)
    assert isinstance(last.broken, BrokenInput)
    assert sum(len(batch.n) for batch in before) > 10_000


def test_a_line_over_the_limit_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MAX_LINE", 20)
    folder = write(tmp_path, {"c4/a.jsonl": texts("short", "x" * 20, "after")})
    (batch,) = read_batches(f"{folder}/c4/a.jsonl")
    assert (batch.n, batch.texts) == ([0, 2], ["short", "after"])
    assert [(n, drop.rule, drop.measured) for n, drop in batch.rejected] == [(1, "max_record_bytes", 32)]
    assert isinstance(next(iter(iter_lines(f"{folder}/c4/a.jsonl", max_bytes=1))), TooLong)


@given(
    keys=st.lists(st.binary(min_size=16, max_size=16), max_size=30),
    step=st.integers(1, 7),
    flush=st.sampled_from([24, 25, 72, 1 << 20]),
)
def test_keys_added_together_are_the_same_bytes(keys: list[bytes], step: int, flush: int) -> None:
    before, equal_keys._FLUSH = equal_keys._FLUSH, flush
    try:
        one, many = io.BytesIO(), io.BytesIO()
        by_one, by_many = equal_keys.KeyWriter(one), equal_keys.KeyWriter(many)
        for n, key in enumerate(keys):
            by_one.add(key, n)
        for n in range(0, len(keys), step):
            part = keys[n : n + step]
            by_many.add_many(b"".join(part), np.arange(n, n + len(part), dtype="<u8"))
        for writer in (by_one, by_many):
            writer.close()
    finally:
        equal_keys._FLUSH = before
    assert by_one.count == by_many.count == len(keys)
    assert one.getvalue() == many.getvalue()


def test_no_keys_can_be_added_together() -> None:
    writer = equal_keys.KeyWriter(io.BytesIO())
    writer.add_many(b"", np.empty(0, "<u8"))
    assert writer.count == 0


HARD = ["a", " ", "   ", "\n", "\u0338", "\u0301", "e", "<|", ">", "<|endoftext|", "endoftext|>", "<|endoftext|>",
        "<|padding|>", "\u0897", "漢", "\u1112", "\u1161", "don't", "12", "\0"]  # fmt: skip


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(st.lists(st.sampled_from(HARD), max_size=5).map("".join), max_size=4))
def test_tokens_counted_together_are_the_sum(neox: str, found: list[str]) -> None:
    tokenizer = tokenizer_for(resolve(neox))
    assert measure_texts(tokenizer, found) == (len("".join(found).encode()), sum(tokenizer.count(found)))


def test_other_tokenizers_and_long_texts_are_counted_one_by_one(
    neox: str, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = tokenizer_for(tiny_tokenizer)
    assert measure_texts(tiny, ["ab", "", "c"]) == (3, 3)
    monkeypatch.setattr(columns, "_TOGETHER", 5)
    monkeypatch.setattr(columns, "_END_OF_TEXT", "would be counted")
    assert measure_texts(tokenizer_for(resolve(neox)), ["one", "two"]) == (6, 2)


# ---------------------------------------------------------------------------------------------- the command


def invoke(arguments: Iterable[object]) -> Any:
    return CliRunner().invoke(exact, [str(argument) for argument in arguments], catch_exceptions=False)


def test_the_command_says_what_went(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", THREE)
    shared = ["--executor", "serial", "--quiet", "--tokenizer", tiny_tokenizer.path]
    done = invoke([folder, "--root", tmp_path / "a", "--priority", "wikipedia,c4", *shared])
    assert done.exit_code == 0, done.output
    assert "exact: 11 records read, 7 documents published" in done.output
    assert "duplicate" in done.output
    done = invoke([folder, "--root", tmp_path / "b", "--by", "line", *shared])
    assert "6 lines removed, 19 bytes of text" in done.output  # two, one, two and One, "one ", one
    done = invoke([folder, "--root", tmp_path / "c", "--by", "url", "--json", *shared])
    assert json.loads(done.output)["slices"][0]["documents"] == 11


def test_the_command_wants_input(tmp_path: Path) -> None:
    assert invoke(["--root", tmp_path]).exit_code == 2
    with pytest.raises(UsageError, match="no input there"):
        invoke([tmp_path / "nothing", "--root", tmp_path / "out"])
