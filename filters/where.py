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
import difflib
import functools
import json
import operator
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import simpleeval  # type: ignore[import-untyped]

from redpajama_data.errors import UsageError

MAX_EXPRESSION = 20_000  # characters: a list of a thousand domains
MAX_DEPTH = 50  # operators inside each other; people write under ten
MAX_SHOWN = 200  # characters of a text, and items of a list, that the ledger shows
EXAMPLE = (
    'rps_doc_word_count >= 50 and (meta.language == "en" or meta.language in ["de", "fr"]) and not text_length > 1e6'
)

_CONSTANTS = {"true": True, "false": False, "null": None}
_Scalar = (str, int, float, bool, type(None))


class _Choices:
    """The constants right of ``in``, looked up in one step. No list: simpleeval would walk one at every evaluation."""

    def __init__(self, items: Collection[Any]) -> None:
        self.items = frozenset(items)

    def __contains__(self, item: object) -> bool:
        return item in self.items


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
        found: dict[str, Any] = {}
        for name in self.names:
            path = self.paths.get(name)
            if path is not None:
                found[name] = _plain(_at(meta, path))
            elif name == "text_length":
                found[name] = len(text)
            else:
                found[name] = signals.get(name)
        return found

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


def _plain(value: Any) -> Any:
    """A scalar, or a list of those among its items; null for objects. Integers beyond 64 bits become floats."""
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, list):
        return [_plain(item) for item in value if isinstance(item, _Scalar)]
    return value if isinstance(value, _Scalar) else None


# ------------------------------------------------------------------------------------------------ operators


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def total(left: Any, right: Any) -> bool:
        try:
            return compare(left, right)
        except TypeError:
            return False

    return total


def _arithmetic(calculate: Callable[[float, float], float]) -> Callable[[Any, Any], float | None]:
    def total(left: Any, right: Any) -> float | None:
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            return None
        try:
            return calculate(float(left), float(right))
        except (OverflowError, ZeroDivisionError):
            return None

    return total


def _contains(item: Any, place: Any) -> bool:
    try:
        return item in place
    except TypeError:
        return False


_COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: _contains,
    ast.NotIn: lambda item, place: not _contains(item, place),
}
_ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: _arithmetic(operator.add),
    ast.Sub: _arithmetic(operator.sub),
    ast.Mult: _arithmetic(operator.mul),
    ast.Div: _arithmetic(operator.truediv),
    ast.Mod: _arithmetic(operator.mod),
}


def _negative(value: Any) -> Any:
    return -value if isinstance(value, int | float) else None


_UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {ast.Not: operator.not_, ast.USub: _negative}
_NODES = (ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Name, ast.Constant)


def _evaluator() -> Any:
    """simpleeval with these operators, no functions, and only the kinds of nodes that :class:`_Reader` lets through."""
    made = simpleeval.SimpleEval(operators={**_COMPARISONS, **_ARITHMETIC, **_UNARY}, functions={}, names={})
    made.nodes = {kind: made.nodes[kind] for kind in _NODES}
    return made


# ------------------------------------------------------------------------------------------------ reading


@functools.lru_cache(maxsize=16)
def read_condition(expression: str, signals: frozenset[str]) -> Condition:
    """Read a condition; ``signals`` are the names it may use beside ``text_length`` and ``meta.FIELD``.

    Raises :class:`UsageError` that shows the place, what was expected there, and an example.
    """
    reader = _Reader(expression, signals)
    tree = reader.condition(reader.parse(), 0)
    names = tuple(reader.used)
    paths = {name: path for name, path in reader.used.items() if path}
    keys = tuple(dict.fromkeys(path[0] for path in paths.values()))
    return Condition(expression, frozenset(names) & signals, paths, keys, names, tree, _evaluator())


class _Reader:
    """Goes through Python's syntax tree once: refuses what is not in the language, makes each access of the meta one
    name, and notes the names in ``used`` with their path into the meta."""

    def __init__(self, expression: str, signals: frozenset[str]) -> None:
        self.expression, self.signals = expression.replace("\r\n", "\n").replace("\r", "\n"), signals
        self.lines = self.expression.split("\n")
        self.used: dict[str, tuple[str, ...]] = {}

    def parse(self) -> ast.expr:
        if len(self.expression) > MAX_EXPRESSION:
            raise self.refuse(f"it has {len(self.expression):,} characters, the most are {MAX_EXPRESSION:,}")
        if not self.expression.strip():
            raise self.refuse("it is empty")
        try:
            # In brackets of their own lines: line breaks and comments of a YAML file then mean nothing.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an unknown escape in a text
                tree = ast.parse(f"(\n{self.expression}\n)", mode="eval").body
        except SyntaxError as error:
            raise self.refuse(error.msg, (error.lineno or 2) - 2, max(0, (error.offset or 1) - 1)) from None
        except ValueError:
            raise self.refuse("it has a character that no text may have") from None
        except (RecursionError, MemoryError):
            raise self.refuse("its parts are nested too deep") from None
        if tree.lineno < 2:  # it begins at the bracket around it: "a) or (b"
            raise self.refuse("a bracket is closed that was not opened")
        return tree

    def condition(self, node: ast.expr, depth: int) -> ast.expr:
        """Something that is true or false."""
        self.check_depth(node, depth)
        match node:
            case ast.BoolOp():
                return ast.BoolOp(node.op, [self.condition(value, depth + 1) for value in node.values])
            case ast.UnaryOp(op=ast.Not()):
                return ast.UnaryOp(node.op, self.condition(node.operand, depth + 1))
            case ast.Compare():
                parts = [self.value(node.left, depth + 1)]
                for op, right in zip(node.ops, node.comparators, strict=True):
                    if type(op) not in _COMPARISONS:
                        raise self.refuse_node("is is not part of the language; use ==", right)
                    if isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple | ast.Set):
                        parts.append(self.choices(right))
                    else:
                        parts.append(self.value(right, depth + 1))
                return ast.Compare(parts[0], node.ops, parts[1:])
            case ast.Name() | ast.Attribute() | ast.Subscript() | ast.Constant():
                found = self.value(node, depth)
                if not isinstance(found, ast.Constant) or isinstance(found.value, bool):
                    return found
        self.value(node, depth)  # says what is wrong with what is not in the language at all
        raise self.refuse_node("a condition is expected here, as meta.language == 'en'", node)

    def value(self, node: ast.expr, depth: int) -> ast.expr:
        """Something that can be compared."""
        self.check_depth(node, depth)
        match node:
            case ast.Constant(value=str() | int() | float() | None):
                return ast.Constant(_plain(node.value))
            case ast.Name(id=name) if name in _CONSTANTS:
                return ast.Constant(_CONSTANTS[name])
            case ast.Name(id=name):
                if name != "text_length" and name not in self.signals:
                    raise self.refuse_name(name, node)
                self.used[name] = ()
                return ast.Name(name, ast.Load())
            case ast.Attribute() | ast.Subscript():
                path = self.path(node)
                name = "meta" + "".join(f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]" for key in path)
                self.used[name] = path
                return ast.Name(name, ast.Load())
            case ast.UnaryOp(op=ast.USub()):
                operand = self.value(node.operand, depth + 1)
                if isinstance(operand, ast.Constant):
                    return ast.Constant(_negative(operand.value))
                return ast.UnaryOp(node.op, operand)
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                return ast.BinOp(self.value(node.left, depth + 1), node.op, self.value(node.right, depth + 1))
            case ast.List() | ast.Tuple() | ast.Set():
                raise self.refuse_node("a list stands right of in, and nowhere else", node)
            case ast.BoolOp() | ast.Compare():
                raise self.refuse_node("a value is expected here, not a condition", node)
        raise self.refuse_node(f"{_KINDS.get(type(node), type(node).__name__)} is not part of the language", node)

    def choices(self, node: ast.List | ast.Tuple | ast.Set) -> ast.expr:
        constants = []
        for item in node.elts:
            read = self.value(item, 0)
            if not isinstance(read, ast.Constant):
                raise self.refuse_node("a list has constants only", item)
            constants.append(read.value)
        return ast.Constant(cast(Any, _Choices(constants)))

    def path(self, node: ast.expr) -> tuple[str, ...]:
        """The keys of ``meta.a.b`` or ``meta["a"].b``."""
        keys: list[str] = []
        at = node
        while isinstance(at, ast.Attribute | ast.Subscript):
            if isinstance(at, ast.Attribute):
                keys.append(at.attr)
            elif isinstance(at.slice, ast.Constant) and isinstance(at.slice.value, str):
                keys.append(at.slice.value)
            else:
                raise self.refuse_node('only a name stands in brackets, as meta["date download"]', at.slice)
            at = at.value
        if not isinstance(at, ast.Name) or at.id != "meta":
            raise self.refuse_node("only meta has fields", at)
        return tuple(reversed(keys))

    # -------------------------------------------------------------------------------------------- refusing

    def check_depth(self, node: ast.expr, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self.refuse_node(f"more than {MAX_DEPTH} operators are inside each other", node)

    def refuse_name(self, name: str, node: ast.expr) -> UsageError:
        if name == "meta":
            return self.refuse_node("meta needs a field, as meta.language", node)
        if name.startswith("rps_lines_"):
            return self.refuse_node(f"{name} has a value a line, not one a document", node)
        known = ["text_length", *sorted(self.signals)]
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return self.refuse_node(f"unknown name {name}.{hint} Known: meta.FIELD, {', '.join(known)}", node)

    def refuse_node(self, reason: str, node: ast.expr) -> UsageError:
        line = self.lines[node.lineno - 2] if node.lineno >= 2 else ""
        return self.refuse(reason, node.lineno - 2, len(line.encode()[: node.col_offset].decode(errors="ignore")))

    def refuse(self, reason: str, line: int | None = None, column: int = 0) -> UsageError:
        """The error, with the place (from 0) marked. A place beyond the expression is that of a bracket around it."""
        shown = ""
        if line is not None:
            line, column = (line, column) if 0 <= line < len(self.lines) else (0, 0)
            start = max(0, column - 60)
            shown = f" (line {line + 1}, character {column + 1})\n  {self.lines[line][start : start + 100]}\n"
            shown += f"  {' ' * (column - start)}^"
        return UsageError(
            f"the condition cannot be read: {reason}{shown}\nWrite comparisons joined with and, or, not: {EXAMPLE}"
        )


_KINDS: dict[type[ast.AST], str] = {
    ast.Call: "a call",
    ast.Lambda: "a function",
    ast.IfExp: "if",
    ast.ListComp: "a loop",
    ast.SetComp: "a loop",
    ast.DictComp: "a loop",
    ast.GeneratorExp: "a loop",
    ast.Dict: "an object",
    ast.JoinedStr: "a text with braces",
    ast.NamedExpr: "an assignment",
    ast.BinOp: "this operator",
    ast.UnaryOp: "this operator",
    ast.Constant: "this constant",
}
