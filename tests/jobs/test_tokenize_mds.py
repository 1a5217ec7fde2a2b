"""Token ids in MosaicML's shards: read back by the published layout alone.

The library brings torch and is not installed for the tests: a stand-in writes its layout here, and where the library is
there, both must write the same bytes. ``make trainers`` reads the files with the library itself.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from redpajama_data.cli.main import cli
from redpajama_data.corpus import mds_shards

WINDOW = 16
CONFIG = {
    "column_encodings": ["ndarray:uint16"],
    "column_names": ["tokens"],
    "column_sizes": [None],
    "compression": None,
    "format": "mds",
    "hashes": ["sha256"],
    "size_limit": mds_shards.SHARD_BYTES,
    "version": 2,
}


class StandIn:
    """Writes what ``streaming.MDSWriter`` writes for windows of tokens, without compression."""

    def __init__(self, *, out: str, columns: dict[str, str], hashes: list[str], size_limit: int) -> None:
        self.folder, self.shards, self.samples = Path(out), list[Any](), list[bytes]()
        self.config = {
            **CONFIG,
            "column_encodings": [columns["tokens"]],
            "hashes": hashes,
            "size_limit": size_limit,
        }
        self.head = json.dumps(self.config, sort_keys=True).encode()
        self.limit = size_limit
        self.folder.mkdir(parents=True)

    def write(self, sample: dict[str, Any]) -> None:
        """Keep a sample: its bytes, behind the shape (one axis, its length in a byte)."""
        window = sample["tokens"]
        body = bytes([4, len(window)]) + window.tobytes()
        packed = struct.pack("<I", len(body)) + body
        size = 8 + len(self.head) + sum(4 + len(one) for one in [*self.samples, packed])
        if self.samples and size > self.limit:
            self.flush()
        self.samples.append(packed)

    def flush(self) -> None:
        """Write a shard."""
        ends = np.cumsum([0, *map(len, self.samples)]).astype("<u4")
        offsets = ends + np.uint32(4 + 4 * len(ends) + len(self.head))
        data = struct.pack("<I", len(self.samples)) + offsets.tobytes() + self.head + b"".join(self.samples)
        name = f"shard.{len(self.shards):05d}.mds"
        (self.folder / name).write_bytes(data)
        about = {"basename": name, "bytes": len(data), "hashes": {"sha256": hashlib.sha256(data).hexdigest()}}
        row = {**self.config, "raw_data": about, "samples": len(self.samples), "zip_data": None}
        self.shards.append(row)
        self.samples = []

    def finish(self) -> None:
        """Write the last shard and the index."""
        if self.samples:
            self.flush()
        index = json.dumps({"shards": self.shards, "version": 2}, sort_keys=True)
        (self.folder / "index.json").write_text(index)


def installed() -> bool:
    """Whether the library is."""
    try:
        return bool(importlib.metadata.version(mds_shards.PACKAGE))
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in in the place of the library."""
    monkeypatch.setattr(mds_shards, "writer_class", lambda: StandIn)
    monkeypatch.setattr("slices.jobs.tokenize.require_library", lambda: None)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two slices; one document is longer than several windows."""
    for name in ("books", "c4"):
        (tmp_path / "in" / name).mkdir(parents=True)
        texts = [f"{name} number {i} and " + "more of it " * (i % 5) for i in range(40)] + ["x y z " * 40]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (tmp_path / "in" / name / "0.jsonl").write_text(lines)
    return tmp_path / "in"


def run(*words: object) -> Result:
    """The command in this process."""
    given = ["tokenize", *words, "--executor", "serial", "--quiet"]
    return CliRunner().invoke(cli, [str(word) for word in given], catch_exceptions=False)


def mds(corpus: Path, root: Path, *words: object) -> dict[str, Any]:
    """Runs the job in this format; its report."""
    done = run(corpus, "--root", root, "--format", "mds", "--sequence", WINDOW, "--json", *words)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def read_mds(folder: Path) -> list[list[int]]:
    """The samples of a folder by the published layout."""
    found = []
    index = json.loads((folder / "index.json").read_text())
    for shard in index["shards"]:
        data = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert shard["raw_data"]["hashes"] == {"sha256": hashlib.sha256(data).hexdigest()}
        (samples,) = struct.unpack_from("<I", data)
        offsets = np.frombuffer(data, "<u4", samples + 1, 4).tolist()
        assert samples == shard["samples"]
        assert offsets[-1] == len(data)
        for begin in offsets[:-1]:
            (size,) = struct.unpack_from("<I", data, begin)
            found.append(np.frombuffer(data, "<u2", (size - 2) // 2, begin + 4 + 2).tolist())
    return found


def read_uint(root: Path, name: str) -> list[int]:
    """The ids of a prefix of the format uint."""
    return [int(one) for one in np.fromfile(root / "tokenize" / f"{name}.ds", "<u2")]


def files(root: Path) -> dict[str, bytes]:
    """What the job left for others."""
    base = root / "tokenize"
    return {str(path.relative_to(base)): path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file()}


@pytest.mark.usefixtures("library")
def test_windows_are_the_ids_in_order_and_the_tail_is_told(corpus: Path, tmp_path: Path) -> None:
    report = mds(corpus, tmp_path / "mds", "--held-out", 0.1)
    assert run(corpus, "--root", tmp_path / "uint", "--format", "uint", "--held-out", 0.1).exit_code == 0
    assert [part["name"] for part in report["prefixes"]] == ["books", "books-held-out", "c4", "c4-held-out"]
    for part in report["prefixes"]:
        ids, folder = read_uint(tmp_path / "uint", part["name"]), tmp_path / "mds" / "tokenize" / part["name"]
        windows = read_mds(folder)
        assert {len(window) for window in windows} <= {WINDOW}
        assert len(windows) == len(ids) // WINDOW
        assert [one for window in windows for one in window] == ids[: len(windows) * WINDOW]
        assert part["dropped_by_last_window"] == len(ids) % WINDOW
        ends = np.fromfile(folder / "documents.index", "<u8")
        assert ends.tobytes() == (tmp_path / "uint" / "tokenize" / f"{part['name']}.ds.index").read_bytes()
        named = {Path(file["path"]).name for file in part["files"]}
        assert named == {path.name for path in folder.iterdir()}


@pytest.mark.usefixtures("library")
def test_a_slice_of_less_than_a_window_has_no_sample(tmp_path: Path) -> None:
    for name, words in (("c4", WINDOW - 1), ("books", WINDOW - 2)):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "0.jsonl").write_text(json.dumps({"text": "a" + " a" * (words - 1)}) + "\n")
    report = mds(tmp_path / "in", tmp_path / "out")
    assert [part["dropped_by_last_window"] for part in report["prefixes"]] == [WINDOW - 1, 0]
    assert [len(read_mds(tmp_path / "out/tokenize" / name)) for name in ("books", "c4")] == [0, 1]


@pytest.mark.usefixtures("library")
def test_small_shards_hold_the_same_samples(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each appears as it is full; what was there before is removed when there are fewer."""
    mds(corpus, tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.setattr(mds_shards, "SHARD_BYTES", 600)
        mds(corpus, tmp_path / "many")
    assert len(list((tmp_path / "many/tokenize/c4").glob("shard.*.mds"))) > 3
    assert read_mds(tmp_path / "many/tokenize/c4") == read_mds(tmp_path / "one/tokenize/c4")
    mds(corpus, tmp_path / "many", "--sequence", 2 * WINDOW)
    assert len(list((tmp_path / "many/tokenize/c4").glob("shard.*.mds"))) == 1


@pytest.mark.usefixtures("library")
def test_another_sequence_makes_other_windows_of_mds_alone(corpus: Path, tmp_path: Path) -> None:
    first = mds(corpus, tmp_path / "mds")
    assert {len(window) for window in read_mds(tmp_path / "mds/tokenize/c4")} == {WINDOW}
    assert mds(corpus, tmp_path / "mds") == first
    mds(corpus, tmp_path / "mds", "--sequence", 8)
    assert {len(window) for window in read_mds(tmp_path / "mds/tokenize/c4")} == {8}
    run(corpus, "--root", tmp_path / "uint", "--format", "uint")
    array = tmp_path / "uint/tokenize/c4.ds"
    before = array.stat().st_mtime_ns
    run(corpus, "--root", tmp_path / "uint", "--format", "uint", "--sequence", 8)
    assert array.stat().st_mtime_ns == before


@pytest.mark.usefixtures("library")
def test_files_that_lost_their_bookkeeping_are_written_anew(corpus: Path, tmp_path: Path) -> None:
    """And another format takes the folders away."""
    mds(corpus, tmp_path / "out")
    before = files(tmp_path / "out")
    for path in [*(tmp_path / "out/_run/tokenize/write").glob("c4.*receipt*"), tmp_path / "out/manifest.json"]:
        path.unlink()
    mds(corpus, tmp_path / "out")
    assert files(tmp_path / "out") == before
    run(corpus, "--root", tmp_path / "out", "--format", "megatron")
    assert set(files(tmp_path / "out")) == {"books.bin", "books.idx", "c4.bin", "c4.idx", "tokens.json"}


def test_without_the_library_nothing_begins(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mds_shards, "PACKAGE", "no-such-package-as-this")
    done = run(corpus, "--root", tmp_path / "out", "--format", "mds")
    assert done.exit_code == 2
    assert "pip install 'redpajama-data[mds]'" in done.output
    assert not (tmp_path / "out" / "tokenize").exists()


@pytest.mark.skipif(not installed(), reason=f"{mds_shards.PACKAGE} is not installed: make trainers reads with it")
def test_the_library_writes_what_the_stand_in_writes(
    corpus: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mds_shards, "SHARD_BYTES", 1000)
    mds(corpus, tmp_path / "library", "--held-out", 0.1)
    request.getfixturevalue("library")
    mds(corpus, tmp_path / "stand-in", "--held-out", 0.1)
    assert files(tmp_path / "library") == files(tmp_path / "stand-in")


def test_the_reader_says_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents are held against their texts up to the last window."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "scripts"))
    import read_tokens

    up_to: Callable[..., Any] = read_tokens.up_to
    assert list(up_to(iter([[1, 0], [2, 3, 0], [4, 0]]), 4)) == [[1, 0], [2, 3]]
    assert list(up_to(iter([[1, 0], [2, 0]]), 2)) == [[1, 0]]
    assert list(up_to(iter([[1, 0]]), 0)) == []
