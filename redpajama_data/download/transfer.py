"""Brings one file, in as many attempts as it takes: whole and checked, or not at all.

An attempt goes on where the last one ended when the source says that the file is still the same one; else it begins
again. What counts is progress: attempts are limited only while they bring nothing new.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from redpajama_data.download import content, walks
from redpajama_data.download.addresses import host_of
from redpajama_data.download.answers import NoPieces, begin, past_the_end, with_total
from redpajama_data.download.client import Client
from redpajama_data.download.content import WrongContent
from redpajama_data.download.direct import Body
from redpajama_data.download.exchange import Closed, Final, Passing, Stream, shown
from redpajama_data.download.hosts import Hours, Rate
from redpajama_data.download.parts import Part
from redpajama_data.download.plan import Wanted
from redpajama_data.download.receipts import Receipt
from redpajama_data.io import first_bytes

_PIECE = 2 << 20  # bytes written and hashed at once
_SLOW_FOR, _SLOW_BYTES = 300.0, 64 << 10  # seconds in which fewer bytes than that are no answer

Result = TypeVar("Result")


class NotGot(Exception):
    """A file that did not come from any of its sources. ``gone``: all of them say that they have none."""

    def __init__(self, reason: str, gone: bool) -> None:
        super().__init__(reason)
        self.gone = gone


class _OutOfHours(Exception):
    """The hours in which something may be fetched are over."""


@dataclass(frozen=True)
class Limits:
    """What holds for all files of a run together. ``came`` is told of all that comes: the file, its bytes so far, and
    those that came."""

    rate: Rate
    hours: Hours
    came: Callable[[str, int, int], None] = lambda path, place, count: None


class Transfer:
    """One file on its way."""

    def __init__(self, wanted: Wanted, path: str, record_path: str, client: Client, limits: Limits) -> None:
        self._wanted, self._client, self._limits = wanted, client, limits
        self._part = Part(path, record_path, wanted.checks)
        self._in_pieces = True  # False: the source does not give ranges as it should

    async def bring(self) -> Receipt:
        """The file, under its name; its receipt. Raises :class:`NotGot`."""
        reasons, gone = [], True
        await _in_thread(self._part.open)
        try:
            for url in (self._wanted.url, *self._wanted.mirrors):
                try:
                    return await self._from(url)
                except (Final, Closed) as error:
                    reasons.append(f"{host_of(url)}: {error}")
                    gone = gone and isinstance(error, Final) and error.gone
        finally:
            with contextlib.suppress(OSError):
                self._part.close()
        raise NotGot("; ".join(reasons), gone)

    async def _from(self, url: str) -> Receipt:
        host = self._client.host(url)
        self._in_pieces = True
        best, failed, damaged = self._part.size, 0, set[str]()
        while True:
            try:
                await self._open_hours()
                if not self._part.is_whole:
                    await self._attempt(url)
                receipt = await self._accept(url)
                host.gave_a_file(whole=True)
                return receipt
            except _OutOfHours:
                continue
            except Passing as error:
                reason, waited = str(error), error.waited
                self._in_pieces = self._in_pieces and not isinstance(error, NoPieces)
            except WrongContent as error:
                reason, waited = str(error), False
                digest = self._part.digests.sha256 if self._part.size else ""
                await _in_thread(self._part.restart)
                if digest in damaged:
                    raise Final(f"{reason}; and so it is whenever it is fetched") from error
                damaged |= {digest} - {""}
            if self._part.size >= best + self._step():
                best, failed = self._part.size, 0
            else:
                failed += 1
            if failed >= self._client.tries:
                host.gave_a_file(whole=False, why=reason)
                raise Final(f"{reason} ({failed} attempts without progress)")
            if not waited:
                wait = self._client.hosts.jitter(failed, most=self._client.wait_most)
                await self._client.clock.until(self._client.clock.now() + wait)

    def _step(self) -> int:
        """The bytes that are progress: a source that gives one more each time would never end otherwise."""
        total = self._part.record.total or self._wanted.bytes or 0
        return max(1, min(64 << 10, total // 100))

    async def _open_hours(self) -> None:
        while (seconds := self._limits.hours.closed_for()) > 0:
            await self._client.clock.until(self._client.clock.now() + seconds)

    # ------------------------------------------------------------------------------------------ one attempt

    async def _attempt(self, url: str) -> None:
        """One request; returns when every byte is here. What came stays when it raises."""
        part, wanted = self._part, self._wanted
        headers = dict(wanted.headers)
        token = os.environ.get(wanted.token, "") if wanted.token and url == wanted.url else ""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if part.size and not self._may_go_on(url):
            await _in_thread(part.restart)
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
            if part.record.condition and part.record.comes_from(url):
                headers["If-Range"] = part.record.condition
        asked_from = part.size
        async with self._client.stream(url, headers, requester_pays=wanted.requester_pays) as stream:
            self._client.judge(self._client.host(url), stream.status, stream.headers)
            if stream.status == 416:
                past_the_end(wanted, part, stream, asked_from)
                return
            begin(wanted, part, url, stream, asked_from)
            await self._take(stream)
        if part.record.total is None:
            part.begin(with_total(part))
        if not part.is_whole:
            raise Passing(f"it ended at byte {part.size:,} of {part.record.total:,}")

    def _may_go_on(self, url: str) -> bool:
        """True when what is here may be continued: a published hash will tell in the end, or the source can tell now
        that it is the same version."""
        record = self._part.record
        return self._in_pieces and bool(self._wanted.checks or (record.comes_from(url) and record.condition))

    async def _take(self, stream: Stream) -> None:
        """The body, onto the disk. Writing and hashing one piece goes on while the next one comes."""
        part, clock, kind = self._part, self._client.clock, stream.headers.get("content-type", "")
        announced, place = part.record.total, part.size
        body = stream.body or Body(stream.chunks)
        room = _PIECE if announced is None else min(_PIECE, announced - place + 1)  # one more: too many bytes are seen
        piece, filled, spare = memoryview(bytearray(room)), 0, memoryview(b"")
        pending: asyncio.Future[None] | None = None
        slow_since, slow_bytes = clock.now(), 0
        try:
            while count := await body.into(piece[filled:]):
                filled, place = filled + count, place + count
                if announced is not None and place > announced:
                    filled = 0
                    raise WrongContent(f"it gives more than the {announced:,} bytes announced")
                if filled == len(piece):
                    if pending is not None:
                        await asyncio.shield(pending)  # a task that is ended waits for its thread: see below
                    full, piece, filled = piece, spare or memoryview(bytearray(room)), 0
                    pending, spare = asyncio.get_running_loop().run_in_executor(None, self._write, full, kind), full
                self._limits.came(self._wanted.path, place, count)
                slow_bytes += count
                before = clock.now()
                await self._limits.rate.took(count)
                slow_since += clock.now() - before  # the time that we ask for ourselves is not the host's
                if clock.now() - slow_since > _SLOW_FOR:
                    if slow_bytes < _SLOW_BYTES:
                        raise Passing(f"{slow_bytes:,} bytes in {_SLOW_FOR:,.0f} s: too slow")
                    slow_since, slow_bytes = clock.now(), 0
                if self._limits.hours.closed_for():
                    raise _OutOfHours
        finally:
            cancelled = False
            if pending is not None:
                cancelled = await _ended(pending)
                pending.result()
            if filled:
                self._write(piece[:filled], kind)
            if not part.is_whole:
                part.keep()
            if cancelled:
                raise asyncio.CancelledError

    def _write(self, piece: memoryview, kind: str) -> None:
        if not self._part.size:
            content.check_head(self._wanted.path, bytes(piece[: first_bytes.LOOK]), self._wanted.walk, kind)
        self._part.write(piece)

    # ------------------------------------------------------------------------------------------ acceptance

    async def _accept(self, url: str) -> Receipt:
        """Check what came and give it its name. Raises :class:`WrongContent`."""
        part, wanted = self._part, self._wanted
        checked = await _in_thread(check_whole, wanted, part.path, part.size, part.digests)
        validator = part.record.etag or part.record.modified
        info = await _in_thread(part.finish)
        return receipt_for(wanted, info, part.digests.sha256, checked, url, validator)


async def _in_thread(call: Callable[..., Result], *arguments: object) -> Result:
    """``call(*arguments)`` in a thread. A task that is ended in between waits for it: the file must not be closed, nor
    taken up by the next attempt, while a thread still has it."""
    work = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await _ended(work)
        work.exception()  # looked at: what it failed with does not matter any more
        raise


async def _ended(work: asyncio.Future[Any]) -> bool:
    """Wait until a thread's ``work`` has ended, however often the task that waits is cancelled meanwhile; True when it
    was. Else the file would be closed under the thread, and a part whose bytes are not noted yet be removed."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


def check_whole(wanted: Wanted, path: str, size: int, digests: content.Digests) -> str:
    """Hold a whole file, that lies at ``path``, against what its plan knows; how it was checked, for the receipt.
    Raises :class:`WrongContent`."""
    if wanted.bytes is not None and size != wanted.bytes:
        raise WrongContent(f"it has {size:,} bytes, and {wanted.bytes:,} by its listing")
    checked = digests.check()
    if checked:
        return checked
    if wanted.walk != "none":
        walks.walk(path, wanted.walk)
        return f"{wanted.walk} walk"
    return "length"


def receipt_for(
    wanted: Wanted, info: os.stat_result, sha256: str, checked: str, url: str = "", validator: str = ""
) -> Receipt:
    """The receipt of a file that is here now."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return Receipt(
        wanted.path, info.st_size, info.st_mtime_ns, sha256, checked, now, shown(url), validator, dict(wanted.checks)
    )
