"""Is it what it should be? The hashes of a file while it comes, and its first bytes."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from redpajama_data.errors import RpjError
from redpajama_data.io import first_bytes

_BESIDE = 64 << 10  # bytes that are worth the way to another thread
_MAGIC = {"gzip": b"\x1f\x8b", "bz2": b"BZh", "7z": b"7z\xbc\xaf\x27\x1c", "zstd": b"\x28\xb5\x2f\xfd"}
ENDS_ITSELF = {"tar", "7z", "xml"}  # a walk tells the end of these; a gzip file may be cut between two members


class WrongContent(RpjError):
    """The bytes that came are not those of the file; the message says why."""

    exit_code = 3


class Digests:
    """SHA-256 of a file while it comes, and the hashes that its source has published."""

    def __init__(self, checks: Mapping[str, str]) -> None:
        self._published = dict(checks)
        self._sums: dict[str, Any] = {"sha256": hashlib.sha256()}
        for name in checks:
            self._sums.setdefault(name, _new(name))

    def update(self, data: Any) -> None:
        """More of the file."""
        for digest in self._sums.values():
            digest.update(data)

    def begin(self, data: memoryview) -> Callable[[], object]:
        """As :meth:`update`, beside what the caller does meanwhile; call what comes back before anything else."""
        if len(data) < _BESIDE:
            self.update(data)
            return lambda: None
        return _threads().submit(self.update, data).result

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of what came so far."""
        return str(self._sums["sha256"].hexdigest())

    def check(self) -> str:
        """The names of the published hashes, all of which agree ("" where none is published). Raises
        :class:`WrongContent` for one that does not."""
        for name, published in self._published.items():
            raw = self._sums[name].digest()
            found = base64.b64encode(raw).decode() if name == "crc32c" else raw.hex()
            if found != published:
                raise WrongContent(f"its {name} is {found}, published is {published}")
        return "+".join(sorted(self._published))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="rpj-hash")


def _new(name: str) -> Any:
    if name == "crc32c":
        import google_crc32c

        return google_crc32c.Checksum()  # type: ignore[no-untyped-call]
    return hashlib.new(name, usedforsecurity=False)


def check_head(path: str, head: bytes, kind: str, content_type: str) -> None:
    """Raises :class:`WrongContent` when the first bytes (up to :data:`first_bytes.LOOK`, or the whole of a smaller
    file) are those of a page or message that a host sends in place of a file, or not those of the format."""
    magic = _MAGIC.get(kind)
    if magic and head and not head.startswith(magic):
        said = first_bytes.known(head)
        raise WrongContent(f"it is no {kind} file{f', but {said.name}' if said else ''}")
    if re.search(r"\.(html?|xml)\Z", path, re.IGNORECASE):
        return
    kind_found = first_bytes.known(head) if head else None
    if kind_found and ("HTML page" in kind_found.name or "error message in XML" in kind_found.name):
        raise WrongContent(f"it is {kind_found.name}")
    if content_type.split(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
        raise WrongContent("the host calls it an HTML page")
