"""Every slice against what the published scripts made of the same real input."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from slices import NAMES

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def parity() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield importlib.import_module("parity")


@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_published_scripts(
    name: str, parity: Any, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in parity.use_models_of(shared_data, tmp_path / "models").items():
        monkeypatch.setenv(key, value)
    for result in parity.check(name, shared_data, tmp_path / "root"):
        assert result.exact, result


RECORD = ("aa", 3, {"url": "u", "score": 1, "language": [{"name": "C", "bytes": "1"}]})


@pytest.mark.parametrize(
    ("ours", "counts"),  # equal, differing, missing, extra
    [
        ([RECORD], (1, 0, 0, 0)),
        ([("aa", 3, {"url": "u", "score": 1, "language": [{"name": "C", "bytes": "1"}], "more": 1})], (1, 0, 0, 0)),
        ([("ab", 3, RECORD[2])], (0, 1, 0, 0)),
        ([("aa", 3, {**RECORD[2], "score": 1.0})], (0, 1, 0, 0)),
        ([("aa", 3, {**RECORD[2], "score": True})], (0, 1, 0, 0)),
        ([("aa", 3, {**RECORD[2], "language": [{"bytes": "1", "name": "C"}]})], (0, 1, 0, 0)),
        ([("aa", 3, {"score": 1, "url": "u", "language": RECORD[2]["language"]})], (0, 1, 0, 0)),
        ([("aa", 3, {"url": "u", "score": 1})], (0, 1, 0, 0)),
        ([], (0, 0, 1, 0)),
        ([RECORD, ("bb", 1, {})], (1, 0, 0, 1)),
        ([("bb", 1, {}), RECORD], (1, 0, 0, 1)),
    ],
)
def test_the_comparison_sees(parity: Any, ours: list[Any], counts: tuple[int, ...]) -> None:
    result = parity.compare("x", [RECORD], ours)
    assert (result.equal, result.differing, result.missing, result.extra) == counts
    assert result.exact == (counts == (1, 0, 0, 0))
