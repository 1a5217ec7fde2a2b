"""``rpj download`` as a user meets it, over every source in miniature on loopback; and what a run makes of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faulty
import py7zr
import pytest
import yaml

import redpajama_data
from redpajama_data.download import acquire, hosts
from redpajama_data.download import plan as plans
from redpajama_data.download.addresses import PREFIX
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.lock import hold
from redpajama_data.models.model_file import ModelFile
from slices import NAMES
from tests.cli.test_cli import rpj
from tests.download.hostile_server import FakeClock
from tests.download.miniatures import Site
from tests.download.offline import ACCOUNT, COMMANDS, Offline, configuration, whole_site


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offline]:
    with Offline(whole_site(tmp_path_factory.mktemp("origin"))).running() as server:
        yield server


@pytest.fixture
def server(running: Offline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Offline]:
    """The miniatures, an empty folder to work in with their ``rpj.yaml``; time passes when it is waited for."""
    monkeypatch.setattr(hosts, "Clock", FakeClock)
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    running.log.clear()
    write_config(configuration(running.addresses()))
    yield running
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # as `rpj run` has set it


def test_true_files_do_not_go_beside_the_sample(server: Offline) -> None:
    """They would be run as one, under the sample's settings."""
    assert rpj("sample", "--slice", "c4").code == 0
    before = sorted(Path("raw").rglob("*"))
    refused = rpj("download", "c4")
    assert refused.code == 2
    assert "Give --to another folder" in refused.err
    assert sorted(Path("raw").rglob("*")) == before
    assert rpj("download", "c4", "--dry-run").code == 0


def write_config(config: dict[str, Any]) -> None:
    Path("rpj.yaml").write_text(yaml.safe_dump(config))


def fetched(name: str) -> list[str]:
    """The raw files of a slice that are there."""
    place = Path("raw", name)
    found = (path.relative_to(place) for path in place.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.parts[0] != "_download")


def test_a_whole_reproduction_from_addresses_to_totals(
    server: Offline, tiny_tokenizer: ModelFile, tiny_lid: str
) -> None:
    config = configuration(server.addresses())
    for name in ("common_crawl", "arxiv", "stackexchange"):
        config["slices"].setdefault(name, {})["lid"] = tiny_lid
    config["slices"]["github"] = {"code_tokenizer": tiny_tokenizer.path, "min_alpha_per_token": 0.0}
    write_config({**config, "tokenizer": tiny_tokenizer.path, "executor": "serial"})
    for command in COMMANDS:
        shown = rpj(*command)
        assert (command, shown.code) == (command, 0), shown.err
    totals = [line.split() for line in shown.out.splitlines()]
    for name in NAMES:
        assert next(int(line[1]) for line in totals if line[:1] == [name] and line[1].isdigit()) > 0
        again = rpj("run", "--slice", name)
        assert again.code == 0
        assert "(0 tasks done" in again.out, again.out
    assert rpj("status", "raw").code == 0
    server.log.clear()
    assert rpj(*COMMANDS[0]).code == 0
    assert server.log == []  # all is here, and the plan is kept


# ---------------------------------------------------------------------------------------------- before anything starts


def test_a_dry_run_says_what_it_takes_and_leaves_nothing_behind(server: Offline) -> None:
    shown = rpj("download", "--all", "--dry-run")
    assert shown.code == 0
    for said in (
        "common_crawl: 5 files",
        "of unknown size, reckoned",
        "Needs --accept-licence arxiv",
        "Needs --accept-cost 0.01",
    ):
        assert said in shown.out
    assert "TB free" in shown.out or "GB free" in shown.out
    assert not os.path.exists("raw")
    plain = rpj("download", "arxiv", "c4", "--dry-run", "--json").json()
    assert plain["usd"] == 0.01
    assert [each["missing"]["files"] for each in plain["slices"]] == [2, 2]
    assert plain["bytes"] == sum(each["bytes"] for each in plain["slices"])


def test_a_dry_run_of_another_selection_leaves_the_plan_of_the_last_one(server: Offline) -> None:
    assert rpj("download", "c4", "--sample", "1").code == 0
    assert "c4: 2 files" in rpj("download", "c4", "--dry-run").out
    assert "1 of 1 file here" in rpj("status", "raw").out


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["arxiv"], 2, "give --accept-licence arxiv if you accept"),
        (["arxiv", "--accept-licence", "arxiv"], 2, "Give --accept-cost 0.01"),
        (["arxiv", "--accept-licence", "arxiv", "--accept-cost", "0.01"], 0, ""),
        (["c4", "arxiv", "--sample", "1"], 2, "--accept-licence arxiv"),
        (["c4", "--dumps", "2023-06"], 2, "--dumps means nothing for c4"),
        (["c4", "--seed", "3"], 2, "Give both"),
        (["c4", "--files", "nothing*"], 2, "no file of its listing is selected"),
        (["c4", "--rate", "fast"], 2, "--rate fast: expected a size"),
        (["c4", "--rate", "5"], 2, "Give one as 50M"),
        (["c4", "--hours", "25-3"], 2, "Give them as 22-06"),
        (["c4", "--max-bytes", "0"], 2, "expected more than nothing"),
        (["c4", "--all"], 2, "or --all"),
        ([], 2, "or --all"),
        (["c5"], 2, "The slices are common_crawl"),
        (["c4", "--to", "https://example.org/raw"], 2, "files come to a folder, and go on to s3://"),
        (["c4", "--to", "s3://bucket/raw", "--by-way-of", "s3://b/c"], 2, "files come to a folder"),
        (["common_crawl", "--dumps", "2001-01"], 3, "there is no such dump"),
        (["stackexchange", "--by-hand"], 2, "Make it, put the files"),
        (["stackexchange", "--by-hand", "--sites", "a"], 2, "Leave out what selects some"),
        (["c4", "--connections", "9"], 0, "huggingface.co gets 8; more may get you blocked"),
        (["c4", "--connections", "8"], 0, ""),
    ],
)  # fmt: skip
def test_what_is_refused_and_how_it_is_said(server: Offline, options: list[str], code: int, said: str) -> None:
    shown = rpj("download", *options)
    assert shown.code == code, shown.err
    assert said in shown.err
    assert ("blocked" in shown.err) == ("blocked" in said)
    if code:
        assert not any(fetched(name) for name in ("c4", "arxiv"))


def test_a_disk_that_is_too_small_starts_nothing(server: Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquire, "free_bytes", lambda to: 80_000)
    shown = rpj("download", "c4")
    assert shown.code == 5
    assert "are still to come, and 80.0 kB are free" in shown.err
    assert not fetched("c4")
    assert rpj("download", "c4", "--max-bytes", "50000").code == 0


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"addresses": {"huggingface.co": "here"}}, "The address of huggingface.co is 'here'"),
        ({"download": {"c4": {"dumps": ["2023-06"]}}}, "download: c4: dumps: no such key; known: files"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(server: Offline, section: dict[str, Any], said: str) -> None:
    write_config({**configuration(server.addresses()), **section})
    shown = rpj("download", "c4")
    assert (shown.code, said in shown.err) == (2, True), shown.err


# ---------------------------------------------------------------------------------------------- what is fetched


def test_only_what_is_selected_is_asked_for(server: Offline) -> None:
    assert rpj("download", "c4", "--files", "*00001-of*").code == 0
    assert fetched("c4") == ["c4-train.00001-of-00002.json.gz"]
    assert rpj("download", "wikipedia", "--langs", "de").code == 0
    assert [name[:6] for name in fetched("wikipedia")] == ["dewiki"]
    assert not any("enwiki" in path for _, path, _ in server.log)


def test_a_wider_selection_keeps_what_is_here(server: Offline) -> None:
    assert rpj("download", "c4", "--sample", "1", "--seed", "7").code == 0
    (first,) = fetched("c4")
    server.log.clear()
    shown = rpj("download", "c4")
    assert "2 files, 1 fetched" in shown.out
    assert not any(first in path for _, path, _ in server.log)


@pytest.mark.parametrize("wrong", [["--files", "nothing*"], ["--renew"]])
def test_a_listing_that_gives_nothing_leaves_the_plan_that_is_kept(server: Offline, wrong: list[str]) -> None:
    assert rpj("download", "c4", "--max-bytes", "50000").code == 0
    before = Path("raw/c4/_download/plan.json").read_bytes()
    site, server.site = server.site, Site()
    if wrong == ["--files", "nothing*"]:
        server.site = site
    assert rpj("download", "c4", *wrong).code in (2, 3)
    server.site = site
    assert Path("raw/c4/_download/plan.json").read_bytes() == before
    assert rpj("download", "c4").code == 0
    assert len(fetched("c4")) == 2


def test_a_limit_of_bytes_is_no_failure_and_the_next_run_goes_on(server: Offline, tiny_tokenizer: ModelFile) -> None:
    first = rpj("download", "c4", "--max-bytes", "50000")
    assert (first.code, len(fetched("c4"))) == (0, 1)
    assert "1 left for later (--max-bytes is reached)" in first.out
    assert rpj("status", "raw").code == 3
    assert (
        rpj("run", "--slice", "c4", "--tokenizer", tiny_tokenizer.path).code == 0
    )  # a run may begin before all is here
    assert "Raw files still to come: c4 (1 file, 4" in rpj("status").out
    assert rpj("download", "c4", "--max-bytes", "50000").code == 0
    assert "still to come" not in rpj("status").out
    assert len(fetched("c4")) == 2


@pytest.mark.parametrize(("most", "files"), [("900M", 1), ("1G", 2), ("2G", 3)])
def test_a_limit_of_bytes_holds_for_files_whose_size_nobody_says(server: Offline, most: str, files: int) -> None:
    """Each of the two files of 2023-06 is reckoned with 995 MB before it has come."""
    command = ["download", "common_crawl", "--dumps", "2023-06", "--max-bytes", most]
    shown = rpj(*command, "--connections", "1")
    assert shown.code == 0
    assert len(fetched("common_crawl")) == files  # the listing is one


def test_a_language_that_nobody_has_is_named_and_the_rest_goes_on(server: Offline) -> None:
    shown = rpj("download", "wikipedia", "--langs", "de,fr")
    assert shown.code == 3
    assert "nowhere to be had: fr" in shown.err
    assert [name[:6] for name in fetched("wikipedia")] == ["dewiki"]


def test_of_all_slices_one_that_cannot_be_had_is_left_out(server: Offline) -> None:
    config = configuration(server.addresses())
    del config["download"]["github"]
    write_config(config)
    shown = rpj(*COMMANDS[0], "--json")
    assert shown.code == 3
    assert "Give --bucket NAME" in shown.json()["left_out"]["github"]
    assert [each["slice"] for each in shown.json()["slices"]] == [name for name in NAMES if name != "github"]


def test_a_second_run_into_the_same_folder_ends_with_4(server: Offline) -> None:
    assert rpj("download", "c4", "--sample", "1").code == 0
    with hold(plans.folder("raw", "c4")):
        assert rpj("download", "c4", "--sample", "1").code == 4
        assert rpj("download", "c4").code == 4
        assert rpj("download", "c4", "--dry-run").code == 0


def test_from_python_it_is_one_function(server: Offline) -> None:
    (report,) = redpajama_data.fetch("c4", sample=1)
    assert (report.fetched, report.complete, report.exit_code) == (1, True, 0)
    assert fetched("c4") == ["c4-train.00000-of-00002.json.gz"]
    with pytest.raises(UsageError, match="--dump means nothing for c4"):
        redpajama_data.fetch("c4", dump="2023-06")
    with pytest.raises(UsageError, match="--accept-licence arxiv"):
        redpajama_data.fetch("arxiv")
    left_out: dict[str, str] = {}
    config = configuration(server.addresses())
    del config["download"]["github"]
    write_config(config)
    reports = redpajama_data.fetch(accept_licences=["arxiv"], accept_usd=1, left_out=left_out)
    assert [each.slice for each in reports] == [name for name in NAMES if name != "github"]
    assert list(left_out) == ["github"]


# ---------------------------------------------------------------------------------------------- to an object store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    with faulty.faults(monkeypatch):
        yield f"faulty://{tmp_path}/raw"


def test_files_go_on_to_a_store_when_they_are_whole(
    server: Offline, store: str, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = rpj("download", "c4", "books", "--to", store)
    assert shown.code == 0, shown.err
    assert f"Next: rpj run --slice c4 --input {store}/c4" in shown.out
    assert fetched("c4") == []
    assert sorted(name for name in storage.find(f"{store}/c4") if "_download" not in name) == [
        "c4-train.00000-of-00002.json.gz",
        "c4-train.00001-of-00002.json.gz",
    ]
    books = [name for name in storage.find(f"{store}/books") if "_download" not in name]
    assert books == ["pg19-test.jsonl", "pg19-train.jsonl", "pg19-validation.jsonl"]
    (tmp_path / "elsewhere").mkdir()  # as on another machine
    shutil.copy("rpj.yaml", "elsewhere")
    for place in (tmp_path, tmp_path / "elsewhere"):
        monkeypatch.chdir(place)
        server.log.clear()
        again = rpj("download", "c4", "--to", store)
        assert (again.code, server.log) == (0, [])
        assert "2 were here" in again.out
    assert rpj("status", "raw").code == 0
    assert "c4: 2 files as they were fetched" in rpj("verify", "raw").out
    storage.remove(f"{store}/c4/c4-train.00000-of-00002.json.gz")
    assert rpj("verify", "raw").code == 1
    run = ["run", "--slice", "c4", "--input", f"{store}/c4", "--tokenizer", tiny_tokenizer.path, "--executor", "serial"]
    assert rpj(*run).code == 0


def test_a_store_that_fails_keeps_the_file_on_the_disk(server: Offline, store: str) -> None:
    def away(call: str, path: str, n: int) -> Exception | None:
        return OSError(5, "away") if call == "put" and path.endswith(".json.gz") else None

    faulty.FAULTS.fault = away
    assert rpj("download", "c4", "--sample", "1", "--to", store).code == 5
    assert len(fetched("c4")) == 1
    faulty.FAULTS.fault = lambda call, path, n: None
    server.log.clear()
    shown = rpj("download", "c4", "--sample", "1", "--to", store)
    assert (shown.code, server.log, fetched("c4")) == (0, [], [])


# ---------------------------------------------------------------------------------------------- what lies there


def test_verify_reads_what_was_fetched_and_the_next_run_mends_it(server: Offline) -> None:
    assert rpj("download", "c4").code == 0
    assert "c4: 2 files as they were fetched (2 by sha256), 0 not" in rpj("verify", "raw").out
    path = Path("raw/c4", fetched("c4")[0])
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + b"x")
    shown = rpj("verify", "raw", "--json")
    assert (shown.code, shown.json()["c4"]["unsound"]) == (1, {path.name: "bytes"})
    assert rpj("download", "c4").code == 0
    assert path.read_bytes() == sound


def test_files_placed_by_hand_are_read_to_their_end(server: Offline) -> None:
    place = Path("raw/stackexchange")
    place.mkdir(parents=True)
    with py7zr.SevenZipFile(place / "cs.stackexchange.com.7z", "w") as archive:
        archive.writestr("<posts/>" * 100, "Posts.xml")
    whole = (place / "cs.stackexchange.com.7z").read_bytes()
    (place / "cut.stackexchange.com.7z").write_bytes(whole[:-20])
    (place / "note.txt").write_text("mine")
    shown = rpj("download", "stackexchange", "--by-hand")
    assert shown.code == 3
    assert "cut.stackexchange.com.7z is put aside" in shown.err
    receipts = [json.loads(line) for line in (place / "_download/receipts.jsonl").read_text().splitlines()]
    assert {each["path"]: each["checked"] for each in receipts} == {
        "cs.stackexchange.com.7z": "7z walk",
        "note.txt": "not checked",
    }
    (place / "cut.stackexchange.com.7z").unlink()
    assert rpj("download", "stackexchange", "--by-hand").code == 0
    (place / "cs.stackexchange.com.7z").write_bytes(whole[:-20])  # damaged since: it is named, and nobody is asked
    assert rpj("download", "stackexchange", "--by-hand").code == 3
    assert (place / "cs.stackexchange.com.7z").read_bytes() == whole[:-20]
    assert server.log == []


def test_a_file_placed_by_hand_is_held_against_the_listing(server: Offline) -> None:
    assert rpj("download", "c4").code == 0
    os.rename("raw/c4", "elsewhere")
    os.makedirs("raw/c4")
    names = sorted(path.name for path in Path("elsewhere").glob("*.gz"))
    for name in names:
        os.rename(f"elsewhere/{name}", f"raw/c4/{name}")
    data = Path("raw/c4", names[0]).read_bytes()
    Path("raw/c4", names[0]).write_bytes(data[:-1] + b"x")
    server.log.clear()
    shown = rpj("download", "c4")
    assert shown.code == 3
    assert f"{names[0]} is put aside: a file of that name is there already, and its sha256 is" in shown.err
    assert "1 were here" in shown.out
    assert not any(name in path for _, path, _ in server.log for name in names)
