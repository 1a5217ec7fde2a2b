"""More partitions, shards or parts than a process may open files: each test runs in a process that may open 64."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redpajama_data.dedup import equal_keys
from redpajama_data.dedup.buckets import BucketFile, BucketWriter
from redpajama_data.dedup.gathering import gathered, gathered_each
from redpajama_data.document import Document
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.io import storage
from redpajama_data.io.shards import read_stored
from slices.parts import crawl_mine

FILES = 300
LIMIT = 64
Few = Callable[..., Any]


def _may_open_few() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


@pytest.fixture
def few() -> Iterator[Few]:
    """Calls a function in a process that may open :data:`LIMIT` files."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_may_open_few) as pool:
        yield lambda work, *args: pool.submit(work, *args).result()


def write_buckets(path: Path, rows: np.ndarray[Any, Any], buckets: int) -> str:
    """A file of two flushes with all rows in bucket 1."""
    with storage.whole_file(str(path)) as file:
        writer = BucketWriter(file, buckets, 1 << 20)
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            writer.add_rows(np.ones(len(half), np.int64), half)
        writer.close()
    return str(path)


def all_verdicts(paths: list[str], memory: int) -> list[tuple[int, int, int]]:
    return list(equal_keys.read_verdicts(paths, 1, memory=memory))


def each_of_three(paths: list[str], memory: int) -> list[list[int] | None]:
    return [None if rows is None else rows.tolist() for rows in gathered_each(paths, 0, 3, dtype="<u8", memory=memory)]


def all_hashes(paths: list[str], memory: int) -> list[int]:
    with gathered(paths, 1, dtype="<u8", memory=memory) as rows:
        found: list[int] = rows.tolist()
        return found


@pytest.mark.parametrize("memory", [1, 1 << 12, 1 << 26])
def test_verdicts_of_many_partitions(few: Few, tmp_path: Path, memory: int) -> None:
    paths = []
    for place in range(FILES):
        rows = np.zeros(5, equal_keys.VERDICT_ROW)
        rows["n"] = np.arange(5) * FILES + place
        paths.append(write_buckets(tmp_path / f"{place}", rows, 3))
    assert few(all_verdicts, paths, memory) == [(n, 0, 0) for n in range(5 * FILES)]


@pytest.mark.parametrize("memory", [1, 1 << 12, 1 << 26])
def test_a_bucket_of_many_files(few: Few, tmp_path: Path, memory: int) -> None:
    numbers = [np.arange(5, dtype="<u8") * FILES + place for place in range(FILES)]
    paths = [write_buckets(tmp_path / f"{place}", rows, 3) for place, rows in enumerate(numbers)]
    wanted = np.concatenate(numbers).tolist()
    assert few(all_hashes, paths, memory) == wanted
    assert few(each_of_three, paths, memory) == [[], wanted if 8 * len(wanted) <= memory // 4 else None, []]


def store_languages(root: str, languages: int) -> list[str]:
    """A shard with two documents of each language, in turns."""
    task = Task("common_crawl", "mine", "a", 0, print, "x")
    context = TaskContext(task, Workplace(root, 1 << 26), Receipt("common_crawl", "mine", "a", "x"))
    meta = {"bucket": "head", "url": "u", "digest": "d"}
    names = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(languages)] * 2
    documents = ((n, Document(f"a#{n}", f"text {n}", {"language": name, **meta})) for n, name in enumerate(names))
    with context._stack:
        buckets = crawl_mine.PUBLISHED_BUCKETS
        parts = crawl_mine._store_buckets(
            context, documents, keep_tail=False, buckets=buckets, texts=False, own_digests=False
        )
    assert list(parts) == [f"{name}_head" for name in names[:languages]]
    return [context.upstream(context.receipt.outputs[f"mined:{name}"].path) for name in parts]


def test_a_shard_of_many_languages(few: Few, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawl_mine, "OPEN_PARTS", 200)
    at_once = store_languages(str(tmp_path / "at once"), 150)
    paths = few(store_languages, str(tmp_path / "few"), 150)
    assert [[n for n, _ in read_stored(path)] for path in paths] == [[n, n + 150] for n in range(150)]
    assert [Path(path).read_bytes() for path in paths] == [Path(path).read_bytes() for path in at_once]


def test_lines_that_wait_go_to_disk_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = [Path(path).read_bytes() for path in store_languages(str(tmp_path / "held"), 30)]
    monkeypatch.setattr(crawl_mine, "_FLUSH", 100)
    assert [Path(path).read_bytes() for path in store_languages(str(tmp_path / "spilled"), 30)] == reference


def test_of_a_large_index_no_more_is_read_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows, whether an index is read at once or entry by entry."""
    path = write_buckets(tmp_path / "a", np.arange(10, dtype="<u8"), 1000)
    with BucketFile(path) as whole:
        rows, sizes, spans = list(whole.read(1, 2)), whole.sizes(0, 3).tolist(), whole.spans(0, 1000, 16)
    assert (len(rows), sizes) == (2, [0, 80, 0])
    read: list[int] = []
    monkeypatch.setattr("redpajama_data.dedup.buckets._SMALL_INDEX", 0)
    entries = BucketFile._entries
    monkeypatch.setattr(BucketFile, "_entries", lambda *args: (read.append(args[2]), entries(*args))[1])
    with BucketFile(path) as parts:
        assert list(parts.read(1, 2)) == rows
        assert sum(read) == 4  # two of each flush
        assert (parts.sizes(0, 3).tolist(), parts.spans(0, 1000, 16)) == (sizes, spans)
