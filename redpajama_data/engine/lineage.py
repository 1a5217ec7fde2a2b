"""What a task's work is made of, as a hash: the ground on which a finished task is trusted or done again."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

import msgspec

from redpajama_data.dedup.file_parts import FilePart
from redpajama_data.models.model_file import ModelFile

LONG = 1000  # a list from so many elements on stands as its hash: every range of keys reads every shard's file
_PLAIN = frozenset((type(None), bool, int, float, str))  # by far the most; a look here is a fifth of an isinstance


class Known:
    """What is known from the tasks of a stage that were described before.

    The hashes of long lists that they share: each is described once, not once a task. Of the same lists every task has
    the same lineage, with it or without it. ``models`` are those that tasks have bound, at any depth.
    """

    def __init__(self) -> None:
        self.models: set[ModelFile] = set()
        self._found: dict[int, tuple[object, str]] = {}  # by identity; the list is held, so that it stays its own

    def hash_of(self, values: list[Any] | tuple[Any, ...]) -> str:
        """The hash of a long list."""
        if id(values) not in self._found:
            described = _encoded([describe(item, self) for item in values])
            self._found[id(values)] = values, hashlib.sha256(described).hexdigest()
        return self._found[id(values)][1]


def describe(value: Any, known: Known | None = None) -> Any:
    """Plain data that says all a work function depends on: qualified names and bound arguments, models by their hash.

    Raises TypeError for a lambda, a closure or an object whose content cannot be named: two of them could differ
    without the fingerprint showing it.
    """
    if type(value) in _PLAIN or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, ModelFile):
        if known is not None:
            known.models.add(value)
        return {"model": value.sha256}
    if isinstance(value, FilePart):  # what is said there, wherever it stands
        return {"part": value.sha256}
    if isinstance(value, functools.partial):
        return {
            "call": describe(value.func, known),
            "args": [describe(arg, known) for arg in value.args],
            "named": {name: describe(arg, known) for name, arg in sorted(value.keywords.items())},
        }
    if isinstance(value, types.FunctionType | type | types.BuiltinFunctionType):
        if "<" in value.__qualname__:
            raise TypeError(f"{value.__module__}.{value.__qualname__}: a step must be a named module-level function")
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Mapping):
        return {"map": [[describe(key, known), describe(item, known)] for key, item in value.items()]}
    if isinstance(value, set | frozenset):
        return {"set": sorted((describe(item, known) for item in value), key=repr)}
    if isinstance(value, list | tuple):
        if len(value) >= LONG:
            return {"list": (known or Known()).hash_of(value)}
        return [describe(item, known) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: describe(getattr(value, f.name), known) for f in dataclasses.fields(value)}
        return {"record": type(value).__qualname__, "fields": fields}
    raise TypeError(f"{type(value).__qualname__} has no fingerprint: bind plain data, functions or model files")


def lineage(*parts: Any, known: Known | None = None) -> str:
    """SHA-256 (hex) over the descriptions of ``parts``."""
    return hashlib.sha256(_encoded([describe(part, known) for part in parts])).hexdigest()


def _encoded(described: list[Any]) -> bytes:
    return msgspec.json.encode(described, order="deterministic")
