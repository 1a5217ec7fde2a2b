"""Which documents a mixture takes, and in which order: a function of their texts, the seed and the epoch alone.

A document is known by the hash of its text, so that paths, shards and workers have no say: equal texts are held out
together, and follow each other in the order. A slice of which 2.45 epochs are asked gives every document twice, and a
third time those with the smallest numbers, as many as fit into the tokens asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from redpajama_data.config import Count
from redpajama_data.errors import UsageError
from redpajama_data.io.storage import open_input

# A document: 128 bits of its text's hash, its record in the shard, its tokens with the document end.
DOCUMENT = np.dtype([("high", "<u8"), ("low", "<u8"), ("n", "<u8"), ("tokens", "<u4")])
Rows = npt.NDArray[Any]
Numbers = npt.NDArray[np.uint64]

_ROWS_AT_ONCE = 1 << 17  # 3.7 MB
_BINS = 1 << 16  # of the numbers by which a part of an epoch is drawn; the documents of one are held at once
_HELD_OUT, _PART, _ORDER = 1, 2, 3  # what numbers are for: those of one purpose say nothing of another's

Amount = Annotated[float, Field(ge=0)]


class Mixture(BaseModel):
    """What to train on: so many tokens of which each slice gives a share, or so many epochs of each slice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: Count | None = Field(
        None, gt=0, description="tokens in all; default: as many as the slices of the mixture have"
    )
    shares: dict[str, Amount] = Field({}, description="of each slice its share of the tokens; any unit")
    epochs: dict[str, Amount] = Field({}, description="instead of shares: how often each slice is read")
    max_epochs: float = Field(
        4.0, gt=0, description="more epochs of a slice than this are refused (LLaMA's most: 2.45)"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Mixture:
        if bool(self.shares) == bool(self.epochs):
            raise ValueError("give shares or epochs of the slices, one of both")
        if self.epochs and self.tokens:
            raise ValueError("epochs say how many tokens; leave tokens out")
        if not sum(self.shares.values()) + sum(self.epochs.values()):
            raise ValueError("every share is 0")
        return self


class Share(NamedTuple):
    """What a mixture takes of a slice: ``epochs`` times every document, and once more those whose number (with rank
    and record, for equal texts) is below ``cut``. Tokens are counted with document ends."""

    available: int
    asked: int
    epochs: int
    cut: tuple[int, int, int]


def numbers(rows: Rows, seed: int, purpose: int, epoch: int = 0) -> Numbers:
    """A number of 64 bits for each document, evenly spread: of the text's hash, seed, purpose and epoch alone (the
    finaliser of SplitMix64, twice)."""
    start = _mixed(np.array([seed & 0xFFFFFFFF, purpose << 32 | epoch], "<u8"))
    drawn: Numbers = _mixed(_mixed(rows["high"] ^ start[0]) ^ rows["low"] ^ start[1])
    return drawn


def _mixed(values: Numbers) -> Numbers:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Numbers = values ^ (values >> np.uint64(31))
    return mixed


def held_out(rows: Rows, share: float) -> npt.NDArray[np.bool_]:
    """Which documents train nothing, by the text alone: with any seed the same."""
    apart: npt.NDArray[np.bool_] = numbers(rows, 0, _HELD_OUT) < np.uint64(min(int(share * 2**64), 2**64 - 1))
    return apart


def order_of(rows: Rows, seed: int, epoch: int) -> Numbers:
    """The numbers by which the documents of an epoch are in order."""
    return numbers(rows, seed, _ORDER, epoch)


def in_part(rows: Rows, rank: int, seed: int, cut: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Which documents of a shard are in the last, partial epoch."""
    drawn = numbers(rows, seed, _PART)
    at_cut = (rank < cut[1]) | ((rank == cut[1]) & (rows["n"] < np.uint64(cut[2])))
    taken: npt.NDArray[np.bool_] = (drawn < np.uint64(cut[0])) | ((drawn == np.uint64(cut[0])) & at_cut)
    return taken


def read_rows(path: str) -> Iterator[Rows]:
    """The documents of a shard, as the stage ``encode`` has written them, in pieces."""
    with open_input(path) as file:
        while data := file.read(DOCUMENT.itemsize * _ROWS_AT_ONCE):
            yield np.frombuffer(data, DOCUMENT)


def shares_of(
    mixture: Mixture, shards: Mapping[str, Sequence[tuple[int, str]]], *, seed: int, held: float
) -> dict[str, Share]:
    """What a mixture takes of each slice. ``shards`` are (rank, file of documents) of each slice, ``held`` is the share
    of documents held out.

    Reads the documents once, those of a slice with a partial epoch twice; holds 512 kB a slice and the documents of one
    bin. Raises :class:`UsageError` for a mixture that cannot be had of these slices.
    """
    bins = {name: np.zeros(_BINS, np.int64) for name in shards}
    for name, files in shards.items():
        for _, path in files:
            for rows in read_rows(path):
                rows = rows[~held_out(rows, held)]
                place = (numbers(rows, seed, _PART) >> np.uint64(48)).astype(np.int64)
                bins[name] += np.bincount(place, rows["tokens"], _BINS).astype(np.int64)
    available = {name: int(found.sum()) for name, found in bins.items()}
    shares = {}
    for name, asked in _asked(mixture, available).items():
        if asked > mixture.max_epochs * available[name]:
            raise UsageError(
                f"{name}: {asked:,} tokens are asked and {available[name]:,} there, more than {mixture.max_epochs:g} "
                "epochs. Ask for fewer tokens, a smaller share, or set max_epochs."
            )
        epochs, rest = divmod(asked, available[name]) if available[name] else (0, 0)
        cut = _cut(shards[name], bins[name], rest, seed, held) if rest else (0, 0, 0)
        shares[name] = Share(available[name], asked, epochs, cut)
    return shares


def refuse_other_slices(mixture: Mixture, shards: Collection[str]) -> None:
    """Raise :class:`UsageError` when the slices of the input are not those that the mixture names."""
    wanted = mixture.shares or mixture.epochs
    if missing := sorted(name for name, share in wanted.items() if share and name not in shards):
        raise UsageError(
            f"the mixture names {', '.join(missing)}, and the input has {', '.join(sorted(shards))}. Add shards, or "
            "take it out of the mixture."
        )
    if unnamed := sorted({*shards} - wanted.keys()):
        raise UsageError(
            f"the input has {', '.join(unnamed)}, which the mixture does not name. Give a share, 0 to leave it out."
        )


def _asked(mixture: Mixture, available: Mapping[str, int]) -> dict[str, int]:
    """Tokens asked of each slice. Shares: whole numbers that add up to the tokens in all (largest remainders)."""
    if not mixture.shares:
        return {name: round(mixture.epochs[name] * available[name]) for name in available}
    total = mixture.tokens or sum(available[name] for name in available if mixture.shares[name])
    weights = {name: mixture.shares[name] for name in available}
    exact = {name: total * weight / sum(weights.values()) for name, weight in weights.items()}
    asked = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (asked[name] - exact[name], name))
    for name in by_remainder[: total - sum(asked.values())]:
        asked[name] += 1
    return asked


def _cut(
    files: Sequence[tuple[int, str]], bins: npt.NDArray[np.int64], rest: int, seed: int, held: float
) -> tuple[int, int, int]:
    """The first document, in the order of their numbers, that does not fit into ``rest`` tokens any more."""
    sums = np.cumsum(bins)
    place = int(np.searchsorted(sums, rest, side="right"))
    left = rest - int(sums[place - 1] if place else 0)
    found: list[tuple[int, int, int, int]] = []
    for rank, path in files:
        for rows in read_rows(path):
            rows = rows[~held_out(rows, held)]
            drawn = numbers(rows, seed, _PART)
            chosen = (drawn >> np.uint64(48)) == np.uint64(place)
            there = rows[chosen]
            found += zip(
                drawn[chosen].tolist(), [rank] * len(there), there["n"].tolist(), there["tokens"].tolist(), strict=True
            )
    for number, rank, n, tokens in sorted(found):
        if tokens > left:
            return number, rank, n
        left -= tokens
    raise AssertionError("the bin holds a document that does not fit")
