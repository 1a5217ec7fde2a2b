"""gigatoken, with its memory bounded."""

from __future__ import annotations

import ctypes
import functools
import importlib
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

CACHE_LIMIT = 64 << 20  # bytes the process may grow by while gigatoken's cache fills, before the cache is dropped
CHECK_EVERY = 16 << 20  # bytes of text between two looks; hostile text grows the cache by up to 13 bytes a byte
CHECK_BLIND = 64 << 20  # bytes of text after which it is dropped where the system does not tell the process's size

Encode = Callable[[bytes], Sequence[int]]  # the token ids of a UTF-8 text; gigatoken gives an array of uint32
_log = logging.getLogger(__name__)


def fast_encode(loader: str, data: bytes) -> Encode | None:
    """gigatoken's encoding, or None where it is not installed or does not know this kind of tokenizer.

    ``loader`` is the name of its constructor for ``data``: from_json or from_sentencepiece.
    """
    try:
        library = importlib.import_module("gigatoken")
    except ImportError:
        _log.warning("gigatoken cannot be imported here: tokens are counted about 50 times slower, with equal results")
        return None
    try:
        return Bounded(functools.partial(getattr(library.Tokenizer, loader), data))
    except (ValueError, NotImplementedError, RuntimeError):  # a kind it does not know
        return None


class Bounded:
    """gigatoken in bounded memory: its cache of words never shrinks, so the object is made anew when it has grown.

    A new one costs 0.25 s. ``renewed`` counts them.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._backend = make, make()
        self._seen, self._base, self.renewed = 0, resident(), 0

    def __call__(self, data: bytes) -> Sequence[int]:
        # One text a call: encode_batch is slower (36 against 42 MB/s) and would start threads of its own.
        ids: Sequence[int] = self._backend.encode(data)
        self._seen += len(data)
        if self._seen >= CHECK_EVERY:
            self._look()
        return ids

    def _look(self) -> None:
        now = resident()
        if now is None or self._base is None:
            grown = self._seen >= CHECK_BLIND
        else:
            grown = now - self._base > CACHE_LIMIT
            self._seen = 0
        if grown:
            self._backend = None  # before the new one: not both at once
            _give_back()
            self._backend = self._make()
            self._seen, self._base, self.renewed = 0, resident(), self.renewed + 1


def resident() -> int | None:
    """Bytes of memory this process holds, or None where the system does not tell (only Linux does, cheaply)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _give_back() -> None:
    """Freed memory goes back to the system; without this, glibc keeps up to 200 MB of it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return  # not glibc: nothing to do
