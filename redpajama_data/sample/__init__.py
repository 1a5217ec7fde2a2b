"""Sample input for every slice: small, in the raw form of its source, with duplicates and bad records planted.

Everything is made here from word lists and templates, the same content on every machine; nothing is copied from
anywhere. Each builder lists in ``PLANTED`` what it planted and which rule is expected to drop it.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import yaml

from redpajama_data.errors import UsageError
from redpajama_data.io import storage

SETTINGS: dict[str, dict[str, object]] = {
    "common_crawl": {"shards": 2},  # of each dump: line dedup compares within one raw file
    "c4": {"source_shards": 1024},
    "wikipedia": {"languages": ["de", "en"], "source_shards": 20},
    "stackexchange": {"source_shards": 28},
}
"""What the sample's run sets beside its inputs; everything else is the published default. ``source_shards`` are the raw
files of the true sources, so that the totals show a projection."""

JOBS: dict[str, dict[str, object]] = {
    "exact": {"priority": ["wikipedia", "books"]},
    "fuzzy": {"priority": ["wikipedia", "books"]},
    "quality_score": {},
    "quality_filter": {"min": 0.05},
}
"""Jobs over every slice, for those who try a run with them; the sample's own configuration has none."""

CONFIG = "rpj.yaml"
_HEAD = "# rpj run --all --config"  # the first line of the sample's configuration begins so: its folder's mark

SLICES = ("common_crawl", "c4", "github", "books", "arxiv", "wikipedia", "stackexchange")
OPTIONAL = ("instruct",)  # built when named; with it the test sets that a decontamination looks for


def build(folder: Path, slices: Iterable[str] = SLICES) -> list[Path]:
    """Write the raw files of ``slices`` to ``folder/<slice>/`` and a run configuration to ``folder/rpj.yaml``.

    Returns the paths written, sorted. A file appears when it is whole; files of an earlier call are replaced.
    Raises :class:`ValueError` for a name that is no slice, :class:`UsageError` before anything is written when a file
    is there that no earlier call has written.
    """
    names = list(slices)
    for name in names:
        if name not in (*SLICES, *OPTIONAL):
            raise ValueError(f"There is no slice {name!r}. Slices: {', '.join((*SLICES, *OPTIONAL))}")
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    workshop = Path(tempfile.mkdtemp(prefix=".sample.tmp-", dir=folder))
    try:
        for name in names:
            made = workshop / name
            made.mkdir()
            importlib.import_module(f"{__name__}.{name}").build(made)
        paths = sorted(path for path in workshop.rglob("*") if path.is_file())
        targets = [folder / path.relative_to(workshop) for path in paths]
        _refuse_foreign(folder, targets)
        for path, target in zip(paths, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
            written.append(target)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    written += write_config(folder)
    return sorted(written)


def _refuse_foreign(folder: Path, targets: Iterable[Path]) -> None:
    if is_sample(folder):
        return
    for path in (folder / CONFIG, *targets):
        if os.path.lexists(path):
            raise UsageError(f"{path} is there, and the sample would write over it. Choose another folder.")


def is_sample(folder: str | Path) -> bool:
    """Whether :func:`build` wrote to that folder."""
    config = Path(folder, CONFIG)
    return config.is_file() and config.read_bytes().startswith(_HEAD.encode())


def write_config(folder: Path, *, jobs: bool = False) -> list[Path]:
    """Write the run configuration of the sample to ``folder/rpj.yaml``; returns the paths written.

    Only slices whose raw files are there get an entry. The models of the crawl are the sample's own small ones.
    ``jobs``: with :data:`JOBS` after the slices.
    """
    from redpajama_data.sample.common_crawl import model_paths

    slices: dict[str, dict[str, object]] = {
        name: {"input": [str(folder / name)], **SETTINGS.get(name, {})}
        for name in (*SLICES, *OPTIONAL)
        if (folder / name).is_dir()
    }
    if "common_crawl" in slices:
        models = {name: str(path) for name, path in model_paths().items()}
        slices["common_crawl"] |= {
            "lm_dir": os.path.dirname(models["en.arpa.bin"]),
            "classifier": models["wikiref.bin"],
        }
        slices["common_crawl_v2"] = {key: slices["common_crawl"][key] for key in ("input", "shards", "lm_dir")}
    written: dict[str, object] = {"slices": slices}
    if jobs:
        scored = {**JOBS["quality_score"], "model": str(model_paths()["wikiref.bin"])}
        written["jobs"] = {**JOBS, "quality_score": scored}
    text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True)
    path = folder / CONFIG
    storage.write_bytes(str(path), f"{_HEAD} {path} --root out\n{text}".encode())
    return [path]
