"""What a run may remove and write over: the root's own files, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner, Result
from whole_root import files_of

from redpajama_data import sample
from redpajama_data.cli.main import cli
from redpajama_data.engine import ownership, receipts
from redpajama_data.engine.ownership import foreign_files, holdings, own_files
from redpajama_data.engine.receipts import Begun
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.storage import RawFile

Rpj = Callable[..., Result]


@pytest.fixture
def rpj() -> Rpj:
    """Runs the command line."""
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The raw files of two small slices."""
    sample.build(tmp_path / "raw", ["github", "c4"])
    return tmp_path / "raw"


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SERIAL = ("--executor", "serial", "--quiet")


@pytest.mark.parametrize("place", ["raw", "raw/", "./raw", "link"])
def test_a_root_whose_folder_is_the_input_is_refused(
    rpj: Rpj, raw: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real path, before anything is written."""
    monkeypatch.chdir(raw.parent)
    (raw.parent / "link").symlink_to(raw)
    before = tree(raw)
    done = rpj("run", "--slice", "github", "--input", "raw/github", "--root", place, *SERIAL)
    assert done.exit_code == 2, done.output
    assert "Choose another --root" in done.output
    assert tree(raw) == before


def test_the_folder_of_the_sample_is_no_root(rpj: Rpj, raw: Path) -> None:
    """The command that removed all raw files of the sample."""
    before = tree(raw)
    done = rpj("run", "--all", "--config", raw / "rpj.yaml", "--root", raw, *SERIAL)
    assert done.exit_code == 2, done.output
    assert tree(raw) == before


def test_an_input_in_the_folder_of_another_slice_of_the_run_is_refused(rpj: Rpj, raw: Path) -> None:
    """What it reads would be what the other one is writing."""
    inside = raw.parent / "out" / "github" / "mine"
    shutil.copytree(raw / "c4", inside)
    before = tree(raw.parent)
    config = raw.parent / "two.yaml"
    config.write_text(f"slices:\n  c4: {{input: [{inside}]}}\n  github: {{input: [{raw / 'github'}]}}\n")
    done = rpj("run", "--slice", "c4", "--slice", "github", "--config", config, "--root", raw.parent / "out", *SERIAL)
    assert done.exit_code == 2, done.output
    assert "out/github/, which the run writes to" in done.output
    config.unlink()
    assert tree(raw.parent) == before


SHARDS = '{"text": "one two three", "meta": {}}\n{"text": "one two three four", "meta": {}}\n'
VERBS = {
    "exact": ("dedup", "exact"),
    "fuzzy": ("dedup", "fuzzy"),
    "overlap": ("overlap",),
    "filter": ("filter", "--where", "text_length > 1"),
    "signals": ("signals",),
    "quality_score": ("quality", "score", "--model", str(sample.__path__[0]) + "/models/wikiref.bin"),
    "quality_filter": ("quality", "filter", "--min", "0"),
}


@pytest.mark.parametrize("name", VERBS)
def test_what_a_user_has_in_a_folder_of_that_name_stays(
    rpj: Rpj, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every verb that writes to a root, twice, with another input the second time: the user's files stay and are named;
    what the verb itself left goes."""
    monkeypatch.chdir(tmp_path)
    meta = '"meta": {"quality_score": 0.5}'
    for shard in ("docs", "more"):
        Path(f"{shard}.jsonl").write_text(SHARDS.replace('"meta": {}', meta))
    users = Path(name) / "files" / "docs.txt"
    users.parent.mkdir(parents=True)
    users.write_text("mine")
    (Path(name) / "half.tmp-draft").write_text("mine too")
    verb, *options = VERBS[name]
    positional = [*([options.pop(0)] if verb in ("dedup", "quality") else [])]
    where = "--out" if name == "signals" else "--root"
    for shards in (("docs.jsonl",), ("docs.jsonl", "more.jsonl")):
        done = rpj(verb, *positional, *shards, *options, where, ".", "--executor", "serial", "--quiet")
        assert done.exit_code == 0, done.output
        assert users.read_text() == "mine"
        assert (Path(name) / "half.tmp-draft").read_text() == "mine too"


def test_a_link_is_not_followed(rpj: Rpj, raw: Path, tmp_path: Path) -> None:
    """A folder of the root that is a link, at any depth: refused, and what lies behind it stays."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept.txt").write_text("kept")
    for link in ("c4", "_run", "_run/c4/publish"):
        root = tmp_path / link.replace("/", "-")
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(elsewhere)
        done = rpj("run", "--slice", "c4", "--input", raw / "c4", "--root", root, *SERIAL)
        assert done.exit_code == 2, done.output
        assert "is a link" in done.output
        assert tree(elsewhere) == {"kept.txt": b"kept"}


def test_a_root_that_is_reached_through_a_link_is_a_root(rpj: Rpj, raw: Path, tmp_path: Path) -> None:
    """Only links inside of it lead out of it."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    assert rpj("run", "--slice", "c4", "--input", raw / "c4", "--root", tmp_path / "root", *SERIAL).exit_code in (0, 3)


def test_files_of_nobody_stay_and_are_named(rpj: Rpj, raw: Path, tmp_path: Path) -> None:
    """A run names them and goes on; what its own receipts named and the new plan does not goes."""
    root = tmp_path / "root"
    rpj("run", "--slice", "c4", "--input", raw / "c4", "--root", root, *SERIAL)
    (root / "c4" / "notes.txt").write_text("mine")
    (root / "_run" / "c4" / "publish" / "notes.txt").write_text("mine")
    removed = sorted((root / "c4").glob("*.zst"))[-1]
    last = sorted((raw / "c4").iterdir())[-1]
    last.unlink()
    done = rpj("run", "--slice", "c4", "--input", raw / "c4", "--root", root, "--prune", *SERIAL)
    assert "left alone, not of this root: _run/c4/publish/notes.txt, c4/notes.txt" in done.output
    assert (root / "c4" / "notes.txt").exists()
    assert not removed.exists()
    assert "c4/notes.txt" in rpj("verify", root).output


def test_a_shard_of_somebody_is_not_written_over(rpj: Rpj, raw: Path, tmp_path: Path) -> None:
    """A file where a shard would go: the run stops and says so, the file stays."""
    first = sorted((raw / "c4").iterdir())[0].name.split(".json")[0]
    users = tmp_path / "root" / "c4" / f"{first}.jsonl.zst"
    users.parent.mkdir(parents=True)
    users.write_text("mine")
    done = rpj("run", "--slice", "c4", "--input", raw / "c4", "--root", tmp_path / "root", *SERIAL)
    assert done.exit_code == 2, done.output
    assert "Move it away" in done.output
    assert users.read_text() == "mine"


def test_the_shard_of_a_lost_receipt_is_made_again(rpj: Rpj, raw: Path, tmp_path: Path) -> None:
    """Gone, or not to be read: its ids lie beside where it lay, so the shard is the root's own and written over."""
    command = ("run", "--slice", "c4", "--input", raw / "c4", "--root", tmp_path / "root", *SERIAL)
    rpj(*command)
    before = files_of(tmp_path / "root")
    for spoil in (Path.unlink, lambda path: path.write_text("{")):
        for receipt in (tmp_path / "root").glob("_run/c4/publish/*.receipt.json"):
            spoil(receipt)
        done = rpj(*command)
        assert done.exit_code == 0, done.output
        assert files_of(tmp_path / "root") == before


def test_a_shard_that_only_the_manifest_names_is_made_again(rpj: Rpj, raw: Path, tmp_path: Path) -> None:
    """Receipt and ids are gone: the root's manifest knows the shard by its name and size; not one of another size."""
    command = ("run", "--slice", "c4", "--input", raw / "c4", "--root", tmp_path / "root", *SERIAL)
    rpj(*command)
    before = files_of(tmp_path / "root")

    def lose() -> None:
        for path in (tmp_path / "root").glob("_run/c4/publish/*00000-of*"):
            path.unlink()

    lose()
    done = rpj(*command)
    assert done.exit_code == 0, done.output
    assert files_of(tmp_path / "root") == before
    lose()
    [shard] = (tmp_path / "root").glob("c4/*00000-of*")
    shard.write_text("mine")
    done = rpj(*command)
    assert (done.exit_code, shard.read_text()) == (2, "mine"), done.output


def test_somebodys_manifest_is_not_written_over(rpj: Rpj, raw: Path, tmp_path: Path) -> None:
    """Web projects have a file of that name."""
    (tmp_path / "manifest.json").write_text('{"name": "my app"}')
    done = rpj("run", "--slice", "c4", "--input", raw / "c4", "--root", tmp_path, *SERIAL)
    assert done.exit_code == 2, done.output
    assert (tmp_path / "manifest.json").read_text() == '{"name": "my app"}'


@pytest.mark.parametrize("kept", ["rpj.yaml", "github/github_000000000000.gz"])
def test_the_sample_writes_over_nothing_of_the_users(rpj: Rpj, tmp_path: Path, kept: str) -> None:
    """``rpj sample`` into a folder of real raw files."""
    users = tmp_path / kept
    users.parent.mkdir(parents=True, exist_ok=True)
    users.write_text("mine")
    done = rpj("sample", tmp_path)
    assert done.exit_code == 2, done.output
    assert users.read_text() == "mine"
    users.unlink()
    assert rpj("sample", tmp_path).exit_code == 0
    assert rpj("sample", tmp_path).exit_code == 0  # its own it replaces


# ------------------------------------------------------------------------------------------------ by names alone


@pytest.fixture(params=["local", "remote"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty root: a folder, or an object store in memory."""
    if request.param == "local":
        return str(tmp_path)
    place = f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").store.clear()
    return place


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("toy/a.jsonl.zst", True),  # a receipt names it
        ("toy/b.jsonl.zst", True),  # a task at work announced it
        ("toy/c.jsonl.zst", True),  # named before the last run
        ("toy/d.jsonl.zst", False),
        ("toy/d.jsonl.zst.tmp-12-0123abcd", True),  # the mark of an unfinished file
        ("toy/d.jsonl.zst.tmp-draft", False),
        ("_run/toy/clean/a.receipt.json", True),
        ("_run/toy/clean/a.keys", True),
        ("_run/toy/clean/ab.keys", False),
        ("_run/toy/clean/deep/a.keys", False),
        ("_run/toy/publish/a.keys", False),  # another stage has no such task
        ("_run/toy/clean/e.quarantine.json", True),
        ("_run/toy/inputs.txt", True),
        ("_run/toy/notes.txt", False),
    ],
)
def test_own(root: str, path: str, own: bool) -> None:
    """Each ground on which a file is the root's own, and its neighbour that is not."""
    out = receipts.Output("toy/a.jsonl.zst", 1, "", 1)
    receipts.save(root, receipts.Receipt("toy", "clean", "a", "x", outputs={"published": out}))
    receipts.begin(root, Begun("toy", "clean", "b", ["toy/b.jsonl.zst"]))
    storage.write_bytes(storage.join(root, "_run/toy/named.txt"), b"toy/c.jsonl.zst\n")
    if not path.endswith(".receipt.json"):
        storage.write_bytes(storage.join(root, path), b"1")
    held = holdings(root, "toy")
    assert (path in own_files(held)) is own
    assert (path in foreign_files(held)) is not own
    assert {receipt.task for receipt in receipts.load_all(root)} == {"a"}  # a task at work has no receipt


def test_a_receipt_vouches_for_files_of_its_sizes(root: str) -> None:
    """Missing, or of another size: it does not."""
    out = receipts.Output("toy/a", 3, "", 1)
    receipt = receipts.Receipt("toy", "clean", "a", "x", outputs={"published": out})
    assert not holdings(root, "toy").vouched(receipt)
    storage.write_bytes(storage.join(root, "toy/a"), b"four")
    assert not holdings(root, "toy").vouched(receipt)
    storage.write_bytes(storage.join(root, "toy/a"), b"abc")
    assert holdings(root, "toy").vouched(receipt)


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("s3://b/out/github/x.gz", True),
        ("s3://b/out/_run/x.gz", True),
        ("s3://b/out/github2/x.gz", False),
        ("s3://b/github/x.gz", False),
    ],
)
def test_inputs_inside_a_remote_root(path: str, inside: bool) -> None:
    """By the folders of the URL."""
    given = [RawFile(path, 1, "")]
    if inside:
        with pytest.raises(UsageError, match="Choose another --root"):
            ownership.refuse_inputs_inside("s3://b/out", ["github"], given)
    else:
        ownership.refuse_inputs_inside("s3://b/out", ["github"], given)
