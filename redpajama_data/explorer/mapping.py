"""The tasks of the job ``embed`` that make the map: axes, vectors, neighbours, clusters, places. They read no text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt

from redpajama_data.engine.tasks import TaskContext
from redpajama_data.explorer import basis, naming
from redpajama_data.explorer.basis import FITTED, Basis, unit
from redpajama_data.explorer.encoders import Encoder
from redpajama_data.explorer.layout import layout, principal
from redpajama_data.explorer.neighbours import clusters, nearest
from redpajama_data.explorer.points import AXES, CLUSTERS, NEAR, POINT, POINTS, VECTORS, WORD, WORDS
from redpajama_data.explorer.terms import BUCKETS, split
from redpajama_data.io import storage
from redpajama_data.io.shards import to_json

ROW = np.dtype([("n", "<u8"), ("hash", "<u8"), ("terms", "<u4")])  # of .documents: line, hash of the text, its terms
_LAID = 15  # neighbours that draw a document on the map: what UMAP and t-SNE with uniform affinities take


@dataclass(frozen=True)
class Part:
    """The documents of one shard that are on the map: the shard as the job was given it, and files of the root with its
    rows, their terms, its words, what a model gave of them ("": no model gave vectors), and the vectors ("": not made
    yet)."""

    shard: str
    documents: str
    terms: str
    words: str
    raw: str = ""
    vectors: str = ""


def fit_work(context: TaskContext, *, parts: Sequence[Part], seed: int) -> None:
    """Learn the axes from the documents with the smallest hashes; frequencies of words are those of all."""
    frequencies = np.zeros(BUCKETS, np.int64)
    hashes = []
    for part in parts:
        hashes.append(_rows(context, part)["hash"])
        frequencies += np.bincount(split(_array(context, part.terms, "<u4"))[0], minlength=BUCKETS)
    ranked = np.concatenate([np.zeros(0, "<u8"), *hashes])
    limit = np.sort(ranked)[min(FITTED, len(ranked)) - 1] if len(ranked) else 0
    held, sizes = [np.zeros(0, "<u4")], [np.zeros(0, np.int64)]
    given: list[npt.NDArray[Any]] = []
    for part in parts:
        rows = _rows(context, part)
        among = rows["hash"] <= limit
        sizes.append(rows["terms"][among].astype(np.int64))
        if part.raw:
            given.append(_raw(context, part, len(rows))[among])
        else:
            held.append(_array(context, part.terms, "<u4")[np.repeat(among, rows["terms"])])
    buckets, weights = basis.choose(frequencies, len(ranked))
    axes = np.zeros((len(buckets), basis.DIMENSIONS), np.float32)
    if given:
        with context.file("turn", "turn") as out:
            for array in basis.turn(np.concatenate(given)):
                out.write(array.astype("<f4").tobytes())
    else:
        axes = basis.learn(basis.weigh(np.concatenate(held), np.concatenate(sizes), buckets, weights), seed)
    with context.file("basis", "basis") as out:
        out.write(Basis(buckets, weights, axes).encode())
    context.receipt.notes = {"words": len(buckets), "learned_from": sum(map(len, sizes))}


def vectors_work(context: TaskContext, *, part: Part, basis_file: str, turn_file: str) -> None:
    """The vectors of the documents of a shard."""
    rows = _rows(context, part)
    if part.raw:
        turned = _array(context, turn_file, "<f4")
        width = len(turned) // (1 + basis.DIMENSIONS)
        found = (_raw(context, part, len(rows)) - turned[:width]) @ turned[width:].reshape(width, -1)
    else:
        words = Basis.decode(_bytes(context, basis_file))
        found = basis.weigh(_array(context, part.terms, "<u4"), rows["terms"], words.buckets, words.weights).times(
            words.axes
        )
    with context.file("vectors", "vectors") as out:
        out.write(found.astype("<f4").tobytes())
    context.records("vectors", len(rows))
    context.receipt.read = context.receipt.kept = len(rows)


def map_work(
    context: TaskContext,
    *,
    parts: Sequence[Part],
    basis_file: str,
    count: int | None,
    seed: int,
    of: Mapping[str, int],
    encoder: Encoder | None,
) -> None:
    """Place, cluster and neighbours of every document, and the words of each cluster, for ``ROOT/embed``. ``count`` is
    how many clusters (None: by the number of documents), ``of`` how many documents each slice has in all."""
    rows = [_rows(context, part) for part in parts]
    raw = [_array(context, part.vectors, "<f4").reshape(-1, basis.DIMENSIONS) for part in parts]
    vectors = np.concatenate(raw)
    vectors = unit(vectors)  # a text with few of the known words would else be what the middle is not
    middle = vectors.mean(axis=0)
    vectors = unit(vectors - middle)
    total = len(vectors)
    near = nearest(vectors, _LAID, seed)
    axes = principal(vectors, AXES)
    own, _ = clusters(vectors, count or naming.clusters_for(total), seed)
    own = naming.largest_first(own)
    points = np.zeros(total, POINT)
    places = layout(near, axes[:, :2])
    points["shard"] = np.repeat(np.arange(len(parts)), [len(part) for part in rows])
    points["line"] = np.concatenate([part["n"] for part in rows])
    points["x"], points["y"], points["axes"], points["cluster"] = places[:, 0], places[:, 1], axes, own
    points["near"] = -1
    points["near"][:, : min(NEAR, near.shape[1])] = near[:, :NEAR]
    found = Basis.decode(_bytes(context, basis_file))
    named = naming.name(own, found.buckets, _terms(context, parts, rows), _words(context, parts))
    about = {
        "seed": seed,
        "of": dict(of),
        "shards": [part.shard for part in parts],
        "clusters": [{"words": words, "documents": size} for words, size in named],
        "middle": middle.tolist(),
        "model": encoder.kind if encoder else "",
    }
    words = np.zeros(len(found.buckets), WORD)
    words["bucket"], words["weight"], words["axes"] = found.buckets, found.weights, found.axes
    for name, array in ((POINTS, points), (VECTORS, vectors), (WORDS, words)):
        with context.exported(name) as out:
            np.lib.format.write_array(cast(Any, out), array, allow_pickle=False)
    with context.exported(CLUSTERS) as out:
        out.write(to_json(about) + b"\n")
    context.receipt.read = context.receipt.kept = total


def _terms(
    context: TaskContext, parts: Sequence[Part], rows: Sequence[npt.NDArray[Any]]
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    for part, own in zip(parts, rows, strict=True):
        yield split(_array(context, part.terms, "<u4"))[0], own["terms"]


def _words(context: TaskContext, parts: Sequence[Part]) -> Iterable[tuple[str, int]]:
    from redpajama_data.io.lines import iter_lines

    for part in parts:
        for line in iter_lines(context.upstream(part.words), max_bytes=None):
            word, count = msgspec.json.decode(cast(bytes, line))
            yield word, count


def _raw(context: TaskContext, part: Part, documents: int) -> npt.NDArray[Any]:
    found = _array(context, part.raw, "<f4")
    return found.reshape(documents, -1) if documents else found.reshape(0, 0)


def _rows(context: TaskContext, part: Part) -> npt.NDArray[Any]:
    return _array(context, part.documents, ROW)


def _array(context: TaskContext, path: str, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.frombuffer(_bytes(context, path), kind)


def _bytes(context: TaskContext, path: str) -> bytes:
    with storage.open_input(context.upstream(path)) as file:
        return bytes(file.read())
