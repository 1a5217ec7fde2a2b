"""A release: the folder of a data set repository, made of a root; and what else belongs in it than the documents."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from redpajama_data import config as configuration
from redpajama_data.config import RunConfig
from redpajama_data.corpus.listing import path_below
from redpajama_data.errors import NOT_JSON, UsageError
from redpajama_data.io import storage
from redpajama_data.io.lock import hold
from redpajama_data.io.root_paths import RUN
from redpajama_data.io.storage import RawFile
from redpajama_data.release import card, croissant, sampling
from redpajama_data.release.description import Facts, Release, describe
from redpajama_data.release.parquet import library
from redpajama_data.release.plan import by_slice, copied_names, plan_files, shards_of
from redpajama_data.release.stages import DATA, ReleaseSettings, job
from redpajama_data.reports import manifest
from redpajama_data.reports.manifest import Shard
from redpajama_data.whole_run import RunReport, run_parts

CARD, CROISSANT, SOURCE = "README.md", "croissant.json", "source-manifest.json"
_NOTE = f"{RUN}/{DATA}-card.json"  # what was written beside the data: a file that is another one now is the user's


class _Note(msgspec.Struct):
    date: str = ""
    files: dict[str, list[str]] = {}  # name: SHA-256 of what was written last, and before it
    data: str = ""  # SHA-256 of the names and checksums of the data


@dataclass
class Made:
    """What came of a release: the report of its run, its files by slice, and the files that were left alone, since
    somebody else wrote or changed them."""

    root: str
    report: RunReport
    files: dict[str, list[Shard]] = field(default_factory=dict)
    left_alone: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """A file that a release would have: its path from the folder, documents, and bytes of its text (of the file itself
    where shards are copied)."""

    path: str
    documents: int
    bytes: int


def planned(root: str, settings: ReleaseSettings) -> list[Wanted]:
    """The files that a release of a root would have, without writing any. Raises as :func:`release`."""
    shards = shards_of(manifest.build(root), settings.job)
    given = [RawFile(storage.join(root, shard.path), shard.bytes, shard.sha256) for shard in shards]
    if settings.format == "jsonl" and settings.sample is None:
        return [
            Wanted(f"{DATA}/{'/'.join(raw.path.split('/')[-2:])}", shard.documents, shard.bytes)
            for raw, shard in copied_names(given, shards)
        ]
    slices = by_slice(shards)
    drawn = sampling.draws(slices, settings.sample, settings.shares) if settings.sample else None
    shares = {name: draw.share for name, draw in drawn.items()} if drawn is not None else None
    rates = {name: sum(s.text_bytes for s in own) / sum(s.documents for s in own) for name, own in slices.items()}
    ending = "parquet" if settings.format == "parquet" else "jsonl.zst"
    return [
        Wanted(f"{DATA}/{file.name}.{ending}", documents, round(documents * rates[file.slice]))
        for file in plan_files(given, shards, file_size=settings.file_size, shares=shares)
        for documents in [round(file.documents * (shares[file.slice] if shares else 1))]
    ]


def release(
    root: str,
    to: str,
    given: Mapping[str, Any],
    config: RunConfig,
    facts: Mapping[str, Facts],
    *,
    name: str = "",
    contact: str = "",
    url: str = "",
    quiet: bool = True,
) -> Made:
    """Make a release of a root in the folder ``to``, or bring the one there up to date.

    ``given`` are fields of :class:`ReleaseSettings`, ``config`` says where tasks run, ``facts`` what is known of the
    slices. ``to`` is itself a root, of one job: what is done is not done again, and ``rpj verify`` checks it.
    Raises :class:`UsageError`, :class:`RootInUse`, :class:`MissingModel`, :class:`StorageError`; what goes wrong with
    single files is in the report, and then there is no new card.
    """
    settings = settings_of(root, given)
    if path_below(root, to) is not None or path_below(to, root) is not None or _same(root, to):
        raise UsageError(f"--to {to}: a release lies beside the root {root}, not in it. Choose another folder.")
    if settings.format == "parquet":
        library()
    source = manifest.build(root)
    shards = shards_of(source, settings.job)
    part = job(shards)
    report = run_parts([(part, settings)], config.model_copy(update={"root": to}), quiet=quiet, prune=True)
    made = Made(to, report)
    if report.exit_code():
        return made
    _remove_empty_folders(to)
    made.files = by_slice(manifest.build(to).shards)
    date = _date(to, made.files)
    of = describe(root, to, settings, source, made.files, facts, name=name, contact=contact, date=date, url=url)
    with hold(to):
        made.left_alone = _write_cards(to, of)
    return made


def settings_of(root: str, given: Mapping[str, Any]) -> ReleaseSettings:
    """The settings of a release of a root, validated. Raises :class:`UsageError`."""
    wanted = {key: value for key, value in given.items() if value is not None}
    none = configuration.load_config(None, {})
    place = storage.join(root, wanted["job"]) if wanted.get("job") else root
    try:
        return configuration.slice_settings(ReleaseSettings, DATA, none, {**wanted, "input": (place,)}, None)
    except UsageError as error:  # it names settings, and these are options
        option = re.sub(rf"^--set for {DATA}: (\w+)", lambda found: f"--{found[1].replace('_', '-')}", str(error))
        raise UsageError(option) from error


def _same(one: str, other: str) -> bool:
    return path_below(one, storage.join(other, "x")) is not None


# ------------------------------------------------------------------------------------------------ beside the data


def _note(to: str) -> _Note:
    with contextlib.suppress(*NOT_JSON):
        return msgspec.json.decode(storage.read_bytes(storage.join(to, _NOTE)) or b"{}", type=_Note)
    return _Note()


def _remove_empty_folders(to: str) -> None:
    """Remove the folders of slices that have no file any more; an object store has none."""
    place = os.path.join(storage.local(to), DATA)
    if storage.is_remote(to) or not os.path.isdir(place):
        return
    for name in os.listdir(place):
        with contextlib.suppress(OSError):  # the system removes none that holds something
            os.rmdir(os.path.join(place, name))


def _digest(files: Mapping[str, Sequence[Shard]]) -> str:
    lines = [f"{shard.path} {shard.sha256}\n" for own in files.values() for shard in own]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _date(to: str, files: Mapping[str, Sequence[Shard]]) -> str:
    """The day on which these very files were first described."""
    note = _note(to)
    same = note.date and note.data == _digest(files)
    return note.date if same else datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def _write_cards(to: str, of: Release) -> list[str]:
    """Write what stands beside the data; gives the names of files that are left alone, as they are not what was written
    here before."""
    texts = {
        CARD: card.render(of).encode(),
        CROISSANT: croissant.encode(of),
        SOURCE: manifest.encode(of.source),
    }
    known = _note(to).files
    left = []
    for name, data in texts.items():
        there = storage.read_bytes(storage.join(to, name))
        if there is not None and there != data and _sha256(there) not in known.get(name, []):
            left.append(name)
    own = {name: data for name, data in texts.items() if name not in left}
    # The note first, with both: a file that is not written yet when this is ended is known for ours.
    names = {name: list(dict.fromkeys([_sha256(data), *known.get(name, [])]))[:2] for name, data in own.items()}
    note = msgspec.json.encode(_Note(of.date, {**known, **names}, _digest(of.files))) + b"\n"
    for path, data in {_NOTE: note, **own}.items():
        if storage.read_bytes(storage.join(to, path)) != data:
            storage.write_bytes(storage.join(to, path), data)
    return left


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
