"""Configuration errors name the key, the line and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from redpajama_data.config import (
    RunConfig,
    SliceSettings,
    load_config,
    parse_count,
    parse_sets,
    parse_size,
    slice_settings,
    split_settings,
)
from redpajama_data.errors import UsageError
from slices.github import GithubSettings


@pytest.mark.parametrize(
    ("text", "size"), [("600M", 600 << 20), ("2 GiB", 2 << 30), ("1.5k", 1536), ("7", 7), (7, 7), ("3TB", 3 << 40)]
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-5M", "5 parsecs", True, None])
def test_no_sizes(text: object) -> None:
    with pytest.raises(ValueError, match="600M"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("800B", 800 * 10**9), ("1.4T", 14 * 10**11), ("1.000001m", 1_000_001), ("2 K", 2000), ("7", 7), (7, 7)],
)
def test_counts_are_powers_of_a_thousand(text: object, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "many", "-5M", "5 MB", "1e9", "9" * 31, True, None])
def test_no_counts(text: object) -> None:
    with pytest.raises(ValueError, match="800B"):
        parse_count(text)


BAD = [
    ("workers: 2\nworker: 3\n", r"c\.yaml:2: worker: no such key; known: .*workers"),
    ("\nworkers: two\n", r"c\.yaml:2: workers: .*integer.*'two'"),
    ("workers: '2'\n", r"c\.yaml:1: workers: .*integer"),
    ("workers: 0\n", r"c\.yaml:1: workers: .*greater than 0"),
    ("memory: lots\n", r"c\.yaml:1: memory: expected a size such as 600M"),
    ("executor: slurm\n", r"c\.yaml:1: executor: "),
    ("workers: 1\nworkers: 2\n", r"c\.yaml:2: workers stands there twice"),
    ("- a\n", r"c\.yaml:1: expected keys and values, found a list"),
    ("a: [\n", r"c\.yaml: not YAML"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_config(str(tmp_path / "c.yaml"), {})


BAD_SLICE = [
    ("slices:\n  github:\n    max_line: 9\n", r"c\.yaml:3: slices\.github\.max_line: no such key"),
    ("slices:\n  github:\n    max_line_length: '9'\n", r"c\.yaml:3: slices\.github\.max_line_length: .*integer"),
    ("slices:\n  github:\n    input: [a, 7]\n", r"c\.yaml:3: slices\.github\.input\.1: .*string"),
]


@pytest.mark.parametrize(("text", "message"), BAD_SLICE)
def test_bad_slice_settings(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    path = str(tmp_path / "c.yaml")
    with pytest.raises(UsageError, match=message):
        slice_settings(GithubSettings, "github", load_config(path, {}), {}, path)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("workers: 2\nmemory: 1G\nslices:\n  github: {max_line_length: 5, input: [x]}\n")
    path = str(tmp_path / "c.yaml")
    config = load_config(path, {"workers": 3, "memory": None})
    assert (config.workers, config.memory) == (3, 1 << 30)
    settings = slice_settings(GithubSettings, "github", config, {"max_line_length": "7"}, path)
    assert (settings.max_line_length, settings.input, settings.avg_line_length) == (7, ("x",), 100)


def test_set_goes_to_the_slices_that_have_the_key_else_to_the_run() -> None:
    class Other(SliceSettings):
        languages: str = "en"

    slices: dict[str, type[SliceSettings]] = {"github": GithubSettings, "other": Other}
    given = parse_sets(["languages=de", "github.max_line_length=4", "zstd_level=5", "source_shards=9"])
    run, of_slice = split_settings(given, slices)
    assert run == {"zstd_level": "5"}
    assert of_slice == {
        "github": {"max_line_length": "4", "source_shards": "9"},
        "other": {"languages": "de", "source_shards": "9"},
    }


@pytest.mark.parametrize(
    ("item", "message"), [("languages", "key=value"), ("langs=en", "no such setting.*max_line_length")]
)
def test_set_that_nothing_has(item: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split_settings(parse_sets([item]), {"github": GithubSettings})


def ten_of_the_last(form: str, levels: int) -> str:
    return "a0: &a0 {k: 1}\n" + "".join(
        f"a{i}: &a{i}\n  {form}\n".replace("%", ", ".join([f"*a{i - 1}"] * 10)) for i in range(1, levels)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("root: !!python/object/apply:os.mkdir [made]", "could not determine a constructor for the tag"),
        ("root: !!python/name:os.mkdir", "could not determine a constructor for the tag"),
        (ten_of_the_last("b: [%]", 12), "too many levels or keys"),
        (ten_of_the_last("<<: [%]", 12), "too many levels or keys"),
        (ten_of_the_last("? [%]\n  : 1", 12), "a key is a name"),
        ("a: &a [*a]", "too many levels or keys"),
        ("a: &a {<<: *a}", "too many levels or keys"),
        ("a: " + "[" * 20_000, "recursion"),
        ("a:\n" + "".join(" " * i + "a:\n" for i in range(1, 700)), "recursion"),
        ("workers: " + "9" * 5000, "4300 digits"),
        ("workers: " + "[1]" + " " * (1 << 18), "longer than a configuration"),
        ("workers: [" + "1, " * 20_000 + "]", r"\.\.\. \([\d,]+ characters\)$"),
        ('root: "\\0"', "zero byte"),
        ("root: 2001-99-99", "month must be in"),
    ],
    ids=range(14),
)
def test_a_hostile_file_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rpj.yaml").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_config("rpj.yaml", {})
    assert len(str(caught.value)) < 700
    assert [path.name for path in tmp_path.iterdir()] == ["rpj.yaml"], "code ran"


@pytest.mark.parametrize("named", ["redpajama-1t", "redpajama-v2"])
def test_the_named_runs_are_valid(named: str) -> None:
    from slices import jobs, load

    path = str(Path(__file__).resolve().parents[2] / "configs" / f"{named}.yaml")
    config = load_config(path, {})
    assert isinstance(config, RunConfig)
    for name in config.slices:
        slice_settings(load(name).settings, name, config, {}, path)
    for name in config.jobs:
        slice_settings(jobs.load(name).settings, name, config, {}, path)
