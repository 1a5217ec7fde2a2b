"""A signal to what is fetching: heard between two steps of a task, once, and never lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from redpajama_data.download.client import Client


class Heard(BaseException):
    """What the handler of these tests raises."""


@pytest.fixture
def handled() -> Iterator[Any]:
    def raise_it(number: int, frame: FrameType | None) -> None:
        raise Heard(number)

    before = {number: signal.signal(number, raise_it) for number in (signal.SIGTERM, signal.SIGINT)}
    yield raise_it
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_step_is_ended_before_a_signal_is_heard(handled: Any, number: signal.Signals) -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("written")
        os.kill(os.getpid(), number)
        done.append("noted")
        try:
            await asyncio.Event().wait()
        finally:
            done.append("ended in order")

    with Client() as client, pytest.raises(Heard):
        client.run(work())
    assert done == ["written", "noted", "ended in order"]
    assert signal.getsignal(number) is handled


def test_a_signal_in_the_last_step_is_heard(handled: Any) -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with Client() as client, pytest.raises(Heard):
        client.run(work())


def test_what_fails_leaves_the_handlers_as_they_were(handled: Any) -> None:
    async def work() -> None:
        raise ValueError("no")

    with Client() as client, pytest.raises(ValueError, match="no"):
        client.run(work())
    assert signal.getsignal(signal.SIGTERM) is handled


def test_a_thread_that_hears_no_signals_may_fetch() -> None:
    async def work() -> int:
        return 7

    def run() -> None:
        with Client() as client:
            got.append(client.run(work()))

    got: list[int] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert got == [7]


def test_a_second_signal_ends_a_step_that_does_not_come_to_its_end() -> None:
    code = """
import os, signal
from redpajama_data.download.client import Client
from redpajama_data.io.terminal import catch_signals

async def work():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        pass

catch_signals()
Client().run(work())
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 143
