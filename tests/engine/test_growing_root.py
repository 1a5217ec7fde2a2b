"""A root whose raw files come and go: it holds what one made at once holds, and no more is done again than must be."""

from __future__ import annotations

import gzip
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from whole_root import files_of

from redpajama_data.config import load_config, slice_settings
from redpajama_data.engine.task_names import task_names
from redpajama_data.sample import build
from redpajama_data.whole_run import RunReport, run_parts
from slices import NAMES, load
from slices.jobs import load as load_job

Tree = dict[str, bytes]
# Of each slice some raw files more than the sample has: copies, so that every dedup has something to decide.
COPIES = {
    "c4": {"c4-train.00000-of-00002.json.gz": ("b.json.gz", "de/b.json.gz")},
    "github": {"github_000000000001.gz": ("github_0.gz", "github_00000000000a.gz")},
    "stackexchange": {"allotment.stackexchange.com.7z": ("aaa.stackexchange.com.7z",)},
    "wikipedia": {
        "dewiki-20230320-pages-articles.xml.bz2": (
            "barwiki-20230320-pages-articles.xml.bz2",
            "frwiki-20230320-pages-articles.xml.bz2",
        )
    },
    "arxiv": {"arXiv_src_0301_001.tar": ("arXiv_src_0302_001.tar",)},
}


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["raw/c4/c4-train.00000-of-01024.json.gz"], ["c4-train.00000-of-01024"]),
        (["s3://b/raw/a b.jsonl.zst"], ["a_b"]),
        (["en/p.json.gz", "de/p.json.gz", "q.json.gz"], ["en_p", "de_p", "q"]),
        (["/1/x/en/p.gz", "/1/y/en/p.gz"], ["x_en_p", "y_en_p"]),
        (["x/en/p.gz", "y/en/p.gz", "y/de/p.gz"], ["x_en_p", "y_en_p", "de_p"]),
        (["a/p.gz", "b/P.gz"], ["a_p", "b_P"]),
        (["a/p.gz", "b/p-0001.gz"], ["p", "p-0001"]),
        ([".json.gz"], ["file"]),
    ],
)
def test_names_are_of_files_and_of_folders_where_they_must(paths: list[str], names: list[str]) -> None:
    assert task_names(paths) == names
    assert task_names(paths[::-1]) == names[::-1]


@pytest.mark.parametrize(
    "paths",
    [
        ["a/p.json.gz", "a/p.json.zst", "a/p.jsonl"],
        ["en/p.gz", "de/p.gz", "en_p.gz"],
        ["/a b/x", "/a_b/x", "/a?b/x"],
        [f"{'a' * 199}{letter}.gz" for letter in "abc"],
        [f"/{top}/1/2/3/4/5/6/x.gz" for top in "abc"],
        [f"{top}{'d' * 250}/x.gz" for top in "abc"],
        [f"/1/{top}/{'d' * 250}/{'e' * 250}/x.gz" for top in "abc"],
        ["../x.gz", "x.gz", ".cache/x.gz", "cache/x.gz"],
    ],
)
def test_no_two_files_have_one_name(paths: list[str]) -> None:
    names = task_names(paths)
    assert len({name.casefold() for name in names}) == len(paths)
    assert all(len(name) < 120 and not name.startswith(".") for name in names)


def test_one_file_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="there twice"):
        task_names(["a/x.gz", "a/x.gz"])


# ------------------------------------------------------------------------------------------------ roots


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, neox: str) -> Path:
    folder = tmp_path_factory.mktemp("project")
    build(folder / "raw")
    for name, copies in COPIES.items():
        for path, others in copies.items():
            for other in others:
                place = folder / "raw" / name / other
                place.parent.mkdir(exist_ok=True)
                shutil.copy(folder / "raw" / name / path, place)
    return folder


Go = Callable[..., RunReport]


@pytest.fixture
def go(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    monkeypatch.chdir(project)

    def run(root: str, raw: list[str], name: str, jobs: tuple[str, ...] = (), executor: str = "serial") -> RunReport:
        options = {"root": str(tmp_path / root), "executor": executor, "workers": 2}
        config = load_config("raw/rpj.yaml", options)
        settings = slice_settings(load(name).settings, name, config, {"input": tuple(raw)}, "raw/rpj.yaml")
        parts = [(load(name), settings)]
        parts += [(load_job(job), load_job(job).settings()) for job in jobs]
        return run_parts(parts, config, quiet=True, prune=True)

    return run


def raw_files(name: str) -> list[str]:
    """The raw files of a slice of the project, which is the current folder."""
    beside = ("wet.paths.gz", ".txt.md5")
    found = [str(path) for path in Path("raw", name).rglob("*") if path.is_file() and not path.name.endswith(beside)]
    return sorted(path for path in found if "index" not in path)


@pytest.mark.parametrize("executor", ["serial", "local"])
@pytest.mark.parametrize("name", NAMES)
def test_a_root_that_grew_and_shrank_is_like_one_made_at_once(go: Go, tmp_path: Path, name: str, executor: str) -> None:
    """Receipts and intermediate files as well: whatever the next run trusts."""
    files = raw_files(name)
    jobs = ("exact",) if name in ("c4", "github") else ()
    chosen = random.Random(f"{name} {executor}")
    steps = 4 if executor == "serial" else 2
    given = files[1:]
    go("grown", given, name, jobs, executor)
    for step in range(steps):
        out = chosen.sample(given, k=chosen.randint(0, len(given) // 2))
        new = [path for path in files if path not in given]
        given = sorted({*given}.difference(out).union(chosen.sample(new, k=chosen.randint(0, len(new))))) or files
        go("grown", given, name, jobs, executor)
        go(f"fresh{step}", given, name, jobs)
        assert files_of(tmp_path / "grown") == files_of(tmp_path / f"fresh{step}"), given


def done(report: RunReport) -> dict[str, int]:
    return {part.slice: part.done_now for part in report.slices}


def test_a_file_that_comes_or_goes_costs_its_own_task(go: Go) -> None:
    files = raw_files("c4")
    others = [path for path in files if "00000-of" not in path]
    assert done(go("root", others, "c4")) == {"c4": len(others)}
    assert done(go("root", files, "c4")) == {"c4": 1}
    assert done(go("root", files, "c4")) == {"c4": 0}
    assert done(go("root", others, "c4")) == {"c4": 0}


def test_a_file_behind_the_others_leaves_what_is_published_of_them(go: Go) -> None:
    """Keys are grouped again, and which records are copies; what is published of a shard only when that changes."""
    files = raw_files("github")
    assert done(go("root", files[:-1], "github", ("exact",))) == {"github": 2 * 5 + 2, "exact": 2 * 5 + 2}
    assert done(go("root", files, "github", ("exact",))) == {"github": 4, "exact": 4}
    assert done(go("root", files[:-1], "github", ("exact",))) == {"github": 2, "exact": 2}


def test_a_dump_behind_the_others_leaves_what_is_published_of_them(go: Go) -> None:
    """Of its own two shards all is done, of the others only the dedup, and what it says of each."""
    own, dedup = 4 * 2, 4
    files = raw_files("common_crawl")
    older = [path for path in files if "2022-05" in path]
    assert done(go("root", older, "common_crawl")) == {"common_crawl": own + dedup}
    assert done(go("root", files, "common_crawl")) == {"common_crawl": own + dedup}
    assert done(go("root", older, "common_crawl")) == {"common_crawl": dedup}


def test_of_two_files_of_one_name_each_has_that_of_its_folder(go: Go, tmp_path: Path) -> None:
    one, *_, other = raw_files("c4")
    go("root", [one], "c4")
    assert [path.name for path in (tmp_path / "root" / "c4").iterdir()] == ["b.jsonl.zst"]
    assert done(go("root", [one, other], "c4")) == {"c4": 2}
    assert sorted(path.name for path in (tmp_path / "root" / "c4").iterdir()) == ["c4_b.jsonl.zst", "de_b.jsonl.zst"]


def test_a_file_that_goes_leaves_nothing_while_another_is_broken(go: Go, tmp_path: Path) -> None:
    """Also when its name is that of the broken one with a number, as pieces of a file have them."""
    folder = tmp_path / "raw"
    folder.mkdir()
    good = Path(raw_files("github")[0]).read_bytes()
    for name in ("github_0", "github_0-0001", "github_1"):
        (folder / f"{name}.gz").write_bytes(good)
    go("root", [str(folder)], "github")
    (folder / "github_0.gz").write_bytes(gzip.compress(b"no JSON\n" * 20))
    (folder / "github_0-0001.gz").unlink()
    go("root", [str(folder)], "github")
    stages = {path.name.split(".")[0] for path in (tmp_path / "root/_run/github/publish").glob("*.receipt.json")}
    assert stages == {"github_0", "github_1"}
    (folder / "github_0.gz").write_bytes(good)
    go("root", [str(folder)], "github")
    go("fresh", [str(folder)], "github")
    assert files_of(tmp_path / "root") == files_of(tmp_path / "fresh")
