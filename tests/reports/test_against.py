"""Why totals differ from the published ones: each reason when it holds, and not when it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redpajama_data.cli import output_totals
from redpajama_data.engine import receipts
from redpajama_data.engine.ownership import NOTE
from redpajama_data.engine.receipts import Output, Quarantine, Receipt, Sample
from redpajama_data.engine.slice_run import RunNote
from redpajama_data.errors import UsageError
from redpajama_data.io import root_paths, storage
from redpajama_data.io.shards import to_json
from redpajama_data.models.known import REGISTRY
from redpajama_data.reports import against_table
from redpajama_data.reports.against import Gap, Reason, explain_gaps
from redpajama_data.reports.count import count_totals
from redpajama_data.reports.published import PUBLISHED, Reference
from redpajama_data.reports.root_status import root_totals

NEOX = REGISTRY["gpt-neox-20b"].sha256 or ""
BILLION = 10**9


def put_slice(
    root: Path,
    name: str,
    inputs: list[str],
    *,
    tokens: int = BILLION,
    done: int = 1,
    source_shards: int | None = None,
    tokenizer: str = NEOX,
    dropped: dict[str, int] | None = None,
    broken: str | None = None,
    kind: str = "slice",
) -> None:
    """A slice as a run leaves it, of ``done`` shards with ``tokens`` each; a dropped document has 100 bytes, a token
    for every four."""
    note = RunNote(name, 1, ["publish"], len(inputs), source_shards, kind)  # type: ignore[arg-type]
    storage.write_bytes(str(root / "_run" / name / NOTE), to_json(note))
    storage.write_bytes(str(root / "_run" / name / "inputs.txt"), "".join(f"{path}\n" for path in inputs).encode())
    rules = dropped or {}
    for n in range(done):
        task = f"{n:05d}"
        made = Receipt(name, "publish", task, "", [f"{root}/github/{n}.jsonl" if kind == "corpus" else f"raw{n}"])
        place = f"{name}/github/{task}" if kind == "corpus" else f"{name}/{task}"
        made.outputs["published"] = Output(f"{place}.jsonl.zst", 1, "", 10)
        made.read, made.kept, made.dropped = 10 + sum(rules.values()), 10, rules
        made.bytes, made.tokens, made.tokenizer = 4 * tokens, tokens, tokenizer
        made.dropped_bytes = {rule: 100 * count for rule, count in rules.items()}
        made.read_bytes = made.bytes + sum(made.dropped_bytes.values())
        made.samples = {rule: Sample(1, 100, 25) for rule in rules}
        made.sample_tokenizer, made.broken = tokenizer, [broken] if broken else []
        receipts.save(str(root), made)


def gap_of(root: Path, name: str, against: Reference = "redpajama") -> Gap:
    totals, tokenizers = root_totals(str(root))
    gaps = explain_gaps(str(root), totals, tokenizers, against)
    assert [gap.slice for gap in gaps] == list(PUBLISHED)
    return next(gap for gap in gaps if gap.slice == name)


def reason(gap: Gap, cause: str) -> Reason:
    [found] = [each for each in gap.reasons if each.cause == cause]
    return found


def causes(gap: Gap) -> list[str]:
    return [each.cause for each in gap.reasons]


def test_shards_done_of_all(tmp_path: Path) -> None:
    put_slice(tmp_path, "c4", ["c4-train.json.gz"], done=2, source_shards=100)
    gap = gap_of(tmp_path, "c4")
    assert (gap.tokens, gap.value, gap.published) == (2 * BILLION, 100 * BILLION, 175 * BILLION)
    assert gap.difference == -75 * BILLION
    found = reason(gap, "shards")
    assert "2 of 100 shards of the source done (2.0%): the other 98 would bring about 98.0 B tokens." in found.sentence
    assert (found.tokens, found.estimated, found.numbers) == (-98 * BILLION, True, {"done": 2, "source": 100})


def test_all_shards_and_an_unknown_number(tmp_path: Path) -> None:
    put_slice(tmp_path, "c4", ["x"], done=2, source_shards=2)
    found = reason(gap_of(tmp_path, "c4"), "shards")
    assert (found.sentence, found.tokens) == ("2 of 2 shards of the source were processed.", None)
    put_slice(tmp_path, "c4", ["x"], done=2)
    found = reason(gap_of(tmp_path, "c4"), "shards")
    assert "not configured (source_shards)" in found.sentence
    assert found.tokens is None


def test_a_slice_that_was_not_run(tmp_path: Path) -> None:
    put_slice(tmp_path, "c4", ["x"])
    gap = gap_of(tmp_path, "books", "llama")
    assert (gap.value, gap.basis, causes(gap)) == (0, "not run", ["slice"])
    assert gap.reasons[0].tokens == -25 * BILLION


BOOKS = {
    "pg19-train.jsonl": "PG19 train",
    "pg19-test.jsonl": "PG19 test",
    "pg19-validation.jsonl": "PG19 validation",
    "books3-train.jsonl": "Books3",
}


@pytest.mark.parametrize("absent", BOOKS)
def test_a_source_that_is_missing(tmp_path: Path, absent: str) -> None:
    put_slice(tmp_path, "books", [f"raw/books/{name}" for name in BOOKS if name != absent])
    found = reason(gap_of(tmp_path, "books"), "source")
    assert found.numbers["missing"] == [BOOKS[absent]]
    assert found.numbers["there"] == [name for name in BOOKS.values() if name != BOOKS[absent]]
    if absent == "books3-train.jsonl":
        assert "pg19-train.jsonl, pg19-test.jsonl, pg19-validation.jsonl" in found.sentence
        assert "The Pile" in found.sentence
        assert found.tokens == pytest.approx(-26 * BILLION * 100.96 / 111.84)
        assert "about 23.5 B tokens of the published 26.0 B" in found.sentence
    if absent == "pg19-test.jsonl":
        assert found.tokens is None  # nobody published its size


def test_all_sources_are_there(tmp_path: Path) -> None:
    put_slice(tmp_path, "books", list(BOOKS))
    assert "source" not in causes(gap_of(tmp_path, "books"))


def test_gutenberg_alone_has_none_of_the_published_books(tmp_path: Path) -> None:
    put_slice(tmp_path, "books", [f"raw/{n}.txt" for n in range(5)])
    found = reason(gap_of(tmp_path, "books"), "source")
    assert found.numbers["missing"] == list(BOOKS.values())
    assert "There: nothing of these (0.txt, 1.txt, 2.txt and 2 more)." in found.sentence


def test_dumps_and_languages(tmp_path: Path) -> None:
    put_slice(tmp_path, "common_crawl", ["raw/2019-30/a.warc.wet.gz", "raw/CC-MAIN-2021-04/b.warc.wet.gz"])
    put_slice(tmp_path, "wikipedia", ["raw/slwiki-20230320-pages-articles.xml.bz2", "simplewiki-x-pages-articles.xml"])
    found = reason(gap_of(tmp_path, "common_crawl"), "source")
    assert found.numbers["there"] == ["dump 2019-30", "dump 2021-04"]
    assert "source" not in causes(gap_of(tmp_path, "common_crawl", "llama"))  # its dumps are not published
    assert reason(gap_of(tmp_path, "wikipedia"), "source").numbers["there"] == ["slwiki"]


def test_tokenizers(tmp_path: Path) -> None:
    put_slice(tmp_path, "c4", ["x"])
    assert "the tokenizer of the published figure" in reason(gap_of(tmp_path, "c4"), "tokenizer").sentence
    other = reason(gap_of(tmp_path, "c4", "llama"), "tokenizer")
    assert "in LLaMA's own tokens" in other.sentence
    assert "No factor" in other.sentence
    assert other.tokens is None
    put_slice(tmp_path, "c4", ["x"], tokenizer="f" * 64)
    found = reason(gap_of(tmp_path, "c4"), "tokenizer")
    assert found.sentence.endswith("Count again with --tokenizer gpt-neox-20b.")
    assert "sha256:ffffffffffffffff" in found.sentence


def test_the_rules_that_removed_most(tmp_path: Path) -> None:
    put_slice(tmp_path, "c4", ["x"], dropped={"little": 1, "most": 9, "more": 5, "some": 3})
    found = [each for each in gap_of(tmp_path, "c4").reasons if each.cause == "rule"]
    assert [each.numbers["rule"] for each in found] == ["most", "more", "some"]
    assert found[0].sentence == "most (publish) removed 9 documents, 900 bytes, about 225 tokens."
    assert (found[0].tokens, found[0].estimated) == (-225, True)


def test_jobs_are_no_stages_of_the_published_run(tmp_path: Path) -> None:
    put_slice(tmp_path, "github", ["x"])
    put_slice(tmp_path, "fuzzy", ["x"], kind="corpus", dropped={"near_duplicate": 2})
    found = reason(gap_of(tmp_path, "github"), "job")
    assert found.sentence.startswith("fuzzy: near_duplicate (after this total, and no stage of the published run)")
    assert gap_of(tmp_path, "github").tokens == BILLION  # not counted twice


def test_quarantined_and_broken(tmp_path: Path) -> None:
    put_slice(tmp_path, "c4", ["x"])
    assert not {"quarantined", "broken"} & {*causes(gap_of(tmp_path, "c4"))}
    entry = Quarantine("c4", "publish", "x", ["x"], "no gzip. Fetch it again.")
    path = root_paths.task_path(str(tmp_path), "c4", "publish", "x", "quarantine.json")
    storage.write_bytes(path, to_json(entry))
    put_slice(tmp_path, "c4", ["x"], broken="x: ends early. Fetch it again.")
    gap = gap_of(tmp_path, "c4")
    assert "1 task quarantined" in reason(gap, "quarantined").sentence
    assert reason(gap, "quarantined").numbers == {"tasks": ["publish/x"]}
    assert reason(gap, "broken").numbers == {"files": ["x: ends early. Fetch it again."]}


def test_table_and_json(tmp_path: Path) -> None:
    put_slice(tmp_path, "c4", ["x"], done=2, source_shards=100, dropped={"a_rule_" * 20: 1})
    put_slice(tmp_path, "books", ["raw/pg19-train.jsonl"])
    totals, tokenizers = root_totals(str(tmp_path))
    gaps = explain_gaps(str(tmp_path), totals, tokenizers, "redpajama")
    shown = against_table.render(gaps, "redpajama")
    lines = shown.splitlines()
    assert max(len(line) for line in lines if "a_rule_" not in line) <= 100
    [c4] = [line.split() for line in lines if line.startswith("c4 ") and "(" not in line]
    assert c4 == ["c4", "2.00", "B", "100", "B", "175", "B", "-75.0", "B", "-42.9%"]
    plain = against_table.plain(gaps, "redpajama")
    assert json.loads(json.dumps(plain))["slices"][1]["ratio"] == pytest.approx(100 / 175)
    assert plain["reference"] == "RedPajama-1T"


def printed(capsys: pytest.CaptureFixture[str], places: list[str], *, as_json: bool = False) -> str:
    totals, by = count_totals(places, None)
    output_totals.print_totals(totals, by, None, as_json=as_json, places=places, against="redpajama-1t")
    return capsys.readouterr().out


def test_printed_with_the_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_slice(tmp_path, "books", ["raw/pg19-train.jsonl"], dropped={"near_duplicate_book": 1})
    shown = printed(capsys, [str(tmp_path)])
    assert "raw records" in shown
    assert "Tokens against RedPajama-1T's" in shown
    assert "Books3" in shown
    plain = json.loads(printed(capsys, [str(tmp_path)], as_json=True))
    assert plain["against"]["slices"][0]["slice"] == "common_crawl"
    assert plain["waterfalls"][0]["slice"] == "books"


def test_files_have_no_receipts_to_explain_with(tmp_path: Path, capsys: pytest.CaptureFixture[str], neox: str) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    places = [str(tmp_path / "x.jsonl")]
    totals, by = count_totals(places, neox)
    with pytest.raises(UsageError, match="--against needs the root of a run"):
        output_totals.print_totals(totals, by, None, as_json=False, places=places, against="redpajama-1t")
