"""Files of a root replaced together: all or none, on a disk and on an object store, whenever it is ended.

New versions are written beside, below :data:`FOLDER`. Then one small file says what takes whose place: from there on it
will be so, by whoever holds the root next. Before it nothing has changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Receipt
from redpajama_data.errors import NOT_JSON
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN, task_path
from redpajama_data.io.storage import WholeFile

FOLDER = f"{RUN}/replacing"
_DECIDED = f"{FOLDER}/decided.json"
_COPIED = 1 << 20  # bytes copied at a time


class _Decided(msgspec.Struct):
    """What is decided: new versions (staged path -> path in the root), and paths that go. In this order."""

    put: list[tuple[str, str]] = []
    remove: list[str] = []


class Replacement:
    """Gathers new versions and removals for :meth:`commit`. The root is held by the caller."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._decided = _Decided()

    @contextlib.contextmanager
    def file(self, path: str) -> Iterator[WholeFile]:
        """The new version of a file, by its path from the root."""
        staged = f"{FOLDER}/{len(self._decided.put):06d}"
        with storage.whole_file(storage.join(self._root, staged)) as file:
            yield file
        self._decided.put.append((staged, path))

    def receipt(self, receipt: Receipt) -> None:
        """The new version of a receipt."""
        path = task_path("", receipt.slice, receipt.stage, receipt.task, "receipt.json")
        with self.file(path) as file:
            file.write(receipts.encoded(receipt))

    def remove(self, path: str) -> None:
        """Take a file away."""
        self._decided.remove.append(path)

    def commit(self) -> None:
        """Do all of it."""
        storage.write_bytes(storage.join(self._root, _DECIDED), msgspec.json.encode(self._decided) + b"\n")
        finish(self._root)


def finish(root: str) -> None:
    """Bring to its end what was decided before, and remove what was not. For whoever has just taken hold of a root."""
    staged = storage.find(storage.join(root, FOLDER))
    if not staged:
        return
    with contextlib.suppress(*NOT_JSON):
        decided = msgspec.json.decode(storage.read_bytes(storage.join(root, _DECIDED)) or b"", type=_Decided)
        for source, path in decided.put:
            _copy(storage.join(root, source), storage.join(root, path))
        for path in decided.remove:
            storage.remove(storage.join(root, path))
        storage.remove(storage.join(root, _DECIDED))
    for name in staged:
        storage.remove(storage.join(root, FOLDER, name))


def _copy(source: str, path: str) -> None:
    with storage.open_input(source) as file, storage.whole_file(path) as out:
        while data := file.read(_COPIED):
            out.write(data)
