"""What is to be fetched, as data: the same plan gives the same files, whoever made it and whenever it is carried out.

A slice's source lists its files once (:class:`Source`); the plan is kept beside the raw files, so that a later run
fetches the same, and its files are read from disk one by one, however many they are.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.walk import DOWNLOADS

if TYPE_CHECKING:
    from redpajama_data.download.addresses import Addresses
    from redpajama_data.download.client import Client

PLAN, FILES = "plan.json", "files.jsonl"  # in <to>/<slice>/_download
Walk = Literal["gzip", "bz2", "tar", "7z", "zstd", "xml", "none"]

_HASHES = {"sha256": 64, "sha1": 40, "md5": 32}  # hexadecimal digits; crc32c is base64, as Google's storage gives it
_LONGEST = 240  # bytes of a file name: 255 are allowed, and .part and the like come behind it


class Wanted(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file. ``path`` is where it goes, relative to the slice's folder; ``url`` where it comes from (https, http,
    s3), ``mirrors`` where the same bytes may be had otherwise.

    ``bytes`` is its size, None where nobody says. ``checks`` are published hashes by name (sha256, sha1, md5 in hex,
    crc32c in base64); ``walk`` is how the content is walked where there is none. ``validator`` is the ETag or
    Last-Modified that the listing gave: another one means that the source has changed since. ``headers`` go out with
    every request for the file; ``requester_pays`` marks an s3 object that costs who asks. ``token`` names the variable
    of the environment whose value goes out as a bearer token, to the host of ``url`` alone: no secret is in a plan.
    """

    path: str
    url: str
    bytes: int | None = None
    checks: dict[str, str] = msgspec.field(default_factory=dict)
    validator: str | None = None
    walk: Walk = "none"
    mirrors: list[str] = msgspec.field(default_factory=list)
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    requester_pays: bool = False
    token: str = ""


class Licence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the files are under: a name for ``--accept-licence``, an address, one line of text. ``accept`` says that
    nothing is fetched before the user has accepted it; otherwise it is only shown."""

    name: str
    address: str
    text: str
    accept: bool = False


class Cost(msgspec.Struct, frozen=True):
    """Money that fetching takes, in US dollars, and how it was reckoned, in a sentence."""

    usd: float
    reckoning: str


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """The head of a plan. ``version`` is the source's: a commit, a date, a timestamp. ``files`` and ``bytes`` are sums;
    ``unsized`` files have no size that is known. ``notes`` are sentences for the user: what is gone, what is not
    known. ``selection`` is what was asked for. ``store`` is the URL that the files go to once they are whole (below it
    in <slice>/), "" where they stay. ``reckoned`` are bytes that come on top of the sum: what the unsized
    files take by what their source announced, and what is written of them. ``absent`` is what was asked for and no
    source has."""

    slice: str
    version: str
    files: int
    bytes: int
    unsized: int = 0
    licences: list[Licence] = msgspec.field(default_factory=list)
    cost: Cost | None = None
    notes: list[str] = msgspec.field(default_factory=list)
    selection: dict[str, Any] = msgspec.field(default_factory=dict)
    reckoned: int = 0
    absent: list[str] = msgspec.field(default_factory=list)
    store: str = ""


@dataclass
class Listing:
    """What a source answers: its files, in order, and what holds for all of them. ``files`` may be an iterator that
    asks the source on the way; everything else may then still change until it ends. The fields are those of
    :class:`Plan`."""

    version: str
    files: Iterable[Wanted]
    licences: list[Licence] = field(default_factory=list)
    cost: Cost | None = None
    notes: list[str] = field(default_factory=list)
    reckoned: int = 0
    absent: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """Where a slice's raw files come from. ``list`` asks for them: ``list(selection, client, addresses)``, with the
    selection as the command line gave it (``{"dumps": ["2023-06"], "shards": "0-9"}``; see the slice's own source for
    what it knows). ``finish`` makes, after everything was fetched, what the slice reads of it, where that is another
    form (in the slice's folder, of what lies below ``parts`` there); it may be called again over what it made.
    ``prepare`` makes at the source, once its cost was accepted, what is then listed. ``knows`` are the keys of the
    selection that have a meaning here, and ``from_config`` gives those that a configuration's section of the slice
    says."""

    slice: str
    list: Callable[[Mapping[str, Any], Client, Addresses], Listing]
    finish: Callable[[str], None] | None = None
    parts: str = ""
    prepare: Callable[[Mapping[str, Any]], None] | None = None
    knows: tuple[str, ...] = ()
    from_config: Callable[[Mapping[str, Any]], Iterable[tuple[str, Any]]] | None = None


# ---------------------------------------------------------------------------------------------- kept on disk


def folder(to: str, slice_name: str) -> str:
    """Where plan, records and receipts of a slice lie: no reader of raw files looks there."""
    return storage.join(to, slice_name, DOWNLOADS)


def save(to: str, slice_name: str, listing: Listing, selection: Mapping[str, Any], store: str = "") -> Plan:
    """Write a listing down as the plan of a slice below ``to`` and return its head. The files go to disk one by one;
    the head is written last, so a plan is there whole or not at all.

    Raises :class:`UsageError` for a path that leads out of the folder or comes twice, and for a hash that is none.
    """
    import xxhash

    place, seen = folder(to, slice_name), set[int]()  # 64 bits of each path: 100,000 are 7 MB
    files = size = unsized = 0
    storage.remove(storage.join(place, PLAN))  # it speaks of the files that are replaced now
    with storage.whole_file(storage.join(place, FILES)) as out:
        for wanted in listing.files:
            check(wanted)
            key = xxhash.xxh3_64_intdigest(wanted.path.lower().encode())  # "A" and "a" are one file on some disks
            if key in seen:
                raise UsageError(f"The listing of {slice_name} names {wanted.path} twice. Select one of them.")
            seen.add(key)
            out.write(msgspec.json.encode(wanted) + b"\n")
            files, size, unsized = files + 1, size + (wanted.bytes or 0), unsized + (wanted.bytes is None)
    head = Plan(
        slice_name,
        listing.version,
        files,
        size,
        unsized,
        listing.licences,
        listing.cost,
        listing.notes,
        {**selection},
        listing.reckoned,
        listing.absent,
        store,
    )
    storage.write_bytes(storage.join(place, PLAN), msgspec.json.format(msgspec.json.encode(head), indent=1) + b"\n")
    return head


def adopt(aside: str, to: str, slice_name: str) -> None:
    """Make a plan that was saved below ``aside`` that of ``to``: whole, or not at all. Raises :class:`StorageError`."""
    here, there = folder(to, slice_name), folder(aside, slice_name)
    storage.remove(storage.join(here, PLAN))  # it speaks of the files that are replaced now
    for name in (FILES, PLAN):
        with storage.open_input(storage.join(there, name)) as file, storage.whole_file(storage.join(here, name)) as out:
            shutil.copyfileobj(file, out, 1 << 20)


def load(to: str, slice_name: str) -> Plan | None:
    """The head of the plan of a slice; None when there is none. Raises :class:`UsageError` for a damaged one."""
    path = storage.join(folder(to, slice_name), PLAN)
    data = storage.read_bytes(path)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def wanted_files(to: str, slice_name: str) -> Iterator[Wanted]:
    """The files of a plan, in order, read from disk one by one."""
    path = storage.join(folder(to, slice_name), FILES)
    decoder = msgspec.json.Decoder(Wanted)
    with storage.open_input(path) as raw, io.BufferedReader(cast(io.RawIOBase, raw), 1 << 20) as lines:
        for line in lines:
            try:
                wanted = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise _damaged(path, error) from error
            check(wanted)  # a plan may have been edited, or come from another machine
            yield wanted


def _damaged(path: str, error: Exception) -> UsageError:
    return UsageError(f"{path}: damaged ({error}). Remove it; the next rpj download makes the plan again.")


# ---------------------------------------------------------------------------------------------- what may be in it


def check(wanted: Wanted) -> None:
    """Raises :class:`UsageError` unless every part of a file's plan is what the engine may act on."""
    parts = wanted.path.split("/")
    unsafe = not wanted.path or re.search(r"[\\\x00-\x1f\x7f:]", wanted.path) or DOWNLOADS in parts
    if unsafe or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise UsageError(f"A listing names the path {wanted.path!r}, which may lead out of its folder. Do not use it.")
    if len(parts[-1].encode()) > _LONGEST or parts[-1].endswith(".part"):
        raise UsageError(f"A listing names the path {wanted.path!r}, which no file can have here. Do not use it.")
    for url in (wanted.url, *wanted.mirrors):
        if not re.match(r"(https?|s3)://[^/\s]+/\S", url):
            raise UsageError(f"{wanted.path}: {url!r} is no address of a file. Expected https:// or s3://.")
    if wanted.bytes is not None and wanted.bytes < 0:
        raise UsageError(f"{wanted.path}: a size of {wanted.bytes} bytes. The listing is damaged; make the plan again.")
    for name, value in wanted.checks.items():
        fits = re.fullmatch(rf"[0-9a-f]{{{_HASHES.get(name, 0)}}}", value)
        if not (re.fullmatch(r"[A-Za-z0-9+/]{6}==", value) if name == "crc32c" else name in _HASHES and fits):
            raise UsageError(f"{wanted.path}: {value!r} is no {name}. The listing is damaged; make the plan again.")
