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

from redpajama_data import storage

SETTINGS: dict[str, dict[str, object]] = {
    "common_crawl": {"shards": 2},  # of each dump: line dedup compares within one raw file
    "c4": {"source_shards": 1024},
    "wikipedia": {"languages": ["de", "en"], "source_shards": 20},
    "stackexchange": {"source_shards": 28},
}
"""What the sample's run sets beside its inputs; everything else is the published default. ``source_shards`` are the raw
files of the true sources, so that the totals show a projection."""

SHARED: dict[str, dict[str, object]] = {
    "exact": {"priority": ["wikipedia", "books"]},
    "fuzzy": {"priority": ["wikipedia", "books"]},
    "quality_score": {},
    "quality_filter": {"min": 0.05},
}
"""The stages over every slice that the sample's run ends with."""

SLICES = ("common_crawl", "c4", "github", "books", "arxiv", "wikipedia", "stackexchange")


def build(folder: Path, slices: Iterable[str] = SLICES) -> list[Path]:
    """Write the raw files of ``slices`` to ``folder/<slice>/`` and a run configuration to ``folder/rpj.yaml``.

    Returns the paths written, sorted. A file appears when it is whole; files of an earlier call are replaced.
    Raises :class:`ValueError` for a name that is no slice.
    """
    names = list(slices)
    for name in names:
        if name not in SLICES:
            raise ValueError(f"There is no slice {name!r}. Slices: {', '.join(SLICES)}")
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    workshop = Path(tempfile.mkdtemp(prefix=".sample.tmp-", dir=folder))
    try:
        for name in names:
            made = workshop / name
            made.mkdir()
            importlib.import_module(f"{__name__}.{name}").build(made)
            for path in sorted(path for path in made.rglob("*") if path.is_file()):
                target = folder / path.relative_to(workshop)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
                written.append(target)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    written += write_config(folder)
    return sorted(written)


def write_config(folder: Path) -> list[Path]:
    """Write the run configuration of the sample to ``folder/rpj.yaml``; returns the paths written.

    Only slices whose raw files are there get an entry. The models of the crawl are the sample's own small ones.
    """
    from redpajama_data.sample.common_crawl import model_paths

    slices: dict[str, dict[str, object]] = {
        name: {"input": [str(folder / name)], **SETTINGS.get(name, {})} for name in SLICES if (folder / name).is_dir()
    }
    if "common_crawl" in slices:
        models = {name: str(path) for name, path in model_paths().items()}
        slices["common_crawl"] |= {
            "lm_dir": os.path.dirname(models["en.arpa.bin"]),
            "classifier": models["wikiref.bin"],
        }
    shared = {name: dict(settings) for name, settings in SHARED.items()}
    shared["quality_score"]["model"] = str(model_paths()["wikiref.bin"])
    text = yaml.safe_dump({"slices": slices, "shared": shared}, sort_keys=False, allow_unicode=True)
    path = folder / "rpj.yaml"
    storage.write_bytes(str(path), f"# rpj run --all --config {path} --root out\n{text}".encode())
    return [path]
