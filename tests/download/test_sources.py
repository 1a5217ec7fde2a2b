"""What each source plans of its listing: which files, what they are held against, what is said of the rest."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import slices
from redpajama_data.download import plan as plans
from redpajama_data.download.addresses import Addresses
from redpajama_data.download.plan import Listing, Wanted
from redpajama_data.errors import InputUnavailable, MissingModel, UsageError
from slices import sources
from tests.download import miniatures as mini
from tests.download.miniatures import Site

WET = {f"CC-MAIN-20230126210844-20230127000844-{n:05d}.warc.wet.gz": b"%d" % n for n in range(10)}


def listed(name: str, site: Site, **selection: Any) -> tuple[Listing, list[Wanted]]:
    listing = sources.load(name).list(selection, site, Addresses())  # type: ignore[arg-type]
    files = list(listing.files)
    for wanted in files:
        plans.check(wanted)
    return dataclasses.replace(listing, files=()), files


def paths(files: list[Wanted]) -> list[str]:
    return [wanted.path for wanted in files]


@pytest.fixture
def site() -> Site:
    return Site()


def test_every_slice_has_a_source() -> None:
    assert sources.NAMES == slices.NAMES
    assert [sources.load(name).slice for name in sources.NAMES] == list(slices.NAMES)
    with pytest.raises(UsageError, match="The slices are common_crawl"):
        sources.load("books3")


# ---------------------------------------------------------------------------------------------- common_crawl


@pytest.mark.parametrize(
    ("shards", "numbers"),
    [(None, range(10)), ("0", [0, 1]), ("1-2", [2, 3, 4, 5, 6]), ("3,0", [0, 1, 7, 8, 9]), ("0-3", range(10))],
)
def test_shards_of_a_dump_are_those_of_ccnet(site: Site, shards: str | None, numbers: Any) -> None:
    mini.crawl(site, "2023-06", WET)
    listing, files = listed("common_crawl", site, dumps=["2023-06"], shards=shards, shard_count=4)
    assert "rpj train classifier" in listing.notes[-1]
    names = list(WET)
    assert paths(files) == ["2023-06/wet.paths.gz", *(f"2023-06/{names[n]}" for n in numbers)]
    assert files[0].checks.keys() == {"sha256"}  # the shards are counted in this very listing
    assert all(file.walk == "gzip" and file.url.startswith(mini.CRAWL + "/crawl-data/") for file in files[1:])
    assert site.asked == [f"{mini.CRAWL}/crawl-data/CC-MAIN-2023-06/wet.paths.gz"]  # never the host of old: cc_net#35
    assert listing.reckoned == pytest.approx(9.05 * 2**40 / 10 * len(files[1:]), rel=0.01)


@pytest.mark.parametrize("shards", ["4", "2-1", "x", "", "-1", "0-9"])
def test_shards_that_are_none_are_refused(site: Site, shards: str) -> None:
    mini.crawl(site, "2023-06", WET)
    with pytest.raises(UsageError, match="--shards"):
        listed("common_crawl", site, dumps=["2023-06"], shards=shards, shard_count=4)


@pytest.mark.parametrize(
    "body",
    [b"<!DOCTYPE html><html>blocked</html>", mini.gzip.compress(b"../../etc/passwd\n"), mini.gzip.compress(b"")],
    ids=["html", "other paths", "empty"],
)
def test_a_listing_that_is_none_is_not_taken(site: Site, body: bytes) -> None:
    site.put(f"{mini.CRAWL}/crawl-data/CC-MAIN-2023-06/wet.paths.gz", body)
    with pytest.raises(InputUnavailable, match="no listing"):
        listed("common_crawl", site, dumps=["2023-06"])


def test_a_dump_that_is_not_there_is_named(site: Site) -> None:
    with pytest.raises(InputUnavailable, match="no such dump"):
        listed("common_crawl", site, dumps=["2023-07"])
    with pytest.raises(UsageError, match="year and week"):
        listed("common_crawl", site, dumps=["../x"])


def test_dumps_of_redpajama_v2_must_be_named(site: Site) -> None:
    mini.crawl(site, "2023-06", WET)
    with pytest.raises(UsageError, match="--config redpajama-v2, which names all 84"):
        listed("common_crawl_v2", site)
    listing, files = listed("common_crawl_v2", site, dumps=["2023-06"])
    assert len(files) == 11
    assert not any("classifier" in note for note in listing.notes)
    assert sources.load("common_crawl_v2").slice == "common_crawl_v2"


# ---------------------------------------------------------------------------------------------- c4 and the hub


def c4(site: Site) -> None:
    files = {f"en/c4-train.{n:05d}-of-01024.json.gz": b"%d" % n for n in range(3)}
    files |= {"en/c4-validation.00000-of-00008.json.gz": b"v", "en/README.md": b"r"}
    mini.hub(site, "allenai/c4", files, folder="en", pages=3)


def test_c4_has_the_hash_of_the_content_and_never_that_of_the_pointer(site: Site) -> None:
    c4(site)
    listing, files = listed("c4", site)
    assert listing.version == mini.COMMIT
    assert paths(files)[-1] == "c4-validation.00000-of-00008.json.gz"  # the published run took en/*
    assert len(files) == 4
    for file in files:
        data = site.replies[file.url].body
        assert (file.bytes, file.checks) == (len(data), {"sha256": mini.hashlib.sha256(data).hexdigest()})
        assert mini.COMMIT in file.url  # main may move between two runs


def test_a_mirror_of_the_hub_is_asked_for_every_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    c4(site)
    for url in list(site.replies):
        site.replies[url.replace(mini.HUB, "https://hf-mirror.example")] = site.replies.pop(url)
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.example/")
    _, files = listed("c4", site)
    assert len(files) == 4
    assert {url.split("/")[2] for url in site.asked} == {"hf-mirror.example"}


def test_no_token_is_in_a_plan(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    c4(site)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    listing, files = listed("c4", site)
    plans.save(str(tmp_path), "c4", dataclasses.replace(listing, files=files), {})
    assert all("hf_secret" not in path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert {file.token for file in files} == {"HF_TOKEN"}


def test_a_mirror_that_lists_nothing_is_said_to(site: Site) -> None:
    mini.hub(site, "allenai/c4", {}, folder="en", pages=1)
    with pytest.raises(InputUnavailable, match="HF_ENDPOINT"):
        listed("c4", site)


# ---------------------------------------------------------------------------------------------- github


def test_an_export_is_copied_with_its_hashes(site: Site) -> None:
    mini.bucket(site, "mine", "github_", {f"github_{n:012d}.gz": b"%d" % n for n in range(5)}, pages=3)
    listing, files = listed("github", site, bucket="gs://mine")
    assert paths(files) == [f"github_{n:012d}.gz" for n in range(5)]
    assert files[3].checks == {"md5": mini.md5(b"3")}
    assert files[3].url.endswith("github_000000000003.gz?generation=1679000000000001")
    assert listing.cost is None


MODULES = ("google.cloud.bigquery", "google.api_core.exceptions")


class Library:
    """Google's library, as far as it is used."""

    class NotFound(Exception): ...

    GoogleAPIError = NotFound

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.QueryJobConfig = self.ExtractJobConfig = lambda **given: given
        self.Dataset = lambda name: type("Dataset", (), {"name": name})()
        self.total_bytes_processed = 3 << 40

    def Client(self, *, project: str) -> Library:  # noqa: N802
        return self

    def query(self, sql: str, *, job_config: Any, location: str) -> Library:
        self.calls.append(("query", sql, job_config, location))
        return self

    def get_table(self, name: str) -> Any:
        raise self.NotFound

    def create_dataset(self, dataset: Any, *, exists_ok: bool) -> None:
        self.calls.append(("dataset", dataset.location))

    def extract_table(self, table: str, target: str, *, job_config: Any, location: str) -> Library:
        self.calls.append(("extract", table, target, job_config, location))
        return self

    def result(self) -> None: ...


def test_the_query_is_priced_before_it_is_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    for name in MODULES:
        monkeypatch.setitem(sys.modules, name, library)
    mini.bucket(site, "mine", "github_", {})
    listing, files = listed("github", site, bucket="mine", project="p")
    assert not files
    assert listing.cost is not None
    assert listing.cost.usd == 18.75  # 3 TiB
    assert [call[2]["dry_run"] for call in library.calls] == [True]
    prepare = sources.load("github").prepare
    assert prepare is not None
    prepare({"bucket": "mine", "project": "p"})
    paid = [call for call in library.calls if call[0] == "query" and "destination" in call[2]]
    assert [call[2]["maximum_bytes_billed"] for call in paid] == [3 << 40]
    assert library.calls[-1][2] == "gs://mine/github_*.gz"
    assert paid[0][1].count("(") == paid[0][1].count(")")


def test_what_github_needs_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--bucket"):
        listed("github", site)
    mini.bucket(site, "mine", "github_", {})
    with pytest.raises(UsageError, match="--project"):
        listed("github", site, bucket="mine")

    monkeypatch.setitem(sys.modules, MODULES[0], None)
    with pytest.raises(MissingModel, match=r"redpajama-data\[gcp\]"):
        listed("github", site, bucket="mine", project="p")


# ---------------------------------------------------------------------------------------------- books


def books(site: Site) -> None:
    metadata = "".join(f'{n},"Title, {n}",{1800 + n % 100},http://x/{n}\n' for n in (9, 10, 100, 1000, 2, 3))
    train = {"9": b"nine\r\n", "10": b"ten", "100": b"hundred", "1000": b"thousand"}
    mini.pg19(site, {"train": train, "validation": {"2": b"two"}, "test": {"3": b"three\xc3\xa9"}}, metadata.encode())


def fetched(site: Site, place: Path, files: list[Wanted]) -> None:
    for file in files:
        path = place / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(site.find(file.url).body)  # type: ignore[union-attr]


def test_pg19_is_written_in_the_order_of_names_as_strings(site: Site, tmp_path: Path) -> None:
    books(site)
    listing, files = listed("books", site)
    assert paths(files)[:5] == ["pg19/metadata.csv", *(f"pg19/train/{n}.text" for n in (10, 100, 1000, 9))]
    assert any("books3" in note and "not available" in note for note in listing.notes)
    plans.save(str(tmp_path), "books", dataclasses.replace(listing, files=files), {})
    fetched(site, tmp_path / "books", files)
    finish = sources.load("books").finish
    assert finish is not None
    finish(str(tmp_path / "books"))
    lines = (tmp_path / "books/pg19-train.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert list(first) == ["short_book_title", "publication_date", "url", "text"]
    assert [json.loads(line)["text"] for line in lines] == ["ten", "hundred", "thousand", "nine\n"]
    assert (last["short_book_title"], last["publication_date"]) == ("Title, 9", 1809)
    assert "three\u00e9" in (tmp_path / "books/pg19-test.jsonl").read_text()
    before = (tmp_path / "books/pg19-train.jsonl").stat().st_mtime_ns
    finish(str(tmp_path / "books"))
    assert (tmp_path / "books/pg19-train.jsonl").stat().st_mtime_ns == before  # else a run would read it anew
    (tmp_path / "books/pg19-test.jsonl").unlink()
    finish(str(tmp_path / "books"))
    assert (tmp_path / "books/pg19-test.jsonl").exists()


def test_no_reader_takes_the_texts_of_pg19_for_books_of_their_own(site: Site) -> None:
    from fnmatch import fnmatch

    books(site)
    _, files = listed("books", site)
    patterns = slices.load("books").patterns
    assert not [file.path for file in files if any(fnmatch(file.path.split("/")[-1], each) for each in patterns)]


def test_a_book_without_metadata_is_named(site: Site, tmp_path: Path) -> None:
    books(site)
    mini.bucket(site, "deepmind-gutenberg", "metadata.csv", {"metadata.csv": b"10,T,1810,u\n"})
    listing, files = listed("books", site)
    plans.save(str(tmp_path), "books", dataclasses.replace(listing, files=files), {})
    fetched(site, tmp_path / "books", files)
    with pytest.raises(InputUnavailable, match=r"pg19/train/100\.text"):
        sources.load("books").finish(str(tmp_path / "books"))  # type: ignore[misc]
    assert not (tmp_path / "books/pg19-train.jsonl").exists()


def test_gutenberg_comes_from_the_mirror_by_its_catalogue(site: Site) -> None:
    rows = '10,Text,2000-01-01,"A, b",en,,,,\n11,Sound,x,S,en,,,,\n12,Text,x,F,fr,,,,\n13,Text,x,M,en; fr,,,,\n'
    mini.catalogue(site, rows, {})
    _, files = listed("books", site, collections=["gutenberg"])
    assert paths(files) == ["gutenberg/pg10.txt", "gutenberg/pg13.txt"]
    assert {file.url.split("/")[2] for file in files} == {"gutenberg.pglaf.org"}  # never the main site
    site.put(f"{mini.GUTENBERG}/cache/epub/feeds/pg_catalog.csv", b"<html>captcha</html>")
    with pytest.raises(InputUnavailable, match="a page in HTML"):
        listed("books", site, collections=["gutenberg"])


def test_books3_is_said_to_be_gone(site: Site) -> None:
    listing, files = listed("books", site, collections=["books3"])
    assert (files, listing.absent) == ([], ["books3"])


# ---------------------------------------------------------------------------------------------- arxiv


TARS = {"arXiv_src_0001_001.tar": b"a" * 1000, "arXiv_src_2303_001.tar": b"b" * 2000}


def test_arxiv_has_size_and_md5_of_its_manifest_and_a_price(site: Site) -> None:
    mini.arxiv(site, TARS)
    listing, files = listed("arxiv", site)
    assert [(file.path, file.bytes, file.checks["md5"]) for file in files] == [
        (name, len(data), mini.md5(data)) for name, data in TARS.items()
    ]
    assert all(file.requester_pays and file.url.startswith("s3://arxiv/src/") for file in files)
    assert listing.cost is not None
    assert listing.cost.usd == 0.01
    assert [licence.accept for licence in listing.licences] == [True]


def test_the_free_copy_counts_only_where_it_has_the_size_of_the_manifest(site: Site) -> None:
    mini.arxiv(site, TARS)
    mini.hub(
        site, "TIGER-Lab/arxiv-latex-5T", {"a/arXiv_src_0001_001.tar": b"a" * 1000, "arXiv_src_2303_001.tar": b"b"}
    )
    listing, files = listed("arxiv", site, free=True)
    assert [file.requester_pays for file in files] == [False, True]
    assert files[0].checks.keys() == {"md5", "sha256"}  # the manifest's own has to agree
    assert any("1 of 2" in note for note in listing.notes)


@pytest.mark.parametrize(
    "body",
    [
        b"<Error><Code>ExpiredToken</Code></Error>",
        b"<arXivSRC><file/></arXivSRC>",
        b"",
        b"<!DOCTYPE html><html></html>",
    ],
)
def test_an_error_document_is_no_manifest(site: Site, body: bytes) -> None:
    site.put("s3://arxiv/src/arXiv_src_manifest.xml", body)
    with pytest.raises(InputUnavailable):
        listed("arxiv", site)


# ---------------------------------------------------------------------------------------------- wikipedia


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["-multistream.xml.bz2", "-multistream-index.txt.bz2"], ["-multistream.xml.bz2"]),
        (["-multistream2.xml-p9p12.bz2", "-multistream1.xml-p1p8.bz2", "-multistream-index1.txt-p1p8.bz2"],
         ["-multistream1.xml-p1p8.bz2", "-multistream2.xml-p9p12.bz2"]),
        (["-multistream.xml.bz2", "-multistream1.xml-p1p8.bz2", ".xml.bz2"], ["-multistream.xml.bz2"]),
        ([".xml.bz2", "1.xml-p1p8.bz2"], [".xml.bz2"]),
        (["-multistream-index.txt.bz2"], []),
    ],
)  # fmt: skip
def test_one_form_of_a_dump_is_chosen(names: list[str], chosen: list[str]) -> None:
    from slices.sources.wikipedia import one_form

    stem = "enwiki-20230320-pages-articles"
    assert one_form([stem + name for name in names]) == [stem + name for name in chosen]


def test_a_language_is_asked_for_at_wikimedia_a_mirror_and_the_archive(site: Site) -> None:
    name = "{}wiki-20230320-pages-articles-multistream.xml.bz2"
    mini.dumpstatus(site, "enwiki", "20230320", {name.format("en"): b"en"})
    mini.dumpstatus(site, "dewiki", "20230320", {name.format("de"): b"de"}, base="https://dumps.wikimedia.your.org")
    mini.item(site, "slwiki-20230320", {name.format("sl"): b"sl", "slwiki-20230320-stub.xml.gz": b"x"})
    site.put(f"{mini.WIKIMEDIA}/srwiki/", b'<a href="20260801/">20260801/</a> <a href="latest/">latest/</a>')
    site.put(f"{mini.ARCHIVE}/metadata/srwiki-20230320", {})
    listing, files = listed("wikipedia", site, langs=["en", "de", "sl", "sr"])
    assert paths(files) == [name.format(each) for each in ("en", "de", "sl")]
    assert [file.url.split("/")[2] for file in files] == [
        "dumps.wikimedia.org", "dumps.wikimedia.your.org", "archive.org",
    ]  # fmt: skip
    assert files[0].checks == {"sha1": mini.sha1(b"en"), "md5": mini.md5(b"en")}
    assert files[0].mirrors
    assert listing.absent == ["sr"]
    assert any("srwiki" in note and "20260801" in note for note in listing.notes)  # datasets#2170


def test_a_job_that_is_not_done_is_not_taken(site: Site) -> None:
    mini.dumpstatus(
        site, "enwiki", "20230320", {"enwiki-20230320-pages-articles-multistream.xml.bz2": b"x"}, status="in-progress"
    )
    listing, files = listed("wikipedia", site, langs=["en"])
    assert (files, listing.absent) == ([], ["en"])
    assert any("in-progress" in note for note in listing.notes)


def test_a_host_that_does_not_answer_is_not_one_without_the_dump(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(url: str, **_: Any) -> Any:
        raise InputUnavailable("down")

    monkeypatch.setattr(site, "ask", down)
    with pytest.raises(InputUnavailable, match="down"):
        listed("wikipedia", site, langs=["en"])


@pytest.mark.parametrize("selection", [{"langs": ["../x"]}, {"date": "2023-03-20"}, {"date": "20231301"}])
def test_no_language_and_no_date_are_refused(site: Site, selection: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        listed("wikipedia", site, **selection)


# ---------------------------------------------------------------------------------------------- stackexchange


STACK = {
    "cs.stackexchange.com.7z": b"cs",
    "cs.meta.stackexchange.com.7z": b"csm",
    "Stackoverflow.com-Posts.7z": b"so",
    "stackoverflow.com-Votes.7z": b"v",
    "stackoverflow.com-posthistory.7z": b"h",
    "readme.txt": b"r",
}


def test_only_posts_of_stack_overflow_and_no_file_of_the_archive_itself(site: Site) -> None:
    mini.item(site, "stackexchange", STACK)
    listing, files = listed("stackexchange", site)
    assert sorted(paths(files)) == [
        "Stackoverflow.com-Posts.7z",
        "cs.meta.stackexchange.com.7z",
        "cs.stackexchange.com.7z",
    ]
    assert "2024-04-02" in listing.version
    _, files = listed("stackexchange", site, sites=["stackoverflow.com"])
    assert paths(files) == ["Stackoverflow.com-Posts.7z"]
    assert files[0].checks == {"md5": mini.md5(b"so"), "sha1": mini.sha1(b"so")}


def test_an_item_or_site_that_is_not_there_is_named_with_what_to_do(site: Site) -> None:
    site.put(f"{mini.ARCHIVE}/metadata/stackexchange_20250101", {})
    with pytest.raises(UsageError, match="logged in"):
        listed("stackexchange", site, date="20250101")
    mini.item(site, "stackexchange_20240630", {"cs.stackexchange.com.7z": b"cs"})
    listing, _ = listed("stackexchange", site, date="20240630")
    assert listing.version.startswith("stackexchange_20240630,")
    assert any("planted" in note for note in listing.notes)
    with pytest.raises(UsageError, match="no archive"):
        listed("stackexchange", site, date="20240630", sites=["math.stackexchange.com"])
    mini.item(site, "stackexchange_20240630_revised", {"cs.stackexchange.com.7z": b"better"})
    listing, files = listed("stackexchange", site, date="20240630")
    assert listing.version.startswith("stackexchange_20240630_revised,")
    assert files[0].bytes == len(b"better")


# ---------------------------------------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("selection", "numbers"),
    [
        ({}, range(20)),
        ({"sample": 3}, range(3)),
        ({"files": "*1?"}, range(10, 20)),
        ({"files": "*1?", "sample": 1}, [10]),
    ],
)
def test_files_and_sample(selection: dict[str, Any], numbers: Any) -> None:
    from slices.sources.selection import choose

    files = [Wanted(f"a/f{n:02d}", "https://x/y") for n in range(20)]
    assert [file.path for file in choose(files, selection)] == [f"a/f{n:02d}" for n in numbers]


def test_a_larger_sample_keeps_what_a_smaller_one_has() -> None:
    from slices.sources.selection import choose

    def chosen(number: int, seed: int) -> list[str]:
        files = (Wanted(f"f{n}", "https://x/y") for n in range(100))
        return [file.path for file in choose(files, {"sample": number, "seed": seed})]

    assert set(chosen(5, 1)) < set(chosen(20, 1))
    assert chosen(5, 1) != chosen(5, 2)
    order = [int(path[1:]) for path in chosen(20, 1)]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("name", "settings", "selection"),
    [
        ("common_crawl", {"input": ["raw/cc/2023-06", "x/CC-MAIN-2022-05/"], "shards": 10},
         {"dumps": ["2023-06", "2022-05"], "shard_count": 10}),
        ("common_crawl_v2", {"input": ["raw/common_crawl_v2/2014-15"], "shards": 5000},
         {"dumps": ["2014-15"], "shard_count": 5000}),
        ("wikipedia", {"languages": ["de"], "date": "20230401"}, {"langs": ["de"], "date": "20230401"}),
        ("stackexchange", {"sites": ["all"]}, {}),
        ("stackexchange", {"sites": ["cs.stackexchange.com"]}, {"sites": ["cs.stackexchange.com"]}),
    ],
)  # fmt: skip
def test_a_configuration_says_what_is_selected(name: str, settings: dict[str, Any], selection: dict[str, Any]) -> None:
    read: Callable[..., Any] | None = sources.load(name).from_config
    assert read is not None
    assert dict(read(settings)) == selection
