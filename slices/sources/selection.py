"""Which files of a listing are wanted: what ``--shards``, ``--files``, ``--sample`` and the lists of names mean."""

from __future__ import annotations

import fnmatch
import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import xxhash

from redpajama_data.download.plan import Wanted
from redpajama_data.errors import UsageError

CHOICES = ("files", "sample", "seed")  # what :func:`choose` knows, of every source


def choose(files: Iterable[Wanted], selection: Mapping[str, Any]) -> Iterator[Wanted]:
    """Those that ``files`` (a glob over the path or the name) and ``sample`` leave, in the order they come in.

    ``sample`` takes the first N; with a ``seed`` N at random: those whose path has the smallest hashes with that seed,
    so that a larger N keeps what a smaller one has fetched.
    """
    glob, number, seed = selection.get("files"), selection.get("sample"), selection.get("seed")
    named = files if glob is None else (each for each in files if _fits(each.path, glob))
    if number is None:
        yield from named
    elif seed is None:
        for n, each in enumerate(named):
            if n >= number:
                return
            yield each
    else:
        ranked = ((xxhash.xxh3_64_intdigest(each.path.encode(), seed), n, each) for n, each in enumerate(named))
        for _, _, each in sorted(heapq.nsmallest(number, ranked, key=lambda entry: entry[:2]), key=lambda e: e[1]):
            yield each


def _fits(path: str, glob: str) -> bool:
    return fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], glob)


def numbers(text: str, end: int) -> list[int]:
    """``0-9,17`` as sorted numbers below ``end``, each once. Raises :class:`UsageError` for anything else."""
    found: set[int] = set()
    for part in text.split(","):
        bounds = re.fullmatch(r"\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*", part)
        if not bounds:
            raise UsageError(f"--shards {text}: expected numbers and ranges, such as 0-9 or 0,17.")
        first, last = int(bounds[1]), int(bounds[2] or bounds[1])
        if first > last or last >= end:
            raise UsageError(f"--shards {text}: there are shards 0 to {end - 1}. Give numbers of that range.")
        found.update(range(first, last + 1))
    return sorted(found)


def names(selection: Mapping[str, Any], key: str, default: Iterable[str]) -> list[str]:
    """A list of the selection, each name once, in its order; ``default`` when it does not say."""
    return list(dict.fromkeys(selection.get(key) or default))


def date_of(selection: Mapping[str, Any], default: str | None) -> str | None:
    """The date of the selection, ``YYYYMMDD``. Raises :class:`UsageError` for another form."""
    date = selection.get("date") or default
    if date is not None and not re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", date):
        raise UsageError(f"--date {date}: expected a day as 20230320.")
    return date
