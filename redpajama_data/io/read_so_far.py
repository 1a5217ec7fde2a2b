"""How many bytes of files this process has read: a task of hours shows by it that it goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

_bytes = 0
_tell: Callable[[int], None] | None = None  # gets the bytes of all reads, with each of them


def count(read: int) -> None:
    """Enter bytes that were read. Threads that read at once may lose some of them: it is shown, and nothing else."""
    global _bytes
    _bytes += read
    if _tell is not None:
        _tell(_bytes)


def total() -> int:
    """The bytes read since this process began."""
    return _bytes


@contextlib.contextmanager
def told(to: Callable[[int], None], every: float) -> Iterator[None]:
    """Within the block ``to`` gets the bytes read in it, from the reads themselves, not more often than ``every``
    seconds, by one thread at a time, and never after the block."""
    global _tell
    before, lock, last, ended = _bytes, threading.Lock(), time.monotonic(), False

    def tell(now: int) -> None:
        nonlocal last
        if time.monotonic() - last < every:
            return
        with lock:
            if not ended and time.monotonic() - last >= every:
                to(now - before)
                last = time.monotonic()

    _tell = tell
    try:
        yield
    finally:
        _tell = None
        with lock:
            ended = True
