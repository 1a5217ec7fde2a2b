"""What surrounds the trainers' own readers (``make trainers``), which are not installed here; their configurations."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from redpajama_data.cli.main import cli

TOP = Path(__file__).resolve().parents[2]
END = "<|endoftext|>"


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """A module of scripts/."""
    monkeypatch.syspath_prepend(str(TOP / "scripts"))
    return importlib.import_module(name)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tokens of two slices as a mixture, with documents held out; the current folder is where they were made."""
    monkeypatch.chdir(tmp_path)
    for name in ("books", "c4"):
        Path("in", name).mkdir(parents=True)
        texts = [f"{name} {number} of {END} them" for number in range(60)]
        Path("in", name, "0.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    Path("mixture.yaml").write_text("shares: {books: 1, c4: 1}\n")
    words = "tokenize in --root out --mixture mixture.yaml --held-out 0.2 --executor serial --quiet"
    done = CliRunner().invoke(cli, words.split(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return Path("out")


def stand_in(prefix: Path, report: dict[str, Any]) -> list[Any]:
    """Documents of a prefix, in the place of megatron-core: an end of id 0 closes each."""
    ids = np.fromfile(f"{prefix}.bin", report["dtype"])
    return np.split(ids, np.flatnonzero(ids == 0) + 1)[:-1]


def test_documents_are_held_against_their_texts(
    root: Path, neox: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read_tokens = script(monkeypatch, "read_tokens")
    monkeypatch.setattr(read_tokens, "by_megatron", stand_in)
    monkeypatch.setattr(read_tokens, "megatron_writes", lambda *_: None)
    assert read_tokens.main([root], Path(neox)) == 0
    assert re.findall(r"megatron +(\S+).*documents equal", capsys.readouterr().out) == ["held-out", "train"]
    ids = np.fromfile("out/tokenize/train.bin", "<u2")
    ids[1] += 1
    ids.tofile("out/tokenize/train.bin")
    assert read_tokens.main([root], Path(neox)) == 1
    assert "document 0 differs at id 1" in capsys.readouterr().out
    Path("out/tokenize/held-out.bin").unlink()
    assert read_tokens.main([root], Path(neox)) == 1
    assert re.search(
        "held-out.* not read: FileNotFoundError.*\ntrain", capsys.readouterr().out.replace("megatron  ", "")
    )


def test_another_tokenizer_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(SystemExit, match="is not what out was made with"):
        script(monkeypatch, "read_tokens").main([root], tmp_path / "other.json")


@pytest.mark.parametrize(
    ("found", "expected", "wrong"),
    [
        ([[1, 0], [2, 0]], [[1, 0], [2, 0]], None),
        ([[1, 0]], [[1, 0], [2, 0]], "1 documents, the texts are more"),
        ([[1, 0], [2, 0]], [[1, 0]], "2 documents, the texts are 1"),
        ([[1, 0], [2, 0]], [[1, 0], [3, 0]], "document 1 differs at id 0"),
        ([[1, 0], [2]], [[1, 0], [2, 0]], "document 1 differs in length: 1, its text gives 2 ids"),
        ([], [], None),
    ],
)
def test_a_difference_is_named(
    found: list[list[int]], expected: list[list[int]], wrong: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = script(monkeypatch, "read_tokens").difference([np.array(ids) for ids in found], iter(expected))
    assert said is None if wrong is None else wrong in said


def test_the_data_of_gpt_neox_are_the_prefixes_of_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file in configs/train names those of such a root; each path is one that can be read."""
    neox_data = script(monkeypatch, "neox_data")
    found = neox_data.data_of(root)
    example = yaml.safe_load((TOP / "configs/train/data.yml").read_text())
    assert list(found) == list(example)
    for key, value in found.items():
        if key.endswith("_paths"):
            assert [path.replace("out/", "mixed/") for path in value] == example[key]
            assert all(Path(f"{path}{ending}").is_file() for path in value for ending in (".bin", ".idx"))
    report = json.loads((root / "tokenize/tokens.json").read_text())
    assert found["train_data_weights"] == [p["tokens"] for p in report["prefixes"] if not p["held_out"]]
    for change, said in (({"format": "uint"}, "--format megatron"), ({"prefixes": []}, "--held-out")):
        (root / "tokenize/tokens.json").write_text(json.dumps(report | change))
        with pytest.raises(SystemExit, match=said):
            neox_data.data_of(root)


@pytest.mark.parametrize(
    ("name", "nodes", "parameters", "tokens"), [("3b", 256, 2.8e9, 800e9), ("7b", 512, 6.9e9, 1.001e12)]
)
def test_the_configurations_are_of_published_models(name: str, nodes: int, parameters: float, tokens: float) -> None:
    """Size, tokens, GPUs and batch as on the model cards; the data are in a file of their own."""
    config = yaml.safe_load((TOP / f"configs/train/incite-{name}.yml").read_text())
    padding = config["make_vocab_size_divisible_by"] * config["model_parallel_size"]
    vocabulary = -(-50_277 // padding) * padding
    assert vocabulary == 50_432
    width = config["hidden_size"]
    assert 2 * vocabulary * width + 12 * config["num_layers"] * width**2 == pytest.approx(parameters, rel=0.02)
    copies, rest = divmod(nodes * 6, config["pipe_parallel_size"] * config["model_parallel_size"])
    assert rest == 0
    sequences = copies * config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"]
    step = sequences * config["seq_length"]
    assert step == 1 << 22
    assert config["train_iters"] == config["lr_decay_iters"] == -(-int(tokens) // step)
    data = yaml.safe_load((TOP / "configs/train/data.yml").read_text())
    assert not {*config} & {*data}  # GPT-NeoX refuses a key that two files have


def test_the_group_has_what_the_script_imports() -> None:
    project = (TOP / "pyproject.toml").read_text()
    group = re.search(r"^trainers = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert group is not None
    code = (TOP / "scripts/read_tokens.py").read_text()
    imported = {*re.findall(r"^\s*(?:import|from) (\w+)", code, re.MULTILINE)}
    libraries = {name.replace("megatron-core", "megatron") for name in re.findall(r'"([\w-]+)', group[1])}
    assert libraries <= imported
