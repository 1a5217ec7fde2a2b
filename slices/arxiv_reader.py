"""Reads arXiv's bulk tars: one record for each paper, nothing ever unpacked to disk.

``arXiv_src_YYMM_NNN.tar`` holds ``YYMM/<id>.gz``, each a gzipped tar of a project or one gzipped source, and
``YYMM/<id>.pdf`` where there is no source. Source: RedPajama-Data-1T, data_prep/arxiv; arXiv bulk data on S3.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from isal import igzip, isal_zlib

from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.storage import open_input
from slices.tar_members import Member, TarDamagedError, TarTooLargeError, iter_members

_ARXIV_ID = re.compile(r"^([a-zA-Z-]*)([\d.]+)$")
_MAX_PAPERS = 1_000_000  # members of one bulk tar; the real ones, of 500 MB, hold a few thousand
_PIECE = 1 << 20  # bytes asked for at a time: a read up to the bound takes the bound's memory for the smallest paper
# what igzip raises for a cut or damaged stream
_STREAM_DAMAGE = (EOFError, OSError, zlib.error, isal_zlib.error)


def read_arxiv_tar(
    path: str,
    *,
    max_gz_bytes: int = 256 << 20,  # held; half a bulk tar
    max_paper_bytes: int = 1 << 30,  # unpacked (zeros: 0.3 s); figures are passed over and not held
    max_tex_bytes: int = 64 << 20,  # held; all 42 papers of the test data have 4.4 MB together
    max_files: int = 20_000,  # members of one paper: 0.7 s of headers
) -> Iterator[Document | Rejected]:
    """Yield each paper of one bulk tar, in the order of their names, as :class:`Document` with an empty text.

    ``doc.work["sources"]`` is the ``list[bytes]`` of its ``.tex`` files in archive order, ``doc.meta`` the published
    metadata with ``language`` still empty. The published order is that of the unpacked folder, so the headers are read
    first and then the papers by name; ids count in that order. What is no paper is :class:`Rejected`: ``pdf_only``,
    ``not_a_paper``, ``plain_file`` (links, devices, sparse files), ``safe_name`` (absolute, ``..``, not UTF-8),
    ``overwritten`` (an earlier member of the same name), ``max_paper_size`` (a bound was passed) or ``malformed``.
    Folders are no records.

    Raises :class:`BrokenInput` at the end when the tar is cut or damaged, after every paper that is whole.
    """
    with open_input(path) as file:
        members, damage = _index(file)
        order = sorted(range(len(members)), key=lambda i: (PurePosixPath(members[i].name).parts, i))
        last = {PurePosixPath(members[i].name): i for i in order if members[i].kind == "file"}
        for ordinal, i in enumerate(order):
            member = members[i]
            doc_id = f"{path}#{ordinal}"
            drop = _refused(member) or _undecodable(member.name) or _no_paper(member.name)
            if drop is None and last[PurePosixPath(member.name)] != i:
                drop = Drop("overwritten", member.name, "one member of a name")
            if drop is None and member.size > max_gz_bytes:
                drop = Drop("max_paper_size", f"{member.size} bytes compressed", f"{max_gz_bytes} bytes")
            if drop is not None:
                yield Rejected(doc_id, drop)
                continue
            file.seek(member.offset)
            sources = read_sources(
                file.read(member.size),
                max_paper_bytes=max_paper_bytes,
                max_tex_bytes=max_tex_bytes,
                max_files=max_files,
            )
            yield Rejected(doc_id, sources) if isinstance(sources, Drop) else _document(doc_id, member, sources)
    if damage:
        raise BrokenInput(f"{path}: {damage}. The papers before are kept; fetch it again, then run again.", damage)


def _index(file: BinaryIO) -> tuple[list[Member], str]:
    """Every member of the bulk tar that is whole and no folder, and what is wrong with the tar ("" when nothing is)."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    members: list[Member] = []
    end = 0
    damage = ""
    try:
        for member in iter_members(file, max_bytes=size, max_members=_MAX_PAPERS):
            end = member.offset + (-(-member.size // 512) * 512 if member.kind == "file" else 0)
            if member.kind != "directory":
                members.append(member)
    except TarDamagedError as error:
        damage = str(error)
    except TarTooLargeError as error:
        damage = f"a member runs over the end, or there are too many ({error})"
    if not damage:
        file.seek(end)
        block = file.read(512)
        if block.count(0) != 512:  # every writer ends a tar with zeros; without them more members are missing
            damage = f"the archive ends at byte {end} without its end mark"
    return [m for m in members if m.offset + m.size <= size], damage


def _refused(member: Member) -> Drop | None:
    """Why a member may not be read, whatever it holds: it is no plain file, or its name points elsewhere."""
    if member.kind != "file":
        return Drop("plain_file", f"{member.name!r} is a {member.kind}", "file")
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts:
        return Drop("safe_name", repr(member.name), "relative, without ..")
    return None


def _undecodable(name: str) -> Drop | None:
    """A paper's name becomes its id and address; files inside a paper may be called anything, old ones in Latin-1."""
    return Drop("safe_name", ascii(name), "UTF-8") if re.search("[\ud800-\udfff]", name) else None


def _no_paper(name: str) -> Drop | None:
    """Only ``.gz`` is a paper's source, case and all; a PDF means that arXiv has no source."""
    if name.endswith(".gz"):
        return None
    return Drop("pdf_only" if name.endswith(".pdf") else "not_a_paper", name, "*.gz")


def _document(doc_id: str, member: Member, sources: list[bytes]) -> Document | Rejected:
    place = PurePosixPath(member.name)
    try:
        timestamp = datetime.fromtimestamp(member.mtime, timezone.utc).replace(tzinfo=None).isoformat()
    except (OverflowError, ValueError, OSError) as error:
        return Rejected(doc_id, Drop("malformed", f"mtime of {member.name!r}: {error}", "a date"))
    arxiv_id = published_id(place.name.removesuffix(".gz"))
    meta = {
        "timestamp": timestamp,
        "yymm": place.parent.stem,
        "arxiv_id": arxiv_id,
        "language": "",
        "url": f"https://arxiv.org/abs/{arxiv_id}",
        "source": "arxiv",
    }
    return Document(doc_id, "", meta, {"sources": sources})


def published_id(raw: str) -> str:
    """``hep-th0309001`` -> ``hep-th/0309001``; digits alone stay; anything else, as ``math.GT0001007``, stays too.

    Deliberate, as published: the subject class form is not recognised, so its address lacks the slash.
    """
    match = _ARXIV_ID.match(raw)
    if match is None or not match[1]:
        return raw if match is None else match[2]
    return f"{match[1]}/{match[2]}"


def read_sources(data: bytes, *, max_paper_bytes: int, max_tex_bytes: int, max_files: int) -> list[bytes] | Drop:
    """The ``.tex`` files of one paper's ``.gz`` in archive order, or the one source it is; or why not.

    Archives inside are not followed. Memory is bounded by ``max_tex_bytes`` and the compressed data.
    """
    try:
        try:
            return _project(data, max_paper_bytes, max_tex_bytes, max_files)
        except TarDamagedError:
            return whole_stream_as_source(data, max_tex_bytes)
    except TarTooLargeError as error:
        return Drop("max_paper_size", error.measured, error.limit)
    except _STREAM_DAMAGE as error:  # type: ignore[misc, unused-ignore]
        return Drop("malformed", f"{type(error).__name__}: {error}", "gzip")


def _unpacked(data: bytes) -> BinaryIO:
    """A stream of the unpacked bytes; a tar that only calls itself .gz passes as it is, as published."""
    plain = io.BytesIO(data)
    if data[:2] != b"\x1f\x8b":
        return plain
    return cast(BinaryIO, igzip.GzipFile(fileobj=plain, mode="rb"))  # type: ignore[no-untyped-call, unused-ignore]


def _project(data: bytes, max_paper_bytes: int, max_tex_bytes: int, max_files: int) -> list[bytes] | Drop:
    sources: list[bytes] = []
    left = max_tex_bytes
    stream = _unpacked(data)
    for member in iter_members(stream, max_bytes=max_paper_bytes, max_members=max_files):
        if not member.name.endswith(".tex"):
            continue
        if drop := _refused(member):
            return drop
        left -= member.size
        if left < 0:
            raise TarTooLargeError(f"{max_tex_bytes - left} bytes of .tex", f"{max_tex_bytes} bytes")
        source = stream.read(member.size)
        if len(source) < member.size:
            raise TarDamagedError(f"{member.name!r} is cut")
        sources.append(source)
    return sources


def whole_stream_as_source(data: bytes, max_tex_bytes: int) -> list[bytes]:
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
    return [b"".join(pieces)]
