"""Shared fixtures: real input where it lies beside the checkout, and no network but loopback."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from redpajama_data.io import lease, retries
from redpajama_data.models.model_file import ModelFile

# The same examples at every run, so that a change is judged by what it changed; no limit of time, the machine may be
# busy. `HYPOTHESIS_PROFILE=search make test` looks for new ones: what it finds becomes a case.
_AT_LEISURE = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("repeatable", derandomize=True, **_AT_LEISURE)
hypothesis.settings.register_profile("search", **_AT_LEISURE)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real raw input; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real input is not there ({SHARED})")
    return SHARED


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches beyond this machine fails, whatever the machine could reach."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if (
            isinstance(address, tuple)
            and not str(address[0]).startswith("127.")
            and address[0] not in ("localhost", "::1")
        ):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    for name in ("WAIT_FIRST", "WAIT_MOST", "WAIT_JITTER"):
        monkeypatch.setattr(retries, name, 0)
    monkeypatch.setattr(lease, "SETTLE", 0)


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """A byte-level tokenizer without merges: one token a byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return ModelFile(str(path), hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture(scope="session")
def tiny_lid(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a fastText model of two languages, trained by the project's own function: the same bytes every time."""
    from redpajama_data.training.classifier import fit

    folder = tmp_path_factory.mktemp("lid")
    lines = {"en": "the of and to with this for that", "de": "der die das und mit von ist nicht"}
    text = "".join(f"__label__{label} {words}\n" for label, words in lines.items()) * 50
    (folder / "train.txt").write_text(text)
    model = fit(str(folder / "train.txt"), str(folder), dim=4, lr=0.5, epochs=5, min_count=1, seed=0)
    model.save_model(str(folder / "lid.bin"))
    return str(folder / "lid.bin")


@pytest.fixture(scope="session")
def neox() -> str:
    """Path of the GPT-NeoX tokenizer: the real input's copy, or the registry's; skips where neither can be had."""
    path = SHARED / "models" / "gpt-neox-20b.tokenizer.json"
    if path.exists():
        return str(path)
    from redpajama_data.errors import MissingModel
    from redpajama_data.models.registry import resolve

    try:
        return resolve("gpt-neox-20b").path
    except MissingModel as error:
        pytest.skip(str(error))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests found no real input: a run without it has shown less."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    missing = sum("not there" in reason for reason in skipped)
    if missing:
        terminalreporter.write_line(
            f"{missing} tests were skipped: real input is not there. They hold the slices against what the published "
            f"scripts made of it; put it into {SHARED}, then run again.",
            yellow=True,
            bold=True,
        )
