"""The plan of a whole run: each part calibrated, then reckoned to the size of its source on a machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from redpajama_data.errors import RpjError, UsageError
from redpajama_data.planning.calibration import Calibrated, Part, calibrate_job, calibrate_slice, in_a_process
from redpajama_data.planning.forecast import Machine, SlicePlan, in_all, plan_job, plan_slice
from redpajama_data.planning.source import Source


@dataclass(frozen=True)
class Wanted:
    """A slice to plan: what is measured, the source that it is reckoned to, the bytes of it that are here already,
    sentences for the user."""

    part: Part
    source: Source
    here: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the slice."""
        return self.part.slice.name


@dataclass
class Plan:
    """A plan: of each slice and job, and in all. ``sources`` are the figures it rests on, ``calibrated`` what was
    measured, ``left_out`` what could not be planned, and why."""

    machine: Machine
    parts: list[SlicePlan]
    total: SlicePlan
    sources: dict[str, Source] = field(default_factory=dict)
    calibrated: dict[str, Calibrated] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "machine": asdict(self.machine),
            "slices": [_plain(part) for part in self.parts],
            "total": _plain(self.total),
            "sources": {name: source.model_dump(mode="json") for name, source in self.sources.items()},
            "calibration": {
                name: {"text_bytes": each.text, "cpu_seconds": round(each.cpu, 3), "embedded": each.embedded}
                for name, each in self.calibrated.items()
            },
            "left_out": self.left_out,
        }


def _plain(part: SlicePlan) -> dict[str, Any]:
    whole = asdict(part) | {"wall_hours": part.wall_hours, "disk": part.disk}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in whole.items()}


def plan_run(
    wanted: Sequence[Wanted],
    jobs: Sequence[Part],
    machine: Machine,
    *,
    seconds: float,
    said: Callable[[str], None] = lambda line: None,
) -> Plan:
    """Calibrate slices, then jobs over what they published, in about so many ``seconds`` of a core, and reckon each to
    its source. ``said`` is told what is measured now.

    What cannot be measured is left out, with the reason. Raises :class:`UsageError` when nothing is left.
    """
    plans: list[SlicePlan] = []
    calibrated: dict[str, Calibrated] = {}
    left_out: dict[str, str] = {}
    share = seconds / max(1, len(wanted) + len(jobs))
    with tempfile.TemporaryDirectory(prefix="rpj-plan-") as folder:
        for each in wanted:
            on = "the embedded sample" if not each.part.files else f"{len(each.part.files):,} raw files"
            said(f"{each.name}: measured on {on}")
            try:
                found = in_a_process(calibrate_slice, (each.part, folder, share))
            except RpjError as error:
                left_out[each.name] = str(error)
                continue
            calibrated[each.name] = found
            made = plan_slice(found.cost, each.source, machine, here=each.here, embedded=found.embedded)
            plans.append(replace(made, notes=[*made.notes, *each.notes, *found.trouble]))
        text, shards = sum(plan.published for plan in plans), sum(plan.stages[0].tasks for plan in plans)
        corpus: str | None = None
        for job in jobs if plans else ():
            said(f"{job.slice.name}: measured on what the slices published")
            try:
                found = in_a_process(calibrate_job, (job, folder, corpus))
            except RpjError as error:
                left_out[job.slice.name] = str(error)
                continue
            calibrated[job.slice.name] = found
            plans.append(plan_job(found.cost, machine, text, shards))
            corpus = job.slice.name if job.slice.kind == "corpus" else corpus
    if not plans:
        raise UsageError("\n".join(["nothing can be planned.", *left_out.values()]))
    sources = {each.name: each.source for each in wanted if each.name in calibrated}
    return Plan(machine, plans, in_all(plans, machine), sources, calibrated, left_out)
