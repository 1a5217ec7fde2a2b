"""The manifest of a root: what it says, that equal work gives equal bytes, and what of two differs first."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import toy

from redpajama_data.cli.output import collect_problems
from redpajama_data.cli.output_compare import print_verified
from redpajama_data.config import load_config
from redpajama_data.engine.lineage import Known, lineage
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import manifest, root_status
from redpajama_data.reports.manifest import Manifest, Named
from redpajama_data.reports.manifest_compare import Difference, compare, render, reproduced
from redpajama_data.whole_run import run_parts

TEXTS = {"a.jsonl": ["one two", "short", "three four", "one two"], "b.jsonl": ["three four", "five six"]}
Go = Callable[..., Manifest]


@pytest.fixture
def go(tmp_path: Path, tiny_tokenizer: ModelFile) -> Go:
    """Runs the toy slice on ``texts`` (in a folder of its own for each root); gives the root's manifest."""

    def run_toy(root: str, texts: dict[str, list[str]] = TEXTS, **more: Any) -> Manifest:
        folder = tmp_path / f"raw-{root}"
        folder.mkdir(exist_ok=True)
        for name, of in texts.items():
            (folder / name).write_text("".join(json.dumps({"text": text}) + "\n" for text in of))
        options = {"root": str(tmp_path / root), "executor": "serial", "tokenizer": tiny_tokenizer.path}
        settings = {key: more.pop(key) for key in ("min_words", "source_shards") if key in more}
        made = toy.ToySettings(input=(str(folder),), **settings)
        run_parts([(toy.SLICE, made)], load_config(None, {**options, **more}), quiet=True)
        return manifest.load(str(tmp_path / root))

    return run_toy


def test_what_it_says(go: Go, tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    made = go("root", min_words=2)
    assert made.models == [Named("tokenizer.json", tiny_tokenizer.sha256)]
    assert made.tokenizers == [Named("tokenizer.json", tiny_tokenizer.sha256)]
    [part] = made.slices
    assert (part.slice, part.kind, part.revision, part.inputs, part.shards) == ("toy", "slice", 1, 2, 2)
    assert (part.documents, part.text_bytes, part.tokens) == (3, 25, 25)
    assert [(s.stage, s.read, s.kept, s.dropped) for s in part.stages] == [
        ("clean", 6, 6, {}),
        ("dedup", 0, 0, {}),
        ("copies", 0, 0, {}),
        ("publish", 6, 3, {"duplicate": 2, "min_words": 1}),
    ]
    assert part.settings["min_words"] == 2
    assert "input" not in part.settings
    for shard in made.shards:
        path = tmp_path / "root" / shard.path
        assert (shard.bytes, shard.sha256) == (
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        texts = [record["text"] for record in read_jsonl(str(path))]
        assert (shard.documents, shard.text_bytes, shard.tokens) == (len(texts), *[len("".join(texts))] * 2)
        assert shard.tokenizer == tiny_tokenizer.sha256
    assert [shard.path for shard in made.shards] == ["toy/a.jsonl.zst", "toy/b.jsonl.zst"]


def test_the_same_bytes_wherever_the_root_lies_and_however_it_was_run(go: Go, tmp_path: Path) -> None:
    go("one")
    first = (tmp_path / "one" / "manifest.json").read_bytes()
    go("one")
    assert (tmp_path / "one" / "manifest.json").read_bytes() == first
    shutil.move(tmp_path / "one", tmp_path / "elsewhere")
    assert manifest.encode(manifest.build(str(tmp_path / "elsewhere"))) == first
    shutil.copytree(tmp_path / "raw-one", tmp_path / "raw-two", copy_function=shutil.copy2)
    go("two", memory=1 << 28, executor="local", workers=2)
    other = (tmp_path / "two" / "manifest.json").read_bytes()
    assert str(tmp_path).encode() not in first + other
    # The paths of the raw files differ, and their times: the lineage says so and nothing else.
    plain = [json.loads(data) for data in (first, other)]
    for each in plain:
        for shard in each["shards"]:
            assert len(shard.pop("lineage")) == 64
    assert plain[0] == plain[1]


def test_two_reproductions_of_the_same(go: Go) -> None:
    mine, theirs = go("mine"), go("theirs")
    assert [shard.lineage for shard in mine.shards] != [shard.lineage for shard in theirs.shards]
    assert compare(mine, theirs) == []
    assert render([], 2) == "The same: 2 shards and the sums of every stage are equal."


def test_a_changed_threshold_is_named_before_what_follows_from_it(go: Go) -> None:
    found = compare(go("mine", min_words=1), go("theirs"))
    assert found[0] == Difference("toy: setting min_words", "1", "2", explains=True)
    assert [each.what for each in found[1:]] == [
        "toy: publish: documents kept",
        "toy: publish: dropped by min_words",
        "toy/a.jsonl.zst",
    ]
    assert (found[1].mine, found[1].theirs) == ("4", "3")
    assert found[3].mine.startswith("3 documents, 22 tokens, sha256:")
    assert found[3].theirs.startswith("2 documents, 17 tokens, sha256:")
    shown = render(found, 2).splitlines()
    assert shown[0] == "first difference: toy: publish: documents kept: 4; there 3"
    assert shown[1] == "and 2 more"
    assert shown[2] == "may explain it: toy: setting min_words: 1; there 2"
    assert not reproduced(found)


def test_another_raw_text_shows_in_the_shard_alone(go: Go) -> None:
    changed = {**TEXTS, "b.jsonl": ["three four", "five SIX"]}
    found = compare(go("mine"), go("theirs", changed))
    assert [each.what for each in found] == ["toy/b.jsonl.zst"]
    assert "look at the raw files" in render(found, 2)


def test_a_missing_shard_and_the_same_bytes_under_another_name(go: Go) -> None:
    theirs = {"0.jsonl": ["zero zero"], "a0.jsonl": TEXTS["a.jsonl"], "b.jsonl": TEXTS["b.jsonl"]}
    found = compare(go("mine"), go("theirs", theirs))
    what = {each.what: each for each in found}
    assert what["toy: raw files"].explains
    assert what["toy: clean: documents read"].mine == "6"
    assert what["toy/a.jsonl.zst"].theirs == "not there (the same bytes are toy/a0.jsonl.zst)"
    assert what["toy/0.jsonl.zst"].mine == "not there"
    assert "toy/b.jsonl.zst" not in what


@pytest.fixture
def made(go: Go) -> Manifest:
    return go("root")


EXPLANATIONS: list[tuple[dict[str, Any], str]] = [
    ({"version": "0.0.9"}, "version of rpj"),
    ({"engine": 0}, "version of rpj"),
    ({"models": [Named("lid.176.bin", "0" * 64)]}, "model lid.176.bin"),
    ({"tokenizers": [Named("gpt-neox-20b", "0" * 64)]}, "tokenizer gpt-neox-20b"),
]


@pytest.mark.parametrize(("changes", "what"), EXPLANATIONS)
def test_another_tool_with_the_same_shards_has_reproduced(made: Manifest, changes: dict[str, Any], what: str) -> None:
    found = compare(made, msgspec.structs.replace(made, **changes))
    assert what in [each.what for each in found]
    assert all(each.explains for each in found)
    assert reproduced(found)
    assert render(found, 2).startswith("The same: ")
    assert what in render(found, 2)


def test_a_model_under_another_name_is_the_same(made: Manifest, tiny_tokenizer: ModelFile) -> None:
    renamed = msgspec.structs.replace(made, models=[Named("other.json", tiny_tokenizer.sha256)])
    assert compare(made, renamed) == []


def test_version_and_models_come_before_sums_and_shards(made: Manifest) -> None:
    part = msgspec.structs.replace(made.slices[0], revision=2, quarantined=1)
    shard = msgspec.structs.replace(made.shards[0], sha256="0" * 64)
    other = msgspec.structs.replace(made, version="9", models=[], slices=[part], shards=[shard, made.shards[1]])
    assert [each.what for each in compare(made, other)] == [
        "version of rpj",
        "model tokenizer.json",
        "toy: revision",
        "toy: tasks quarantined",
        "toy/a.jsonl.zst",
    ]
    assert next(iter(compare(made, msgspec.structs.replace(made, slices=[], shards=[])))).what == "toy"


def test_stages_of_another_recipe(made: Manifest) -> None:
    [part] = made.slices
    other = msgspec.structs.replace(part, stages=part.stages[:1])
    [found] = compare(made, msgspec.structs.replace(made, slices=[other]))
    assert (found.what, found.mine, found.theirs) == ("toy: stages", "dedup", "none")


# ------------------------------------------------------------------------------------------------ files

WRONG = [
    (b"", "no manifest of rpj"),
    (b"{}", "no manifest of rpj"),
    (b"\xff", "no manifest of rpj"),
    (b"[" * 100_000, "no manifest of rpj"),
    (b'{"format":2,"version":"","engine":1,"models":[],"tokenizers":[],"slices":[],"shards":[]}', "format 2, this rpj"),
]


@pytest.mark.parametrize(("data", "message"), WRONG)
def test_what_is_no_manifest(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        manifest.load(str(tmp_path / "manifest.json"))


@pytest.mark.parametrize("place", ["", "/none.json"])
def test_no_manifest(tmp_path: Path, place: str) -> None:
    with pytest.raises(UsageError, match=r"no manifest there\. Give a manifest\.json, or a root"):
        manifest.load(str(tmp_path) + place)


def test_a_manifest_that_was_changed_is_found(go: Go, tmp_path: Path) -> None:
    go("root")
    root = tmp_path / "root"
    assert list(manifest.check(str(root))) == [("manifest.json", None)]
    (root / "manifest.json").write_bytes((root / "manifest.json").read_bytes().replace(b"1", b"2", 1))
    [(name, problem)] = manifest.check(str(root))
    assert name == "manifest.json"
    assert problem is not None
    assert problem.endswith("Run again: it is written anew.")
    (root / "manifest.json").unlink()
    assert list(manifest.check(str(root))) == []


def step(models: dict[str, Any], *, one: ModelFile) -> None:
    """For the next test."""


def models_of(work: Any) -> set[ModelFile]:
    lineage(work, known=(known := Known()))
    return known.models


def test_models_are_found_at_any_depth() -> None:
    a, b, c = (ModelFile(f"/x/{name}", name * 64) for name in "abc")
    work = partial(partial(step, {"en": [(a, 1), None]}), one=b)
    assert models_of(work) == {a, b}
    assert models_of([work, {c}, "text", 3, step, b"x"]) == {a, b, c}
    assert models_of(step) == set()


def test_settings_keep_no_folders() -> None:
    settings = {"input": ["x"], "lid": "/home/me/lid.bin", "where": "a / b > 2", "many": ["s3://b/x.bin", "en"], "n": 1}
    assert manifest._settings(settings) == {"lid": "lid.bin", "where": "a / b > 2", "many": ["x.bin", "en"], "n": 1}


# ------------------------------------------------------------------------------------------------ printed


def verified(capsys: pytest.CaptureFixture[str], root: Path, against: Path | None, as_json: bool) -> tuple[bool, str]:
    problems = collect_problems(root_status.verify(str(root)), quiet=True)
    well = print_verified(
        str(root), problems, None if against is None else manifest.load(str(against)), as_json=as_json
    )
    return well, capsys.readouterr().out


def test_verified_against_another(go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go("mine")
    go("same")
    go("other", {**TEXTS, "b.jsonl": ["seven eight"]})
    well, out = verified(capsys, tmp_path / "mine", tmp_path / "same" / "manifest.json", False)
    assert well
    assert out.splitlines()[-1] == "The same: 2 shards and the sums of every stage are equal."
    well, out = verified(capsys, tmp_path / "mine", tmp_path / "other", False)
    assert not well
    assert "first difference: toy: clean: documents read: 6; there 5" in out
    well, out = verified(capsys, tmp_path / "mine", tmp_path / "other", True)
    plain = json.loads(out)
    assert (well, plain["problems"], plain["reproduced"]) == (False, [], False)
    assert plain["differences"][0] == {
        "what": "toy: clean: documents read", "mine": "6", "theirs": "5", "explains": False
    }  # fmt: skip
    well, out = verified(capsys, tmp_path / "mine", None, True)
    assert (well, sorted(json.loads(out))) == (True, ["checked", "problems"])
    next((tmp_path / "mine").glob("toy/*")).unlink()
    assert not verified(capsys, tmp_path / "mine", tmp_path / "same", False)[0]


def test_the_times_of_raw_files_do_not_show(go: Go, tmp_path: Path) -> None:
    go("one")
    first = (tmp_path / "one" / "manifest.json").read_bytes()
    for path in (tmp_path / "raw-one").iterdir():
        os.utime(path, (1, 1))
    go("one")  # done again, since they may have changed
    assert (tmp_path / "one" / "manifest.json").read_bytes() == first
