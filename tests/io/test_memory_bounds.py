"""Each bound on memory (the table in redpajama_data/io/memory.py): what a process holds at the most while it works.

Every work runs in a process of its own; what counts is how far its resident memory rises above what it had before.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from test_open_files import store_languages, write_buckets

from filters.signals import LINES_MAX
from filters.where import read_condition
from redpajama_data.corpus.columns import read_batches
from redpajama_data.corpus.listing import records_of
from redpajama_data.dedup import equal_keys
from redpajama_data.document import Document
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.run_task import Done, Failed, run_task
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.io import memory
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.shards import LineWriter, read_stored, stored_line
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.work import publish_work, through
from slices import c4
from slices.jobs import filter as filter_job

MB = 1 << 20
LINUX = Path("/proc/self/clear_refs").exists()
pytestmark = pytest.mark.skipif(not LINUX, reason="the peak of a process is read from /proc")

Risen = Callable[..., tuple[Any, int]]


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(field)


def _measured(work: Callable[..., Any], *args: Any) -> tuple[Any, int]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    before = _status("VmRSS")
    result = work(*args)
    return result, _status("VmHWM") - before


@pytest.fixture
def risen() -> Iterator[Risen]:
    """Calls a function in a new process: its result, and by how many bytes the process grew at the most."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda work, *args: pool.submit(_measured, work, *args).result()


def context_at(root: str, bytes_of_task: int = 64 * MB) -> TaskContext:
    task = Task("toy", "clean", "a", 0, print, "x")
    return TaskContext(task, Workplace(root, bytes_of_task), Receipt("toy", "clean", "a", "x"))


# ---------------------------------------------------------------------------------------------- batches


def work_text(doc: Document) -> str:
    """What such a document has in place of a text."""
    text: str = doc.work["sources"]
    return text


def threads_without_text(root: str) -> int:
    documents = ((n, Document(str(n), "", {}, {"sources": "x" * MB})) for n in range(200))
    return sum(1 for _ in through(context_at(root), documents, [lambda doc: doc], work_text))


def test_documents_before_the_steps_are_held_by_what_they_have_in_place_of_a_text(risen: Risen, tmp_path: Path) -> None:
    count, rise = risen(threads_without_text, str(tmp_path))
    assert count == 200
    assert rise < 24 * MB  # 4 M characters and one more document; 200 MB without the bound


# ---------------------------------------------------------------------------------------------- lines


def lines_of(path: str, bytes_of_task: int, most: int | None) -> list[int]:
    with memory.of_task(bytes_of_task):
        return [-line.length if isinstance(line, TooLong) else len(line) for line in iter_lines(path, max_bytes=most)]


def batches_of(path: str, bytes_of_task: int) -> int:
    with memory.of_task(bytes_of_task):
        return sum(len(batch.n) for batch in read_batches(path))


def stored_of(path: str, bytes_of_task: int) -> int:
    with memory.of_task(bytes_of_task):
        return sum(1 for _ in read_stored(path))


def refused(work: Callable[..., Any], *args: Any) -> str:
    try:
        work(*args)
    except MemoryError as error:
        return str(error)
    return "taken"


def zeros(path: Path, size: int) -> str:
    """A compressed line of ``size`` characters, between two short ones."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"text": "a"}\n{"text": "')
        for _ in range(size // MB):
            file.write(b"0" * MB)
        file.write(b'"}\n{"text": "b"}\n')
    return str(path)


@pytest.fixture(scope="module")
def long_line(tmp_path_factory: pytest.TempPathFactory) -> str:
    return zeros(tmp_path_factory.mktemp("lines") / "a.jsonl.gz", 200 * MB)


def test_a_line_that_the_task_has_no_memory_for_is_refused_and_not_held(risen: Risen, long_line: str) -> None:
    for work, args in ((lines_of, (64 * MB, 1 << 30)), (lines_of, (64 * MB, None)), (batches_of, (64 * MB,))):
        message, rise = risen(refused, work, long_line, *args)
        assert "a line of 200 MB" in message
        assert "needs 3200 MB for it, it has 64 MB" in message
        assert rise < 60 * MB, work


def test_a_line_over_the_formats_limit_is_dropped_whatever_the_memory(risen: Risen, long_line: str) -> None:
    for bytes_of_task in (64 * MB, 1 << 40):
        lengths, rise = risen(lines_of, long_line, bytes_of_task, 32 * MB)
        assert lengths == [13, -(200 * MB + 12), 13]
        assert rise < 80 * MB


def test_a_line_that_fits_is_taken(long_line: str) -> None:
    assert lines_of(long_line, 16 * 201 * MB, 1 << 30) == [13, 200 * MB + 12, 13]


def test_lines_up_to_16_mb_are_taken_in_any_memory(tmp_path: Path) -> None:
    path = zeros(tmp_path / "a.jsonl.gz", 15 * MB)
    assert lines_of(path, 1, None) == [13, 15 * MB + 12, 13]
    assert batches_of(path, 1) == 3


def test_an_intermediate_line_has_no_limit_but_memory(risen: Risen, tmp_path: Path) -> None:
    text = random.Random(0).randbytes(50 * MB).hex()  # a zstd frame of zeros alone would come in one step of 100 MB
    with (tmp_path / "shard.jsonl.zst").open("wb") as file:
        out = LineWriter(file, 1)
        out.write(stored_line(0, Document("a#0", text, {})))
        out.close()
    message, rise = risen(refused, stored_of, str(tmp_path / "shard.jsonl.zst"), 64 * MB)
    assert "a line of 100 MB" in message
    assert rise < 60 * MB
    assert stored_of(str(tmp_path / "shard.jsonl.zst"), 1 << 31) == 1


def test_the_task_fails_with_the_memory_it_needs(tmp_path: Path, long_line: str, tiny_tokenizer: ModelFile) -> None:
    work = partial(
        publish_work, path=long_line, reader=c4.read_c4, steps=[], max_malformed=1.0, tokenizer=tiny_tokenizer
    )
    failed = run_task(Task("c4", "publish", "a", 0, work, "x"), Workplace(str(tmp_path), 64 * MB))
    assert isinstance(failed, Failed)
    assert "out of memory (a line of 200 MB in" in failed.reason
    assert failed.reason.endswith("Give the run more --memory or fewer --workers.")


def publish_one(raw: str, root: str, bytes_of_task: int, tokenizer: ModelFile) -> str:
    work = partial(publish_work, path=raw, reader=c4.read_c4, steps=[], max_malformed=1.0, tokenizer=tokenizer)
    done = run_task(Task("c4", "publish", "a", 0, work, "x"), Workplace(root, bytes_of_task))
    assert isinstance(done, Done), done
    return done.receipt.outputs["published"].sha256


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀"])
def test_the_longest_line_that_a_task_takes_fits_into_it(
    risen: Risen, tmp_path: Path, tiny_tokenizer: ModelFile, letter: str
) -> None:
    record = {"text": f"{letter * 63}\n" * (15 * MB // (63 * len(letter.encode()) + 2)), "timestamp": "t", "url": "u"}
    raw = tmp_path / "a.json.gz"
    raw.write_bytes(gzip.compress(json.dumps(record, ensure_ascii=False).encode(), 1))
    _, rise = risen(publish_one, str(raw), str(tmp_path / "root"), 256 * MB, tiny_tokenizer)
    assert rise < 256 * MB


# ---------------------------------------------------------------------------------------------- tables and texts


def count_verdicts(path: str, bytes_of_task: int) -> int:
    return sum(1 for _ in equal_keys.read_verdicts([path], 1, memory=bytes_of_task))


def test_verdicts_take_a_quarter_of_the_memory(risen: Risen, tmp_path: Path) -> None:
    rows = np.zeros(2_000_000, equal_keys.VERDICT_ROW)
    rows["n"] = np.arange(len(rows))
    rows["kept_rank"], rows["kept_n"] = 1 << 20, np.arange(len(rows))
    path = write_buckets(tmp_path / "verdicts", rows, 3)
    count, rise = risen(count_verdicts, path, 32 * MB)
    assert count == len(rows)
    assert rise < 12 * MB  # 150 MB when rows are counted by what they take in the file


def parts_of_a_shard(root: str) -> int:
    return len(store_languages(root, 100))


def test_a_shard_of_many_languages_writes_a_few_at_a_time(risen: Risen, tmp_path: Path) -> None:
    count, rise = risen(parts_of_a_shard, str(tmp_path))
    assert count == 100
    assert rise < 64 * MB


def measure_lines(path: str) -> dict[str, Any]:
    condition = read_condition("rps_doc_word_count > 3", frozenset({"rps_doc_word_count"}))
    [record] = [record for batch in read_batches(path) for record in records_of(batch)]
    return filter_job.measure(condition, record)


def test_a_text_of_line_ends_is_not_measured_line_by_line(risen: Risen, tmp_path: Path) -> None:
    shard = tmp_path / "a.jsonl"
    shard.write_text(json.dumps({"text": "\n" * (10 * MB)}))
    found, rise = risen(measure_lines, str(shard))
    assert found == {"rps_doc_word_count": None}
    assert rise < 150 * MB  # the line, read and decoded; 330 MB more when its lines are measured


def test_a_text_of_a_million_lines_is_measured() -> None:
    condition = read_condition("rps_doc_word_count > 3", frozenset({"rps_doc_word_count"}))
    for lines, value in ((LINES_MAX, 1.0), (LINES_MAX + 1, None)):
        record = filter_job.Record(0, b"", "word" + "\n" * lines, msgspec.Raw(b"{}"))
        assert filter_job.measure(condition, record) == {"rps_doc_word_count": value}
