"""What each stage of a root took: time, memory and throughput, from what its tasks measured of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from redpajama_data.engine import costs
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.slice_run import RunNote


@dataclass(frozen=True)
class StageCost:
    """A stage of a slice or job (``owner``): ``measured`` of its ``tasks`` are known, all the rest is of those.

    ``wall`` and ``cpu`` are seconds of all its tasks together, on the clock and of processors. ``slowest`` is the task
    that took longest, with its seconds. ``memory`` is the most that a process had held by the end of one of them: a
    stage that takes less than one before it in the same process shows what that one took. ``bytes`` are those of the
    files that were read, ``records`` what was in them.
    """

    owner: str
    stage: str
    tasks: int
    measured: int
    wall: float
    cpu: float
    memory: int
    bytes: int
    records: int
    slowest: tuple[str, float] | None

    @property
    def rate(self) -> float | None:
        """Bytes that were read in a second of a worker; None where no time was measured."""
        return self.bytes / self.wall if self.wall else None

    @property
    def record_rate(self) -> float | None:
        """Records in a second of a worker."""
        return self.records / self.wall if self.wall else None


def stage_costs(root: str, notes: Iterable[RunNote], every: Mapping[str, Sequence[Receipt]]) -> list[StageCost]:
    """The stages of slices and jobs in their order, by their receipts in ``every``. A stage without any is left out."""
    found = []
    for note in notes:
        known = costs.load(root, note.slice)
        stages: dict[str, list[Receipt]] = {stage: [] for stage in note.stages}
        for receipt in every[note.slice]:
            stages.setdefault(receipt.stage, []).append(receipt)
        found += [_stage(note.slice, stage, own, known.get(stage, {})) for stage, own in stages.items() if own]
    return found


def _stage(owner: str, stage: str, own: Sequence[Receipt], known: Mapping[str, costs.Cost]) -> StageCost:
    measured = [(receipt, known[receipt.task]) for receipt in own if receipt.task in known]
    longest = max(measured, key=lambda pair: (pair[1].wall, pair[0].task), default=None)
    return StageCost(
        owner,
        stage,
        len(own),
        len(measured),
        round(sum(cost.wall for _, cost in measured), 4),
        round(sum(cost.cpu for _, cost in measured), 4),
        max((cost.memory for _, cost in measured), default=0),
        sum(cost.bytes for _, cost in measured),
        sum(receipt.read for receipt, _ in measured),
        None if longest is None else (longest[0].task, longest[1].wall),
    )
