"""N-grams that the data shares with test sets, against the plain reading; both sides of the limit; any executor."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_root import files_of

from redpajama_data.cli.decontaminate import render
from redpajama_data.cli.main import cli
from redpajama_data.config import load_config
from redpajama_data.dedup import external_sort
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.reports.explanation import explain
from redpajama_data.reports.waterfall import waterfalls
from redpajama_data.whole_run import RunReport, run_parts
from slices.jobs.decontaminate import FIELD, JOB, DecontaminateSettings
from slices.jobs.decontaminate_index import Kind, list_sets
from slices.jobs.decontaminate_report import is_same_task, tasks_by_set

JOB_FOLDER = "_run/decontaminate"
Rows = list[dict[str, Any]]


def write(folder: Path, slices: dict[str, Rows]) -> Path:
    """Records as shards of at most two, a folder a slice."""
    for name, rows in slices.items():
        (folder / name).mkdir(parents=True)
        for first in range(0, len(rows), 2):
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows[first : first + 2])
            (folder / name / f"{first:04d}.jsonl").write_text("".join(lines))
    return folder


def write_tests(folder: Path, sets: dict[str, list[Any]]) -> Path:
    folder.mkdir()
    for name, tests in sets.items():
        data = "".join(json.dumps(test, ensure_ascii=False) + "\n" for test in tests).encode()
        pack = {"gz": gzip.compress, "zst": zstandard.compress}.get(name.rpartition(".")[2], bytes)
        (folder / name).write_bytes(pack(data))
    return folder


def run(tmp_path: Path, *, executor: str = "serial", root: str = "out", **given_settings: Any) -> RunReport:
    config = load_config(
        None, {"root": str(tmp_path / root), "executor": executor, "tokenizer": "none", "workers": 2, "address": None}
    )
    made = DecontaminateSettings(input=(str(tmp_path / "in"),), against=(str(tmp_path / "tests"),), **given_settings)
    return run_parts([(JOB, made)], config, quiet=True)


def kept(root: Path) -> Rows:
    return [row for path in sorted(root.glob("decontaminate/*/*.zst")) for row in read_jsonl(str(path))]


def dropped(root: Path) -> Rows:
    return [row for path in sorted(root.glob(f"{JOB_FOLDER}/keep/*.drops.*")) for row in read_jsonl(str(path))]


def told(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / JOB_FOLDER / "decide/tests.json").read_text()))


def hit_tests(root: Path) -> Rows:
    return list(read_jsonl(str(root / JOB_FOLDER / "decide/tests.hit_tests.jsonl.zst")))


# ---------------------------------------------------------------------------------------------- the limit


THIRTEEN = "one two three four five six seven eight nine ten eleven twelve thirteen"
TWELVE = THIRTEEN.rpartition(" ")[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (THIRTEEN, True),
        (TWELVE, False),
        (f"before {THIRTEEN} after", True),
        (f"before {TWELVE} after", False),
        (f"before {THIRTEEN.partition(' ')[2]} after", False),
        (THIRTEEN.upper().replace(" ", ",\n--"), True),
        (THIRTEEN.replace("three", "th\u00adree"), True),
        (THIRTEEN.replace("three", "th ree"), False),
        (f"{TWELVE} x {THIRTEEN}", True),
        ("", False),
    ],
)
def test_both_sides_of_the_limit(tmp_path: Path, text: str, found: bool) -> None:
    write(tmp_path / "in", {"c4": [{"text": text, "meta": {"url": "u"}}]})
    write_tests(tmp_path / "tests", {"quiz.jsonl": [{"id": "a", "question": f"Say: {THIRTEEN}!"}]})
    run(tmp_path)
    assert len(kept(tmp_path / "out")) == (not found)
    if found:
        [drop] = dropped(tmp_path / "out")
        shown = {key: drop[key] for key in ("rule", "measured", "limit", "test", "sets")}
        assert shown == {
            "rule": "shared_ngram", "measured": THIRTEEN, "limit": 13, "test": "quiz#a", "sets": ["quiz"],
        }  # fmt: skip


def test_an_ngram_lies_within_one_string_and_short_tests_hit_nothing(tmp_path: Path) -> None:
    write(tmp_path / "in", {"c4": [{"text": f"{THIRTEEN} fourteen"}, {"text": TWELVE}]})
    write_tests(tmp_path / "tests", {"quiz.jsonl": [{"q": TWELVE, "a": "thirteen"}, {"q": [TWELVE]}]})
    run(tmp_path)
    assert len(kept(tmp_path / "out")) == 2
    assert told(tmp_path / "out")["sets"] == {"quiz": {"tests": 2, "too_short": 2, "hit": 0, "documents": 0}}


def test_named_fields_alone_count(tmp_path: Path) -> None:
    write(tmp_path / "in", {"c4": [{"text": "a b c"}, {"text": "d e f"}]})
    write_tests(tmp_path / "tests", {"quiz.jsonl": [{"q": {"deep": ["a b c"]}, "passage": "d e f"}]})
    run(tmp_path, ngram=3, fields=("q",))
    assert [row["text"] for row in kept(tmp_path / "out")] == ["d e f"]
    with pytest.raises(UsageError, match="no field 'question'; it has q, passage"):
        run(tmp_path, ngram=3, fields=("question",), root="other")


# ---------------------------------------------------------------------------------------------- the plain reading


WORDS = st.lists(st.sampled_from("abc"), max_size=8).map(" ".join)


def plain(documents: list[str], tests: list[tuple[str, str]], ngram: int) -> tuple[dict[int, Any], dict[str, Any]]:
    """Of each hit document its first n-gram, the first test that has it, the number of its n-grams, its sets; of each
    hit test its different n-grams, how many of them the data has, the number of documents that have one."""

    def grams(text: str) -> list[tuple[str, ...]]:
        words = text.split()
        return [tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)]

    of_test = [(f"{name}#{n}", name, grams(text)) for n, (name, text) in enumerate(tests)]
    found = {}
    for place, text in enumerate(documents):
        shared = [gram for gram in grams(text) if any(gram in every for *_, every in of_test)]
        if shared:
            first = next(name for name, _, every in of_test if shared[0] in every)
            sets = sorted({of for _, of, every in of_test if set(every) & set(shared)})
            found[place] = (" ".join(shared[0]), first, len(set(shared)), sets)
    hit = {}
    for name, _, every in of_test:
        having = [document for document in documents if set(grams(document)) & set(every)]
        if having:
            there = {gram for document in having for gram in grams(document)} & set(every)
            hit[name] = (len(set(every)), len(there), len(having))
    return found, hit


@settings(max_examples=40)
@given(st.lists(WORDS, min_size=1, max_size=7), st.lists(WORDS, min_size=1, max_size=5), st.integers(1, 5))
def test_the_plain_reading(tmp_path_factory: Any, documents: list[str], tests: list[str], ngram: int) -> None:
    tmp_path = tmp_path_factory.mktemp("plain")
    half = (len(documents) + 1) // 2
    rows = [{"text": text} for text in documents]
    write(tmp_path / "in", {"a": rows[:half], "b": rows[half:]})
    named = [("first" if n % 2 else "second", text) for n, text in enumerate(tests)]
    named.sort()
    of_set: dict[str, list[Any]] = {}
    for n, (name, text) in enumerate(named):
        of_set.setdefault(f"{name}.jsonl", []).append({"id": n, "x": text})
    write_tests(tmp_path / "tests", of_set)
    assert run(tmp_path, ngram=ngram, action="mark").exit_code() == 0
    found, hit = plain(documents, named, ngram)
    marks = [row.get("meta", {}).get(FIELD) for row in kept(tmp_path / "out")]
    assert [row["text"] for row in kept(tmp_path / "out")] == documents
    assert {
        place: (mark["ngram"], mark["test"], mark["ngrams"], mark["sets"]) for place, mark in enumerate(marks) if mark
    } == found
    told_tests = hit_tests(tmp_path / "out")
    assert {row["test"]: (row["ngrams"], row["shared"], row["documents"]) for row in told_tests} == hit
    for name, one in told(tmp_path / "out")["sets"].items():
        assert one["hit"] == sum(test.startswith(f"{name}#") for test in hit)
        assert one["documents"] == sum(name in sets for *_, sets in found.values())


# ---------------------------------------------------------------------------------------------- how it is run


MANY = [
    {"text": f"the {n} quick brown fox jumps over the lazy dog number {n} {n % 7}", "meta": {"n": n}} for n in range(30)
]
SETS = {
    "fox.jsonl.gz": [{"question": "Which lazy dog? The lazy dog number 3 3."}, {"question": "x"}],
    "dog.jsonl.zst": [{"id": "d", "question": "quick brown fox jumps over"}],
}


@pytest.mark.parametrize("action", ["drop", "mark"])
def test_every_executor_and_memory_gives_the_same_files(
    tmp_path: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in", {"c4": MANY[:11], "books": MANY[11:]})
    write_tests(tmp_path / "tests", SETS)
    given_settings = {"ngram": 5, "action": action}
    run(tmp_path, **given_settings)
    run(tmp_path, root="other", executor="local", **given_settings)
    monkeypatch.setattr(external_sort, "_PEAK", 1 << 30)  # eight rows at a time
    run(tmp_path, root="small", **given_settings)

    def files(root: str) -> dict[str, bytes]:
        other = ("receipt.json", "run.json", "manifest.json")
        return {name: data for name, data in files_of(tmp_path / root).items() if not name.endswith(other)}

    assert files("out") == files("other") == files("small")
    assert told(tmp_path / "out")["sets"]["dog"]["documents"] == 30


def test_another_action_does_not_look_again(tmp_path: Path) -> None:
    write(tmp_path / "in", {"c4": MANY})
    write_tests(tmp_path / "tests", SETS)
    run(tmp_path, ngram=5)
    assert run(tmp_path, ngram=5, action="mark").slices[0].done_now == 15
    assert run(tmp_path, ngram=5, action="mark").slices[0].done_now == 0
    (tmp_path / "tests" / "dog.jsonl.zst").write_bytes(zstandard.compress(b'{"q": "nothing of it is there at all"}\n'))
    assert run(tmp_path, ngram=5, action="mark").slices[0].done_now > 15


def test_what_stays_passes_byte_for_byte_and_explain_names_the_test(tmp_path: Path) -> None:
    (tmp_path / "in" / "c4").mkdir(parents=True)
    lines = ['{"text":  "a b c d", "x": 1.0}', '{"text": "e f g h", "meta": {"u": 1}}', "no json"]
    (tmp_path / "in" / "c4" / "a.jsonl").write_text("\n".join(lines) + "\n")
    write_tests(tmp_path / "tests", {"quiz.jsonl": [{"q": "E F G"}]})
    run(tmp_path, ngram=3)
    [shard] = (tmp_path / "out").glob("decontaminate/c4/*.zst")
    assert zstandard.ZstdDecompressor().decompressobj().decompress(shard.read_bytes()).decode() == lines[0] + "\n"
    [fate] = explain(str(tmp_path / "out"), f"{tmp_path}/in/c4/a.jsonl#1")
    assert fate.drop is not None
    assert (fate.drop["measured"], fate.drop["test"]) == ("e f g", "quiz#0")


# ---------------------------------------------------------------------------------------------- tasks


def test_the_rule_of_redpajama_data_instruct(tmp_path: Path) -> None:
    ten = " ".join(f"w{n}" for n in range(10))
    rows = [
        {"text": f"{ten} and more", "meta": {"task": "super_glue_boolq_after"}},
        {"text": "another of that task", "meta": {"task": "super_glue_boolq_after"}},
        {"text": f"{ten} in a passage", "meta": {"task": "other"}},
        {"text": "nothing", "meta": {"task": "other"}},
        {"text": " ".join(f"w{n}" for n in range(9)), "meta": {"task": "other"}},
    ]
    write(tmp_path / "in", {"instruct": rows})
    write_tests(tmp_path / "tests", {"boolq.jsonl": [{"id": "b", "passage": ten}]})
    run(tmp_path, preset="redpajama-instruct", same_task=("boolq=*boolq*",))
    assert [row["text"] for row in kept(tmp_path / "out")] == [rows[3]["text"], rows[4]["text"]]
    assert [(drop["rule"], drop["test"]) for drop in dropped(tmp_path / "out")] == [
        ("task_of_test", "boolq#b"),
        ("task_of_test", "boolq#b"),
        ("shared_ngram", "boolq#b"),
    ]
    found = told(tmp_path / "out")
    assert found["tasks"] == {
        "other": {"leaves": False, "shares_with": {"boolq": 1}},
        "super_glue_boolq_after": {"leaves": True, "shares_with": {"boolq": 1}},
    }
    assert "super_glue_boolq_after" in render(found)


def test_a_task_alone_may_leave(tmp_path: Path) -> None:
    rows = [{"text": "a b c", "meta": {"task": "BoolQ"}}, {"text": "x", "meta": {"task": "BoolQ"}}, {"text": "a b c"}]
    write(tmp_path / "in", {"instruct": rows})
    write_tests(tmp_path / "tests", {"helm.jsonl": [{"task": "bool_q", "q": "a b c"}]})
    run(tmp_path, ngram=3, rules=("task",), action="mark")
    marks = [row.get("meta", {}).get(FIELD) for row in kept(tmp_path / "out")]
    assert [mark and mark["rule"] for mark in marks] == ["task_of_test", "task_of_test", None]
    assert marks[1]["document"].endswith("0000.jsonl#0")


@pytest.mark.parametrize(
    ("task", "same", "expected"),
    [
        ("BoolQ", (), True),
        ("bool-q!", (), True),
        ("boolq_2", (), False),
        ("boolq_2", ("boolq=boolq_?",), True),
        ("boolq_2", ("helm=boolq_2",), True),
        ("boolq_2", ("quac=boolq_2",), False),
    ],
)
def test_what_is_the_same_task(task: str, same: tuple[str, ...], expected: bool) -> None:
    assert is_same_task(task, Kind("helm", "boolq"), tasks_by_set(same)) is expected


# ---------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ngram": 0}, "ngram"),
        ({"ngram": 1001}, "ngram"),
        ({"rules": ("instance", "tasks")}, "rules tasks: expected instance, task, or both"),
        ({"rules": ()}, "expected instance, task"),
        ({"same_task": ("boolq",)}, "expected SET=TASK"),
        ({"same_task": ("=x",)}, "expected SET=TASK"),
        ({"preset": "helm"}, "preset"),
    ],
)
def test_settings_that_are_none(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecontaminateSettings(**wrong)


def test_a_preset_gives_way_to_what_is_given() -> None:
    made = DecontaminateSettings(preset="redpajama-instruct", ngram=8)  # type: ignore[call-arg]
    assert (made.ngram, made.rules) == (8, ("task", "instance"))
    assert DecontaminateSettings(preset="redpajama-instruct").ngram == 10  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("data", "message"),
    [("", "no test in it"), ("{\n", r"not JSON .* Mend the test set"), ("[1]\n", "Mend the test set")],
)
def test_a_test_set_that_is_none(tmp_path: Path, data: str, message: str) -> None:
    write(tmp_path / "in", {"c4": [{"text": "a"}]})
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.jsonl").write_text(data)
    with pytest.raises(UsageError, match=message):
        run(tmp_path)


def test_sets_are_named_as_their_files(tmp_path: Path) -> None:
    for name in ("x/test.jsonl", "y/test.jsonl.gz", "y/other.json.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [one.name for one in list_sets([str(tmp_path)])[0]] == ["x/test", "other", "y/test"]
    with pytest.raises(UsageError, match="--against"):
        list_sets([])


def test_the_command(tmp_path: Path) -> None:
    write(tmp_path / "in", {"c4": [{"text": THIRTEEN}, {"text": TWELVE}]})
    write_tests(tmp_path / "tests", {"quiz.jsonl": [{"q": THIRTEEN}]})
    words = ["decontaminate", str(tmp_path / "in"), "--against", str(tmp_path / "tests"), "--tokenizer", "none"]
    words += ["--executor", "serial", "--quiet"]
    shown = CliRunner().invoke(cli, [*words, "--root", str(tmp_path / "out")])
    assert shown.exit_code == 0
    assert "quiz          1    1  100.0%             1          0" in shown.output
    shown = CliRunner().invoke(cli, [*words, "--root", str(tmp_path / "marked"), "--mark", "--json"])
    assert json.loads(shown.stdout)["decontaminate"]["sets"]["quiz"]["hit"] == 1
    assert len(kept(tmp_path / "marked")) == 2


def test_the_waterfall_has_no_row_of_the_test_sets(tmp_path: Path) -> None:
    write(tmp_path / "in", {"c4": MANY})
    write_tests(tmp_path / "tests", SETS)
    run(tmp_path, ngram=5)
    [fall] = waterfalls(str(tmp_path / "out"))
    assert fall.slice == "c4"
    assert [(row.kind, row.rule, row.documents) for row in fall.jobs[0][2]] == [
        ("raw", "", 30),
        ("dropped", "shared_ngram", 30),
        ("left", "", 0),
    ]
