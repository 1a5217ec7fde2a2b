"""Models and tokenizers by name or path: fetched when they are not here, verified, and where they lie on this machine.

Start at :func:`resolve`; :data:`redpajama_data.models.known.REGISTRY` has the names. A model by path is always possible
instead of a name. Every file is verified by SHA-256 when it is fetched and again whenever it is resolved.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from redpajama_data.errors import MissingModel, StorageError
from redpajama_data.io import storage
from redpajama_data.io.private import make_private, user_cache
from redpajama_data.models.fetch import SourceError, fetch_file
from redpajama_data.models.known import REGISTRY, Model
from redpajama_data.models.model_file import ModelFile

_BY_ANY_NAME = REGISTRY | {alias: model for model in REGISTRY.values() for alias in model.aliases}


# ------------------------------------------------------------------------------------------------ using


def resolve(name_or_path: str) -> ModelFile:
    """The local file of a model, verified, with its SHA-256; fetched first when it is not in the cache.

    A name of the registry (or an alias) wins; anything else that exists or holds a path separator is a path (write
    ``./lid.176.ftz`` for a file that is called like a model). With RPJ_OFFLINE=1 nothing is fetched.
    Raises :class:`MissingModel`, naming each source that was tried with its answer, and the next command.
    """
    model = _BY_ANY_NAME.get(name_or_path)
    if model is None:
        return _at_path(name_or_path)
    path = os.path.join(cache_dir(), model.file_name)
    state, sha256 = _look(model, path)
    if state == "cached":
        return ModelFile(path, sha256)
    return fetch(model.name)


def fetch(name: str) -> ModelFile:
    """Fetch a model of the registry into the cache, whatever is there, and return the verified file.

    The sources are tried in order; the old file stays until a new one is whole and verified.
    Raises :class:`MissingModel` as :func:`resolve` does.
    """
    model = lookup(name)
    path = os.path.join(cache_dir(), model.file_name)
    state, recorded = _look(model, path)
    if _offline():
        raise MissingModel(
            f"{model.name} is {state} in {cache_dir()}, and RPJ_OFFLINE is set. Run on a machine with a network: "
            f"rpj models fetch {model.name}, then copy the file to {path}; or give a model by its path."
        )
    expected = model.sha256 or recorded or None
    if not os.environ.get("RPJ_CACHE"):
        make_private(cache_dir())  # one that is new; whoever shares a folder with others makes it, and names it
    answers = []
    for source in model.sources:
        try:
            sha256 = fetch_file(source, path, sha256=expected, size=model.size)
        except SourceError as error:
            answers.append(f"\n  {source}: {error}")
            continue
        except StorageError as error:
            raise _no_cache(error) from error
        if model.sha256 is None:
            _write_record(path, sha256, model)
        return ModelFile(path, sha256)
    known = f" (SHA-256 {expected})" if expected else ""
    changed = f" Did its publisher change it? Then delete {_record(path)}." if recorded and not model.sha256 else ""
    raise MissingModel(
        f"{model.name} could not be fetched:{''.join(answers)}\nTry again: rpj models fetch {model.name}. "
        f"Or get the file elsewhere and copy it to {path}{known}, or give its path.{changed}"
    )


def lookup(name: str) -> Model:
    """The entry of a name or alias. Raises :class:`MissingModel` with the nearest names."""
    if name not in _BY_ANY_NAME:
        raise _unknown(name)
    return _BY_ANY_NAME[name]


def cached_path(name: str) -> str:
    """Where a model of the registry lies in the cache, verified. Raises :class:`MissingModel` when it is not there."""
    model = lookup(name)
    path = os.path.join(cache_dir(), model.file_name)
    state, _ = _look(model, path)
    if state != "cached":
        raise MissingModel(f"{model.name} is {state} ({path}). Fetch it: rpj models fetch {model.name}")
    return path


def cache_dir() -> str:
    """Where fetched models lie: $RPJ_CACHE, else the user's cache folder. Raises :class:`MissingModel` for a user who
    has neither."""
    folder = os.environ.get("RPJ_CACHE") or user_cache()
    if folder is None:
        raise MissingModel(
            "this user has no home, so there is no folder for models. Set RPJ_CACHE to one, or give models by their "
            "path."
        )
    return folder


# ------------------------------------------------------------------------------------------------ listing

State = Literal["absent", "cached", "damaged"]


@dataclass(frozen=True)
class ModelState:
    """A model of the registry on this machine. ``trust`` says what the SHA-256 rests on."""

    model: Model
    path: str
    state: State
    sha256: str | None
    trust: str


def list_models() -> Iterator[ModelState]:
    """Every model of the registry, with its state in the cache (files that are there are hashed)."""
    for model in REGISTRY.values():
        path = os.path.join(cache_dir(), model.file_name)
        state, sha256 = _look(model, path)
        if model.sha256:
            trust = "SHA-256 in the registry"
        elif sha256:
            trust = "SHA-256 recorded on first fetch"
        else:
            trust = "no published SHA-256: the first fetch is trusted and recorded"
        yield ModelState(model, path, state, model.sha256 or sha256 or None, trust)


# ------------------------------------------------------------------------------------------------ inside


def _look(model: Model, path: str) -> tuple[State, str]:
    """State of a cached file, and the SHA-256 it has ("cached") or should have ("absent", "damaged"; "" unknown)."""
    recorded = (storage.read_bytes(_record(path)) or b"").decode("ascii", "replace").split()
    expected = model.sha256 or (recorded[0] if recorded else "")
    if not os.path.isfile(path):
        return "absent", expected
    found = sha256_of(path)
    if not expected:  # put there by hand: nothing to hold it against, so it is what the record begins with
        with contextlib.suppress(MissingModel):  # a cache that others keep may be read-only
            _write_record(path, found, model)
    return ("cached", found) if found == (expected or found) else ("damaged", expected)


def _write_record(path: str, sha256: str, model: Model) -> None:
    try:
        storage.write_bytes(_record(path), f"{sha256}  {model.file_name}\n".encode())
    except StorageError as error:
        raise _no_cache(error) from error


def _no_cache(error: StorageError) -> MissingModel:
    """A cache that cannot be written, with what to do about it: that it is not the root's folder, nobody can guess."""
    cause = error.__cause__
    said = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
    return MissingModel(
        f"the cache of models, {cache_dir()}, cannot be written ({said}). Set RPJ_CACHE to a folder that can be, with "
        "space for the models, or give models by their path."
    )


def _record(path: str) -> str:
    return path + ".sha256"  # in the form that `sha256sum -c` reads


def _at_path(path: str) -> ModelFile:
    if os.path.isfile(path):
        return ModelFile(os.path.abspath(path), sha256_of(path))
    if os.path.exists(path):
        raise MissingModel(f"{path}: not a file. Give the path of the model file itself.")
    if os.sep in path or (os.altsep and os.altsep in path):
        raise MissingModel(f"{path}: no such file. Check the path, or give a name of: rpj models list")
    raise _unknown(path)


def _unknown(name: str) -> MissingModel:
    near = difflib.get_close_matches(name, _BY_ANY_NAME, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return MissingModel(f"{name}: no model of that name, and no such file.{hint} See: rpj models list")


def _offline() -> bool:
    return os.environ.get("RPJ_OFFLINE", "") not in ("", "0")


def sha256_of(path: str) -> str:
    """SHA-256 (hex) of a local file; asked again for an unchanged file (size and mtime), it is not read again.

    Raises :class:`MissingModel` for a file that cannot be read.
    """
    try:
        info = os.stat(path)
        return _sha256(path, info.st_size, info.st_mtime_ns)
    except OSError as error:
        raise MissingModel(
            f"{path}: cannot be read ({error.strerror}). Give this user the right to read it, or name another file."
        ) from error


@functools.lru_cache(maxsize=256)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
