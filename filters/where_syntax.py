"""Reads the conditions of :mod:`filters.where`: what is not in the language is refused, with its place."""

from __future__ import annotations

import ast
import difflib
import json
import warnings
from typing import Any, cast

from filters.where_operators import ARITHMETIC, COMPARISONS, Choices, negative, plain
from redpajama_data.errors import UsageError

MAX_EXPRESSION = 20_000  # characters: a list of a thousand domains
MAX_DEPTH = 50  # operators inside each other; people write under ten
EXAMPLE = (
    'rps_doc_word_count >= 50 and (meta.language == "en" or meta.language in ["de", "fr"]) and not text_length > 1e6'
)

_CONSTANTS = {"true": True, "false": False, "null": None}


class ConditionReader:
    """Goes through Python's syntax tree once: refuses what is not in the language, makes each access of the meta one
    name, and notes the names in ``used`` with their path into the meta."""

    def __init__(self, expression: str, signals: frozenset[str]) -> None:
        self.expression, self.signals = expression.replace("\r\n", "\n").replace("\r", "\n"), signals
        self.lines = self.expression.split("\n")
        self.used: dict[str, tuple[str, ...]] = {}

    def parse(self) -> ast.expr:
        """Python's tree of the expression. Raises :class:`UsageError`, as all of these do."""
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
                    if type(op) not in COMPARISONS:
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
                return ast.Constant(plain(node.value))
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
                    return ast.Constant(negative(operand.value))
                return ast.UnaryOp(node.op, operand)
            case ast.BinOp() if type(node.op) in ARITHMETIC:
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
        return ast.Constant(cast(Any, Choices(constants)))

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
