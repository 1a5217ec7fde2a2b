"""The tasks of the job ``embed``: which documents, their words, vectors, and the map. No text is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from redpajama_data.corpus.columns import read_batches, utf8_bytes
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput
from redpajama_data.explorer import basis, naming
from redpajama_data.explorer.basis import FITTED, Basis, unit
from redpajama_data.explorer.layout import layout, principal
from redpajama_data.explorer.neighbours import clusters, nearest
from redpajama_data.explorer.points import AXES, CLUSTERS, NEAR, POINT, POINTS, VECTORS
from redpajama_data.explorer.terms import BUCKETS, split, terms_of, words_of
from redpajama_data.io import storage
from redpajama_data.io.shards import to_json
from redpajama_data.release.sampling import Choice, taken

ROW = np.dtype([("n", "<u8"), ("hash", "<u8"), ("terms", "<u4")])  # of .documents: line, hash of the text, its terms
_LAID = 15  # neighbours that draw a document on the map: what UMAP and t-SNE with uniform affinities take
_VOCABULARY = 1 << 19  # words counted in a shard at a time; then the rarer half is let go


class _Text(msgspec.Struct, gc=False):
    text: str


_decode_text = msgspec.json.Decoder(_Text).decode


@dataclass(frozen=True)
class Part:
    """The documents of one shard that are on the map: the shard as the job was given it, and files of the root with its
    rows, their terms, its words, and the vectors ("": not made yet)."""

    shard: str
    documents: str
    terms: str
    words: str
    vectors: str = ""


def hash_work(context: TaskContext, *, path: str, seed: int) -> None:
    """Hash the text of every line of a shard. Raises :class:`BrokenInput` for a line that is no record."""
    receipt = context.receipt
    with context.file("hashes", "hashes") as out:
        for batch in read_batches(context.source(path)):
            if batch.broken is not None:
                raise batch.broken
            if batch.rejected:
                n, drop = batch.rejected[0]
                raise BrokenInput(f"{path}: line {n + 1} is no record ({drop.measured}). Run rpj verify.")
            receipt.read += len(batch.n)
            receipt.read_bytes += utf8_bytes(batch.texts)
            found = [xxhash.xxh3_64_intdigest(text.encode(), seed) for text in batch.texts]
            out.write(np.array(found, "<u8").tobytes())
    context.records("hashes", receipt.read)
    receipt.kept = receipt.read
    receipt.bytes = receipt.read_bytes


def takes(counts: Mapping[str, int], documents: int) -> dict[str, int]:
    """How many documents of each slice are on a map of ``documents``: of each as many of a hundred, rounded such that
    the sum is right, and one at least of a slice that has any."""
    total = sum(counts.values())
    if total <= documents:
        return {name: count for name, count in counts.items() if count}
    found = {name: max(1, count * documents // total) for name, count in counts.items() if count}
    missing = max(0, documents - sum(found.values()))
    more = [name for name in found if found[name] <= counts[name] * documents // total]
    for name in sorted(more, key=lambda name: (-(counts[name] * documents % total), name))[:missing]:
        found[name] += 1
    return found


def terms_work(context: TaskContext, *, path: str, choice: Choice, seed: int) -> None:
    """The words of the chosen documents of a shard, as numbers; and the most frequent ones as words."""
    counted: Counter[str] = Counter()
    with context.file("documents", "documents") as rows, context.file("terms", "terms") as out:
        for n, line in taken(context, path, choice):
            text = _decode_text(line).text
            words = words_of(text)
            terms = terms_of(words)
            value = xxhash.xxh3_64_intdigest(text.encode(), seed)
            rows.write(np.array([(n, value, len(terms))], ROW).tobytes())
            out.write(terms.tobytes())
            counted.update(words.keys())
            if len(counted) > _VOCABULARY:
                counted = Counter(dict(naming.frequent(counted, _VOCABULARY // 2)))
            context.receipt.kept += 1
    context.receipt.read = context.receipt.kept
    context.records("documents", context.receipt.kept)
    with context.lines("words") as lines:
        for word, count in naming.frequent(counted, naming.WORDS):
            lines.write(to_json([word, count]))


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
    for part in parts:
        rows = _rows(context, part)
        among = rows["hash"] <= limit
        held.append(_array(context, part.terms, "<u4")[np.repeat(among, rows["terms"])])
        sizes.append(rows["terms"][among].astype(np.int64))
    buckets, weights = basis.choose(frequencies, len(ranked))
    matrix = basis.weigh(np.concatenate(held), np.concatenate(sizes), buckets, weights)
    with context.file("basis", "basis") as out:
        out.write(Basis(buckets, weights, basis.learn(matrix, seed)).encode())
    context.receipt.notes = {"words": len(buckets), "learned_from": matrix.rows}


def vectors_work(context: TaskContext, *, part: Part, basis_file: str) -> None:
    """The vectors of the documents of a shard."""
    found = Basis.decode(_bytes(context, basis_file))
    rows = _rows(context, part)
    matrix = basis.weigh(_array(context, part.terms, "<u4"), rows["terms"], found.buckets, found.weights)
    with context.file("vectors", "vectors") as out:
        out.write(matrix.times(found.axes).astype("<f4").tobytes())
    context.records("vectors", len(rows))
    context.receipt.read = context.receipt.kept = len(rows)


def map_work(
    context: TaskContext, *, parts: Sequence[Part], basis_file: str, count: int | None, seed: int, of: Mapping[str, int]
) -> None:
    """Place, cluster and neighbours of every document, and the words of each cluster, for ``ROOT/embed``. ``count`` is
    how many clusters (None: by the number of documents), ``of`` how many documents each slice has in all."""
    rows = [_rows(context, part) for part in parts]
    raw = [_array(context, part.vectors, "<f4").reshape(-1, basis.DIMENSIONS) for part in parts]
    vectors = np.concatenate(raw)
    vectors = unit(vectors - vectors.mean(axis=0))
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
    }
    for name, array in ((POINTS, points), (VECTORS, vectors)):
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


def _rows(context: TaskContext, part: Part) -> npt.NDArray[Any]:
    return _array(context, part.documents, ROW)


def _array(context: TaskContext, path: str, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.frombuffer(_bytes(context, path), kind)


def _bytes(context: TaskContext, path: str) -> bytes:
    with storage.open_input(context.upstream(path)) as file:
        return bytes(file.read())
