"""Conditions on a document written as data: ``rps_doc_word_count >= 50 and meta.language == "en"``.

The language is Python's for expressions, cut down to comparisons, ``and or not in``, ``+ - * / %`` on numbers, and
names. Python's own parser reads it, simpleeval evaluates it with the operators given here, so that nothing can be
called or reached, and no value grows: an evaluation takes as many steps as the expression has parts. Every operator is
total: a value that is missing, null or of another type never stops a run.

- A name that is missing is ``null``. ``null`` equals only ``null``; ``< <= > >=`` with it are false.
- ``< <= > >=`` between values of different types (a text and a number) are false. ``true`` counts as 1.
- ``x in [..]`` (constants), ``x in meta.list``, and ``"part" in meta.url`` (a piece of a text); else false.
  ``not in`` is the opposite of ``in``, ``!=`` of ``==``.
- Arithmetic is in floating point; with anything but numbers, and divided by 0, it is ``null``.
- A name alone is a condition: false for ``null``, ``false``, 0, ``""`` and an empty list.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import simpleeval  # type: ignore[import-untyped]

from filters.where_operators import ARITHMETIC, COMPARISONS, UNARY, plain
from filters.where_syntax import ConditionReader

MAX_SHOWN = 200  # characters of a text, and items of a list, that the ledger shows


@dataclass(frozen=True)
class Condition:
    """A condition that was read. ``signals``, ``paths`` (name to keys into the meta) and ``keys`` (the first of each)
    are what it needs to know."""

    expression: str
    signals: frozenset[str]
    paths: Mapping[str, tuple[str, ...]]
    keys: tuple[str, ...]
    names: tuple[str, ...]
    tree: ast.expr = field(repr=False)
    evaluator: Any = field(repr=False)

    def values(self, text: str, meta: Mapping[str, Any], signals: Mapping[str, Any]) -> dict[str, Any]:
        """The value of each name that the condition uses, in order of first use. ``signals`` has those it asks for."""
        values: dict[str, Any] = {}
        for name in self.names:
            path = self.paths.get(name)
            if path is not None:
                values[name] = plain(_at(meta, path))
            elif name == "text_length":
                values[name] = len(text)
            else:
                values[name] = signals.get(name)
        return values

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the condition is true of :meth:`values`. Raises nothing."""
        self.evaluator.names = values
        return bool(self.evaluator.eval(self.expression, self.tree))


def shown_values(values: Mapping[str, Any]) -> str:
    """The values of :meth:`Condition.values` as compact JSON for the ledger; long texts and lists are cut."""
    shown = {name: value[:MAX_SHOWN] if isinstance(value, str | list) else value for name, value in values.items()}
    return msgspec.json.encode(shown).decode()


def _at(meta: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = meta
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


_NODES = (ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Name, ast.Constant)


def _evaluator() -> Any:
    """simpleeval with these operators, no functions, and only the kinds of nodes that the reader lets through."""
    evaluator = simpleeval.SimpleEval(operators={**COMPARISONS, **ARITHMETIC, **UNARY}, functions={}, names={})
    evaluator.nodes = {kind: evaluator.nodes[kind] for kind in _NODES}
    return evaluator


@functools.lru_cache(maxsize=16)
def read_condition(expression: str, signals: frozenset[str]) -> Condition:
    """Read a condition; ``signals`` are the names it may use beside ``text_length`` and ``meta.FIELD``.

    Raises :class:`UsageError` that shows the place, what was expected there, and an example.
    """
    reader = ConditionReader(expression, signals)
    tree = reader.condition(reader.parse(), 0)
    names = tuple(reader.used)
    paths = {name: path for name, path in reader.used.items() if path}
    keys = tuple(dict.fromkeys(path[0] for path in paths.values()))
    return Condition(expression, frozenset(names) & signals, paths, keys, names, tree, _evaluator())
