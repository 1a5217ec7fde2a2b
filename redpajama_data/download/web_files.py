"""Raw files read where they are, over HTTP: within the manners of their host, one request a file, going on after a cut.

It is the file system that fsspec gives for http:// and https:// here; :mod:`redpajama_data.io.reading` tries again what
failed, at the same byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import Mapping
from typing import Any

from fsspec.implementations.http import HTTPFileSystem

from redpajama_data.download.addresses import host_of
from redpajama_data.download.answers import range_of
from redpajama_data.download.client import Client
from redpajama_data.download.exchange import Closed, Final, Passing, Stream, shown
from redpajama_data.download.shared import SharedHosts
from redpajama_data.errors import InputUnavailable

_STAMPS = ("etag", "last-modified")
_AHEAD = 1 << 20  # bytes to read over rather than to ask again for what lies behind them


class WebError(OSError):
    """A request that failed; ``status`` of the answer, 0 when there was none."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class WebFiles(HTTPFileSystem):  # type: ignore[misc]
    """As fsspec's, with every file and every look at one by our own client."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"get_client": _session, **options})

    @property
    def _headers(self) -> dict[str, str]:
        """What the user's settings of fsspec send with every request."""
        return {**(self.client_kwargs.get("headers") or {}), **(self.kwargs.get("headers") or {})}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size and version of a file, without its content. Raises :class:`FileNotFoundError`, :class:`WebError`."""
        with _client() as client:
            headers = client.run(_head(client, path, self._headers))
        stamp = next((headers[name] for name in _STAMPS if headers.get(name)), "")
        return {"name": path, "size": _size(headers), "type": "file", "ETag": stamp, "url": path}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            raise NotImplementedError("files on the web are read, not written")
        return WebFile(path, self._headers)


class WebFile(io.RawIOBase):
    """A file on the web as a stream of bytes, asked for from the place where the first one is read. A seek far away
    asks again, for the rest from there."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._url, self._sent, self._at = url, dict(headers), 0
        self._client = _client()
        self._open_now = contextlib.AsyncExitStack()
        self._stream: Stream | None = None
        self._version: tuple[int | None, str] | None = None  # size and stamp; None before the first answer

    @property
    def size(self) -> int | None:
        """Bytes in all; None where the host does not say."""
        return self._known()[0]

    @property
    def details(self) -> dict[str, str]:
        """What tells one version from the next."""
        return {"ETag": self._known()[1]}

    def _known(self) -> tuple[int | None, str]:
        if self._version is None:
            self._client.run(self._begin())
        assert self._version is not None
        return self._version

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END and self.size is None:
            raise OSError("the host does not say how long it is")
        start = self._at if whence == os.SEEK_CUR else (self.size or 0) if whence == os.SEEK_END else 0
        place = start + offset
        if place < 0:
            raise ValueError("a place before the beginning")
        if place != self._at:
            if self._version is not None:
                self._client.run(self._go(place))
            self._at = place
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        return self._client.run(self._into(view)) if len(view) else 0

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(Exception):  # nothing was written, so nothing can be lost
                self._client.run(self._open_now.aclose())
            self._client.__exit__()
        super().close()

    # ------------------------------------------------------------------------------------------ inside

    async def _begin(self) -> None:
        """Ask for the file from where we are."""
        with contextlib.suppress(Exception):  # what ends there is no longer wanted
            await self._open_now.aclose()
        self._open_now, self._stream = contextlib.AsyncExitStack(), None
        headers = dict(self._sent)
        if self._at:
            headers["Range"] = f"bytes={self._at}-"
        stream = await _opened(self._client, self._open_now, self._url, headers)
        first, size = (0, _size(stream.headers)) if stream.status == 200 else range_of(stream.headers)
        if stream.status == 416:  # there is nothing from there on
            first, size = self._at, _end_of(stream.headers)
        stamp = next((stream.headers[name] for name in _STAMPS if stream.headers.get(name)), "")
        if self._version is not None and stream.status != 416 and (size, stamp) != self._version:
            raise InputUnavailable(f"{shown(self._url)}: it changed while it was read. Run the same command again.")
        if not 0 <= first <= self._at:
            raise WebError(f"bytes from {self._at:,} were asked for, and it gives others")
        self._version = self._version or (size, stamp)
        if stream.status != 416:
            self._stream = stream
            await self._over(self._at - first)  # a host without ranges gives everything

    async def _go(self, place: int) -> None:
        over = place - self._at
        if self._stream is not None and 0 < over <= _AHEAD:
            await self._over(over)
        else:
            self._at = place
            await self._begin()

    async def _over(self, count: int) -> None:
        view = memoryview(bytearray(min(count, _AHEAD)))
        while count:
            came = await self._some(view[:count])
            if not came:
                return
            count -= came

    async def _into(self, view: memoryview) -> int:
        if self._version is None:
            await self._begin()
        count = await self._some(view)
        self._at += count
        return count

    async def _some(self, view: memoryview) -> int:
        if self._stream is None:
            return 0
        import aiohttp  # a fifth of a second, which only who reads from the web spends

        assert self._stream.body is not None
        try:
            return await self._stream.body.into(view)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise WebError(shown(f"{type(error).__name__}: {error}")) from error


def _client() -> Client:
    return Client(tries=1, hosts=SharedHosts())


async def _head(client: Client, url: str, sent: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of a file."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            return (await _opened(client, stack, url, sent, method="HEAD")).headers
        except WebError as error:
            if error.status not in (400, 403, 405, 501):  # there are hosts that do not know HEAD
                raise
    async with contextlib.AsyncExitStack() as stack:
        return (await _opened(client, stack, url, sent)).headers


async def _opened(
    client: Client, stack: contextlib.AsyncExitStack, url: str, headers: Mapping[str, str], *, method: str = "GET"
) -> Stream:
    """An answer that gives something. Raises :class:`FileNotFoundError`, :class:`WebError`, and
    :class:`InputUnavailable` where the host is to be left alone."""
    host = client.host(url)
    status = 0
    try:
        stream = await stack.enter_async_context(client.stream(url, headers, method=method))
        status = stream.status
        client.judge(host, status, stream.headers)
        return stream
    except Closed as error:
        raise InputUnavailable(f"{shown(url)}: {error}. Run the same command again then.") from error
    except Final as error:
        if error.gone:
            raise FileNotFoundError(shown(url)) from error
        raise WebError(str(error), status) from error
    except Passing as error:
        if host.closed:
            raise InputUnavailable(f"{shown(url)}: {host.closed}. Run the same command again then.") from error
        raise WebError(f"{host_of(url)}: {error}", 0 if error.waited else status) from error


def _size(headers: Mapping[str, str]) -> int | None:
    length = headers.get("content-length", "")
    return int(length) if length.isdigit() else None


def _end_of(headers: Mapping[str, str]) -> int | None:
    """The size of a file behind whose end something was asked for."""
    size = headers.get("content-range", "").removeprefix("bytes */")
    return int(size) if size.isdigit() else None


async def _session(**options: Any) -> Any:
    """The session for listings of folders, which fsspec reads out of HTML itself."""
    import aiohttp

    with Client() as client:
        agent = client.user_agent
    headers = {"User-Agent": agent, **(options.pop("headers", None) or {})}
    return aiohttp.ClientSession(**{"trust_env": True, **options, "headers": headers})
