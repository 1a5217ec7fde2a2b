"""What comes of a request: an answer, or one of the ways in which there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from redpajama_data.download.direct import Body
from redpajama_data.errors import InputUnavailable
from redpajama_data.io.credentials import shown as shown


class NotThere(InputUnavailable):
    """The host says that it has no such file (404, 410)."""


class Passing(Exception):
    """An attempt failed for a reason that may pass. ``waited``: the host's own cool-down is the wait."""

    def __init__(self, reason: str, *, waited: bool = False) -> None:
        super().__init__(shown(reason))
        self.waited = waited


class Final(Exception):
    """An answer that no further attempt at the same source will change. ``gone``: it says that there is no such
    file."""

    def __init__(self, reason: str, *, gone: bool = False) -> None:
        super().__init__(shown(reason))
        self.gone = gone


class Closed(Exception):
    """The host is left alone for the rest of the run."""


class Answer(NamedTuple):
    """What a host answered: the URL after redirects (as :func:`shown` gives it), the headers with their names in small
    letters, the body."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream(NamedTuple):
    """An answer whose body is still to come, by ``chunks`` or by ``body`` (one of them is used). ``framed``: its end is
    told from a connection that was cut."""

    url: str
    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]
    framed: bool
    body: Body | None = None
