"""The command line as a user meets it: what commands do, every exit status, every message with its next action."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from whole_root import files_of

from redpajama_data.cli.main import cli
from redpajama_data.models.model_file import ModelFile

REPOSITORY = Path(__file__).resolve().parents[2]


Args = list[str | Path]


class Shown(NamedTuple):
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def rpj(*args: str | Path) -> Shown:
    """Run a command in this process. An error that is not turned into a message and a status fails the test here."""
    result = CliRunner(env={"RPJ_DEBUG": "1"}).invoke(cli, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Shown(result.exit_code, result.stdout, result.stderr)


def rpj_apart(*args: str | Path, **environment: str) -> Shown:
    """Run a command as a user does, in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    command = [sys.executable, "-m", "redpajama_data", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)
    return Shown(done.returncode, done.stdout, done.stderr)


@contextmanager
def holding(root: Path) -> Iterator[int]:
    """Another process holds the root; gives its id."""
    code = f"from redpajama_data.io.lock import hold\nwith hold({str(root)!r}): print('held', flush=True); input()"
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other.pid
        other.kill()


def record(n: int, **fields: Any) -> bytes:
    whole = {"path": f"src/file{n}.py", "license": "mit", "content": f"def function{n}():\n    return {n}\n", **fields}
    return json.dumps(whole).encode() + b"\n"


# Ten records in two files: seven kept, one a copy of the first, one not Python, one no record.
FIRST = [record(0), record(1), record(2, path="a.json"), record(3), b"no record\n"]
SECOND = [record(4), record(5), record(0, path="copy.py"), record(6), record(7)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name, lines in (("github_0.gz", FIRST), ("github_1.gz", SECOND)):
        (folder / name).write_bytes(gzip.compress(b"".join(lines), mtime=0))
    return folder


@pytest.fixture
def options(tiny_tokenizer: ModelFile) -> list[str]:
    """What every run of these tests is told: no model to fetch, no other process."""
    tokens = ["--tokenizer", tiny_tokenizer.path, "--set", f"code_tokenizer={tiny_tokenizer.path}"]
    return ["run", "--slice", "github", *tokens, "--set", "min_alpha_per_token=0", "--executor", "serial"]


@pytest.fixture
def root(tmp_path: Path, raw: Path, options: list[str]) -> Path:
    """The root of a finished run."""
    shown = rpj(*options, "--input", raw, "--root", tmp_path / "root")
    assert shown.code == 0
    return tmp_path / "root"


# ------------------------------------------------------------------------------------------------ what commands do


def test_run_says_what_it_did_and_does_nothing_twice(tmp_path: Path, raw: Path, options: list[str]) -> None:
    command: Args = [*options, "--input", raw, "--root", tmp_path / "root"]
    first = rpj(*command)
    assert first.code == 0
    assert "github: 10 records read, 7 documents published" in first.out
    assert "6 tasks done, 0 were done before" in first.out
    for stage, rule in (("clean", "malformed"), ("publish", "duplicate"), ("publish", "extension_in")):
        assert re.search(rf"^ +{stage} +{rule} +-1 ", first.out, re.MULTILINE), first.out
    before = files_of(tmp_path / "root")
    second = rpj(*command)
    assert second.code == 0
    assert "0 tasks done, 6 were done before" in second.out
    assert files_of(tmp_path / "root") == before


def test_local_workers_make_the_same_files(tmp_path: Path, raw: Path, root: Path, options: list[str]) -> None:
    shown = rpj_apart(*options[:-1], "local", "--workers", "2", "--input", raw, "--root", tmp_path / "other")
    assert shown.code == 0, shown.err
    assert files_of(tmp_path / "other") == files_of(root)
    assert "github clean: done, 2/2 tasks" in shown.err
    assert "records read" not in shown.err


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no PYTHONSAFEPATH")
def test_workers_run_the_code_of_their_run_and_not_that_of_the_current_folder(
    tmp_path: Path, raw: Path, options: list[str]
) -> None:
    """An installed rpj in a folder with a checkout of another version."""
    decoy = tmp_path / "here"
    (decoy / "redpajama_data").mkdir(parents=True)
    (decoy / "redpajama_data" / "__init__.py").write_text("raise SystemExit('the code of the current folder')")
    program = tmp_path / "bin" / "rpj"
    program.parent.mkdir()
    program.write_text("from redpajama_data.__main__ import main\nif __name__ == '__main__':\n    main()\n")
    words = [*options[:-1], "local", "--workers", "1", "--input", str(raw), "--root", str(tmp_path / "root"), "--quiet"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, program, *words], cwd=decoy, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "current folder" not in done.stderr


def test_run_json(tmp_path: Path, raw: Path, options: list[str]) -> None:
    shown = rpj(*options, "--input", raw, "--root", tmp_path / "root", "--json", "--quiet")
    [part] = shown.json()["slices"]
    assert (shown.code, shown.err, shown.json()["exit_code"]) == (0, "", 0)
    assert (part["slice"], part["documents"], part["tasks_done"], part["tasks_skipped"]) == ("github", 7, 6, 0)
    assert part["dropped"] == {"duplicate": 1, "extension_in": 1, "malformed": 1}
    [fall] = shown.json()["waterfalls"]
    assert (fall["slice"], fall["rows"][0]["documents"], fall["rows"][-1]["documents"]) == ("github", 10, 7)


def test_settings_come_from_the_file_and_the_command_line_wins(tmp_path: Path, raw: Path, options: list[str]) -> None:
    text = f"root: {tmp_path / 'root'}\nslices:\n  github:\n    input: [{raw}]\n    max_line_length: 5\n"
    (tmp_path / "c.yaml").write_text(text)
    assert re.search(r"publish +max_line_length +-7 ", rpj(*options, "--config", tmp_path / "c.yaml").out)
    again = rpj(*options, "--config", tmp_path / "c.yaml", "--set", "max_line_length=500")
    assert "7 documents published" in again.out


def test_status(root: Path) -> None:
    shown = rpj("status", root)
    assert (shown.code, shown.err) == (0, "")
    assert "github: complete, 2 raw files, 2 shards, 7 documents" in shown.out
    [part] = rpj("status", root, "--json").json()
    assert (part["slice"], part["inputs"], part["documents"]) == ("github", 2, 7)
    assert {stage["stage"]: stage["tasks"] for stage in part["stages"]} == {
        "clean": 2,
        "dedup": 1,
        "copies": 1,
        "publish": 2,
    }


def test_verify(root: Path) -> None:
    shown = rpj("verify", root)
    assert (shown.code, shown.err) == (0, "")
    assert re.search(r"\d+ checks, 0 problems\.", shown.out)
    assert rpj("verify", root, "--json").json()["problems"] == []
    [shard, _] = sorted(root.glob("github/*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    broken = rpj("verify", root)
    assert broken.code == 1
    assert re.search(rf"github/{shard.name}: .* Delete it and run again\.", broken.out)
    told = rpj("verify", root, "--json")
    assert (told.code, len(told.json()["problems"])) == (1, 1)


FATES = [
    ("github_0.gz#0", r"kept, github/github_0\.jsonl\.zst, line 1$"),
    ("github_1.gz#1", r"kept, github/github_1\.jsonl\.zst, line 2$"),
    ("github_0.gz#2", r"dropped in github/publish by extension_in: a\.json$"),
    ("github_0.gz#4", r"dropped in github/clean by malformed: line 5: .* \(limit a JSON object in UTF-8\)$"),
    ("github_1.gz#2", r"dropped in github/publish by duplicate: .*github_0\.gz#0$"),
]


@pytest.mark.parametrize(("name", "fate"), FATES)
def test_explain(root: Path, raw: Path, name: str, fate: str) -> None:
    shown = rpj("explain", root, raw / name)
    assert (shown.code, shown.err) == (0, "")
    assert re.search(fate, shown.out.strip())
    [told] = rpj("explain", root, raw / name, "--json").json()
    assert told["id"] == str(raw / name)


def test_count_tokens_of_a_root_and_of_files(root: Path, tiny_tokenizer: ModelFile) -> None:
    of_root = rpj("count-tokens", root)
    assert (of_root.code, of_root.err) == (0, "")
    assert "github" in of_root.out
    expected = sum(len(f"def function{n}():\n    return {n}\n") for n in (0, 1, 3, 4, 5, 6, 7))
    [part] = rpj("status", root, "--json").json()
    assert part["tokens"] == expected  # the tokenizer of these tests counts bytes
    files = sorted(root.glob("github/*"))
    of_files = rpj("count-tokens", *files, "--tokenizer", tiny_tokenizer.path, "--json")
    assert of_files.code == 0
    assert f'"tokens": {expected}' in of_files.out
    assert f'"tokens": {expected}' in rpj("count-tokens", root, "--json").out


def test_count_tokens_check_fails_far_from_the_published_total(root: Path) -> None:
    shown = rpj("count-tokens", root, "--check", "5%")
    assert shown.code == 1
    assert "github" in shown.out + shown.err


def test_sample_of_one_slice(tmp_path: Path) -> None:
    shown = rpj("sample", tmp_path / "sample", "--slice", "github")
    assert shown.code == 0
    assert len(list((tmp_path / "sample" / "github").glob("github_*.gz"))) == 4
    [config] = re.findall(r"Next: rpj run --all --config (\S+) --root out$", shown.out.strip())
    assert Path(config).is_file(), "the command names as next a file that is not there"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of models, and no network."""
    monkeypatch.setenv("RPJ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RPJ_OFFLINE", "1")
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def test_models(cache: Path, shared_data: Path) -> None:
    listed = rpj("models", "list")
    assert listed.code == 0
    for part in ("lid.176.ftz", "gpt-neox-20b", "CC-BY-SA-3.0", "Apache-2.0"):
        assert part in listed.out
    assert isinstance(rpj("models", "list", "--json").json(), list)
    missing = rpj("models", "path", "lid.176.ftz")
    assert (missing.code, missing.out) == (2, "")
    assert missing.err.strip().endswith("Fetch it: rpj models fetch lid.176.ftz")
    offline = rpj("models", "fetch", "lid.176.ftz")
    assert offline.code == 2
    assert "RPJ_OFFLINE is set" in offline.err
    shutil.copy(shared_data / "models" / "lid.176.ftz", cache / "lid.176.ftz")
    assert rpj("models", "path", "lid.176.ftz") == Shown(0, f"{cache}/lid.176.ftz\n", "")


# ------------------------------------------------------------------------------------------------ wrong usage: 2


CODE = ["--tokenizer", "TINY", "--set", "code_tokenizer=nosuch"]
WRONG: list[tuple[list[str], str]] = [
    ([], r"which slice\? Give --slice NAME \(.*github.*\) or --all\."),
    (
        ["--slice", "gitlab"],
        r"no slice is called 'gitlab'\. The slices are common_crawl, .*stackexchange, common_crawl_v2, instruct\.",
    ),
    (["--slice", "github", "--all"], r"--all and --slice exclude each other\. Give one of them\."),
    (
        ["--slice", "github", "--root", "NEW"],
        r"no input for github, and no folder raw/github here\. Try it on the sample: rpj sample\. Get .* rpj download",
    ),
    (
        ["--slice", "github", "--input", "RAW/none", "--root", "NEW"],
        r"no input there\. Expected a file, a glob, or .*gz.*",
    ),
    (["--slice", "github", "--input", "EMPTY", "--root", "NEW"], r"no input there\. Expected"),
    (["--slice", "github", "--input", "RAW/x*.gz", "--root", "NEW"], r"no input there\. Expected"),
    (["--slice", "github", "--input", "what://x", "--root", "NEW"], r"Use a local path or one of s3://"),
    (["--slice", "github", "--set", "max_line_length"], r"--set max_line_length: expected key=value\."),
    (["--slice", "github", "--set", "max_line=5"], r"--set max_line: no such setting\. Known here: .*max_line_length"),
    (["--slice", "github", "--set", "github.max_line=5"], r"max_line: no such key; known: .*max_line_length"),
    (["--slice", "github", "--set", "max_line_length=long"], r"--set for github: max_line_length: .*integer.*'long'"),
    (["--slice", "github", "--memory", "lots"], r"command line: memory: expected a size such as 600M or 4G"),
    (["--slice", "github", "--memory", "1M"], r"command line: memory: .*67108864"),
    (["--slice", "github", "--workers", "0"], r"command line: workers: .*greater than 0"),
    (["--slice", "github", "--set", "max_malformed=2"], r"max_malformed: .*less than or equal to 1"),
    (["--slice", "github", "--config", "none.yaml"], r"none\.yaml: cannot be read .* Check --config\."),
    (["--slice", "github", "--input", "RAW", "--root", "NEW", "--tokenizer", "nosuch"], r"nosuch"),
    (["--slice", "github", "--input", "RAW", "--root", "NEW", "--tokenizer", "/no/such"], r"/no/such"),
    (["--slice", "github", "--input", "RAW", "--root", "NEW", *CODE], r"nosuch"),
    # ... and what the last stage needs is opened before the first
    (
        ["--slice", "github", "--input", "RAW", "--root", "NEW", "--tokenizer", "CUT"],
        r"CUT: no tokenizer that can be read \(.*\)\. Give a tokenizer\.json or a SentencePiece \.model\.\n$",
    ),
    (
        ["--slice", "github", "--input", "RAW", "--root", "NEW", "--tokenizer", "OTHER"],
        r"OTHER: no tokenizer that can be read \(.*\)\. Give a tokenizer\.json or a SentencePiece \.model\.\n$",
    ),
    (["--slice", "github", "--input", "RAW", "--root", "NEW", "--tokenizer", "EMPTY"], r"EMPTY: not a file\. Give the"),
    (
        ["--slice", "github", "--input", "RAW", "--root", "NEW", "--tokenizer", "none"],
        r"slices and overlap count tokens\. Give --tokenizer a name or a path, or leave it out\.",
    ),
    (
        ["--slice", "github", "--input", "RAW", "--root", "NEW", "--tokenizer", "TINY", "--set", "code_tokenizer=CUT"],
        r"CUT: no tokenizer that can be read",
    ),
    (
        ["--slice", "arxiv", "--input", "TARS", "--root", "NEW", "--tokenizer", "TINY", "--set", "lid=CUT"],
        r"CUT: no fastText model that can be used",
    ),
    (
        ["--slice", "common_crawl", "--input", "TARS", "--root", "NEW", "--tokenizer", "TINY", "--set", "lid=CUT"],
        r"CUT: no fastText model that can be used",
    ),
    (["--slice", "github", "--root", "a\0b"], r"root: no file has a zero byte in its name"),
    (["--slice", "github", "--root", "a\udcff"], r"root: expected a name in UTF-8"),
    (["--slice", "github", "--input", "a\0b", "--root", "NEW", "--tokenizer", "TINY"], r"no input there"),
    (["--slice", "github", "--config", "EMPTY"], r"EMPTY: cannot be read \(Is a directory\)\. Check --config\."),
    (["--slice", "github", "--config", "a\0b"], r"a.*b.*: embedded null byte\. Check --config\."),
    (["--slice", "github", "--config", "/dev/zero"], r"/dev/zero: longer than a configuration can be"),
]


@pytest.mark.parametrize(("args", "message"), WRONG, ids=[" ".join(args) or "nothing" for args, _ in WRONG])
def test_wrong_usage(
    tmp_path: Path, raw: Path, cache: Path, tiny_tokenizer: ModelFile, args: list[str], message: str
) -> None:
    (tmp_path / "EMPTY").mkdir()
    places = {
        "RAW": str(raw),
        "EMPTY": str(tmp_path / "EMPTY"),
        "NEW": str(tmp_path / "new"),
        "TINY": tiny_tokenizer.path,
        "CUT": str(tmp_path / "CUT"),
        "OTHER": str(tmp_path / "OTHER"),
        "TARS": str(tmp_path / "TARS"),
    }
    Path(places["CUT"]).write_text(Path(tiny_tokenizer.path).read_text()[:-100])
    Path(places["OTHER"]).write_text('{"a": 1}')
    Path(places["TARS"]).mkdir()
    for name in ("arXiv_src_0001_001.tar", "a.warc.wet"):
        (tmp_path / "TARS" / name).touch()
    args = [
        re.sub("(?:^|(?<==))(RAW|EMPTY|NEW|TINY|CUT|OTHER|TARS)", lambda found: places[found[1]], arg) for arg in args
    ]
    shown = rpj("run", *args)
    assert (shown.code, shown.out) == (2, "")
    assert re.search(message, shown.err), shown.err
    assert shown.err.startswith("rpj: ")
    assert not (tmp_path / "new").exists()  # everything is looked at before the root is touched


CONFIGS = [
    ("root: out\nworker: 2\n", r"c\.yaml:2: worker: no such key; known: .*workers"),
    (
        "slices:\n  github:\n    max_line: 5\n",
        r"c\.yaml:3: slices\.github\.max_line: no such key; known: .*max_line_length",
    ),
    ("slices:\n  github:\n\n    max_line_length: long\n", r"c\.yaml:4: slices\.github\.max_line_length: .*integer"),
    ("workers: 1\nworkers: 2\n", r"c\.yaml:2: workers stands there twice\. Remove one\."),
    ("slices: [github]\n", r"c\.yaml:1: slices: "),
    ("slices:\n  gitlab: {}\n", r"no slice is called 'gitlab'\. The slices are"),
    ("a: [\n", r"c\.yaml: not YAML"),
    ("just text\n", r"c\.yaml:1: expected keys and values, found a str\."),
    ("\x00", r"c\.yaml"),
    ("a: &a\n  b: *a\n", r"c\.yaml: too many levels or keys"),
    (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n" * 1
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(9)),
        r"c\.yaml: too many levels or keys",
    ),
    ("root: 2020-99-99\n", r"c\.yaml.*: month must be in 1\.\.12"),
    ('root: "a\\0b"\n', r"c\.yaml:1: root: no file has a zero byte"),
    ("root: \udcff\n", r"c\.yaml: not YAML: .*Save it in UTF-8\."),
    ("slices:\n  github: 5\n", r"c\.yaml:2: slices\.github: "),
]


@pytest.mark.parametrize(("text", "message"), CONFIGS)
def test_wrong_configurations(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    shown = rpj("run", "--slice", "github", "--config", tmp_path / "c.yaml")
    assert (shown.code, shown.out) == (2, "")
    assert re.search(message, shown.err), shown.err


OTHERS: list[tuple[list[str], str]] = [
    (["status", "EMPTY"], r"no run there\. Start one: rpj run --all --root "),
    (["verify", "EMPTY"], r"no run there\. Start one: rpj run"),
    (["explain", "EMPTY", "a#1"], r"no run there\. Start one: rpj run"),
    (["count-tokens", "EMPTY"], r"rpj: .+"),
    (["count-tokens", "EMPTY/none.jsonl"], r"rpj: .+"),
    (["models", "path", "lid.175.ftz"], r"lid\.176\.ftz"),
    (["models", "fetch", "nosuch"], r"nosuch"),
    (["sample", "EMPTY", "--slice", "gitlab"], r"no slice is called 'gitlab'"),
    (["explain", "ROOT", "nothing"], r"has no such record\. An id is .*inputs\.txt\."),
    (["explain", "ROOT", "RAW/github_0.gz#99"], r"has no such record\. An id is .*inputs\.txt\."),
    (["count-tokens", "ROOT", "--check", "much"], r"rpj: .*much"),
    (["count-tokens", "ROOT", "--tokenizer", "nosuch"], r"nosuch"),
]


@pytest.mark.parametrize(("args", "message"), OTHERS, ids=[" ".join(args) for args, _ in OTHERS])
def test_wrong_usage_of_other_commands(
    tmp_path: Path, raw: Path, root: Path, cache: Path, args: list[str], message: str
) -> None:
    (tmp_path / "EMPTY").mkdir()
    places = {"RAW": str(raw), "EMPTY": str(tmp_path / "EMPTY"), "ROOT": str(root)}
    shown = rpj(*(re.sub("^(RAW|EMPTY|ROOT)", lambda found: places[found[1]], arg) for arg in args))
    assert shown.code == 2
    assert re.search(message, shown.err), shown.err


CLICKS = [
    ["run", "--workers", "two"],
    ["run", "--executor", "slurm"],
    ["run", "--nosuch"],
    ["nosuch"],
    ["explain"],
]


@pytest.mark.parametrize("args", CLICKS, ids=map(" ".join, CLICKS))
def test_what_click_refuses_points_to_the_help(args: list[str]) -> None:
    shown = rpj(*args)
    assert shown.code == 2
    assert "-h" in shown.err


# ------------------------------------------------------------------------------------------------ partly done: 3


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damaged(data: bytes) -> bytes:
    return data[:20] + bytes(byte ^ 0xFF for byte in data[20:40]) + data[40:]


BROKEN: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("truncated", truncated),
    ("damaged", damaged),
    ("not gzip", lambda data: b"this is not gzip at all\n" * 9),
]


@pytest.mark.parametrize(("what", "harm"), BROKEN, ids=[what for what, _ in BROKEN])
def test_a_broken_file_is_reported_and_the_rest_is_done(
    tmp_path: Path, raw: Path, options: list[str], what: str, harm: Callable[[bytes], bytes]
) -> None:
    whole = gzip.compress(b"".join(record(n) for n in range(10, 500)), mtime=0)
    (raw / "github_2.gz").write_bytes(harm(whole))
    command: Args = [*options, "--input", raw, "--root", tmp_path / "root"]
    shown = rpj(*command)
    assert shown.code == 3
    assert shown.err.rstrip().endswith(f"(exit status 3). What, and why: rpj status {tmp_path / 'root'}")
    assert re.search(
        rf"broken: {re.escape(str(raw))}/github_2\.gz: .*"
        r"([Ff]etch the file again, then run again\.|Is this the right file\? Check --input\.)",
        shown.err,
    )
    assert rpj("verify", tmp_path / "root").code == 0
    status = rpj("status", tmp_path / "root")
    assert status.code == 3
    assert "github: incomplete" in status.out
    assert "github_2.gz" in status.out
    assert [part["broken"] for part in rpj(*command, "--json").json()["slices"]] != [[]]
    assert rpj(*command).code == 3  # it stays broken, and says so again
    published = sum(1 for _ in (tmp_path / "root" / "github").iterdir())
    assert published == 3
    (raw / "github_2.gz").write_bytes(whole)
    assert rpj(*command).code == 0
    rpj(*options, "--input", raw, "--root", tmp_path / "fresh")
    assert files_of(tmp_path / "root") == files_of(tmp_path / "fresh")


def test_an_empty_file_is_no_gzip_and_no_disaster(tmp_path: Path, raw: Path, options: list[str]) -> None:
    (raw / "github_2.gz").write_bytes(b"")
    shown = rpj(*options, "--input", raw, "--root", tmp_path / "root")
    assert shown.code in (0, 3)
    assert "7 documents published" in shown.out


def test_a_file_of_another_format_is_quarantined_with_the_reason(tmp_path: Path, raw: Path, options: list[str]) -> None:
    (raw / "github_2.jsonl").write_text("a,b,c\n" * 200)
    shown = rpj(*options, "--input", raw, "--root", tmp_path / "root")
    assert shown.code == 3
    assert "quarantined: clean/github_2: " in shown.err
    assert "200 of 200 records are malformed" in shown.err
    assert "7 documents published" in shown.out
    status = rpj("status", tmp_path / "root")
    assert status.code == 3
    assert "quarantined" in status.out
    assert rpj(*options, "--input", raw, "--root", tmp_path / "root").code == 3


# ------------------------------------------------------------------------------------------------ in use: 4


def test_a_root_in_use(tmp_path: Path, raw: Path, options: list[str]) -> None:
    command: Args = [*options, "--input", raw, "--root", tmp_path / "root"]
    with holding(tmp_path / "root") as pid:
        shown = rpj_apart(*command)
        assert (shown.code, shown.out) == (4, "")
        assert re.search(rf"is in use by .*process {pid} .*Wait for it, or choose another --root\.$", shown.err.strip())
        assert "Traceback" not in shown.err
    assert rpj(*command).code == 0  # a lock ends with its process


# ------------------------------------------------------------------------------------------------ no place: 5


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below"])
def test_a_file_in_the_way_of_the_root(tmp_path: Path, raw: Path, options: list[str], place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    shown = rpj_apart(*options, "--input", raw, "--root", tmp_path / place)
    assert (shown.code, shown.out) == (5, "")
    assert (
        f"{tmp_path / 'file'} is a file, and a folder is needed there. Move it away, or write to another" in shown.err
    )
    assert "Traceback" not in shown.err
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("place", ["link", "link/below"])
def test_a_link_to_nowhere_in_the_way_of_the_root(tmp_path: Path, raw: Path, options: list[str], place: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    shown = rpj(*options, "--input", raw, "--root", tmp_path / place)
    assert (shown.code, shown.out) == (5, "")
    assert f"{tmp_path / 'link'} is a link that leads nowhere" in shown.err
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("victim", ["github", "_run/github/clean", "_run/github/publish"])
def test_a_file_in_the_way_of_a_folder(tmp_path: Path, raw: Path, options: list[str], victim: str) -> None:
    in_the_way = tmp_path / "root" / victim
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("in the way")
    command: Args = [*options, "--input", raw, "--root", tmp_path / "root"]
    shown = rpj(*command)
    assert shown.code == 5
    assert f"{in_the_way} is a file, and a folder is needed there. Move it away" in shown.err
    in_the_way.unlink()
    assert rpj(*command).code == 0


@pytest.mark.parametrize(
    ("victim", "what"),
    [
        ("_run/lock", "a folder, and a file"),
        ("_run/holder.json", "a folder, and a file"),
        ("_run/github/run.json", "a folder, and a file"),
        ("manifest.json", "a folder, and a file"),
        ("_run/lock", "a link, and a file of rpj's own"),
    ],
)
def test_a_folder_or_link_in_the_way_of_a_file(
    tmp_path: Path, raw: Path, options: list[str], victim: str, what: str
) -> None:
    in_the_way = tmp_path / "root" / victim
    in_the_way.parent.mkdir(parents=True)
    if "link" in what:
        in_the_way.symlink_to(tmp_path / "nowhere")
    else:
        in_the_way.mkdir()
    command: Args = [*options, "--input", raw, "--root", tmp_path / "root"]
    shown = rpj(*command)
    assert shown.code in (2, 5), shown.err
    assert f"{in_the_way} is {what}" in shown.err
    assert "Traceback" not in shown.err
    in_the_way.unlink() if in_the_way.is_symlink() else in_the_way.rmdir()
    assert rpj(*command).code == 0


def test_a_sample_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    shown = rpj("sample", tmp_path / "file", "--slice", "github")
    assert shown.code == 5
    assert shown.err.strip().endswith("Choose another folder.")


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of that size; skips where this user may not mount one."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a full disk cannot be made here: mounting a tmpfs is not permitted")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(("executor", "free"), [("serial", 0), ("serial", 150 << 10), ("local", 150 << 10)])
def test_a_full_disk(tmp_path: Path, raw: Path, options: list[str], executor: str, free: int) -> None:
    lines = [record(n, content=f"def f{n}():\n" + os.urandom(400).hex() + "\n") for n in range(10, 300)]
    (raw / "github_2.gz").write_bytes(gzip.compress(b"".join(lines), mtime=0))
    with small_disk(tmp_path / "disk", "16M"):
        root = tmp_path / "disk" / "root"
        command: Args = [*options[:-1], executor, "--workers", "2", "--input", raw, "--root", root]
        ballast = tmp_path / "disk" / "ballast"
        with ballast.open("wb") as file:
            file.write(bytes(shutil.disk_usage(tmp_path / "disk").free - free))
        shown = rpj_apart(*command)
        assert (shown.code, shown.out) == (5, ""), shown.err
        assert re.search(
            r"no space left\. Free some, then run the same command again: it goes on where it stopped\.", shown.err
        )
        assert "Traceback" not in shown.err
        whole = [path for path in root.rglob("*.zst") if ".tmp-" not in path.name]
        assert all(reads(path) for path in whole)
        ballast.unlink()
        assert rpj(*command).code == 0
        assert rpj("verify", root).code == 0
        assert not [path for path in root.rglob("*") if ".tmp-" in path.name]
        rpj(*options, "--input", raw, "--root", tmp_path / "fresh")
        assert files_of(root) == files_of(tmp_path / "fresh")


def reads(path: Path) -> bool:
    """True when a zstd file is whole: its end has the checksum of its content."""
    from redpajama_data.io.lines import iter_lines

    return all(line for line in iter_lines(str(path), max_bytes=1 << 30))


# ------------------------------------------------------------------------------------------------ the unforeseen

UNFORESEEN: list[tuple[BaseException, int, str]] = [
    (
        OSError(5, "Input/output error", "disk"),
        5,
        r"^rpj: disk: Input/output error\. Mend that, then run the same command",
    ),
    (OSError(28, "No space left on device"), 5, r"^rpj: No space left on device\. Free some space, then run the same"),
    (OSError(24, "Too many open files"), 5, r"^rpj: Too many open files\. Raise the limit .*ulimit -n.*run the same"),
    (MemoryError(), 5, r"^rpj: out of memory\. Give fewer --workers"),
    (KeyboardInterrupt(), 130, r"^rpj: stopped \(Ctrl-C\)\. Nothing is lost: the same command goes on\."),
    (KeyError("odd"), 1, r"^rpj: KeyError: 'odd'\. This is a defect of rpj\. Please report it with (\S+\.txt), which"),
]


@pytest.mark.parametrize(("error", "status", "message"), UNFORESEEN, ids=[repr(error) for error, *_ in UNFORESEEN])
def test_any_other_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException, status: int, message: str
) -> None:
    def fail(root: str) -> None:
        raise error

    monkeypatch.setattr("redpajama_data.reports.root_status.status", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shown = CliRunner().invoke(cli, ["status", "out"])
    assert (shown.exit_code, shown.stdout, shown.stderr.count("\n")) == (status, "", 1)
    found = re.search(message, shown.stderr)
    assert found, shown.stderr
    if found.groups():
        assert re.search(r"Traceback.*in fail.*KeyError: 'odd'", Path(found[1]).read_text(), re.DOTALL)
    else:
        assert not list(tmp_path.iterdir())
    if isinstance(error, Exception):
        assert CliRunner(env={"RPJ_DEBUG": "1"}).invoke(cli, ["status", "out"]).exception is error


def test_a_cache_that_cannot_be_written_names_rpj_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RPJ_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.delenv("RPJ_OFFLINE", raising=False)
    shown = rpj("models", "fetch", "lid.176.ftz")
    assert shown.code == 2
    assert re.search(
        r"file/cache, cannot be written \(Not a directory\)\. Set RPJ_CACHE to a folder that can", shown.err
    )


def test_count_tokens_goes_on_after_a_bad_line(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nbad\n{"text": "two"}\n{"no": "text"}\n')
    command: Args = ["count-tokens", tmp_path / "a.jsonl", "--tokenizer", tiny_tokenizer.path]
    shown = rpj(*command)
    assert (shown.code, "files" in shown.out) == (3, True)
    assert re.search(r"^not counted in files: 2 lines, the first .*a\.jsonl:2: not JSON", shown.err)
    told = rpj(*command, "--json")
    assert (told.code, told.json()["total"]["tokens"]) == (3, 6)
    [unread] = told.json()["unread"]
    assert (unread["slice"], unread["lines"]) == ("files", 2)


# ------------------------------------------------------------------------------------------------ as a program


def test_no_traceback_in_a_process_of_its_own(tmp_path: Path, raw: Path) -> None:
    wrong: list[Args] = [
        ["status", tmp_path],
        ["run", "--slice", "github", "--input", raw, "--root", tmp_path / "r", "--tokenizer", "nosuch"],
    ]
    for args in wrong:
        shown = rpj_apart(*args)
        assert (shown.code, "Traceback" in shown.err) == (2, False), shown.err


def test_output_into_a_closed_pipe_is_no_traceback(root: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "redpajama_data", "status", str(root), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_run_that_was_ended_is_not_complete(tmp_path: Path, raw: Path, options: list[str]) -> None:
    import msgspec

    root = tmp_path / "root"
    assert rpj(*options, "--input", raw, "--root", root).code == 0
    assert rpj("status", root).code == 0
    note = root / "_run" / "github" / "run.json"
    note.write_bytes(msgspec.json.encode({**msgspec.json.decode(note.read_bytes()), "finished": False}))
    shown = rpj("status", root)
    assert (shown.code, "incomplete" in shown.out) == (3, True)
