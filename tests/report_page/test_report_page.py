"""The page: its numbers are those of count-tokens, its examples stand on their side of a limit, text stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import lxml.html
import pytest
import roots_of_jobs
from click.testing import CliRunner

from redpajama_data.cli.main import cli
from redpajama_data.engine.receipts import Quarantine, save_quarantine
from redpajama_data.facts import READERS, facts
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.report_page import documents, drops
from redpajama_data.report_page import page as page_module
from redpajama_data.report_page.collect import Report, collect, fewer
from redpajama_data.report_page.compare import compare
from redpajama_data.report_page.page import render

SECTIONS = (
    *("totals", "missing", "slices", "jobs", "duplicates", "overlap"),
    *("signals", "repairs", "stages", "trouble", "how"),
)


@pytest.fixture(scope="session")
def report(reported: Path) -> Report:
    return collect(str(reported), facts(), READERS)


@pytest.fixture(scope="session")
def page(report: Report) -> Any:
    return lxml.html.fromstring(render(report))


def invoke(*words: object) -> Any:
    return CliRunner().invoke(cli, [str(word) for word in words])


def values(row: Any) -> list[float]:
    return [float(cell.get("data-value")) for cell in row.xpath("./td[@data-value]")]


def test_every_number_is_that_of_count_tokens(reported: Path, page: Any) -> None:
    told = json.loads(invoke("count-tokens", reported, "--against", "llama", "--json").stdout)
    keys = ("documents", "bytes", "characters", "tokens", "share")
    keys = (*keys, "redpajama", "redpajama_ratio", "llama", "llama_ratio")
    rows = page.xpath("//table[@data-table='totals']/tbody/tr")
    assert [values(row) for row in rows] == [[each[key] for key in keys] for each in told["slices"]]
    assert rows[0].xpath("./td[4]")[0].text == f"{told['slices'][0]['tokens']:,}"
    [total] = page.xpath("//table[@data-table='totals']/tfoot/tr")
    assert values(total)[:4] == [told["total"][key] for key in keys[:4]]
    for fall in told["waterfalls"]:
        parts = [(fall["slice"], fall["rows"]), *((f"{fall['slice']}/{j['job']}", j["rows"]) for j in fall["jobs"])]
        for name, own in parts:
            found = page.xpath(f"//table[@data-waterfall='{name}']/tbody/tr")
            assert [(row.get("data-kind"), *values(row)) for row in found] == [
                (row["kind"], row["documents"], row["bytes"] or 0, row["tokens"] or 0) for row in own
            ]
    gaps = page.xpath("//table[@data-gaps='llama']/tbody/tr")
    shown = ("tokens", "value", "published", "difference")
    assert [values(row) for row in gaps] == [[gap[key] for key in shown] for gap in told["against"]["slices"]]


def test_rules_count_what_the_waterfall_counts(report: Report) -> None:
    rules = {(rule.owner, rule.stage, rule.name): rule.count for part in report.slices for rule in part.rules}
    rows = {
        (fall["slice"], row["stage"], row["rule"]): row["documents"]
        for fall in report.waterfalls
        for row in fall["rows"]
        if row["kind"] == "dropped"
    }
    assert rules == rows
    assert len(rules) > 15


def test_all_sections_are_there_and_every_figure_is_said_in_words(page: Any) -> None:
    ids = page.xpath("//section/@id")
    assert [name for name in SECTIONS if name not in ids] == []
    assert {"slice-github", "slice-books", "job-fuzzy"} <= set(ids)
    figures = page.xpath("//*[local-name()='svg']")
    assert len(figures) > 40
    assert [figure for figure in figures if figure.get("role") != "img" or len(figure.get("aria-label")) < 8] == []
    targets = {link.removeprefix("#") for link in page.xpath("//a/@href")}
    assert targets <= set(page.xpath("//@id")), "a link leads nowhere, or out of the page"


def test_examples_stand_on_their_side_of_the_limit(report: Report) -> None:
    rules = {rule.name: rule for part in report.slices for rule in part.rules}
    longest, wiki = rules["max_line_length"], rules["min_wiki_prob"]
    assert [len(side) for side in (longest.dropped, longest.kept, wiki.dropped, wiki.kept)] == [2, 2, 2, 2]

    def measured(side: list[Any]) -> list[float]:
        return [float(each.measured.replace(",", "")) for each in side]

    assert min(measured(longest.dropped)) > 1000 >= max(measured(longest.kept))
    assert max(measured(wiki.dropped)) < 0.25 <= min(measured(wiki.kept))
    assert longest.figure is not None
    assert (longest.figure.limit, sum(longest.figure.counts["dropped"])) == (1000, longest.count)
    assert all(each.text for each in (*longest.dropped, *longest.kept, *wiki.dropped, *wiki.kept))
    assert all(each.text for each in rules["license_starts_with"].dropped), "it left at once: from the raw file"
    assert all(each.text is None for each in rules["malformed"].dropped), "it was never a document"


def test_every_rule_has_records_on_both_sides(report: Report, page: Any) -> None:
    rules = [rule for part in (*report.slices, *report.jobs) for rule in part.rules]
    assert len(rules) > 15
    for rule in rules:
        assert len(rule.dropped) == min(2, rule.count), rule.name
        assert rule.kept, rule.name
        assert all(each.text is not None and bool(each.measured) != bool(each.note) for each in rule.kept), rule.name
    named = {rule.name: rule for rule in rules}
    assert {each.measured for each in named["language_in"].kept} == {"en"}
    assert all(each.measured.startswith(("mit", "bsd", "apache")) for each in named["license_starts_with"].kept)
    for each, other in zip(named["duplicate"].dropped, named["duplicate"].kept, strict=True):
        assert (each.note, other.note, each.text) == (f"a copy of {other.id}", "1 copy of it left", other.text)
    assert named["malformed"].kept[0].note.startswith("it passed")
    sides = page.xpath("//details[starts-with(@id, 'rule-')]//div[@class='pair'][not(div[2])]")
    assert sides == [], "no rule has one side only"


def test_time_and_memory_are_those_that_tasks_measured(
    reported: Path, report: Report, page: Any, tmp_path: Path
) -> None:
    rows = page.xpath("//table[@data-table='stages']/tbody/tr")
    shown = [(row.xpath("./th")[0].text, row.xpath("./td")[0].text, *values(row)) for row in rows]
    keys = ("wall", "cpu", "tasks")
    assert [row[:5] for row in shown] == [(s.owner, s.stage, *(getattr(s, key) for key in keys)) for s in report.stages]
    assert all(stage.measured == stage.tasks for stage in report.stages)
    assert ("github", "clean") in {(stage.owner, stage.stage) for stage in report.stages}
    assert {"fuzzy", "overlap"} <= {stage.owner for stage in report.stages}
    old = tmp_path / "old"
    shutil.copytree(reported, old)
    for path in old.glob("_run/*/costs.json"):
        path.unlink()
    html = render(collect(str(old), facts(), {}))
    assert "no task of this root has left what it took" in html
    (old / "_run/github").joinpath("costs.json").write_text('{"clean":{"github_000000000000":[2.0,1.0,9000000,4]}}')
    html = render(collect(str(old), facts(), {}))
    assert re.search(r"github clean: 1 of \d+ tasks are known", html)


def test_copies_stand_beside_what_stayed(report: Report, page: Any) -> None:
    assert report.clusters[0].left >= report.clusters[-1].left >= 1
    assert {cluster.rule for cluster in report.clusters} <= {"duplicate", "near_duplicate", "near_duplicate_book"}
    assert all(text.text for cluster in report.clusters for text in cluster.texts)
    assert len(page.xpath("//section[@id='duplicates']//pre")) == 2 * len(report.clusters)


def test_overlap_repairs_and_trouble(report: Report, page: Any) -> None:
    cells = page.xpath("//table[@data-overlap='exact']//td")
    assert len(cells) == len(report.overlap["slices"]) ** 2 if report.overlap else False
    assert any(float(cell.get("data-value")) > 0 for cell in cells)
    on = {(own.slice, name) for own in report.repairs for name, _, chosen in own.known if chosen}
    assert on == {("github", "min_characters")}
    assert [(each.owner, each.kind) for each in report.trouble] == [("common_crawl", "broken")]
    assert "fetch the file again" in report.trouble[0].what[0]


def test_the_same_root_gives_the_same_bytes_wherever_it_lies(reported: Path, report: Report, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(reported, moved)
    for name, root in (("a.html", reported), ("b.html", moved)):
        assert invoke("report", root, "--out", tmp_path / name).exit_code == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes() == render(report).encode()
    assert (tmp_path / "a.html").stat().st_size < 6_000_000


def test_the_policy_lets_in_the_two_parts_of_the_page_alone(report: Report) -> None:
    html = render(report)
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src &#39;none&#39;;")
    for tag in ("style", "script"):
        [body] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert f"sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}" in policy
    assert not re.search(
        r"""(src|href)=["']?(?!#)[a-z/]|style=|url\(|@import""", re.sub(r"<pre.*?</pre>", "", html, flags=re.S)
    )


def test_corpus_text_is_text_and_can_be_left_out(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    evil = "</pre><script>alert('x')</script><img src=x onerror=alert(1)> & \"quoted\" \ud7ff"
    root = roots_of_jobs.make(tmp_path, {"c4/a": [evil, f"measure {evil}", "<b>"]}, tiny_tokenizer, min_length=5)
    for count in (2, 0):
        assert invoke("report", root, "--out", tmp_path / "r.html", "--examples", count).exit_code == 0
        html = (tmp_path / "r.html").read_text()
        page = lxml.html.fromstring(html)
        assert len(page.xpath("//script")) == 1
        assert page.xpath("//img | //b[not(ancestor::ul) and not(ancestor::div[@class])]") == []
        assert ("&lt;b&gt;" in html) == (count > 0), "the record below the limit"


def test_no_more_than_a_bound_is_looked_at(reported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "DOCUMENTS", 6)
    monkeypatch.setattr(documents, "SHARDS", 2)
    monkeypatch.setattr(drops, "ENTRIES", 1)
    found = collect(str(reported), facts(), {})
    github = next(part for part in found.slices if part.name == "github")
    assert (github.sampled, github.shards) == (6, 2)
    assert github.of > 200
    length = next(figure for figure in github.figures if figure.name.startswith("Length"))
    assert (length.values, round(sum(length.counts["kept"]))) == (6, github.of)
    assert any(rule.seen < rule.count for rule in github.rules)
    assert "entries of the ledgers were read" in render(found)


def test_a_page_that_is_too_large_has_fewer_examples(report: Report) -> None:
    half = fewer(report)
    assert (half.examples, len(half.clusters)) == (1, 2)
    assert max(len(rule.dropped) for part in half.slices for rule in part.rules) == 1
    assert len(render(half)) < len(render(report))


def test_another_root_stands_beside_it(reported: Path, tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    assert compare(str(reported), str(reported)).rules == []
    other = tmp_path / "other"
    shutil.copytree(reported, other)
    shutil.rmtree(other / "_run" / "books")
    shown = invoke("report", reported, "--against", other, "--out", tmp_path / "r.html", "--json")
    told = json.loads(shown.stdout)["against"]
    books = next(row for row in told["totals"] if row[0] == "books")
    assert (books[1]["documents"] > 0, books[2]["documents"]) == (True, None)
    assert {row[0] for row in told["rules"]} == {"books"}
    assert lxml.html.parse(str(tmp_path / "r.html")).xpath("//section[@id='against']//table")


def test_a_quarantined_task_is_named_with_what_to_do(reported: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(reported, root)
    reason = "c4-train.json.gz: <out of memory>. Give fewer --workers."
    for n in range(60):
        save_quarantine(str(root), Quarantine("c4", "publish", f"{n:05d}-x", [], reason))
    found = next(each for each in collect(str(root), facts(), {}).trouble if each.kind == "quarantined")
    assert (found.owner, found.count, len(found.what)) == ("c4", 60, 50)
    assert invoke("report", root, "--out", tmp_path / "r.html").exit_code == 0
    html = (tmp_path / "r.html").read_text()
    assert "publish/00000-x: c4-train.json.gz: &lt;out of memory&gt;. Give fewer --workers." in html
    assert "Mend what the reason says, then run the same command again" in html
    assert "And 10 more" in html


def test_signals_are_shown_where_they_were_measured(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    texts = [f"{'word ' * n}. Another sentence with {n} words." for n in range(1, 40)]
    root = roots_of_jobs.make(tmp_path, {"c4/a": texts}, tiny_tokenizer, min_length=1)
    assert collect(str(root), {}, {}).signals == []
    made = invoke("signals", root / "toy_job", "--out", root, "--quiet")
    assert made.exit_code == 0, made.stderr
    signals = {figure.name: figure for figure in collect(str(root), {}, {}).signals}
    words = signals["rps_doc_word_count"]
    assert (words.values, words.low, words.high) == (39, 6, 44)
    assert not any(name.startswith("rps_lines") for name in signals)


def test_what_is_wrong_is_said_with_what_to_do(tmp_path: Path, reported: Path) -> None:
    nothing = invoke("report", tmp_path, "--out", tmp_path / "r.html")
    assert (nothing.exit_code, "Start one: rpj run" in nothing.stderr) == (2, True)
    folder = invoke("report", reported, "--out", tmp_path)
    assert (folder.exit_code, "is a folder, and a file is needed there" in folder.stderr) == (5, True)
    assert invoke("report", reported, "--examples", "21").exit_code == 2


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50.0%"), (0.001, "0.1%"), (3e-5, "0.003%"), (4e-8, "4e-06%"), (0.0, "0.0%"), (None, "-")]
)
def test_small_shares_are_per_cent_too(share: float | None, text: str) -> None:
    assert page_module.percent(share) == text


def test_what_was_forgotten_has_no_text_here(reported: Path, tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    root = tmp_path / "root"
    shutil.copytree(reported, root)
    gone = {
        record["text"][:200]
        for path in root.glob("github/*.jsonl.zst")
        for record in read_jsonl(str(path))
        if record["meta"]["license"] == "mit"
    }

    def shown() -> dict[str, tuple[int, set[str]]]:
        """By rule of github: records that left, and the texts of those that are shown."""
        found = collect(str(root), facts(), READERS, count=20)
        part = next(part for part in found.slices if part.name == "github")
        return {
            rule.name: (rule.count, {each.text[:200] for each in (*rule.dropped, *rule.kept) if each.text})
            for rule in part.rules
        }

    before = shown()
    assert before["duplicate"][1] & gone, "a copy of what is to go is shown"
    done = invoke("forget", root, "--where", 'meta.license == "mit"', "--tokenizer", tiny_tokenizer.path)
    assert done.exit_code == 0, done.stderr
    after = shown()
    assert after["forgotten"][0] >= len(gone)
    assert after["license_starts_with"][1] - gone, "other texts are shown as before"
    assert [name for name, (_, texts) in after.items() if texts & gone] == []
