"""What was fetched, when, from where, and how it was checked; and what could not be, and why."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

import msgspec

from redpajama_data.download.plan import Wanted, folder
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.retries import not_written, retried, unavailable

RECEIPTS, QUARANTINE = "receipts.jsonl", "quarantine.json"  # in <to>/<slice>/_download
_READ = 1 << 20


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file that is here, whole. ``sha256`` is ours. ``checked`` says what it was held against: the published
    hashes by name ("md5+sha1"), else a walk through its content ("gzip walk"), else its length ("length").
    ``validator`` is the ETag or Last-Modified it had; ``url`` is "" for a file that was here already, and without what
    grants access. ``time``: when, UTC. ``mtime_ns`` and ``bytes`` tell an unchanged file without reading it.
    ``stored`` is where it was put, when it did not stay."""

    path: str
    bytes: int
    mtime_ns: int
    sha256: str
    checked: str
    time: str
    url: str = ""
    validator: str = ""
    checks: dict[str, str] = msgspec.field(default_factory=dict)
    stored: str = ""

    def speaks_of(self, wanted: Wanted) -> bool:
        """False when the plan names other bytes than these."""
        if wanted.bytes is not None and wanted.bytes != self.bytes:
            return False
        return all(self.checks.get(name, value) == value for name, value in wanted.checks.items())


class Receipts:
    """The receipts of a folder: a line each, appended. In memory is where each stands (100,000 are 14 MB)."""

    def __init__(self, place: str) -> None:
        self._path = storage.join(storage.local(place), RECEIPTS)
        self._at: dict[int, int] = {}  # 64 bits of the path: byte of its last line
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._file = retried(self._path, _open, self._path)
        except OSError as error:
            raise not_written(self._path, error) from error
        for place_of, receipt in _lines(self._path):
            self._at[_key(receipt.path)] = place_of
        size = os.fstat(self._file.fileno()).st_size
        if size and os.pread(self._file.fileno(), 1, size - 1) != b"\n":  # a kill in the middle of a line
            self._append(b"\n")

    def __len__(self) -> int:
        return len(self._at)

    def of(self, path: str) -> Receipt | None:
        """The last receipt of a file; None when it has none."""
        at = self._at.get(_key(path))
        if at is None:
            return None
        data = b""
        while b"\n" not in data and (more := os.pread(self._file.fileno(), 4096, at + len(data))):
            data += more
        receipt = _decoded(data.split(b"\n")[0])
        return receipt if receipt is not None and receipt.path == path else None

    def add(self, receipt: Receipt) -> None:
        """Keep a receipt, on the disk."""
        self._at[_key(receipt.path)] = os.fstat(self._file.fileno()).st_size
        self._append(msgspec.json.encode(receipt) + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            self._file.write(line)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise not_written(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _open(path: str) -> BinaryIO:
    return cast(BinaryIO, open(path, "a+b", 0))


def _key(path: str) -> int:
    import xxhash

    return xxhash.xxh3_64_intdigest(path.encode())


def _lines(path: str) -> Iterator[tuple[int, Receipt]]:
    at = 0
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            receipt = _decoded(line)
            if receipt is not None:  # a line that a kill has cut: its file is looked at again
                yield at, receipt
            at += len(line)


def _decoded(line: bytes) -> Receipt | None:
    try:
        return msgspec.json.decode(line, type=Receipt)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


# ---------------------------------------------------------------------------------------------- what did not come


class PutAside(msgspec.Struct, omit_defaults=True):
    """A file that could not be fetched: why, when first (UTC), how many runs tried, whether the source says that it is
    gone, and the second (since 1970) before which its host asks not to be tried again (0: the next run may)."""

    reason: str
    since: str
    runs: int = 1
    gone: bool = False
    not_before: float = 0.0


def load_quarantine(to: str, slice_name: str) -> dict[str, PutAside]:
    """The files of a slice that could not be fetched, by path."""
    data = storage.read_bytes(storage.join(folder(to, slice_name), QUARANTINE))
    try:
        return msgspec.json.decode(data, type=dict[str, PutAside]) if data else {}
    except (msgspec.DecodeError, UnicodeDecodeError):  # it only says what is tried again anyhow
        return {}


def save_quarantine(to: str, slice_name: str, put_aside: dict[str, PutAside]) -> None:
    """Keep them."""
    path = storage.join(folder(to, slice_name), QUARANTINE)
    storage.write_bytes(path, msgspec.json.format(msgspec.json.encode(put_aside), indent=1) + b"\n")


# ---------------------------------------------------------------------------------------------- without a network


class Unsound(NamedTuple):
    """A file that is not what its receipt says: ``what`` is "missing", "size" or "bytes"."""

    path: str
    what: str


def verify(to: str, slice_name: str) -> Iterator[Unsound | Receipt]:
    """Read every file of a slice that has a receipt and hold it against that, without a network: the receipt of each
    that is sound, and what is not. Raises :class:`UsageError` when there are no receipts."""
    base = storage.local(storage.join(to, slice_name))
    path = storage.join(storage.local(folder(to, slice_name)), RECEIPTS)
    if not os.path.exists(path):
        raise UsageError(f"{to}/{slice_name}: nothing was fetched there. Run: rpj download {slice_name} --to {to}")
    last = {_key(receipt.path): at for at, receipt in _lines(path)}
    for at, receipt in _lines(path):
        if last[_key(receipt.path)] == at:
            yield _verified(receipt.stored or os.path.join(base, receipt.path), receipt)


def _verified(path: str, receipt: Receipt) -> Unsound | Receipt:
    try:
        size = storage.stat(path).bytes
    except UsageError:  # no such file
        return Unsound(receipt.path, "missing")
    if size != receipt.bytes:
        return Unsound(receipt.path, "size")
    return receipt if sha256_of(path) == receipt.sha256 else Unsound(receipt.path, "bytes")


def sha256_of(path: str) -> str:
    """SHA-256 (hex) of a local file. Raises :class:`InputUnavailable` when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with storage.open_input(path) as file:
            while data := file.read(_READ):
                digest.update(data)
    except OSError as error:
        raise unavailable(path, error) from error
    return digest.hexdigest()
