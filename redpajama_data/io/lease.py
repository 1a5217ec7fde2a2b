"""Holding a root where no lock of the operating system reaches: a lease in an object of the root.

The object ``_run/lock.json`` holds who has the root and a random token. Whoever has it writes it anew every
:data:`RENEW` seconds. Another run may take it over only when it has seen the object stay the same for :data:`LEASE`
seconds on its own clock: clocks of machines are not compared, and process numbers, which mean nothing across
containers, are not asked.

Creation is conditional where the store can do it (S3: If-None-Match; a new lease over an old one: If-Match). Some
stores take no conditions and some ignore them, so every writer looks again after :data:`SETTLE` seconds, and only the
one whose token is there then has the root: of two that write at once, that is the last. A holder whose lease was taken
(it could not renew it for a minute) learns it at its next task: every task looks at the token before it begins and
before its receipt (:func:`check`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import msgspec

from redpajama_data.errors import NOT_JSON, RootInUse, StorageError
from redpajama_data.io import conditional, storage
from redpajama_data.io.holder import Holder
from redpajama_data.io.root_paths import RUN

LEASE = 60.0  # seconds without a change after which a lease may be taken over
RENEW = 10.0  # seconds between renewals: several may fail before anybody can think that this run is gone
SETTLE = 2.0  # seconds from writing a lease to looking who has it; longer than one write of another run takes
_LOOK = 1.0  # seconds between looks at another run's lease
_TRIES = 5  # times a lease that vanishes or changes hands while we look is tried for


class Lease(msgspec.Struct):
    """Who holds a root, the token by which to know it, and how often it was renewed."""

    holder: Holder
    token: str
    renewed: int = 0


def lease_path(root: str) -> str:
    """Where the lease of a root lies."""
    return storage.join(root, RUN, "lock.json")


@contextlib.contextmanager
def hold(root: str, me: Holder, token: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a root by a lease while the block runs; ``token`` is to be random.

    Raises :class:`RootInUse` when another run holds it, which takes up to :data:`RENEW` seconds to see, or
    :data:`LEASE` when that run is gone; ``say`` is told that there is something to wait for.
    """
    path = lease_path(root)
    lease = Lease(me, token)
    _acquire(root, path, lease, say)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(path, lease, ended), daemon=True, name="rpj-lease")
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join(timeout=LEASE)  # one that is under way would put the lease back after its removal
        with contextlib.suppress(StorageError):  # then it runs out by itself
            if _token(storage.read_bytes(path)) == token:
                storage.remove(path)


def check(root: str, token: str) -> None:
    """Raise :class:`RootInUse` when the lease of a root is no longer that of ``token``; "" is a root held otherwise."""
    if not token:
        return
    found = storage.read_bytes(lease_path(root))
    if _token(found) != token:
        raise RootInUse(
            f"{root}: {who(found)} has taken this root over, because this run could not renew its lease for "
            f"{LEASE:.0f} s. Nothing more is written. Wait for that run, then run the same command again."
        )


def who(data: bytes | None) -> str:
    """The holder in words."""
    lease = _decoded(data)
    return str(lease.holder) if lease is not None else "a run that is just starting or ending"


def _acquire(root: str, path: str, lease: Lease, say: Callable[[str], None]) -> None:
    data = msgspec.json.encode(lease)
    for _ in range(_TRIES):
        if conditional.create(path, data):
            time.sleep(SETTLE)
        seen = conditional.read_version(path)
        if seen is None:
            continue
        if _token(seen.data) == lease.token:
            return
        say(f"{root} is held by {who(seen.data)}; looking whether that run is alive (up to {LEASE:.0f} s)")
        if _stays(path, seen.data):
            if conditional.replace(path, data, seen):
                time.sleep(SETTLE)
        elif storage.read_bytes(path) is not None:
            break
    raise RootInUse(f"{root} is in use by {who(storage.read_bytes(path))}. Wait for it, or choose another --root.")


def _stays(path: str, seen: bytes) -> bool:
    """True when the object stays the same for :data:`LEASE` seconds."""
    begun = time.monotonic()
    while time.monotonic() - begun < LEASE:
        time.sleep(_LOOK)
        if storage.read_bytes(path) != seen:
            return False
    return True


def _renew(path: str, lease: Lease, ended: threading.Event) -> None:
    """Write the lease anew until the run has ended, or somebody else has it."""
    while not ended.wait(RENEW):
        try:
            seen = conditional.read_version(path)
            if seen is None or _token(seen.data) != lease.token:
                return  # the next check says so
            lease.renewed += 1
            conditional.replace(path, msgspec.json.encode(lease), seen)
        except StorageError:
            continue


def _token(data: bytes | None) -> str | None:
    lease = _decoded(data)
    return lease.token if lease is not None else None


def _decoded(data: bytes | None) -> Lease | None:
    """None for no lease and for one that cannot be read: it is then one that nobody renews."""
    try:
        return msgspec.json.decode(data or b"", type=Lease)
    except NOT_JSON:
        return None
