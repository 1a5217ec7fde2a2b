"""A root of the embedded sample with two jobs, for the tests of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slices
from redpajama_data import sample
from redpajama_data.config import load_config
from redpajama_data.models.model_file import ModelFile
from redpajama_data.sample.common_crawl import model_paths
from redpajama_data.whole_run import run_parts
from slices.jobs import load as load_job

ONLY = ("common_crawl", "c4", "github", "books", "wikipedia")


def make(raw: Path, root: Path, tokenizer: ModelFile, lid: str) -> None:
    """Run slices of the sample, then fuzzy and overlap; one token a byte."""
    sample.build(raw)
    models = {name: str(path) for name, path in dict(model_paths()).items()}
    of: dict[str, dict[str, Any]] = {
        "common_crawl": {
            "lid": lid,
            "lm_dir": str(Path(models["en.arpa.bin"]).parent),
            "classifier": models["wikiref.bin"],
            "min_language_score": 0.0,
        },
        "github": {"code_tokenizer": tokenizer.path, "min_alpha_per_token": 0, "repairs": ("min_characters",)},
    }
    config = load_config(
        None, {"root": str(root), "executor": "serial", "workers": 1, "tokenizer": tokenizer.path, "max_malformed": 0.5}
    )
    parts: list[Any] = []
    for name in ONLY:
        part = slices.load(name)
        chosen: dict[str, Any] = {**sample.SETTINGS.get(name, {}), **of.get(name, {})}
        parts.append((part, part.settings(input=(str(raw / name),), **chosen)))
    run_parts(parts, config, quiet=True)
    jobs: list[Any] = [(job := load_job(name), job.settings(input=(str(root),))) for name in ("fuzzy", "overlap")]
    run_parts(jobs, config, quiet=True)
