"""All that a release says of itself, for its card and for ``croissant.json``."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from redpajama_data.config import SliceSettings
from redpajama_data.download import plan as download_plan
from redpajama_data.engine import receipts
from redpajama_data.engine.ownership import INPUTS
from redpajama_data.engine.slice_run import RunNote, slices_of
from redpajama_data.errors import NOT_JSON
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN
from redpajama_data.io.shards import read_names
from redpajama_data.io.walk import DOWNLOADS
from redpajama_data.reports import root_status
from redpajama_data.reports.manifest import Manifest, Shard
from redpajama_data.reports.root_status import SliceStatus
from redpajama_data.reports.waterfall import Waterfall, waterfalls


@dataclass(frozen=True)
class Facts:
    """What is known of a slice beside the root: what it is, its terms as (name, address, sentence), what its settings
    mean with their published values, and the repairs of its recipe as (name, what is wrong)."""

    summary: str = ""
    terms: Sequence[tuple[str, str, str]] = ()
    settings: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    repairs: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Release:
    """All that a card says: ``files`` of the release by slice, ``source`` the manifest of the root they are of, with
    ``notes``, ``states`` and ``falls`` of its slices, and ``sources``, a sentence on the raw files of each."""

    name: str
    contact: str
    date: str  # of the release, YYYY-MM-DD
    url: str  # where it is published; "": not said
    settings: Mapping[str, Any]  # of the release, as in redpajama_data.release.stages.ReleaseSettings
    files: Mapping[str, Sequence[Shard]]
    source: Manifest
    notes: Mapping[str, RunNote]
    states: Mapping[str, SliceStatus]
    falls: Sequence[Waterfall]
    sources: Mapping[str, str]
    facts: Mapping[str, Facts]
    writers: Sequence[str]

    @property
    def parquet(self) -> bool:
        """Whether the files are Parquet, not the shards as they are."""
        return bool(self.settings["format"] == "parquet")

    @property
    def ending(self) -> str:
        """How the names of the files end."""
        return "parquet" if self.parquet else "jsonl.zst"


def describe(
    root: str,
    to: str,
    settings: SliceSettings,
    source: Manifest,
    files: Mapping[str, Sequence[Shard]],
    facts: Mapping[str, Facts],
    *,
    name: str,
    contact: str,
    date: str,
    url: str,
) -> Release:
    """All that is said of the release of a root in the folder ``to``, read from both. Raises :class:`UsageError`."""
    given = settings.model_dump(exclude={"input", "source_shards"})
    falls = [_upto(fall, given["job"]) for fall in waterfalls(root)]
    jobs = {job for fall in falls for job, *_ in fall.jobs}
    notes = {note.slice: note for note in slices_of(root) if note.kind == "slice" or note.slice in jobs}
    writers = {str(r.notes["writer"]) for r in receipts.load_all(to) if "writer" in r.notes}
    kind = "RedPajama-Data-1T, reproduced" + (f": a sample of {given['sample']}" if given["sample"] else "")
    return Release(
        name=name or kind,
        contact=contact,
        date=date,
        url=url,
        settings=given,
        files=files,
        source=source,
        notes=notes,
        states={
            s.slice: _without_folders(root, notes[s.slice], s) for s in root_status.status(root) if s.slice in notes
        },
        falls=falls,
        sources={note.slice: _raw_files(root, note) for note in notes.values() if note.kind == "slice"},
        facts=facts,
        writers=sorted(writers),
    )


def _upto(fall: Waterfall, job: str | None) -> Waterfall:
    """A waterfall as far as the shards that are released: jobs after them are left out."""
    names = [name for name, *_ in fall.jobs]
    return replace(fall, jobs=fall.jobs[: names.index(job) + 1] if job in names else [])


def _without_folders(root: str, note: RunNote, state: SliceStatus) -> SliceStatus:
    """What is wrong with a slice, without the folders of the machine that ran it."""
    paths = read_names(storage.join(root, RUN, note.slice, INPUTS))
    folders = sorted({f"{posixpath.dirname(path)}/" for path in paths} - {"/"}, key=len, reverse=True)

    def shown(text: str) -> str:
        for folder in folders:
            text = text.replace(folder, "")
        return text

    return replace(
        state,
        broken=[*map(shown, state.broken)],
        defects=[*map(shown, state.defects)],
        quarantined=[*map(shown, state.quarantined)],
    )


def _raw_files(root: str, note: RunNote) -> str:
    """A sentence on the raw files of a slice: the version of their source, where `rpj download` fetched them, and some
    of their names."""
    names = read_names(storage.join(root, RUN, note.slice, INPUTS))
    text = f"{len(names):,}" + (f" of {note.source_shards:,}" if note.source_shards else "")
    with storage.relative_to(note.base):
        folder = posixpath.dirname(names[0]) if names else ""
        for _ in range(4):  # a dump of Common Crawl has folders of its own below the slice's
            data = storage.read_bytes(storage.join(folder, DOWNLOADS, download_plan.PLAN)) if folder else None
            if data is not None:
                with contextlib.suppress(*NOT_JSON):
                    head = msgspec.json.decode(data, type=download_plan.Plan)
                    text += f", of version {head.version}" if head.version else ""
                break
            folder = posixpath.dirname(folder)
    shown = [posixpath.basename(path) for path in names]
    return f"{text}: {', '.join(shown[:2])}" + (f" ... {shown[-1]}" if len(shown) > 2 else "")
