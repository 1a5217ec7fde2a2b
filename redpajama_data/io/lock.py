"""One run a root at a time; a second one learns who holds it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
from collections.abc import Iterator

import msgspec

from redpajama_data.errors import NOT_JSON, RootInUse
from redpajama_data.io import lease, storage
from redpajama_data.io.holder import Holder, this_run
from redpajama_data.io.retries import not_written
from redpajama_data.io.root_paths import RUN

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # a network disk without a lock service


@contextlib.contextmanager
def hold(root: str) -> Iterator[str]:
    """Hold a root while the block runs. Gives the token for :func:`redpajama_data.io.lease.check`, "" where none is
    needed.

    Local roots use a lock of the operating system, which ends with its process however that ends; it holds between
    containers that share the folder, and between machines where the network disk passes locks on (NFS 4 does). Object
    stores, and disks that refuse locks, have none: there it is a lease (:mod:`redpajama_data.io.lease`).
    Raises :class:`RootInUse` that says who holds it.
    """
    if storage.is_remote(root):
        with _lease(root) as token:
            yield token
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_lock(root))
            token = ""
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise not_written(error.filename or root, error) from error
            token = stack.enter_context(_lease(root))
        yield token


@contextlib.contextmanager
def _lease(root: str) -> Iterator[str]:
    token = secrets.token_hex(16)
    with lease.hold(root, this_run(), token, _say):
        yield token


@contextlib.contextmanager
def _lock(root: str) -> Iterator[None]:
    import filelock

    folder = storage.join(storage.local(root), RUN)
    holder_path = storage.join(folder, "holder.json")
    os.makedirs(folder, exist_ok=True)
    lock = filelock.FileLock(storage.join(folder, "lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise RootInUse(
            f"{root} is in use by {_who(storage.read_bytes(holder_path))}. Wait for it, or choose another --root."
        ) from error
    try:
        storage.write_bytes(holder_path, msgspec.json.encode(this_run()))
        yield
    finally:
        with contextlib.suppress(OSError):
            storage.remove(holder_path)
        lock.release()


def _who(data: bytes | None) -> str:
    try:
        return str(msgspec.json.decode(data or b"", type=Holder))
    except NOT_JSON:
        return "a run that is just starting or ending"


def _say(what: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # who does not listen is not waited for
        print(f"rpj: {what}", file=sys.stderr, flush=True)
