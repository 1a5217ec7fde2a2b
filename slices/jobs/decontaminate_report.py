"""What the job decontaminate has found in all shards together: which tasks leave whole, and how much of each test set
is in the data, test by test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from redpajama_data.dedup.external_sort import SortedRows
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io import storage
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.shards import to_json
from slices.jobs.decontaminate_index import Bound, Kind, SetIndex, open_index

SHARED = np.dtype([("row", "<u8"), ("n", "<u8")])
"""An n-gram of a test in a record: its row in the index, the record's number in the shard."""
_ROWS = 1 << 16  # rows read at a time
_SHARD = 40  # bits of a record's number below that of its shard: 10**12 lines
REPORT = "decontaminate"


class Pair(NamedTuple):
    """Records of a task that share n-grams with tests of a kind: how many, the first, its n-gram, the test."""

    task: str
    set: str
    test_task: str
    documents: int
    document: str
    ngram: str
    test: str


class Gone(msgspec.Struct):
    """Why a task leaves: a record of it, the n-gram that it shares, and the test."""

    document: str
    ngram: str
    test: str


def tasks_by_set(same_task: Sequence[str]) -> list[tuple[str, str]]:
    """``SET=TASK`` as pairs. Raises ValueError for what is none."""
    for pair in same_task:
        if not all(part.strip() for part in pair.partition("=")):
            raise ValueError(f"same_task {pair}: expected SET=TASK, a test set and a task of the data")
    return [(pair.partition("=")[0].strip(), pair.partition("=")[2].strip()) for pair in same_task]


def is_same_task(task: str, kind: Kind, same: Sequence[tuple[str, str]]) -> bool:
    """Whether a task of the data is that of a test: of one name (letters and digits, capitals or not), or paired.

    The published project asked people; a passage that both have is not enough, if the questions are others.
    """
    names = {_plain(kind.set), _plain(kind.task)}
    if _plain(task) in names:
        return True
    return any(
        fnmatchcase(task, wanted) and any(fnmatchcase(name, of) for name in (kind.set, kind.task))
        for of, wanted in same
    )


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def pairs_of(paths: Sequence[str]) -> Iterator[Pair]:
    """The pairs that the tasks of the stage find have written."""
    for path in paths:
        for line in iter_lines(path, max_bytes=None):
            yield Pair(*msgspec.json.decode(cast(bytes, line)))


def decide_work(
    context: TaskContext,
    *,
    index: Sequence[Bound],
    ngram: int,
    sets: Sequence[str],
    found: Sequence[tuple[int, str, str]],
    pairs: Sequence[str],
    counts: Sequence[tuple[str, int, int, dict[str, int]]],
    same: Sequence[str] | None,
    made_with: dict[str, Any],
) -> None:
    """Write ``gone.json`` (the tasks that leave), ``hit_tests.jsonl.zst`` (each test in the data) and the report.

    ``found`` are rank, path and file of shared n-grams of each shard; ``counts`` are slice, documents, found documents
    and those of each set. ``same`` is None without the rule ``task``.
    """
    tests = open_index(context, index, ngram)
    gone: dict[str, Gone] = {}
    tasks: dict[str, dict[str, Any]] = {}
    paired = tasks_by_set(same or ())
    for pair in pairs_of([context.upstream(path) for path in pairs]):
        named = is_same_task(pair.task, Kind(pair.set, pair.test_task), paired)
        task = tasks.setdefault(pair.task, {"leaves": False, "shares_with": {}})
        kind = pair.set if pair.test_task == pair.set else f"{pair.set}/{pair.test_task}"
        task["shares_with"][kind] = task["shares_with"].get(kind, 0) + pair.documents
        if named and same is not None:
            gone.setdefault(pair.task, Gone(pair.document, pair.ngram, pair.test))
            task["leaves"] = True
    with context.file("gone", "gone.json") as file:
        file.write(to_json(dict(sorted(gone.items()))))
    context.records("gone", len(gone))
    hit = _write_tests(context, tests, found)
    slices: dict[str, dict[str, int]] = {}
    for name, documents, with_shared, _ in counts:
        row = slices.setdefault(name, {"documents": 0, "found": 0})
        row["documents"] += documents
        row["found"] += with_shared
    of_kind = np.array([sets.index(kind.set) for kind in tests.kinds], np.int64)
    of_test = of_kind[tests.rows["kind"]]
    report = {
        **made_with,
        "sets": {
            name: {
                "tests": int(np.count_nonzero(of_test == number)),
                "too_short": int(np.count_nonzero((of_test == number) & (tests.rows["ngrams"] == 0))),
                "hit": hit.get(name, 0),
                "documents": sum(of_set.get(name, 0) for *_, of_set in counts),
            }
            for number, name in enumerate(sets)
        },
        "slices": dict(sorted(slices.items())),
        "tasks": dict(sorted(tasks.items())),
    }
    with context.file(REPORT, "json") as file:
        file.write(msgspec.json.format(to_json(report), indent=1) + b"\n")


def _write_tests(context: TaskContext, tests: SetIndex, found: Sequence[tuple[int, str, str]]) -> dict[str, int]:
    """Write a line for each test that shares an n-gram with the data; how many those are, by set.

    Holds the records of one test at a time, beside what is sorted out of core.
    """
    names = {rank: path for rank, path, _ in found}
    hit: dict[str, int] = {}
    with tempfile.TemporaryFile() as scratch, SortedRows(2, context.memory // 4) as of_test:
        with SortedRows(2, context.memory // 4) as rows:
            for rank, _, path in found:
                for shared in _read(context.upstream(path)):
                    records = shared["n"] | np.uint64(rank << _SHARD)
                    rows.add(np.column_stack([shared["row"], records]))
            last = -1
            for piece in rows.read():
                scratch.write(np.ascontiguousarray(piece).tobytes())
                for row in np.unique(piece[:, 0]).tolist():
                    if row != last:
                        owners = tests.of_row(row).astype(np.uint64)
                        of_test.add(np.column_stack([owners, np.full(len(owners), row, np.uint64)]))
                    last = row
        scratch.flush()
        size = scratch.tell() // 16
        shared_rows = np.memmap(scratch, "<u8", mode="r", shape=(size, 2)) if size else np.empty((0, 2), np.uint64)
        with context.lines("hit_tests") as out:
            for test, ngrams in _grouped(of_test.read()):
                begin = np.searchsorted(shared_rows[:, 0], ngrams, side="left")
                end = np.searchsorted(shared_rows[:, 0], ngrams, side="right")
                records = np.unique(
                    np.concatenate([shared_rows[a:b, 1] for a, b in zip(begin.tolist(), end.tolist(), strict=True)])
                )
                kind = tests.kinds[int(tests.rows["kind"][test])]
                first = int(records[0])
                line = {
                    "test": tests.name(test),
                    "set": kind.set,
                    "task": kind.task,
                    "ngrams": int(tests.rows["ngrams"][test]),
                    "shared": len(ngrams),
                    "documents": len(records),
                    "first": f"{names[first >> _SHARD]}#{first & ((1 << _SHARD) - 1)}",
                }
                out.write(to_json(line))
                hit[kind.set] = hit.get(kind.set, 0) + 1
    return hit


def _read(path: str) -> Iterator[NDArray[Any]]:
    with storage.open_input(path) as file:
        while data := file.read(_ROWS * SHARED.itemsize):
            yield np.frombuffer(data, SHARED)


def _grouped(pieces: Iterator[NDArray[np.uint64]]) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """The second numbers of rows that are sorted by the first, for each of these."""
    held: list[NDArray[np.uint64]] = []
    now = -1
    for piece in pieces:
        edges = np.flatnonzero(np.diff(piece[:, 0])) + 1
        for group in np.split(piece, edges):
            if not len(group):
                continue
            if int(group[0, 0]) != now:
                if held:
                    yield now, np.concatenate(held)
                now, held = int(group[0, 0]), []
            held.append(group[:, 1])
    if held:
        yield now, np.concatenate(held)
