"""Token ids to train on, from the shards of every slice: one prefix a slice, or a mixture in one shuffled order.

    encode       one task a shard: the ids of each document and its end; the hash of its text, and how many they are
    mix          with a mixture, one task: of which slice how many epochs, and which documents of the last one
    scatter      with a mixture, one task a few shards: every document to the bucket of its place in the order
    write        one task a prefix: without a mixture the documents of a slice in input order, else those of a range of
                 buckets in their order
    report       one task: what was written, asked and got, in ROOT/tokenize/tokens.json

The published project trained on ids of GPT-NeoX's tool (one prefix a slice, an end after each document, no shuffle).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from pydantic import Field
from xxhash import xxh3_128_digest as hash128

from redpajama_data.config import SliceSettings
from redpajama_data.corpus.columns import counted_batches
from redpajama_data.corpus.listing import PATTERNS, per_shard, slice_of
from redpajama_data.corpus.mds_shards import require_library
from redpajama_data.corpus.token_files import Format
from redpajama_data.document import Drop
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput, Work, outputs
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import UsageError
from redpajama_data.io.storage import RawFile
from redpajama_data.models.encoders import Encoder, encoder_for
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.tokens import tokenizer_for
from slices.jobs.tokenize_mixture import DOCUMENT, Mixture, Share, refuse_other_slices, shares_of
from slices.jobs.tokenize_write import (
    Encoded,
    Target,
    Written,
    part_work,
    prefix_name,
    refuse_equal_names,
    report_work,
    scatter_work,
    slice_work,
)

PREFIX_TOKENS = 1 << 30  # of a prefix, about; Megatron's readers of older versions count up to 2^31
SCATTER_TOKENS = 1 << 28  # of the shards of a scatter task: a thousand shards' files would be too many to look into
BUCKET_BYTES = 8 << 20  # of ids; a task that writes holds three times a bucket
COUNTED = ("tokens", "spelled_out", "spelled_out_tokens")  # notes of the stage encode
MOST_BUCKETS = 1 << 16  # beyond 512 GB of ids buckets grow: 37 MB for the whole corpus


class TokenizeSettings(SliceSettings):
    """Settings of the tokens to train on."""

    format: Format = Field(
        "megatron",
        description="megatron: .bin and .idx; uint: .ds with an index of document ends; mds: MosaicML's shards",
    )
    end: str | None = Field(
        None, description="token after each document; default: <|endoftext|>, </s>, as there is one"
    )
    mixture: Mixture | None = Field(
        None, description="tokens and shares (or epochs) of each slice; none: all, a prefix a slice"
    )
    seed: int = Field(0, ge=0, lt=1 << 32, description="of the order and of the part of an epoch")
    held_out: float = Field(
        0.0, ge=0, lt=1, description="share of the documents that goes to prefixes of its own, by hash of the text"
    )
    sequence: int = Field(
        2048, gt=0, description="tokens a trainer reads at once: what its last window drops is told; of mds, a sample"
    )


# ---------------------------------------------------------------------------------------------- encode


def encode_work(
    context: TaskContext, *, path: str, tokenizer: ModelFile, end: str | None, max_malformed: float
) -> None:
    """Write the ids and the documents of a shard. A text without a token is dropped: trainers stop at one.

    The receipt notes ``tokens`` (with document ends), and of texts that spell out the end how many there are and how
    many tokens more they have here than where tokens are counted.
    """
    encoder = encoder_for(tokenizer, end)
    dtype, spelled, last = id_type(encoder), encoder.end.encode(), np.array([encoder.end_id], "<u4")
    receipt = context.receipt
    total = spelled_out = more = 0
    with context.file("ids", "ids") as ids_out, context.file("documents", "documents") as rows_out:
        for batch in counted_batches(context, path, max_malformed=max_malformed, encoded=True):
            kept: list[tuple[bytes, int, int]] = []
            pieces: list[Any] = []
            for n, text, ids in zip(batch.n, batch.utf8, encoder.encode(batch.utf8), strict=True):
                if not len(ids):
                    context.drop(f"{path}#{n}", Drop("no_tokens", 0, 1), text=text.decode())
                    continue
                kept.append((hash128(text), n, len(ids) + 1))
                pieces += (ids, last)
                if spelled[:1] in text and spelled in text:  # a byte is found five times as fast
                    spelled_out += 1
                    more += len(ids) - len(tokenizer_for(tokenizer).encode([text])[0])
            if not kept:
                continue
            found = np.concatenate(pieces, dtype=dtype, casting="unsafe")  # ids of the vocabulary: they fit
            if np.count_nonzero(found == encoder.end_id) != len(kept):
                raise UsageError(
                    f"{tokenizer.path}: gives its document end {encoder.end} for the text of a document in {path}. "
                    "Name another token with --end."
                )
            rows = np.empty(len(kept), DOCUMENT)
            hashes = np.frombuffer(b"".join([digest for digest, _, _ in kept]), "<u8").reshape(-1, 2)
            rows["low"], rows["high"] = hashes[:, 0], hashes[:, 1]
            rows["n"], rows["tokens"] = [n for _, n, _ in kept], [size for _, _, size in kept]
            rows_out.write(rows.tobytes())
            ids_out.write(found.tobytes())
            receipt.kept += len(kept)
            total += len(found)
    receipt.bytes = receipt.read_bytes
    context.records("documents", receipt.kept)
    context.records("ids", total)
    receipt.notes |= {"tokens": total, "spelled_out": spelled_out, "spelled_out_tokens": more}


def id_type(encoder: Encoder) -> np.dtype[Any]:
    """The type of the ids of a tokenizer: two bytes where its vocabulary fits."""
    return np.dtype("<u2" if encoder.two_bytes else "<u4")


# ---------------------------------------------------------------------------------------------- mix and scatter


def mix_work(
    context: TaskContext, *, mixture: dict[str, Any], shards: dict[str, list[tuple[int, str]]], target: Target
) -> None:
    """Decide what the mixture takes of each slice; the receipt notes it."""
    found = {name: [(rank, context.upstream(path)) for rank, path in files] for name, files in shards.items()}
    shares = shares_of(Mixture(**mixture), found, seed=target.seed, held=target.held_out)
    context.receipt.notes["shares"] = {name: share._asdict() for name, share in shares.items()}


def check(settings: TokenizeSettings, shards: Sequence[RawFile]) -> None:
    """Raises :class:`UsageError` when the slices of the input are not in order: not found out after hours."""
    names = {slice_of(raw.path) for raw in shards}
    if settings.mixture is None:
        refuse_equal_names(names)
    else:
        refuse_other_slices(settings.mixture, names)


def _plan_mix(given: StageInput, *, mixture: dict[str, Any], target: Target) -> list[Planned]:
    files = outputs(given.receipts["encode"], "documents")
    shards: dict[str, list[tuple[int, str]]] = {}
    for receipt, out in zip(given.receipts["encode"], files, strict=True):
        shards.setdefault(slice_of(given.inputs[receipt.rank].path), []).append((receipt.rank, out.path))
    return [Planned("mixture", partial(mix_work, mixture=mixture, shards=shards, target=target), files)]


def _shares(given: StageInput) -> dict[str, Share]:
    (mixed,) = given.receipts["mix"]
    return {name: Share(**{**share, "cut": tuple(share["cut"])}) for name, share in mixed.notes["shares"].items()}


def _buckets(given: StageInput, target: Target) -> int:
    """How many buckets the order is divided in: a power of two."""
    asked = sum(share.asked for share in _shares(given).values())
    return min(MOST_BUCKETS, 1 << (max(1, -(-asked * target.item_bytes // BUCKET_BYTES)) - 1).bit_length())


def _plan_scatter(given: StageInput, *, target: Target) -> list[Planned]:
    shares, buckets = _shares(given), _buckets(given, target)
    planned = []
    for number, group in enumerate(_grouped(given.receipts["encode"], SCATTER_TOKENS)):
        shards = [_encoded(given, receipt) for receipt in group]
        work = partial(scatter_work, shards=shards, shares=shares, buckets=buckets, target=target)
        planned.append(Planned(f"{number:05d}", work, _files(group)))
    return planned


# ---------------------------------------------------------------------------------------------- write and report


def _plan_parts(given: StageInput, *, target: Target) -> list[Planned]:
    """The prefixes of a mixture: ranges of buckets."""
    buckets = _buckets(given, target)
    asked = sum(share.asked for share in _shares(given).values())
    parts = min(buckets, 1 << (max(1, -(-asked // PREFIX_TOKENS)) - 1).bit_length())
    files = [out for role in ("rows", "ids") for out in outputs(given.receipts["scatter"], role)]
    scattered = [(r.outputs["rows"].path, r.outputs["ids"].path) for r in given.receipts["scatter"]]
    planned = []
    for held in (False, True) if target.held_out else (False,):
        first = buckets if held else 0
        for part in range(parts):
            bounds = (first + buckets * part // parts, first + buckets * (part + 1) // parts)
            name = prefix_name("held-out" if held else "train", part, parts)
            inputs = given.inputs_file.path
            work = partial(part_work, scattered=scattered, buckets=bounds, held=held, inputs=inputs, target=target)
            planned.append(Planned(name, work, [*files, given.inputs_file]))
    return sorted(planned, key=lambda task: task.name)


def _plan_slices(given: StageInput, *, target: Target) -> list[Planned]:
    """The prefixes of a slice: its shards in order, as many as :data:`PREFIX_TOKENS` hold."""
    of = [slice_of(given.inputs[receipt.rank].path) for receipt in given.receipts["encode"]]
    planned = []
    ordered = sorted(zip(of, given.receipts["encode"], strict=True), key=lambda pair: (pair[0], pair[1].rank))
    for name, pairs in groupby(ordered, key=lambda pair: pair[0]):
        groups = list(_grouped([receipt for _, receipt in pairs], PREFIX_TOKENS))
        for held in (False, True) if target.held_out else (False,):
            for part, group in enumerate(groups):
                work = partial(
                    slice_work, shards=[_encoded(given, receipt) for receipt in group], held=held, target=target
                )
                kind = f"{name}-held-out" if held else name
                planned.append(Planned(prefix_name(kind, part, len(groups)), work, _files(group)))
    return sorted(planned, key=lambda task: task.name)


def _plan_report(given: StageInput, *, settings: TokenizeSettings, target: Target, run: RunSettings) -> list[Planned]:
    written = [Written(receipt.task, receipt.notes, _exported(receipt)) for receipt in given.receipts["write"]]
    encoded = given.receipts["encode"]
    sums = {key: sum(receipt.notes[key] for receipt in encoded) for key in COUNTED}
    sums["documents"] = sum(receipt.kept for receipt in encoded)
    shares = _shares(given) if settings.mixture else {}
    work = partial(report_work, written=written, encoded=sums, shares=shares, sequence=settings.sequence, target=target)
    return [Planned("tokens", work, [])]


def _exported(receipt: Receipt) -> list[tuple[str, int, str]]:
    files = [out for role, out in receipt.outputs.items() if role.startswith("exported:")]
    return sorted((out.path, out.bytes, out.sha256) for out in files)


def _encoded(given: StageInput, receipt: Receipt) -> Encoded:
    path = given.inputs[receipt.rank].path
    return Encoded(receipt.rank, path, slice_of(path), receipt.outputs["documents"].path, receipt.outputs["ids"].path)


def _files(receipts: Iterable[Receipt]) -> list[Any]:
    return [receipt.outputs[role] for receipt in receipts for role in ("documents", "ids")]


def _grouped(receipts: Sequence[Receipt], limit: int) -> list[list[Receipt]]:
    """Receipts that follow each other, as many as have ``limit`` tokens together; at least one."""
    groups: list[list[Receipt]] = []
    size = limit
    for receipt in receipts:
        if size + receipt.notes["tokens"] > limit:
            groups.append([])
            size = 0
        groups[-1].append(receipt)
        size += receipt.notes["tokens"]
    return groups


def stages(settings: TokenizeSettings, run: RunSettings) -> list[Stage]:
    """Encode, then one prefix a slice; or mix, scatter, and prefixes of the mixture. Another mixture or seed encodes
    nothing again."""
    if settings.format == "mds":
        require_library()
    encoder = encoder_for(run.tokenizer, settings.end)
    target = Target(
        settings.format,
        settings.seed if settings.mixture else 0,  # without a mixture nothing is drawn
        settings.held_out,
        id_type(encoder).itemsize,
        encoder.end,
        encoder.end_id,
        encoder.vocabulary,
        run.tokenizer,
        settings.sequence if settings.format == "mds" else 0,
    )

    def encode(raw: RawFile, _: str) -> Work:
        return partial(
            encode_work, path=raw.path, tokenizer=run.tokenizer, end=settings.end, max_malformed=run.max_malformed
        )

    def stage(name: str, plan: Callable[..., list[Planned]], reads: tuple[str, ...], **bound: Any) -> Stage:
        return Stage(name, partial(plan, target=target, **bound), reads, whole=reads)

    report = partial(_plan_report, settings=settings, run=run)
    first = per_shard("encode", encode)
    if settings.mixture is None:
        write = stage("write", _plan_slices, ("encode",))
        return [first, write, stage("report", report, ("encode", "write"))]
    mixture = settings.mixture.model_dump()
    return [
        first,
        stage("mix", _plan_mix, ("encode",), mixture=mixture),
        stage("scatter", _plan_scatter, ("encode", "mix")),
        stage("write", _plan_parts, ("mix", "scatter")),
        stage("report", report, ("encode", "mix", "write")),
    ]


JOB = Job(
    name="tokenize",
    summary="token ids to train on: a prefix a slice, or a mixture in one shuffled order",
    revision=2,
    patterns=PATTERNS,
    settings=TokenizeSettings,
    stages=stages,
    kind="report",
    check=check,
)
