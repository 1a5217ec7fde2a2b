"""The language of filters: what it means, what it refuses and how fast, and the job that filters with it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_root import files_of

from filters.where import MAX_SHOWN, read_condition, shown_values
from filters.where_syntax import MAX_DEPTH, MAX_EXPRESSION
from redpajama_data.cli.filter import filter_command
from redpajama_data.engine import receipts
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import explanation, root_status
from slices.jobs import filter as filter_job

SIGNALS = frozenset({"rps_doc_word_count", "rps_doc_lorem_ipsum"})
META = {
    "language": "en",
    "score": 0.5,
    "n": 3,
    "zero": 0,
    "flag": True,
    "off": False,
    "nothing": None,
    "url": "https://en.wikipedia.org/wiki/C",
    "tags": ["a", "b", 1, None],
    "no_tags": [],
    "deep": {"a": {"b": 7}},
    "date download": "2023",
    "from": {"class": 1},
    "huge": 10**25,
}


def holds(expression: str, text: str = "hello", **signals: Any) -> bool:
    condition = read_condition(expression, SIGNALS)
    return condition.holds(condition.values(text, META, signals))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # both sides of each comparison
        ("meta.n < 3", False),
        ("meta.n < 3.01", True),
        ("meta.n <= 3", True),
        ("meta.n <= 2.99", False),
        ("meta.n > 3", False),
        ("meta.n > 2.99", True),
        ("meta.n >= 3", True),
        ("meta.n >= 3.01", False),
        ("meta.n == 3.0", True),
        ("meta.n != 3", False),
        ("0.4 < meta.score <= 0.5", True),
        ("0.5 < meta.score <= 0.6", False),
        ("meta.score >= -1", True),
        ("meta.n == - -3", True),
        ('meta.language < "f"', True),
        ('meta.language < "e"', False),
        ("text_length == 5", True),
        ("text_length > 5", False),
        # and binds closer than or, not closer than and, comparisons closer than not
        ("meta.n == 3 or meta.n == 4 and meta.n == 5", True),
        ("(meta.n == 3 or meta.n == 4) and meta.n == 5", False),
        ("not meta.n == 4 and meta.n == 3", True),
        ("not (meta.n == 4 or meta.n == 3)", False),
        ("not not meta.flag", True),
        # arithmetic
        ("meta.n + 1 == 4 and meta.n - 1 == 2 and meta.n * 2 == 6 and meta.n / 2 == 1.5 and meta.n % 2 == 1", True),
        ("1 + meta.n * 2 == 7", True),
        ("-meta.n == -3", True),
        ("meta.n / meta.zero == null", True),
        ("meta.language + 1 == null", True),
        ('meta.language * 3 == "enenen"', False),
        ("meta.huge * meta.huge > 1e49", True),
        ("meta.n * 1e308 * 1e308 > 1e308", True),
        # in
        ('meta.language in ["de", "en"]', True),
        ('meta.language in ["de", "fr"]', False),
        ('meta.language not in ("de", "fr")', True),
        ("meta.n in [-3, 3.0]", True),
        ("-meta.n in [-3]", True),
        ('"a" in meta.tags', True),
        ('"c" in meta.tags', False),
        ('"wikipedia" in meta.url', True),
        ('"wikidata" not in meta.url', True),
        ("1 in meta.url", False),
        ("1 in meta.n", False),
        ("meta.tags in [1]", False),
        ("null in meta.tags", True),
        ("meta.gone in []", False),
        # a name alone
        ("meta.flag", True),
        ("meta.off", False),
        ("meta.zero", False),
        ("meta.gone", False),
        ("meta.no_tags", False),
        ("meta.tags", True),
        ("true and not false", True),
        # missing and null
        ("meta.gone == null and meta.nothing == null and meta.language.a == null", True),
        ("meta.gone != null", False),
        ("meta.language != null", True),
        ("meta.gone < 5", False),
        ("meta.gone >= 5", False),
        ("not meta.gone < 5", True),
        ('meta.gone != "de"', True),
        ('meta.gone == "de"', False),
        ('meta.gone in ["de"]', False),
        ('meta.gone not in ["de"]', True),
        ('"a" in meta.gone', False),
        ("meta.gone + 1 >= 0", False),
        ("-meta.gone == null", True),
        # other types
        ("meta.language >= 5", False),
        ("meta.language < 5", False),
        ('meta.n == "3"', False),
        ("meta.flag >= 1", True),
        ("meta.deep == null", True),
        ("meta.tags < 1", False),
        ("meta.tags == meta.tags", True),
        # fields
        ("meta.deep.a.b == 7", True),
        ('meta["deep"].a["b"] == 7', True),
        ('meta["date download"] == "2023"', True),
        ('meta["from"]["class"] == 1', True),
        ("meta.deep.a.b.c == null", True),
        # spelling
        ("meta.language == 'en' # it is\nand meta.n == 3", True),
        ("\tmeta.n == 3\r\n  and meta.score < 1\r\n", True),
        ('"C#" != meta.language', True),
        ("True and None == null", True),
        ('"é" < "ê"', True),
    ],
)
def test_meaning(expression: str, expected: bool) -> None:
    assert holds(expression) is expected


def test_signals_and_what_a_condition_asks_for() -> None:
    condition = read_condition('rps_doc_word_count >= 50 and meta["a b"].c == 1 and text_length > 2', SIGNALS)
    assert condition.signals == {"rps_doc_word_count"}
    assert condition.paths == {'meta["a b"].c': ("a b", "c")}
    values = condition.values("text", {"a b": {"c": 1}}, {"rps_doc_word_count": 50, "rps_doc_lorem_ipsum": 1})
    assert list(values.items()) == [("rps_doc_word_count", 50), ('meta["a b"].c', 1), ("text_length", 4)]
    assert condition.holds(values)
    assert not condition.holds({**values, "rps_doc_word_count": 49})
    assert not condition.holds({**values, "rps_doc_word_count": None})


def test_shown_values_are_short_json() -> None:
    shown = shown_values({"a": "x" * (MAX_SHOWN + 1), "b": None, "c": [1] * (MAX_SHOWN + 1), "d": 0.5})
    assert json.loads(shown) == {"a": "x" * MAX_SHOWN, "b": None, "c": [1] * MAX_SHOWN, "d": 0.5}
    assert ": " not in shown


REFUSED = {
    # syntax
    "meta.language ==": r"invalid syntax .*",
    "((meta.n > 1": r"'\(' was never closed",
    "meta.n > 1)": "unmatched",
    "meta.n = 1": "Maybe you meant '=='",
    "meta.n > 1 && meta.n < 3": "invalid syntax",
    'meta.language == "en': "unterminated string",
    "": "it is empty",
    " \n\t": "it is empty",
    "meta.n >\0 1": "(null bytes|no text may have|invalid)",
    "meta.n > 1\ud800": "no text may have",
    "meta.n > 1; meta.n": "invalid syntax",
    "import os": "invalid syntax",
    # names
    "rps_doc_wordcount > 1": r"unknown name rps_doc_wordcount\. Did you mean rps_doc_word_count\? Known: meta.FIELD",
    "language == 'en'": "unknown name language",
    "meta": "meta needs a field",
    "meta == 1": "meta needs a field",
    "rps_lines_num_words > 1": "a value a line",
    "__builtins__": "unknown name",
    "NULL == 1": "unknown name NULL",
    # not a condition, or not a value
    "1": "a condition is expected",
    '"de"': "a condition is expected",
    'meta.language == "en" or "de"': r"a condition is expected .*line 1, character 26",
    "meta.n + 1": "a condition is expected",
    "null": "a condition is expected",
    "(meta.n > 1) + 1 > 1": "a value is expected",
    "meta.n == (meta.n > 1)": "a value is expected",
    "meta.tags == [1]": "a list stands right of in",
    "meta.n in [meta.score]": "a list has constants only",
    "meta.n in [[1]]": "a list stands right of in",
    "meta.n is 3": "use ==",
    # nothing can be called or reached
    'open("/etc/passwd")': "a call is not part of the language",
    '__import__("os").system("true") == 0': "a call is not part",
    "().__class__.__bases__[0].__subclasses__() == 1": "a call is not part",
    "().__class__ == 1": "only meta has fields",
    '"".format == 1': "only meta has fields",
    "text_length.real == 1": "only meta has fields",
    "meta[0] == 1": "only a name stands in brackets",
    "meta.tags[0] == 1": "only a name stands in brackets",
    "meta.url[1:] == 1": "only a name stands in brackets",
    "meta[meta.n] == 1": "only a name stands in brackets",
    "meta.keys() == 1": "a call is not part",
    "(lambda: 1) == 1": "a function is not part",
    "[x for x in meta.tags] == 1": "a loop is not part",
    "any(x for x in meta.tags)": "a call is not part",
    "(x := 1) == 1": "an assignment is not part",
    'f"{meta.n}" == 1': "a text with braces is not part",
    "{} == 1": "an object is not part",
    "(1 if meta.n else 2) == 1": "if is not part",
    "b'a' == 1": "this constant is not part",
    "1j == 1": "this constant is not part",
    "... == 1": "this constant is not part",
    "meta.n in [*meta.tags]": "not part",
    "await_ (1)": "not part",
    # no work without bound
    "9**9**9 > 1": "this operator is not part",
    "9**9**9**9 > 1": "this operator is not part",
    "1 << 99999999999 > 1": "this operator is not part",
    "meta.n // 2 == 1": "this operator is not part",
    "~meta.n == 1": "this operator is not part",
    "9" * 5000 + " > 1": "digits",
    "meta.n" + " + 1" * (MAX_DEPTH + 2) + " > 1": "operators are inside each other",
    "meta.n" + " + 1" * 4000 + " > 1": "(inside each other|nested too deep)",
    "not " * 4000 + "meta.n": "(inside each other|nested too deep)",
    "-" * 15000 + "1 > 0": "(inside each other|nested too deep)",
    "(" * 300 + "meta.n" + ")" * 300: "(too many nested|nested too deep)",
    "meta" + ".a" * 9000 + " == 1 and 1": "(condition is expected|nested too deep)",
    "meta.n > 1" + " or meta.n > 1" * (MAX_EXPRESSION // 13): f"the most are {MAX_EXPRESSION:,}",
}


@pytest.mark.parametrize("expression", REFUSED, ids=lambda expression: expression[:40].encode("ascii", "replace"))
def test_refused_fast_with_the_reason_and_an_example(expression: str) -> None:
    started = time.process_time()
    with pytest.raises(UsageError, match=REFUSED[expression]) as caught:
        read_condition(expression, SIGNALS)
    assert time.process_time() - started < 0.5
    assert "the condition cannot be read" in str(caught.value)
    assert "rps_doc_word_count >= 50 and" in str(caught.value)


def test_the_place_of_an_error_is_marked() -> None:
    with pytest.raises(UsageError) as caught:
        read_condition('meta.sprache == "é" and\nmeta.a == "é" and wordcount > 5', SIGNALS)
    lines = str(caught.value).split("\n")
    assert "(line 2, character 19)" in lines[0]
    assert lines[1] == '  meta.a == "é" and wordcount > 5'
    assert lines[2] == "  " + " " * 18 + "^"


@pytest.mark.parametrize(
    "expression",
    [
        '"' + "a" * 10_000 + '" * 1000000 == meta.n',
        "meta.huge" + " * meta.huge" * (MAX_DEPTH - 2) + " > 1",
        '"%0999999999d" % 1 == meta.n',
        "meta.language in [" + ", ".join(f'"{n}"' for n in range(2000)) + "]",
        "meta.n > 5" + " or meta.n > 5" * 1000,
    ],
    ids=lambda expression: expression[:20],
)
def test_work_is_bounded_by_the_expression(expression: str) -> None:
    condition = read_condition(expression, SIGNALS)
    values = condition.values("", META, {})
    started = time.process_time()
    for _ in range(20):
        condition.holds(values)
    assert time.process_time() - started < 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)
OPERANDS = st.sampled_from(
    ["meta.a", "meta.b", "meta.a.b", "text_length", "null", "true", "-1.5", "0", '"a"', "meta.a % meta.b", "-meta.a"]
)
COMPARED = st.tuples(OPERANDS, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]), OPERANDS)
CONDITIONS = st.recursive(
    COMPARED.map(" ".join) | st.just("meta.a"),
    lambda inner: st.tuples(inner, st.sampled_from(["and", "or", "and not"]), inner).map(" ".join),
    max_leaves=4,
)


@settings(max_examples=100)
@given(CONDITIONS, st.dictionaries(st.sampled_from("ab"), JSON))
def test_no_value_stops_a_run(expression: str, meta: dict[str, Any]) -> None:
    condition = read_condition(expression, SIGNALS)
    values = condition.values("text", meta, {})
    assert condition.holds(values) in (True, False)
    json.loads(shown_values(values))


@settings(max_examples=100)
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([*"()[]{}.=<>+-*/%,:'\"\n #\\", "meta", " and ", "in"])).map("".join)
)
def test_any_text_is_read_or_refused(expression: str) -> None:
    try:
        condition = read_condition(expression, SIGNALS)
    except UsageError:
        return
    assert condition.holds(condition.values("", META, {})) in (True, False)


# ------------------------------------------------------------------------------------------------ the job

Records = list[dict[str, Any]]


def write(path: Path, records: Records) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def run(tokenizer: ModelFile, *args: object) -> Any:
    every = [*map(str, args), "--quiet", "--tokenizer", tokenizer.path, "--executor", "serial"]
    return CliRunner().invoke(filter_command, every, catch_exceptions=False)


def kept(root: Path) -> list[str]:
    return [r["text"] for path in sorted((root / "filter").rglob("*.zst")) for r in read_jsonl(str(path))]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    write(
        tmp_path / "in" / "web" / "a.jsonl",
        [
            {"text": "one", "meta": {"language": "en", "score": 0.5}},
            {"text": "two", "meta": {"language": "de", "score": 0.5}},
            {"text": "three", "meta": {"language": "en", "score": 0.49}},
            {"text": "four"},
            {"text": "five", "meta": [1]},
            {"text": "", "meta": {"language": "en", "score": 1, "x": 10**30}},
        ],
    )
    write(tmp_path / "in" / "wiki" / "b.jsonl", [{"text": "six \0", "meta": {"language": "en", "score": 2}}])
    return tmp_path


WHERE = 'meta.language == "en" and meta.score >= 0.5'


def test_the_job_keeps_what_meets_the_condition_and_says_why_not(shards: Path, tiny_tokenizer: ModelFile) -> None:
    result = run(tiny_tokenizer, shards / "in", "--root", shards / "out", "--where", WHERE)
    assert result.exit_code == 0, result.output
    assert kept(shards / "out") == ["one", "", "six \0"]
    assert receipts.sum_drops(receipts.load_all(str(shards / "out"))) == {"where": 4}
    path = shards / "in" / "web" / "a.jsonl"
    for n, measured in {
        1: '{"meta.language":"de","meta.score":0.5}',
        2: '{"meta.language":"en","meta.score":0.49}',
        3: '{"meta.language":null,"meta.score":null}',
        4: '{"meta.language":null,"meta.score":null}',
    }.items():
        [fate] = explanation.explain(str(shards / "out"), f"{path}#{n}")
        assert fate.drop == {"id": f"{path}#{n}", "rule": "where", "measured": measured, "limit": WHERE}
    lines = [json.dumps(record) for record in read_jsonl(str(path))]
    [made] = sorted((shards / "out" / "filter" / "web").iterdir())
    assert [json.dumps(record) for record in read_jsonl(str(made))] == [lines[0], lines[5]]
    assert all(problem is None for _, problem in root_status.verify(str(shards / "out")))


@pytest.mark.parametrize("where", ["meta.language = 'en'", "wordcount > 5"])
def test_a_condition_that_cannot_be_read_starts_nothing(shards: Path, tiny_tokenizer: ModelFile, where: str) -> None:
    with pytest.raises(UsageError, match="the condition cannot be read"):
        run(tiny_tokenizer, shards / "in", "--root", shards / "out", "--where", where)
    assert not list((shards / "out").rglob("*.receipt.json"))


def test_a_hostile_shard_costs_single_records(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    path = tmp_path / "in" / "web" / "a.jsonl"
    path.parent.mkdir(parents=True)
    lines = [
        b'{"text":"good","meta":{"a":1}}',
        b'{"text":"\\ud800","meta":{"a":1}}',
        b'{"text":"number","meta":{"a":1e999}}',
        b'{"text":"bytes","meta":{"a":"\xff"}}',
        b'{"text":"key","meta":{"\xff":1,"a":1}}',
        b'{"text":"deep","meta":{"a":' + b"[" * 300 + b"]" * 300 + b"}}",
        b'{"text":"deepest","meta":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}",
        b"not json",
        b'{"text":"elsewhere","meta":{"b":1e999,"a":1}}',
        b'{"text":"digits","meta":{"a":' + b"9" * 4000 + b"}}",
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    result = run(tiny_tokenizer, path, "--root", tmp_path / "out", "--where", "meta.a == 1")
    assert result.exit_code == 0, result.output
    [made] = (tmp_path / "out" / "filter").rglob("*.zst")
    stayed = zstandard.ZstdDecompressor().decompressobj().decompress(made.read_bytes())
    assert stayed.splitlines() == [lines[0], lines[8]], "what is broken elsewhere in the meta does not matter"
    assert receipts.sum_drops(receipts.load_all(str(tmp_path / "out"))) == {"malformed": 5, "where": 3}


def test_same_bytes_on_every_executor_and_nothing_twice(shards: Path, tiny_tokenizer: ModelFile) -> None:
    run(tiny_tokenizer, shards / "in", "--root", shards / "serial", "--where", WHERE)
    args = [shards / "in", "--root", shards / "local", "--where", WHERE, "--executor", "local", "--workers", 2]
    again = [*map(str, args), "--quiet", "--tokenizer", tiny_tokenizer.path, "--json"]
    assert CliRunner().invoke(filter_command, again).exit_code == 0
    assert files_of(shards / "local") == files_of(shards / "serial")
    again[again.index("local")] = "serial"
    [part] = json.loads(CliRunner().invoke(filter_command, again).output)["slices"]
    assert (part["tasks_done"], part["tasks_skipped"]) == (0, 2)
    victim = next((shards / "local" / "filter").rglob("*.zst"))
    victim.unlink()
    [part] = json.loads(CliRunner().invoke(filter_command, again).output)["slices"]
    assert (part["tasks_done"], part["tasks_skipped"]) == (1, 1)
    assert files_of(shards / "local") == files_of(shards / "serial")
    changed = [arg.replace("0.5", "0.4") for arg in again]
    [part] = json.loads(CliRunner().invoke(filter_command, changed).output)["slices"]
    assert (part["tasks_done"], part["documents"]) == (2, 4)


def test_only_the_signals_named_are_asked_for(
    shards: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[frozenset[str]] = []

    def signal_values(text: str, meta: dict[str, Any], names: frozenset[str]) -> dict[str, float | None]:
        asked.append(names)
        if text == "five":
            raise ValueError("too long")
        return {name: float(len(text)) if text else None for name in names}

    monkeypatch.setattr(filter_job, "signal_values", signal_values)
    run(
        tiny_tokenizer, shards / "in", "--root", shards / "out", "--where", "rps_doc_word_count >= 4 and meta.a == null"
    )
    assert asked == [{"rps_doc_word_count"}] * 7
    assert kept(shards / "out") == ["three", "four", "six \0"]
    for n in (4, 5):
        [fate] = explanation.explain(str(shards / "out"), f"{shards / 'in' / 'web' / 'a.jsonl'}#{n}")
        assert fate.drop is not None
        assert fate.drop["measured"] == '{"rps_doc_word_count":null,"meta.a":null}'


def test_real_signals(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    texts = {"a b c d": 4, "a, b. c": 3, "one": 1, "": 0}
    write(tmp_path / "in" / "a.jsonl", [{"text": text, "meta": {"perplexity": 7}} for text in texts])
    where = (
        "rps_doc_word_count >= 3 and ccnet_perplexity == 7 and ccnet_bucket == null and rps_doc_mean_word_length < 2"
    )
    assert run(tiny_tokenizer, tmp_path / "in", "--root", tmp_path / "out", "--where", where).exit_code == 0
    assert kept(tmp_path / "out") == ["a b c d", "a, b. c"]
    with pytest.raises(UsageError, match=r"rps_doc_word_countt\. Did you mean rps_doc_word_count"):
        run(tiny_tokenizer, tmp_path / "in", "--root", tmp_path / "out", "--where", "rps_doc_word_countt > 1")


def test_help_has_examples() -> None:
    shown = CliRunner().invoke(filter_command, ["--help"]).output
    assert "rpj filter out --root out --where" in shown
