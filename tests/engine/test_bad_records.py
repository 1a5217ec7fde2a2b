"""Malformed records and steps that raise: what they cost, when a shard fails, and that no run hides them."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import toy_job

from redpajama_data.cli.output import print_report, print_status
from redpajama_data.config import RunConfig, SliceSettings
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.run_task import Done, Failed, run_task
from redpajama_data.engine.stages import RunSettings, Slice, Stage, per_file
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.errors import BrokenInput, MissingModel, TooManyDefects
from redpajama_data.io.lines import iter_lines
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline import bad_records
from redpajama_data.pipeline.bad_records import DEFECTS_MIN, MALFORMED_MIN, check_shares, isolated
from redpajama_data.pipeline.work import Batched, Steps, publish_work
from redpajama_data.reports import root_status
from redpajama_data.whole_run import RunReport, run_parts
from slices import c4, wikipedia
from slices.jobs import exact


def context_of(read: int, **dropped: int) -> TaskContext:
    task = Task("toy", "clean", "a", 0, lambda _: None, "x")
    context = TaskContext(task, Workplace("nowhere", 1 << 26), Receipt("toy", "clean", "a", "x"))
    context.receipt.read, context.receipt.dropped = read, dropped
    context.receipt.defects = ["no_bang: ValueError: unexpected in a#0"]
    context.files_read, context.max_malformed = ["a"], 0.05
    return context


@pytest.mark.parametrize(
    ("read", "dropped", "error"),
    [
        (0, {}, None),  # an empty file is not all malformed
        (1, {"broken_input": 1}, None),
        (10_000, {"malformed": 500}, None),
        (10_000, {"malformed": 501}, BrokenInput),
        (MALFORMED_MIN, {"malformed": MALFORMED_MIN - 1}, None),  # few, and not all
        (MALFORMED_MIN + 1, {"malformed": MALFORMED_MIN}, BrokenInput),
        (1, {"malformed": 1}, BrokenInput),
        (3, {"malformed": 3}, BrokenInput),
        (4, {"malformed": 3, "broken_input": 1}, BrokenInput),  # all of the records that there were
        (4, {"malformed": 3, "min_words": 1}, None),
        (1000, {"defect": DEFECTS_MIN}, None),
        (999, {"defect": DEFECTS_MIN}, TooManyDefects),
        (DEFECTS_MIN, {"defect": DEFECTS_MIN - 1}, None),
        (1, {"defect": 1}, TooManyDefects),
        (5, {"defect": 3, "malformed": 2}, TooManyDefects),  # nothing else is left
    ],
)
def test_what_a_shard_may_lose(read: int, dropped: dict[str, int], error: type[Exception] | None) -> None:
    context = context_of(read, **dropped)
    if error is None:
        check_shares(context)
    else:
        with pytest.raises(error):
            check_shares(context)


def test_nothing_is_too_malformed_for_who_says_so() -> None:
    context = context_of(3, malformed=3)
    context.max_malformed = 1.0
    check_shares(context)


@pytest.mark.parametrize(("lines", "stops"), [(100, False), (101, True)])
def test_more_refused_records_than_bytes_could_hold_end_the_file(
    tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch, lines: int, stops: bool
) -> None:
    """Half a megabyte of gzip may hold 512 million line ends: whoever sets max_malformed to 1 waits no hour either."""
    monkeypatch.setattr(bad_records, "REJECTED_FREE", 100)
    raw = tmp_path / "a.gz"
    raw.write_bytes(gzip.compress(b"good\n" + b"bad\n" * lines))
    assert raw.stat().st_size < 100 * 4
    done = run_task(task_of(raw, [], tiny_tokenizer, share=1.0), Workplace(str(tmp_path / "root"), 1 << 26))
    if stops:
        assert isinstance(done, Failed)
        assert "over 100 records that are none" in done.reason
    else:
        assert isinstance(done, Done)
        assert done.receipt.dropped == {"malformed": lines}


def test_a_large_file_may_have_many_refused_records(
    tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad_records, "REJECTED_FREE", 100)
    raw = tmp_path / "a.txt"
    raw.write_bytes(b"good\n" + b"bad\n" * 200)
    done = run_task(task_of(raw, [], tiny_tokenizer, share=1.0), Workplace(str(tmp_path / "root"), 1 << 26))
    assert isinstance(done, Done)
    assert done.receipt.dropped == {"malformed": 200}


# ---------------------------------------------------------------------------------------------- steps that raise


def read_words(path: str) -> Iterator[Document | Rejected]:
    """A document a line; a line ``bad`` is malformed."""
    for n, line in enumerate(iter_lines(path, max_bytes=1 << 20)):
        assert isinstance(line, bytes)
        if line == b"bad":
            yield Rejected(f"{path}#{n}", Drop("malformed", f"line {n + 1}"))
        else:
            yield Document(f"{path}#{n}", line.decode(), {})


def raises(doc: Document) -> Document:
    """Raises on a text that begins so."""
    if doc.text.startswith("raise"):
        raise ValueError("unexpected")
    return doc


def raises_on_a_batch(docs: list[Document]) -> list[Document | Drop]:
    """The same of a batch, of which it has changed some already."""
    for doc in docs:
        doc.meta["seen"] = True
        raises(doc)
    return list(docs)


def loses_count(docs: list[Document]) -> list[Document | Drop]:
    """Gives too few back for a batch with such a text."""
    return [doc for doc in docs if not doc.text.startswith("raise")]


def finds_malformed(doc: Document) -> Document | Drop:
    """A step may find out that a record is malformed."""
    return Drop("malformed", "odd HTML") if doc.text == "odd" else doc


def task_of(path: Path, steps: Steps, tokenizer: ModelFile, share: float = 0.05) -> Task:
    work = partial(
        publish_work, path=str(path), reader=read_words, steps=steps, max_malformed=share, tokenizer=tokenizer
    )
    return Task("toy", "publish", "a", 0, work, "x", (str(path),))


@pytest.mark.parametrize("step", [raises, Batched(raises_on_a_batch), Batched(loses_count)])
def test_one_record_that_a_step_cannot_take_costs_itself(tmp_path: Path, tiny_tokenizer: ModelFile, step: Any) -> None:
    raw = tmp_path / "a.txt"
    raw.write_text("\n".join(["raise now" if n == 300 else f"word {n}" for n in range(600)]))
    done = run_task(task_of(raw, [step], tiny_tokenizer), Workplace(str(tmp_path / "root"), 1 << 26))
    assert isinstance(done, Done)
    assert (done.receipt.kept, done.receipt.dropped) == (599, {"defect": 1})
    [named] = done.receipt.defects
    assert named.endswith(f"in {raw}#300")


@pytest.mark.parametrize("step", [raises, Batched(raises_on_a_batch)])
def test_a_step_that_raises_on_every_record_fails_the_shard(
    tmp_path: Path, tiny_tokenizer: ModelFile, step: Any
) -> None:
    raw = tmp_path / "a.txt"
    raw.write_text("raise now\n" * 255)  # less than a batch: it is counted after the last one
    failed = run_task(task_of(raw, [step], tiny_tokenizer), Workplace(str(tmp_path / "root"), 1 << 26))
    assert isinstance(failed, Failed)
    assert "raised on 255 of 255 records" in failed.reason
    assert "ValueError: unexpected" in failed.reason
    assert f"{raw}#0" in failed.reason
    assert not (tmp_path / "root" / "toy").exists() or not list((tmp_path / "root" / "toy").iterdir())


def test_malformed_records_count_after_the_last_batch(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw = tmp_path / "a.txt"
    raw.write_text("odd\n" * 120 + "even\n" * 80)  # one batch, and a step that finds them
    failed = run_task(task_of(raw, [finds_malformed], tiny_tokenizer), Workplace(str(tmp_path / "root"), 1 << 26))
    assert isinstance(failed, Failed)
    assert "120 of 200 records are malformed, more than 5% (first odd HTML in" in failed.reason


@pytest.mark.parametrize("error", [MemoryError(), MissingModel("no model. Fetch it.")])
def test_what_is_not_about_a_record_is_no_defect(error: BaseException) -> None:
    def fails(_: list[str]) -> list[str | Drop]:
        raise error

    with pytest.raises(type(error)):
        isolated(fails, ["a", "b"])


def stages_of(settings: SliceSettings, run: RunSettings) -> list[Stage]:
    def work(raw: Any) -> Callable[[TaskContext], None]:
        return partial(
            publish_work,
            path=raw.path,
            reader=read_words,
            steps=[raises],
            max_malformed=run.max_malformed,
            tokenizer=run.tokenizer,
        )

    return [per_file("publish", work)]


WORDS = Slice("words", "for tests", 1, ("*.txt",), SliceSettings, stages_of)


def run_one(part: Slice, raw: Path, root: Path, tokenizer: ModelFile) -> RunReport:
    config = RunConfig(root=str(root), workers=1, executor="serial", tokenizer=tokenizer.path)
    return run_parts([(part, part.settings(input=(str(raw),)))], config, quiet=True)


def test_one_defect_is_named_by_the_run_and_by_status(
    tmp_path: Path, tiny_tokenizer: ModelFile, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw" / "a.txt"
    raw.parent.mkdir()
    raw.write_text("one two\n" * 20 + "raise now\n")
    named = f"raises: ValueError: unexpected in {raw}#20"
    for _ in range(2):  # the second time there is nothing to do, and as much to say
        report = run_one(WORDS, raw.parent, tmp_path / "root", tiny_tokenizer)
        assert report.exit_code() == 3
        assert report.slices[0].defects() == [f"words/publish/a: {named}"]
    print_report(report, as_json=False)
    assert f"words/publish/a: {named}" in capsys.readouterr().err
    print_report(report, as_json=True)
    assert json.loads(capsys.readouterr().out)["slices"][0]["defects"] == report.slices[0].defects()
    [found] = root_status.status(str(tmp_path / "root"))
    assert not found.complete()
    print_status([found])
    assert f"publish/a: {named}" in capsys.readouterr().out


def one_raises(records: list[Any], *, step: Any) -> list[Any]:
    """A step of a job that raises on one record."""
    if any(record.text == "raise now" for record in records):
        raise KeyError("text")
    return list(step(records))


def test_a_job_leaves_out_the_record_that_its_step_cannot_take(
    tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_job, "min_length", partial(one_raises, step=partial(toy_job.min_length, limit=3)))
    monkeypatch.setattr(toy_job, "partial", lambda step, **_: step)
    shard = tmp_path / "c4" / "a.jsonl"
    shard.parent.mkdir()
    texts = ["one two"] * 300 + ["raise now"] + ["three four"] * 300
    shard.write_text("".join(json.dumps({"text": text, "meta": {}}) + "\n" for text in texts))
    report = run_one(toy_job.JOB, shard, tmp_path / "root", tiny_tokenizer)
    assert report.exit_code() == 3
    [receipt] = report.slices[0].all_receipts()
    assert (receipt.kept, receipt.dropped) == (600, {"defect": 1})
    assert receipt.defects[0].endswith(f"in {shard}#300")


# ---------------------------------------------------------------------------------------------- another format


C4_RECORD = {"text": "One two three. " * 20, "timestamp": "2019-04-25T12:57:54Z", "url": "https://example.com/"}
ODD_PAGE = "<page><name>Town {n}</name><id>{n}</id><revision><id>1</id><text>A town.</text></revision></page>"


def c4_file(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return path


def test_a_json_array_is_not_published_as_nothing(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    record = json.dumps(C4_RECORD)
    raw = c4_file(tmp_path / "raw" / "c4.json.gz", ["[", f"{record},", record, "]"])
    report = run_one(c4.SLICE, raw, tmp_path / "root", tiny_tokenizer)
    # one record is read: the second line of the array has no comma, so it is whole by itself
    assert report.slices[0].all_receipts()[0].kept == 1
    raw = c4_file(tmp_path / "raw" / "c4.json.gz", ["[", f"{record},", f"{record}]"])
    report = run_one(c4.SLICE, raw, tmp_path / "root", tiny_tokenizer)
    [entry] = report.slices[0].quarantined
    assert "3 of 3 records are malformed, all of them" in entry.reason
    assert "a JSON array. Expected one object a line: jq -c" in entry.reason
    assert report.exit_code() == 3


def test_a_few_bad_lines_of_a_small_file_are_left_out(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw = c4_file(tmp_path / "raw" / "c4.json.gz", ["{", "nonsense", json.dumps(C4_RECORD)])
    report = run_one(c4.SLICE, raw, tmp_path / "root", tiny_tokenizer)
    assert report.exit_code() == 0
    assert report.slices[0].all_receipts()[0].dropped == {"malformed": 2}


def test_an_export_of_another_kind_is_named(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    pages = "".join(ODD_PAGE.format(n=n) for n in range(30))
    raw = tmp_path / "enwiki-20230312-pages-articles.xml.bz2"
    raw.write_bytes(bz2.compress(f'<mediawiki version="0.10" xml:lang="en">{pages}</mediawiki>'.encode()))
    report = run_one(wikipedia.SLICE, raw, tmp_path / "root", tiny_tokenizer)
    [entry] = report.slices[0].quarantined
    assert "30 of 30 records are malformed, all of them (first page without title or ns" in entry.reason
    assert "may not be of the format that wikipedia reads" in entry.reason


def test_jobs_say_what_they_expect(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shard = tmp_path / "c4" / "a.jsonl"
    shard.parent.mkdir()
    shard.write_text('{"content": "no text"}\n')
    report = run_one(exact.JOB, shard, tmp_path / "root", tiny_tokenizer)
    [entry] = report.slices[0].quarantined
    assert "1 of 1 records are malformed" in entry.reason
    assert "Expected JSON lines with a string in 'text'" in entry.reason
