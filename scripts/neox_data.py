"""Prints the prefixes of ``rpj tokenize`` as the data part of a GPT-NeoX configuration, weighted by their tokens.

python scripts/neox_data.py ROOT > configs/train/data.yml

A mixture of more than a billion tokens has several prefixes. Validation and test read what was held out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml


def data_of(root: Path) -> dict[str, list[Any]]:
    """Paths and weights of training, validation and test. Exits when the format is another, or nothing is held out."""
    report = json.loads((root / "tokenize" / "tokens.json").read_text())
    if report["format"] != "megatron":
        sys.exit(f"{root} has the format {report['format']}, which GPT-NeoX does not read: --format megatron.")
    part = {held: [p for p in report["prefixes"] if p["held_out"] is held and p["tokens"]] for held in (False, True)}
    if not part[True]:
        sys.exit(f"{root} has nothing held out, and GPT-NeoX wants data to validate: --held-out 0.001.")
    found: dict[str, list[Any]] = {}
    for name, held in (("train", False), ("valid", True), ("test", True)):
        found[f"{name}_data_paths"] = [str(root / "tokenize" / prefix["name"]) for prefix in part[held]]
        found[f"{name}_data_weights"] = [prefix["tokens"] for prefix in part[held]]
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(yaml.safe_dump(data_of(Path(sys.argv[1])), sort_keys=False))
