"""A plan: what a slice takes on a machine, by its costs and its source, and what limits it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from redpajama_data.download.manners import manners_of
from redpajama_data.models.fast_tokens import CACHE_LIMIT
from redpajama_data.planning.model import Cost
from redpajama_data.planning.source import Source
from redpajama_data.whole_run import LEAST_MEMORY

HOUR = 3600
Limit = Literal["cores", "memory", "disk", "network", "one file"]


@dataclass(frozen=True)
class Machine:
    """What a run may take: cores, bytes of memory, free bytes of disk, bytes a second of its line."""

    cores: int
    memory: int
    disk: int
    bandwidth: float

    def workers(self, peak: int) -> int:
        """How many workers of so many bytes it bears, at least one."""
        return max(1, min(self.cores, self.memory // max(1, peak)))


@dataclass(frozen=True)
class StagePlan:
    """A stage: how many tasks, hours of a core, hours by the clock, bytes of memory of a worker."""

    stage: str
    tasks: int
    core_hours: float
    wall_hours: float
    worker_memory: int


@dataclass(frozen=True)
class SlicePlan:
    """What a slice or job takes. Hours are by the clock but for ``core_hours``; fetching comes before running.
    ``memory`` is at most that of all workers at once; ``raw``, ``steps``, ``final`` are bytes on the disk: raw files,
    intermediate files, shards. ``fetch`` are bytes to come, ``requests`` how many files they are asked for in.
    ``limit`` is what would have to grow for it to be done sooner, or at all (disk); ``one file``: most workers wait for
    it."""

    name: str
    core_hours: float
    run_hours: float
    fetch_hours: float
    memory: int
    workers: int
    raw: float
    steps: float
    final: float
    fetch: float
    requests: int
    usd: float
    limit: Limit
    published: float
    stages: list[StagePlan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def wall_hours(self) -> float:
        """Fetching, then running."""
        return self.fetch_hours + self.run_hours

    @property
    def disk(self) -> float:
        """Bytes on the disk in the end, when nothing is removed."""
        return self.raw + self.steps + self.final


def plan_slice(cost: Cost, source: Source, machine: Machine, *, here: float = 0.0, embedded: bool = False) -> SlicePlan:
    """What a slice takes. ``here`` are bytes of its raw files that need not come any more; ``embedded`` says that the
    costs were taken on the embedded sample: for what its texts are not like, the source's own ratios hold."""
    cost = as_real(cost, source) if embedded else cost
    raw, files = source.raw.value, source.files.value
    text = source.text.value if source.text is not None else raw * cost.text
    first = source.tasks or files
    largest = source.largest.value if source.largest is not None else 1 / max(1.0, first)
    fetch = max(0.0, raw - here)
    share = fetch / raw if raw else 0.0
    requests = int(files * share)
    usd = (source.usd.value if source.usd and fetch else 0.0) + (
        fetch / 1e9 * source.usd_per_gb.value if source.usd_per_gb else 0.0
    )
    fetch_hours = _fetch_hours(fetch, requests, source, machine)
    return _planned(
        cost, machine, text, first, largest, raw, fetch, requests, usd, fetch_hours, [*source.notes]
    )  # fmt: skip


def plan_job(cost: Cost, machine: Machine, text: float, shards: float) -> SlicePlan:
    """What a job over shards takes, of so many bytes of text in so many shards."""
    return _planned(cost, machine, text, shards, 1 / max(1.0, shards), 0.0, 0.0, 0, 0.0, 0.0, [])


def as_real(cost: Cost, source: Source) -> Cost:
    """The costs of a slice whose sample is the embedded one, for real texts: times what a real byte takes more, and
    with what real files give."""
    ratios = source.ratios
    stages = tuple(
        replace(stage, task=stage.task * ratios.likeness, byte=stage.byte * ratios.likeness) for stage in cost.stages
    )
    return Cost(
        cost.name, stages, ratios.text, ratios.published, ratios.records, ratios.final, ratios.steps, cost.start
    )


def cache_growth(published: float) -> int:
    """Bytes that the memory of a worker grows by beyond that of a short sample while it counts the tokens of so many
    bytes of text: the tokenizer remembers words. With words that are all new, as the enlarged books of the benchmarks,
    it was 1.2 bytes a byte; it is thrown away at :data:`CACHE_LIMIT`."""
    return int(min(CACHE_LIMIT, published))


def _fetch_hours(fetch: float, requests: int, source: Source, machine: Machine) -> float:
    """The line, what the host gives, and the pause that it wants between requests: the slowest counts."""
    rates = [machine.bandwidth, *([source.host_rate.value] if source.host_rate else [])]
    pause = manners_of(source.host).pause if source.host else 0.0
    return max(fetch / max(1.0, min(rates)), requests * pause) / HOUR


def _planned(
    cost: Cost,
    machine: Machine,
    text: float,
    first: float,
    largest: float,
    raw: float,
    fetch: float,
    requests: int,
    usd: float,
    fetch_hours: float,
    notes: list[str],
) -> SlicePlan:
    worker = cost.peak + LEAST_MEMORY + cache_growth(cost.published * text / machine.cores)
    workers = machine.workers(worker)
    stages = [_stage(cost, number, text, first, largest, workers) for number in range(len(cost.stages))]
    start = cost.start * workers / HOUR
    run_hours = sum(stage.wall_hours for stage in stages) + cost.start / HOUR
    made = SlicePlan(
        cost.name,
        sum(stage.core_hours for stage in stages) + start,
        run_hours,
        fetch_hours,
        workers * worker,
        workers,
        raw,
        cost.steps * text,
        cost.final * text,
        fetch,
        requests,
        usd,
        _limit(machine, workers, fetch_hours, run_hours, sum(stage.core_hours for stage in stages)),
        cost.published * text,
        stages,
        notes,
    )
    return replace(made, limit="disk") if made.disk > machine.disk else made


def _limit(machine: Machine, workers: int, fetch_hours: float, run_hours: float, core_hours: float) -> Limit:
    if fetch_hours > run_hours:
        return "network"
    if run_hours * workers > 2 * core_hours and workers > 1:  # most of the time most workers wait for a task
        return "one file"
    return "memory" if workers < machine.cores else "cores"


def _stage(cost: Cost, number: int, text: float, first: float, largest: float, workers: int) -> StagePlan:
    stage = cost.stages[number]
    tasks = stage.tasks(first, cost.records * text)
    seconds = stage.seconds(tasks, text)
    longest = seconds * largest if stage.each == 1 else seconds / tasks  # a task for each of the first stage
    return StagePlan(stage.stage, round(tasks), seconds / HOUR, max(seconds / workers, longest) / HOUR, stage.peak)


def in_all(plans: list[SlicePlan], machine: Machine) -> SlicePlan:
    """All of them, one after another, with nothing removed between."""
    run, fetch = sum(plan.run_hours for plan in plans), sum(plan.fetch_hours for plan in plans)
    disk = sum(plan.disk for plan in plans)
    longest = max(plans, key=lambda plan: plan.wall_hours)
    limit: Limit = "disk" if disk > machine.disk else "network" if fetch > run else longest.limit
    return SlicePlan(
        "in all",
        sum(plan.core_hours for plan in plans),
        run,
        fetch,
        max(plan.memory for plan in plans),
        max(plan.workers for plan in plans),
        sum(plan.raw for plan in plans),
        sum(plan.steps for plan in plans),
        sum(plan.final for plan in plans),
        sum(plan.fetch for plan in plans),
        sum(plan.requests for plan in plans),
        sum(plan.usd for plan in plans),
        limit if limit != "network" or fetch > run else "cores",
        sum(plan.published for plan in plans),
    )
