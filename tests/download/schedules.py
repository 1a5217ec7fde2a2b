"""Random schedules: servers that fail in every way at once, and a process that is killed at any call to the disk.

The property: a file that is there equals, whole, something that the origin had; when the server is well again, every
file comes; a host that refused was left alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from hostile_server import Behaviour, FakeClock, HostileServer, then
from trial import client_for, content_of, members_of

from redpajama_data.download import direct, plan
from redpajama_data.download.fetch import FetchReport, Options, fetch_async
from redpajama_data.download.plan import Listing, Wanted

_RUNS = 6  # of which the last ones meet a server that is well
_DISK = ("pwrite", "ftruncate", "fsync", "replace", "unlink")
_WAITS = {"": 10.0, "0": 10.0, "30": 30.0, "soon": 10.0, "-1": 10.0}  # Retry-After: seconds that are kept at least


class Killed(BaseException):
    """The process is no more."""


@contextmanager
def killed_after(calls: int, halfway: bool) -> Iterator[None]:
    """The process dies at its disk call of that number, which is carried out or not; none has an effect after it."""
    left = [calls]

    def dying(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] > 0:
                return call(*arguments, **named)
            if left[0] == 0 and halfway:
                if name == "pwrite":
                    file, data, place = arguments
                    call(file, data[: len(data) // 2], place)
                else:
                    call(*arguments, **named)
            raise Killed

        return wrapped

    patches = [mock.patch.object(os, name, dying(name, getattr(os, name))) for name in _DISK]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


class Origin:
    """One file: its versions, what the plan knows of it, and how the server gives it."""

    def __init__(self, name: str, chance: random.Random, connections: int) -> None:
        self.name, self._chance, self._connections = name, chance, connections
        self.well = False
        size = chance.choice([0, 1, 900, 70_000, 300_000, 1_500_000])
        gz = chance.random() < 0.3
        make = (lambda seed: members_of(seed)) if gz else (lambda seed: content_of(seed, size))
        seed = chance.randrange(1 << 30)
        knows = chance.choice(["nothing", "size", "hash"])
        self.versions = [make(seed)] if knows == "hash" else [make(seed), make(seed + 100)]
        body = self.versions[0]
        checks = {"md5": hashlib.md5(body).hexdigest()} if knows == "hash" else {}
        if knows == "size":
            self.versions = [v for v in self.versions if len(v) == len(body)]
        self._changes_at = chance.randrange(1, 12)
        self._etag = chance.choice(["strong", "strong", "weak", "none", "flapping"])
        self._dated, self._just = chance.random() < 0.7, chance.random() < 0.3
        self._knows = knows
        self.wanted = Wanted(
            name,
            f"https://origin.test/{name}",
            len(body) if knows == "size" else None,
            checks,
            walk="gzip" if gz else "none",
        )

    def answer(self, number: int) -> Behaviour:
        """How the request of that number is answered."""
        chance = self._chance
        content = self.versions[min(len(self.versions) - 1, number // self._changes_at)]
        good = Behaviour(content, etag=self._etag, dated=self._dated, just_modified=self._just)
        if self.well:
            return good
        known = self._knows != "nothing"
        kinds: list[dict[str, Any]] = [
            {},
            {"cut_after": chance.randrange(len(content) + 1)},
            {"cut_after": chance.randrange(len(content) + 1), "ranges": False},
            {"ranges": False},
            {"if_range": "ignored", "cut_after": chance.randrange(len(content) + 1)},
            {"if_range": "date only"},
            {"content_range": chance.choice(["shifted", "absent", "other total"])},
            {"short_range": chance.randrange(1, len(content) + 2)},
            {"status": chance.choice([429, 503]), "retry_after": chance.choice(list(_WAITS))},
            {"status": chance.choice([500, 502, 504, 403, 404])},
            {"framing": "chunked", "cut_after": chance.choice([None, chance.randrange(len(content) + 1)])},
            {"framing": "too long"},
            {"framing": "too short" if known else "length"},
            {"framing": "none" if known else "chunked", "cut_after": chance.randrange(len(content) + 1)},
            {"html": len(content) > 60},
            {"content_encoding": "gzip"},
            {"flip_at": chance.randrange(len(content) + 1) if self._knows == "hash" else None},
            {"redirect": "once"},
            {"cut_after": chance.randrange(len(content) + 1), "redirect": "once"},
        ]
        if chance.random() < 0.05:
            kinds = [{"stall_after": chance.randrange(len(content) + 1)}]
        return then(good, **chance.choice(kinds))


def problems_of(seed: int, folder: Path) -> list[str]:
    """Carry out the schedule of a seed in an empty folder; what is wrong afterwards (nothing, one hopes)."""
    chance = random.Random(seed)
    connections = chance.choice([1, 4])
    with mock.patch.object(direct, "LEAST", chance.choice([1, direct.LEAST])):
        return _problems_of(seed, chance, connections, folder)


def _problems_of(seed: int, chance: random.Random, connections: int, folder: Path) -> list[str]:
    origins = [Origin(f"f{i}.bin", chance, connections) for i in range(chance.randrange(1, 5))]
    server = HostileServer(FakeClock(), connection_limit=chance.choice([0, 0, 2]))
    problems: list[str] = []
    head = plan.save(str(folder), "toy", Listing("v", [origin.wanted for origin in origins]), {})

    async def one_run() -> FetchReport | None:
        client = client_for(server, chance.randrange(1 << 30), connections)
        try:
            return await fetch_async(head, str(folder), Options(quiet=True), client)
        except Killed:
            return None
        finally:
            await client.close()

    async def all_runs() -> None:
        async with server.running():
            for origin in origins:
                server.files[origin.name] = origin.answer
            for run in range(_RUNS):
                last = run >= _RUNS - 2
                for origin in origins:
                    origin.well = last
                server.connection_limit = 0 if last else server.connection_limit
                begun = len(server.log)
                if chance.random() < 0.6 and not last:
                    with killed_after(chance.randrange(1, 60), chance.random() < 0.5):
                        report = await one_run()
                else:
                    report = await one_run()
                problems.extend(_looked_at(folder, origins, run))
                if connections == 1:
                    problems.extend(_impolite(server, begun))
            if report is None or not report.complete:
                problems.append(f"not complete with a server that is well: {report}")

    asyncio.run(all_runs())
    return [f"seed {seed}: {problem}" for problem in problems]


def _looked_at(folder: Path, origins: list[Origin], run: int) -> list[str]:
    found = {origin.name: folder / "toy" / origin.name for origin in origins}
    return [
        f"run {run}: {origin.name} is there and is nothing that the origin had"
        for origin in origins
        if found[origin.name].exists() and found[origin.name].read_bytes() not in origin.versions
    ]


def _impolite(server: HostileServer, begun: int) -> list[str]:
    """With one connection the log is in order: after a refusal the next request comes late enough."""
    log = server.log[begun:]
    wrong = []
    for before, after in itertools.pairwise(log):
        if before.status in (429, 503) and after.time - before.time < 10:
            wrong.append(f"{after.path} was asked for {after.time - before.time:.1f} s after a {before.status}")
        if before.at_once > 1:
            wrong.append(f"{before.at_once} requests at once")
    return wrong
