"""Reads a root with the libraries that format.md names, and holds what each gives against the shards.

python scripts/read_root.py ROOT    in an environment with these libraries: ``make readers``

The code is that of the document: every block marked ``py`` is run in a folder where ``out`` is the root, and must leave
``rows``: pairs of text and meta (None: not read), of all documents in the order of the shards.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parent.parent / "redpajama_data" / "docs" / "format.md"
_BLOCK = re.compile(r"^```py\n# (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str) -> dict[str, str]:
    """The code of each tool, by the name in its first line."""
    return dict(_BLOCK.findall(document))


def published(root: Path) -> Iterator[tuple[str, Any]]:
    """Text and meta of every published document, read with nothing but a decompressor and ``json``."""
    import zstandard

    for path in sorted(root.glob("*/*.jsonl.zst")):
        with open(path, "rb") as file:
            for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8"):
                record = json.loads(line)
                yield record["text"], record["meta"]


def difference(code: str, expected: list[tuple[str, Any]]) -> str | None:
    """Run a block; what is wrong with its ``rows``, None when nothing is."""
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    rows = [(text, json.loads(meta) if isinstance(meta, str) else meta) for text, meta in names["rows"]]
    if len(rows) != len(expected):
        return f"{len(rows)} documents, the shards have {len(expected)}"
    right = [(text, meta if row[1] is not None else None) for row, (text, meta) in zip(rows, expected, strict=True)]
    wrong = [n for n, row in enumerate(rows) if row != right[n]]
    return f"document {wrong[0]} differs, and {len(wrong) - 1} more: {rows[wrong[0]][1]}" if wrong else None


def main(root: Path) -> int:
    """Try every block on a root; 1 when one gives something else than the shards hold."""
    expected = list(published(root))
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        os.environ.update({"HF_DATASETS_CACHE": f"{folder}/cache", "HF_HUB_OFFLINE": "1", **quiet})
        Path(folder, "out").symlink_to(root.resolve())
        os.chdir(folder)
        for name, code in blocks(DOCUMENT.read_text(encoding="utf-8")).items():
            began = time.monotonic()
            wrong = difference(code, expected)
            failed += wrong is not None
            said = wrong or f"all {len(expected)} documents equal"
            print(f"{name:9} {time.monotonic() - began:5.1f} s  {said}", flush=True)
    return 1 if failed or not expected else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
