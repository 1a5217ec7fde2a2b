"""The root that the tests of the page share."""

from __future__ import annotations

from pathlib import Path

import pytest
import sample_root

from redpajama_data.models.model_file import ModelFile


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: ModelFile, tiny_lid: str) -> Path:
    """A root of the sample, with near-duplicates removed and slices compared."""
    folder = tmp_path_factory.mktemp("reported")
    sample_root.make(folder / "raw", folder / "root", tiny_tokenizer, tiny_lid)
    return folder / "root"
