"""A sample: exactly as many documents as asked, the same however the shards lie, and none read twice for nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import xxhash
from roots import line, lines_of, make_root, release

from redpajama_data.errors import UsageError
from redpajama_data.models.model_file import ModelFile
from redpajama_data.release import sampling

PAGES = [line(f"page {n}", {"n": n}) for n in range(200)]
PAPERS = [line(f"a paper, the {n}th of them", {"n": n}) for n in range(40)]


def texts_of(to: Path, slice_name: str) -> list[str]:
    paths = sorted(to.glob(f"data/{slice_name}/*"))
    return [text for path in paths for text in pyarrow.parquet.read_table(path)["text"].to_pylist()]


def smallest(lines: list[bytes], k: int, seed: int = 0) -> set[str]:
    """The definition, in one line."""
    texts = [json.loads(each)["text"] for each in lines]
    return set(sorted(texts, key=lambda text: xxhash.xxh3_64_intdigest(text.encode(), seed))[:k])


@pytest.mark.parametrize(("amount", "seed"), [("10%", 0), ("10%", 7), ("0.1%", 0), ("99.9%", 0), ("100%", 0)])
def test_the_documents_with_the_smallest_hashes_are_taken(
    tmp_path: Path, tiny_tokenizer: ModelFile, amount: str, seed: int
) -> None:
    root = make_root(tmp_path, {"c4/a": PAGES[:150], "c4/b": PAGES[150:], "arxiv/x": PAPERS}, tiny_tokenizer)
    release(root, tmp_path / "to", tiny_tokenizer, sample=amount, seed=seed)
    for name, lines in (("c4", PAGES), ("arxiv", PAPERS)):
        k = max(1, math.ceil(len(lines) * float(amount[:-1]) / 100 - 1e-9))
        taken = texts_of(tmp_path / "to", name)
        assert len(taken) == k
        assert set(taken) == smallest(lines, k, seed)


def test_a_sample_does_not_hang_on_how_the_shards_lie(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    one = make_root(tmp_path / "one", {"c4/a": PAGES}, tiny_tokenizer)
    parts = {f"c4/{n}": PAGES[n::7] for n in reversed(range(7))}
    many = make_root(tmp_path / "many", parts, tiny_tokenizer)
    release(one, tmp_path / "to-one", tiny_tokenizer, sample="25%")
    release(many, tmp_path / "to-many", tiny_tokenizer, sample="25%", file_size=1024)
    assert sorted(texts_of(tmp_path / "to-one", "c4")) == sorted(texts_of(tmp_path / "to-many", "c4"))


def test_a_smaller_sample_lies_within_a_larger_one(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, {"c4/a": PAGES}, tiny_tokenizer)
    taken = []
    for amount in ("1%", "10%", "50%"):
        release(root, tmp_path / amount, tiny_tokenizer, sample=amount)
        taken.append(set(texts_of(tmp_path / amount, "c4")))
    assert taken[0] < taken[1] < taken[2]


@pytest.mark.parametrize("copies", [50, 190])
def test_many_equal_texts_are_still_exact(tmp_path: Path, tiny_tokenizer: ModelFile, copies: int) -> None:
    """More than can be set aside by chance: then the slice is read again, and ties are the first in order."""
    lines = [*(line("the same", {"n": n}) for n in range(copies)), *PAGES[:10]]
    for seed in range(4):
        root = make_root(tmp_path / str(seed), {"c4/a": lines[::2], "c4/b": lines[1::2]}, tiny_tokenizer)
        release(root, tmp_path / f"to{seed}", tiny_tokenizer, sample="20%", seed=seed)
        k = math.ceil(0.2 * len(lines))
        taken = texts_of(tmp_path / f"to{seed}", "c4")
        assert len(taken) == k
        below = smallest(PAGES[:10] + lines[:1], 11, seed)
        order = sorted(below, key=lambda text: xxhash.xxh3_64_intdigest(text.encode(), seed))
        before = order[: order.index("the same")]
        assert set(taken) >= set(before[:k])
        assert taken.count("the same") == max(0, min(copies, k - len(before)))


def test_tokens_are_shared_as_in_the_root_or_as_asked(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    shards = {"c4/a": [line(f"{n:0100d}") for n in range(200)], "arxiv/x": [line(f"{n:0200d}") for n in range(50)]}
    root = make_root(tmp_path, shards, tiny_tokenizer)  # 20,000 and 10,000 tokens: one a byte
    made = release(root, tmp_path / "same", tiny_tokenizer, sample="3K")
    assert {name: sum(f.tokens for f in own) for name, own in made.files.items()} == {"c4": 2000, "arxiv": 1000}
    made = release(root, tmp_path / "given", tiny_tokenizer, sample="3K", shares="c4=1,arxiv=4")
    assert {name: sum(f.tokens for f in own) for name, own in made.files.items()} == {"c4": 600, "arxiv": 2400}
    made = release(root, tmp_path / "one", tiny_tokenizer, sample="3K", shares="arxiv=1")
    assert {name: sum(f.tokens for f in own) for name, own in made.files.items()} == {"arxiv": 3000}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sample": "1M"}, "has 6,730"),
        ({"sample": "3K", "shares": "books=1"}, "no documents of it here"),
        ({"sample": "10%", "shares": "c4=1"}, "go with a number of tokens"),
        ({"sample": "0%"}, "more than 0%"),
        ({"sample": "many"}, "tokens such as 1B"),
        ({"sample": "1K", "shares": "c4=0"}, "weights above 0"),
        ({"sample": "1K", "shares": "c4"}, "weights such as"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, tiny_tokenizer: ModelFile, given: dict[str, Any], said: str
) -> None:
    root = make_root(tmp_path, {"c4/a": [line("x" * 6730)]}, tiny_tokenizer)
    with pytest.raises(UsageError, match=said):
        release(root, tmp_path / "to", tiny_tokenizer, **given)
    assert not (tmp_path / "to").exists()


def test_only_what_may_be_taken_is_set_aside(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, {"c4/a": [line(f"page {n}") for n in range(20000)]}, tiny_tokenizer)
    made = release(root, tmp_path / "to", tiny_tokenizer, sample="1%")
    (hashed,) = made.report.slices[0].receipts["hash"]
    assert 200 <= hashed.outputs["documents"].records < 200 + 8 * math.sqrt(200) + 16 + 5 * math.sqrt(330)


@pytest.mark.parametrize(("text", "found"), [("1B", (None, 10**9)), ("1.5M", (None, 1500000)), ("0.1%", (0.001, None))])
def test_amounts(text: str, found: tuple[float | None, int | None]) -> None:
    assert sampling.parse_amount(text) == found


def test_lines_of_a_sample_as_jsonl(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = make_root(tmp_path, {"c4/a": PAGES}, tiny_tokenizer)
    made = release(root, tmp_path / "to", tiny_tokenizer, sample="10%", format="jsonl")
    (file,) = made.files["c4"]
    assert (file.path, file.documents) == ("data/c4/train-00000-of-00001.jsonl.zst", 20)
    assert set(lines_of(tmp_path / "to/data")) <= set(PAGES)
