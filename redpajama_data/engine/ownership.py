"""What in a root is the root's own: the ground on which a run removes and overwrites.

A run writes to ``ROOT/_run/<slice>/`` and ``ROOT/<slice>/``, but not every file there is its own. Its own are those
that its receipts name, or named before tasks were done again (:data:`NAMED`); those that a task at work has announced
(:class:`~redpajama_data.engine.receipts.Begun`); those of a task's name beside its receipt; and unfinished ones, by
their mark. Anything else is somebody's, and stays.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Begun, Receipt
from redpajama_data.errors import NOT_JSON, UsageError
from redpajama_data.io import storage
from redpajama_data.io.root_paths import RUN
from redpajama_data.io.shards import read_names
from redpajama_data.io.storage import RawFile

INPUTS = "inputs.txt"  # ROOT/_run/<slice>/inputs.txt: the raw paths by rank
MANIFEST = "manifest.json"  # ROOT/manifest.json: every published shard, of all slices and jobs
NOTE = "run.json"  # ROOT/_run/<slice>/run.json: what the run is of
IDS = re.compile(r"\.ids(\.jsonl)?\.zst$")  # of the ids of a published shard, below _run: <task>.[<shard>.]ids...
COSTS = "costs.json"  # ROOT/_run/<slice>/costs.json: what its tasks took (redpajama_data.engine.costs)
NAMED = "named.txt"  # ROOT/_run/<slice>/named.txt: during a run, the files that receipts named before it
# Of what tasks publish: shards, and what the jobs release and tokenize write for other programs.
_ENDING = re.compile(
    r"\.(jsonl\.zst|parquet|bin|idx|ds|ds\.index|ds\.metadata|json)$"
    r"|/(shard\.\d{5}\.mds|index\.json|documents\.index)$"  # MosaicML's shards: a folder a prefix
)
TaskKey = tuple[str, str]  # stage, task


@dataclass
class Holdings:
    """What a root holds of a slice before a run: files (path from the root -> bytes), the receipts of finished tasks,
    and what the tasks that were ended at work had announced."""

    slice: str
    files: Mapping[str, int]
    receipts: dict[TaskKey, Receipt] = field(default_factory=dict)
    begun: dict[TaskKey, list[str]] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)  # named before the last run, which has not come to its end
    damaged: set[TaskKey] = field(default_factory=set)  # tasks whose receipt cannot be read

    def named(self) -> set[str]:
        """The files that the root's own receipts, begun tasks and an unfinished run before have named."""
        by_receipts = {out.path for receipt in self.receipts.values() for out in receipt.outputs.values()}
        return by_receipts.union(self.before, *self.begun.values())

    def vouched(self, receipt: Receipt) -> bool:
        """Whether every file that a receipt names is there with its size."""
        return all(self.files.get(out.path) == out.bytes for out in receipt.outputs.values())


def holdings(root: str, slice_name: str) -> Holdings:
    """Read what a root holds of a slice: one listing, and its receipts."""
    held = Holdings(slice_name, listed(root, slice_name))
    if _named_file(slice_name) in held.files:
        held.before = read_names(storage.join(root, _named_file(slice_name)))
    paths = [path for path in held.files if path.startswith(f"{RUN}/") and path.endswith(receipts.RECEIPT)]
    paths = [path for path in paths if path.count("/") == 3]
    for path, state in zip(paths, receipts.states_at(root, paths), strict=True):
        _, _, stage, name = path.split("/")
        key = (stage, name.removesuffix(receipts.RECEIPT))
        if isinstance(state, Receipt):
            held.receipts[key] = state
        elif isinstance(state, Begun):
            held.begun[key] = state.begun
        else:
            held.damaged.add(key)
    return held


def listed(root: str, slice_name: str) -> dict[str, int]:
    """Every file in the folders that a slice's run writes to: path from the root -> bytes."""
    return {
        f"{base}/{name}": size
        for base in (f"{RUN}/{slice_name}", slice_name)
        for name, size in storage.sizes(storage.join(root, base)).items()
    }


def own_files(held: Holdings, announced: Iterable[str] = ()) -> set[str]:
    """Which of the files held are the root's own; ``announced`` are further paths that its tasks have named."""
    named = {f"{RUN}/{held.slice}/{name}" for name in (INPUTS, NOTE, COSTS, NAMED)}.union(held.named(), announced)
    tasks = _tasks(held)
    return {path for path in held.files if path in named or storage.is_unfinished(path) or _of_task(path, tasks)}


def _tasks(held: Holdings) -> set[TaskKey]:
    """Stage and name of every task that has a receipt or a quarantine entry."""
    found = set()
    for path in held.files:
        parts = path.split("/")
        for ending in (receipts.RECEIPT, receipts.QUARANTINE):
            if len(parts) == 4 and parts[0] == RUN and path.endswith(ending):
                found.add((parts[2], parts[3].removesuffix(ending)))
    return found


def _of_task(path: str, tasks: set[TaskKey]) -> bool:
    """Whether a file below ``_run`` carries the name of a task: ``<stage>/<task>.<ending>``."""
    parts = path.split("/")
    if len(parts) != 4 or parts[0] != RUN:
        return False
    name = parts[3]
    dots = [i for i, letter in enumerate(name) if letter == "."]
    return any((parts[2], name[:dot]) in tasks for dot in dots)


def foreign_files(held: Holdings) -> list[str]:
    """The files in the slice's folders that are not the root's own, sorted."""
    return sorted(set(held.files) - own_files(held))


def protected_files(root: str, held: Holdings) -> frozenset[str]:
    """The foreign files that no task may write over. Not those that a task of that name published whose receipt is lost
    or cannot be read: the list of their ids, which no run leaves without its shard, says so, or the root's manifest,
    which names them with their sizes."""
    foreign = foreign_files(held)
    if held.damaged or not foreign:
        return frozenset()
    ids = [IDS.sub("", path.rsplit("/", 1)[-1]) for path in held.files if IDS.search(path)]
    published = {name[start:] for name in ids for start in (0, *(i + 1 for i, c in enumerate(name) if c == "."))}
    stems = {path: _ENDING.sub("", path).rsplit("/", 1)[-1] for path in foreign}
    left = {path for path, stem in stems.items() if stem not in published}
    return frozenset(left.difference(path for path, size in _in_manifest(root) if held.files.get(path) == size))


class _Shard(msgspec.Struct):
    path: str
    bytes: int


class _Manifest(msgspec.Struct):
    shards: list[_Shard] = []


def _in_manifest(root: str) -> Iterator[tuple[str, int]]:
    """Path and size of every shard that the manifest of a root names, as far as there is one that can be read."""
    data = storage.read_bytes(storage.join(root, MANIFEST))
    with contextlib.suppress(*NOT_JSON):
        for shard in msgspec.json.decode(data or b"{}", type=_Manifest).shards:
            yield shard.path, shard.bytes


def _named_file(slice_name: str) -> str:
    return f"{RUN}/{slice_name}/{NAMED}"


def note_named(root: str, held: Holdings) -> None:
    """Before the first task is done again: keep the names that its new receipt will not have, until
    :func:`forget_named`. A run that is ended in between leaves them to the next one."""
    named = sorted(held.named())
    if named != held.before:
        storage.write_bytes(storage.join(root, _named_file(held.slice)), "".join(f"{n}\n" for n in named).encode())
        held.before = named


def forget_named(root: str, held: Holdings) -> None:
    """At the end of a run, when what is not wanted any more has been removed."""
    if _named_file(held.slice) in held.files:
        storage.remove(storage.join(root, _named_file(held.slice)))


# ---------------------------------------------------------------------------------------------- refusals


def refuse_links(root: str, slice_name: str) -> None:
    """Raise :class:`UsageError` when a folder that the run writes to is a link: what lies behind it is not the root's.

    The root itself may be reached through one.
    """
    if storage.is_remote(root):
        return
    for top in (RUN, slice_name):
        folder = os.path.join(storage.local(root), top)
        below = (os.path.join(place, name) for place, names, _ in os.walk(folder) for name in names)
        for path in [folder, *below]:
            if os.path.islink(path):
                raise UsageError(
                    f"{path} is a link to {os.path.realpath(path)}, and the run writes and removes there. "
                    "Remove the link, or choose another --root."
                )


def refuse_inputs_inside(root: str, names: Iterable[str], inputs: Sequence[RawFile]) -> None:
    """Raise :class:`UsageError` when a raw file lies, by its real path, in a folder that a run of the slices and jobs
    of those ``names`` writes to."""
    owned = [_real(storage.join(root, name)) + "/" for name in (*names, RUN)]
    for raw in inputs:
        path = _real(raw.path)
        for folder in owned:
            if path.startswith(folder):
                raise UsageError(
                    f"{raw.path} lies in {folder}, which the run writes to and tidies up. "
                    f"Choose another --root, as --root {_beside(root)}, or move the input."
                )


def _real(path: str) -> str:
    return path.rstrip("/") if storage.is_remote(path) else os.path.realpath(storage.local(path))


def _beside(root: str) -> str:
    """A folder beside the root, to name in a message."""
    place = root.rstrip("/")
    return "out" if place in ("", ".", "..") else f"{place}-out"
