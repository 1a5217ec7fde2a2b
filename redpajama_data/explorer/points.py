"""What the job ``embed`` leaves in ``ROOT/embed``, and reading it: a point a document, vectors, clusters."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from redpajama_data.errors import UsageError
from redpajama_data.io import storage

JOB = "embed"
POINTS, VECTORS, CLUSTERS = "points.npy", "vectors.npy", "clusters.json"
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


class Cluster(msgspec.Struct):
    """The words that name a cluster, and how many documents it has."""

    words: list[str]
    documents: int


class _About(msgspec.Struct):
    seed: int
    of: dict[str, int]
    shards: list[str]
    clusters: list[Cluster]


@dataclass(frozen=True)
class Map:
    """A map: its points, their vectors (of length 1), the shards that points name, the clusters; ``of`` is how many
    documents each slice has, on the map or not."""

    points: npt.NDArray[Any]
    vectors: npt.NDArray[np.float32]
    shards: list[str]
    clusters: list[Cluster]
    of: dict[str, int]
    seed: int

    def __len__(self) -> int:
        return len(self.points)


def load(root: str) -> Map:
    """The map of a root. Raises :class:`UsageError` when it has none."""
    about = storage.read_bytes(storage.join(root, JOB, CLUSTERS))
    points, vectors = (storage.read_bytes(storage.join(root, JOB, name)) for name in (POINTS, VECTORS))
    if about is None or points is None or vectors is None:
        raise UsageError(f"{root}: no map of its documents there. Make one: rpj explore {root}")
    found = msgspec.json.decode(about, type=_About)
    arrays = [np.lib.format.read_array(io.BytesIO(data), allow_pickle=False) for data in (points, vectors)]
    return Map(arrays[0], arrays[1], found.shards, found.clusters, found.of, found.seed)
