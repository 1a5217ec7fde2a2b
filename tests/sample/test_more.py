"""More of the sample: as many bytes as asked for, the same at each call, and read by its slice without a complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from redpajama_data import config as configuration
from redpajama_data.config import RunConfig
from redpajama_data.engine.run_slice import list_inputs
from redpajama_data.engine.stages import RunSettings
from redpajama_data.models.model_file import ModelFile
from redpajama_data.planning.calibrate import watch
from redpajama_data.sample.common_crawl import model_paths
from redpajama_data.sample.more import write_more
from slices import NAMES, load

SIZE = 60_000


def models_of(name: str, lid: str) -> dict[str, object]:
    """Small models for the settings that name some."""
    paths = model_paths()
    known = {"lid": lid, "classifier": paths["wikiref.bin"], "lm_dir": str(Path(paths["en.arpa.bin"]).parent)}
    return {key: value for key, value in known.items() if key in load(name).settings.model_fields}


@pytest.mark.parametrize("name", NAMES)
def test_its_slice_reads_all_of_it(name: str, tiny_tokenizer: ModelFile, tiny_lid: str, tmp_path: Path) -> None:
    write_more(name, tmp_path / "raw", files=2, size=SIZE)
    part = load(name)
    settings = configuration.slice_settings(part.settings, name, RunConfig(), models_of(name, tiny_lid), None)
    files = list_inputs(part, [str(tmp_path / "raw")])
    assert len(files) == 2
    seen = watch(part, settings, RunSettings(tiny_tokenizer, 0.0), files, str(tmp_path / "root"))
    assert not seen.trouble
    assert seen.text > SIZE / 3  # markup and names of fields are no text
    assert 0 < seen.published <= seen.text
    assert seen.raw == sum(file.bytes for file in files)
    first, *later = seen.stages.values()
    assert first.tasks == 2
    assert all(stage.peak > 1 << 20 for stage in (first, *later))
    assert seen.final > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bytes_at_each_call_and_others_in_each_file(name: str, tmp_path: Path) -> None:
    for folder in ("one", "again"):
        write_more(name, tmp_path / folder, files=2, size=20_000)
    one, again = (
        {
            path.relative_to(tmp_path / folder): path.read_bytes()
            for path in (tmp_path / folder).rglob("*.*")
            if path.is_file()
        }
        for folder in ("one", "again")
    )
    assert one == again
    assert len(set(one.values())) == 2
