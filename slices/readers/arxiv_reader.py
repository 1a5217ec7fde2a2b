"""Reads arXiv's bulk tars: one record for each paper, nothing ever unpacked to disk.

``arXiv_src_YYMM_NNN.tar`` holds ``YYMM/<id>.gz``, each a gzipped tar of a project or one gzipped source, and
``YYMM/<id>.pdf`` where there is no source. Source: RedPajama-Data-1T, data_prep/arxiv; arXiv bulk data on S3.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import BinaryIO

from isal import isal_zlib

from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.io.first_bytes import LOOK, known, not_that
from redpajama_data.io.storage import open_input
from redpajama_data.io.tar_members import (
    Member,
    TarDamagedError,
    TarTooLargeError,
    after_zeros,
    find_header,
    is_header,
    iter_members,
)
from slices.readers.arxiv_sources import STREAM_DAMAGE, Source, is_tex, read_sources, refused_member

_ARXIV_ID = re.compile(r"^([a-zA-Z-]*)([\d.]+)$")
_MAX_PAPERS = 1_000_000  # members of one bulk tar; the real ones, of 500 MB, hold a few thousand
_MAX_DAMAGES = 1000  # damaged places of one tar before the rest is given up
_RECORD = 10_240  # bytes that writers fill up with zeros behind a tar
_EPRINT = "Give arXiv's bulk tars (arXiv_src_YYMM_NNN.tar), then run again."


def read_arxiv_tar(
    path: str,
    *,
    max_gz_bytes: int = 256 << 20,  # held; half a bulk tar
    max_paper_bytes: int = 1 << 30,  # unpacked (zeros: 0.3 s); figures are passed over and not held
    max_tex_bytes: int = 64 << 20,  # held; all 42 papers of the test data have 4.4 MB together
    max_files: int = 20_000,  # members of one paper: 0.7 s of headers
    wanted: Callable[[str], bool] = is_tex,
) -> Iterator[Document | Rejected | BrokenInput]:
    """Yield each paper of one bulk tar, in the order of their names, as :class:`Document` with an empty text.

    ``doc.work["sources"]`` is the ``list[bytes]`` of its ``wanted`` files in archive order, ``doc.work["names"]`` are
    their names; ``doc.meta`` is the published metadata with ``language`` still empty. The published order is that of
    the unpacked folder, so the headers are read first and then the papers by name; ids count in that order. What is no
    paper is :class:`Rejected`: ``pdf_only``, ``not_a_paper``, ``plain_file`` (links, devices, sparse files),
    ``safe_name`` (absolute, ``..``, not UTF-8), ``overwritten`` (an earlier member of the same name),
    ``max_paper_size`` (a bound was passed) or ``malformed``. Folders are no records.

    Tars put together are read as one. A damaged place is reported, and reading goes on at the next header: the reader
    yields or, for the last, raises :class:`BrokenInput` when every paper that is whole was given. Raises it at once for
    a file that is no bulk tar.
    """
    with open_input(path) as file:
        members, damages = _index(file)
        if not members:
            raise _no_bulk_tar(path, file, damages)
        order = sorted(range(len(members)), key=lambda i: (PurePosixPath(members[i].name).parts, i))
        last = {PurePosixPath(members[i].name): i for i in order if members[i].kind == "file"}
        for ordinal, i in enumerate(order):
            member = members[i]
            doc_id = f"{path}#{ordinal}"
            drop = refused_member(member) or _undecodable(member.name) or _no_paper(member.name)
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
                wanted=wanted,
            )
            yield Rejected(doc_id, sources) if isinstance(sources, Drop) else _document(doc_id, member, sources)
    if not any(member.name.endswith((".gz", ".pdf")) for member in members):
        raise BrokenInput(
            f"{path}: a tar without a paper (YYMM/<id>.gz); it holds {members[0].name!r}. {_EPRINT}", "byte 0"
        )
    broken = [
        BrokenInput(
            f"{path}: {what}. The papers that are whole are kept; fetch it again, then run again.", f"byte {at}"
        )
        for at, what in damages
    ]
    yield from broken[:-1]
    if broken:
        raise broken[-1]


def _no_bulk_tar(path: str, file: BinaryIO, damages: list[tuple[int, str]]) -> BrokenInput:
    """What a file without any member is."""
    file.seek(0)
    head = file.read(64 << 10)
    inner = b""
    if head.startswith(b"\x1f\x8b"):
        try:
            inner = isal_zlib.decompressobj(wbits=31).decompress(head, 512)
        except STREAM_DAMAGE:  # type: ignore[misc, unused-ignore]
            inner = b""
    if len(inner) == 512 and is_header(inner) and inner[:100].rstrip(b"\0").endswith((b".gz", b".pdf", b"/")):
        return BrokenInput(f"{path}: a gzipped tar. Unpack it (gunzip), then run again.", "byte 0")
    if inner or head.startswith(b"%PDF-"):
        form = "the archive" if len(inner) == 512 and is_header(inner) else "a source" if inner else "the PDF"
        return BrokenInput(f"{path}: {form} of one paper, no bulk tar. {_EPRINT}", "byte 0")
    if not damages and is_header(head[:512]):
        return BrokenInput(f"{path}: a tar of nothing but folders. {_EPRINT}", "byte 0")
    if damages and (known(head[:LOOK]) is None or head[257:262] == b"ustar"):
        place, what = damages[0]
        return BrokenInput(
            f"{path}: {what}, and no whole member after it; fetch it again, then run again.", f"byte {place}"
        )
    return not_that(path, head[:LOOK], "a tar archive")


def _index(file: BinaryIO) -> tuple[list[Member], list[tuple[int, str]]]:
    """Every member of the bulk tar that is whole and no folder, and its damaged places: byte, and what is wrong."""
    size = file.seek(0, io.SEEK_END)
    members: list[Member] = []
    damages: list[tuple[int, str]] = []
    start: int | None = 0
    archive = 0  # where the tar begins that ``start`` is in
    while start is not None and len(damages) < _MAX_DAMAGES:
        file.seek(start)
        end, problem = start, ""
        try:
            left = _MAX_PAPERS - len(members)
            for member in iter_members(file, max_bytes=size, max_members=left, start=start):
                end = member.offset + (-(-member.size // 512) * 512 if member.kind == "file" else 0)
                if member.kind != "directory":
                    members.append(member)
        except TarDamagedError as error:
            problem = str(error)
        except TarTooLargeError as error:
            problem = f"a member runs over the end, or there are too many ({error})"
        if members and members[-1].offset + members[-1].size > size:
            end = members.pop().offset
        following = None
        if not problem:
            file.seek(end)
            block = file.read(512)
            if block.count(0) == 512:  # every writer ends a tar with zeros, to a multiple of 10 KiB
                following = after_zeros(file, end)
                if following is None:
                    break
                file.seek(following)
                if not is_header(file.read(512)):
                    problem = f"data after the end mark at byte {following}"
                elif (following - archive) % _RECORD:
                    problem = f"{following - end} zero bytes between members at byte {end}"
                else:
                    start = archive = following
                    continue
            elif len(block) == 512:
                problem = f"no tar header at byte {end}"
            else:
                problem = f"the archive ends at byte {end} without its end mark"
        damages.append((end if following is None else following, problem))
        start = find_header(file, (end if following is None else following) + (0 if "zero" in problem else 512))
    return members, damages


def _undecodable(name: str) -> Drop | None:
    """A paper's name becomes its id and address; files inside a paper may be called anything, old ones in Latin-1."""
    return Drop("safe_name", ascii(name), "UTF-8") if re.search("[\ud800-\udfff]", name) else None


def _no_paper(name: str) -> Drop | None:
    """Only ``.gz`` is a paper's source, case and all; a PDF means that arXiv has no source."""
    if name.endswith(".gz"):
        return None
    return Drop("pdf_only" if name.endswith(".pdf") else "not_a_paper", name, "*.gz")


def _document(doc_id: str, member: Member, sources: list[Source]) -> Document | Rejected:
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
    work = {"sources": [source.data for source in sources], "names": [source.name for source in sources]}
    return Document(doc_id, "", meta, work)


def published_id(raw: str) -> str:
    """``hep-th0309001`` -> ``hep-th/0309001``; digits alone stay; anything else, as ``math.GT0001007``, stays too.

    Deliberate, as published: the subject class form is not recognised, so its address lacks the slash.
    """
    match = _ARXIV_ID.match(raw)
    if match is None or not match[1]:
        return raw if match is None else match[2]
    return f"{match[1]}/{match[2]}"
