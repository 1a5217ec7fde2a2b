"""What the embedded sample gave on each Python, side by side: a row for each file that ``golden.py --save`` wrote.

    python scripts/matrix.py FOLDER

Exit status 1 when two differ that have the same Unicode tables, or when a part differs that does not look at them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from textwrap import shorten
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from golden import PATH, Golden, problems

from redpajama_data.engine.environment import UNICODE
from redpajama_data.reports.aligned import aligned

HEAD = ("python", "platform", "Unicode", "shards", "manifest", "against the golden sample")


def content(golden: Golden) -> str:
    """The hash of what was published and counted: equal ones are equal reproductions."""
    return sha256(json.dumps(golden["slices"], sort_keys=True).encode()).hexdigest()[:16]


def row(golden: Golden, kept: Golden) -> tuple[str, ...]:
    """A Python: what it is, and how what it gave differs from the golden sample."""
    made = golden["environment"]
    wrong, untold = problems(kept, golden)
    said = shorten(wrong[0], 60) if wrong else f"{len(untold)} parts differ by Unicode tables" if untold else "the same"
    shards = sum(len(part["shards"]) for part in golden["slices"].values())
    return (made["python"], made["platform"], made[UNICODE], str(shards), content(golden), said)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    files = sorted(parser.parse_args(words).folder.glob("*.json"))
    kept: Any = json.loads(PATH.read_text())
    found = [json.loads(file.read_text()) for file in files]
    if not found:
        print("No Python was tried. Run: make matrix")
        return 1
    rows = sorted((row(golden, kept) for golden in found), key=lambda cells: [int(n) for n in cells[0].split(".")])
    print("\n".join(aligned([HEAD, *rows])))
    return 1 if any(problems(kept, golden)[0] for golden in found) else 0


if __name__ == "__main__":
    sys.exit(main())
