"""What is shown of a download: a line a minute without a terminal, bars with one."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import struct
import sys
import termios
from pathlib import Path

import pytest
from hostile_server import Behaviour, FakeClock, HostileServer, then
from trial import client_for, content_of

from redpajama_data.download import fetch, plan, progress
from redpajama_data.download.fetch import FetchReport, Options, fetch_async
from redpajama_data.download.hosts import Hosts
from redpajama_data.download.plan import Listing, Wanted
from redpajama_data.download.progress import Progress


class Time:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_there_is_a_line_a_minute(capfd: pytest.CaptureFixture[str]) -> None:
    clock = Time()
    with Progress("c4", 3, 1_000_000_000, 400_000_000, clock=clock) as show:
        show.begin("a.gz", 300_000_000)
        for second in range(1, 181):
            clock.now = float(second)
            show.came("a.gz", second * 1_000_000, 1_000_000)
            show.tick()
        assert capfd.readouterr().err.splitlines() == [
            "c4: 0 of 3 files fetched, 460.0 MB of 1.0 GB, 1.0 MB/s, 09:00 left; a.gz 20 %",
            "c4: 0 of 3 files fetched, 520.0 MB of 1.0 GB, 1.0 MB/s, 08:00 left; a.gz 40 %",
            "c4: 0 of 3 files fetched, 580.0 MB of 1.0 GB, 1.0 MB/s, 07:00 left; a.gz 60 %",
        ]
        show.end("a.gz", whole=True)
    assert capfd.readouterr().err.startswith("c4: 1 of 3 files fetched")


def test_a_minute_in_which_nothing_comes_says_what_is_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    clock, fake = Time(), FakeClock()
    hosts = Hosts(fake, seed=1)
    with Progress("c4", 3, 1000, 0, clock=clock, waits=hosts.waits) as show:
        hosts.of("origin.test").refused(503, {"retry-after": "600"})
        clock.now = 59.0
        show.tick()
        assert not capfd.readouterr().err
        clock.now = 60.0
        show.tick()
        said = capfd.readouterr().err
        assert "for origin.test" in said
        assert 600 <= int(said.split("waits ")[1].split()[0]) <= 750
        fake.time += 760
        clock.now = 120.0
        show.tick()
        assert "waits" not in capfd.readouterr().err


def test_a_file_that_goes_on_or_begins_again_is_shown_where_it_is() -> None:
    show = Progress("c4", 1, 1000, 0)
    show.begin("a", 1000)
    show.came("a", 700, 100)  # 600 were here
    assert "a 70 %" in show.line()
    assert "700 B of 1.0 kB" in show.line()
    show.came("a", 50, 50)  # the host gave everything anew
    assert "a 5 %" in show.line()
    assert "50 B of 1.0 kB" in show.line()


def test_with_a_terminal_there_are_bars_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.openpty()
    fcntl.ioctl(write, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    with open(write, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        clock = Time()
        with Progress("c4", 2, 1000, 200, clock=clock) as show:
            show.begin("a.gz", 500)
            clock.now = 100.0
            show.came("a.gz", 250, 250)
            show.tick()
            terminal.flush()
    shown = ""
    with contextlib.suppress(OSError):  # EIO: all of it is read
        while data := os.read(read, 1 << 16):
            shown += data.decode()
    os.close(read)
    assert "c4:" in shown
    assert "a.gz:" in shown
    assert "%|" in shown
    assert "files fetched" not in shown


def test_quiet_is_quiet_and_a_closed_standard_error_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = Time()
    with Progress("c4", 1, 10, 0, quiet=True, clock=clock) as show:
        clock.now = 100.0
        show.tick()
    assert not capfd.readouterr().err
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with Progress("c4", 1, 10, 0, clock=clock) as show:
        clock.now = 200.0
        show.tick()


def test_a_run_says_something_while_its_host_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_PLAIN_EVERY", 0.0)
    monkeypatch.setattr(fetch, "_TICK", 0.02)
    server = HostileServer(FakeClock())
    good = Behaviour(content_of(1, 10_000))

    async def work() -> FetchReport:
        async with server.running():
            server.in_turn("x.bin", then(good, stall_after=0), good)
            head = plan.save(str(tmp_path), "toy", Listing("v", [Wanted("x.bin", "https://origin.test/x.bin")]), {})
            client = client_for(server)
            try:
                return await fetch_async(head, str(tmp_path), Options(), client)
            finally:
                await client.close()

    assert asyncio.run(work()).complete
    assert capfd.readouterr().err.count("toy: 0 of 1 files fetched, 0 B") >= 3
