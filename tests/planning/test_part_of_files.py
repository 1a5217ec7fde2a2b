"""What is measured of a user's raw files: their beginnings, of files of both ends, and whole what cannot be cut."""

from __future__ import annotations

from pathlib import Path

from redpajama_data.io import storage
from redpajama_data.planning.sample import FILES, take


def made(folder: Path, name: str, size: int) -> storage.RawFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((b"0123456\n" * (size // 8 + 1))[:size])
    return storage.stat(str(path))


def sizes(taken: list[storage.RawFile]) -> dict[str, int]:
    return {Path(raw.path).name: raw.bytes for raw in taken}


def test_beginnings_of_files_at_even_distances(tmp_path: Path) -> None:
    files = [made(tmp_path / "dump", f"{n}.warc.wet.gz", 5000) for n in range(10)]
    taken = take(files, str(tmp_path / "taken"), 1000)
    assert FILES == 2
    assert sizes(taken) == {"0.warc.wet.gz": 500, "5.warc.wet.gz": 500}
    assert {Path(raw.path).parent.name for raw in taken} == {"dump"}  # the crawl knows a dump by it


def test_all_of_files_that_are_small_enough(tmp_path: Path) -> None:
    files = [made(tmp_path / "raw", f"{n}.json.gz", 100) for n in range(3)]
    assert sizes(take(files, str(tmp_path / "taken"), 300)) == {"0.json.gz": 100, "1.json.gz": 100, "2.json.gz": 100}
    assert sizes(take(files, str(tmp_path / "less"), 299)) == {"0.json.gz": 100, "1.json.gz": 100}


def test_lines_are_cut_at_their_end(tmp_path: Path) -> None:
    files = [made(tmp_path / "raw", f"{n}.jsonl", 4000) for n in range(2)]
    assert sizes(take(files, str(tmp_path / "taken"), 2006)) == {"0.jsonl": 1000, "1.jsonl": 1000}


def test_archives_with_their_directory_at_the_end_are_taken_whole_while_they_fit(tmp_path: Path) -> None:
    files = [made(tmp_path / "raw", f"{size}.7z", size) for size in (100, 200, 400)]
    assert sizes(take(files, str(tmp_path / "taken"), 300)) == {"100.7z": 100, "200.7z": 200}
    assert take(files, str(tmp_path / "none"), 99) == []


def test_empty_files_say_nothing(tmp_path: Path) -> None:
    files = [made(tmp_path / "raw", f"{n}.7z", 0) for n in range(2)]
    assert take(files, str(tmp_path / "taken"), 100) == []
