"""The folder of real raw input: the files and settings each slice takes from it, for parity check and benchmarks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redpajama_data.config import RunConfig, slice_settings
from redpajama_data.whole_run import RunReport, run_parts
from slices import NAMES, load

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"

_FILES: dict[str, tuple[str, ...]] = {
    "common_crawl": ("commoncrawl/2022-05/*.wet.gz", "commoncrawl/2023-06/*.wet.gz"),
    "c4": ("c4/*.json.gz",),
    "github": ("github/github_*.gz",),
    "books": ("books/*.jsonl",),
    "arxiv": ("arxiv/*.tar",),
    "wikipedia": ("wikipedia/enwiki-latest-pages-articles1*.bz2",),
    "stackexchange": ("stackexchange/*.7z",),
}
# A DOCTYPE line in this dump stops the published script; what it would have made of it is not known.
_LEFT_OUT = {"history.meta.stackexchange.com.7z"}


def raw_files(name: str, data: Path) -> list[Path]:
    """The raw files of a slice under ``data``, sorted; empty when they are not there."""
    found = [path for pattern in _FILES[name] for path in data.glob(pattern)]
    return sorted(path for path in found if path.name not in _LEFT_OUT)


def settings_of(name: str, data: Path) -> dict[str, Any]:
    """What the expected files were made with, where it is not the default."""
    models = data / "models"
    if name == "common_crawl":
        return {
            "languages": "en",
            "shards": 2,
            "hash_in_mem": 1,
            "lid": str(models / "lid.176.ftz"),
            "lm_dir": str(models / "lm_sp"),
            "classifier": str(models / "wikiref.bin"),
            "keep_tail": True,  # stored beside the rest, never published: the expected files have it
        }
    return {}


def use_models_of(data: Path, cache: Path) -> Mapping[str, str]:
    """Fill an empty model cache with links to ``data``'s models; returns the environment that makes a run use it."""
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("lid.176.ftz", "gpt-neox-20b.tokenizer.json"):
        link = cache / name
        if not link.exists():
            link.symlink_to((data / "models" / name).resolve())
    return {"RPJ_CACHE": str(cache), "RPJ_OFFLINE": "1"}


def run_on(
    name: str,
    files: Sequence[Path],
    data: Path,
    root: Path,
    more: Mapping[str, Any] | None = None,
    *,
    executor: str = "serial",
    workers: int = 1,
    memory: str = "1G",
) -> RunReport:
    """Run one slice on ``files`` into ``root`` through the library; the environment says where the models are.

    ``more`` are settings of the slice over those of :func:`settings_of`.
    """
    part = load(name)
    config = RunConfig.model_validate({"root": str(root), "executor": executor, "workers": workers, "memory": memory})
    given = {"input": [os.fspath(path) for path in files], **settings_of(name, data), **(more or {})}
    return run_parts([(part, slice_settings(part.settings, name, config, given, None))], config, quiet=True)


__all__ = ["DEFAULT", "NAMES", "raw_files", "run_on", "settings_of", "use_models_of"]
