"""What is taken from the current folder when nothing is named: ``rpj.yaml``, ``raw/<slice>``, ``out``."""

from __future__ import annotations

import os
from pathlib import Path

from redpajama_data import config
from redpajama_data.errors import UsageError

ROOT, RAW = "out", "raw"
CONFIGS = ("rpj.yaml", f"{RAW}/rpj.yaml")  # the second is what `rpj sample raw` leaves there; the first that is there


def config_here(path: str | None) -> str | None:
    """The configuration that was named, else the first of :data:`CONFIGS` that is there, else None.

    One that rpj brings is named without folder and ending: ``redpajama-1t``. Raises :class:`UsageError` for a path that
    looks like one of them and is not there.
    """
    if path is None:
        return next(filter(os.path.isfile, CONFIGS), None)
    brought = brought_configs()
    if path in brought and not os.path.exists(path):
        return brought[path]
    name = os.path.basename(path).rpartition(".")[0]
    if name in brought and not os.path.exists(path):
        raise UsageError(f"{path}: no such file. The configuration of that name that rpj brings: --config {name}")
    return path


def brought_configs() -> dict[str, str]:
    """The configurations that rpj brings, by name: in a wheel they lie in the package, in a checkout beside it."""
    package = Path(__file__).resolve().parent
    folder = next(filter(Path.is_dir, (package / "configs", package.parent / "configs")), package)
    return {path.stem: str(path) for path in sorted(folder.glob("*.yaml"))}


def root_here(root: str | None) -> str:
    """The root that was named, else that of :func:`config_here`, else ``out``."""
    if root is not None:
        return root
    path = config_here(None)
    return (config.load_config(path, {}).root if path else None) or ROOT


def input_here(slice_name: str) -> list[str]:
    """Where the raw files of a slice lie when nobody said it: ``raw/<slice>``; empty when there is no such folder."""
    folder = f"{RAW}/{slice_name}"
    return [folder] if os.path.isdir(folder) else []
