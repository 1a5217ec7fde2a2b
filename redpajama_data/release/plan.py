"""Which documents of a root go into which file of a release, as data: from the manifest alone, no shard is read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from redpajama_data.corpus.listing import slice_of
from redpajama_data.engine.slice_run import ORDER
from redpajama_data.errors import UsageError
from redpajama_data.io.storage import RawFile
from redpajama_data.reports.manifest import Manifest, Shard


@dataclass(frozen=True)
class Piece:
    """Records ``first`` to ``end`` (not included) of a shard: where it lies, and its name in a root, ``c4/NAME``."""

    path: str
    shard: str
    first: int
    end: int
    whole: bool  # no other piece has records of the shard

    @property
    def documents(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class File:
    """A file of a release: ``c4/train-00000-of-00003``, and the pieces whose records it has, in their order."""

    name: str
    slice: str
    pieces: tuple[Piece, ...]

    @property
    def documents(self) -> int:
        return sum(piece.documents for piece in self.pieces)


def shards_of(manifest: Manifest, job: str | None) -> list[Shard]:
    """What the slices of a root published, or the job of that name, sorted by path.

    Raises :class:`UsageError` when that is nothing, or the job gives no corpus.
    """
    kinds = {part.slice: part.kind for part in manifest.slices}
    jobs = [name for name, kind in kinds.items() if kind == "corpus"]
    if job is not None and job not in jobs:
        raise UsageError(f"--job {job}: no such job in this root. It has {', '.join(jobs) or 'none'}.")
    found = [
        shard
        for shard in manifest.shards
        if (top := shard.path.split("/")[0]) == job or (job is None and kinds.get(top) == "slice")
    ]
    if not any(shard.documents for shard in found):
        raise UsageError("no document was published in this root. Run a slice first: rpj run --slice github")
    return found


def by_slice(shards: Iterable[Shard]) -> dict[str, list[Shard]]:
    """The shards of each slice, in the published order; slices without a document are left out."""
    found: dict[str, list[Shard]] = {}
    for shard in shards:
        found.setdefault(slice_of(shard.path), []).append(shard)
    names = sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return {name: found[name] for name in names if any(shard.documents for shard in found[name])}


def name_of(path: str) -> str:
    """What a shard is called wherever its root lies: its last folder, which is the slice, and its name."""
    return "/".join(path.split("/")[-2:])


def plan_files(
    given: Sequence[RawFile], shards: Sequence[Shard], *, file_size: int, shares: Mapping[str, float] | None = None
) -> list[File]:
    """The files of a release, slice by slice, in the order of the corpus.

    Each holds about ``file_size`` bytes of text: following shards together, a larger shard in pieces of as many
    records. Shards without a document are left out. ``shares`` say how much of each slice a sample takes.
    """
    paths = {name_of(raw.path): raw.path for raw in given}
    files = []
    for name, own in by_slice(shards).items():
        share = 1.0 if shares is None else shares.get(name, 0.0)
        if not share:
            continue
        there = [shard for shard in own if shard.documents and name_of(shard.path) in paths]
        pieces = [(piece, size) for shard in there for piece, size in _pieces(shard, paths, file_size, share=share)]
        packed = list(_packed(pieces, file_size))
        files += [
            File(f"{name}/train-{number:05d}-of-{len(packed):05d}", name, tuple(held))
            for number, held in enumerate(packed)
        ]
    return files


def _pieces(shard: Shard, paths: Mapping[str, str], size: int, *, share: float) -> Iterator[tuple[Piece, float]]:
    name, weight = name_of(shard.path), shard.text_bytes * share
    count = min(shard.documents, max(1, math.ceil(weight / size)))
    bounds = [shard.documents * i // count for i in range(count + 1)]
    for first, end in itertools.pairwise(bounds):
        yield Piece(paths[name], name, first, end, count == 1), weight / count


def _packed(pieces: Iterable[tuple[Piece, float]], size: int) -> Iterator[list[Piece]]:
    held: list[Piece] = []
    so_far = 0.0
    for piece, weight in pieces:
        if held and so_far + weight > size:
            yield held
            held, so_far = [], 0.0
        held.append(piece)
        so_far += weight
    if held:
        yield held


def copied_names(given: Sequence[RawFile], shards: Collection[Shard]) -> list[tuple[RawFile, Shard]]:
    """The shards that have a document, each with where it lies: what a release of the shards as they are copies."""
    known = {name_of(shard.path): shard for shard in shards if shard.documents}
    return [(raw, known[name]) for raw in given if (name := name_of(raw.path)) in known]
