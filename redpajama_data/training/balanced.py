"""The corpus of the classifier, repaired: each page once, no host too often, a drawn sample of both classes, as many of
one as of the other. The published one is :func:`redpajama_data.training.classifier.corpus`.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from redpajama_data.training.classifier_report import CC, WIKI, Example, LeftOut
from redpajama_data.training.texts import Page, one_line, read_pages

PER_HOST = 100  # of 3,813 addresses that 106 real articles cite books.google.com has 343, no other host more than 51
_NONE = np.uint64(0)  # the hash of what a page does not say
_ROW = np.dtype([(name, "<u8") for name in ("rank", "text", "digest", "host", "n")])  # a page: 40 bytes
Rows = npt.NDArray[Any]


@dataclass(frozen=True)
class Sampling:
    """How the corpus is drawn: ``seed`` decides which pages, ``per_host`` is the most of one host in a class, and
    positive pages below ``shortest`` characters do not train."""

    seed: int
    per_host: int
    shortest: int


def balanced_corpus(
    positive: Sequence[str], negative: Sequence[str], sampling: Sampling
) -> tuple[Iterator[Example], LeftOut]:
    """The examples, both classes mixed, and what of each class was left out and why.

    The rank of a page is a hash of its text and the seed: of copies and of the pages of a host the lowest stay, of both
    classes as many as the smaller one has, in the order of ranks. So files may come in any order. Copies are pages with
    the same text on one line, or with the same ``digest``. A page of both classes is a positive one. The files are read
    twice, the second time for what stays; memory is 40 bytes a page, and three times that while they are sorted.
    """
    wiki, short = _rows(positive, sampling, sampling.shortest)
    cc, empty = _rows(negative, sampling, 1)
    in_both = _known(cc["text"], wiki["text"]) | _known(cc["digest"], wiki["digest"])
    kept: dict[str, Rows] = {WIKI: wiki, CC: cc[~in_both]}
    left_out: LeftOut = {WIKI: {"too short": short}, CC: {"empty": empty, "also positive": int(in_both.sum())}}
    for label, rows in kept.items():
        ranked = rows[np.lexsort((rows["host"], rows["rank"]))]
        once = _first_of_each(_first_of_each(ranked, "text"), "digest")
        kept[label] = _at_most(once, sampling.per_host)
        left_out[label] |= {"copies": len(rows) - len(once), "beyond the host's": len(once) - len(kept[label])}
    size = min(len(rows) for rows in kept.values())
    for label, rows in kept.items():
        left_out[label]["beyond the other class"] = len(rows) - size
        kept[label] = rows[:size]
    return _in_order(((WIKI, positive, kept[WIKI]), (CC, negative, kept[CC]))), left_out


def host_of(url: str) -> str:
    """The host of an address, in lower case without ``www.``; "" where it has none."""
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:  # brackets that are no address
        return ""


def _rows(paths: Sequence[str], sampling: Sampling, shortest: int) -> tuple[Rows, int]:
    """A row of :data:`_ROW` for each page of the files, and how many are shorter. Pages are numbered through."""
    numbers, short = array("Q"), 0
    for n, page in enumerate(_pages(paths)):
        if len(page.text) < shortest:
            short += 1
            continue
        text = one_line(page.text)
        said = (f"{sampling.seed} {text}", text, page.digest, host_of(page.url))
        numbers.extend([*(_hash(value) for value in said), n])
    return np.frombuffer(numbers.tobytes(), dtype=_ROW), short


def _pages(paths: Sequence[str]) -> Iterator[Page]:
    for path in paths:
        yield from read_pages(path)


def _hash(value: str) -> int:
    """64 bits; 0 for nothing."""
    if not value:
        return int(_NONE)
    return int.from_bytes(hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _known(values: npt.NDArray[np.uint64], known: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which of the values are among the known ones; "nothing" never is."""
    found: npt.NDArray[np.bool_] = np.isin(values, known) & (values != _NONE)
    return found


def _first_of_each(rows: Rows, name: str) -> Rows:
    """The rows without those whose value in a column an earlier one has; "nothing" is no value."""
    _, first = np.unique(rows[name], return_index=True)
    stays = rows[name] == _NONE
    stays[first] = True
    left: Rows = rows[stays]
    return left


def _at_most(rows: Rows, limit: int) -> Rows:
    """The rows without those of a host that has ``limit`` earlier ones; pages without an address are of no host."""
    order = np.argsort(rows["host"], kind="stable")
    hosts = rows["host"][order]
    starts = np.flatnonzero(np.append(True, hosts[1:] != hosts[:-1])[: len(hosts)])
    place = np.arange(len(hosts)) - np.repeat(starts, np.diff(np.append(starts, len(hosts))))
    stays = np.zeros(len(rows), dtype=bool)
    stays[order[(place < limit) | (hosts == _NONE)]] = True
    left: Rows = rows[stays]
    return left


def _in_order(classes: Sequence[tuple[str, Sequence[str], Rows]]) -> Iterator[Example]:
    """The examples of some rows of each class by their ranks. Their texts wait in a scratch file."""
    with _scratch() as file:
        found: list[tuple[int, str, int, int]] = []  # rank, label, place in the file, bytes
        for label, paths, rows in classes:
            ranks = dict(zip(rows["n"].tolist(), rows["rank"].tolist(), strict=True))
            for n, page in enumerate(_pages(paths)):
                if n in ranks:
                    data = one_line(page.text).encode("utf-8", "replace")
                    found.append((ranks[n], label, file.tell(), len(data)))
                    file.write(data)
        file.flush()
        for _, label, at, size in sorted(found):
            yield Example(label, os.pread(file.fileno(), size, at).decode("utf-8"))


@contextmanager
def _scratch() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file
