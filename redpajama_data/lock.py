"""One run a root at a time; a second one learns who holds it."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import os
import socket
import sys
from collections.abc import Iterator

import msgspec

from redpajama_data import storage
from redpajama_data.errors import RootInUse, StorageError
from redpajama_data.receipts import RUN


class Holder(msgspec.Struct):
    """Who holds a root."""

    host: str
    pid: int
    user: str
    since: str
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}, since {self.since}: {self.command}"


def _me() -> Holder:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container whose user id has no name
        user = str(os.getuid())
    return Holder(socket.gethostname(), os.getpid(), user, now, " ".join(sys.argv))


@contextlib.contextmanager
def hold(root: str) -> Iterator[None]:
    """Hold a root while the block runs.

    Local roots use a lock of the operating system, which ends with its process however that ends. Object stores have
    none: there an object is created that must not exist yet; one that a killed run left behind is taken over when the
    run was on this host and is gone, and otherwise named, to be removed by hand. Raises :class:`RootInUse` that says
    who holds it.
    """
    if storage.is_remote(root):
        with _hold_remote(root):
            yield
        return
    import filelock

    folder = storage.join(storage.local(root), RUN)
    holder_path = storage.join(folder, "holder.json")
    try:
        os.makedirs(folder, exist_ok=True)
        lock = filelock.FileLock(storage.join(folder, "lock"), timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise _in_use(root, storage.read_bytes(holder_path)) from error
    except OSError as error:
        raise StorageError(
            f"{root}: cannot be written ({error.strerror}). Choose a --root that this user may write to."
        ) from error
    try:
        storage.write_bytes(holder_path, msgspec.json.encode(_me()))
        yield
    finally:
        with contextlib.suppress(OSError):
            storage.remove(holder_path)
        lock.release()


@contextlib.contextmanager
def _hold_remote(root: str) -> Iterator[None]:
    path = storage.join(root, RUN, "lock.json")
    for _ in range(2):
        if storage.create(path, msgspec.json.encode(_me())):
            break
        held = storage.read_bytes(path)
        if held is not None and not _is_gone(held):
            raise _in_use(root, held, f" If that run is gone, remove {path}.")
        storage.remove(path)
    try:
        yield
    finally:
        storage.remove(path)


def _is_gone(data: bytes) -> bool:
    """True when the holder ran on this host and its process is gone."""
    holder = msgspec.json.decode(data, type=Holder)
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _in_use(root: str, data: bytes | None, then: str = "") -> RootInUse:
    try:
        who = str(msgspec.json.decode(data or b"", type=Holder))
    except msgspec.DecodeError:
        who = "a run that is just starting or ending"
    return RootInUse(f"{root} is in use by {who}. Wait for it, or choose another --root.{then}")
