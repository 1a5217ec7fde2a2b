"""Where a host is really asked: itself, or the address that a mirror, a proxy or a test has for it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from redpajama_data.download.exchange import shown
from redpajama_data.errors import UsageError

PREFIX = "RPJ_ADDRESS_"  # RPJ_ADDRESS_DATA_COMMONCRAWL_ORG=http://127.0.0.1:8080


class Addresses:
    """Base addresses by host: those of a configuration, and before them those of the environment.

    ``https://data.commoncrawl.org/x?y`` with ``data.commoncrawl.org: http://127.0.0.1:8080/cc`` is asked as
    ``http://127.0.0.1:8080/cc/x?y``. A bucket is a host of its own: ``s3://arxiv`` is overridden as ``arxiv``, by the
    endpoint of an S3 server. Raises :class:`UsageError` for a base that is no http(s) address.
    """

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._bases = {host.lower(): base.rstrip("/") for host, base in (given or {}).items()}
        for host, base in self._bases.items():
            _check(host, base)

    def base(self, host: str) -> str | None:
        """The address that ``host`` is overridden by; None where it is asked itself."""
        set_here = os.environ.get(_variable(host))
        if set_here:
            return _check(host, set_here.rstrip("/"))
        return self._bases.get(host.lower())

    def pass_on(self) -> None:
        """Set the bases of the configuration in the environment, for what this process calls and starts."""
        for host, base in self._bases.items():
            os.environ.setdefault(_variable(host), base)

    def of(self, url: str) -> str:
        """The URL that is asked for ``url`` (http or https; another scheme comes back as it is)."""
        parts = urlsplit(url)
        base = self.base(parts.hostname or "") if parts.scheme in ("http", "https") else None
        if base is None:
            return url
        return base + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _variable(host: str) -> str:
    return PREFIX + re.sub("[^A-Z0-9]", "_", host.upper())


def host_of(url: str) -> str:
    """The host that a URL names, whose manners hold for it (a bucket for ``s3://``)."""
    return (urlsplit(url).hostname or "").lower()


def _check(host: str, base: str) -> str:
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"The address of {host} is {shown(base)!r}. Give one as http://127.0.0.1:8080.")
    return base
