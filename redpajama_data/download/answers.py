"""What an answer gives, held against what was asked for and what is here already."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from redpajama_data.download import content
from redpajama_data.download.exchange import Final, Passing, Stream
from redpajama_data.download.parts import Part, Record, record_of
from redpajama_data.download.plan import Wanted

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.IGNORECASE)
_PAST_THE_END = re.compile(r"bytes \*/(\d+)", re.IGNORECASE)


class NoPieces(Passing):
    """The host does not give ranges as it should: the next attempt asks for the whole file."""


def begin(wanted: Wanted, part: Part, url: str, stream: Stream, asked_from: int) -> None:
    """Look at the headers of an answer: what it gives must be what was asked for, of the same version.

    Raises :class:`Passing`, :class:`NoPieces` or :class:`Final`; the part then holds what may be continued, or nothing.
    """
    headers = stream.headers
    encoded = headers.get("content-encoding", "identity").lower() not in ("", "identity", "aws-chunked")
    if encoded and not wanted.checks and wanted.bytes is None:
        raise Passing(f"it comes in another encoding ({headers['content-encoding']}) than asked for")
    if stream.status == 206:
        content.check_head(wanted.path, b"", "none", headers.get("content-type", ""))
        start, total = range_of(headers)
        if not asked_from or start != asked_from:
            raise NoPieces(f"bytes from {asked_from:,} were asked for, and it gives others")
        same = part.record.is_of(headers) and part.record.comes_from(url)
        if (total is not None and part.record.total not in (None, total)) or not (same or wanted.checks):
            part.restart()
            raise Passing("it changed while it was fetched")
        if part.record.total is None and total is not None:
            part.begin(msgspec.structs.replace(part.record, total=total))
        return
    if stream.status != 200:
        raise Passing(f"HTTP {stream.status}, which is no file")
    length = headers.get("content-length", "")
    total = int(length) if length.isdigit() else None
    planned = wanted.bytes
    if total is not None and planned is not None and total != planned:
        raise Passing(f"it has {total:,} bytes, and {planned:,} by its listing: one of them has changed")
    known = wanted.checks or planned is not None or wanted.walk in content.ENDS_ITSELF
    if not stream.framed and not known:
        raise Final("the host does not say how long it is, so nobody knows when it is whole")
    if wanted.validator and not wanted.checks and not _is_version(wanted.validator, headers):
        raise Passing("it has changed since its listing. Make the plan again")
    if part.size:
        part.restart()
    part.begin(record_of(url, headers, planned if total is None else total))


def past_the_end(wanted: Wanted, part: Part, stream: Stream, asked_from: int) -> None:
    """416: there is nothing behind what is here. It is whole when the source has as many bytes."""
    found = _PAST_THE_END.match(stream.headers.get("content-range", ""))
    record = part.record
    other = "etag" in stream.headers and not record.is_of(stream.headers)
    is_end = asked_from and found and int(found[1]) == asked_from
    announced = record.total in (None, asked_from)  # fewer bytes than were announced are not all of them
    if is_end and announced and (wanted.checks or not other):
        part.begin(with_total(part))
        return
    part.restart()
    raise Passing("the host has fewer bytes than came before: it changed")


def with_total(part: Part) -> Record:
    """The record of a part that turned out to be whole."""
    return msgspec.structs.replace(part.record, total=part.size)


def range_of(headers: Mapping[str, str]) -> tuple[int, int | None]:
    """First byte and size of the whole, of a 206; (-1, None) when it does not say."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    return (int(found[1]), None if found[3] == "*" else int(found[3])) if found else (-1, None)


def _is_version(validator: str, headers: Mapping[str, str]) -> bool:
    """True unless an answer's headers name another version than ``validator``, an ETag or a Last-Modified."""
    etag = headers.get("etag", "").removeprefix("W/").strip('"')
    known = {name for name in (etag, headers.get("last-modified", "")) if name}
    return not known or validator.removeprefix("W/").strip('"') in known
