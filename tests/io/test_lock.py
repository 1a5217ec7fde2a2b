"""One run a root: locks of the system for local roots, leases elsewhere. No clock is waited for."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from redpajama_data.errors import RootInUse, StorageError
from redpajama_data.io import conditional, lease, storage
from redpajama_data.io.holder import this_run
from redpajama_data.io.lease import Lease, lease_path
from redpajama_data.io.lock import hold


class Clock:
    """Time that passes when somebody sleeps; ``at_sleep`` is called then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at_sleep: Callable[[float], None] = lambda now: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.at_sleep(self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease, "time", made)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Iterator[str]:
    yield f"memory://{tmp_path}"
    for name in storage.find(f"memory://{tmp_path}"):
        storage.remove(f"memory://{tmp_path}/{name}")


def held_by(root: str, token: str, renewed: int = 0) -> None:
    storage.write_bytes(lease_path(root), msgspec.json.encode(Lease(this_run(), token, renewed)))


def holder(root: str) -> Any:
    return json.loads(storage.read_bytes(lease_path(root)) or b"null")


def test_a_lease_that_is_renewed_is_respected(root: str, clock: Clock) -> None:
    held_by(root, "other")
    clock.at_sleep = lambda now: held_by(root, "other", int(now // lease.RENEW))
    with (
        pytest.raises(RootInUse, match=r"is in use by .*process \d+ of .*Wait for it, or choose another --root"),
        hold(root),
    ):
        pass
    assert clock.now <= lease.RENEW + 1  # known at the first renewal
    assert holder(root)["token"] == "other"


def test_a_lease_that_nobody_renews_is_taken_over_after_its_time(root: str, clock: Clock, capsys: Any) -> None:
    held_by(root, "gone")
    with hold(root) as token:
        assert clock.now >= lease.LEASE
        assert holder(root)["token"] == token
    assert holder(root) is None
    assert "looking whether that run is alive" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"host": "x", "pid": 1}', b"\xff\xfe", b"null"])
def test_a_damaged_lease_is_one_that_nobody_renews(root: str, clock: Clock, data: bytes) -> None:
    storage.write_bytes(lease_path(root), data)
    with hold(root) as token:
        assert clock.now >= lease.LEASE
        assert holder(root)["token"] == token


def test_a_damaged_lease_that_changes_is_somebodys(root: str, clock: Clock) -> None:
    storage.write_bytes(lease_path(root), b"{")
    clock.at_sleep = lambda now: storage.write_bytes(lease_path(root), b"{%d" % now)
    with pytest.raises(RootInUse, match="a run that is just starting or ending"), hold(root):
        pass


def test_a_lease_given_back_while_another_run_looks_is_free(root: str, clock: Clock) -> None:
    held_by(root, "other")
    clock.at_sleep = lambda now: (
        storage.remove(lease_path(root)) if now == 3 and holder(root)["token"] == "other" else None
    )
    with hold(root) as token:
        assert holder(root)["token"] == token
        assert clock.now < lease.LEASE


@pytest.mark.parametrize("taken_over", [False, True])
def test_of_two_that_write_at_once_where_there_are_no_conditions_one_has_the_root(
    root: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, taken_over: bool
) -> None:
    """A store that ignores conditions lets both write. The later one's token stays, and both look again."""

    def create(path: str, data: bytes) -> bool:
        storage.write_bytes(path, data)
        return True

    def replace(path: str, data: bytes, seen: conditional.Version) -> bool:
        storage.write_bytes(path, data)
        return True

    if taken_over:
        held_by(root, "gone")
    else:
        monkeypatch.setattr(conditional, "create", create)
    monkeypatch.setattr(conditional, "replace", replace)
    monkeypatch.setattr(lease, "SETTLE", 2.0)

    def other_writes(now: float) -> None:
        if now >= (lease.LEASE if taken_over else 0):
            held_by(root, "other", int(now))

    clock.at_sleep = other_writes
    with pytest.raises(RootInUse), hold(root):
        pass
    assert holder(root)["token"] == "other"


def test_release_leaves_the_lease_of_another_run(root: str, clock: Clock) -> None:
    with hold(root):
        held_by(root, "other")
    assert holder(root)["token"] == "other"


def test_a_run_whose_lease_was_taken_stops(root: str, clock: Clock) -> None:
    with hold(root) as token:
        lease.check(root, token)
        held_by(root, "other")
        with pytest.raises(
            RootInUse, match=r"taken this root over.*Nothing more is written.*run the same command again"
        ):
            lease.check(root, token)
    lease.check(root, "")  # a root held by a lock


def test_the_answer_to_a_creation_that_was_lost_is_no_other_run(
    root: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object was written, its answer did not come, and the attempt after it finds an object."""
    real = conditional.create

    def lost(path: str, data: bytes) -> bool:
        real(path, data)
        return real(path, data)

    monkeypatch.setattr(conditional, "create", lost)
    with hold(root):
        assert clock.now == 0


def test_it_is_renewed_until_the_end(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW", 0.001)
    renewed = threading.Event()
    real = conditional.replace

    def failing_first(path: str, data: bytes, seen: conditional.Version) -> bool:
        if msgspec.json.decode(data, type=Lease).renewed == 1:
            raise StorageError("no answer", passing=True)
        done = real(path, data, seen)
        renewed.set()
        return done

    monkeypatch.setattr(conditional, "replace", failing_first)
    with hold(root) as token:
        assert renewed.wait(20)
        assert holder(root)["renewed"] >= 2
        lease.check(root, token)
    assert holder(root) is None


def test_many_that_start_at_once(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that race for one root: at any moment at most one has it."""
    monkeypatch.setattr(lease, "_LOOK", 0.001)
    monkeypatch.setattr(lease, "RENEW", 0.001)
    start, all_done = threading.Barrier(8), threading.Barrier(9)
    holding: list[str] = []
    one_step, real = threading.Lock(), conditional.create

    def create(path: str, data: bytes) -> bool:
        with one_step:  # as S3 does it; the store in memory looks and writes
            return real(path, data)

    monkeypatch.setattr(conditional, "create", create)

    def go() -> None:
        start.wait(20)
        try:
            with hold(root) as token:
                holding.append(token)
                all_done.wait(20)
        except RootInUse:
            all_done.wait(20)

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    all_done.wait(20)
    for thread in threads:
        thread.join(20)
    assert len(holding) == 1
    assert holder(root) is None


def test_a_disk_without_locks_is_held_by_a_lease(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def flock(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    root = str(tmp_path)
    with hold(root) as token:
        assert holder(root)["token"] == token
        before = conditional.read_version(lease_path(root))
        clock.at_sleep = lambda now: held_by(root, token, int(now))
        with pytest.raises(RootInUse), hold(root):
            pass
        assert before is not None
    assert holder(root) is None


def test_a_root_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="is a file, and a folder is needed"), hold(str(tmp_path / "file")):
        pass


def test_the_command_line_is_not_told(root: str, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address may hold a password, and everybody who reads the root reads its lock."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/rpj", "run", "--input", "https://me:secret@host/x"])
    with hold(root), hold(str(tmp_path)):
        remote, at_home = storage.read_bytes(lease_path(root)), (tmp_path / "_run" / "holder.json").read_bytes()
        assert (holder(root)["holder"]["program"], holder(root)["holder"]["verb"]) == ("rpj", "run")
        assert b"secret" not in (remote or b"") + at_home
    monkeypatch.setattr(sys, "argv", ["rpj", "https://me:secret@host/x"])
    assert this_run().verb == ""
