"""What a task's work is made of, as a hash: the ground on which a finished task is trusted or done again."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

import msgspec

from redpajama_data.dedup.copies import Copies
from redpajama_data.models.model_file import ModelFile


def describe(value: Any) -> Any:
    """Plain data that says all a work function depends on: qualified names and bound arguments, models by their hash.

    Raises TypeError for a lambda, a closure or an object whose content cannot be named: two of them could differ
    without the fingerprint showing it.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, ModelFile):
        return {"model": value.sha256}
    if isinstance(value, Copies):  # what is said there, wherever it stands
        return {"copies": value.sha256}
    if isinstance(value, functools.partial):
        return {
            "call": describe(value.func),
            "args": [describe(arg) for arg in value.args],
            "named": {name: describe(arg) for name, arg in sorted(value.keywords.items())},
        }
    if isinstance(value, types.FunctionType | type | types.BuiltinFunctionType):
        if "<" in value.__qualname__:
            raise TypeError(f"{value.__module__}.{value.__qualname__}: a step must be a named module-level function")
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Mapping):
        return {"map": [[describe(key), describe(item)] for key, item in value.items()]}
    if isinstance(value, set | frozenset):
        return {"set": sorted((describe(item) for item in value), key=repr)}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"record": type(value).__qualname__, "fields": fields}
    raise TypeError(f"{type(value).__qualname__} has no fingerprint: bind plain data, functions or model files")


def models_of(work: Any) -> set[ModelFile]:
    """The models that a work function has bound, at any depth of what :func:`describe` describes."""
    if isinstance(work, ModelFile):
        return {work}
    parts: list[Any] = []
    if isinstance(work, functools.partial):
        parts = [work.func, *work.args, *work.keywords.values()]
    elif isinstance(work, Mapping):
        parts = [*work.keys(), *work.values()]
    elif isinstance(work, set | frozenset | list | tuple):
        parts = list(work)
    elif dataclasses.is_dataclass(work) and not isinstance(work, type):
        parts = [getattr(work, f.name) for f in dataclasses.fields(work)]
    return set().union(*map(models_of, parts))


def lineage(*parts: Any) -> str:
    """SHA-256 (hex) over the descriptions of ``parts``."""
    return hashlib.sha256(msgspec.json.encode([describe(part) for part in parts], order="deterministic")).hexdigest()
