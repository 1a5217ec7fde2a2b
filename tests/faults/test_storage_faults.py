"""Storage that fails, end to end: whatever fails, and however long, running again gives the undisturbed bytes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import faulty
import pytest
import toy

from redpajama_data.config import RunConfig
from redpajama_data.engine.executors import open_executor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import RunSettings
from redpajama_data.engine.tasks import Workplace
from redpajama_data.errors import StorageError
from redpajama_data.io import retries, storage
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import root_status
from redpajama_data.whole_run import run_parts

Go = Callable[..., SliceRun]
SHARDS = 4


class PayloadError(Exception):
    """As aiohttp's, which is no OSError."""


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[faulty.Faults]:
    with faulty.faults(monkeypatch) as made:
        yield made


@pytest.fixture(params=["local", "remote"])
def base(request: pytest.FixtureRequest, tmp_path: Path, faults: faulty.Faults) -> str:
    """A folder, with raw/ of some shards in it."""
    folder = str(tmp_path) if request.param == "local" else f"faulty://{tmp_path}"
    for shard in range(SHARDS):
        texts = [f"shard {shard} document {n} " + "word " * 300 for n in range(200)]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        storage.write_bytes(f"{folder}/raw/{shard}.jsonl", lines.encode())
    faults.calls.clear()
    return folder


@pytest.fixture
def go(tiny_tokenizer: ModelFile) -> Go:
    def run(base: str, root: str = "root") -> SliceRun:
        settings = toy.ToySettings(input=(f"{base}/raw",))
        quiet = partial(StageProgress, quiet=True)
        with open_executor("serial", workers=1) as executor:
            inputs = list_inputs(toy.SLICE, settings.input)
            place = Workplace(f"{base}/{root}", 1 << 26)
            return run_slice(toy.SLICE, settings, RunSettings(tiny_tokenizer, 0.5), inputs, executor, place, quiet)

    return run


def published(base: str, root: str = "root") -> dict[str, bytes | None]:
    folder = f"{base}/{root}/toy"
    return {name: storage.read_bytes(f"{folder}/{name}") for name in storage.find(folder)}


def clean(base: str) -> bool:
    return all(problem is None for _, problem in root_status.verify(f"{base}/root"))


READS: list[Any] = [
    TimeoutError("timed out"),
    OSError(errno.EIO, os.strerror(errno.EIO)),
    OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    FileNotFoundError(errno.ENOENT, "away"),
    PermissionError("The provided token has expired"),
    PayloadError("not enough data"),
    MemoryError(),
    0,
]


@pytest.mark.parametrize(
    "failure", READS, ids=lambda failure: type(failure).__name__ + str(getattr(failure, "errno", ""))
)
@pytest.mark.parametrize("lasting", [False, True])
def test_a_read_that_fails(base: str, go: Go, faults: faulty.Faults, failure: Any, lasting: bool) -> None:
    """Of one raw file, in its middle. The next run gives what an undisturbed one does, and before nothing is done."""
    if isinstance(failure, PayloadError) and not storage.is_remote(base):
        pytest.skip("local files raise no such error")
    go(base, "undisturbed")
    final = isinstance(failure, MemoryError)

    def fault(call: str, path: str, n: int) -> Any:
        if call != "read" or not path.endswith("/raw/2.jsonl"):
            return None
        return 100_000 if n == 1 else failure if n == 2 or lasting else None

    faults.calls.clear()
    faults.fault = fault
    first = go(base)
    assert first.broken() == []
    failed = [(entry.stage, entry.task) for entry in first.quarantined]
    assert failed == ([("clean", "2")] if lasting or final else [])
    if failed and not isinstance(failure, MemoryError):
        assert first.quarantined[0].reason.endswith("then run the same command again.")
    faults.fault = lambda call, path, n: None
    second = go(base)
    assert second.quarantined == []
    assert (second.done_now > 0) == bool(failed)
    assert published(base) == published(base, "undisturbed")
    assert clean(base)


def test_a_file_that_is_away_during_a_run(base: str, go: Go, faults: faulty.Faults) -> None:
    """As it is when a disk is mounted anew: the file is there when the run is planned, and later."""
    go(base, "undisturbed")
    away = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    faults.fault = lambda call, path, n: away if call in ("read", "open") and path.endswith("/raw/3.jsonl") else None
    first = go(base)
    assert [entry.task for entry in first.quarantined] == ["3"]
    assert "no such file" in first.quarantined[0].reason
    faults.fault = lambda call, path, n: None
    assert go(base).quarantined == []
    assert published(base) == published(base, "undisturbed")


@pytest.fixture
def store(base: str) -> str:
    if not storage.is_remote(base):
        pytest.skip("these requests are of an object store")
    return base


@pytest.mark.parametrize("call", ["put", "find", "cat", "rm", "info", "open"])
@pytest.mark.parametrize("every", [3, 7])
def test_requests_that_fail_now_and_then_cost_nothing(
    store: str, go: Go, faults: faulty.Faults, call: str, every: int
) -> None:
    go(store, "undisturbed")
    asked = 0

    def fault(name: str, path: str, n: int) -> Exception | None:
        nonlocal asked
        asked += name == call
        return OSError(errno.EBUSY, "SlowDown") if name == call and not asked % every else None

    faults.fault = fault
    assert go(store).quarantined == []
    faults.fault = lambda name, path, n: None
    assert published(store) == published(store, "undisturbed")
    assert clean(store)


def test_an_upload_that_fails_for_good_costs_its_task(store: str, go: Go, faults: faulty.Faults) -> None:
    go(store, "undisturbed")
    refused = OSError(errno.EIO, "InternalError")
    faults.calls.clear()
    faults.fault = lambda call, path, n: refused if call == "put" and "/root/toy/1." in path else None
    first = go(store)
    [entry] = first.quarantined
    assert (entry.stage, entry.task) == ("publish", "1")
    assert "goes on where it stopped" in entry.reason
    assert max(faults.calls.values()) >= retries.ATTEMPTS
    assert len(first.receipts["publish"]) == SHARDS - 1
    faults.fault = lambda call, path, n: None
    assert go(store).done_now == 1
    assert published(store) == published(store, "undisturbed")


@pytest.mark.parametrize("name", ["quarantine.json", "run.json"])
def test_a_root_that_takes_no_account_ends_the_run(store: str, go: Go, faults: faulty.Faults, name: str) -> None:
    """A failure that cannot be written down may not pass for nothing."""
    refused = OSError(errno.EIO, "InternalError")
    faults.fault = lambda call, path, n: refused if call == "put" and path.endswith((name, "1.jsonl.zst")) else None
    with pytest.raises(StorageError, match=r"does not answer as it should.*goes on where it stopped") as caught:
        go(store)
    assert caught.value.exit_code == 5
    faults.fault = lambda call, path, n: None
    assert go(store).quarantined == []


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, r"no space left\. Free some"),
        (errno.EDQUOT, r"quota of this user is used up"),
        (errno.EROFS, r"mounted read-only\. Mount it for writing"),
        (errno.EACCES, r"may not write there\. Get the right to"),
        (errno.EFBIG, r"largest file size .*Raise the limit with ulimit -f"),
        (errno.EMFILE, r"too many open files \(limit [\d,]+\)\. Raise the limit with ulimit -n"),
        (errno.EIO, r"the disk failed"),
    ],
)
def test_what_a_local_write_fails_of_is_told_apart(tmp_path: Path, number: int, said: str) -> None:
    error = retries.not_written(str(tmp_path), OSError(number, os.strerror(number)))
    with pytest.raises(StorageError, match=said + r".*run the same command again: it goes on where it stopped\.$"):
        raise error
    assert error.passing == (number in (errno.EMFILE, errno.EIO))


def test_a_full_disk_ends_the_run(
    tmp_path: Path, go: Go, faults: faulty.Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is the disk of the temporary files of uploads, which is named then."""
    from redpajama_data.io import writing

    storage.write_bytes("faulty://full/raw/0.jsonl", b'{"text": "one two three"}\n')
    real = writing.WholeFile.write

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self: writing.WholeFile, data: Any) -> int:
        if "/root/toy/" in self._path:
            self._file = Full(self._file)  # type: ignore[assignment]
        return real(self, data)

    monkeypatch.setattr(writing.WholeFile, "write", write)
    with pytest.raises(StorageError, match=r"by way of .*no space left"):
        go("faulty://full")


def test_a_store_that_never_answers_is_one_error(faults: faulty.Faults, tiny_tokenizer: ModelFile) -> None:
    """Before the first task, whether it is the root's or the input's."""
    storage.write_bytes("faulty://there/raw/0.jsonl", b'{"text": "one two three"}\n')
    faults.fault = lambda call, path, n: OSError(errno.EBUSY, "SlowDown") if "gone" in path else None
    for raw, root, code in (("there", "gone", 5), ("gone", "there", 3)):
        settings = toy.ToySettings(input=(f"faulty://{raw}/raw",))
        config = RunConfig(root=f"faulty://{root}/root", tokenizer=tiny_tokenizer.path, executor="serial")
        with pytest.raises(Exception, match=r"does not answer as it should \(SlowDown\)") as caught:
            run_parts([(toy.SLICE, settings)], config, quiet=True)
        assert caught.value.exit_code == code  # type: ignore[attr-defined]
