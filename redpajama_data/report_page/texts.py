"""Texts of single records by their ids: published ones, those that stages set aside, and raw ones."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from redpajama_data.document import Document, Reader
from redpajama_data.engine import tombstones
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.tombstones import Forgotten
from redpajama_data.errors import RpjError
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN, WITHIN
from redpajama_data.io.shards import read_jsonl, read_stored

RECORDS = 5_000  # a record that is further on in its file is not looked for
HEAD = 4000  # characters of a text that are held

_STORED = ("shard", "mined")  # roles of files with whole documents


@dataclass
class Places:
    """Where the documents of each raw file were set aside, and how raw files of a slice are read. Of what ``forgotten``
    names no text is given.

    ``base`` is the folder that relative names of raw files are relative to, by slice.
    """

    root: str
    readers: Mapping[str, Reader] = field(default_factory=dict)
    base: dict[str, str] = field(default_factory=dict)
    stored: dict[str, list[str]] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)  # the slice or job that read a raw file
    forgotten: Forgotten = field(default_factory=lambda: tombstones.of(()))
    jobs: set[str] = field(default_factory=set)  # those over shards: their raw files are shards of anybody's making

    def add(self, receipt: Receipt) -> None:
        """Note what the task of a receipt read and set aside."""
        raw = [path for path in receipt.inputs if not path.startswith((f"{RUN}/", WITHIN))]
        held = [out.path for role, out in receipt.outputs.items() if role.partition(":")[0] in _STORED]
        for path in raw:
            self.owner.setdefault(path, receipt.slice)
            if held:
                self.stored.setdefault(path, []).extend(held)


def texts_of(places: Places, ids: Iterable[str]) -> dict[str, str]:
    """The heads of the texts of these records; one that is not found, or too far on in its file, is not there.

    Raises :class:`BrokenInput` for a damaged file of the root. A raw file that is gone gives nothing.
    """
    wanted: dict[str, dict[int, str]] = {}
    for each in sorted(set(ids)):
        path, _, number = each.rpartition("#")
        if number.isdigit() and int(number) < RECORDS and places.forgotten.of_record(each) is None:
            wanted.setdefault(path, {})[int(number)] = each
    found: dict[str, str] = {}
    for path, numbers in wanted.items():
        if path.startswith(WITHIN):
            found |= _of_shard(storage.join(places.root, path.removeprefix(WITHIN)), numbers)
            continue
        names = set(numbers.values())
        for held in places.stored.get(path, ()):
            documents = (doc for _, doc in read_stored(storage.join(places.root, held)))
            found |= _by_id(documents, names - found.keys(), places.forgotten)
        if names - found.keys():
            found |= _raw(places, path, {n: name for n, name in numbers.items() if name not in found})
    return found


def _of_shard(path: str, numbers: dict[int, str]) -> dict[str, str]:
    lines = itertools.islice(read_jsonl(path), max(numbers) + 1)
    return {numbers[n]: record["text"][:HEAD] for n, record in enumerate(lines) if n in numbers}


def _by_id(documents: Iterator[Document], wanted: set[str], forgotten: Forgotten) -> dict[str, str]:
    found: dict[str, str] = {}
    left = set(wanted)
    for doc in itertools.islice(documents, RECORDS) if left else ():
        if doc.id in left:
            left.remove(doc.id)
            if forgotten.of_text(doc.text) is None:
                found[doc.id] = doc.text[:HEAD]
            if not left:
                break
    return found


def _raw(places: Places, path: str, numbers: dict[int, str]) -> dict[str, str]:
    owner = places.owner.get(path, "")
    there = posixpath.join(places.base.get(owner, ""), path)
    reader = places.readers.get(owner)
    if storage.is_remote(there) or (reader is None and owner not in places.jobs):
        return {}
    try:
        storage.stat(there)
        if reader is None:
            return _of_shard(there, numbers)
        same = {f"{there}#{n}": name for n, name in numbers.items()}
        documents = (doc if isinstance(doc, Document) else Document("", "", {}) for doc in reader(there))
        return {same[name]: text for name, text in _by_id(documents, set(same), places.forgotten).items()}
    except (RpjError, OSError):  # a raw file that is gone or breaks off: the report is of the root
        return {}
