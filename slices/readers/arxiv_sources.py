"""The TeX sources of one arXiv paper, out of its ``.gz``: a gzipped tar of a project, or one gzipped source.

Bounded in memory and in work, whatever the archive says of itself. Source: RedPajama-Data-1T, data_prep/arxiv.
"""

from __future__ import annotations

import io
import posixpath
import re
import zlib
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, cast

from isal import igzip, isal_zlib

from redpajama_data.document import Drop
from redpajama_data.io.tar_members import Member, TarDamagedError, TarTooLargeError, iter_members

_PIECE = 1 << 20  # bytes asked for at a time: a read up to the bound takes the bound's memory for the smallest paper
STREAM_DAMAGE = (EOFError, OSError, zlib.error, isal_zlib.error)  # what igzip raises for a cut or damaged stream

_TEX_COMMAND = re.compile(rb"\\[a-zA-Z]{2}")


class Source(NamedTuple):
    """A file of a paper: its name in the archive, empty for a single one, and what is in it."""

    name: str
    data: bytes


def is_tex(name: str) -> bool:
    """What the published scripts read: names that end with ``.tex``, case and all."""
    return name.endswith(".tex")


def may_be_tex(name: str) -> bool:
    """All that TeX may read as text: ``.tex``, ``.ltx``, ``.latex`` in any case, names without an ending, and the file
    in which arXiv notes the main one."""
    base = posixpath.basename(name)
    return base.lower().endswith((".tex", ".ltx", ".latex")) or "." not in base or base.startswith("00README")


def refused_member(member: Member) -> Drop | None:
    """Why a member may not be read, whatever it holds: it is no plain file, or its name points elsewhere."""
    if member.kind != "file":
        return Drop("plain_file", f"{member.name!r} is a {member.kind}", "file")
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts:
        return Drop("safe_name", repr(member.name), "relative, without ..")
    return None


def read_sources(
    data: bytes,
    *,
    max_paper_bytes: int,
    max_tex_bytes: int,
    max_files: int,
    wanted: Callable[[str], bool] = is_tex,
) -> list[Source] | Drop:
    """The ``wanted`` files of one paper's ``.gz`` in archive order, or the one source it is; or why not.

    Those without an ending are taken only if they hold a TeX command and no zero byte.
    Archives inside are not followed. Memory is bounded by ``max_tex_bytes`` and the compressed data.
    """
    try:
        try:
            return _project(data, max_paper_bytes, max_tex_bytes, max_files, wanted)
        except TarDamagedError:
            return [Source("", whole_stream_as_source(data, max_tex_bytes))]
    except TarTooLargeError as error:
        return Drop("max_paper_size", error.measured, error.limit)
    except STREAM_DAMAGE as error:  # type: ignore[misc, unused-ignore]
        return Drop("malformed", f"{type(error).__name__}: {error}", "gzip")


def _unpacked(data: bytes) -> BinaryIO:
    """A stream of the unpacked bytes; a tar that only calls itself .gz passes as it is, as published."""
    plain = io.BytesIO(data)
    if data[:2] != b"\x1f\x8b":
        return plain
    return cast(BinaryIO, igzip.GzipFile(fileobj=plain, mode="rb"))  # type: ignore[no-untyped-call, unused-ignore]


def _project(
    data: bytes, max_paper_bytes: int, max_tex_bytes: int, max_files: int, wanted: Callable[[str], bool]
) -> list[Source] | Drop:
    sources: list[Source] = []
    left = max_tex_bytes
    stream = _unpacked(data)
    for member in iter_members(stream, max_bytes=max_paper_bytes, max_members=max_files):
        if not wanted(member.name):
            continue
        certain = "." in posixpath.basename(member.name)
        if not certain and (member.kind != "file" or member.size > left):
            continue
        if drop := refused_member(member):
            return drop
        if member.size > left:
            raise TarTooLargeError(f"{max_tex_bytes - left + member.size} bytes of .tex", f"{max_tex_bytes} bytes")
        source = stream.read(member.size)
        if len(source) < member.size:
            raise TarDamagedError(f"{member.name!r} is cut")
        if certain or (b"\0" not in source and _TEX_COMMAND.search(source)):
            left -= member.size
            sources.append(Source(member.name, source))
    return sources


def whole_stream_as_source(data: bytes, max_tex_bytes: int) -> bytes:
    """The unpacked bytes as one source, whatever they are called or hold.

    Deliberate, as published: this is the way of single sources, and a project whose tar is cut goes it too, headers and
    all. Only gzip gets here: a plain file raises :class:`OSError`.
    """
    if data[:2] != b"\x1f\x8b":
        raise OSError("neither gzip nor tar")
    stream, pieces, size = _unpacked(data), [], 0
    while piece := stream.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > max_tex_bytes:
            raise TarTooLargeError(f"over {max_tex_bytes} bytes of source", f"{max_tex_bytes} bytes")
    return b"".join(pieces)
