"""The user's own words, with no other argument: what the commands take from the current folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from redpajama_data import sample
from redpajama_data.cli.main import cli
from redpajama_data.config import load_config
from redpajama_data.defaults import config_here, root_here
from redpajama_data.errors import UsageError

Rpj = Callable[..., Result]


@pytest.fixture
def rpj(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rpj:
    """Runs the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words])


def test_the_users_own_commands(rpj: Rpj) -> None:
    """raw/<slice> is the input and out the root; every command that reads a root takes it from there."""
    sample.build(Path("raw"), ["c4"])
    Path("raw/rpj.yaml").unlink()
    assert rpj("run", "--slice", "c4", "--executor", "serial", "--quiet").exit_code == 0
    assert "published" in rpj("count-tokens").output
    assert rpj("status").exit_code == 0
    assert rpj("verify").exit_code == 0
    kept = rpj("explain", "raw/c4/c4-train.00000-of-00002.json.gz#0")
    assert kept.exit_code == 0, kept.output
    assert kept.output == rpj("explain", "out", "raw/c4/c4-train.00000-of-00002.json.gz#0").output
    assert [path.name for path in Path.cwd().iterdir() if path.is_dir()] in (["raw", "out"], ["out", "raw"])


def test_all_takes_the_slices_that_are_there(rpj: Rpj) -> None:
    """The others are named."""
    sample.build(Path("raw"), ["c4"])
    done = rpj("run", "--all", "--executor", "serial", "--quiet")
    assert done.exit_code == 0, done.output
    assert "github is left out" in done.output


def test_a_configuration_of_the_folder_comes_first(rpj: Rpj) -> None:
    """rpj.yaml: its inputs and its root, for the run and for what reads the root."""
    sample.build(Path("elsewhere"), ["c4"])
    Path("rpj.yaml").write_text("root: made\nexecutor: serial\nslices: {c4: {input: [elsewhere/c4]}}\n")
    assert rpj("run", "--slice", "c4", "--quiet").exit_code == 0
    assert Path("made/c4").is_dir()
    assert not Path("out").exists()
    assert rpj("status").exit_code == 0
    Path("rpj.yaml").write_text("root: none\n")
    assert rpj("status").exit_code == 2


@pytest.mark.parametrize("command", [("run", "--slice", "github"), ("run", "--all")])
def test_nothing_there_says_what_to_type(rpj: Rpj, command: tuple[str, ...]) -> None:
    """An error that ends in the next command."""
    done = rpj(*command)
    assert done.exit_code == 2
    assert "rpj sample. " in done.output
    assert not Path("out").exists()


def test_the_sample_runs_with_no_other_word(rpj: Rpj) -> None:
    """rpj sample leaves files and configuration in raw, where run looks; what it says next can be typed."""
    said = rpj("sample", "--slice", "c4").output
    assert said.endswith("Next: rpj run --all\n")
    done = rpj("run", "--all", "--executor", "serial")
    assert done.exit_code == 0, done.output
    assert "rpj: settings of raw/rpj.yaml" in done.stderr
    assert [path.name for path in sorted(Path("out").iterdir())] == ["_run", "c4", "manifest.json"]
    assert "settings of" not in rpj("run", "--all", "--executor", "serial", "--quiet").stderr


@pytest.mark.parametrize(
    ("there", "taken"),
    [([], None), (["raw/rpj.yaml"], "raw/rpj.yaml"), (["rpj.yaml", "raw/rpj.yaml"], "rpj.yaml")],
    ids=["none", "of the sample", "both"],
)
def test_which_configuration_is_taken(there: list[str], taken: str | None, tmp_path: Path, rpj: Rpj) -> None:
    for path in there:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text("root: made\n")
    assert config_here(None) == taken
    assert config_here("other.yaml") == "other.yaml"
    assert root_here(None) == ("made" if there else "out")
    assert root_here("named") == "named"


@pytest.mark.parametrize("name", ["redpajama-1t", "redpajama-1t-corrected", "redpajama-v2"])
def test_a_configuration_that_rpj_brings_is_named_without_folder(name: str, rpj: Rpj) -> None:
    """In a checkout and in a wheel; a file of the user's comes first."""
    found = config_here(name)
    assert found is not None
    assert load_config(found, {}).slices
    with pytest.raises(UsageError, match=f"rpj brings: --config {name}$"):
        config_here(f"configs/{name}.yaml")
    Path(name).write_text("root: mine\n")
    assert config_here(name) == name
    assert config_here("nosuch") == "nosuch"


def test_a_sample_elsewhere_says_how_to_run_it(rpj: Rpj) -> None:
    """raw/rpj.yaml is taken only from raw, and only where no rpj.yaml is."""
    assert "Next: rpj run --all --config tried/rpj.yaml --root out" in rpj("sample", "tried", "--slice", "c4").output
    Path("rpj.yaml").write_text("root: made\n")
    assert "Next: rpj run --all --config raw/rpj.yaml --root out" in rpj("sample", "--slice", "c4").output


def test_diff_against_the_default_root(rpj: Rpj) -> None:
    sample.build(Path("raw"), ["c4"])
    Path("raw/rpj.yaml").unlink()
    for root in ("out", "other"):
        assert rpj("run", "--slice", "c4", "--root", root, "--executor", "serial", "--quiet").exit_code == 0
    assert rpj("diff", "other").output == rpj("diff", "out", "other").output
    assert rpj("diff", "other").exit_code == 0
    assert rpj("diff", "out", "other", "third").exit_code == 2


def test_no_root_says_what_to_type(rpj: Rpj) -> None:
    """The commands that read a root, where there is none."""
    done = rpj("count-tokens")
    assert done.exit_code == 2
    assert "rpj run" in done.output
