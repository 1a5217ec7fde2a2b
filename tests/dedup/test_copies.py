"""What of a shard is a copy, said without a rank."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from redpajama_data.dedup import copies
from redpajama_data.dedup.copies import Copies, read_part, write_part
from redpajama_data.engine.lineage import lineage
from redpajama_data.errors import BrokenInput

Verdicts = list[tuple[int, int, int]]


@pytest.fixture(autouse=True)
def _few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_ROWS", 3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_what_is_written_is_read(tmp_path: Path, count: int) -> None:
    rows = [(2 * n, (n * n) % 5, n) for n in range(count)]
    names = [f"raw/{letter}" for letter in "abcde"]
    with open(tmp_path / "x.copies", "wb") as file:
        write_part(file, "x.copies", [(9, 4, 9)], names)
        part = write_part(file, "x.copies", rows, names)
        write_part(file, "x.copies", [(9, 3, 9)], names)
    assert (part is None) == (count == 0)
    read = list(read_part(str(tmp_path / "x.copies"), part))
    assert read == [(n, f"raw/{'abcde'[rank]}", kept) for n, rank, kept in rows]


def part_of(rows: Verdicts, names: list[str], before: bytes = b"", path: str = "x") -> Copies:
    file = io.BytesIO(before)
    file.seek(0, 2)
    part = write_part(file, path, rows, names)
    assert part is not None
    return part


def test_only_what_it_says_makes_its_lineage() -> None:
    """Another raw file before the survivor, another place of the part, another file: none of it redoes a task."""
    one = part_of([(1, 0, 7), (2, 1, 3)], ["b", "c"])
    other = part_of([(1, 1, 7), (2, 2, 3)], ["a", "b", "c"], before=b"....", path="y")
    assert one != other
    assert lineage(partial(print, copies=one)) == lineage(partial(print, copies=other))
    for rows in ([(1, 0, 7), (2, 0, 3)], [(1, 0, 7)], [(1, 0, 7), (2, 1, 4)], [(1, 0, 7), (3, 1, 3)]):
        assert lineage(part_of(rows, ["b", "c"])) != lineage(one)
    assert lineage(None) != lineage(one)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    part = part_of([(1, 0, 7)], ["b"])
    path = tmp_path / "x"
    path.write_bytes(np.zeros(1, copies.COPY_ROW).tobytes() + b"[1]")
    with pytest.raises(BrokenInput, match="made anew"):
        list(read_part(str(path), part))
