"""What README and docs show is what happens: their Python blocks, and the shell blocks marked ``sh run``, are executed
from top to bottom on the sample, in a folder with ``raw`` (rpj sample) and ``out`` (rpj run --all)."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_docs import DOCUMENTS, README, blocks, name_of, parses, simple_commands, typed_lines

import redpajama_data
import slices
import slices.jobs
from redpajama_data import sample
from redpajama_data.cli.main import COMMANDS, cli
from redpajama_data.io.shards import read_jsonl

BLOCK = re.compile(r"^```(python|sh run)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULE = re.compile(r"^# ((?:slices|filters)/(?:\w+/)*(\w+))\.py\n")


def takes_executor(words: list[str]) -> bool:
    try:
        parses([*words, "--executor", "serial"])
    except Exception:
        return False
    return words[1] in COMMANDS


def rpj(line: str, right: Collection[int] = (0, 3)) -> str:
    """Run a line of shell in this process; what it printed. ``right`` are its statuses (3: the sample has damaged files
    on purpose); a comment ``# exits N`` says another."""
    expected = re.search(r"# exits (\d+)", line)
    shown = ""
    for words in simple_commands(re.sub(r"\s#\s.*", "", line)):
        more = ["--executor", "serial"] if takes_executor(words) else []
        result = CliRunner(env={"RPJ_DEBUG": "1"}).invoke(cli, [*words[1:], *more])
        assert result.exit_code in ({int(expected[1])} if expected else right), (
            f"{line}\n{result.output}\n{result.exception}"
        )
        shown += result.output
    return shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, neox: str) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        rpj("rpj sample && rpj run --all")
        stand_ins(place)
        yield place


def stand_ins(folder: Path) -> None:
    """What the examples take for given, out of the sample: a crawl, a dump, a classifier, a tokenizer, two corpora."""
    models = Path(sample.__path__[0], "models")
    shutil.copytree(folder / "raw" / "common_crawl", folder / "crawl")
    shutil.copy(models / "wikiref.bin", folder / "wikiref.bin")
    (folder / "llama").mkdir()
    shutil.copy(models / "en.sp.model", folder / "llama" / "tokenizer.model")
    [dump] = (folder / "raw" / "wikipedia").glob("enwiki-*.xml.bz2")
    shutil.copy(dump, folder / "enwiki-20230320-pages-articles.xml.bz2")
    for name, of in {"cited.jsonl": "wikipedia", "crawl.jsonl": "c4"}.items():
        texts = [document.text for document in redpajama_data.open(str(folder / "out"), of)]
        (folder / name).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def install(name: str, path: Path, patch: pytest.MonkeyPatch) -> None:
    """A module of a document, as if it lay in the package."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, name, module)
    patch.setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module, raising=False)
    spec.loader.exec_module(module)
    for package in (slices, slices.jobs):
        if name.rpartition(".")[0] == package.__name__:
            patch.setattr(package, "NAMES", (*package.NAMES, name.rpartition(".")[2]))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_what_a_document_shows_happens(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {"__name__": "docs"}
    text, shown = path.read_text(encoding="utf-8"), ""
    for kind, block in BLOCK.findall(text):
        module = MODULE.match(block)
        if kind == "sh run":
            for line in typed_lines(block):
                shown += rpj(line)
        elif module:
            file = folder / "modules" / f"{module[1].replace('/', '.')}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(block, encoding="utf-8")
            install(module[1].replace("/", "."), file, monkeypatch)
        else:
            exec(compile(block, f"{path.name}", "exec"), names)
    fates = [line for block in blocks(text, "text") for line in block.splitlines() if " dropped in " in line]
    assert [line for line in fates if line not in shown] == [], "another fate than shown"


def test_the_record_that_the_readme_shows_is_published(folder: Path) -> None:
    shown = re.search(r'"text": "(local Jury.*?) \.\.\."', README.read_text(encoding="utf-8"))
    assert shown is not None
    start = shown[1].encode().decode("unicode_escape")
    shards = sorted((folder / "out" / "github").glob("*.zst"))
    [record] = [r for shard in shards for r in read_jsonl(str(shard)) if r["text"].startswith(start)]
    for field in re.findall(
        r'"(\w+)": ', README.read_text(encoding="utf-8").partition('"meta": {"c')[2].partition("}")[0]
    ):
        assert field in record["meta"]
    assert record["meta"]["line_count"] == 16
    assert record["meta"]["content_hash"] == "f8c38d7f60fb64075d4eaaface24983b"


@pytest.mark.parametrize(
    ("status", "mails"), [(0, 0), (1, 1), (2, 1), (3, 1), (4, 0), (5, 1), (6, 0), (7, 1), (143, 1)], ids=str
)
def test_the_script_for_cron_mails_when_somebody_must_look(status: int, mails: int, tmp_path: Path) -> None:
    text = next(path for path in DOCUMENTS if path.name == "operate.md").read_text(encoding="utf-8")
    [script] = [block for block in blocks(text, "sh") if "rpj-cron.sh" in block]
    (tmp_path / "rpj-cron.sh").write_text(script)
    told = tmp_path / "told"
    for name, body in {"rpj": f'[ "$1" = run ] && exit {status}; echo broken: x', "mail": f"cat >> {told}"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["sh", tmp_path / "rpj-cron.sh", "c.yaml", "out"], env={"PATH": path}, check=False)
    assert done.returncode == status
    assert told.exists() == bool(mails)
    assert status != 3 or "broken: x" in told.read_text()


def test_the_script_for_slurm_is_one() -> None:
    script = Path(__file__).resolve().parents[2] / "scripts/cluster/slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    text = next(path for path in DOCUMENTS if path.name == "operate.md").read_text(encoding="utf-8")
    assert "sbatch --nodes=4 scripts/cluster/slurm.sh run --all" in text


def test_format_names_every_kind_of_file_of_a_root(folder: Path) -> None:
    text = next(path for path in DOCUMENTS if path.name == "format.md").read_text(encoding="utf-8")
    named = re.compile(r"\.(receipt\.json|quarantine\.json|(?:[a-z]+\.)?(?:jsonl|ids)\.zst|[a-z]+)$")
    found = {named.search(path.name) for path in (folder / "out").rglob("*") if path.is_file() and path.suffix}
    endings = {match[1] if match else "" for match in found}
    own = {ending for ending in endings if not ending.startswith(("com.", "articles.", "middle.", "head."))}
    assert {"receipt.json", "drops.jsonl.zst", "keys", "verdicts"} <= own
    assert [ending for ending in sorted(own) if f".{ending}" not in text] == []


def test_format_reads_a_root_with_the_libraries_that_ci_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """scripts/read_root.py runs that code where the libraries are installed; here it only has to be found."""
    monkeypatch.syspath_prepend(str(README.parent / "scripts"))
    read_root = importlib.import_module("read_root")
    found = read_root.blocks(read_root.DOCUMENT.read_text(encoding="utf-8"))
    project = (README.parent / "pyproject.toml").read_text(encoding="utf-8")
    group = re.search(r"^readers = \[(.*?)\]", project, re.MULTILINE)
    assert group is not None
    assert {*found, "zstandard"} == set(re.findall(r'"(\w+)', group[1]))
    for name, code in found.items():
        assert f"import {name}" in code
        compile(code, name, "exec")


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("rows = [('a', {'k': 1}), ('b', '{\"k\": 2}')]", None),
        ("rows = [('a', None), ('b', None)]", None),
        ("rows = [('a', {'k': 1})]", "1 documents, the shards have 2"),
        ("rows = [('a', {'k': 1}), ('b', {'k': 2.5})]", "document 1 differs"),
        ("rows = [('b', None), ('a', None)]", "document 0 differs, and 1 more"),
    ],
)
def test_what_another_library_reads_is_held_against_the_shards(
    code: str, wrong: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(README.parent / "scripts"))
    said = importlib.import_module("read_root").difference(code, [("a", {"k": 1}), ("b", {"k": 2})])
    assert said is None if wrong is None else said is not None and wrong in said


def test_dependencies_names_every_library() -> None:
    text = next(path for path in DOCUMENTS if path.name == "dependencies.md").read_text(encoding="utf-8")
    project = (README.parent / "pyproject.toml").read_text(encoding="utf-8")
    libraries = re.findall(
        r'^  "([\w-]+)', project.partition("\ndependencies = [")[2].partition("]\n")[0], re.MULTILINE
    )
    assert len(libraries) > 20
    named = ("fasttext", "kenlm", "sentencepiece", "datasketch", "zstandard", "jsonlines", "click", "tqdm", "CCNet")
    assert [name for name in (*libraries, *named) if not re.search(rf"^\| (the )?{name}\b", text, re.MULTILINE)] == []


def test_recipe_names_every_threshold_as_a_rule_or_setting() -> None:
    text = next(path for path in DOCUMENTS if path.name == "recipe.md").read_text(encoding="utf-8")
    rules = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)
    code = "\n".join(
        path.read_text() for name in ("slices", "filters") for path in (README.parent / name).rglob("*.py")
    )
    assert len(rules) > 20
    assert [rule for rule in rules if rule not in code] == []
