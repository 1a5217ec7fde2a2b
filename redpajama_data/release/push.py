"""Uploads a release to the Hugging Face hub: every file is checked against its checksum before and after."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redpajama_data.engine.slice_run import slices_of
from redpajama_data.errors import MissingModel, StorageError, UsageError
from redpajama_data.io import storage
from redpajama_data.release.folder import CARD, CROISSANT, SOURCE
from redpajama_data.release.stages import DATA
from redpajama_data.reports import manifest

_READ = 1 << 20


@dataclass(frozen=True)
class LocalFile:
    """A file of a release: its size, SHA-256, and the hash that git has for it, by which the hub knows small ones."""

    bytes: int
    sha256: str
    git: str


@dataclass
class Pushed:
    """What came of an upload: the repository's address, the files that are there as they are here, how many of them
    were there before, and the ones that were removed there, as the release has them no more."""

    url: str
    files: dict[str, LocalFile] = field(default_factory=dict)
    there_before: int = 0
    removed: list[str] = field(default_factory=list)


def listed(folder: str) -> dict[str, int]:
    """The files of a release that are uploaded, with their sizes: what its receipts name, and what stands beside them.
    Nothing else of the folder. Raises :class:`UsageError` when it is no finished release."""
    if storage.is_remote(folder):
        raise UsageError(f"{folder}: only a release on a disk can be uploaded. Copy it there first.")
    if any(not note.finished for note in slices_of(folder)):
        raise UsageError(f"{folder}: the release is not finished. Run rpj release again, then push.")
    found = {shard.path: shard.bytes for shard in manifest.build(folder).shards if shard.path.startswith(f"{DATA}/")}
    for name in (CARD, CROISSANT, SOURCE):
        path = storage.join(folder, name)
        if not os.path.isfile(storage.local(path)):
            raise UsageError(f"{path} is not there: the release is not finished. Run rpj release again, then push.")
        found[name] = os.path.getsize(storage.local(path))
    return found


def push(
    folder: str, repository: str, *, private: bool = False, endpoint: str | None = None, say: Callable[[str], None]
) -> Pushed:
    """Upload a release to a data set repository of the hub, which is made if it is not there.

    Goes on where an earlier upload was ended: what is there already, by its hash, is not sent again. Raises
    :class:`MissingModel` without the library, :class:`UsageError` for a folder whose files are not what its receipts
    say, :class:`StorageError` when the hub refuses, or holds something else afterwards.
    """
    hub = _library()
    names = listed(folder)
    say(f"checking {len(names):,} files")
    files = _checked(folder, names)
    api = hub.HfApi(endpoint=endpoint)
    try:
        url = api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        before = _remote(api, repository)
        missing = [name for name, file in files.items() if not _same(before.get(name), file)]
        pushed = Pushed(str(url), files, len(files) - len(missing))
        if missing:
            say(f"uploading {len(missing):,} files, {sum(files[name].bytes for name in missing):,} bytes")
            _upload(api, repository, folder, missing)
        stale = sorted(name for name in before if name.startswith(f"{DATA}/") and name not in files)
        if stale:
            api.delete_files(repository, stale, repo_type="dataset", commit_message="Remove what is gone")
        pushed.removed = stale
        after = _remote(api, repository)
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise StorageError(
            f"{repository}: {str(error).strip().splitlines()[0]}. Check hf auth login and the network, then run the "
            "same command again: it goes on where it was."
        ) from error
    wrong = [name for name, file in files.items() if not _same(after.get(name), file)]
    if wrong:
        raise StorageError(
            f"{repository}: {len(wrong)} files are not there as they are here ({wrong[0]} ...). "
            "Run the same command again."
        )
    return pushed


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise MissingModel(
            f"--push needs huggingface-hub ({error}). Install it: pip install 'redpajama-data[hf]'"
        ) from error
    return huggingface_hub


def _checked(folder: str, names: Mapping[str, int]) -> dict[str, LocalFile]:
    """The files with their hashes, when those are what the receipts say."""
    said = {shard.path: shard.sha256 for shard in manifest.build(folder).shards}
    found = {}
    for name, size in names.items():
        path = storage.join(folder, name)
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
        with storage.open_input(path) as file:
            while data := file.read(_READ):
                sha256.update(data)
                git.update(data)
        if sha256.hexdigest() != said.get(name, sha256.hexdigest()):
            raise UsageError(f"{path} is not what its receipt says. Delete it, run rpj release again, then push.")
        found[name] = LocalFile(size, sha256.hexdigest(), git.hexdigest())
    return found


def _upload(api: Any, repository: str, folder: str, names: Iterable[str]) -> None:
    """By the library's upload for large folders: in batches of files, each a commit, resumed by what is there. Until
    version 1 it had a name of its own, from 2 on the common one does it."""
    given = {"repo_id": repository, "folder_path": storage.local(folder), "repo_type": "dataset"}
    patterns = [_literal(name) for name in names]
    if hasattr(api, "upload_large_folder"):
        api.upload_large_folder(**given, allow_patterns=patterns, print_report=False)
    else:
        api.upload_folder(**given, allow_patterns=patterns, commit_message="Release")


def _literal(name: str) -> str:
    """A pattern that is the name and nothing else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _remote(api: Any, repository: str) -> dict[str, Any]:
    tree = api.list_repo_tree(repository, recursive=True, repo_type="dataset")
    return {entry.path: entry for entry in tree if hasattr(entry, "size")}


def _same(entry: Any, file: LocalFile) -> bool:
    """Whether what the hub says of a file is said of this one: of large files it gives the SHA-256, else git's hash."""
    if entry is None or entry.size != file.bytes:
        return False
    lfs = getattr(entry, "lfs", None)
    return bool(lfs.sha256 == file.sha256) if lfs is not None else bool(entry.blob_id == file.git)
