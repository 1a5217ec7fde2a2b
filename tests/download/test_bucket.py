"""A bucket whose objects cost who asks: moto's S3 behind a proxy that refuses whoever does not say that he pays (moto
does not), and that fails as S3 does."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hostile_server import FakeClock
from trial import STALL, content_of

from redpajama_data.download import plan
from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client
from redpajama_data.download.fetch import FetchReport, Options, fetch_async
from redpajama_data.download.plan import Listing, Wanted

BODY = content_of(31, 400_000)
MD5 = {"md5": hashlib.md5(BODY).hexdigest()}
KEY = "s3://arxiv/src/arXiv_src_0001_001.tar"
FREE, PAID = Wanted("x.tar", KEY), Wanted("x.tar", KEY, len(BODY), MD5, requester_pays=True)
_SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=nobody/20260101/us-east-1/s3/aws4_request"
}  # moto asks no more
_SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass
class Proxy:
    """In front of the store: what it was asked, and how it fails (``cut``: bytes of an answer, then the connection
    ends; a number: that status; ``put``: the object becomes another one first)."""

    store: str
    clock: FakeClock
    turns: list[object]
    asked: list[tuple[float, str, str, int]] = field(default_factory=list)  # when, Range, If-Match, status

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        turn = self.turns.pop(0) if self.turns else None
        response = await self._answer(request, turn)
        headers = request.headers
        self.asked.append((self.clock.now(), headers.get("Range", ""), headers.get("If-Match", ""), response.status))
        return response

    async def _answer(self, request: web.Request, turn: object) -> web.StreamResponse:
        if request.headers.get("x-amz-request-payer") != "requester":
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        if turn == 503:
            return web.Response(status=503, text=_SLOW_DOWN, content_type="application/xml")
        async with aiohttp.ClientSession(auto_decompress=False, headers=_SIGNED) as session:
            if isinstance(turn, bytes):
                await session.put(self.store + request.path, data=turn)
            sent = {name: request.headers[name] for name in ("Range", "If-Match") if name in request.headers}
            async with session.get(self.store + request.path, headers=sent) as answer:
                body = await answer.read()
                kept = ("Content-Range", "ETag", "Last-Modified", "Content-Type")
                headers = {name: answer.headers[name] for name in kept if name in answer.headers}
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        cut = turn[1] if isinstance(turn, tuple) else None
        await response.write(body[:cut])
        if cut is not None:
            assert request.transport is not None
            request.transport.close()
        return response

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve on a port of 127.0.0.1; its address."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An S3 server with the bucket."""
    moto = importlib.import_module("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}.items():
            patch.setenv(key, value)
        yield f"http://{host}:{port}"
    server.stop()


Fetch = Callable[..., tuple[FetchReport, Proxy]]


@pytest.fixture
def fetch(store: str, tmp_path: Path) -> Fetch:
    """Put the object there and fetch it into the test's folder, with these turns of the proxy."""

    def run(wanted: Wanted, *turns: object, body: bytes = BODY) -> tuple[FetchReport, Proxy]:
        proxy = Proxy(store, FakeClock(), list(turns))

        async def work() -> FetchReport:
            async with aiohttp.ClientSession(headers=_SIGNED) as session:
                await session.put(f"{store}/arxiv")
                await session.put(f"{store}/arxiv/src/arXiv_src_0001_001.tar", data=body)
            async with proxy.running() as base:
                head = plan.save(str(tmp_path), "toy", Listing("v", [wanted]), {})
                client = Client(Addresses({"arxiv": base}), clock=proxy.clock, seed=1, stall=STALL)
                try:
                    return await fetch_async(head, str(tmp_path), Options(quiet=True), client)
                finally:
                    await client.close()

        return asyncio.run(work()), proxy

    return run


def _statuses(proxy: Proxy) -> list[int]:
    return [status for _, _, _, status in proxy.asked]


def test_who_does_not_say_that_he_pays_is_refused_once(fetch: Fetch, tmp_path: Path) -> None:
    report, proxy = fetch(FREE)
    assert "access is refused" in report.put_aside["x.tar"]
    assert _statuses(proxy) == [403]
    assert fetch(PAID)[0].complete
    assert (tmp_path / "toy" / "x.tar").read_bytes() == BODY


def test_a_cut_object_goes_on_with_a_range_of_the_same_version(fetch: Fetch, tmp_path: Path) -> None:
    unhashed = Wanted("x.tar", KEY, requester_pays=True)
    report, proxy = fetch(unhashed, ("cut", 150_000), ("cut", 100_000))
    assert report.complete
    assert (tmp_path / "toy" / "x.tar").read_bytes() == BODY
    assert report.bytes == len(BODY)
    etag = f'"{MD5["md5"]}"'
    assert [asked[1:] for asked in proxy.asked] == [
        ("", "", 200),
        ("bytes=150000-", etag, 206),
        ("bytes=250000-", etag, 206),
    ]


def test_an_object_that_changed_comes_whole(fetch: Fetch, tmp_path: Path) -> None:
    other = content_of(32, 390_000)
    report, proxy = fetch(Wanted("x.tar", KEY, requester_pays=True), ("cut", 150_000), other)
    assert report.complete
    assert (tmp_path / "toy" / "x.tar").read_bytes() == other
    assert _statuses(proxy) == [200, 412, 200]


def test_an_object_that_changed_is_not_what_its_manifest_says(fetch: Fetch, tmp_path: Path) -> None:
    report, _ = fetch(PAID, body=content_of(32, len(BODY)))
    assert "md5" in report.put_aside["x.tar"]
    assert not (tmp_path / "toy" / "x.tar").exists()


def test_slow_down_is_obeyed(fetch: Fetch) -> None:
    report, proxy = fetch(PAID, 503, 503)
    assert report.complete
    assert _statuses(proxy) == [503, 503, 200]
    times = [asked[0] for asked in proxy.asked]
    assert times[1] - times[0] >= 10
    assert times[2] - times[1] >= 20  # longer each time


def test_an_object_that_is_not_there_is_gone(fetch: Fetch) -> None:
    absent = Wanted("y.tar", "s3://arxiv/src/absent.tar", requester_pays=True)
    report, proxy = fetch(absent)
    assert "not there" in report.put_aside["y.tar"]
    assert _statuses(proxy) == [404]
