"""Quality scores: what the classifier gives, the histogram, what the limit drops, and the two commands."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from whole_root import files_of

from filters.language import load_lid
from filters.quality import (
    BINS,
    Histogram,
    add_histograms,
    bin_of,
    choose_label,
    min_quality,
    no_score,
    quality_score,
    stored_score,
)
from filters.wikiref import predict_reference
from redpajama_data.cli.quality import quality, render_histogram
from redpajama_data.config import RunConfig
from redpajama_data.document import Drop
from redpajama_data.engine import receipts
from redpajama_data.engine.stages import RunSettings
from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import resolve
from redpajama_data.reports import explanation, root_status
from redpajama_data.whole_run import run_parts
from slices.jobs import load
from slices.jobs.quality_filter import histogram_of, histograms

SAMPLE_MODEL = str(Path(__file__).parents[2] / "redpajama_data" / "sample" / "models" / "wikiref.bin")
Records = list[dict[str, Any]]
TEXTS = [
    "The river is a tributary of the Danube.\nIt was first described in 1841.",
    "Buy now! Cheap shoes, free shipping",
    "",
    " \n \u2028 ",
    "NUL \0 and \x85 lines",
    "漢字 \U0001f469\u200d\U0001f467",
    "word " * 20_000,
]


# ------------------------------------------------------------------------------------------------ the score


def fit(folder: Path, lines: dict[str, str], **args: Any) -> ModelFile:
    """A classifier with those labels, trained on a line each; the same bytes every time."""
    import fasttext

    from redpajama_data.training.classifier import write_first_vectors

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.txt").write_text("".join(f"__label__{label} {words}\n" for label, words in lines.items()) * 50)
    args |= {"input": str(folder / "train.txt"), "dim": 4, "lr": 0.5, "minCount": 1, "thread": 1, "verbose": 0}
    words = fasttext.train_supervised(**args, epoch=0).get_words()
    write_first_vectors(words, str(folder / "vectors"), dim=4, seed=0)  # fastText's own are not all set
    model = fasttext.train_supervised(**args, epoch=5, pretrainedVectors=str(folder / "vectors"))
    model.save_model(str(folder / "model.bin"))
    return resolve(str(folder / "model.bin"))


THREE = {"science": "atom energy cell", "sport": "ball goal team", "cc": "buy cheap now"}


@pytest.mark.parametrize("text", TEXTS)
def test_the_score_of_two_classes_is_that_of_common_crawl(text: str) -> None:
    model = resolve(SAMPLE_MODEL)
    expected = predict_reference(load_lid(resolve(SAMPLE_MODEL)), text)[2]
    assert quality_score(text, model=model, label=choose_label(model, None)) == expected
    other = quality_score(text, model=model, label=choose_label(model, "cc"))
    assert math.isclose(other, 1 - expected, abs_tol=3e-5)


def test_the_label_names_the_class(tiny_lid: str) -> None:
    model = resolve(tiny_lid)
    english, german = "the of and to with", "der die das und"
    for label in ("en", "__label__en"):
        chosen = choose_label(model, label)
        assert (
            quality_score(english, model=model, label=chosen) > 0.9 > quality_score(german, model=model, label=chosen)
        )
    assert quality_score(german, model=model, label="__label__de") > 0.9


@pytest.mark.parametrize("args", [{"loss": "softmax"}, {"loss": "hs"}, {"loss": "ova"}, {"loss": "ns"}], ids=str)
def test_many_classes_score_as_fasttext_does(tmp_path: Path, args: dict[str, Any]) -> None:
    import fasttext

    model = fit(tmp_path, THREE, **args)
    every = fasttext.load_model(model.path)
    for text in ("atom energy", "ball ball\ngoal", "buy cheap", "unknown", ""):
        labels, probabilities = every.predict(" ".join(text.splitlines()), k=-1)
        for label, probability in zip(labels, probabilities, strict=True):
            assert quality_score(text, model=model, label=label) == probability


def test_two_classes_that_do_not_exclude_each_other_score_as_fasttext_does(tmp_path: Path) -> None:
    model = fit(tmp_path, {"good": "atom energy cell", "cc": "buy cheap now"}, loss="ova")
    for text in ("atom", "buy"):
        import fasttext

        labels, probabilities = fasttext.load_model(model.path).predict(text, k=-1)
        expected = dict(zip(labels, probabilities, strict=True))["__label__good"]
        assert quality_score(text, model=model, label="__label__good") == expected


def test_a_class_must_be_named_when_there_is_a_choice(tmp_path: Path, tiny_lid: str) -> None:
    assert choose_label(resolve(SAMPLE_MODEL), None) == "__label__wiki"
    with pytest.raises(UsageError, match=r"which label.* de, en\. Choose one with --label"):
        choose_label(resolve(tiny_lid), None)
    three = fit(tmp_path, THREE)
    with pytest.raises(UsageError, match="which label"):
        choose_label(three, None)
    with pytest.raises(UsageError, match=r"no label art\. Choose one of .*sport.* with --label"):
        choose_label(three, "art")


# ------------------------------------------------------------------------------------------------ limit, histogram


@pytest.mark.parametrize("limit", [0.0, 0.15, 0.25, 0.5, 1.0])
def test_the_limit_itself_stays(limit: float) -> None:
    assert min_quality(limit, limit=limit) is None
    below = math.nextafter(limit, -1)
    assert min_quality(below, limit=limit) == Drop("min_quality", below, limit)


@pytest.mark.parametrize(
    ("value", "score"),
    [(0.5, 0.5), (1, 1), (-0.1, -0.1), (True, None), ("0.5", None), (None, None), ([0.5], None), ({}, None)],
)
def test_what_is_a_score(value: object, score: float | None) -> None:
    assert stored_score({"s": value}, "s") == score
    assert stored_score({"s": value}, "t") is None
    assert no_score(field="s") == Drop("no_score", None, "s")


@given(st.floats(allow_nan=False) | st.integers(0, BINS).map(lambda k: k / BINS), st.integers(1, BINS - 1))
def test_bins_and_limits_agree(score: float, k: int) -> None:
    assert (bin_of(score) < k) == (min_quality(score, limit=k / BINS) is not None)
    assert 0 <= bin_of(score) < BINS


def histogram(counts: dict[int, tuple[int, int]], missing: int = 0) -> Histogram:
    documents, sizes = zip(*(counts.get(n, (0, 0)) for n in range(BINS)), strict=True)
    return Histogram(documents, sizes, missing)


def test_histograms_add_up() -> None:
    one, two = histogram({0: (1, 10), 19: (2, 5)}, 1), histogram({0: (3, 7)}, 2)
    assert add_histograms(one, two) == histogram({0: (4, 17), 19: (2, 5)}, 3)
    assert add_histograms(one, Histogram()) == one


def test_the_table_shows_what_each_limit_keeps() -> None:
    lines = render_histogram("web", histogram({0: (1, 10), 5: (2, 20), 19: (1, 70)}, 7), 0.27).split("\n")
    assert lines[0] == "web: 4 scored documents, 100 bytes; 7 without a score"
    assert len(lines) == 2 + BINS
    assert lines[2].split() == ["0.00-0.05", "1", "10", "100.0%", "100.0%"]
    assert lines[7].split() == ["0.25-0.30", "2", "20", "75.0%", "90.0%", "<-", "limit", "0.27"]
    assert lines[8].split() == ["0.30-0.35", "0", "0", "25.0%", "70.0%"]
    assert "n/a" in render_histogram("none", Histogram(), None)
    for limit, marked in {0.25: 7, 0.2499: 6, 0.0: 2, 0.9999: 21}.items():
        table = render_histogram("web", Histogram(), limit).split("\n")
        assert [n for n, line in enumerate(table) if "<-" in line] == [marked]
    assert "<-" not in render_histogram("web", Histogram(), 1.5)


# ------------------------------------------------------------------------------------------------ the commands


def write(path: Path, records: Records) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


Run = Callable[..., Any]


@pytest.fixture
def rpj(tiny_tokenizer: ModelFile) -> Run:
    """Runs a command of the group on this process; options given later win."""

    def go(command: str, *args: object) -> Any:
        fixed = ["--quiet", "--tokenizer", tiny_tokenizer.path, "--executor", "serial"]
        return CliRunner().invoke(quality, [command, *fixed, *map(str, args)], catch_exceptions=False)

    return go


def published(root: Path, job: str) -> dict[str, Records]:
    made: dict[str, Records] = {}
    for path in sorted((root / job).rglob("*.zst")):
        made.setdefault(path.parent.name, []).extend(read_jsonl(str(path)))
    return made


@pytest.fixture
def unscored(tmp_path: Path) -> Path:
    records = [{"text": text, "meta": {"n": n, "quality_score": "old"}} for n, text in enumerate(TEXTS)]
    write(tmp_path / "in" / "web" / "a.jsonl", records)
    write(tmp_path / "in" / "wiki" / "b.jsonl", [{"text": TEXTS[0]}, {"text": TEXTS[1], "meta": [1]}])
    return tmp_path


def scores(*texts: str) -> list[float]:
    return [predict_reference(load_lid(resolve(SAMPLE_MODEL)), text)[2] for text in texts]


def test_score_adds_a_field_and_prints_how_scores_are_spread(unscored: Path, rpj: Run) -> None:
    result = rpj("score", unscored / "in", "--root", unscored / "out", "--model", SAMPLE_MODEL)
    assert result.exit_code == 0, result.output
    made = published(unscored / "out", "quality_score")
    web = [{"n": n, "quality_score": score} for n, score in enumerate(scores(*TEXTS))]
    assert made["web"] == [{"text": text, "meta": meta} for text, meta in zip(TEXTS, web, strict=True)]
    wiki = [{"quality_score": score} for score in scores(*TEXTS[:2])]
    assert made["wiki"] == [{"text": text, "meta": meta} for text, meta in zip(TEXTS[:2], wiki, strict=True)]
    found = histograms(list(receipts.load_all(str(unscored / "out"))))
    assert [sum(h.documents) for h in found.values()] == [7, 2]
    assert [sum(h.bytes) for h in found.values()] == [sum(len(t.encode()) for t in TEXTS[:k]) for k in (7, 2)]
    for name, score in (("web", scores(TEXTS[0])[0]), ("wiki", scores(TEXTS[1])[0])):
        assert found[name].documents[bin_of(score)] >= 1
    for line in ("web: 7 scored documents", "wiki: 2 scored documents", "all slices: 9 scored documents"):
        assert line in result.output
    assert all(problem is None for _, problem in root_status.verify(str(unscored / "out")))


def test_other_values_of_a_scored_record_keep_their_bytes(tmp_path: Path, rpj: Run) -> None:
    path = tmp_path / "in" / "web" / "a.jsonl"
    path.parent.mkdir(parents=True)
    lines = [
        b'{"id":1e999,"text":"caf\\u00e9","meta":{"a":1e-7,"b":123456789012345678901234567890}}',
        b'{"text":"\\ud800"}',
        b'{"text":"bytes","meta":{"a":"\xff"}}',
        b'{"\xff":1,"text":"key"}',
        b"[]",
    ]
    path.write_bytes(b"\n".join(lines))
    assert rpj("score", path, "--root", tmp_path / "out", "--model", SAMPLE_MODEL, "--field", "q").exit_code == 0
    import zstandard

    [made] = (tmp_path / "out" / "quality_score").rglob("*.zst")
    data = zstandard.ZstdDecompressor().decompressobj().decompress(made.read_bytes())
    [first] = data.splitlines()
    assert first.startswith(b'{"id":1e999,"text":"caf\\u00e9","meta":{"a":1e-7,"b":123456789012345678901234567890,"q":')
    [receipt] = receipts.load_all(str(tmp_path / "out"))
    assert receipt.dropped == {"malformed": 4}
    assert sum(histogram_of(receipt).documents) == receipt.kept == 1


def test_score_by_a_label(unscored: Path, rpj: Run, tiny_lid: str) -> None:
    arguments = [unscored / "in" / "wiki", "--root", unscored / "out", "--model", tiny_lid, "--field", "de"]
    assert rpj("score", *arguments, "--label", "de").exit_code == 0
    expected = [quality_score(t, model=resolve(tiny_lid), label="__label__de") for t in TEXTS[:2]]
    assert [record["meta"]["de"] for record in published(unscored / "out", "quality_score")["wiki"]] == expected
    with pytest.raises(UsageError, match="which label"):
        rpj("score", *arguments)
    with pytest.raises(UsageError, match="no label fr"):
        rpj("score", *arguments, "--label", "fr")


def test_score_needs_a_model_that_is_there(unscored: Path, rpj: Run, tiny_tokenizer: ModelFile) -> None:
    result = rpj("score", unscored / "in", "--root", unscored / "out")
    assert (result.exit_code, "Missing option '--model'" in result.output) == (2, True)
    with pytest.raises(MissingModel):
        rpj("score", unscored / "in", "--root", unscored / "out", "--model", unscored / "none.bin")
    with pytest.raises(MissingModel, match="no fastText model"):
        rpj("score", unscored / "in", "--root", unscored / "out", "--model", tiny_tokenizer.path)
    job = load("quality_score")
    with pytest.raises(MissingModel, match=r"rpj train classifier .* --model PATH"):
        job.stages(job.settings(), RunSettings(tiny_tokenizer, 0.5))


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    values = [0.3, 0.25, 0.2499, 1.00001, -0.00001, 0.55, None, "0.9"]
    web = [{"text": f"text {n}", "meta": {"quality_score": v, "other": 1 - n / 10}} for n, v in enumerate(values)]
    write(tmp_path / "in" / "web" / "a.jsonl", [*web, {"text": "no meta"}])
    write(tmp_path / "in" / "wiki" / "b.jsonl", [{"text": "é", "meta": {"quality_score": 0.6, "other": 1}}])
    write(tmp_path / "in" / "wiki" / "c.jsonl", [])
    return tmp_path


def texts_of(root: Path) -> list[str]:
    return [record["text"] for records in published(root, "quality_filter").values() for record in records]


def test_filter_keeps_from_the_limit_on_and_says_why_others_left(scored: Path, rpj: Run) -> None:
    result = rpj("filter", scored / "in", "--root", scored / "out", "--min", "0.25")
    assert result.exit_code == 0, result.output
    assert texts_of(scored / "out") == ["text 0", "text 1", "text 3", "text 5", "é"]
    path = scored / "in" / "web" / "a.jsonl"
    fates = {
        2: ("min_quality", 0.2499, 0.25),
        4: ("min_quality", -0.00001, 0.25),
        6: ("no_score", None, "quality_score"),
        7: ("no_score", None, "quality_score"),
        8: ("no_score", None, "quality_score"),
    }
    for n, expected in fates.items():
        [fate] = explanation.explain(str(scored / "out"), f"{path}#{n}")
        assert fate.drop is not None
        assert (fate.drop["rule"], fate.drop["measured"], fate.drop["limit"]) == expected
    every = list(receipts.load_all(str(scored / "out")))
    assert receipts.sum_drops(every) == {"min_quality": 2, "no_score": 3}
    counted = histograms([receipt for receipt in every if receipt.stage == "scores"])
    assert {name: (sum(h.documents), sum(h.bytes), h.no_score) for name, h in counted.items()} == {
        "web": (6, 36, 3),
        "wiki": (1, 2, 0),
    }
    assert [counted["web"].documents[k] for k in (0, 4, 5, 6, 11, 19)] == [1, 1, 1, 1, 1, 1]
    assert all(problem is None for _, problem in root_status.verify(str(scored / "out")))


def test_filter_prints_the_scores_before_the_decision(scored: Path, rpj: Run) -> None:
    shown = rpj("filter", scored / "in", "--root", scored / "out", "--min", "0.3").output
    table, _, report = shown.partition("quality_filter:")
    assert "web: 6 scored documents, 36 bytes; 3 without a score" in table
    assert "all slices: 7 scored documents, 38 bytes" in table
    assert table.count("<- limit 0.3") == 3
    assert "5 documents published" not in report
    assert "4 documents published" in report


def test_dry_run_prints_and_writes_nothing(scored: Path, rpj: Run) -> None:
    arguments = ["filter", scored / "in", "--root", scored / "out", "--dry-run"]
    result = rpj(*arguments)
    assert result.exit_code == 0, result.output
    assert result.output.count("<- limit 0.25") == 3
    assert not (scored / "out").exists()
    plain = json.loads(rpj(*arguments, "--json", "--min", "0.5", "--field", "other").output)
    assert plain["min"] == 0.5
    assert sum(plain["slices"]["web"]["documents"]) == 8
    assert plain["slices"]["wiki"]["documents"][19] == 1
    rpj(*arguments[:-1])
    before = files_of(scored / "out")
    rpj(*arguments, "--min", "0.9")
    assert files_of(scored / "out") == before


def test_a_shard_that_is_not_the_format_is_named_and_the_others_are_counted(scored: Path, rpj: Run) -> None:
    (scored / "in" / "web" / "z.jsonl").write_text("not json\n" * 200)
    for options in (["--dry-run"], []):
        result = rpj("filter", scored / "in", "--root", scored / "out", *options)
        assert result.exit_code == 3
        assert "200 of 200 records are malformed" in result.stderr
        assert "web: 6 scored documents" in result.stdout
    assert len(texts_of(scored / "out")) == 5


def test_another_field_and_the_default_limit(scored: Path, rpj: Run) -> None:
    result = rpj("filter", scored / "in", "--root", scored / "out", "--field", "other", "--json")
    assert json.loads(result.stdout)["slices"][0]["dropped"] == {"no_score": 1}
    assert "<- limit 0.25" in result.stderr
    assert len(texts_of(scored / "out")) == 9


def test_a_shard_without_scores_stops_before_anything_is_published(scored: Path, rpj: Run) -> None:
    write(scored / "in" / "web" / "z.jsonl", [{"text": "a"}, {"text": "b", "meta": {"wiki_prob": 1}}])
    with pytest.raises(UsageError, match=r"z\.jsonl: none of its 2 records has .*\(rpj quality score INPUT"):
        rpj("filter", scored / "in", "--root", scored / "out")
    assert not (scored / "out" / "quality_filter").exists()


def test_a_limit_must_be_a_number(scored: Path, rpj: Run) -> None:
    assert rpj("filter", scored / "in", "--root", scored / "out", "--min", "high").exit_code == 2
    with pytest.raises(UsageError, match=r"min: .*finite"):
        rpj("filter", scored / "in", "--root", scored / "out", "--min", "nan")


def test_another_limit_counts_nothing_again(scored: Path, rpj: Run) -> None:
    def done(*args: object) -> tuple[int, int]:
        result = rpj("filter", scored / "in", "--root", scored / "out", "--json", *args)
        [part] = json.loads(result.stdout)["slices"]
        return part["tasks_done"], part["tasks_skipped"]

    assert done() == (6, 0)
    before = files_of(scored / "out")
    assert done() == (0, 6)
    assert done("--min", 0.5) == (3, 3)
    assert done() == (3, 3)
    next((scored / "out" / "quality_filter").rglob("*.zst")).unlink()
    assert done() == (1, 5)
    assert files_of(scored / "out") == before


def test_malformed_lines_are_counted_once_and_a_broken_shard_keeps_what_came_before(tmp_path: Path, rpj: Run) -> None:
    import gzip

    line = json.dumps({"text": "good", "meta": {"quality_score": 1}}).encode() + b"\n"
    path = tmp_path / "in" / "web" / "a.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(line + b"{}\nno\n" + line) + gzip.compress(line * 999)[:-30])
    result = rpj("filter", path, "--root", tmp_path / "out", "--json")
    assert result.exit_code == 3
    [part] = json.loads(result.stdout)["slices"]
    assert part["dropped"] == {"malformed": 2, "broken_input": 1}
    assert part["documents"] >= 2
    assert set(texts_of(tmp_path / "out")) == {"good"}


def test_same_bytes_on_every_executor(unscored: Path, rpj: Run) -> None:
    for root, args in {"serial": [], "local": ["--executor", "local", "--workers", 2, "--memory", "64M"]}.items():
        out = unscored / root
        assert rpj("score", unscored / "in", "--root", out, "--model", SAMPLE_MODEL, *args).exit_code == 0
    assert files_of(unscored / "serial") == files_of(unscored / "local")
    made = unscored / "serial" / "quality_score"
    for root, args in {"one": [], "two": ["--executor", "local", "--workers", 2]}.items():
        assert rpj("filter", made, "--root", unscored / root, "--min", 0.4, *args).exit_code == 0
    assert files_of(unscored / "one") == files_of(unscored / "two")
    stayed = [text for text, score in zip(TEXTS, scores(*TEXTS), strict=True) if score >= 0.4]
    assert 0 < len(stayed) < len(TEXTS)
    assert [record["text"] for record in published(unscored / "one", "quality_filter")["web"]] == stayed


def test_a_moved_model_redoes_nothing_another_one_everything(unscored: Path, rpj: Run, tiny_lid: str) -> None:
    def done(*args: object) -> int:
        result = rpj("score", unscored / "in", "--root", unscored / "out", "--json", *args)
        return int(json.loads(result.stdout)["slices"][0]["tasks_done"])

    moved = unscored / "moved.bin"
    moved.write_bytes(Path(SAMPLE_MODEL).read_bytes())
    assert (done("--model", SAMPLE_MODEL), done("--model", moved)) == (2, 0)
    assert done("--model", tiny_lid, "--label", "en") == 2


def test_as_stages_of_a_run_each_reads_what_the_one_before_left(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    raw = tmp_path / "raw" / "a.jsonl"
    raw.parent.mkdir()
    raw.write_text("".join(json.dumps({"text": f"{text} {n}"}) + "\n" for n, text in enumerate(TEXTS)))
    root = str(tmp_path / "root")
    texts = [f"{text} {n}" for n, text in enumerate(TEXTS)]
    found = scores(*texts)
    middle = sorted(found)[3]
    config = RunConfig(root=root, executor="serial", tokenizer=tiny_tokenizer.path)
    chosen: list[tuple[Any, dict[str, Any]]] = [
        (toy.SLICE, {"input": (str(raw),), "min_words": 1}),
        (load("quality_score"), {"model": SAMPLE_MODEL}),
        (load("quality_filter"), {"min": middle}),
        (load("filter"), {"where": f"meta.quality_score > {middle} and meta.n != 0"}),
    ]
    done = run_parts([(part, part.settings(**settings)) for part, settings in chosen], config, quiet=True)
    assert done.exit_code() == 0
    low = [text for text, score in zip(texts, found, strict=True) if score >= middle]
    high = [text for n, (text, score) in enumerate(zip(texts, found, strict=True)) if score > middle and n]
    assert [record["text"] for record in published(tmp_path / "root", "quality_filter")["toy"]] == low
    assert [record["text"] for record in published(tmp_path / "root", "filter")["toy"]] == high
    assert len(texts) > len(low) > len(high) > 0
    assert all(problem is None for _, problem in root_status.verify(root))


def test_real_text_by_the_real_classifier(shared_data: Path, tmp_path: Path, rpj: Run) -> None:
    shards = sorted(str(path) for path in (shared_data / "c4").glob("*.json.gz"))
    model = str(shared_data / "models" / "wikiref.bin")
    assert rpj("score", *shards, "--root", tmp_path / "out", "--model", model).exit_code == 0
    records = published(tmp_path / "out", "quality_score")["c4"]
    for record in records[:100]:
        expected = predict_reference(load_lid(resolve(str(model))), record["text"])[2]
        assert record["meta"]["quality_score"] == expected
    assert rpj("filter", tmp_path / "out" / "quality_score", "--root", tmp_path / "out", "--min", 0.25).exit_code == 0
    stayed = [record for record in records if record["meta"]["quality_score"] >= 0.25]
    assert 0 < len(stayed) < len(records)
    assert published(tmp_path / "out", "quality_filter")["c4"] == stayed


@pytest.mark.parametrize("command", ["score", "filter"])
def test_help_has_examples(rpj: Run, command: str) -> None:
    assert f"rpj quality {command} out" in rpj(command, "--help").output
