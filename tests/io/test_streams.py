"""Reading: a failure that passes costs nothing, one that lasts is no damage, damage keeps every byte before it."""

from __future__ import annotations

import asyncio
import bz2
import errno
import gzip
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faulty
import numpy as np
import pytest
import zstandard

from redpajama_data.errors import BrokenInput, InputUnavailable
from redpajama_data.io import retries, storage
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.rows import read_rows
from redpajama_data.io.storage import open_input
from redpajama_data.io.streams import open_decompressed

WORDS = [f"{random.Random(i).getrandbits(64):x}" for i in range(30_000)]
TEXT = b"".join(b"%s %d\n" % (word.encode(), i) for i, word in enumerate(WORDS))
CODECS = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bz2": bz2.compress,
    "txt": bytes,
}
PASSING: list[Any] = [
    TimeoutError("timed out"),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    OSError(errno.EIO, os.strerror(errno.EIO)),
    OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    FileNotFoundError(errno.ENOENT, "away for a moment"),
    0,  # the body ends here
]


class ClientError(Exception):
    """As aiohttp's and botocore's, which are no OSError."""


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[faulty.Faults]:
    with faulty.faults(monkeypatch) as made:
        yield made


@pytest.fixture(params=["local", "remote"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, faults: faulty.Faults) -> str:
    return str(tmp_path) if request.param == "local" else f"faulty://{tmp_path}"


def read_all(path: str) -> bytes:
    with open_decompressed(path) as stream:
        return b"".join(iter(lambda: stream.read(10_000), b""))


@pytest.mark.parametrize(
    "failure", PASSING, ids=lambda failure: type(failure).__name__ + str(getattr(failure, "errno", ""))
)
@pytest.mark.parametrize("ending", CODECS)
def test_a_read_that_fails_for_a_moment_costs_nothing(
    folder: str, faults: faulty.Faults, ending: str, failure: Any
) -> None:
    """Whatever read it is, and however many one after the other."""
    path = f"{folder}/a.{ending}"
    storage.write_bytes(path, CODECS[ending](TEXT))
    for at in (1, 2, 3):
        for times in (1, retries.ATTEMPTS - 1):
            faults.calls.clear()
            faults.fault = lambda call, _, n, at=at, times=times: (
                failure if call == "read" and at <= n < at + times else None
            )
            assert read_all(path) == TEXT


@pytest.mark.parametrize(
    "error", [ClientError("payload"), PermissionError("The provided token has expired"), asyncio.TimeoutError()]
)
def test_errors_of_clients_that_pass(faults: faulty.Faults, error: Exception) -> None:
    storage.write_bytes("faulty://x/a.gz", gzip.compress(TEXT))
    faults.fault = lambda call, _, n: error if call in ("read", "open") and n == 1 else None
    assert read_all("faulty://x/a.gz") == TEXT


@pytest.mark.parametrize(
    "failure",
    [*PASSING, ClientError("payload")],
    ids=lambda failure: type(failure).__name__ + str(getattr(failure, "errno", "")),
)
@pytest.mark.parametrize("ending", CODECS)
def test_a_read_that_fails_for_good_is_no_damage(
    tmp_path: Path, faults: faulty.Faults, ending: str, failure: Any
) -> None:
    for folder in (str(tmp_path), f"faulty://{tmp_path}"):
        if isinstance(failure, ClientError) and not storage.is_remote(folder):
            continue
        path = f"{folder}/a.{ending}"
        storage.write_bytes(path, CODECS[ending](TEXT))
        faults.calls.clear()
        faults.fault = lambda call, _, n: failure if call == "read" and n > 1 else None
        with pytest.raises(InputUnavailable, match=r"then run the same command again\.$"):
            read_all(path)
        assert faults.count("read") == 1 + retries.ATTEMPTS


def test_memory_errors_pass(folder: str, faults: faulty.Faults) -> None:
    storage.write_bytes(f"{folder}/a.gz", gzip.compress(TEXT))
    faults.fault = lambda call, _, n: MemoryError() if call == "read" else None
    with pytest.raises(MemoryError):
        read_all(f"{folder}/a.gz")
    assert faults.count("read") == 1


def test_reads_after_a_seek(folder: str, faults: faulty.Faults) -> None:
    storage.write_bytes(f"{folder}/a", TEXT)
    faults.fault = lambda call, _, n: OSError(errno.EIO, "io") if call == "read" and n % 2 else None
    with open_input(f"{folder}/a") as file:
        for place in (300_000, 10, 200_000):
            file.seek(place)
            assert (file.tell(), file.read(70_000)) == (place, TEXT[place : place + 70_000])
        assert file.seek(-5, os.SEEK_END) == len(TEXT) - 5
        assert (file.read(), file.read()) == (TEXT[-5:], b"")


def test_a_file_that_became_another_one_in_between(folder: str, faults: faulty.Faults) -> None:
    """What is read after the failure would not go with what was read before."""
    path = f"{folder}/a"
    storage.write_bytes(path, TEXT)

    def fault(call: str, _: str, n: int) -> Exception | None:
        if call == "read" and n == 2:
            storage.write_bytes(path, TEXT[::-1])
            return OSError(errno.EIO, "io")
        return None

    faults.fault = fault
    with pytest.raises(InputUnavailable, match="changed while it was read"):
        read_all(path)


def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(TEXT)
    with open_input(str(path)) as file, path.open("ab") as more:
        file.read(10)
        more.write(b"more")
        more.flush()
        with pytest.raises(InputUnavailable, match="changed while it was read"):
            file.read()


def test_rows_that_fail_for_a_moment(folder: str, faults: faulty.Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(4_000, dtype="<u4").reshape(-1, 4)
    storage.write_bytes(f"{folder}/rows", rows.tobytes())
    wanted = np.arange(0, 1_000, 3)
    pread = os.pread
    fails = iter([OSError(errno.EIO, "io")])

    def once(file: int, size: int, place: int) -> bytes:
        for error in fails:
            raise error
        return pread(file, size, place)

    monkeypatch.setattr(os, "pread", once)
    faults.fault = lambda call, _, n: [ClientError("x"), 5, None][min(n, 3) - 1] if call == "cat" else None
    assert np.array_equal(read_rows(f"{folder}/rows", wanted, 16).view("<u4"), rows[wanted])
    faults.fault = lambda call, _, n: OSError(errno.EIO, "io") if call in ("cat", "read") else None
    monkeypatch.setattr(os, "pread", lambda *arguments: b"")
    with pytest.raises(InputUnavailable):
        read_rows(f"{folder}/rows", wanted, 16)


# ------------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_damage_in_the_middle_keeps_what_came_before(tmp_path: Path, ending: str, share: float) -> None:
    """Lost is what a decoder was fed last: 4 KiB of gzip, a block of the others (128 KiB, 100 KB at level 1)."""
    packed = bytearray(bz2.compress(TEXT, 1) if ending == "bz2" else CODECS[ending](TEXT))
    at = int(len(packed) * share)
    packed[at : at + 40] = b"\xff" * 40
    path = tmp_path / f"a.{ending}"
    path.write_bytes(packed)
    lines: list[Any] = []
    with pytest.raises(BrokenInput, match="damaged"):
        lines.extend(iter_lines(str(path), max_bytes=1 << 20))
    whole = TEXT[: int(len(TEXT) * share)].splitlines()
    lost = {"gz": 16 << 10, "zst": 144 << 10, "bz2": 250_000}[ending]
    assert lines[: len(whole) - 5000] == TEXT.splitlines()[: len(lines[: len(whole) - 5000])]
    assert len(b"\n".join(lines)) >= len(TEXT) * share - lost


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2"])
def test_an_early_end_at_the_full_length_is_damage(folder: str, faults: faulty.Faults, ending: str) -> None:
    path = f"{folder}/a.{ending}"
    storage.write_bytes(path, CODECS[ending](TEXT)[:-9])
    with pytest.raises(BrokenInput, match="ends early"):
        read_all(path)
    assert faults.count("open") <= 2  # not tried again: all of it was read


def test_after_the_damage_comes_the_damage_again(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(TEXT)[:-9])
    with open_decompressed(str(path)) as stream:
        for _ in range(2):
            with pytest.raises(BrokenInput):
                while stream.read(1 << 20):
                    pass
