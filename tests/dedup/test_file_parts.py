"""Parts of a file, known by what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from redpajama_data.dedup import file_parts
from redpajama_data.dedup.file_parts import PartWriter, read_rows
from redpajama_data.engine.lineage import lineage
from redpajama_data.errors import BrokenInput


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_rows_are_read_as_they_were_written(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_parts, "_ROWS", 3)
    with open(tmp_path / "x", "wb") as file:
        file.write(b"before")
        writer = PartWriter(file, "x")
        writer.add(np.arange(count, dtype="<u8"))
        PartWriter(file, "x").add(np.arange(9, dtype="<u8"))
    part = writer.part()
    pieces = [piece.tolist() for piece in read_rows(str(tmp_path / "x"), part, "<u8")]
    assert [n for piece in pieces for n in piece] == [*range(count)]
    assert all(len(piece) <= 3 for piece in pieces)
    assert (part is None) == (count == 0)


def test_a_short_file_is_named(tmp_path: Path) -> None:
    with open(tmp_path / "x", "wb") as file:
        writer = PartWriter(file, "x")
        writer.add(np.arange(2, dtype="<u8"))
    (tmp_path / "x").write_bytes(bytes(15))
    with pytest.raises(BrokenInput, match="made anew"):
        list(read_rows(str(tmp_path / "x"), writer.part(), "<u8"))


def test_what_it_says_is_its_lineage(tmp_path: Path) -> None:
    def part(before: bytes, name: str, *rows: int) -> str:
        with open(tmp_path / name, "wb") as file:
            file.write(before)
            writer = PartWriter(file, name)
            writer.add(np.array(rows, "<u8"))
        return lineage(writer.part())

    assert part(b"", "x", 1, 2) == part(b"....", "y", 1, 2)
    assert len({part(b"", "x", 1, 2), part(b"", "x", 1, 3), part(b"", "x", 1), part(b"", "x")}) == 4
