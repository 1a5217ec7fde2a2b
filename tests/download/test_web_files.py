"""Raw files read where they are: the bytes of the origin or an error, in the manners of the host, across processes."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_server import Behaviour, FakeClock, HostileServer, then
from trial import content_of

from redpajama_data.download import hosts
from redpajama_data.download.hosts import Clock
from redpajama_data.download.manners import BY_HOST, Manners
from redpajama_data.download.shared import SharedHost, SharedHosts
from redpajama_data.errors import InputUnavailable, UsageError
from redpajama_data.io import storage

BODY = content_of(3, 3_000_000)
GOOD = Behaviour(BODY)
CUT = then(GOOD, cut_after=1_700_000)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passes when it is waited for, and hosts that no other test shares."""
    monkeypatch.setattr(hosts, "Clock", FakeClock)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@contextlib.contextmanager
def serving(server: HostileServer) -> Iterator[HostileServer]:
    """The server in a thread: what reads is not asynchronous."""
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server.running():
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with serving(HostileServer(FakeClock())) as running:
        yield running


def read(url: str) -> bytes:
    with storage.open_input(url) as file:
        return file.read()


# what happens before the good answers; how many requests for content it takes
COMES: dict[str, tuple[list[Behaviour], int]] = {
    "at once": ([], 1),
    "cut": ([CUT], 2),
    "cut twice": ([CUT, then(GOOD, cut_after=900_000)], 3),
    "no ranges": ([then(CUT, ranges=False), then(GOOD, ranges=False)], 2),
    "ranges shifted": ([CUT, then(GOOD, content_range="shifted")], 2),
    "429": ([then(GOOD, status=429, retry_after="7")], 2),
    "503, then 500": ([then(GOOD, status=503), then(GOOD, status=500)], 3),
    "no length": ([then(GOOD, framing="chunked")], 1),
}


@pytest.mark.parametrize("case", COMES)
def test_a_file_is_read_whole_whatever_the_server_does_first(server: HostileServer, case: str) -> None:
    before, requests = COMES[case]
    server.in_turn("x.bin", *before, GOOD)
    assert read(f"{server.base}/x.bin") == BODY
    content = [request for request in server.log if request.path == "x.bin"]
    assert len(content) == requests
    assert all(request.headers["User-Agent"].startswith("rpj/") for request in content)
    assert all(request.headers["Accept-Encoding"] == "identity" for request in content)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ([CUT, then(GOOD, content=content_of(4, 3_000_000))], "it changed while it was read"),
        ([then(GOOD, status=403)], "access refused"),
        ([then(GOOD, status=503, retry_after="86400")], "asks to be left alone for 24.0 hours"),
        ([then(GOOD, status=500)], "does not answer as it should"),
    ],
)
def test_what_does_not_come_is_an_error_that_may_pass(
    server: HostileServer, before: list[Behaviour], said: str
) -> None:
    server.in_turn("x.bin", *before)
    with pytest.raises(InputUnavailable, match=said):
        read(f"{server.base}/x.bin")


def test_a_place_is_asked_for_and_a_near_one_read_over() -> None:
    with serving(HostileServer(FakeClock())) as server:
        server.always("x.bin", GOOD)
        with storage.open_input(f"{server.base}/x.bin") as file:
            for place in (0, 500_000, 2_500_000, 2_999_990, 1_000_000):
                file.seek(place)
                assert file.read(10) == BODY[place : place + 10]
            file.seek(-5, 2)
            assert file.read() == BODY[-5:]
    asked = [request.headers.get("Range") for request in server.log]
    assert asked == [None, "bytes=2500000-", "bytes=1000000-", "bytes=2999995-"]


def test_size_and_version_are_asked_for_without_content(server: HostileServer) -> None:
    server.always("x.bin", GOOD)
    found = storage.stat(f"{server.base}/x.bin")
    assert found.bytes == len(BODY)
    assert found.stamp
    server.always("x.bin", then(GOOD, content=content_of(4, 3_000_000)))
    assert storage.stat(f"{server.base}/x.bin").stamp != found.stamp
    with pytest.raises(UsageError, match="no such file"):
        storage.stat(f"{server.base}/y.bin")


def test_a_host_that_wants_a_contact_is_not_asked_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RPJ_CONTACT", raising=False)
    with pytest.raises(UsageError, match="Set RPJ_CONTACT"):
        read("https://dumps.wikimedia.org/enwiki/x.bz2")


def test_the_address_of_a_host_holds_for_input(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.always("x.bin", GOOD)
    monkeypatch.setenv("RPJ_ADDRESS_RAW_EXAMPLE_ORG", server.base)
    assert read("https://raw.example.org/x.bin") == BODY


# ---------------------------------------------------------------------------------------------- across processes


def _hold(name: str, folder: str, clock: Clock | None, got: Any, let_go: Any) -> None:
    tempfile.tempdir = folder

    async def hold() -> None:
        async with SharedHosts(clock).of(name).slot():
            got.put(1)
            let_go.wait(60)

    asyncio.run(hold())


def test_processes_have_no_more_connections_together_than_the_host_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BY_HOST, "two.test", Manners(2))
    context = multiprocessing.get_context("fork")
    got, let_go = context.Queue(), context.Event()
    workers = [
        context.Process(target=_hold, args=("two.test", str(tmp_path), None, got, let_go), daemon=True) for _ in "abc"
    ]
    for worker in workers:
        worker.start()
    assert [got.get(timeout=30) for _ in range(2)] == [1, 1]
    assert got.empty()  # two have one each, the third waits
    third = SharedHosts().of("two.test")
    assert isinstance(third, SharedHost)
    assert third._free_lock() is None
    let_go.set()
    assert got.get(timeout=30) == 1
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0


def test_a_process_that_has_a_connection_may_open_another_file() -> None:
    async def twice() -> None:
        shared = SharedHosts()
        async with shared.of("one.gutenberg.org").slot(), SharedHosts(shared.clock).of("one.gutenberg.org").slot():
            pass

    asyncio.run(asyncio.wait_for(twice(), 30))


def test_what_one_process_is_told_holds_for_the_next() -> None:
    """Both of them have clocks of their own."""

    async def asked(clock: FakeClock) -> float:
        async with SharedHosts(clock).of("data.commoncrawl.org").slot():
            return clock.now()

    first, second = FakeClock(), FakeClock()
    assert asyncio.run(asked(first)) == 1000.0
    assert asyncio.run(asked(second)) == pytest.approx(1001.0, abs=0.01)  # a second between two requests
    SharedHosts(second).of("data.commoncrawl.org").refused(403, {})
    later = asyncio.run(asked(first))
    assert 1060.0 <= later <= 1080.0
    SharedHosts(second).of("data.commoncrawl.org").refused(403, {})
    assert asyncio.run(asked(first)) >= 1120.0  # the second refusal in a row costs twice as much
