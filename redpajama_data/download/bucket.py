"""Objects of S3, asked for as files over HTTP are: the same answers, the same headers, one request an attempt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.io.retries import unavailable, without_credentials

if TYPE_CHECKING:
    from redpajama_data.download.addresses import Addresses
    from redpajama_data.download.exchange import Stream

_CHUNK = 1 << 20


class Bucket:
    """The S3 clients of a run, one for each bucket. Credentials are those that AWS' tools find."""

    def __init__(self, addresses: Addresses, user_agent: str, stall: float) -> None:
        self._addresses, self._agent, self._stall = addresses, user_agent, stall
        self._clients: dict[str, Any] = {}
        self._stack = contextlib.AsyncExitStack()

    async def close(self) -> None:
        """Close the connections."""
        await self._stack.aclose()

    async def _client(self, bucket: str) -> Any:
        if bucket not in self._clients:
            try:
                from aiobotocore.config import AioConfig
                from aiobotocore.session import get_session
            except ImportError as error:
                raise MissingModel(
                    f"s3://{bucket}: {error}. For s3:// install: pip install 'redpajama-data[s3]'"
                ) from error
            config = AioConfig(
                user_agent_extra=self._agent, retries={"total_max_attempts": 1}, read_timeout=self._stall
            )  # attempts are counted and paced here, and nowhere else
            endpoint = self._addresses.base(bucket)
            region = None if endpoint is None else "us-east-1"
            made = get_session().create_client("s3", endpoint_url=endpoint, config=config, region_name=region)
            self._clients[bucket] = await self._stack.enter_async_context(made)
        return self._clients[bucket]

    @contextlib.asynccontextmanager
    async def stream(self, url: str, headers: Mapping[str, str], requester_pays: bool) -> AsyncIterator[Stream]:
        """One request for an object. ``If-Range`` becomes ``If-Match``: S3 has no other; a changed object then
        answers 200 with everything, as a web server does."""
        import aiohttp
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        from redpajama_data.download.exchange import Passing, Stream

        parts = urlsplit(url)
        asked: dict[str, Any] = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
        if requester_pays or "x-amz-request-payer" in headers:
            asked["RequestPayer"] = "requester"
        if "Range" in headers:
            asked["Range"] = headers["Range"]
        if headers.get("If-Range", "").startswith('"'):
            asked["IfMatch"] = headers["If-Range"]
        try:
            client = await self._client(parts.netloc)
            try:
                answer = await client.get_object(**asked)
            except ClientError as error:
                if _status(error.response) != 412:
                    yield Stream(url, _status(error.response), _headers(error.response), _nothing(), True)
                    return
                answer = await client.get_object(**{k: v for k, v in asked.items() if k not in ("Range", "IfMatch")})
            async with answer["Body"] as body:
                yield Stream(url, _status(answer), _headers(answer), body.iter_chunks(_CHUNK), True)
        except (HTTPClientError, aiohttp.ClientError, asyncio.TimeoutError, ConnectionError) as error:
            raise Passing(f"{type(error).__name__}: {error}") from error
        except BotoCoreError as error:
            if without_credentials(error):
                raise UsageError(str(unavailable(url, error))) from error
            raise Passing(f"{type(error).__name__}: {error}") from error


def _status(answer: Mapping[str, Any]) -> int:
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))


def _headers(answer: Mapping[str, Any]) -> dict[str, str]:
    found = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return {str(name).lower(): str(value) for name, value in found.items()}


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in tuple[bytes, ...]():
        yield chunk
