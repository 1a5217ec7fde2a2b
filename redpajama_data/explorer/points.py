"""What the job ``embed`` leaves in ``ROOT/embed``, and reading it: a point a document, vectors, clusters."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from redpajama_data.errors import UsageError
from redpajama_data.explorer.basis import DIMENSIONS, Basis
from redpajama_data.explorer.sparse import Floats
from redpajama_data.io import storage

JOB = "embed"
POINTS, VECTORS, WORDS, CLUSTERS = "points.npy", "vectors.npy", "words.npy", "clusters.json"
AXES = 5  # principal components, as many as the page of the published project offered
NEAR = 10  # neighbours of a document that are kept
POINT = np.dtype(
    [
        ("shard", "<u4"),  # number in the list of clusters.json
        ("line", "<u8"),  # in the shard, from 0
        ("x", "<f4"),
        ("y", "<f4"),
        ("axes", "<f4", (AXES,)),
        ("cluster", "<u2"),
        ("near", "<i4", (NEAR,)),  # rows of the nearest documents; -1: there are fewer
    ]
)
WORD = np.dtype([("bucket", "<u4"), ("weight", "<f4"), ("axes", "<f4", (DIMENSIONS,))])  # of words.npy


class Cluster(msgspec.Struct):
    """The words that name a cluster, and how many documents it has."""

    words: list[str]
    documents: int


class _About(msgspec.Struct):
    seed: int
    of: dict[str, int]
    shards: list[str]
    clusters: list[Cluster]
    middle: list[float]
    model: str


@dataclass(frozen=True)
class Map:
    """A map: its points, their vectors (of length 1), the shards that points name, the clusters; ``of`` is how many
    documents each slice has, on the map or not. ``words`` and ``middle`` give the vector of any text; ``words`` is None
    when a model gave the vectors, which ``model`` names ("": none did)."""

    points: npt.NDArray[Any]
    vectors: npt.NDArray[np.float32]
    shards: list[str]
    clusters: list[Cluster]
    of: dict[str, int]
    seed: int
    middle: Floats
    words: Basis | None = None
    model: str = ""

    def __len__(self) -> int:
        return len(self.points)


def load(root: str) -> Map:
    """The map of a root. Raises :class:`UsageError` when it has none."""
    place = storage.join(root, JOB)
    about, points, vectors, words = (
        storage.read_bytes(storage.join(place, name)) for name in (CLUSTERS, POINTS, VECTORS, WORDS)
    )
    if about is None or points is None or vectors is None:
        raise UsageError(f"{root}: no map of its documents there. Make one: rpj explore {root}")
    found = msgspec.json.decode(about, type=_About)
    middle = np.array(found.middle, np.float32)
    basis = None
    if words is not None and not found.model:
        rows = _array(words)
        basis = Basis(rows["bucket"].copy(), rows["weight"].copy(), rows["axes"].copy())
    return Map(
        _array(points), _array(vectors), found.shards, found.clusters, found.of, found.seed, middle, basis, found.model
    )


def _array(data: bytes) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return found
