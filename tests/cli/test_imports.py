"""The direction of imports: a room imports only rooms below it. ``python tests/cli/test_imports.py`` prints them."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("redpajama_data", "slices", "filters")
MODULES = sorted(path for name in PACKAGES for path in (TOP / name).rglob("*.py"))

FLOORS = (  # from the ground up; rooms of one floor do not import each other
    ("redpajama_data.errors",),
    ("redpajama_data.document", "redpajama_data.yaml_file"),
    ("redpajama_data.io", "redpajama_data.config"),
    ("redpajama_data.download", "redpajama_data.dedup", "redpajama_data.defaults"),
    ("redpajama_data.models",),
    ("redpajama_data.engine", "filters"),
    ("redpajama_data.pipeline", "slices.readers"),
    ("redpajama_data.corpus", "slices.parts"),
    ("redpajama_data.reports", "redpajama_data.training", "redpajama_data.sample"),
    ("redpajama_data.whole_run",),
    ("redpajama_data.release",),
    ("redpajama_data.report_page",),
    ("redpajama_data.explorer",),
    ("redpajama_data.planning",),
    ("slices",),
    ("slices.jobs",),
    ("redpajama_data.facts",),
    ("redpajama_data.api",),
    ("redpajama_data.cli",),
    ("redpajama_data",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(name: str) -> str:
    """The room of a module by its dotted name: the longest that stands in :data:`FLOORS`."""
    parts = name.split(".")
    return next(room for i in range(len(parts), 0, -1) if (room := ".".join(parts[:i])) in FLOOR)


def imported(path: Path) -> set[str]:
    """Dotted names of the project's modules that a file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in inner if is_module(name)} or {node.module}
    return {name for name in names if name.split(".")[0] in PACKAGES}


def is_module(name: str) -> bool:
    """Whether a dotted name is a module or package of the project."""
    path = TOP.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def dotted(path: Path) -> str:
    """The dotted name of a file."""
    return ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_imports_go_down(path: Path) -> None:
    """No room imports one of its own floor or above."""
    room = room_of(dotted(path))
    others = {name for name in imported(path) if room_of(name) != room}
    assert not [name for name in others if FLOOR[room_of(name)] >= FLOOR[room]]


def test_slices_do_not_import_each_other() -> None:
    from slices import NAMES

    for name in NAMES:
        others = {f"slices.{other}" for other in NAMES if other != name}
        assert not imported(TOP / "slices" / f"{name}.py") & others


if __name__ == "__main__":
    rooms = {path: room_of(dotted(path)) for path in MODULES}
    arrows = Counter((rooms[path], room_of(name)) for path in MODULES for name in imported(path))
    for floor in reversed(FLOORS):
        for room in floor:
            inside = [path for path, its in rooms.items() if its == room]
            lines = sum(len(path.read_text().splitlines()) for path in inside)
            below = sorted({other for one, other in arrows if one == room and other != room}, key=FLOOR.__getitem__)
            print(
                f"{FLOOR[room]:2} {room:24} {len(inside):3} modules {lines:6} lines  on {', '.join(below)}".replace(
                    "redpajama_data.", ""
                )
            )
    between = {pair for pair in arrows if pair[0] != pair[1]}
    print(f"{len(FLOOR)} rooms, {len(FLOORS)} floors, {len(between)} arrows, none upwards")
