"""The clusters of near-duplicates as groups of the overlap matrix: a row for each document, with its cluster's key.

Clusters are those of the fuzzy job, which names for each document that would leave its survivor. A document in no
cluster is one of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.corpus.columns import refuse_change
from redpajama_data.dedup import equal_keys
from redpajama_data.dedup.bands import PLACE_BITS
from redpajama_data.dedup.buckets import BucketFile
from redpajama_data.engine.stages import Planned, Stage, StageInput
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.storage import open_input
from slices.jobs.fuzzy_clusters import VERDICT_ROW

TOKENS_ROW = np.dtype([("n", "<u8"), ("tokens", "<u8")])  # of a record of a shard; rows in order
_STEP = 1 << 16  # documents at a time

Numbers = npt.NDArray[np.uint64]


def members_stage(name: str) -> Stage:
    """One task a shard, after the stages ``keys`` of this job, ``signatures`` and ``components`` of the fuzzy one."""
    return Stage(name, _plan_members, ("keys", "signatures", "components"), whole=("components",))


def _plan_members(given: StageInput) -> list[Planned]:
    [decided] = given.receipts["components"]
    verdicts = decided.outputs["verdicts"]
    signed = {receipt.rank: receipt.kept for receipt in given.receipts["signatures"]}
    planned = []
    for receipt in given.receipts["keys"]:
        tokens = receipt.outputs["tokens"]
        if receipt.rank in signed:
            work = partial(
                members_work,
                path=given.inputs[receipt.rank].path,
                records=(signed[receipt.rank], receipt.kept),
                rank=receipt.rank,
                tokens=tokens.path,
                verdicts=verdicts.path,
            )
            planned.append(Planned(receipt.task, work, [tokens, verdicts]))
    return planned


def members_work(
    context: TaskContext, *, path: str, records: tuple[int, int], rank: int, tokens: str, verdicts: str
) -> None:
    """Write the rows of a shard: :data:`redpajama_data.dedup.equal_keys.KEY_ROW` with the key of the cluster's first
    document, and the document's own tokens in ``n``.

    ``records`` are how many signatures and keys were made of ``path``. Raises :class:`BrokenInput` when they differ.
    """
    refuse_change(path, records=records[0], before=records[1])
    clusters = _Survivors(context.upstream(verdicts), rank)
    with context.file("members", "members") as out, open_input(context.upstream(tokens)) as file:
        writer = equal_keys.KeyWriter(out)
        while data := file.read(_STEP * TOKENS_ROW.itemsize):
            rows = np.frombuffer(data, TOKENS_ROW)
            places = rows["n"] | np.uint64(rank << PLACE_BITS)
            numbers, survivors = clusters.upto(int(rows["n"][-1]))
            places[np.searchsorted(rows["n"], numbers)] = survivors
            writer.add_many(np.stack((scatter(places), places), axis=1).tobytes(), rows["tokens"].copy())
        writer.close()
    context.records("members", writer.count)


class _Survivors:
    """The documents of a shard that have a survivor, in order; a bounded number of them is held."""

    def __init__(self, path: str, rank: int) -> None:
        self._pieces = self._read(path, rank)
        self._held = np.empty(0, VERDICT_ROW)

    @staticmethod
    def _read(path: str, rank: int) -> Iterator[npt.NDArray[Any]]:
        with BucketFile(path) as file:
            for data in file.read(rank, rank + 1, chunk=_STEP * VERDICT_ROW.itemsize):
                yield np.frombuffer(data, VERDICT_ROW)

    def upto(self, last: int) -> tuple[Numbers, Numbers]:
        """The numbers up to ``last`` of those not given before, and the places (rank and number) of their survivors."""
        while not len(self._held) or self._held["n"][-1] <= last:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._held = np.concatenate((self._held, piece))
        count = int(np.searchsorted(self._held["n"], last, side="right"))
        rows, self._held = self._held[:count], self._held[count:]
        return rows["n"], rows["kept_rank"] << np.uint64(PLACE_BITS) | rows["kept_n"]


def scatter(values: Numbers) -> Numbers:
    """A one-to-one scatter of 64-bit values, so that they fill ranges evenly: the finalizer of SplitMix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scattered: Numbers = values ^ (values >> np.uint64(31))
    return scattered
