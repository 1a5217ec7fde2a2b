"""The Wikipedia slice through the engine: the published pages, the sample's account, pieces, cuts, languages."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from whole_root import files_of

from redpajama_data import sample
from redpajama_data.engine import receipts
from redpajama_data.engine.executors import open_executor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import RunSettings
from redpajama_data.engine.tasks import Workplace
from redpajama_data.io import lines
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import explanation, root_status
from redpajama_data.sample.wikipedia import PLANTED
from slices import wikipedia
from slices.readers.wikipedia_forms import dump_name
from slices.wikipedia import LANGUAGES, SLICE, WikipediaSettings

Run = Callable[..., SliceRun]
ENGLISH = "enwiki-20230320-pages-articles-multistream"


@pytest.fixture
def run(tmp_path: Path, tiny_tokenizer: ModelFile) -> Run:
    """Runs the slice on ``input`` into ``tmp_path/<root>``."""

    def go(input: Path, root: str = "root", executor: str = "serial", workers: int = 2, **settings: Any) -> SliceRun:
        made = WikipediaSettings.model_validate({"input": (str(input),)}).model_copy(update=settings)
        inputs = list_inputs(SLICE, made.input)
        with open_executor(executor, workers=workers) as pool:
            place = Workplace(str(tmp_path / root), 1 << 26)
            quiet = partial(StageProgress, quiet=True)
            return run_slice(SLICE, made, RunSettings(tiny_tokenizer, 0.5), inputs, pool, place, quiet)

    return go


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's dumps: English multistream with its index, German in one stream."""
    folder = tmp_path_factory.mktemp("sample")
    sample.build(folder, ["wikipedia"])
    return folder / "wikipedia"


def published(root: Path) -> list[dict[str, Any]]:
    return [record for path in sorted(root.glob("wikipedia/*")) for record in read_jsonl(str(path))]


def titles(root: Path) -> list[str]:
    return [record["meta"]["title"] for record in published(root)]


def test_parity_with_the_published_script(run: Run, shared_data: Path, tmp_path: Path) -> None:
    dump = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
    result = run(shared_data / "wikipedia" / dump)
    with gzip.open(shared_data / "expected" / "wikipedia.jsonl.gz") as lines:
        expected = [json.loads(line) for line in lines]
    found = published(tmp_path / "root")
    assert [list(record) for record in found] == [["text", "meta"]] * 106
    assert [list(record["meta"]) for record in found] == [["title", "url", "language", "timestamp"]] * 106
    assert [
        {"sha256": hashlib.sha256(one["text"].encode()).hexdigest(), "chars": len(one["text"]), "meta": one["meta"]}
        for one in found
    ] == expected
    assert receipts.sum_drops(result.all_receipts()) == {"redirect": 99, "not_article": 1}


@pytest.mark.parametrize(
    ("dump", "language", "documents", "dropped"),
    [
        ("bgwiki-latest-pages-articles-shortened.xml.bz2", "bg", 1, {"not_article": 2}),
        ("enwiki-table-markup.xml.bz2", "en", 5, {}),
        ("ltgwiki-latest-pages-articles.xml.bz2", "ltg", 903, {"not_article": 954, "redirect": 147}),
    ],
)
def test_the_other_real_dumps(
    run: Run,
    shared_data: Path,
    tmp_path: Path,
    dump: str,
    language: str,
    documents: int,
    dropped: dict[str, int],
) -> None:
    result = run(shared_data / "wikipedia" / dump)
    found = published(tmp_path / "root")
    assert [(one["meta"]["language"], one["meta"]["timestamp"]) for one in found] == [
        (language, "20230320")
    ] * documents
    assert receipts.sum_drops(result.all_receipts()) == dropped


def test_the_sample_loses_what_was_planted(run: Run, raw: Path, tmp_path: Path) -> None:
    result = run(raw)
    planted: Counter[str] = Counter()
    for kind in PLANTED:
        if kind.rule:
            planted[kind.rule] += kind.number
    dropped = receipts.sum_drops(result.all_receipts())
    assert dropped == planted
    found = published(tmp_path / "root")
    pages = sum(bz2.decompress(path.read_bytes()).count(b"<page>") for path in raw.glob("*.xml.bz2"))
    assert len(found) == pages - planted.total()
    languages = [record["meta"]["language"] for record in found]
    assert languages == sorted(languages)
    assert set(languages) == {"de", "en"}
    assert all(problem is None for _, problem in root_status.verify(str(tmp_path / "root")))


@pytest.mark.parametrize("index", [True, False])
def test_pieces_are_the_whole(run: Run, raw: Path, tmp_path: Path, index: bool) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in raw.iterdir():
        if index or "index" not in path.name:
            (folder / path.name).write_bytes(path.read_bytes())
    whole = run(folder, "whole")
    pieces = run(folder, "pieces", piece_size=1)
    assert published(tmp_path / "pieces") == published(tmp_path / "whole")
    assert [len(result.receipts["publish"]) for result in (whole, pieces)] == [
        2,
        8,
    ]  # of the English one, seven streams of pages
    assert receipts.sum_drops(pieces.all_receipts()) == receipts.sum_drops(whole.all_receipts())
    assert {receipt.notes["source"] for receipt in pieces.receipts["publish"]} == set(
        map(str, folder.glob("*.xml.bz2"))
    )
    for result in (whole, pieces):  # the bytes of the dumps, once
        assert sum(receipt.raw_bytes for receipt in result.all_receipts()) == sum(
            path.stat().st_size for path in folder.glob("*.xml.bz2")
        )
    [fate] = explanation.explain(str(tmp_path / "pieces"), _first_id(tmp_path / "pieces", "enwiki", "-00002"))
    assert (fate.line, fate.kept) == (1, f"wikipedia/{ENGLISH}-00002.jsonl.zst")


def _first_id(root: Path, *parts: str) -> str:
    [path] = [one for one in root.glob("_run/wikipedia/publish/*.ids.jsonl.zst") if all(p in one.name for p in parts)]
    line = next(lines.iter_lines(str(path), max_bytes=1 << 20))
    assert isinstance(line, bytes)
    return line.decode()


@pytest.mark.parametrize("piece_size", [1, 1 << 30])
def test_a_cut_dump_is_kept_up_to_the_cut_and_reported(run: Run, raw: Path, tmp_path: Path, piece_size: int) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    data = (raw / f"{ENGLISH}.xml.bz2").read_bytes()
    (folder / f"{ENGLISH}.xml.bz2").write_bytes(data[: len(data) * 2 // 3])
    (folder / "dewiki-20230320-pages-articles.xml.bz2").write_bytes(
        (raw / "dewiki-20230320-pages-articles.xml.bz2").read_bytes()
    )
    run(raw, "whole")
    result = run(folder, "cut", piece_size=piece_size)
    found, whole = published(tmp_path / "cut"), published(tmp_path / "whole")
    german = sum(record["meta"]["language"] == "de" for record in whole)
    assert german < len(found) < len(whole)
    assert found == whole[: len(found)]
    [broken] = result.broken()
    assert broken.inputs == [str(folder / f"{ENGLISH}.xml.bz2")]
    assert broken.dropped["broken_input"] == 1
    assert "run again" in str(broken.broken)
    assert result.quarantined == []
    assert all(problem is None for _, problem in root_status.verify(str(tmp_path / "cut")))


def test_same_bytes_on_every_executor(run: Run, raw: Path, tmp_path: Path) -> None:
    run(raw, "reference", piece_size=1)
    run(raw, "other", executor="local", workers=2, piece_size=1)
    assert files_of(tmp_path / "other") == files_of(tmp_path / "reference")


def doubling(depth: int) -> str:
    """Tables in templates where a table cell's style would stand: the parser reads each level twice."""
    text = "q"
    for _ in range(depth):
        text = "{{a|\n{|\n|" + text + "|y\n|}\n}}"
    return text


def page_xml(title: str, text: str) -> str:
    return f"<page><title>{title}</title><ns>0</ns><revision><text>{text}</text></revision></page>"


def dump(folder: Path, name: str, *pages: tuple[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(bz2.compress(f"<mediawiki>{''.join(page_xml(*page) for page in pages)}</mediawiki>".encode()))
    return path


def test_a_page_that_takes_the_parser_minutes_is_an_entry_of_the_ledger(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wikipedia, "CPU_SECONDS", 0.1)
    path = dump(tmp_path, "enwiki-latest-pages-articles.xml.bz2", ("A", "a"), ("B", doubling(40)), ("C", "''c''"))
    result = run(path, page_time_limit=1_000_000)
    assert titles(tmp_path / "root") == ["A", "C"]
    assert receipts.sum_drops(result.all_receipts()) == {"page_time_limit": 1}
    [fate] = explanation.explain(str(tmp_path / "root"), f"{path}#1")
    assert fate.drop is not None
    assert (fate.drop["rule"], fate.drop["measured"], fate.drop["limit"]) == (
        "page_time_limit",
        "more than 1000000",
        1_000_000,
    )


@pytest.mark.parametrize(("limit", "allowed"), [(500_000_000, True), (499_999_999, False)])
def test_a_limit_that_the_clock_would_decide_is_refused(limit: int, allowed: bool) -> None:
    if allowed:
        assert WikipediaSettings.model_validate({"page_time_limit": limit}).page_time_limit == limit
    else:
        with pytest.raises(ValidationError):
            WikipediaSettings.model_validate({"page_time_limit": limit})


def test_a_page_of_nothing_but_markup_leaves_and_blanks_stay(run: Run, tmp_path: Path) -> None:
    pages = [
        ("A", "{{a}}"),
        ("B", "== ==\n{{b}}"),
        ("C", "__NOTOC__ "),
        ("D", "__NOTOC__ __TOC__"),
        ("E", "&amp;#xD800;"),
    ]
    result = run(dump(tmp_path, "enwiki-20240101-pages-articles.xml.bz2", *pages))
    found = {record["meta"]["title"]: record["text"] for record in published(tmp_path / "root")}
    assert found["D"] == " "
    assert {"A", "C", "E"}.isdisjoint(found)
    assert receipts.sum_drops(result.all_receipts()) == {"not_empty": 2, "encodable": 1}
    assert {record["meta"]["timestamp"] for record in published(tmp_path / "root")} == {"20240101"}


# ------------------------------------------------------------------------------------------ names and languages


@pytest.fixture
def four(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    for language in ("ru", "ltg", "bg", "simple"):
        dump(folder, f"{language}wiki-latest-pages-articles.xml.bz2", (f"Title {language}", "text"))
    return folder


LANGUAGE_CASES: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "the recipe's": (LANGUAGES, ["bg", "ru"]),
    "another": (("ltg", "ru"), ["ltg", "ru"]),
    "all": ((), ["bg", "ltg", "ru", "simple"]),
}


@pytest.mark.parametrize("name", LANGUAGE_CASES)
def test_languages(run: Run, four: Path, tmp_path: Path, name: str) -> None:
    languages, taken = LANGUAGE_CASES[name]
    result = run(four, languages=languages)
    assert titles(tmp_path / "root") == [f"Title {language}" for language in taken]
    left_out = 4 - len(taken)
    assert receipts.sum_drops(result.all_receipts()) == ({"languages": left_out} if left_out else {})
    if left_out:
        fates = explanation.explain(str(tmp_path / "root"), f"{four}/simplewiki-latest-pages-articles.xml.bz2#0")
        assert [fate.drop["measured"] for fate in fates if fate.drop] == ["simple"]


def test_a_file_named_itself_is_taken_whatever_its_language(run: Run, four: Path, tmp_path: Path) -> None:
    run(four / "simplewiki-latest-pages-articles.xml.bz2", date="20240229")
    [record] = published(tmp_path / "root")
    assert record["meta"] == {
        "title": "Title simple",
        "url": "https://simple.wikipedia.org/wiki/Title%20simple",
        "language": "simple",
        "timestamp": "20240229",
    }


HEAD = """<mediawiki version="0.10"><siteinfo><namespaces><namespace key="-2">Medeja</namespace>
<namespace key="0" /><namespace key="6">Fails</namespace><namespace key="14">Kategoreja</namespace></namespaces>
</siteinfo>"""
LATGALIAN = "Mola.\n\n[[Fails:A.png|thumb|b]]\n[[Kategoreja:C]]\n[[Category:D]]"


def latgalian(folder: Path, *, head: str = HEAD) -> Path:
    """A folder with a multistream dump of two streams of pages, of a language that is not in the table."""
    folder.mkdir()
    pages = [page_xml(f"Page {n}", LATGALIAN) for n in range(2)]
    packed = [bz2.compress(part.encode()) for part in (head, *pages, "</mediawiki>")]
    (folder / "ltgwiki-20230320-pages-articles-multistream.xml.bz2").write_bytes(b"".join(packed))
    return folder


@pytest.mark.parametrize("piece_size", [1, 64 << 20])
def test_any_language_by_the_names_of_its_dump(run: Run, tmp_path: Path, piece_size: int) -> None:
    raw = latgalian(tmp_path / "raw")
    told = ("namespaces_of_dump",)
    assert receipts.sum_drops(run(raw, "none").all_receipts()) == {"languages": 1}
    run(raw, "names", repairs=told, piece_size=piece_size)
    assert [each["text"] for each in published(tmp_path / "names")] == ["Mola.\n\nC\nD"] * 2
    run(raw, "all", repairs=(*told, "without_categories"), piece_size=piece_size)
    assert [each["text"] for each in published(tmp_path / "all")] == ["Mola."] * 2
    asked = run(raw, "asked", repairs=told, languages=LANGUAGES)
    assert receipts.sum_drops(asked.all_receipts()) == {"languages": 1}


def test_a_dump_that_does_not_say_its_names_has_those_of_the_table(run: Run, tmp_path: Path) -> None:
    raw = latgalian(tmp_path / "raw", head='<mediawiki version="0.10">')
    run(raw, repairs=("namespaces_of_dump", "without_categories"))
    assert [each["text"] for each in published(tmp_path / "root")] == ["Mola.\n\nthumb|b\nKategoreja:C"] * 2


REVISION = "<revision><timestamp>{}</timestamp><text>A text.</text></revision>"
DAYS = [  # of the dump's name, the page's time, what is published with the repair
    ("latest", "2016-05-01T07:08:29Z", "20160501"),
    ("latest", "", "20230320"),
    ("latest", "2016-13-01T07:08:29Z", "20230320"),
    ("latest", "2016-05-01", "20230320"),
    ("20170101", "2016-05-01T07:08:29Z", "20170101"),
]


@pytest.mark.parametrize(("date", "time", "day"), DAYS)
def test_a_page_has_its_own_day_where_the_dump_has_none(
    run: Run, tmp_path: Path, date: str, time: str, day: str
) -> None:
    page = f"<page><title>A</title><ns>0</ns>{REVISION.format(time)}</page>"
    raw = tmp_path / f"ltgwiki-{date}-pages-articles.xml"
    raw.write_text(HEAD + page + "</mediawiki>")
    run(raw, "published")
    done = run(raw, "published", repairs=("own_dates",))
    assert [each["meta"]["timestamp"] for each in published(tmp_path / "published")] == [day]
    assert done.done_now == (date == "latest")  # a dump with a date is not read again


def test_days_of_a_real_dump(run: Run, shared_data: Path, tmp_path: Path) -> None:
    run(shared_data / "wikipedia" / "enwiki-table-markup.xml.bz2", repairs=("own_dates",))
    days = {each["meta"]["timestamp"] for each in published(tmp_path / "root")}
    assert len(days) > 1
    assert all("2017" <= day < "2018" for day in days)


def test_the_categories_of_a_real_dump_go(run: Run, shared_data: Path, tmp_path: Path) -> None:
    name = "ltgwiki-latest-pages-articles.xml.bz2"
    run(shared_data / "wikipedia" / name, "published")
    run(shared_data / "wikipedia" / name, repairs=("namespaces_of_dump", "without_categories"))
    for root, left in (("published", 604), ("root", 1)):  # one table that is never closed
        assert sum("Kategoreja:" in each["text"] for each in published(tmp_path / root)) == left


def test_a_dump_without_a_language_in_its_name_is_quarantined(run: Run, tmp_path: Path) -> None:
    result = run(dump(tmp_path, "pages.xml.bz2", ("A", "a")))
    [entry] = result.quarantined
    assert "Name it like enwiki-20230320-pages-articles.xml.bz2" in entry.reason


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("enwiki-20230320-pages-articles.xml.bz2", ("en", "20230320")),
        ("s3://b/a/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", ("en", None)),
        ("enwiki-latest-pages-articles-multistream13.xml-p10672789p11659682.bz2", ("en", None)),  # page ids are no date
        ("enwiki-202303201-pages-articles.xml.bz2", ("en", None)),
        ("d/zh_min_nanwiki-20230320-pages-articles.xml.bz2", ("zh-min-nan", "20230320")),
        ("simplewiki-20230320-pages-articles.xml.bz2", ("simple", "20230320")),
        ("enwiktionary-20230320-pages-articles.xml.bz2", None),
        ("wiki-20230320-pages-articles.xml.bz2", None),
        ("pages.xml.bz2", None),
    ],
)
def test_dump_name(path: str, name: tuple[str, str | None] | None) -> None:
    assert dump_name(path) == name


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("enwiki-20230320-pages-articles.xml.bz2", True),
        ("enwiki-20230320-pages-articles-multistream.xml.bz2", True),
        ("enwiki-20230320-pages-articles-multistream1.xml-p1p41242.bz2", True),
        ("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", True),
        ("bgwiki-latest-pages-articles-shortened.xml.bz2", True),
        ("dewiki-20230320-pages-articles.xml", True),
        ("enwiki-20230320-pages-articles-multistream-index.txt.bz2", False),
        ("enwiki-20230320-pages-articles-multistream-index1.txt-p1p41242.bz2", False),
        ("enwiki-20230320-pages-meta-current.xml.bz2", False),
        ("enwiki-20230320-stub-articles.xml.gz", False),
    ],
)
def test_what_is_taken_from_a_folder(tmp_path: Path, name: str, taken: bool) -> None:
    (tmp_path / name).touch()
    (tmp_path / "aawiki-20230320-pages-articles.xml.bz2").touch()
    found = [Path(raw.path).name for raw in list_inputs(SLICE, (str(tmp_path),))]
    assert (name in found) is taken
