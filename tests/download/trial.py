"""One download from the hostile server, in one loop with it and on its clock."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable
from pathlib import Path

from hostile_server import FakeClock, HostileServer

from redpajama_data.download import plan
from redpajama_data.download.client import Client
from redpajama_data.download.fetch import FetchReport, Options, fetch_async
from redpajama_data.download.plan import Listing, Wanted

STALL = 0.15  # seconds of the real clock: the only waiting in these tests


def content_of(seed: int, size: int) -> bytes:
    """Bytes that nothing compresses, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def members_of(seed: int, members: int = 8, size: int = 4000) -> bytes:
    """A gzip file of several members."""
    return b"".join(gzip.compress(content_of(seed + i, size), mtime=0) for i in range(members))


def run(
    folder: Path,
    files: list[Wanted],
    prepare: Callable[[HostileServer], None],
    *,
    options: Options | None = None,
    runs: int = 1,
    clock: FakeClock | None = None,
    connections: int | None = None,
    seed: int = 0,
) -> tuple[FetchReport, HostileServer]:
    """Fetch ``files`` (the host of their URLs is the server) as ``prepare`` sets it up, in so many runs; the report of
    the last one, and the server with its log."""
    clock = clock or FakeClock()
    server = HostileServer(clock)

    async def work() -> FetchReport:
        async with server.running():
            prepare(server)
            head = plan.save(str(folder), "toy", Listing("v", files), {})
            for _ in range(runs):
                client = client_for(server, seed=seed, connections=connections)
                try:
                    report = await fetch_async(head, str(folder), options or Options(quiet=True), client)
                finally:
                    await client.close()
            return report

    return asyncio.run(work()), server


def client_for(server: HostileServer, seed: int = 0, connections: int | None = None) -> Client:
    """A client to which every host that tests name is the server."""
    from redpajama_data.download.addresses import Addresses

    hosts = ("origin.test", "mirror.test", "data.commoncrawl.org")
    addresses = Addresses(dict.fromkeys(hosts, server.base))
    return Client(addresses, clock=server.clock, seed=seed, stall=STALL, connections=connections, contact="tests")
