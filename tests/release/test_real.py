"""Every slice of the real input: from the lines of its shards to Parquet and back, byte for byte."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from roots import lines_of

from redpajama_data.config import load_config
from redpajama_data.release import folder, parquet
from slices import NAMES

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def test_all_seven_slices_come_back(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    realdata = importlib.import_module("realdata")
    for name, value in realdata.use_models_of(shared_data, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    for name in NAMES:
        report = realdata.run_on(name, realdata.raw_files(name, shared_data), shared_data, tmp_path / "root")
        assert report.exit_code() == 0, name
    config = load_config(None, {"executor": "serial"})
    given = {"file_size": "1M", "row_group": "300K"}  # several files a slice, several row groups a file
    made = folder.release(str(tmp_path / "root"), str(tmp_path / "to"), given, config, {})
    assert made.report.exit_code() == 0
    assert set(made.files) == set(NAMES)
    for name in NAMES:
        paths = sorted((tmp_path / "to/data" / name).iterdir())
        assert [line for path in paths for line in parquet.json_lines(str(path))] == lines_of(tmp_path / "root" / name)
