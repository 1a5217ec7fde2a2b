"""Roots to release, find in and forget from: shards of anybody's making, passed on by the toy job byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from toy_job import JOB, ToyJobSettings

from redpajama_data.config import RunConfig, load_config
from redpajama_data.io.lines import iter_lines
from redpajama_data.models.model_file import ModelFile
from redpajama_data.release import folder
from redpajama_data.release.folder import Made
from redpajama_data.whole_run import run_parts

Shards = Mapping[str, Sequence[bytes]]  # c4/a: its lines


def line(text: str, meta: object = None) -> bytes:
    """A record as rpj writes it."""
    return msgspec.json.encode({"text": text, "meta": {} if meta is None else meta})


def config_of(root: Path, tokenizer: ModelFile, executor: str = "serial", **more: Any) -> RunConfig:
    return load_config(
        None, {"root": str(root), "executor": executor, "workers": 2, "tokenizer": tokenizer.path, **more}
    )


def make_root(place: Path, shards: Shards, tokenizer: ModelFile) -> Path:
    """The root ``place/root``, whose job ``toy_job`` has published these shards."""
    for name, lines in shards.items():
        path = place / "in" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(each + b"\n" for each in lines))
    settings = ToyJobSettings(input=(str(place / "in"),), min_length=0)
    report = run_parts([(JOB, settings)], config_of(place / "root", tokenizer), quiet=True, prune=True)
    assert report.exit_code() == 0
    return place / "root"


def release(root: Path, to: Path, tokenizer: ModelFile, *, executor: str = "serial", **given: Any) -> Made:
    """A release of what ``toy_job`` has published."""
    config = config_of(to, tokenizer, executor)
    return folder.release(str(root), str(to), {"job": "toy_job", **given}, config, {})


def files_of(to: Path) -> dict[str, bytes]:
    """What others get of a release: name and bytes of each file."""
    found = [*to.glob("data/*/*"), *(to / name for name in (folder.CARD, folder.CROISSANT, folder.SOURCE))]
    return {str(path.relative_to(to)): path.read_bytes() for path in found if path.exists()}


def lines_of(place: Path) -> list[bytes]:
    """The lines of all shards below a folder, in the order of their paths."""
    paths = sorted(place.rglob("*.jsonl.zst"))
    return [each for path in paths for each in iter_lines(str(path), max_bytes=None) if isinstance(each, bytes)]
