"""Raw files for an object store: each comes to a disk first, and goes on when it is whole and checked.

A store has no unfinished files that could be gone on with, and none can be read back cheaply to hash it. So plan,
records and receipts stay on the disk; the store gets a copy of plan and receipts, for whoever goes on elsewhere.
"""

from __future__ import annotations

import os

import msgspec

from redpajama_data.download.accepted import ACCEPTED
from redpajama_data.download.plan import FILES, PLAN, Plan, folder
from redpajama_data.download.receipts import RECEIPTS, Receipt
from redpajama_data.errors import StorageError
from redpajama_data.io import storage
from redpajama_data.io.walk import files_below


def put(plan: Plan, path: str, receipt: Receipt) -> Receipt:
    """Put the whole file at ``path`` into the store of the plan; its receipt, which says where it is now. Raises
    :class:`StorageError`."""
    url = storage.join(plan.store, plan.slice, receipt.path)
    storage.put(path, url)
    _check(url, receipt.bytes)
    return msgspec.structs.replace(receipt, stored=url)


def put_all(plan: Plan, to: str, *, but: str) -> None:
    """Put what lies in the slice's folder into the store, as far as it is not there in that size, without what lies
    below ``but``. It stays here too, as what the slice reads was made of it. Raises :class:`StorageError`."""
    place, target = storage.local(storage.join(to, plan.slice)), storage.join(plan.store, plan.slice)
    there = storage.sizes(target)
    for path in sorted(files_below(place, lambda _: True)):
        name = os.path.relpath(path, place)
        size = os.stat(path).st_size
        if not (but and name.startswith(but)) and there.get(name) != size:
            storage.put(path, storage.join(target, name))
            _check(storage.join(target, name), size)


def _check(url: str, size: int) -> None:
    found = storage.stat(url).bytes
    if found != size:
        raise StorageError(f"{url}: {found:,} bytes arrived of {size:,}. Run the same command again.")


def bring_state(store: str, to: str, slice_name: str) -> None:
    """Take up where another machine has left off: its plan and receipts, when there are none here."""
    here, there = folder(to, slice_name), folder(store, slice_name)
    if os.path.exists(storage.local(storage.join(here, RECEIPTS))):
        return
    for name in (RECEIPTS, ACCEPTED, FILES, PLAN):  # the head of the plan last: with it the rest is there
        data = storage.read_bytes(storage.join(there, name))
        if data is None and name == ACCEPTED:
            continue  # nothing asked for it
        if data is None:
            return
        storage.write_bytes(storage.join(here, name), data)


def send_state(store: str, to: str, slice_name: str) -> None:
    """Leave plan and receipts in the store. Raises :class:`StorageError`."""
    here, there = folder(to, slice_name), folder(store, slice_name)
    for name in (RECEIPTS, ACCEPTED, FILES, PLAN):
        path = storage.local(storage.join(here, name))
        if os.path.exists(path):
            storage.put(path, storage.join(there, name))
