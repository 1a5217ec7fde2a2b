"""What a plan is of: the slices and jobs of a configuration, each with its sample, its models and its source."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from redpajama_data import config as configuration
from redpajama_data import sample
from redpajama_data.config import RunConfig, SliceSettings
from redpajama_data.defaults import input_here
from redpajama_data.download.stand import free_bytes
from redpajama_data.engine.executors import cores as cores_here
from redpajama_data.engine.run_slice import list_inputs
from redpajama_data.engine.stages import RunSettings, Slice
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.storage import RawFile
from redpajama_data.planning.calibration import Part
from redpajama_data.planning.forecast import Machine
from redpajama_data.planning.source import Figure, Source
from redpajama_data.planning.stand_ins import with_stand_ins
from redpajama_data.planning.whole import Wanted
from redpajama_data.sample.common_crawl import model_paths
from slices import BESIDE, NAMES, load
from slices.sources.catalogue import source_of

GIGABIT = 125e6  # bytes a second of a line, when nobody says
LIKE = {"common_crawl_v2": "common_crawl"}  # slices that read the raw files of another


def machine_of(cores: int | None, memory: int | None, disk: int | None, bandwidth: float | None, root: str) -> Machine:
    """The machine that is described, what is left out taken from this one; its disk is the root's."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = disk if disk is not None else free_bytes("." if storage.is_remote(root) else root)
    return Machine(cores or cores_here(), memory or whole, free, bandwidth or GIGABIT)


def parts_of(
    run_config: RunConfig,
    path: str | None,
    names: str | Iterable[str] | None,
    jobs: Iterable[Slice],
    common: RunSettings,
    *,
    here: bool,
) -> tuple[list[Wanted], list[Part]]:
    """The slices that a configuration has and its ``jobs``, to be planned; ``names`` are some of its slices.

    Without names those of the seven that it configures, else those beside them, else all seven. Raises
    :class:`UsageError` for a slice whose source is not known, and with ``here`` for one without raw files.
    """
    if names is None:
        chosen = next(filter(None, ([n for n in room if n in run_config.slices] for room in (NAMES, BESIDE))), [*NAMES])
    else:
        chosen = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    parts = [load(name) for name in chosen]  # says which names there are
    wanted = [_wanted(part, run_config, path, common, here) for part in parts]
    behind = []
    for job in jobs:
        settings = configuration.slice_settings(job.settings, job.name, run_config, {}, path)
        if "capacity" in type(settings).model_fields:  # filters for all dumps would be written for a sample
            settings = settings.model_copy(update={"capacity": None})
        behind.append(Part(job, settings, common))
    return wanted, behind


def _wanted(part: Slice, run_config: RunConfig, path: str | None, common: RunSettings, here: bool) -> Wanted:
    given: dict[str, Any] = {}
    if not run_config.slices.get(part.name, {}).get("input"):
        given = {"input": input_here(LIKE.get(part.name, part.name))}
    settings = configuration.slice_settings(part.settings, part.name, run_config, given, path)
    files = tuple(_raw_files(part, settings))
    if here and not files:
        raise UsageError(f"{part.name}: no raw files are here. Leave --here out to plan its whole source.")
    of_sample = bool(files) and not here and _is_sample(files)
    source = source_of(part.name, settings) if not here else source_here(part.name, files)
    embedded = not files or of_sample
    settings, replaced = with_stand_ins(part, settings, common, stand_ins(), every=embedded)
    notes = [f"measured with {', '.join(replaced)} of the sample, which are small"] if replaced else []
    held = 0.0 if embedded else float(sum(raw.bytes for raw in files))
    measured = Part(part, settings, common, () if embedded else files, LIKE.get(part.name, part.name))
    return Wanted(measured, source, held, tuple(notes))


def _raw_files(part: Slice, settings: SliceSettings) -> list[RawFile]:
    """The raw files that are here; none where the input has none, or in part."""
    found: list[RawFile] = []
    for place in settings.input:
        try:
            found += list_inputs(part, [place])
        except UsageError:
            continue
    return found


def _is_sample(files: Iterable[RawFile]) -> bool:
    """Whether the files are those of ``rpj sample``: FOLDER/<slice>/.../<file>."""
    first = os.path.abspath(storage.local(next(iter(files)).path))
    above = (os.path.dirname(first), *(os.sep.join(first.split(os.sep)[:-n]) for n in (2, 3)))
    return any(sample.is_sample(folder) for folder in above)


def source_here(name: str, files: Iterable[RawFile]) -> Source:
    """The raw files that are here, as the whole source: nothing is to come, and their own sample says what they are."""
    sizes = [raw.bytes for raw in files]
    whole = Figure(value=sum(sizes), origin="the raw files that are here", sure="measured")
    count = Figure(value=len(sizes), origin=whole.origin, sure="measured")
    largest = Figure(value=max(sizes) / max(1, sum(sizes)), origin=whole.origin, sure="measured")
    ratios = dict.fromkeys(("text", "published", "records", "final", "steps", "likeness"), 1.0)
    return Source.model_validate(
        {
            "of": f"the raw files of {name} that are here",
            "raw": whole,
            "files": count,
            "largest": largest,
            "ratios": {**ratios, "origin": "not used"},
        }
    )


def stand_ins() -> dict[str, Any]:
    """Models by the settings that name them: the sample's own, and the small language identifier."""
    models = model_paths()
    return {
        "classifier": models["wikiref.bin"],
        "lm_dir": os.path.dirname(models["en.arpa.bin"]),
        "lid": "lid.176.ftz",
    }
