"""Requests over HTTP: one session for a run, one request an attempt, redirects that lead to nothing worse."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redpajama_data.download.direct import Body
from redpajama_data.download.exchange import Final, Passing, Stream, shown

if TYPE_CHECKING:
    from redpajama_data.download.addresses import Addresses

CONNECT = 20.0  # seconds until a connection stands
_CHUNK = 1 << 20


class Web:
    """The HTTP client of a run. ``stall``: seconds without a byte, after which an answer is given up."""

    def __init__(self, addresses: Addresses, user_agent: str, stall: float) -> None:
        self._addresses, self._agent, self._stall = addresses, user_agent, stall
        self._session: Any = None

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> Any:
        import aiohttp

        if self._session is None:
            redirects = aiohttp.TraceConfig()
            redirects.on_request_redirect.append(_redirected)
            # trust_env: proxies from the environment and credentials from ~/.netrc, as other command line tools do
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=self._stall),
                headers={"User-Agent": self._agent},
                connector=aiohttp.TCPConnector(limit=0),  # how many, the hosts' manners say
                auto_decompress=False,
                read_bufsize=_CHUNK,
                trust_env=True,
                trace_configs=[redirects],
            )
        return self._session

    @contextlib.asynccontextmanager
    async def stream(self, url: str, headers: Mapping[str, str], method: str) -> AsyncIterator[Stream]:
        """One request, and its answer. Raises :class:`Passing` when it does not come, :class:`Final` for an address
        that leads nowhere."""
        import aiohttp
        import yarl

        try:
            address = yarl.URL(self._addresses.of(url), encoded=True)
            sent = {"Accept-Encoding": "identity", **headers}
            async with self._opened().request(method, address, headers=sent, max_redirects=10) as answer:
                names = {name.lower(): value for name, value in answer.headers.items()}
                framed = "content-length" in names or "chunked" in names.get("transfer-encoding", "").lower()
                chunks = _chunks(answer)
                body = Body(chunks, answer, self._stall)
                yield Stream(shown(str(answer.url)), answer.status, names, chunks, framed, body)
        except (aiohttp.InvalidURL, aiohttp.TooManyRedirects) as error:
            raise Final(_said(error)) from error
        except (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError) as error:
            raise Passing(_said(error)) from error


async def _redirected(_session: Any, _context: Any, sent: Any) -> None:
    """Follow no redirect that gives up encryption: what comes could be anybody's; nor one that leads to no HTTP."""
    answer = sent.response
    target = answer.headers.get("Location") or answer.headers.get("URI", "")
    scheme = urlsplit(target).scheme
    if scheme not in ("", "http", "https") or (scheme == "http" and answer.url.scheme == "https"):
        answer.close()
        raise Final(f"it is redirected from {answer.url.scheme} to {shown(target)}, which is not followed")


async def _chunks(answer: Any) -> AsyncIterator[bytes]:
    async for chunk in answer.content.iter_any():
        yield chunk


def _said(error: BaseException) -> str:
    text = " ".join(shown(str(error)).split())[:300]
    return f"{type(error).__name__}: {text}" if text else "no answer in time"
