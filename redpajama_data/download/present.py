"""What of a plan is here already, without a look at a network."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from redpajama_data.download import plan as plans
from redpajama_data.download.content import Digests, WrongContent
from redpajama_data.download.plan import Plan, Wanted
from redpajama_data.download.receipts import Receipt, Receipts
from redpajama_data.download.transfer import check_whole, receipt_for
from redpajama_data.io import storage

UNCHECKED = "not checked"  # in the receipt of a file that somebody put there, and of which nothing is known
_READ = 1 << 20


@dataclass(frozen=True)
class Survey:
    """How much of a plan is here, without a look at a network: by receipts, sizes and times. ``missing`` files are to
    be fetched; ``missing_bytes`` are still to come of them, without those of the ``unsized`` ones. ``to_check`` files
    lie there without a receipt. ``paid`` bytes of the plan cost who asks, ``missing_paid`` of them are of missing
    files."""

    files: int
    bytes: int
    missing: int
    missing_bytes: int
    unsized: int
    to_check: int = 0
    paid: int = 0
    missing_paid: int = 0


def survey(plan: Plan, to: str, *, listed: str | None = None) -> Survey:
    """How much of a plan is here already. ``listed`` is where the plan is kept, when that is not ``to``."""
    place = storage.local(plans.folder(to, plan.slice))
    with contextlib.ExitStack() as stack:
        done = None
        if os.path.isdir(place):  # else nothing was fetched here, and a look leaves nothing behind
            done = Receipts(place)
            stack.callback(done.close)
        here = here_bytes = missing = missing_bytes = unsized = to_check = paid = missing_paid = 0
        for wanted in plans.wanted_files(to if listed is None else listed, plan.slice):
            asked = (wanted.bytes or 0) if wanted.requester_pays else 0
            paid += asked
            receipt = here_by(wanted, plan, to, done) if done is not None else None
            if receipt is not None:
                here, here_bytes = here + 1, here_bytes + receipt.bytes
                continue
            lies_there = _size(place_of(to, plan.slice, wanted))
            if lies_there and wanted.bytes in (None, lies_there):
                to_check += 1
                continue
            missing += 1
            missing_paid += asked
            unsized += wanted.bytes is None
            missing_bytes += (wanted.bytes or 0) - _size(place_of(to, plan.slice, wanted) + ".part")
    return Survey(here, here_bytes, missing, max(0, missing_bytes), unsized, to_check, paid, missing_paid)


def _size(path: str) -> int:
    """Bytes of a file; 0 when there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def place_of(to: str, slice_name: str, wanted: Wanted) -> str:
    """Where a file of a plan goes."""
    return storage.local(storage.join(to, slice_name, wanted.path))


def here_by(wanted: Wanted, plan: Plan, to: str, done: Receipts) -> Receipt | None:
    """The receipt by which a file is here: one that the plan agrees with, of a file that is as it was then (size and
    time), or that went to the store of the plan; else None."""
    receipt = done.of(wanted.path)
    if receipt is None or not receipt.speaks_of(wanted):
        return None
    if receipt.stored:
        return receipt if receipt.stored == storage.join(plan.store, plan.slice, wanted.path) else None
    try:
        info = os.stat(place_of(to, plan.slice, wanted))
    except OSError:
        return None
    return receipt if (info.st_size, info.st_mtime_ns) == (receipt.bytes, receipt.mtime_ns) else None


def found(wanted: Wanted, path: str, before: Receipt | None) -> Receipt | None:
    """The receipt of a file that is there and was not fetched (or touched since: ``before`` is its receipt); None when
    there is none, or one of ours that is to be fetched anew. Raises :class:`WrongContent` for a file of somebody else
    that is not the one."""
    if before is not None and not before.url:
        before = None  # it lay there: what lies there now is somebody's too, and never replaced
    if not os.path.lexists(path) or (before is not None and not before.speaks_of(wanted)):
        return None
    if not os.path.isfile(path):
        raise WrongContent(f"{path} is there already and is no file. Move it away")
    digests = Digests(wanted.checks)
    with storage.open_input(path) as file:
        while data := file.read(_READ):
            digests.update(data)
    info = os.stat(path)
    if before is not None:
        same = digests.sha256 == before.sha256
        return receipt_for(wanted, info, before.sha256, before.checked, before.url, before.validator) if same else None
    try:
        checked = check_whole(wanted, path, info.st_size, digests)
        if checked == "length" and wanted.bytes is None:
            checked = UNCHECKED  # its own length is all that is known
        return receipt_for(wanted, info, digests.sha256, checked)
    except WrongContent as error:
        raise WrongContent(f"a file of that name is there already, and {error}. Move it away") from error
