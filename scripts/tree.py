"""The annotated tree in redpajama_data/docs/layout.md, made from the first sentence of every module.

python scripts/tree.py            print it
python scripts/tree.py --write    put it into layout.md, after modules came, went or moved
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LAYOUT = TOP / "redpajama_data" / "docs" / "layout.md"
PACKAGES = ("redpajama_data", "slices", "filters")
WIDTH = 118  # characters of a line
_SPAN = re.compile(r"(<!-- tree -->\n```\n).*?(```\n<!-- end of tree -->)", re.DOTALL)


def about(path: Path) -> str:
    """The first sentence of what a module, or a C file, says of itself."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
    else:
        comment = re.match(r"\s*/\*+(.*?)\*/", text, re.DOTALL)
        said = re.sub(r"^ *\* ?", "", comment[1], flags=re.MULTILINE).strip() if comment else ""
    paragraph = " ".join(said.split("\n\n")[0].split())
    sentence = re.match(r".*?\.(?= |$)", paragraph)
    plain = re.sub(r":\w+:`~?([^`]*)`|``([^`]*)``", lambda m: m[1] or m[2], sentence[0] if sentence else paragraph)
    return plain.rstrip(".")


def lines(folder: Path, depth: int = 0) -> Iterator[str]:
    """A folder: its own line, its modules, its folders."""
    own = folder / "__init__.py"
    yield _line(f"{folder.name}/", about(own) if own.exists() else "", depth)
    entries = sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name))
    for path in entries:
        if path.suffix in (".py", ".c", ".h") and path != own:
            yield _line(path.name, about(path), depth + 1)
        elif path.is_dir() and any(path.glob("*.py")):
            yield from lines(path, depth + 1)


def _line(name: str, text: str, depth: int) -> str:
    left = f"{'  ' * depth}{name}"
    return textwrap.fill(text, WIDTH, initial_indent=f"{left:26}  ", subsequent_indent=" " * 28) if text else left


def tree() -> str:
    """All packages."""
    return "".join(f"{line.rstrip()}\n" for name in PACKAGES for line in lines(TOP / name))


def with_tree(document: str) -> str:
    """The document with the tree in its place."""
    return _SPAN.sub(lambda span: span[1] + tree() + span[2], document)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        LAYOUT.write_text(with_tree(LAYOUT.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(tree(), end="")
