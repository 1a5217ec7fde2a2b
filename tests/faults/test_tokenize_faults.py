"""The job tokenize, killed at exact moments and short of disk: the next run gives the bytes of an undisturbed one."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faulty
import pytest
from click.testing import CliRunner, Result
from whole_root import files_of

from redpajama_data.cli.main import cli
from redpajama_data.corpus import mds_shards
from redpajama_data.io import storage, writing

TESTS = Path(__file__).resolve().parents[1]
MIXED = ("--mixture", "mixture.yaml", "--held-out", "0.2", "--seed", "3")
# Of each stage a file, with the form and mixture in which it is written.
FILES = {
    "encode/books~0.ids": MIXED,
    "scatter/00000.rows": MIXED,
    "tokenize/train.bin": MIXED,
    "tokenize/train.idx": MIXED,
    "tokenize/tokens.json": MIXED,
    "tokenize/c4.ds.index": ("--format", "uint"),
    "c4/shard.00001.mds": ("--format", "mds", "--sequence", "16"),
    "c4/index.json": ("--format", "mds", "--sequence", "16"),
}
MOMENTS = ("within", "after")
WORDS = ["the", "quick", "brown", "fox", "jumps", "over"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two slices, a mixture, and a small tokenizer."""
    folder = tmp_path_factory.mktemp("tokens")
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    config = {
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<|endoftext|>", "special": True, **flags}],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordLevel",
            "vocab": {"<|endoftext|>": 0, "[UNK]": 1, **{word: n for n, word in enumerate(WORDS, 2)}},
            "unk_token": "[UNK]",
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(config))
    (folder / "mixture.yaml").write_text("epochs: {books: 2.5, c4: 1}\n")
    for name in ("books", "c4"):
        (folder / "in" / name).mkdir(parents=True)
        texts = [" ".join(WORDS[(i * j) % 6] for j in range(1, 4 + i % 30)) for i in range(80)]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / "in" / name / "0.jsonl").write_text(lines)
    return folder


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """MosaicML's library is not installed for the tests."""
    monkeypatch.syspath_prepend(str(TESTS / "jobs"))
    from test_tokenize_mds import StandIn

    monkeypatch.setattr(mds_shards, "writer_class", lambda: StandIn)
    monkeypatch.setattr(mds_shards, "SHARD_BYTES", 2000)
    monkeypatch.setattr("slices.jobs.tokenize.require_library", lambda: None)


def words_of(place: Path, root: object, *options: str) -> list[str]:
    """The command."""
    given = [str(place / word) if word == "mixture.yaml" else word for word in options]
    tokenizer = str(place / "tokenizer.json")
    return [
        "tokenize",
        str(place / "in"),
        "--root",
        str(root),
        "--tokenizer",
        tokenizer,
        "--executor",
        "serial",
        *given,
    ]


def run(place: Path, root: object, *options: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(cli, [*words_of(place, root, *options), "--quiet"])


@pytest.fixture(scope="module")
def killed(place: Path) -> dict[tuple[str, str], Any]:
    """Of each case the exit status of the run that was killed in it."""
    cases = [
        {"file": file, "moment": moment, "words": words_of(place, root_of(place, file, moment), *options)}
        for file, options in FILES.items()
        for moment in MOMENTS
    ]
    done = subprocess.run(
        [sys.executable, str(TESTS / "killed_at.py"), json.dumps(cases)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    statuses = json.loads(done.stdout.splitlines()[-1])
    return {(case["file"], case["moment"]): status for case, status in zip(cases, statuses, strict=True)}


def root_of(place: Path, file: str, moment: str) -> Path:
    """The root of a case."""
    return place / "roots" / f"{file.replace('/', '-')}-{moment}"


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("file", FILES)
def test_a_killed_run_goes_on_to_the_same_bytes(
    place: Path, tmp_path: Path, killed: dict[tuple[str, str], Any], file: str, moment: str
) -> None:
    """At every kind of file: in its middle, and before a receipt tells of it."""
    root = root_of(place, file, moment)
    assert killed[file, moment] == -signal.SIGKILL
    assert any(path.as_posix().endswith(file) for path in root.rglob("*")) == (moment == "after")
    calm = run(place, tmp_path / "calm", *FILES[file])
    again = run(place, root, *FILES[file])
    assert (calm.exit_code, again.exit_code) == (0, 0), calm.output + again.output
    assert files_of(root) == files_of(tmp_path / "calm")


class Full:
    """A file on a disk that is full."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Nothing is left to write."""


@pytest.mark.parametrize("file", FILES)
def test_a_full_disk_ends_the_run_and_costs_no_byte(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """At every kind of file. Nothing stands under its name, and the same command goes on."""
    root, write = tmp_path / "root", writing.WholeFile.write

    def full(self: writing.WholeFile, data: Any) -> int:
        if self._path.endswith(file):
            self._file.close()
            self._file = Full()  # type: ignore[assignment]
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(writing.WholeFile, "write", full)
        done = run(place, root, *FILES[file])
    assert done.exit_code == 5, done.output
    assert "no space left" in done.output
    assert "it goes on where it stopped" in done.output
    assert not [path for path in root.rglob("*") if path.as_posix().endswith(file) or writing.TMP_MARK in path.name]
    assert run(place, root, *FILES[file]).exit_code == 0
    assert run(place, tmp_path / "calm", *FILES[file]).exit_code == 0
    assert files_of(root) == files_of(tmp_path / "calm")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[faulty.Faults]:
    with faulty.faults(monkeypatch) as made:
        yield made


@pytest.mark.parametrize("file", ["train.bin", "tokens.json"])
def test_an_upload_that_is_refused_costs_its_task(place: Path, faults: faulty.Faults, file: str) -> None:
    """On an object store: the run says 3 and names the task; the next one does that and what hangs on it."""
    refused = OSError(errno.EIO, "InternalError")
    faults.fault = lambda call, path, n: refused if call == "put" and path.endswith(f"/tokenize/{file}") else None
    done = run(place, "faulty://there/root", *MIXED)
    assert done.exit_code == 3, done.output
    assert file.partition(".")[0] in done.output
    faults.fault = lambda call, path, n: None
    for root in ("faulty://there/root", "faulty://calm/root"):
        done = run(place, root, *MIXED)
        assert done.exit_code == 0, done.output
    found, expected = (
        {
            name: storage.read_bytes(f"faulty://{base}/root/tokenize/{name}")
            for name in storage.find(f"faulty://{base}/root/tokenize")
        }
        for base in ("there", "calm")
    )
    assert found == expected
    assert file in found
