"""A model on disk, bound by what is in it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A model on disk. Its fingerprint is its SHA-256 alone, so that a model may move without redoing work."""

    path: str
    sha256: str
