"""A release as a job of the engine: planned from the manifest, with two stages more for a sample.

So it goes on after a crash, runs on any executor, in bounded memory, and its folder is a root that ``rpj verify``
checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from redpajama_data.config import Size, SliceSettings
from redpajama_data.corpus.listing import PATTERNS
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput
from redpajama_data.engine.task_names import task_names
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.release import sampling
from redpajama_data.release.plan import by_slice, copied_names, name_of, plan_files
from redpajama_data.release.sampling import Choice, Draw
from redpajama_data.release.work import copy_work, write_work
from redpajama_data.reports.manifest import Shard

DATA = "data"  # the job's name: ROOT/data is where the files lie, and where data set repositories have them


def _weights(value: object) -> object:
    """``c4=15,books=5`` as a map."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    try:
        return {name.strip(): float(weight) for name, _, weight in pairs}
    except ValueError as error:
        raise ValueError("expected weights such as c4=15,books=4.5") from error


def _positive(value: dict[str, float]) -> dict[str, float]:
    if any(not 0 < weight < float("inf") for weight in value.values()):
        raise ValueError("expected weights above 0")
    return value


def _amount(value: str | None) -> str | None:
    if value is not None:
        sampling.parse_amount(value)
    return value


class ReleaseSettings(SliceSettings):
    """What decides the files of a release."""

    format: str = Field("parquet", pattern="^(parquet|jsonl)$", description="parquet, or jsonl: the shards as they are")
    file_size: Size = Field(1 << 30, ge=1 << 10, description="bytes of text a file holds, about")
    row_group: Size = Field(100 << 20, ge=1 << 10, le=256 << 20, description="most bytes of a row group, unpacked")
    sample: Annotated[str | None, AfterValidator(_amount)] = Field(None, description="tokens, as 1B, or a share, 0.1%")
    seed: int = Field(0, ge=0, lt=1 << 64, description="another seed draws another sample")
    shares: Annotated[dict[str, float], BeforeValidator(_weights), AfterValidator(_positive)] = Field(
        default_factory=dict, description="the sample's tokens by slice, as weights; default: as in the root"
    )
    job: str | None = Field(None, description="the job whose shards are released; default: those of the slices")


def job(shards: Sequence[Shard]) -> Job:
    """The job that writes a release of these shards."""
    return Job(
        name=DATA,
        summary="a release of what was published",
        revision=1,
        patterns=PATTERNS,
        settings=ReleaseSettings,
        stages=partial(stages, shards=tuple(shards)),
        kind="report",
        unicode=False,
    )


def stages(settings: ReleaseSettings, run: RunSettings, *, shards: Sequence[Shard]) -> list[Stage]:
    """One stage that writes files; before it, of a sample, one that hashes every text and one that draws."""
    if settings.sample is None:
        plan = _plan_copies if settings.format == "jsonl" else _plan_all
        return [Stage(DATA, partial(plan, shards=shards, settings=settings))]
    drawn = sampling.draws(by_slice(shards), settings.sample, settings.shares)
    plans = _SamplePlans(shards, settings, drawn, run.counter)
    return [
        Stage("hash", plans.hashes),
        Stage("cut", plans.cuts, ("hash",), whole=("hash",)),
        Stage(DATA, plans.files, ("hash", "cut"), whole=("hash", "cut")),
    ]


# ------------------------------------------------------------------------------------------------ planning


def _plan_copies(given: StageInput, *, shards: Sequence[Shard], settings: ReleaseSettings) -> list[Planned]:
    found = copied_names(given.inputs, shards)
    return [
        Planned(
            name,
            partial(copy_work, path=raw.path, name=name_of(raw.path), documents=shard.documents, sha256=shard.sha256),
            [raw],
        )
        for name, (raw, shard) in zip(_names(raw.path for raw, _ in found), found, strict=True)
    ]


def _plan_all(given: StageInput, *, shards: Sequence[Shard], settings: ReleaseSettings) -> list[Planned]:
    raw_files = {raw.path: raw for raw in given.inputs}
    files = plan_files(given.inputs, shards, file_size=settings.file_size)
    return [
        Planned(
            name,
            partial(write_work, file=file, format=settings.format, row_group=settings.row_group),
            [raw_files[piece.path] for piece in file.pieces],
        )
        for name, file in zip(task_names(file.name for file in files), files, strict=True)
    ]


def _names(paths: Iterable[str]) -> list[str]:
    """The names of the tasks of shards, wherever their root lies."""
    return task_names(map(name_of, paths))


def _slice(path: str) -> str:
    return name_of(path).split("/")[0]


@dataclass(frozen=True)
class _SamplePlans:
    """The plans of the three stages of a sample. ``drawn`` says how much of which slice."""

    shards: Sequence[Shard]
    settings: ReleaseSettings
    drawn: Mapping[str, Draw]
    counter: ModelFile | None

    def hashes(self, given: StageInput) -> list[Planned]:
        """A task a shard."""
        copied = copied_names(given.inputs, self.shards)
        found = [(raw, self.drawn[_slice(raw.path)]) for raw, _ in copied if _slice(raw.path) in self.drawn]
        return [
            Planned(
                name,
                partial(sampling.hash_work, path=raw.path, seed=self.settings.seed, below=draw.below),
                [raw],
            )
            for name, (raw, draw) in zip(_names(raw.path for raw, _ in found), found, strict=True)
        ]

    def cuts(self, given: StageInput) -> list[Planned]:
        """A task a slice."""
        planned = []
        for name, draw in self.drawn.items():
            hashed = [r.outputs["hashes"] for r in given.receipts["hash"] if _slice(r.inputs[0]) == name]
            work = partial(sampling.cut_work, hashes=[out.path for out in hashed], take=draw.take)
            planned.append(Planned(name, work, hashed))
        return planned

    def files(self, given: StageInput) -> list[Planned]:
        """A task a file."""
        hashed = {receipt.inputs[0]: receipt for receipt in given.receipts["hash"]}
        raw_files = {raw.path: raw for raw in given.inputs}
        found: dict[str, Choice] = {}
        for (name, draw), cut in zip(self.drawn.items(), given.receipts["cut"], strict=True):
            own = [path for path in hashed if _slice(path) == name]
            made = sampling.choices([hashed[path] for path in own], cut, below=draw.below)
            found.update(zip(own, made, strict=True))
        shares = {name: draw.share for name, draw in self.drawn.items()}
        files = plan_files(given.inputs, self.shards, file_size=self.settings.file_size, shares=shares)
        planned = []
        for task, file in zip(task_names(file.name for file in files), files, strict=True):
            reads: list[RawFile | Output] = []
            for piece in file.pieces:
                reads += sampling.reads_of(hashed[piece.path], found[piece.path])
                reads += [raw_files[piece.path]] if found[piece.path].hashes is not None else []
            work = partial(
                write_work,
                file=file,
                format=self.settings.format,
                row_group=self.settings.row_group,
                chosen=[found[piece.path] for piece in file.pieces],
                counter=self.counter,
            )
            planned.append(Planned(task, work, reads))
        return planned
