"""Carries out a plan: every file of it that is not here yet, within the manners of its host. It knows no slice."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import shutil
from collections.abc import Iterator

from redpajama_data.download import plan as plans
from redpajama_data.download import store
from redpajama_data.download.addresses import host_of
from redpajama_data.download.client import Client
from redpajama_data.download.content import WrongContent
from redpajama_data.download.hosts import Hours, Rate
from redpajama_data.download.plan import Plan, Wanted
from redpajama_data.download.present import Survey, found, here_by, place_of, survey
from redpajama_data.download.progress import Progress
from redpajama_data.download.receipts import PutAside, Receipt, Receipts, load_quarantine, save_quarantine
from redpajama_data.download.report import ENOUGH
from redpajama_data.download.report import FetchReport as FetchReport
from redpajama_data.download.report import Options as Options
from redpajama_data.download.transfer import Limits, NotGot, Transfer
from redpajama_data.errors import RootInUse, StorageError, UsageError
from redpajama_data.io import storage
from redpajama_data.io.lock import hold
from redpajama_data.io.terminal import say

AT_ONCE = 16  # files under way or waiting for their host, at most; how many connections, the hosts' manners say
_TICK = 5.0  # seconds between two looks at what may be shown
_SPARE = 1 << 30  # bytes of the disk that stay free


def fetch_plan(plan: Plan, to: str, options: Options | None = None, client: Client | None = None) -> FetchReport:
    """Fetch the files of a saved plan into ``<to>/<slice>``: each appears there when it is whole and checked.

    What fails is put aside with its reason, the rest goes on, and the next run tries it again. Ended at any place, the
    same call goes on where it was. Raises :class:`RootInUse` when another run fetches there, :class:`StorageError` when
    the disk is too small or fails, :class:`UsageError` for a damaged plan.
    """
    if storage.is_remote(to):
        raise UsageError(f"{to}: raw files are fetched to a disk. Give a folder; copy it to the store afterwards.")
    with contextlib.ExitStack() as stack:
        place = plans.folder(to, plan.slice)
        try:
            stack.enter_context(hold(place))
        except RootInUse as error:
            who = str(error).removeprefix(place).split(". Wait")[0]
            raise RootInUse(f"{to}/{plan.slice}{who}. Wait for it, or choose another --to.") from error
        if plan.store:
            stack.enter_context(hold(plans.folder(plan.store, plan.slice)))
        asker = client or stack.enter_context(Client())
        run = _Run(plan, to, options or Options(), asker)
        try:
            return asker.run(run.all())
        finally:
            if plan.store:
                store.send_state(plan.store, to, plan.slice)


async def fetch_async(plan: Plan, to: str, options: Options, client: Client) -> FetchReport:
    """:func:`fetch_plan` within a loop that runs, for a folder that is held already."""
    return await _Run(plan, to, options, client).all()


class _Run:
    """One run over a plan. Files come from the plan as they are needed, so memory does not grow with it."""

    def __init__(self, plan: Plan, to: str, options: Options, client: Client) -> None:
        self._plan, self._to, self._options, self._client = plan, to, options, client
        self._slice = plan.slice
        self._report = FetchReport(plan.slice, plan.files)
        self._before = load_quarantine(to, plan.slice)
        self._aside: dict[str, PutAside] = {}
        self._promised = 0  # bytes that are fetched or under way
        self._done: Receipts
        self._show: Progress
        self._limits: Limits
        self._ticker: asyncio.TimerHandle

    async def all(self) -> FetchReport:
        """Every file; see :func:`fetch_plan`."""
        options, report = self._options, self._report
        seen = survey(self._plan, self._to)
        self._check_disk(seen)
        total, waits = self._plan.bytes + self._plan.reckoned, self._client.hosts.waits
        show = Progress(self._slice, self._plan.files, total, seen.bytes, quiet=options.quiet, waits=waits)
        clock = self._client.clock
        self._limits = Limits(Rate(options.rate, clock), Hours(options.hours, clock), self._came)
        self._done = Receipts(plans.folder(self._to, self._slice))
        files = plans.wanted_files(self._to, self._slice)
        with show as self._show:
            self._tick()
            tasks = [asyncio.ensure_future(self._some(files)) for _ in range(AT_ONCE)]
            try:
                # Not gather: when it is cancelled it gives up at the first of its tasks that ends, not at the last.
                ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                for task in ended:
                    task.result()
            finally:
                self._ticker.cancel()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                files.close()  # type: ignore[attr-defined]
                self._keep_quarantine()
                self._done.close()
        report.put_aside = {path: each.reason for path, each in self._aside.items()}
        return report

    async def _some(self, files: Iterator[Wanted]) -> None:
        """Files of the plan, one after the other; several of these share it."""
        for wanted in files:
            receipt = here_by(wanted, self._plan, self._to, self._done)
            if receipt is not None:
                self._report.here += 1
                if receipt.stored:  # a run that was killed before it removed the file has left it here as well
                    self._remove(wanted)
                continue
            why_not = self._why_not(wanted)
            if why_not:
                self._report.left += 1
                self._report.why_left.add(why_not)
                continue
            expected = self._expected(wanted)
            self._promised += expected
            self._show.begin(wanted.path, wanted.bytes)
            receipt = await self._one(wanted)
            if receipt is not None:
                self._promised += receipt.bytes - expected
            self._show.end(wanted.path, whole=receipt is not None)

    def _expected(self, wanted: Wanted) -> int:
        """The bytes of a file; where nobody says, as they were reckoned."""
        if wanted.bytes is not None:
            return wanted.bytes
        return self._plan.reckoned // max(1, self._plan.unsized)

    def _why_not(self, wanted: Wanted) -> str:
        """Why a file is not to be tried in this run; "" when it is."""
        most = self._options.max_bytes
        if most is not None and (self._promised + self._expected(wanted) > most or self._promised >= most):
            return ENOUGH
        before = self._before.get(wanted.path)
        if before is not None and before.not_before > self._client.clock.wall():
            return f"{host_of(wanted.url)} asks not to be asked before {_utc(before.not_before)}"
        hosts = [self._client.hosts.of(host_of(url)) for url in (wanted.url, *wanted.mirrors)]
        return f"{hosts[0].name} is left alone: {hosts[0].closed}" if all(host.closed for host in hosts) else ""

    async def _one(self, wanted: Wanted) -> Receipt | None:
        """The receipt of a file that is here now; None when it was put aside."""
        path = place_of(self._to, self._slice, wanted)
        record = storage.local(storage.join(plans.folder(self._to, self._slice), "parts", wanted.path + ".json"))
        try:
            receipt = await asyncio.to_thread(found, wanted, path, self._done.of(wanted.path))
            if receipt is not None:
                self._report.here += 1
            else:
                receipt = await Transfer(wanted, path, record, self._client, self._limits).bring()
                self._report.fetched += 1
        except (NotGot, WrongContent) as error:
            self._put_aside(wanted, error)
            return None
        if self._plan.store:
            receipt = await asyncio.to_thread(store.put, self._plan, path, receipt)
        self._done.add(receipt)
        if receipt.stored:
            self._remove(wanted)
        return receipt

    def _remove(self, wanted: Wanted) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place_of(self._to, self._slice, wanted))

    def _put_aside(self, wanted: Wanted, error: NotGot | WrongContent) -> None:
        before = self._before.get(wanted.path)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self._aside[wanted.path] = PutAside(
            str(error),
            before.since if before else now,
            before.runs + 1 if before else 1,
            isinstance(error, NotGot) and error.gone,
            self._client.hosts.of(host_of(wanted.url)).closed_until,
        )
        if not self._options.quiet:
            say(f"{self._slice}: {wanted.path} is put aside: {error}. The next run tries it again.")

    def _keep_quarantine(self) -> None:
        """Those of this run, and those of before that this run did not come to."""
        kept = {
            path: each for path, each in self._before.items() if path not in self._aside and not self._came_since(path)
        }
        if kept or self._aside or self._before:
            save_quarantine(self._to, self._slice, {**kept, **self._aside})

    def _came_since(self, path: str) -> bool:
        receipt = self._done.of(path)
        stored = receipt is not None and bool(receipt.stored)
        return stored or os.path.exists(storage.local(storage.join(self._to, self._slice, path)))

    def _came(self, path: str, place: int, count: int) -> None:
        self._report.bytes += count
        self._show.came(path, place, count)

    def _tick(self) -> None:
        self._show.tick()
        self._ticker = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _check_disk(self, seen: Survey) -> None:
        most = self._options.max_bytes
        needed = seen.missing_bytes if most is None else min(most, seen.missing_bytes)
        if self._plan.store:  # they go on one by one
            needed = min(needed, AT_ONCE * (self._plan.bytes + self._plan.reckoned) // max(1, self._plan.files))
        free = shutil.disk_usage(storage.local(plans.folder(self._to, self._slice))).free
        if needed + _SPARE > free and seen.missing:
            raise StorageError(
                f"{self._to}: {free / 1e9:,.1f} GB are free, and {needed / 1e9:,.1f} GB are still to come (with "
                f"{_SPARE / 1e9:,.1f} GB to spare). Free some, choose another --to, or fetch less: --max-bytes."
            )


def _utc(seconds: float) -> str:
    when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return when.isoformat(timespec="minutes").replace("+00:00", " UTC")
