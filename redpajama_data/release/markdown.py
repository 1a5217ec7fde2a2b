"""Tables and values in Markdown, whatever they hold."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import Any


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; what a cell must not hold is spelled otherwise."""
    lines = [heads, ["---"] * len(heads), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|")


def one_line(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;")


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list | set | frozenset) else value


def shown(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(shown(item) for item in value) or "none"
    if isinstance(value, str) and "/" in value and " " not in value:
        return posixpath.basename(value.rstrip("/"))  # where a model lay on the machine that ran is nobody's business
    return "none" if value is None else str(value)
