"""What each repair changes on the embedded sample stays what it was."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from redpajama_data.engine import environment
from redpajama_data.engine.environment import UNICODE
from slices import NAMES
from slices.repairs import repairs_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("repairs")


@pytest.mark.parametrize("name", [name for name in NAMES if repairs_of(name)])
def test_the_effect_on_the_sample(script: Any, name: str, tmp_path: Path, neox: str) -> None:
    made_with = json.loads((ROOT / "tests" / "golden" / "sample.json").read_text())["environment"][UNICODE]
    if environment.current()[UNICODE] != made_with:
        pytest.skip(f"the numbers were made with Unicode {made_with}")
    with script.sample() as run:
        found = {f"{name}: {effect.repair}": effect.numbers() for effect in script.measure(name, run, tmp_path)}
    assert script.problems(json.loads(script.PATH.read_text()), found) == []


def test_a_number_that_differs_is_told(script: Any) -> None:
    wrong = script.problems({"github: a": [1, 2]}, {"github: a": [1, 3], "github: b": [1]})
    assert wrong[:2] == ["github: a: was [1, 2], is [1, 3]", "github: b: was None, is [1]"]


def test_the_table_keeps_what_was_not_measured(script: Any) -> None:
    effects = [script.Effect(name, "b", 1, 2, 3, 4, 5000, 6, 7) for name in ("github", "arxiv")]
    first = script.with_table(f"a\n{script.BEGIN}{script.END}z", effects)
    again = script.with_table(first, [script.Effect("github", "c", 0, 0, 0, 0, 0, 0, -1)])
    lines = again.splitlines()
    assert lines[0] == "a"
    assert lines[-1] == "z"
    assert lines[4:6] == [
        "| github | c | 0 | 0 | 0 | 0 | 0 | 0 | -1 |",
        "| arxiv | b | 1 | 2 | 3 | 4 | 5,000 | 6 | +7 |",
    ]


def test_an_example_is_the_first_difference(script: Any) -> None:
    assert script.first_difference("a" * 500 + "b", "a" * 500 + "c") == ("a" * 120 + "b", "a" * 120 + "c")
    assert script.first_difference("same", "same and more") == ("same", "same and more")
