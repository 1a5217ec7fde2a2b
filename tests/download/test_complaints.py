"""What users of the known downloaders complain of, each named by the project and the number of its thread."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hostile_server import Behaviour, FakeClock, HostileServer, then
from trial import content_of, members_of, run

from redpajama_data.download.client import TRIES
from redpajama_data.download.parts import Part, Record
from redpajama_data.download.plan import Wanted
from redpajama_data.download.receipts import load_quarantine

BODY = content_of(7, 300_000)
GOOD = Behaviour(BODY)
URL = "https://origin.test/x.bin"
MD5 = {"md5": hashlib.md5(BODY).hexdigest()}
PLAIN, HASHED = Wanted("x.bin", URL), Wanted("x.bin", URL, len(BODY), MD5)
FALLS_SILENT = [then(GOOD, cut_after=120_000), *[then(GOOD, cut_after=0)] * TRIES]


def _ranges(server: HostileServer) -> list[str]:
    return [request.headers.get("Range", "") for request in server.log]


def _file(folder: Path, name: str = "x.bin") -> bytes:
    return (folder / "toy" / name).read_bytes()


def test_huggingface_hub_4196_a_new_process_begins_again(tmp_path: Path) -> None:
    first, _ = run(tmp_path, [PLAIN], lambda server: server.in_turn("x.bin", *FALLS_SILENT))
    assert list(first.put_aside) == ["x.bin"]
    second, server = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", GOOD))
    assert second.complete
    assert _ranges(server) == ["bytes=120000-"]
    assert second.bytes == len(BODY) - 120_000
    assert _file(tmp_path) == BODY


def test_huggingface_hub_4060_the_size_is_right_and_the_bytes_are_wrong(tmp_path: Path) -> None:
    report, server = run(tmp_path, [HASHED], lambda server: server.in_turn("x.bin", then(GOOD, flip_at=5), GOOD))
    assert report.complete
    assert _ranges(server) == ["", ""]  # nobody knows which piece is wrong
    wrong, server = run(tmp_path / "b", [HASHED], lambda server: server.always("x.bin", then(GOOD, flip_at=5)))
    assert "md5" in wrong.put_aside["x.bin"]
    assert len(server.log) == 2  # the same wrong bytes twice are the source's own: no third time
    assert not (tmp_path / "b" / "toy" / "x.bin").exists()


@pytest.mark.parametrize(("more", "asked"), [(0, ["bytes=300000-"]), (50_000, ["bytes=350000-", ""])])
def test_huggingface_hub_2197_a_stale_part_is_answered_with_416_for_ever(
    tmp_path: Path, more: int, asked: list[str]
) -> None:
    """A part of unknown length that is as long as the file, or longer than the file is now."""
    place = tmp_path / "toy"
    part = Part(str(place / "x.bin"), str(place / "_download" / "parts" / "x.bin.json"), {})
    part.open()
    part.begin(Record(URL, etag=f'"{MD5["md5"]}"'))
    part.write(BODY + content_of(8, more))
    part.keep()
    part.close()
    report, server = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", GOOD))
    assert report.complete
    assert _ranges(server) == asked
    assert _file(tmp_path) == BODY


def test_huggingface_hub_1498_another_size_than_announced(tmp_path: Path) -> None:
    listed = Wanted("x.bin", URL, len(BODY) - 1)
    report, _ = run(tmp_path, [listed], lambda server: server.always("x.bin", GOOD))
    assert "299,999 by its listing" in report.put_aside["x.bin"]
    assert not (tmp_path / "toy" / "x.bin").exists()
    short = then(GOOD, framing="too long")  # announces more than it has
    report, _ = run(tmp_path / "b", [PLAIN], lambda server: server.always("x.bin", short))
    assert list(report.put_aside) == ["x.bin"]
    assert not (tmp_path / "b" / "toy" / "x.bin").exists()


def test_cc_downloader_29_a_403_of_common_crawl_blocks_who_goes_on(tmp_path: Path) -> None:
    files = [Wanted(f"{i}.bin", f"https://data.commoncrawl.org/{i}.bin") for i in range(10)]

    def prepare(server: HostileServer) -> None:
        for i in range(10):
            server.always(f"{i}.bin", GOOD)
        server.in_turn("3.bin", then(GOOD, status=403), then(GOOD, status=403), then(GOOD, status=403), GOOD)

    report, server = run(tmp_path, files, prepare, connections=1)
    assert report.complete
    refusals = [i for i, request in enumerate(server.log) if request.status == 403]
    waits = [server.log[i + 1].time - server.log[i].time for i in refusals]
    assert len(waits) == 3
    assert all(wait >= least for wait, least in zip(waits, (60, 60, 60), strict=True))
    assert len(server.log) == 13  # a request each, and the three that were refused


def test_cc_net_35_the_old_host_answers_403(tmp_path: Path) -> None:
    """Where a 403 is no rate limit, it is an answer: no further attempt, and the next source."""
    wanted = Wanted("x.bin", URL, mirrors=["https://data.commoncrawl.org/new.bin"])

    def prepare(server: HostileServer) -> None:
        server.always("x.bin", then(GOOD, status=403))
        server.always("new.bin", GOOD)

    report, server = run(tmp_path, [wanted], prepare)
    assert report.complete
    assert [request.path for request in server.log] == ["x.bin", "new.bin"]


def test_aria2_1278_1279_files_are_corrupt_where_ranges_are_ignored(tmp_path: Path) -> None:
    bodies = {f"{i}.bin": content_of(100 + i, 40_000) for i in range(50)}
    cut = {name: then(Behaviour(body), cut_after=9_000, ranges=False) for name, body in bodies.items()}

    def prepare(server: HostileServer) -> None:
        for name, behaviour in cut.items():
            server.in_turn(name, behaviour, behaviour, then(behaviour, cut_after=None))

    report, _ = run(tmp_path, [Wanted(name, f"https://origin.test/{name}") for name in bodies], prepare)
    assert report.complete
    assert {name: _file(tmp_path, name) for name in bodies} == bodies


def test_aria2_next_43_200_is_answered_instead_of_206(tmp_path: Path) -> None:
    by_date = then(GOOD, if_range="date only")
    report, server = run(
        tmp_path, [PLAIN], lambda server: server.in_turn("x.bin", then(by_date, cut_after=90_000), by_date)
    )
    assert report.complete
    assert _file(tmp_path) == BODY
    assert len(server.log) == 2  # everything came with the answer to the question for the rest


def test_internetarchive_247_a_file_of_gigabytes_begins_again_for_days(tmp_path: Path) -> None:
    """Forty cuts, four times the attempts that are made without progress: every byte comes once."""
    report, server = run(
        tmp_path, [PLAIN], lambda server: server.in_turn("x.bin", *[then(GOOD, cut_after=7_500)] * 40, GOOD)
    )
    assert report.complete
    assert report.bytes == len(BODY)
    assert _ranges(server) == ["", *(f"bytes={7_500 * i}-" for i in range(1, 40))]


def test_internetarchive_487_the_checksum_of_one_file_is_wrong(tmp_path: Path) -> None:
    wrong = Wanted("meta.xml", "https://origin.test/meta.xml", None, {"md5": "0" * 32})

    def prepare(server: HostileServer) -> None:
        server.always("meta.xml", Behaviour(b"<files/>"))
        server.always("x.bin", GOOD)

    report, _ = run(tmp_path, [wrong, HASHED], prepare)
    assert (report.fetched, report.exit_code) == (1, 3)
    assert "published is 00000000" in report.put_aside["meta.xml"]
    assert _file(tmp_path) == BODY


def test_datasets_2170_a_dated_dump_is_gone(tmp_path: Path) -> None:
    report, server = run(
        tmp_path,
        [PLAIN, Wanted("y.bin", "https://origin.test/y.bin")],
        lambda server: server.always("y.bin", GOOD),
    )
    assert "not there" in report.put_aside["x.bin"]
    assert load_quarantine(str(tmp_path), "toy")["x.bin"].gone
    assert report.fetched == 1
    assert [request.path for request in server.log].count("x.bin") == 1


def test_img2dataset_62_429_for_one_file_holds_for_the_host(tmp_path: Path) -> None:
    files = [Wanted(f"{i}.bin", f"https://origin.test/{i}.bin") for i in range(40)]

    def prepare(server: HostileServer) -> None:
        for i in range(40):
            server.always(f"{i}.bin", GOOD)
        server.in_turn("9.bin", then(GOOD, status=429, retry_after="120"), GOOD)

    report, server = run(tmp_path, files, prepare, connections=4)
    assert report.complete
    [refused] = [request.time for request in server.log if request.status == 429]
    assert not [request for request in server.log if refused < request.time < refused + 120]
    assert len([request for request in server.log if request.time >= refused + 120]) >= 20


@pytest.mark.parametrize(
    ("case", "now", "resumes"),
    [
        ("the same ETag", {}, True),
        ("another ETag", {"content": content_of(9, 300_000)}, False),
        ("no ETag any more", {"etag": "none", "dated": False}, False),
        ("a weak one", {"etag": "weak"}, False),
    ],
)
def test_k0sctl_1131_only_what_has_its_validator_still_is_resumed(
    tmp_path: Path, case: str, now: dict[str, object], resumes: bool
) -> None:
    run(tmp_path, [PLAIN], lambda server: server.in_turn("x.bin", *FALLS_SILENT))
    today = then(GOOD, **now)
    report, _ = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", today))
    assert report.complete
    assert _file(tmp_path) == today.content
    assert (report.bytes < len(BODY)) is resumes


def test_gharchive_153_a_corrupt_gzip_file_without_a_checksum(tmp_path: Path) -> None:
    whole = members_of(11)
    wanted = Wanted("x.gz", "https://origin.test/x.gz", walk="gzip")
    damaged = Behaviour(whole, flip_at=len(whole) // 2)
    report, _ = run(tmp_path, [wanted], lambda server: server.in_turn("x.gz", damaged, Behaviour(whole)))
    assert report.complete
    assert _file(tmp_path, "x.gz") == whole
    report, _ = run(tmp_path / "b", [wanted], lambda server: server.always("x.gz", damaged))
    assert "damaged" in report.put_aside["x.gz"]
    assert not (tmp_path / "b" / "toy" / "x.gz").exists()


def test_files_that_were_put_aside_are_tried_by_the_next_run_without_a_word(tmp_path: Path) -> None:
    """A cron job needs no option for it."""
    clock = FakeClock()
    down = then(GOOD, status=500)
    first, _ = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", down), clock=clock)
    second, _ = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", down), clock=clock)
    assert (first.exit_code, second.exit_code) == (3, 3)
    assert load_quarantine(str(tmp_path), "toy")["x.bin"].runs == 2
    third, _ = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", GOOD), clock=clock)
    assert (third.exit_code, load_quarantine(str(tmp_path), "toy")) == (0, {})
