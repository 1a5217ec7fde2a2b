"""What the operators of conditions do with values: each is total, so that no document stops a run
(:mod:`filters.where` is the language)."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection
from typing import Any

_Scalar = (str, int, float, bool, type(None))


def plain(value: Any) -> Any:
    """A scalar, or a list of those among its items; null for objects. Integers beyond 64 bits become floats."""
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, list):
        return [plain(item) for item in value if isinstance(item, _Scalar)]
    return value if isinstance(value, _Scalar) else None


class Choices:
    """The constants right of ``in``, looked up in one step. No list: simpleeval would walk one at every evaluation."""

    def __init__(self, items: Collection[Any]) -> None:
        self.items = frozenset(items)

    def __contains__(self, item: object) -> bool:
        return item in self.items


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


COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: _contains,
    ast.NotIn: lambda item, place: not _contains(item, place),
}
ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: _arithmetic(operator.add),
    ast.Sub: _arithmetic(operator.sub),
    ast.Mult: _arithmetic(operator.mul),
    ast.Div: _arithmetic(operator.truediv),
    ast.Mod: _arithmetic(operator.mod),
}


def negative(value: Any) -> Any:
    """Minus a number; null for anything else."""
    return -value if isinstance(value, int | float) else None


UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {ast.Not: operator.not_, ast.USub: negative}
