"""A map of the documents of every slice: vectors of their words, neighbours, clusters, places in two dimensions.

    hash         one task a shard: a hash of every text
    cut          one task a slice: which hash is the largest on the map
    terms        one task a shard: the words of the documents on the map, as numbers; with a model, what it gives
    fit          one task: the axes of a truncated SVD of at most 20,000 of them, or the principal ones of a model
    vectors      one task a shard: every document along these axes
    map          one task: neighbours, clusters, principal axes and the layout, in ROOT/embed

The documents are those of the smallest hashes of text and seed, of each slice as many of a hundred: the same ones
whatever the order, the shards and the workers. Another number of documents reads no shard for hashes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pydantic import Field

from redpajama_data.config import SliceSettings
from redpajama_data.corpus.listing import PATTERNS, shard_task_names, slice_of
from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput
from redpajama_data.engine.task_names import numbered_name
from redpajama_data.errors import UsageError
from redpajama_data.explorer.encoders import Encoder, find_encoder
from redpajama_data.explorer.mapping import Part, fit_work, map_work, vectors_work
from redpajama_data.explorer.points import JOB as NAME
from redpajama_data.explorer.work import hash_work, takes, terms_work
from redpajama_data.release.sampling import Choice, cut_work

LARGEST = 200_000  # documents of a map: with more a page takes longer to open than anybody waits


class EmbedSettings(SliceSettings):
    """Settings of the map."""

    documents: int = Field(
        100_000, gt=0, description=f"on the map, of all slices together; {LARGEST:,} at most, a sample of more"
    )
    slices: tuple[str, ...] = Field((), description="of these slices only; default: all")
    seed: int = Field(0, ge=0, lt=1 << 32, description="another seed draws other documents")
    clusters: int | None = Field(None, gt=0, le=1_000, description="how many; default: by the number of documents")
    model: str | None = Field(None, description="path of a model: fastText, SentencePiece, sentence-transformers")


def _plan_hash(given: StageInput, *, settings: EmbedSettings) -> list[Planned]:
    """Raises :class:`UsageError` for a slice that is not among the input."""
    there = sorted({slice_of(raw.path) for raw in given.inputs})
    for name in settings.slices:
        if name not in there:
            raise UsageError(f"no documents of {name!r} there. There are {', '.join(there)}.")
    return [
        Planned(
            task,
            partial(hash_work, path=raw.path, seed=settings.seed),
            [raw],
        )
        for task, raw in zip(shard_task_names([raw.path for raw in given.inputs]), given.inputs, strict=True)
        if not settings.slices or slice_of(raw.path) in settings.slices
    ]


def _by_slice(hashed: Sequence[Receipt]) -> dict[str, list[Receipt]]:
    found: dict[str, list[Receipt]] = {}
    for receipt in hashed:
        found.setdefault(slice_of(receipt.inputs[0]), []).append(receipt)
    return found


def _counts(hashed: Sequence[Receipt]) -> dict[str, int]:
    return {name: sum(receipt.read for receipt in own) for name, own in _by_slice(hashed).items()}


def _plan_cut(given: StageInput, *, settings: EmbedSettings) -> list[Planned]:
    own = _by_slice(given.receipts["hash"])
    wanted = takes(_counts(given.receipts["hash"]), min(settings.documents, LARGEST))
    if not wanted:
        raise UsageError("no documents there. Run a slice first: rpj run --slice github")
    planned = []
    for rank, (name, take) in enumerate(sorted(wanted.items())):
        hashes = [receipt.outputs["hashes"] for receipt in own[name]]
        work = partial(cut_work, hashes=[out.path for out in hashes], take=take)
        planned.append(Planned(numbered_name(rank, len(wanted), name), work, hashes))
    return planned


def _plan_terms(given: StageInput, *, settings: EmbedSettings, encoder: Encoder | None) -> list[Planned]:
    own = _by_slice(given.receipts["hash"])
    raw_files = {raw.path: raw for raw in given.inputs}
    found: dict[str, Choice] = {}
    names = sorted(name for name, count in _counts(given.receipts["hash"]).items() if count)
    for name, cut in zip(names, given.receipts["cut"], strict=True):
        ties = {int(place): int(count) for place, count in cut.notes["ties"]}
        for place, receipt in enumerate(own[name]):
            hashes = receipt.outputs["hashes"].path
            found[receipt.inputs[0]] = Choice(int(cut.notes["cut"], 16), ties.get(place, 0), "", "", hashes)
    return [
        Planned(
            receipt.task,
            partial(
                terms_work,
                path=receipt.inputs[0],
                choice=found[receipt.inputs[0]],
                seed=settings.seed,
                encoder=encoder,
            ),
            [raw_files[receipt.inputs[0]], receipt.outputs["hashes"]],
        )
        for receipt in given.receipts["hash"]
        if receipt.read
    ]


def _parts(given: StageInput) -> list[Part]:
    """The shards that have a document on the map."""
    vectors = {receipt.task: receipt.outputs["vectors"].path for receipt in given.receipts.get("vectors", [])}
    return [
        Part(
            receipt.inputs[0],
            receipt.outputs["documents"].path,
            receipt.outputs["terms"].path,
            receipt.outputs["words"].path,
            receipt.outputs["raw"].path if "raw" in receipt.outputs else "",
            vectors.get(receipt.task, ""),
        )
        for receipt in given.receipts["terms"]
        if receipt.kept
    ]


def _files(given: StageInput, roles: Sequence[str]) -> list[Output]:
    return [
        receipt.outputs[role]
        for receipt in given.receipts["terms"]
        if receipt.kept
        for role in roles
        if role in receipt.outputs
    ]


def _plan_fit(given: StageInput, *, settings: EmbedSettings) -> list[Planned]:
    work = partial(fit_work, parts=_parts(given), seed=settings.seed)
    return [Planned("axes", work, _files(given, ("documents", "terms", "raw")))]


def _plan_vectors(given: StageInput) -> list[Planned]:
    (fitted,) = given.receipts["fit"]
    axes = fitted.outputs["basis"]
    turn = fitted.outputs.get("turn")
    kept = [receipt for receipt in given.receipts["terms"] if receipt.kept]
    return [
        Planned(
            receipt.task,
            partial(vectors_work, part=part, basis_file=axes.path, turn_file=turn.path if turn else ""),
            [
                *(receipt.outputs[role] for role in ("documents", "terms", "raw") if role in receipt.outputs),
                axes,
                *([turn] if turn else []),
            ],
        )
        for receipt, part in zip(kept, _parts(given), strict=True)
    ]


def _plan_map(given: StageInput, *, settings: EmbedSettings, encoder: Encoder | None) -> list[Planned]:
    (fitted,) = given.receipts["fit"]
    axes = fitted.outputs["basis"]
    work = partial(
        map_work,
        parts=_parts(given),
        basis_file=axes.path,
        count=settings.clusters,
        seed=settings.seed,
        of=_counts(given.receipts["hash"]),
        encoder=encoder,
    )
    reads = [*_files(given, ("documents", "terms", "words")), axes]
    reads += [receipt.outputs["vectors"] for receipt in given.receipts["vectors"]]
    return [Planned("map", work, reads)]


def stages(settings: EmbedSettings, run: RunSettings) -> list[Stage]:
    """Six stages; the map is made of all shards or not at all. Raises :class:`MissingModel` for a model that cannot be
    used."""
    encoder = None if settings.model is None else find_encoder(settings.model)

    def stage(name: str, plan: partial[list[Planned]], *reads: str) -> Stage:
        return Stage(name, plan, reads, whole=reads)

    return [
        Stage("hash", partial(_plan_hash, settings=settings)),
        stage("cut", partial(_plan_cut, settings=settings), "hash"),
        stage("terms", partial(_plan_terms, settings=settings, encoder=encoder), "hash", "cut"),
        stage("fit", partial(_plan_fit, settings=settings), "terms"),
        stage("vectors", partial(_plan_vectors), "terms", "fit"),
        stage("map", partial(_plan_map, settings=settings, encoder=encoder), "hash", "terms", "fit", "vectors"),
    ]


JOB = Job(
    name=NAME,
    summary="a map of the documents by content",
    revision=3,  # 2: words.npy, the middle; 3: twice as many clusters
    patterns=PATTERNS,
    settings=EmbedSettings,
    stages=stages,
    kind="report",
)
