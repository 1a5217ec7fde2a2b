"""The index of ``rpj find`` rules out what cannot have an answer, and never what has one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from roots import line, make_root

from redpajama_data import api
from redpajama_data.cli.main import cli
from redpajama_data.io.lines import iter_lines
from redpajama_data.models.model_file import ModelFile
from redpajama_data.release import find, index, search
from redpajama_data.release.find import Looked
from redpajama_data.release.forget import forget

SHARDS = {
    "c4/a": [line(f"the heron stood in pool {n}", {"url": f"https://birds.example/{n}"}) for n in range(9)],
    "c4/b": [line(f"a tram left for depot {n}", {"url": f"https://www.trams.example/{n}"}) for n in range(9)],
    "books/c": [line("the heron and the tram: 日本語の鉄道", {"url": "https://both.example/"})],
    "books/d": [],
}
CHARACTERS = st.sampled_from("ab_ ,\n\u00e9\u2019\u65e5\u672c\u8a9e\U00020000")


@pytest.fixture
def root(tmp_path: Path, tiny_tokenizer: ModelFile) -> Path:
    """Four shards, one of them empty."""
    return make_root(tmp_path, SHARDS, tiny_tokenizer)


def make_index(root: Path) -> int:
    options = {"root": str(root), "executor": "serial", "tokenizer": "none"}
    return api.run_job("index", find.places(str(root)), **options).exit_code()


def answer(root: Path, query: search.Query) -> tuple[list[tuple[str, int]], int]:
    """Where the documents are, and how many shards were looked through."""
    looked = Looked()
    found = [(each.shard.partition("/")[2], each.line) for each in find.find(str(root), query, looked=looked)]
    return found, looked.through


def of_texts(texts: list[str]) -> set[int]:
    return {key for keys in index.keys_of_texts(texts) for key in keys.tolist()}


@given(
    st.lists(st.text(CHARACTERS, max_size=40), min_size=1, max_size=3),
    st.integers(0, 40),
    st.integers(0, 40),
    st.data(),
)
def test_keys_of_every_part_of_a_text_are_keys_of_the_text(
    texts: list[str], first: int, size: int, data: st.DataObject
) -> None:
    part = data.draw(st.sampled_from(texts))[first : first + size]
    for window in (1, 7, 1 << 18):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(index, "_WINDOW", window)
            assert set(index.keys_of_query(part).tolist()) <= of_texts(texts)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 17, 63, 64, 65, 200])
def test_a_word_is_told_from_others_by_its_first_64_bytes(size: int) -> None:
    word = "".join(chr(97 + n % 26) for n in range(size))
    (own,) = index.keys_of_query(f" {word} ").tolist()
    assert own in of_texts([f"x {word}"])
    for other in (word[:-1], f"{word}z", f"{word[:-1]}9"):
        same = size > 64 or (size == 64 and other.startswith(word))
        assert (own in of_texts([other])) == same


def test_a_filter_has_every_key_and_few_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 1 << 64, 20_000, np.uint64)
    made = index.Filter(1 << 20)
    made.add(keys[:9_000])
    made.add(keys)
    data = made.encode()
    assert len(data) == 1 << 13  # halved from half a megabyte, down to 3.3 bits a key
    (tmp_path / "f").write_bytes(data)
    known = index.Index(str(tmp_path), {"s": ("f", len(data))})
    assert not any(known.rules_out("s", keys[n : n + 1]) for n in range(0, 20_000, 20))
    others = rng.integers(0, 1 << 64, (1_000, 4), np.uint64)
    assert sum(not known.rules_out("s", keys) for keys in others) < 12  # a quarter to the fourth is 0.4 %
    assert not known.rules_out("another shard", others[0])
    assert not known.rules_out("s", others[0][:0])


def test_answers_are_those_without_an_index_and_fewer_shards_are_read(root: Path) -> None:
    queries = {
        "heron stood in": (search.for_text("heron stood in"), 2),  # the word at its end may go on: "stood" is a key
        "tram": (search.for_text(" tram left "), 1),
        "a part of a word": (search.for_text("ero"), 3),
        "characters": (search.for_text("本語の鉄"), 1),
        "nothing": (search.for_text("no such words there"), 0),
        "address": (search.for_url("https://birds.example/3"), 1),
        "no address": (search.for_url("https://birds.example/33"), 0),
        "host": (search.for_host("trams.example"), 1),
        "no host": (search.for_host("rams.example"), 0),
    }
    before = {name: answer(root, query) for name, (query, _) in queries.items()}
    assert {through for _, through in before.values()} == {3}
    assert make_index(root) == 0
    for name, (query, most) in queries.items():
        found, through = answer(root, query)
        assert found == before[name][0], name
        assert through <= most, name
    assert len(before["heron stood in"][0]) == 9
    assert len(before["host"][0]) == 9
    assert [problem for _, problem in api.verify(str(root)) if problem] == []


def test_a_shard_that_was_written_anew_is_read_until_the_index_is_renewed(
    root: Path, tiny_tokenizer: ModelFile
) -> None:
    make_index(root)
    assert answer(root, search.for_text(" zebra ")) == ([], 0)
    forget(str(root), query=search.for_text("pool 4"), reason="r", tokenizer=tiny_tokenizer)
    assert answer(root, search.for_text(" zebra "))[1] == 1
    assert [problem for _, problem in api.verify(str(root)) if problem] == []
    assert make_index(root) == 0
    assert answer(root, search.for_text(" zebra ")) == ([], 0)
    assert answer(root, search.for_url("https://birds.example/4"))[0] == []


@pytest.mark.parametrize("cut", [False, True])
def test_a_filter_that_is_gone_or_cut_short_rules_nothing_out_and_is_made_again(root: Path, cut: bool) -> None:
    make_index(root)
    (path,) = root.glob("_run/index/index/c4~a.filter")
    whole = path.read_bytes()
    if cut:
        path.write_bytes(b"")
    else:
        path.unlink()
    assert answer(root, search.for_text(" zebra ")) == ([], 1)
    assert make_index(root) == 0
    assert path.read_bytes() == whole
    assert answer(root, search.for_text(" zebra ")) == ([], 0)


def test_filters_of_another_form_rule_nothing_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_index(root)
    monkeypatch.setattr(index, "FORM", index.FORM + 1)
    assert answer(root, search.for_text(" zebra "))[1] == 3


def test_the_command(root: Path) -> None:
    call = CliRunner().invoke
    made = call(cli, ["find", str(root), "--index", "--executor", "serial", "--quiet"])
    assert made.exit_code == 0, made.output
    assert made.output.startswith("Index of 4 shards: ")
    found = call(cli, ["find", str(root), "--text", "a tram left for depot 7", "--workers", "1"])
    assert found.exit_code == 0
    assert found.output.endswith("Looked through 1 of 3 shards: the index rules the others out.\n")
    shown = call(
        cli, ["find", str(root), "--url", "https://both.example/", "--index", "--json", "--executor", "serial"]
    )
    assert [each["line"] for each in json.loads(shown.stdout)] == [1]
    lines = [each for path in root.rglob("*.jsonl.zst") for each in iter_lines(str(path), max_bytes=None)]
    assert not any(b"heron" in path.read_bytes() for path in root.rglob("_run/index/**/*") if path.is_file())
    assert len(lines) >= 19
