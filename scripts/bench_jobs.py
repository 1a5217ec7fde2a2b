"""The benchmarks of the jobs over shards: their input, their settings, and what they are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench_floor import FLOORS
from bench_inputs import documents, pages, short_records
from realdata import raw_files

SOURCES = ("stackexchange", "c4", "common_crawl", "books")  # prose and documentation, 20 MB


class Job(NamedTuple):
    """One job: its settings, how its input is made, and the rate it is held against in MB of text a second (or
    records, where ``unit`` says so), with whose rate that is. ``scale`` is the input of the pairs, in units;
    ``uncounted``: it can go without counting tokens."""

    settings: Callable[[Path], dict[str, Any]]
    make: Callable[[Iterator[str], Path, int], list[Path]]
    against: float | None
    whose: str
    unit: str = "MB"
    scale: int = 1
    uncounted: bool = True


JOBS = {
    "exact": Job(lambda data: {}, short_records, 85_000, "records/s, asked", "records", 8),
    "fuzzy": Job(lambda data: {}, documents, None, ""),
    "overlap": Job(lambda data: {}, documents, None, "", uncounted=False),
    "signals": Job(lambda data: {}, documents, 0.41, "MB/s of the published code"),
    "quality_score": Job(lambda data: {"model": str(data / "models" / "wikiref.bin")}, documents, None, ""),
    # The documents of C4 as tests: they are among the input, so that there is something to find.
    "decontaminate": Job(
        lambda data: {"against": [str(data / "c4" / "*.json.gz")], "fields": ["text"]}, documents, None, ""
    ),
    "filter": Job(lambda data: {"where": "rps_doc_word_count >= 50"}, documents, None, ""),
    "redpajama_v2": Job(lambda data: {}, pages, None, "", uncounted=False),
}


def texts(data: Path) -> Iterator[str]:
    """Real prose and documentation, document by document."""
    for name in SOURCES:
        for path in raw_files(name, data):
            yield from (text for text, _ in FLOORS[name](path) if text)
