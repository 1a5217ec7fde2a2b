"""A file that is coming: ``x.part``, and a record of where it comes from and how far it can be trusted.

Whatever ends the process, the two together are either a beginning of one version of the file, or nothing:
the record is written before the first byte of a version, and what was there of another is cut off before that.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from redpajama_data.download.content import Digests
from redpajama_data.download.exchange import shown
from redpajama_data.download.manners import http_time
from redpajama_data.io import storage
from redpajama_data.io.retries import not_written

_READ = 1 << 20
_KEEP_EVERY = 256 << 20  # bytes between two flushes to the disk: what a power cut costs
_STRONG_AFTER = 60  # seconds: a Last-Modified so much before Date tells versions apart (RFC 9110, 8.8.2.2)


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the bytes of a part are: those of ``url`` (as :func:`shown` gives it), of the version that ``etag`` and
    ``modified`` name, ``total`` bytes in all (None: not announced). ``strong_date``: ``modified`` tells versions apart.
    ``synced`` bytes are on the disk for certain; the others as long as the machine (``boot``) has not been started
    anew."""

    url: str
    total: int | None = None
    etag: str = ""
    modified: str = ""
    strong_date: bool = False
    synced: int = 0
    boot: str = ""

    @property
    def condition(self) -> str:
        """What ``If-Range`` may ask with; "" where nothing tells versions apart. A weak ETag may not be used."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified if self.strong_date else ""

    def comes_from(self, url: str) -> bool:
        """True when the bytes are those of ``url``, whoever was let in."""
        return self.url == shown(url)

    def is_of(self, headers: Mapping[str, str]) -> bool:
        """True when an answer's headers name the version of this record."""
        etag, modified = headers.get("etag", ""), headers.get("last-modified", "")
        if self.condition == self.etag and self.etag:
            return etag == self.etag
        return bool(self.condition) and modified == self.modified


def record_of(url: str, headers: Mapping[str, str], total: int | None) -> Record:
    """The record of a version, by the headers of an answer that begins it."""
    modified, date = http_time(headers, "last-modified"), http_time(headers, "date")
    strong = modified is not None and date is not None and date - modified >= _STRONG_AFTER
    return Record(shown(url), total, headers.get("etag", ""), headers.get("last-modified", ""), strong, 0, _boot())


class Part:
    """The unfinished bytes of one file. Only one process may have it open: the folder is locked."""

    def __init__(self, path: str, record_path: str, checks: Mapping[str, str]) -> None:
        self.path, self._final, self._record_path, self._checks = path + ".part", path, record_path, checks
        self.size, self.record, self._file = 0, Record(""), -1
        self.digests = Digests(checks)

    @property
    def is_whole(self) -> bool:
        """True when every announced byte is here."""
        return self.record.total is not None and self.size == self.record.total and bool(self.record.url)

    def open(self) -> None:
        """Take up what an earlier process left, as far as it can be trusted; hashes it (a blocking read)."""
        with self._written():
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            # A folder may be others' as well, and the name can be guessed: a link there would lead to any file.
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            size = os.fstat(self._file).st_size
        record = self._read_record()
        if record is None or (record.total is not None and size > record.total):
            size = 0
        elif record.boot != _boot():
            size = min(size, record.synced)
        self.size, self.record = size, record if record is not None and size else Record("")
        with self._written():
            os.ftruncate(self._file, size)
            at = 0
            while at < size and (data := os.pread(self._file, min(_READ, size - at), at)):
                self.digests.update(data)
                at += len(data)
        if at < size:
            self.restart()

    def restart(self) -> None:
        """Throw away what is here."""
        with self._written():
            os.ftruncate(self._file, 0)
            if self.size:
                os.fsync(self._file)  # before another version's record may stand over these bytes
        self.size, self.record, self.digests = 0, Record(""), Digests(self._checks)
        storage.remove(self._record_path)

    def begin(self, record: Record) -> None:
        """From now on the bytes are those of ``record`` (a part without bytes, or one of the same version)."""
        self.record = record
        storage.write_bytes(self._record_path, msgspec.json.encode(record), durable=False)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """More of the file. Raises :class:`StorageError`."""
        view, at = memoryview(data), 0
        hashed = self.digests.begin(view)
        try:
            with self._written():
                while at < len(view):
                    at += os.pwrite(self._file, view[at:], self.size + at)
        finally:
            hashed()
        self.size += len(view)
        if self.size - self.record.synced >= _KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        """See to it that what came is still there after a power cut."""
        if self.size and self.record.synced != self.size:
            with self._written():
                os.fsync(self._file)
            self.begin(msgspec.structs.replace(self.record, synced=self.size, boot=_boot()))

    def finish(self) -> os.stat_result:
        """Give the file its name, for good; its status. The record goes."""
        with self._written():
            os.fsync(self._file)
            os.replace(self.path, self._final)
            _sync_folder(os.path.dirname(self._final) or ".")
            info = os.fstat(self._file)
        self.close()
        storage.remove(self._record_path)
        return info

    def close(self) -> None:
        """Close the file; a part without bytes is removed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            if not self.size:
                with contextlib.suppress(OSError):
                    os.unlink(self.path)

    def _read_record(self) -> Record | None:
        data = storage.read_bytes(self._record_path)
        try:
            return msgspec.json.decode(data, type=Record) if data else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise not_written(self.path, error) from error


def _sync_folder(folder: str) -> None:
    with contextlib.suppress(OSError):  # file systems that cannot, need not
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _boot() -> str:
    """Names the start of this machine: what is not on the disk yet is lost with the next one, and unseen by others."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
