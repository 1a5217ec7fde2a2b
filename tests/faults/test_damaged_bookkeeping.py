"""What a root keeps of itself, cut or overwritten by a machine that failed: named, and made anew by the next run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from whole_root import files_of

from redpajama_data import sample
from redpajama_data.cli.main import cli

RUN = ("run", "--slice", "c4", "--job", "exact", "--job", "quality_filter", "--executor", "serial", "--quiet")
DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "zeros after a power cut": lambda data: bytes(len(data)),
    "not in UTF-8": lambda data: b'{"slice":"\xff"}',
    "other JSON": lambda data: b"[]",
    "nested too deep": lambda data: b"[" * 100_000,
}


def rpj(*words: object) -> Result:
    """Runs the command line."""
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw files, and a finished root of a slice and two jobs."""
    folder = tmp_path_factory.mktemp("bookkeeping")
    sample.build(folder / "raw", ["c4"])
    sample.write_config(folder / "raw", jobs=True)
    done = rpj(*RUN, "--config", folder / "raw/rpj.yaml", "--root", folder / "root")
    assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("note", ["c4", "exact", "quality_filter"])
def test_a_damaged_note_is_named_and_written_anew(made: Path, tmp_path: Path, note: str, damage: str) -> None:
    """Whichever slice or job it is of; the verbs that read it say which file, and what to do."""
    root = tmp_path / "root"
    shutil.copytree(made / "root", root)
    path = root / "_run" / note / "run.json"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))

    checked = rpj("verify", root)
    assert checked.exit_code == 1
    assert f"_run/{note}/run.json: cannot be read" in checked.output
    for verb in (("status", root), ("count-tokens", root), ("explain", root, "x#0")):
        asked = rpj(*verb)
        assert asked.exit_code == 2, verb
        assert f"_run/{note}/run.json cannot be read" in asked.output
    again = rpj(*RUN, "--config", made / "raw/rpj.yaml", "--root", root)
    assert again.exit_code == 0, again.output
    assert files_of(root) == files_of(made / "root")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_of_other_slices_stops_before_its_first_task(made: Path, tmp_path: Path, damage: str) -> None:
    """Its totals and manifest would be without the slice of the damaged note, and exit 0."""
    root = tmp_path / "root"
    shutil.copytree(made / "root", root)
    path = root / "_run" / "exact" / "run.json"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    before = files_of(root)
    done = rpj("run", "--slice", "c4", "--input", made / "raw/c4", "--root", root, "--executor", "serial")
    assert done.exit_code == 2
    assert "Run the slice or job again" in done.output
    assert files_of(root) == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_receipt_is_named_and_its_task_done_again(made: Path, tmp_path: Path, damage: str) -> None:
    """The file it named is not called somebody else's."""
    root = tmp_path / "root"
    shutil.copytree(made / "root", root)
    path = next(path for path in sorted((root / "_run/c4/publish").rglob("*receipt.json")))
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    checked = rpj("verify", root)
    assert checked.exit_code == 1
    assert f"{path.relative_to(root)}: cannot be read" in checked.output
    again = rpj(*RUN, "--config", made / "raw/rpj.yaml", "--root", root)
    assert again.exit_code == 0, again.output
    assert files_of(root) == files_of(made / "root")
