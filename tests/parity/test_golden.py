"""The embedded sample gives what it gave: texts that change without a raised revision are red."""

from __future__ import annotations

import copy
import importlib
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def golden() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield importlib.import_module("golden")


def test_the_sample_gives_what_it_gave(golden: Any, neox: str) -> None:
    wrong, untold = golden.problems(json.loads(golden.PATH.read_text()), golden.make())
    assert not wrong, "\n".join(wrong)
    if untold:
        warnings.warn("the golden sample was made with other Unicode tables:\n" + "\n".join(untold), stacklevel=1)
        pytest.skip(f"{len(untold)} slices and jobs differ under other Unicode tables: {untold[0]}")


KEPT = {
    "engine": 1,
    "environment": {"Unicode tables": "14.0.0"},
    "slices": {
        "c4": {"revision": 1, "unicode": False, "stages": {"publish": [2, 2, {}]}, "shards": {"c4/a": [2, 9, "aa"]}},
        "books": {"revision": 1, "unicode": True, "stages": {"publish": [2, 2, {}]}, "shards": {"b/a": [2, 9, "bb"]}},
    },
}
Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "wrong", "untold"),
    [
        (lambda now: None, [], []),
        (lambda now: now["slices"]["c4"]["shards"].update({"c4/a": [2, 9, "xx"]}), ["c4: c4/a was .* raise"], []),
        (lambda now: now["slices"]["books"]["stages"].update(publish=[2, 1, {"x": 1}]), ["books: publish was"], []),
        (lambda now: now["slices"]["c4"].update(revision=2), ["c4: is new, gone or of another revision"], []),
        (lambda now: now["slices"].pop("c4"), ["c4: is new, gone"], []),
        (lambda now: now.update(engine=2), ["engine: its revision is 2 now"], []),
        (lambda now: now["environment"].update({"Unicode tables": "15.0.0"}), [], []),
    ],
)
def test_what_is_red(golden: Any, change: Change, wrong: list[str], untold: list[str]) -> None:
    now = copy.deepcopy(KEPT)
    change(now)
    found = golden.problems(KEPT, now)
    for told, expected in zip(found, (wrong, untold), strict=True):
        assert len(told) == len(expected)
        for one, pattern in zip(told, expected, strict=True):
            assert re.search(pattern, one), one


def test_other_unicode_tables_excuse_only_what_looks_at_characters(golden: Any) -> None:
    now = copy.deepcopy(KEPT)
    now["environment"]["Unicode tables"] = "15.0.0"
    now["slices"]["c4"]["shards"] = now["slices"]["books"]["shards"] = {}
    wrong, untold = golden.problems(KEPT, now)
    assert [each.split(":")[0] for each in wrong] == ["c4"]
    assert [each.split(":")[0] for each in untold] == ["books"]
    assert "made with Unicode 14.0.0, here 15.0.0" in untold[0]
