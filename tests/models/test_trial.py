"""Tokenizers made to do harm: each is refused with a sentence, and the process that asked lives on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from redpajama_data.errors import UsageError
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.tokens import load_tokenizer
from redpajama_data.models.trial import try_tokenizer

MODEL = {"type": "BPE", "vocab": {" ": 0, "a": 1, "b": 2, "aa": 3}, "merges": []}


def tokenizer(**changes: Any) -> bytes:
    parts = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding")
    return json.dumps(
        {"version": "1.0", "added_tokens": [], "model": MODEL, **dict.fromkeys(parts), **changes}
    ).encode()


def grows(times: int) -> dict[str, Any]:
    return {
        "type": "Sequence",
        "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * times}] * 5,
    }


@pytest.mark.parametrize(
    "data",
    [
        tokenizer(model=MODEL | {"vocab": {"a": 4_294_967_295}}),
        tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAD/"}),
        tokenizer(normalizer=grows(100)),
        tokenizer(pre_tokenizer={"type": "FixedLength", "length": 0}),
        tokenizer(
            pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
        ),
    ],
    ids=["token number", "damaged table", "growing text", "no length", "endless pattern"],
)
def test_a_tokenizer_that_would_end_the_process_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    with pytest.raises(
        UsageError, match=r"(?s)tokenizer\.json: this tokenizer ends the process .* from its publisher\.$"
    ):
        load_tokenizer(str(path))


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":' + b"[" * 1_000_000,
        tokenizer(normalizer={"type": "Sequence", "normalizers": []}).replace(b"[]}", b'[{"type":' * 5000, 1),
        tokenizer(model=MODEL | {"merges": ["x y"]}),
        tokenizer(model=MODEL | {"vocab": {"a": -1}}),
        b"\x0a\xff\xff\xff\xff\x7f" + b"a" * 100,
    ],
    ids=["depth", "depth of normalisers", "merges of nothing", "negative number", "length of a message"],
)
def test_a_tokenizer_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"tokenizer\.json: (no tokenizer that can be read|this tokenizer ends)"):
        load_tokenizer(str(path))


def test_a_tokenizer_of_ones_own_is_tried_once(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer())
    model = ModelFile(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    before = try_tokenizer.cache_info().misses
    for _ in range(2):
        assert load_tokenizer(str(path)).sha256 == model.sha256
    assert try_tokenizer.cache_info().misses == before + 1
