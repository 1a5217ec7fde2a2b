"""The direction of imports: command line -> slices -> filters -> redpajama_data; slices do not import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
MODULES = sorted(path for name in ("redpajama_data", "slices", "filters") for path in (TOP / name).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_imports_run_one_way(path: Path) -> None:
    package, names = path.relative_to(TOP).parts[0], imported(path)
    forbidden = {"redpajama_data": ("slices", "filters"), "filters": ("slices",), "slices": ()}[package]
    if path == TOP / "redpajama_data" / "cli.py" or path.parent == TOP / "redpajama_data" / "commands":
        forbidden = ()
    assert not [name for name in names if name.split(".")[0] in forbidden]


def test_slices_do_not_import_each_other() -> None:
    from slices import NAMES

    for name in NAMES:
        others = {f"slices.{other}" for other in NAMES if other != name}
        assert not imported(TOP / "slices" / f"{name}.py") & others
