"""One HTTP client for listings and files: one User-Agent, the manners of each host, addresses that can be set."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from redpajama_data.download.addresses import Addresses, host_of
from redpajama_data.download.exchange import Answer as Answer
from redpajama_data.download.exchange import Closed, Final, Passing, Stream, shown
from redpajama_data.download.exchange import NotThere as NotThere
from redpajama_data.download.hosts import Clock, Host, Hosts
from redpajama_data.download.web import Web
from redpajama_data.errors import InputUnavailable, UsageError
from redpajama_data.io.terminal import heard_between_steps

if TYPE_CHECKING:
    from redpajama_data.download.bucket import Bucket

STALL = 60.0  # seconds without a byte, after which an answer is given up
TRIES = 10  # without progress; the waits between them come to about seven minutes
WAIT_MOST = 300.0  # seconds between two of them, at most
LARGEST_ANSWER = 256 << 20  # bytes of a listing that is held in memory
PASSING = frozenset({408, 421, 425, 500, 502, 504, 520, 521, 522, 523, 524})  # 52x: of a CDN, about its origin

Result = TypeVar("Result")


class Client:
    """Asks hosts, within their manners. A context manager; for one thread.

    ``contact`` is who may be written to about the requests (an address of mail or of a page), else $RPJ_CONTACT.
    ``connections`` overrides the table of :mod:`manners`. ``stall`` is in seconds. ``tries`` without progress are made,
    with up to ``wait_most`` seconds between two of them. ``hosts`` are those of others, whose patience is shared.
    """

    def __init__(
        self,
        addresses: Addresses | None = None,
        *,
        contact: str = "",
        connections: int | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        stall: float = STALL,
        tries: int = TRIES,
        wait_most: float = WAIT_MOST,
        hosts: Hosts | None = None,
    ) -> None:
        self.addresses = addresses or Addresses()
        self.contact = contact or os.environ.get("RPJ_CONTACT", "")
        self.hosts = hosts or Hosts(clock, connections=connections, seed=seed)
        self.clock = self.hosts.clock
        self.tries, self.wait_most, self._stall = tries, wait_most, stall
        self._loop: asyncio.AbstractEventLoop | None = None
        self._web: Web | None = None
        self._bucket: Bucket | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            self._loop.run_until_complete(self.close())
            self._loop.close()
            self._loop = None

    @property
    def user_agent(self) -> str:
        """Who we are, and whom to write to."""
        try:
            version = importlib.metadata.version("redpajama-data")
        except importlib.metadata.PackageNotFoundError:
            version = "0"
        return f"rpj/{version} (redpajama-data; contact: {self.contact or 'none given'})"

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Carry out asynchronous work from synchronous code. When a signal ends it, everything that is under way is
        ended in order first."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        loop = self._loop
        task = loop.create_task(work)
        try:
            with heard_between_steps(task):
                return loop.run_until_complete(task)
        except BaseException:
            under_way = asyncio.all_tasks(loop)
            for each in under_way:
                each.cancel()
            if under_way:  # none, when the work itself raised: then there is nothing to gather
                loop.run_until_complete(asyncio.gather(*under_way, return_exceptions=True))
            raise

    async def close(self) -> None:
        """Close the connections."""
        web, self._web = self._web, None
        if web is not None:
            await web.close()
        bucket, self._bucket = self._bucket, None
        if bucket is not None:
            await bucket.close()

    # ------------------------------------------------------------------------------------------ listings

    def ask(self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """The whole answer to a small request, for listings; tried again while it may pass. Raises :class:`NotThere`
        for 404 and 410, :class:`InputUnavailable` for any other answer that is no success, to the end."""
        return self.run(self._ask(url, method, headers or {}))

    async def _ask(self, url: str, method: str, headers: Mapping[str, str]) -> Answer:
        host = self.host(url)
        for tries in range(self.tries):
            try:
                async with self.stream(url, headers, method=method) as stream:
                    body = bytearray()
                    async for chunk in stream.chunks:
                        body += chunk
                        if len(body) > LARGEST_ANSWER:
                            raise Final(f"its answer has more than {LARGEST_ANSWER >> 20} MB")
                    self.judge(host, stream.status, stream.headers)
                    announced = stream.headers.get("content-length", "")
                    if method != "HEAD" and announced.isdigit() and int(announced) != len(body):
                        raise Passing(f"it ended at byte {len(body):,} of {int(announced):,}")
                    return Answer(stream.url, stream.status, stream.headers, bytes(body))
            except Passing as error:
                reason = str(error)
                if not error.waited:
                    await self.clock.until(self.clock.now() + self.hosts.jitter(tries, most=self.wait_most))
            except Closed as error:
                reason = str(error)
                break
            except Final as error:
                if error.gone:
                    raise NotThere(
                        f"{shown(url)}: not there ({error}). Check the selection, or choose another."
                    ) from error
                reason = str(error)
                break
        raise InputUnavailable(
            f"{shown(url)}: {reason}. Check the address and the network, then run the same command again."
        )

    # ------------------------------------------------------------------------------------------ answers

    def host(self, url: str) -> Host:
        """The host of a URL, with its manners. Raises :class:`UsageError` where it wants a contact and has none."""
        host = self.hosts.of(host_of(url))
        if host.manners.contact and not self.contact and self.addresses.base(host.name) is None:
            raise UsageError(
                f"{host.name} blocks programs that name nobody to write to. Set RPJ_CONTACT to an address of mail or "
                "of a page of yours, then run the same command again."
            )
        return host

    def judge(self, host: Host, status: int, headers: Mapping[str, str]) -> None:
        """Return for an answer that gives something; raise :class:`Passing` or :class:`Final` for another. The host
        takes note."""
        if status in host.manners.refusals:
            host.refused(status, headers)
            raise Passing(f"HTTP {status}: the host asks for fewer requests", waited=True)
        if 200 <= status < 300 or status == 416:
            host.answered(headers)
        elif status in PASSING:
            if "retry-after" in headers:
                host.refused(status, headers)
            raise Passing(f"HTTP {status}", waited="retry-after" in headers)
        elif status in (404, 410):
            raise Final(f"HTTP {status}: it is not there", gone=True)
        elif status in (401, 403):
            host.gave_a_file(whole=False, why=f"HTTP {status}")
            raise Final(f"HTTP {status}: access is refused. Is a token, a licence or an account needed?")
        else:
            raise Final(f"HTTP {status}")

    @contextlib.asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str], *, method: str = "GET", requester_pays: bool = False
    ) -> AsyncIterator[Stream]:
        """One request, when the host may be asked, and its answer. Raises :class:`Passing` when it does not come,
        :class:`Closed` when the host is not asked any more."""
        host = self.host(url)
        async with host.slot():
            if host.closed:
                raise Closed(f"{host.name} is left alone: {host.closed}")
            asked = self._s3 if url.startswith("s3://") else self._http
            async with asked(url, headers, method, requester_pays) as stream:
                yield stream

    @contextlib.asynccontextmanager
    async def _http(
        self, url: str, headers: Mapping[str, str], method: str, requester_pays: bool
    ) -> AsyncIterator[Stream]:
        if self._web is None:
            self._web = Web(self.addresses, self.user_agent, self._stall)
        async with self._web.stream(url, headers, method) as stream:
            yield stream

    @contextlib.asynccontextmanager
    async def _s3(
        self, url: str, headers: Mapping[str, str], method: str, requester_pays: bool
    ) -> AsyncIterator[Stream]:
        from redpajama_data.download.bucket import Bucket

        if self._bucket is None:
            self._bucket = Bucket(self.addresses, self.user_agent, self._stall)
        async with self._bucket.stream(url, headers, requester_pays) as stream:
            yield stream
