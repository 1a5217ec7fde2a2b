"""A server on loopback that does to a downloader what servers do: every switch is one way in which they fail.

A file's :class:`Behaviour` is asked anew for every request, so it can change from one to the next; every request is
logged with the time of the test's clock.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from aiohttp import web

from redpajama_data.download.hosts import Clock

EPOCH = 1_700_000_000.0  # the wall clock of tests begins here


class RealClock(Clock):
    """The machine's own, for programs that run beside the test."""

    time = 0.0  # nobody looks at it


class FakeClock(Clock):
    """Time passes when somebody waits for it, and only then."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return EPOCH + self.time

    async def until(self, when: float) -> None:
        await asyncio.sleep(0)
        self.time = max(self.time, when)


@dataclass(frozen=True)
class Behaviour:
    """How one request for a file is answered."""

    content: bytes
    status: int = 200  # another one: that is the answer
    retry_after: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of the body, then the connection is dropped
    stall_after: int | None = None  # ... then nothing comes any more
    piece: int = 0  # bytes a write; the test's clock goes on by `piece_seconds` with each
    piece_seconds: float = 0.0
    ranges: bool = True
    content_range: str = "right"  # "shifted", "absent", "other total"
    short_range: int | None = None  # bytes that a 206 gives at most
    etag: str = "strong"  # "weak", "none", "flapping"
    dated: bool = True  # has a Last-Modified, from before yesterday
    just_modified: bool = False
    if_range: str = "right"  # "date only", "ignored"
    framing: str = "length"  # "chunked", "none", "too short", "too long"
    html: bool = False
    content_encoding: str = ""
    flip_at: int | None = None
    redirect: str = ""  # the query is a ticket that is good for one request


@dataclass
class Request:
    """A request as it came, in the log before its client can have any of the answer."""

    time: float
    path: str
    headers: dict[str, str]
    at_once: int  # requests under way, with this one
    status: int = 0  # of the answer; 0 as long as there is none


Answers = Callable[[int], Behaviour]  # by the number of the request for the file, from 0


class HostileServer:
    """Serves ``files`` by path. ``connection_limit`` is for all of them: more get a 503."""

    def __init__(self, clock: FakeClock | RealClock, connection_limit: int = 0) -> None:
        self.clock, self.connection_limit = clock, connection_limit
        self.files: dict[str, Answers] = {}
        self.log: list[Request] = []
        self.base = ""
        self.sent: Callable[[int], None] = lambda count: None  # told of the bytes of every piece of a body
        self._count: Counter[str] = Counter()
        self._under_way = 0
        self._tickets = 0

    def always(self, path: str, behaviour: Behaviour) -> None:
        """Every request for the file is answered like this."""
        self.files[path] = lambda number: behaviour

    def in_turn(self, path: str, *behaviours: Behaviour) -> None:
        """The first request like the first of these, and so on; the last one stays."""
        self.files[path] = lambda number: behaviours[min(number, len(behaviours) - 1)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HostileServer]:
        """Serve within the block, on a port of 127.0.0.1."""
        runner = web.AppRunner(_app(self), access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        path = request.path.lstrip("/")
        self._under_way += 1
        entry = Request(self.clock.now(), path, dict(request.headers), self._under_way)
        self.log.append(entry)
        try:
            response = await self._answer(request, path)
            entry.status = response.status
            return response
        except ConnectionResetError:  # the client went away
            return web.Response()
        finally:
            self._under_way -= 1

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        if path not in self.files:
            return web.Response(status=404, text="<html>nothing</html>", content_type="text/html")
        if self.connection_limit and self._under_way > self.connection_limit:
            return web.Response(status=503)
        number = self._count[path]
        behaviour = self.files[path](number)
        if behaviour.redirect and not request.query:
            self._tickets += 1
            raise web.HTTPFound(f"/{path}?ticket={self._tickets}")
        if request.query and request.query.get("ticket") != str(self._tickets):
            return web.Response(status=403, text="expired")
        if request.query:
            self._tickets += 1
        self._count[path] += 1
        return await self._give(request, behaviour, number)

    async def _give(self, request: web.Request, how: Behaviour, number: int) -> web.StreamResponse:
        headers = {"Date": email.utils.formatdate(self.clock.wall(), usegmt=True), **how.headers}
        if how.retry_after:
            headers["Retry-After"] = how.retry_after
        if how.status != 200:
            return web.Response(status=how.status, headers=headers, text="<html>no</html>", content_type="text/html")
        body, status = _body(how), 200
        headers |= {} if how.html else self._validators(how, number)
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if asked and how.ranges and not how.html and _same_version(request.headers.get("If-Range", ""), how, headers):
            start = int(asked[1])
            if start >= len(body):
                return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{len(body)}"})
            status, whole = 206, len(body)
            if how.content_range == "shifted":
                start = max(0, start - 7)
            end = whole if how.short_range is None else min(whole, start + how.short_range)
            body = body[start:end]
            total = whole + 1 if how.content_range == "other total" else whole
            if how.content_range != "absent":
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
        if how.content_encoding:
            headers["Content-Encoding"] = how.content_encoding
        return await self._send(request, web.StreamResponse(status=status, headers=headers), how, body)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, how: Behaviour, body: bytes
    ) -> web.StreamResponse:
        response.content_type = "text/html" if how.html else "application/octet-stream"
        announced = len(body) + {"too short": -3, "too long": 3}.get(how.framing, 0)
        if how.framing == "chunked":
            response.enable_chunked_encoding()
        elif how.framing == "none":
            return _until_closed(request, response, body[: how.cut_after])
        else:
            response.content_length = max(0, announced)
        await response.prepare(request)
        if request.method == "HEAD":  # a body there would be read as the next answer
            return response
        if how.piece:  # then the server is not far ahead of its client
            request.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, how.piece)
        end = min(len(body), announced) if how.framing in ("too short", "too long") else len(body)
        for limit in (how.cut_after, how.stall_after):
            end = end if limit is None else min(end, limit)
        step = how.piece or max(1, end)
        for at in range(0, end, step):
            await response.write(body[at : min(end, at + step)])
            self.clock.time += how.piece_seconds
            self.sent(min(step, end - at))
        if how.stall_after is not None and end < len(body):
            await asyncio.Event().wait()  # the client gives up, and the connection ends this
        if end < len(body) or how.framing == "too long":
            assert request.transport is not None
            request.transport.close()
        return response

    def _validators(self, how: Behaviour, number: int) -> dict[str, str]:
        digest = hashlib.md5(how.content).hexdigest()
        flap = f"-{number}" if how.etag == "flapping" else ""
        etag = {"weak": f'W/"{digest}"', "none": ""}.get(how.etag, f'"{digest}{flap}"')
        now = self.clock.wall()
        # every content has a day of its own
        changed = now if how.just_modified else EPOCH - 86400 * (1 + int(digest[:4], 16))
        found = {}
        if etag:
            found["ETag"] = etag
        if how.dated:
            found["Last-Modified"] = email.utils.formatdate(changed, usegmt=True)
        return found


def _until_closed(request: web.Request, response: web.StreamResponse, body: bytes) -> web.StreamResponse:
    """The answer of an old server: its end is the end of the connection, whatever ended that."""
    head = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    assert request.transport is not None
    request.transport.write(f"HTTP/1.1 {response.status} OK\r\n{head}Connection: close\r\n\r\n".encode() + body)
    request.transport.close()
    return web.Response(status=response.status)


def _body(how: Behaviour) -> bytes:
    if how.html:
        return b"<!DOCTYPE html><html><body>Are you a robot?</body></html>".ljust(len(how.content))
    if how.flip_at is not None and how.content:
        at = how.flip_at % len(how.content)
        return how.content[:at] + bytes([how.content[at] ^ 1]) + how.content[at + 1 :]
    return how.content


def _same_version(condition: str, how: Behaviour, headers: dict[str, str]) -> bool:
    if not condition or how.if_range == "ignored":
        return True
    if condition == headers.get("Last-Modified"):
        return True
    return how.if_range != "date only" and condition == headers.get("ETag") and not condition.startswith("W/")


def _app(server: HostileServer) -> web.Application:
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    return app


def then(behaviour: Behaviour, **changes: object) -> Behaviour:
    """The same with some switches changed."""
    return replace(behaviour, **changes)  # type: ignore[arg-type]
