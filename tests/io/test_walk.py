"""What is listed as input: links followed, nothing that may be input passed over in silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from redpajama_data.errors import InputUnavailable, UsageError
from redpajama_data.io import walk
from redpajama_data.io.storage import list_files, write_bytes


def listed(folder: Path | str) -> list[str]:
    return [raw.path.removeprefix(f"{folder}/") for raw in list_files(str(folder), ["*.json.gz", "*.txt"])]


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def test_linked_folders_are_read_once_and_circles_end(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write(tmp_path, "raw/a.txt", "raw/deep/b.txt", "elsewhere/c.txt", "elsewhere/more/d.txt", "one/e.txt")
    (raw / "0").symlink_to(raw / "deep")
    (raw / "part2").symlink_to(tmp_path / "elsewhere")
    (raw / "part3").symlink_to(tmp_path / "elsewhere")
    (raw / "deep" / "up").symlink_to(raw)
    (tmp_path / "elsewhere" / "back").symlink_to(raw)
    (raw / "f.txt").symlink_to(tmp_path / "one" / "e.txt")
    assert listed(raw) == ["a.txt", "deep/b.txt", "f.txt", "part2/c.txt", "part2/more/d.txt"]


def test_names_that_are_no_input(tmp_path: Path) -> None:
    passed = ["._a.txt", ".DS_Store", ".git/b.txt", ".snapshot/x/c.txt", "a.txt.part", "x.txt.tmp-1-ab", "b.txt.aria2"]
    write(tmp_path, "a.txt", "B.TXT", "c.JSON.GZ", "README", *passed)
    assert listed(tmp_path) == ["B.TXT", "a.txt", "c.JSON.GZ"]
    write(tmp_path, ".here/d.txt")
    assert listed(tmp_path / ".here") == ["d.txt"], "a folder that is named is read"
    with pytest.raises(UsageError, match=r"no input there; it has notes\.md\. Expected"):
        write(tmp_path, "empty/notes.md")
        listed(tmp_path / "empty")


def test_globs_name_files_and_folders(tmp_path: Path) -> None:
    write(tmp_path, "2023/a.txt", "2023/x", "2024/b.txt", "2025.txt", "2025.txt.part")
    found = [raw.path for raw in list_files(f"{tmp_path}/202*", ["*.txt"])]
    assert found == [f"{tmp_path}/{name}" for name in ("2023/a.txt", "2024/b.txt", "2025.txt")]


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("a.txt", "gone.txt", "a link to gone.txt, which is not there"),
        ("part2", "/mnt/gone", "a link to /mnt/gone, which is not there"),
        ("part3", "part3", "a link to part3, which is not there"),
        ("notes.md", "gone", None),
        (".part4", "gone", None),
    ],
)
def test_links_that_lead_nowhere_are_named(tmp_path: Path, name: str, target: str, message: str | None) -> None:
    write(tmp_path, "z.txt")
    (tmp_path / name).symlink_to(target)
    if message is None:
        assert listed(tmp_path) == ["z.txt"]
    else:
        with pytest.raises(UsageError, match=message):
            listed(tmp_path)
        with pytest.raises(UsageError, match=message):
            listed(tmp_path / name)


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    write(tmp_path, "z.txt")
    os.mkfifo(tmp_path / "pipe")
    assert listed(tmp_path) == ["z.txt"]
    os.mkfifo(tmp_path / "a.txt")
    for place in (tmp_path, tmp_path / "a.txt", f"{tmp_path}/a*", "/dev/null"):
        with pytest.raises(UsageError, match=r"it is a (pipe|device), and raw input is files"):
            listed(place)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (PermissionError(13, "Permission denied"), UsageError, r"deep: may not be read\. Give this user"),
        (OSError(5, "Input/output error"), InputUnavailable, r"deep: cannot be listed now"),
    ],
)
def test_folders_that_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, kind: type[Exception], message: str
) -> None:
    write(tmp_path, "z.txt", "deep/a.txt")
    scandir = os.scandir

    def refused(path: str) -> Any:
        if path.endswith("deep"):
            raise error
        return scandir(path)

    monkeypatch.setattr(walk.os, "scandir", refused)
    with pytest.raises(kind, match=message):
        listed(tmp_path)


def test_object_stores_pass_over_the_same_names(tmp_path: Path) -> None:
    base = f"memory:/{tmp_path}/.raw"
    for name in ("a.txt", "._a.txt", ".git/b.txt", "deep/C.TXT", "deep/d.txt.part"):
        write_bytes(f"{base}/{name}", b"x")
    assert [raw.path.rsplit("/.raw/")[1] for raw in list_files(base, ["*.txt"])] == ["a.txt", "deep/C.TXT"]
    assert [raw.path.rsplit("/.raw/")[1] for raw in list_files(f"{base}/d*", ["*.txt"])] == ["deep/C.TXT"]
