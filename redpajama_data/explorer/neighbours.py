"""Which documents lie close to each other: clusters by k-means, nearest neighbours by cosine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from redpajama_data.explorer.basis import unit
from redpajama_data.explorer.sparse import Floats

Ints = npt.NDArray[np.int32]
EXACT = 20_000  # documents up to which every pair is compared; beyond, those of near cells
PROBED = 8  # cells looked at for the neighbours of a document, of about sqrt(n)
_LEARNED = 20_000  # documents that centres are learned from
_ROUNDS = 12
_BLOCK = 1 << 22  # cosines held at a time: 16 MB


def clusters(vectors: Floats, count: int, seed: int) -> tuple[Ints, Floats]:
    """The cluster of each vector of length 1, and the centres, by spherical k-means. They begin at documents drawn by
    ``seed``; an empty cluster stays where it is."""
    rng = np.random.default_rng(seed)
    among = vectors
    if len(vectors) > _LEARNED:
        among = vectors[np.sort(rng.choice(len(vectors), _LEARNED, replace=False))]
    centres = among[np.sort(rng.choice(len(among), min(count, len(among)), replace=False))]
    for _ in range(_ROUNDS):
        own = _closest(among, centres)
        order = np.argsort(own, kind="stable")
        names, begins = np.unique(own[order], return_index=True)
        centres = centres.copy()
        centres[names] = np.add.reduceat(among[order], begins, axis=0)
        centres = unit(centres)
    return _closest(vectors, centres), centres


def _closest(vectors: Floats, centres: Floats) -> Ints:
    step = max(1, _BLOCK // len(centres))
    found = [np.argmax(vectors[i : i + step] @ centres.T, axis=1) for i in range(0, len(vectors), step)]
    return np.concatenate(found).astype(np.int32)


def nearest(vectors: Floats, count: int, seed: int) -> Ints:
    """The ``count`` nearest other documents of each, the nearest first; fewer, when there are fewer documents.

    Up to :data:`EXACT` documents they are the nearest there are; beyond, those of the :data:`PROBED` nearest cells.
    """
    total = len(vectors)
    count = max(0, min(count, total - 1))
    out = np.zeros((total, count), np.int32)
    if not count:
        return out
    everyone = np.arange(total, dtype=np.int32)
    if total <= EXACT:
        _among(vectors, everyone, everyone, out)
        return out
    own, centres = clusters(vectors, int(total**0.5), seed)
    order = np.argsort(own, kind="stable").astype(np.int32)
    bounds = np.searchsorted(own[order], np.arange(len(centres) + 1))
    near = np.argsort(-(centres @ centres.T), axis=1, kind="stable")
    for cell in range(len(centres)):
        members = order[bounds[cell] : bounds[cell + 1]]
        held = [members]
        size = len(members)
        for place, other in enumerate(near[cell]):
            if place >= PROBED and size > 4 * count:
                break
            if other != cell:
                held.append(order[bounds[other] : bounds[other + 1]])
                size += len(held[-1])
        if len(members):
            _among(vectors, members, np.concatenate(held), out)
    return out


def _among(vectors: Floats, members: Ints, candidates: Ints, out: Ints) -> None:
    """Write the nearest candidates of each member; equal ones in the order of the candidates."""
    count = out.shape[1]
    there = vectors[candidates]
    step = max(1, _BLOCK // len(candidates))
    for i in range(0, len(members), step):
        rows = members[i : i + step]
        cosines = vectors[rows] @ there.T
        cosines[candidates[None, :] == rows[:, None]] = -2  # nobody is its own neighbour
        best = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        rank = np.argsort(-np.take_along_axis(cosines, best, 1), axis=1, kind="stable")
        out[rows] = candidates[np.take_along_axis(best, rank, 1)]
