"""The n-grams of test sets, indexed out of core for the job decontaminate, and the index mapped into a worker's memory.

A test set is a file of JSON lines, a test a line; the set's name is that of the file. Every string of a test counts,
at any depth, or those of the fields that the settings name. An n-gram lies within one string.
"""

from __future__ import annotations

import itertools
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from filters import ngrams
from redpajama_data.corpus.listing import PATTERNS
from redpajama_data.dedup.external_sort import SortedRows
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io import storage
from redpajama_data.io.shards import read_jsonl, to_json
from redpajama_data.io.storage import RawFile

TEST = np.dtype([("place", "<u8"), ("name", "<u8"), ("ngrams", "<u8"), ("kind", "<u8")])
"""A test: where its words begin, where its line in ``names`` begins, its distinct n-grams, its set and task."""
ROLES = {"hashes": "<u8", "places": "<u8", "words": "u1", "sieve": "<u8", "tests": TEST, "names": "u1", "kinds": "u1"}
_PIECE = 1 << 20  # numbers written at a time


class Kind(NamedTuple):
    """A test set and the task of a test in it: the set's name where the test names none."""

    set: str
    task: str


class Against(NamedTuple):
    """A test set: its name, its file."""

    name: str
    path: str


def list_sets(places: Sequence[str]) -> tuple[list[Against], list[RawFile]]:
    """The test sets that files, globs, folders or URLs mean, in the order of their paths, and their files.

    A set has the name of its file; of two with one name also as many folders as tell them apart. Raises
    :class:`UsageError` when there is none.
    """
    if not places:
        raise UsageError("decontaminate needs test sets. Give --against FILE: JSON lines, a test a line.")
    whole = [place if storage.is_remote(place) else os.path.abspath(place.removeprefix("file://")) for place in places]
    files = sorted({raw for place in whole for raw in storage.list_files(place, PATTERNS)})
    return [
        Against(name, raw.path) for name, raw in zip(_names([raw.path for raw in files]), files, strict=True)
    ], files


def _names(paths: Sequence[str]) -> list[str]:
    parts = []
    for path in paths:
        folders = path.split("/")
        for ending in (".gz", ".zst", ".jsonl", ".json"):
            folders[-1] = folders[-1].removesuffix(ending)
        parts.append(folders)
    names = ["/".join(folders[-1:]) for folders in parts]
    for size in range(2, max(map(len, parts), default=0) + 1):
        names = [
            "/".join(folders[-size:]) if names.count(name) > 1 else name
            for name, folders in zip(names, parts, strict=True)
        ]
    return names


# ---------------------------------------------------------------------------------------------- made


def index_work(context: TaskContext, *, sets: Sequence[tuple[str, str]], ngram: int, fields: Sequence[str]) -> None:
    """Index the n-grams of test sets, each its name and path. The files are those of :data:`ROLES`.

    Raises :class:`UsageError` for a set that cannot be read or has no test.
    """
    kinds: dict[Kind, int] = {}
    with SortedRows(2, context.memory // 2) as rows:
        with (
            context.file("tests", "tests") as tests,
            context.file("names", "names") as names,
            context.file("words", "words") as words,
        ):
            for test_set in itertools.starmap(Against, sets):
                before = tests.bytes
                for name, task, strings in _tests(test_set, fields):
                    row = np.zeros(1, TEST)
                    row["place"], row["name"] = words.bytes, names.bytes
                    row["kind"] = kinds.setdefault(Kind(test_set.name, task), len(kinds))
                    row["ngrams"] = _add_test(rows, words, strings, ngram)
                    tests.write(row.tobytes())
                    names.write(name.encode(errors="replace").replace(b"\n", b" ") + b"\n")
                if tests.bytes == before:
                    raise UsageError(f"{test_set.path}: no test in it. Expected JSON lines, a test a line.")
        context.records("tests", tests.bytes // TEST.itemsize)
        with context.file("kinds", "kinds") as file:
            file.write(to_json(list(kinds)))
        _write_hashes(context, rows)


def _add_test(rows: SortedRows, words: storage.WholeFile, strings: Sequence[str], ngram: int) -> int:
    """Enter the n-grams of a test's strings and write their words; the number of its distinct n-grams."""
    every = []
    for text in strings:
        spelt, hashes, starts = ngrams.ngrams_of(text, ngram)
        if len(hashes):
            rows.add(np.column_stack([hashes, starts + np.uint64(words.bytes)]))
            every.append(hashes)
        words.write(spelt + b"\0")
    return len(np.unique(np.concatenate(every))) if every else 0


def _write_hashes(context: TaskContext, rows: SortedRows) -> None:
    with tempfile.TemporaryFile() as scratch:
        with context.file("hashes", "hashes") as hashes, context.file("places", "places") as places:
            count = 0
            for piece in rows.read():
                hashes.write(np.ascontiguousarray(piece[:, 0]).tobytes())
                places.write(np.ascontiguousarray(piece[:, 1]).tobytes())
                scratch.write(np.ascontiguousarray(piece[:, 0]).tobytes())
                count += len(piece)
        context.records("hashes", count)
        context.records("places", count)
        scratch.flush()
        with tempfile.TemporaryFile() as room, context.file("sieve", "sieve") as out:
            room.truncate(8 * ngrams.sieve_size(count))
            sieve = np.memmap(room, np.uint64, mode="r+")
            sorted_hashes = _of_file(scratch, "<u8")
            for first in range(0, count, _PIECE):
                ngrams.add_to_sieve(sieve, sorted_hashes[first : first + _PIECE])
            for first in range(0, len(sieve), _PIECE):
                out.write(sieve[first : first + _PIECE].tobytes())


def _tests(test_set: Against, fields: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """The tests of a set: ``<set>#<id or line>``, task, strings."""
    try:
        for n, record in enumerate(read_jsonl(test_set.path)):
            given, task = record.get("id"), record.get("task")
            name = given if isinstance(given, str) and given else n if not isinstance(given, int) else given
            for field in fields:
                if field not in record:
                    raise UsageError(
                        f"{test_set.path}:{n + 1}: no field {field!r}; it has {', '.join(record)}. Name others with "
                        "--field, or leave it out: then every string counts."
                    )
            chosen = [record[field] for field in fields] if fields else record
            task = task if isinstance(task, str) and task else test_set.name
            yield f"{test_set.name}#{name}", task, list(_strings(chosen))
    except BrokenInput as error:
        raise UsageError(f"{error} Mend the test set, then run again.") from error


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


# ---------------------------------------------------------------------------------------------- mapped


@dataclass(frozen=True)
class SetIndex:
    """The tests behind an index of n-grams."""

    index: ngrams.Index
    rows: NDArray[Any]
    names: NDArray[np.uint8]
    kinds: list[Kind]

    def of_row(self, row: int) -> NDArray[np.int64]:
        """The numbers of the tests that have the n-gram of a row, each once, rising."""
        places = self.index.places_of(row)
        tests = np.searchsorted(self.rows["place"], places, side="right") - 1
        return tests if len(tests) == 1 else np.unique(tests)

    def kinds_of(self, tests: NDArray[np.int64]) -> NDArray[np.int64]:
        """The kinds of tests, each once, and of each the first test: (kinds, 2)."""
        if len(tests) == 1:
            return np.array([[self.rows["kind"][tests[0]], tests[0]]], np.int64)
        kinds, first = np.unique(self.rows["kind"][tests], return_index=True)
        return np.column_stack([kinds.astype(np.int64), tests[first]])

    def name(self, test: int) -> str:
        """``<set>#<id>`` of a test."""
        start = int(self.rows["name"][test])
        end = int(self.rows["name"][test + 1]) if test + 1 < len(self.rows) else len(self.names)
        return self.names[start : end - 1].tobytes().decode()


Bound = tuple[str, str, str]
"""A file of the index as it is bound into work: role, path in the root, SHA-256."""


def bound(files: dict[str, Output]) -> list[Bound]:
    """The files of the index, from the outputs of its receipt."""
    return [(role, files[role].path, files[role].sha256) for role in ROLES]


def open_index(context: TaskContext, files: Sequence[Bound], ngram: int) -> SetIndex:
    """The index that :func:`index_work` made, mapped; once a process. From an object store it is copied to the
    temporary folder first (TMPDIR)."""
    return _opened(tuple((role, context.upstream(path), digest) for role, path, digest in files), ngram)


@lru_cache(maxsize=1)
def _opened(files: tuple[Bound, ...], ngram: int) -> SetIndex:
    found: dict[str, NDArray[Any]] = {role: _mapped(path, ROLES[role]) for role, path, _ in files}
    index = ngrams.Index(ngram, found["hashes"], found["places"], found["words"], found["sieve"])
    kinds = msgspec.json.decode(found["kinds"].tobytes(), type=list[Kind])
    return SetIndex(index, found["tests"], found["names"], kinds)


def _mapped(path: str, dtype: Any) -> NDArray[Any]:
    if not storage.is_remote(path):
        with open(storage.local(path), "rb") as file:
            return _of_file(file, dtype)
    with storage.open_input(path) as source, tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy, _PIECE)
        copy.flush()
        return _of_file(copy, dtype)


def _of_file(file: Any, dtype: Any) -> NDArray[Any]:
    if not os.fstat(file.fileno()).st_size:
        return np.empty(0, dtype)
    return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype)


def sets_of(kinds: Sequence[Kind]) -> list[str]:
    """The names of the sets, in their order."""
    return [name for name, _ in itertools.groupby(kind.set for kind in kinds)]
