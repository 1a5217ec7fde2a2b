"""``manifest.json`` at a root: every published shard, what made it, and the sums of every stage.

The same work gives the same bytes: no times, no host names, nothing of where the root lies. ``lineage`` hangs on the
names of the raw files, ``environments`` on what was installed.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from redpajama_data.engine import receipts
from redpajama_data.engine.environment import Environment
from redpajama_data.engine.ownership import MANIFEST, NOTE
from redpajama_data.engine.planning import ENGINE_REVISION
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.slice_run import RunNote, notes_of, slices_of
from redpajama_data.errors import NOT_JSON, UsageError
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN
from redpajama_data.models.known import known_name

NAME = MANIFEST
FORMAT = 1
_TEXTS = ("where", "label", "field")  # settings that are no paths, whatever is in them
_PATH = re.compile(r"\S*/\S*")


class Named(msgspec.Struct, frozen=True, order=True):
    """A model or tokenizer: the base name of its file (or its name in the registry) and its SHA-256."""

    name: str
    sha256: str


class Shard(msgspec.Struct, frozen=True):
    """A published shard, or a file for other programs, which has no documents of its own. ``path`` is relative to the
    root, ``bytes`` the size of the file, ``text_bytes`` (UTF-8) and ``tokens`` those of its texts."""

    path: str
    bytes: int
    sha256: str
    documents: int
    text_bytes: int
    tokens: int
    tokenizer: str
    lineage: str


class StageSums(msgspec.Struct, frozen=True):
    """Documents through a stage: ``read == kept + sum(dropped.values())``."""

    stage: str
    read: int
    kept: int
    dropped: dict[str, int]


class Part(msgspec.Struct, frozen=True):
    """A slice, or a job over the shards of slices. ``inputs`` is how many files it was given, ``settings`` without
    them and with the base names of files only; ``quarantined`` and ``broken`` count tasks."""

    slice: str
    kind: str
    revision: int
    inputs: int
    settings: dict[str, Any]
    stages: list[StageSums]
    shards: int
    documents: int
    text_bytes: int
    tokens: int
    quarantined: int
    broken: int


class Manifest(msgspec.Struct, frozen=True):
    """All of it. ``environments`` are those in which the tasks were done (:mod:`redpajama_data.engine.environment`)."""

    format: int
    version: str
    engine: int
    models: list[Named]
    tokenizers: list[Named]
    slices: list[Part]
    shards: list[Shard]
    environments: list[Environment] = []


def build(root: str) -> Manifest:
    """The manifest of a root, from its receipts. Raises :class:`UsageError` when it is no root of a run."""
    notes = slices_of(root)
    parts, shards, used = [], [], set()
    for note in notes:
        every = list(receipts.load_all(root, note.slice))
        own = [shard for receipt in every for shard in _shards(receipt)]
        quarantined = sum(1 for _ in receipts.quarantined(root, note.slice))
        parts.append(_part(note, every, own, quarantined))
        shards += own
        used |= {Named(name, sha256) for name, sha256 in note.models}
    counted = {shard.tokenizer for shard in shards if shard.documents} - {""}  # "": not counted
    return Manifest(
        FORMAT,
        _version(),
        ENGINE_REVISION,
        sorted(used),
        sorted(Named(_tokenizer_name(sha256, used), sha256) for sha256 in counted),
        parts,
        sorted(shards, key=lambda shard: shard.path),
        environments_of(notes),
    )


def environments_of(notes: Iterable[RunNote]) -> list[Environment]:
    """The environments in which the tasks of slices were done, each once, sorted."""
    found = {tuple(environment.items()) for note in notes for environment in note.environments}
    return [dict(items) for items in sorted(found)]


def write(root: str) -> None:
    """Write ``ROOT/manifest.json`` if it is not there already with this content. Raises as :func:`build`, and
    :class:`StorageError`."""
    data = encode(build(root))
    if storage.read_bytes(storage.join(root, NAME)) != data:
        storage.write_bytes(storage.join(root, NAME), data)


def refuse_foreign(root: str) -> None:
    """Raise :class:`UsageError` when a folder that no run has written to has a ``manifest.json`` of somebody else's."""
    path = storage.join(root, NAME)
    if storage.read_bytes(path) is None or any(name.endswith(f"/{NOTE}") for name in storage.find(f"{root}/{RUN}")):
        return
    try:
        load(path)
    except UsageError as error:
        raise UsageError(
            f"{path} is not rpj's, and a run writes a file of that name. Choose another --root."
        ) from error


def encode(manifest: Manifest) -> bytes:
    """The bytes of a manifest: JSON, keys of maps sorted."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1) + b"\n"


def load(place: str) -> Manifest:
    """A manifest by the path or URL of its file or of its root.

    Raises :class:`UsageError` when there is none, or none of this format.
    """
    data = storage.read_bytes(place) if place.endswith(".json") else storage.read_bytes(storage.join(place, NAME))
    if data is None:
        raise UsageError(f"{place}: no manifest there. Give a {NAME}, or a root that has one (rpj run writes it).")
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except NOT_JSON as error:
        raise UsageError(f"{place}: no manifest of rpj ({error}). Give a {NAME} that rpj run has written.") from error
    if found.format != FORMAT:
        raise UsageError(f"{place}: format {found.format}, this rpj reads {FORMAT}. Use the rpj that wrote it.")
    return found


def check(root: str) -> Iterator[tuple[str, str | None]]:
    """(file, problem or None) for the manifest of a root, if it has one: that it says what the receipts say."""
    data = storage.read_bytes(storage.join(root, NAME))
    if data is not None and None not in notes_of(root).values():  # a note that cannot be read is named by who reads it
        built = build(root)
        try:  # the version is that of the rpj that wrote it, which need not be this one
            said = load(storage.join(root, NAME))
            built = msgspec.structs.replace(built, version=said.version, engine=said.engine)
        except UsageError:
            pass
        same = data == encode(built)
        yield NAME, None if same else "does not say what the receipts say. Run again: it is written anew."


# ------------------------------------------------------------------------------------------------ parts


def _part(note: RunNote, every: list[Receipt], shards: list[Shard], quarantined: int) -> Part:
    return Part(
        slice=note.slice,
        kind=note.kind,
        revision=note.revision,
        inputs=note.inputs,
        settings=_settings(note.settings),
        stages=_stages(note.stages, every),
        shards=len(shards),
        documents=sum(shard.documents for shard in shards),
        text_bytes=sum(shard.text_bytes for shard in shards),
        tokens=sum(shard.tokens for shard in shards),
        quarantined=quarantined,
        broken=sum(bool(receipt.broken) for receipt in every),
    )


def _shards(receipt: Receipt) -> Iterator[Shard]:
    published = [out for role, out in receipt.outputs.items() if role.split(":")[0] == "published"]
    for out in published:
        alone = len(published) == 1  # then the receipt's own sums are the shard's
        yield Shard(
            path=out.path,
            bytes=out.bytes,
            sha256=out.sha256,
            documents=out.records,
            text_bytes=receipt.bytes if alone else out.text_bytes,
            tokens=receipt.tokens if alone else out.tokens,
            tokenizer=receipt.tokenizer,
            lineage=receipt.lineage,
        )
    for role, out in receipt.outputs.items():  # token files and the like: no documents of their own
        if role.startswith("exported:"):
            yield Shard(out.path, out.bytes, out.sha256, 0, 0, 0, "", receipt.lineage)


def _stages(names: Iterable[str], every: Iterable[Receipt]) -> list[StageSums]:
    """Sums by stage, in the order of the stages; no number of tasks, which may hang on the memory of the run."""
    found: dict[str, list[Receipt]] = {name: [] for name in names}
    for receipt in every:
        found.setdefault(receipt.stage, []).append(receipt)
    return [
        StageSums(stage, sum(r.read for r in of), sum(r.kept for r in of), receipts.sum_drops(of))
        for stage, of in found.items()
    ]


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value if key in _TEXTS else _without_folders(value) for key, value in settings.items() if key != "input"
    }


def _without_folders(value: Any) -> Any:
    if isinstance(value, str) and _PATH.fullmatch(value):
        return value.rstrip("/").rpartition("/")[2]
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    return value


def _tokenizer_name(sha256: str, used: Iterable[Named]) -> str:
    """The name in the registry, else that of the file, else ""."""
    return known_name(sha256) or min((named.name for named in used if named.sha256 == sha256), default="")


def _version() -> str:
    try:
        return importlib.metadata.version("redpajama-data")
    except importlib.metadata.PackageNotFoundError:  # a bare checkout on a cluster node
        return "unknown"
