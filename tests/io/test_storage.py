"""Files and streams: whole or not at all, bounded, damage named."""

from __future__ import annotations

import bz2
import gzip
import os
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from redpajama_data.errors import BrokenInput, InputUnavailable, StorageError, UsageError
from redpajama_data.io import lines, rows, storage
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.rows import read_rows
from redpajama_data.io.storage import list_files, whole_file
from redpajama_data.io.streams import open_decompressed

TEXT = b"".join(b"line %d of a file\n" % i for i in range(20_000))
CODECS = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bz2": bz2.compress,
    "txt": bytes,
}


def written(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("ending", CODECS)
def test_decompresses_by_ending(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, f"a.{ending}", CODECS[ending](TEXT))
    with open_decompressed(path) as stream:
        assert b"".join(iter(lambda: stream.read(1000), b"")) == TEXT


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2"])
def test_several_members_one_after_another(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, f"a.{ending}", CODECS[ending](TEXT) + CODECS[ending](b"more\n"))
    assert list(iter_lines(path, max_bytes=100)) == [*TEXT.splitlines(), b"more"]


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2"])
@pytest.mark.parametrize("share", [0.35, 0.95])
def test_truncated_stream_is_named_and_what_came_before_stays(tmp_path: Path, ending: str, share: float) -> None:
    data = b"".join(CODECS[ending](os.urandom(50_000).hex().encode() + b"\n") for _ in range(10))
    path = written(tmp_path, f"a.{ending}", data[: int(len(data) * share)])
    lines = []
    with pytest.raises(BrokenInput, match="fetch the file again") as caught:
        lines.extend(iter_lines(path, max_bytes=1 << 20))
    assert "decompressed bytes" in caught.value.place


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_every_whole_line_before_a_cut_comes_out(tmp_path: Path, ending: str) -> None:
    """The decoders' own readers lose up to a whole read at the break."""
    text = b"".join(os.urandom(16).hex().encode() + b"\n" for _ in range(12_000))
    path = written(tmp_path, f"a.{ending}", CODECS[ending](text)[:-100])
    lines = []
    with pytest.raises(BrokenInput):
        lines.extend(iter_lines(path, max_bytes=1 << 20))
    assert len(lines) > {"gz": 11_980, "zst": 7_900}[ending]  # zstd gives nothing of a block that is cut, up to 128 KiB


def bomb(ending: str) -> bytes:
    """Half a gigabyte of zeros."""
    if ending == "gz":
        packer = zlib.compressobj(9, wbits=31)
        return b"".join(packer.compress(bytes(1 << 20)) for _ in range(512)) + packer.flush()
    return CODECS[ending](bytes(1 << 29))


@pytest.mark.parametrize(("ending", "most"), [("gz", 160), ("zst", 400), ("bz2", 100)])
def test_bombs_take_bounded_memory(tmp_path: Path, ending: str, most: int) -> None:
    path = written(tmp_path, f"a.{ending}", bomb(ending))
    code = (
        "import sys, resource; from redpajama_data.io.lines import iter_lines\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(list(iter_lines(sys.argv[1], max_bytes=1 << 20))[0].length, "
        "(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)"
    )
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    length, grown = map(int, run.stdout.split())
    assert length == 1 << 29
    assert grown < most  # MiB


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2"])
def test_not_compressed_at_all(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, f"a.{ending}", b"this is plain text, whatever its name says\n" * 10)
    with pytest.raises(BrokenInput, match=r"not (gzip|zstd|bzip2); it begins with b'this is"):
        list(iter_lines(path, max_bytes=1 << 20))


def test_missing_and_unreadable_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputUnavailable, match=r"no such file\. Put it back.*run the same command again"):
        list(iter_lines(str(tmp_path / "none.gz"), max_bytes=10))
    with pytest.raises(InputUnavailable, match=r"is a folder\. Check the path"):
        list(iter_lines(str(tmp_path), max_bytes=10))  # a folder


@given(
    pieces=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30),
    limit=st.integers(1, 30),
    step=st.integers(1, 16),
)
def test_lines_equal_the_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, bool]], limit: int, step: int
) -> None:
    data = b"".join(b"x" * size + (b"\n" if end else b"") for size, end in pieces)
    path = written(tmp_path_factory.mktemp("lines"), "a.txt", data)
    plain = data.split(b"\n")
    if not plain[-1]:
        plain.pop()
    expected = [line if len(line) <= limit else TooLong(len(line)) for line in plain]
    before, lines._STEP = lines._STEP, step
    try:
        assert list(iter_lines(path, max_bytes=limit)) == expected
    finally:
        lines._STEP = before


def test_a_file_appears_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "out" / "a.bin"
    with pytest.raises(RuntimeError), whole_file(str(path)) as file:
        file.write(b"half")
        raise RuntimeError
    assert list((tmp_path / "out").iterdir()) == []
    with whole_file(str(path)) as file:
        file.write(b"all of it")
        assert not path.exists()
    assert path.read_bytes() == b"all of it"
    assert (file.bytes, len(file.sha256)) == (9, 64)


def test_a_limit_on_file_sizes_is_one_clear_error(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with (
            pytest.raises(
                StorageError,
                match=r"size of 1,048,576 bytes\. Raise the limit with ulimit -f.*goes on where it stopped",
            ),
            whole_file(str(tmp_path / "big")) as file,
        ):
            for _ in range(4):
                file.write(bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(StorageError, match="is a file, and a folder is needed"),
        whole_file(str(tmp_path / "file" / "a")),
    ):
        pass


def test_inputs_are_sorted_and_recognised_by_name(tmp_path: Path) -> None:
    for name in ("b/github_2.gz", "a/github_10.gz", "a/github_9.gz", "a/other.gz", "github_1.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = [raw.path.removeprefix(f"{tmp_path}/") for raw in list_files(str(tmp_path), ["github_*.gz"])]
    assert found == ["a/github_10.gz", "a/github_9.gz", "b/github_2.gz", "github_1.gz"]
    assert len(list_files(f"{tmp_path}/a/*.gz", ["github_*.gz"])) == 3
    with pytest.raises(UsageError, match=r"no input there.*github_"):
        list_files(str(tmp_path / "none"), ["github_*.gz"])


# ------------------------------------------------------------------------------------------------ rows

ROWS = np.random.default_rng(0).integers(0, 256, (5_000, 12), dtype=np.uint8)


@pytest.fixture(params=["local", "remote"])
def rows_file(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = f"{tmp_path}/rows" if request.param == "local" else f"memory://{tmp_path}/rows"
    storage.write_bytes(path, ROWS.tobytes())
    return path


@given(numbers=st.lists(st.integers(0, len(ROWS) - 1), max_size=60), gap=st.integers(0, 3000), most=st.integers(1, 900))
def test_rows_equal_the_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], gap: int, most: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    wanted = np.array(sorted(numbers), dtype=np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"GAP": gap, "PIECE": most}.items():
            patch.setattr(rows, f"_LOCAL_{name}", value)
            patch.setattr(rows, f"_REMOTE_{name}", value)
        for path in (f"{folder}/rows", f"memory://{folder}/rows"):
            if not storage.read_bytes(path):
                storage.write_bytes(path, ROWS.tobytes())
            assert np.array_equal(read_rows(path, wanted, 12), ROWS[sorted(numbers)])


def test_rows_of_an_object_store_take_few_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    asked: list[tuple[int, int]] = []
    plain = MemoryFileSystem.cat_file

    def counted(self: MemoryFileSystem, path: str, start: int, end: int) -> bytes:
        asked.append((start, end))
        return bytes(plain(self, path, start, end))

    path = f"memory://{tmp_path}/rows"
    storage.write_bytes(path, ROWS.tobytes())
    monkeypatch.setattr(MemoryFileSystem, "cat_file", counted)
    read_rows(path, np.arange(0, 5_000, 7), 12)
    assert asked == [(0, 12 * 4999)]  # close to each other: one piece, to the last row wanted
    monkeypatch.setattr(rows, "_REMOTE_GAP", 60)
    asked.clear()
    read_rows(path, np.array([0, 5, 11, 400]), 12)
    assert asked == [(0, 72), (132, 144), (4800, 4812)]


def test_rows_beyond_the_end(rows_file: str) -> None:
    with pytest.raises(BrokenInput, match=r"ends at byte 60000\. Delete it and run again"):
        read_rows(rows_file, np.array([4_998, 5_000]), 12)


def test_rows_of_a_file_that_is_not_there(rows_file: str) -> None:
    with pytest.raises(InputUnavailable, match=r"no such file\. Put it back"):
        read_rows(rows_file + "2", np.array([1]), 12)
    assert read_rows(rows_file + "2", np.array([], dtype=np.uint64), 12).shape == (0, 12)


def test_rows_are_read_in_bounded_pieces(tmp_path: Path) -> None:
    import tracemalloc

    path = written(tmp_path, "rows", bytes(64 << 20))
    tracemalloc.start()
    read_rows(path, np.arange(0, 1 << 20, 2), 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 << 20  # the result is 32 MiB, the numbers are 4


@pytest.mark.parametrize("depth", [None, 1, 2, 3])
def test_find_gives_every_file_to_a_depth(tmp_path: Path, depth: int | None) -> None:
    every = ["x", "a/x", "a/b/x", "a/b/c/x", "ab/x"]
    for name in every:
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(name)
    wanted = sorted(name for name in every if depth is None or name.count("/") < depth)
    for folder in (f"{tmp_path}/root", f"{tmp_path}/root/", f"file://{tmp_path}/root"):
        assert storage.find(folder, depth) == wanted
        assert storage.sizes(folder) == {name: len(name) for name in every}
    assert storage.find(f"{tmp_path}/none") == []


@pytest.mark.parametrize("remote", [False, True])
def test_many_small_files_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: bool) -> None:
    monkeypatch.setattr(storage, "_HELD", 7)
    folder = f"memory://{tmp_path.name}-{remote}" if remote else str(tmp_path)
    paths = [f"{folder}/{n}" for n in range(40)]
    for n in range(0, 40, 3):
        storage.write_bytes(paths[n], b"%d" % n)
    assert list(storage.read_each(paths)) == [None if n % 3 else b"%d" % n for n in range(40)]
    assert list(storage.read_each([])) == []
