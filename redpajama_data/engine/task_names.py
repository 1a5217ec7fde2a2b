"""The names of tasks: made of what each is of, and of nothing that changes when another raw file comes or goes.

They are the names of published shards as well, so that a root that grows has the names of one that was made at once.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

from redpajama_data.io.storage import without_query

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_ENDINGS = re.compile(r"\.(gz|zst|bz2|7z|xml|jsonl|json|tar|txt)(?=$|\.)")
_SCHEME = re.compile(r"^[A-Za-z0-9+.-]+:/+")
_MOST_FOLDERS = 3  # before a name; beyond them the hash of its path tells a file from others
LONGEST = 80  # characters of a file's name in that of its task
LONGEST_WHOLE = 119  # with folders: 255 bytes hold the slice of a job, endings and temporary marks too


def task_names(paths: Iterable[str]) -> list[str]:
    """The names of the tasks of raw files, all different: the file's name without its endings, such as
    ``c4-train.00012-of-01024``.

    Files of one name get the names of the folders before it that tell them apart, ``en_part-00012`` and
    ``de_part-00012``, wherever the folder of all raw files lies. Only among files of one name does a new one change the
    names of others. Names that differ in case alone count as equal, for disks that take them for one.
    """
    files = list(paths)
    level = [0] * len(files)
    names = [_choice(path, 0) for path in files]
    while True:
        count = Counter(map(str.casefold, names))
        again = [i for i, name in enumerate(names) if count[name.casefold()] > 1]
        if not again:
            return names
        for i in again:
            level[i] += 1
            names[i] = _choice(files[i], level[i])
        if min(level[i] for i in again) > _MOST_FOLDERS + 2:
            raise ValueError(f"{files[again[0]]} is there twice")


def numbered_name(rank: int, total: int, path: str) -> str:
    """The name of a task of a whole that is divided anew whenever a part of it changes: its number and a file's name,
    ``00012-github_0012``. Sorts as ``rank`` does."""
    return f"{rank:0{max(5, len(str(total - 1)))}d}-{_stem(without_query(path))}"


def shortened(name: str) -> str:
    """A name without the endings of files, with safe characters only."""
    return _UNSAFE.sub("_", _ENDINGS.sub("", name))


def _stem(path: str) -> str:
    return shortened(path.rsplit("/", 1)[-1])[:LONGEST]


def _choice(path: str, level: int) -> str:
    """What a file can be called: its own name, then with so many folders before it, at last like no other file."""
    *folders, name = _SCHEME.sub("", without_query(path)).split("/")
    stem = bounded(shortened(name).lstrip(".") or "file", LONGEST, name)
    if level > _MOST_FOLDERS:
        return f"{stem}-{_digest(name if level == _MOST_FOLDERS + 1 else path)}"
    before = folders[-level:] if level else []
    whole = "_".join([*(shortened(folder) for folder in before if folder), stem]).lstrip(".")
    return (
        whole if len(whole) <= LONGEST_WHOLE else f"{whole[: LONGEST_WHOLE - 13]}-{_digest('/'.join([*before, name]))}"
    )


def bounded(text: str, most: int, of: str) -> str:
    """A text of at most so many bytes; a longer one is cut, and told from others by the hash of what it is of."""
    data = text.encode()
    return text if len(data) <= most else f"{data[:most].decode(errors='ignore')}-{_digest(of)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
