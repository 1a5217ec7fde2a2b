"""Personal data and keys in texts: what is found, what is not, what stands in its place."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import personal
from redpajama_data.config import RunConfig
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.whole_run import run_parts
from slices.jobs import load
from slices.jobs.mask import MaskSettings, rules_of

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
CASES = [  # text, kinds found, what is left
    ("write to ann.b+c@mail.uni-x.de.", {"email": 1}, "write to [email]."),
    ("ann@example.com, git@github.com:a/b, a@b", {}, None),
    ("a@b.co <c@d.org>", {"email": 2}, "[email] <[email]>"),
    ("at 93.184.216.34, 8.8.30.4.", {"ip": 2}, "at [ip], [ip]."),
    ("at 192.168.0.1, 127.0.0.1, 10.1.2.3", {}, None),
    ("JRuby 9.2.29.0, section 2.3.3.1", {}, None),
    ("version 8.8.80.8.1, v8.8.80.8, 8.8.80.8-beta, 256.8.80.8", {}, None),
    ("2001:4860:4860:0000:0000:0000:0000:8888", {"ip": 1}, "[ip]"),
    ("call +44 20 7183 8750 or +1 (415) 555-2671", {"phone": 2}, "call [phone] or [phone]"),
    ("+1 000 000 0000, 020 7183 8750, x = 5 + 1234567", {}, None),
    ("AKIAIOSFODNN7EXAMPLE AKIAIOSFODNN7EXAMPLEX", {"key": 1}, "[key] AKIAIOSFODNN7EXAMPLEX"),
    (f"ghp_{'a' * 36} ghp_{'a' * 35}", {"key": 1}, f"[key] ghp_{'a' * 35}"),
    (f"{KEY}\nb", {"key": 1}, "[key]\nb"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", {}, None),
    ("a <|endoftext|> b <|end|>", {"end_of_text": 1}, "a <| end of text |> b <|end|>"),
    ("\u00e9\u00e9 a@b.co \u6f22", {"email": 1}, "\u00e9\u00e9 [email] \u6f22"),
    ("", {}, None),
]


@pytest.mark.parametrize(("text", "counts", "left"), CASES)
def test_what_is_found(text: str, counts: dict[str, int], left: str | None) -> None:
    assert personal.masked(text, personal.RULES) == (text if left is None else left, counts)


@given(st.lists(st.sampled_from(["a", "@", ".", "1", "8.8.80.8", "+", " ", "-----BEGIN PRIVATE KEY-----", "AKIA"])))
def test_a_second_pass_finds_nothing(pieces: list[str]) -> None:
    once, _ = personal.masked("".join(pieces), personal.RULES)
    assert personal.masked(once, personal.RULES)[0] == once


@pytest.mark.parametrize(
    "piece", ["a@", "a.", "1.1.", "+1 ", "+1", "-----BEGIN PRIVATE KEY-----", "AKIA", "a@b.", "f:"]
)
def test_hostile_texts_take_time_in_proportion(piece: str) -> None:
    text = piece * (500_000 // len(piece))
    start = time.process_time()
    personal.masked(text, personal.RULES)
    assert time.process_time() - start < 2


def test_rules_are_data() -> None:
    rules = rules_of(MaskSettings(kinds=("email",), patterns={"badge": r"B-\d{6}"}, masks={"email": "<mail>"}))
    assert personal.masked("a@b.co 8.8.80.8 B-123456", rules) == ("<mail> 8.8.80.8 [badge]", {"email": 1, "badge": 1})


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"kinds": ("mail",)}, r"'mail' is none\. There are email, ip"),
        ({"masks": {"mail": "x"}}, "'mail' is none"),
        ({"patterns": {"a": "(?=b)"}}, "no look-around"),
        ({"patterns": {"a": "b*"}}, "empty text"),
    ],
)
def test_rules_that_are_none_are_refused(given_settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rules_of(MaskSettings(**given_settings))


@pytest.mark.parametrize("only_count", [False, True])
def test_the_job(tmp_path: Path, only_count: bool) -> None:
    lines = ['{"text": "a@b.co", "meta": {"url": "u"}}', '{"text":  "nothing", "x": 1.0}']
    (tmp_path / "in" / "c4").mkdir(parents=True)
    (tmp_path / "in" / "c4" / "a.jsonl").write_text("\n".join(lines) + "\n")
    settings = MaskSettings(input=(str(tmp_path / "in"),), only_count=only_count)
    config = RunConfig(root=str(tmp_path / "out"), executor="serial", tokenizer="none")
    assert run_parts([(load("mask"), settings)], config, quiet=True).exit_code() == 0
    [shard] = (tmp_path / "out" / "mask" / "c4").glob("*.jsonl.zst")
    text = "a@b.co" if only_count else "[email]"
    assert list(read_jsonl(str(shard))) == [
        {"text": text, "meta": {"url": "u", "found_email": 1}},
        json.loads(lines[1]),
    ]
