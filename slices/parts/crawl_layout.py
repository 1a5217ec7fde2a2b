"""Which WET files make which CCNet shard, and which shards make which of CCNet's files.

Dumps are folders, and their ``wet.paths.gz`` listing gives the order. A shard is the unit of work of the slice, so that
a published dump of 72,000 files is 5000 tasks a stage.
"""

from __future__ import annotations

import gzip
import logging
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from filters.ccnet import shards_per_file
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.task_names import shortened
from redpajama_data.errors import UsageError
from redpajama_data.io.first_bytes import LOOK, known
from redpajama_data.io.storage import RawFile, is_remote, join, local, read_bytes, without_query
from slices.readers.wet import segment_of, shard_files

LISTINGS = ("wet.paths.gz", "wet.paths")
_SERVER = re.compile(r"^(?:https?://[^/]+|s3://[^/]+)/(?=crawl-data/)")
FILE_BYTES = 4 << 30  # target size of a regrouped file, compressed (as published)
GZIP_RATIO = 0.34  # of a CCNet record at Python's default level, measured on 1.7 MB of English pages: 0.31 to 0.38
_CRAWL = re.compile(r"(?P<folder>.*)/segments/[^/]+/wet/[^/]+")  # the layout of Common Crawl's own bucket
_SHOWN = 5  # names of missing files in a message

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """One CCNet shard: its dump and number, its raw files in order with the ``cc_segment`` of each.

    ``absent`` are the files of it that the listing names and that are not there.
    """

    dump: str
    number: int
    files: tuple[RawFile, ...]
    segments: tuple[str, ...]
    absent: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``2023-06_0017``; sorted names are in order."""
        return f"{self.dump}_{self.number:04d}"


def crawl_shards(inputs: Sequence[RawFile], *, shards: int, report: bool = False) -> list[Shard]:
    """The shards that have a file, sorted by dump and number.

    The dump is the name of a file's folder, without ``CC-MAIN-``. A ``wet.paths.gz`` or ``wet.paths`` in the folder
    says which files the whole dump has: the bounds of the shards are those of the whole dump, and files that are not
    there are left out (named in a warning with ``report``). Without it the dump is the files given, sorted by path.
    Raises :class:`UsageError` for a damaged listing, a file it does not name, and two folders of one dump, or of two
    whose names give the same names of shards.
    """
    folders: dict[str, list[RawFile]] = {}
    for raw in inputs:
        folders.setdefault(_dump_folder(raw.path), []).append(raw)
    dumps: dict[str, str] = {}
    shards_of_dumps: list[Shard] = []
    for folder, files in folders.items():
        dump = os.path.basename(folder).removeprefix("CC-MAIN-")
        name = shortened(dump).casefold()  # what published shards are called after
        if name in dumps:
            raise UsageError(
                f"{dumps[name]} and {folder} are both the dump {shortened(dump)}. Put its files into one folder, or "
                "rename one."
            )
        dumps[name] = folder
        shards_of_dumps += _shards_of(folder, dump, files, shards, report)
    return sorted(shards_of_dumps, key=lambda shard: (shard.dump, shard.number))


def _dump_folder(path: str) -> str:
    whole = _whole(path)
    crawl = _CRAWL.fullmatch(whole)
    return crawl["folder"] if crawl else os.path.dirname(whole)


def _whole(path: str) -> str:
    return without_query(path) if is_remote(path) else os.path.abspath(local(path))


def _shards_of(folder: str, dump: str, files: list[RawFile], shards: int, report: bool) -> list[Shard]:
    listing = _listing(folder)
    if listing is None:
        parts = shard_files([raw.path for raw in files], shards=shards)
        by_path = {raw.path: raw for raw in files}
        segments = {raw.path: _segment(dump, raw.path) for raw in files}
        return [
            Shard(dump, n, tuple(by_path[path] for path in part), tuple(segments[path] for path in part))
            for n, part in enumerate(parts)
            if part
        ]
    listing_name, listed = listing
    here = {os.path.basename(_whole(raw.path)): raw for raw in files}
    strangers = here.keys() - {os.path.basename(line) for line in listed}
    if strangers:
        raise UsageError(
            f"{join(folder, min(strangers))} is not in {listing_name} beside it ({len(strangers)} such files). "
            "Remove these files from --input, or fetch the dump's own listing."
        )
    found, missing = [], []
    for n, part in enumerate(shard_files(listed, shards=shards)):
        there = [line for line in part if os.path.basename(line) in here]
        absent = [line for line in part if os.path.basename(line) not in here]
        missing += absent
        if there:
            raws = tuple(here[os.path.basename(line)] for line in there)
            found.append(Shard(dump, n, raws, tuple(there), tuple(absent)))
    if missing and report:
        _log.warning(
            "%s: %d of the %d files in %s are not there and are left out: %s%s",
            folder,
            len(missing),
            len(listed),
            listing_name,
            ", ".join(missing[:_SHOWN]),
            " ..." if len(missing) > _SHOWN else "",
        )
    return found


def _listing(folder: str) -> tuple[str, list[str]] | None:
    """The name of the dump's listing and its lines, packed or not; None without one. Lines made addresses for a
    downloader lose the server again. Raises :class:`UsageError` for one that is damaged or no listing."""
    for name in LISTINGS:
        path = join(folder, name)
        data = read_bytes(path)
        if data is None:
            continue
        try:
            text = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
            lines = text.decode("utf-8-sig").split()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: damaged ({error}). Fetch it again, or remove it.") from error
        if not lines or not all(line.endswith((".wet.gz", ".wet")) for line in lines):
            kind = known(text[:LOOK])
            found = f"it is {kind.name}" if kind else "its lines do not all end in .wet.gz"
            raise UsageError(f"{path}: no listing of WET files, {found}. Fetch it again, or remove it.")
        return name, [_SERVER.sub("", line) for line in lines]
    return None


def _segment(dump: str, path: str) -> str:
    """The ``cc_segment`` of a file without a listing: its own path, where the folders are Common Crawl's."""
    whole = _whole(path)
    parts = whole.split("/")
    if _CRAWL.fullmatch(whole):
        return f"crawl-data/CC-MAIN-{dump}/" + "/".join(parts[-4:])
    return segment_of(dump, parts[-1])


# ---------------------------------------------------------------------------------------------- CCNet's files


@dataclass(frozen=True)
class CrawlFile:
    """One of CCNet's regrouped files: its name, ``2023-06/en_head_0000.json.gz``, and its parts.

    Each part is the rank of a shard, and the number of the file's language and bucket in that shard's keys.
    """

    name: str
    parts: tuple[tuple[int, int], ...]


def crawl_files(mined: Sequence[Receipt], *, per_file: int | None) -> list[CrawlFile]:
    """The files that the published script would have seen, in the order of their names, from the mined shards.

    ``per_file`` is how many shards make one. By default as many as make 4 GiB; as nothing is compressed here with gzip,
    its ratio is :data:`GZIP_RATIO`. The number has a say in the dedup, and it is in the record's ``source``.
    """
    found: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for receipt in mined:
        for part, (name, (_, size)) in enumerate(receipt.notes["parts"].items()):
            found.setdefault((receipt.notes["dump"], name), []).append((receipt.rank, part, size))
    files = []
    for (dump, name), parts in found.items():
        step = per_file or shards_per_file([int(size * GZIP_RATIO) for _, _, size in parts], target=FILE_BYTES)
        for n, start in enumerate(range(0, len(parts), step)):
            members = tuple((rank, part) for rank, part, _ in parts[start : start + step])
            files.append(CrawlFile(f"{dump}/{name}_{n:04d}.json.gz", members))
    return sorted(files, key=lambda file: file.name)
