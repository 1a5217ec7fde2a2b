"""Texts beside a page, for ``rpj explore --serve``: packed some at a time, so that one is had without all."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from redpajama_data.errors import NOT_JSON, UsageError
from redpajama_data.io import storage
from redpajama_data.io.shards import to_json

TEXTS, INDEX = "texts.bin", "texts.json"
_TOGETHER = 64  # documents of a piece
_LEVEL = 3  # of zlib

Shown = dict[str, str]
"""The ``text`` of a document, its ``meta`` as JSON, and the ``card`` a search looks at as well."""


class TextWriter:
    """Takes the texts of a page one after another, and writes pieces to ``out``; :meth:`end` gives the index."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._held: list[Shown] = []
        self._ends: list[int] = [0]
        self._count = 0

    def add(self, shown: Shown) -> None:
        """One more document."""
        self._held.append(shown)
        self._count += 1
        if len(self._held) == _TOGETHER:
            self._write()

    def _write(self) -> None:
        data = zlib.compress(to_json(self._held), _LEVEL)
        self._out.write(data)
        self._ends.append(self._ends[-1] + len(data))
        self._held = []

    def end(self) -> bytes:
        """Write what is left. The index, as bytes."""
        if self._held:
            self._write()
        return to_json({"documents": self._count, "together": _TOGETHER, "ends": self._ends}) + b"\n"


class _Index(msgspec.Struct):
    documents: int
    together: int
    ends: list[int]


class TextFile:
    """Reads what :class:`TextWriter` wrote into a folder. Raises :class:`UsageError` when it is missing or damaged."""

    def __init__(self, folder: str) -> None:
        self._path = storage.join(folder, TEXTS)
        data = storage.read_bytes(storage.join(folder, INDEX))
        try:
            self._index = msgspec.json.decode(data or b"", type=_Index)
        except NOT_JSON as error:
            raise UsageError(
                f"{folder}: no texts of an export there. Run rpj explore again with this --export."
            ) from error

    def __len__(self) -> int:
        return self._index.documents

    def at(self, row: int) -> Shown:
        """A document, by its number. Raises IndexError."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        piece, place = divmod(row, self._index.together)
        with storage.open_input(self._path) as file:
            return self._piece(file, piece)[place]

    def search(self, words: list[str]) -> Iterator[int]:
        """The numbers of the documents that have all the words (in lower case) in text or card, rising."""
        row = 0
        with storage.open_input(self._path) as file:
            for piece in range(len(self._index.ends) - 1):
                for shown in self._piece(file, piece):
                    where = f"{shown['card']}\n{shown['text']}".lower()
                    if all(word in where for word in words):
                        yield row
                    row += 1

    def _piece(self, file: Any, number: int) -> list[Shown]:
        begin, end = self._index.ends[number : number + 2]
        file.seek(begin)
        try:
            return msgspec.json.decode(zlib.decompress(file.read(end - begin)), type=list[Shown])
        except (zlib.error, *NOT_JSON) as error:
            raise UsageError(f"{self._path}: damaged. Run rpj explore again with this --export.") from error
