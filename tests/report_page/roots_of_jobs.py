"""Roots of the toy job over texts of anybody's making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from toy_job import JOB, ToyJobSettings

from redpajama_data.config import load_config
from redpajama_data.models.model_file import ModelFile
from redpajama_data.whole_run import run_parts


def make(place: Path, shards: Mapping[str, Sequence[str]], tokenizer: ModelFile, *, min_length: int) -> Path:
    """The root ``place/root``: the toy job over shards (``c4/a``: its texts)."""
    for name, texts in shards.items():
        path = place / "in" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(msgspec.json.encode({"text": text, "meta": {}}) + b"\n" for text in texts))
    config = load_config(None, {"root": str(place / "root"), "executor": "serial", "tokenizer": tokenizer.path})
    run_parts([(JOB, ToyJobSettings(input=(str(place / "in"),), min_length=min_length))], config, quiet=True)
    return place / "root"
