"""Whatever a server does, a file that is there equals the origin; what cannot be had is named, and the rest goes on."""

from __future__ import annotations

import asyncio
import base64
import bz2
import email.utils
import gzip
import hashlib
import io
import itertools
import re
import tarfile
import time
from pathlib import Path

import pytest
from hostile_server import EPOCH, Behaviour, FakeClock, HostileServer, then
from trial import content_of, members_of, run

from redpajama_data.download import content, direct, plan, walks
from redpajama_data.download.content import WrongContent
from redpajama_data.download.fetch import Options, fetch_plan
from redpajama_data.download.hosts import Hosts, Hours, Rate
from redpajama_data.download.plan import Listing, Wanted
from redpajama_data.download.receipts import Receipt, load_quarantine, verify
from redpajama_data.errors import RootInUse, UsageError
from redpajama_data.io.lock import hold

BODY = content_of(1, 200_000)
GOOD = Behaviour(BODY)
URL = "https://origin.test/x.bin"
MD5 = {"md5": hashlib.md5(BODY).hexdigest()}
PLAIN, SIZED, HASHED = Wanted("x.bin", URL), Wanted("x.bin", URL, len(BODY)), Wanted("x.bin", URL, len(BODY), MD5)
CUT = then(GOOD, cut_after=70_000)
OTHER = then(CUT, content=content_of(2, 200_000))


# what happens before the good answers, with the plan's knowledge of the file: it must come whole
COMES = {
    "at once": (PLAIN, []),
    "cut": (PLAIN, [CUT, then(GOOD, cut_after=60_000)]),
    "stalled": (PLAIN, [then(GOOD, stall_after=50_000)]),
    "no ranges": (PLAIN, [then(CUT, ranges=False), then(GOOD, ranges=False)]),
    "ranges shifted": (PLAIN, [CUT, then(GOOD, content_range="shifted")]),
    "no Content-Range": (PLAIN, [CUT, then(GOOD, content_range="absent")]),
    "another total": (PLAIN, [CUT, then(GOOD, content_range="other total")]),
    "short ranges": (PLAIN, [CUT, then(GOOD, short_range=40_000), then(GOOD, short_range=40_000)]),
    "weak ETag": (PLAIN, [then(CUT, etag="weak"), then(GOOD, etag="weak")]),
    "no validator": (PLAIN, [then(CUT, etag="none", dated=False), then(GOOD, etag="none", dated=False)]),
    "flapping ETag": (PLAIN, [then(CUT, etag="flapping"), then(GOOD, etag="flapping")]),
    "flapping, hash known": (HASHED, [then(CUT, etag="flapping"), then(GOOD, etag="flapping", if_range="ignored")]),
    "If-Range by date only": (PLAIN, [CUT, then(GOOD, if_range="date only")]),
    "403 of the rate limit": (
        Wanted("x.bin", "https://data.commoncrawl.org/x.bin"),
        [then(GOOD, status=403), then(GOOD, status=403)],
    ),
    "429": (PLAIN, [then(GOOD, status=429, retry_after="7")]),
    "503 with a date": (PLAIN, [then(GOOD, status=503, retry_after=email.utils.formatdate(EPOCH + 1090, usegmt=True))]),
    "503 with nonsense": (PLAIN, [then(GOOD, status=503, retry_after="soon")]),
    "500": (PLAIN, [then(GOOD, status=500), then(GOOD, status=502)]),
    "no length, chunked": (PLAIN, [then(GOOD, framing="chunked", cut_after=50_000), then(GOOD, framing="chunked")]),
    "no length, size known": (SIZED, [then(GOOD, framing="none", cut_after=50_000), then(GOOD, framing="none")]),
    "too short a length": (SIZED, [then(GOOD, framing="too short")]),
    "too long a length": (PLAIN, [then(GOOD, framing="too long"), then(GOOD, ranges=False)]),
    "HTML with 200": (PLAIN, [then(GOOD, html=True)]),
    "changed between attempts": (PLAIN, [OTHER]),
    "changed, If-Range ignored": (PLAIN, [OTHER, then(GOOD, if_range="ignored")]),
    "changed, no validator": (
        PLAIN,
        [then(OTHER, etag="none", dated=False), then(GOOD, etag="none", dated=False, if_range="ignored")],
    ),
    "changed within the second": (
        PLAIN,
        [then(OTHER, etag="none", just_modified=True), then(GOOD, etag="none", just_modified=True)],
    ),
    "ticket expires": (PLAIN, [then(CUT, redirect="once"), then(GOOD, redirect="once")]),
    "flipped byte": (HASHED, [then(GOOD, flip_at=1234)]),
    "wrong encoding": (PLAIN, [then(GOOD, content_encoding="gzip")]),
}  # fmt: skip


@pytest.mark.parametrize("way", ["as aiohttp has it", "from the socket"])
@pytest.mark.parametrize("case", COMES)
def test_a_file_comes_whole_whatever_the_server_does_first(
    tmp_path: Path, case: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "from the socket":
        monkeypatch.setattr(direct, "LEAST", 1)
    wanted, first = COMES[case]
    last = then(first[-1] if first and first[-1].framing == "none" else GOOD, cut_after=None)
    report, server = run(tmp_path, [wanted], lambda server: server.in_turn("x.bin", *first, last))
    assert not report.put_aside
    assert report.complete
    assert (tmp_path / "toy" / "x.bin").read_bytes() == BODY
    [receipt] = verify(str(tmp_path), "toy")
    assert isinstance(receipt, Receipt)
    assert receipt.sha256 == hashlib.sha256(BODY).hexdigest()
    assert receipt.checked == ("md5" if wanted.checks else "length")
    assert not list((tmp_path / "toy").rglob("*.part"))
    assert not list((tmp_path / "toy" / "_download" / "parts").rglob("*.json"))
    agent = server.log[0].headers["User-Agent"]
    assert agent.startswith("rpj/")
    assert "tests" in agent


GZ = members_of(5)
NEVER = {
    "not there": (PLAIN, then(GOOD, status=404), "not there"),
    "refused": (PLAIN, then(GOOD, status=403), "refused"),
    "always HTML": (PLAIN, then(GOOD, html=True), "HTML page"),
    "an error document of another size": (SIZED, then(GOOD, content=b"<Error>Expired</Error>"), "by its listing"),
    "other bytes": (HASHED, then(GOOD, flip_at=99), "md5"),
    "another size": (Wanted("x.bin", URL, 5), GOOD, "by its listing"),
    "no end to be seen": (PLAIN, then(GOOD, framing="none"), "does not say how long"),
    "always cut at the same byte": (PLAIN, then(GOOD, cut_after=0), "ended|ClientPayload|Disconnected|Connection"),
    "gzip damaged": (Wanted("x.bin", URL, walk="gzip"), then(GOOD, content=GZ, flip_at=9000), "damaged"),
    "gzip cut in a member": (Wanted("x.bin", URL, walk="gzip"), then(GOOD, content=GZ[:-9]), "middle of stream"),
}


@pytest.mark.parametrize("case", NEVER)
def test_what_is_not_the_file_is_never_there_and_the_rest_goes_on(tmp_path: Path, case: str) -> None:
    wanted, behaviour, reason = NEVER[case]

    def prepare(server: HostileServer) -> None:
        server.always("x.bin", behaviour)
        server.always("y.bin", GOOD)

    report, _ = run(tmp_path, [wanted, Wanted("y.bin", "https://origin.test/y.bin")], prepare)
    assert report.exit_code == 3
    assert list(report.put_aside) == ["x.bin"]
    assert re.search(reason, report.put_aside["x.bin"]), report.put_aside
    assert not (tmp_path / "toy" / "x.bin").exists()
    assert (tmp_path / "toy" / "y.bin").read_bytes() == BODY
    assert load_quarantine(str(tmp_path), "toy")["x.bin"].runs == 1
    # the next run tries it again
    again, _ = run(tmp_path, [then_plan(wanted, behaviour)], lambda server: server.always("x.bin", _mended(wanted)))
    assert again.complete
    assert not load_quarantine(str(tmp_path), "toy")


def then_plan(wanted: Wanted, behaviour: Behaviour) -> Wanted:
    """The plan made again after the source was mended."""
    return Wanted("x.bin", URL, None, wanted.checks, walk=wanted.walk)


def _mended(wanted: Wanted) -> Behaviour:
    return then(GOOD, content=GZ) if wanted.walk == "gzip" else GOOD


def test_a_cut_between_two_members_of_a_gzip_file_is_seen_by_its_length(tmp_path: Path) -> None:
    first = len(gzip.compress(content_of(5, 4000), mtime=0))
    behaviours = [then(GOOD, content=GZ, cut_after=first, ranges=False), then(GOOD, content=GZ, framing="none")]

    def prepare(server: HostileServer) -> None:
        server.in_turn("a.gz", behaviours[0], then(GOOD, content=GZ))
        server.always("b.gz", then(behaviours[1], cut_after=first))

    files = [Wanted(name, f"https://origin.test/{name}", walk="gzip") for name in ("a.gz", "b.gz")]
    report, _ = run(tmp_path, files, prepare)
    assert (tmp_path / "toy" / "a.gz").read_bytes() == GZ
    assert list(report.put_aside) == ["b.gz"]


def test_a_mirror_gives_what_the_origin_does_not(tmp_path: Path) -> None:
    wanted = Wanted("x.bin", URL, len(BODY), MD5, mirrors=["https://mirror.test/copy.bin"])

    def prepare(server: HostileServer) -> None:
        server.always("x.bin", then(GOOD, status=404))
        server.always("copy.bin", GOOD)

    report, _ = run(tmp_path, [wanted], prepare)
    assert report.complete


def test_a_token_goes_to_the_host_of_the_url_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_TOKEN", "secret")
    wanted = Wanted("x.bin", URL, len(BODY), MD5, mirrors=["https://mirror.test/copy.bin"], token="TOY_TOKEN")

    def prepare(server: HostileServer) -> None:
        server.always("x.bin", then(GOOD, status=404))
        server.always("copy.bin", GOOD)

    _, server = run(tmp_path, [wanted], prepare)
    assert [(r.path, r.headers.get("Authorization")) for r in server.log] == [
        ("x.bin", "Bearer secret"),
        ("copy.bin", None),
    ]
    assert "secret" not in (tmp_path / "toy" / "_download" / "files.jsonl").read_text()


def test_what_is_here_is_not_asked_for_again(tmp_path: Path) -> None:
    report, server = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", GOOD), runs=3)
    assert (report.here, report.fetched, len(server.log)) == (1, 0, 1)


def test_a_touched_file_is_known_by_its_bytes_and_a_damaged_one_fetched_again(tmp_path: Path) -> None:
    run(tmp_path, [PLAIN], lambda server: server.always("x.bin", GOOD))
    path = tmp_path / "toy" / "x.bin"
    path.write_bytes(BODY)
    report, server = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", GOOD))
    assert (report.here, server.log) == (1, [])
    path.write_bytes(BODY[:-1])
    assert [each.what for each in verify(str(tmp_path), "toy") if not isinstance(each, Receipt)] == ["size"]
    report, server = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", GOOD))
    assert path.read_bytes() == BODY
    path.unlink()
    assert [each.what for each in verify(str(tmp_path), "toy") if not isinstance(each, Receipt)] == ["missing"]


def test_a_file_placed_by_hand_is_checked_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "x.bin").write_bytes(b"mine")
    report, server = run(tmp_path, [HASHED], lambda server: server.always("x.bin", GOOD))
    assert "there already" in report.put_aside["x.bin"]
    assert (tmp_path / "toy" / "x.bin").read_bytes() == b"mine"
    (tmp_path / "toy" / "x.bin").write_bytes(BODY)
    report, server = run(tmp_path, [HASHED], lambda server: server.always("x.bin", GOOD))
    assert (report.complete, server.log) == (True, [])


def test_a_stale_part_neither_ends_in_416_for_ever_nor_in_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "x.bin.part").write_bytes(content_of(9, 300_000))  # of another downloader: longer than the file
    report, server = run(tmp_path, [PLAIN], lambda server: server.always("x.bin", GOOD))
    assert report.complete
    assert "Range" not in server.log[0].headers
    assert (folder / "x.bin").read_bytes() == BODY


# ---------------------------------------------------------------------------------------------- manners


def all_of(server: HostileServer, count: int, behaviour: Behaviour) -> None:
    for i in range(count):
        server.always(f"{i}.bin", behaviour)


def _gaps(server: HostileServer) -> list[float]:
    times = sorted(request.time for request in server.log)
    return [b - a for a, b in itertools.pairwise(times)]


def test_a_host_is_asked_no_faster_and_by_no_more_than_its_manners_allow(tmp_path: Path) -> None:
    files = [Wanted(f"{i}.bin", f"https://data.commoncrawl.org/{i}.bin") for i in range(12)]
    report, server = run(tmp_path, files, lambda s: all_of(s, 12, GOOD))
    assert report.complete
    assert max(request.at_once for request in server.log) <= 4
    one, server = run(tmp_path / "one", files, lambda s: all_of(s, 12, GOOD), connections=1)
    assert one.complete
    assert min(_gaps(server)) >= 1.0


def test_requests_that_wait_for_a_host_start_apart_however_many_connections_it_allows() -> None:
    clock = FakeClock()
    host = Hosts(clock, connections=4).of("data.commoncrawl.org")
    starts: list[float] = []

    async def one() -> None:
        async with host.slot():
            starts.append(clock.now())

    async def all_at_once() -> None:
        await asyncio.gather(*(one() for _ in range(20)))

    asyncio.run(all_at_once())
    assert [b - a for a, b in itertools.pairwise(starts)] == [1.0] * 19


@pytest.mark.parametrize(
    ("status", "retry_after", "at_least"),
    [
        *((403, "", 60), (503, "120", 120), (429, "0", 60), (503, "-5", 60), (503, "Tue, 99 Foo", 60)),
        (429, email.utils.formatdate(EPOCH + 1000 + 300, usegmt=True), 290),
    ],
)
def test_one_refusal_pauses_the_whole_host(tmp_path: Path, status: int, retry_after: str, at_least: float) -> None:
    files = [Wanted(f"{i}.bin", f"https://data.commoncrawl.org/{i}.bin") for i in range(6)]

    def prepare(server: HostileServer) -> None:
        for i in range(6):
            server.always(f"{i}.bin", GOOD)
        server.in_turn("0.bin", then(GOOD, status=status, retry_after=retry_after), GOOD)

    report, server = run(tmp_path, files, prepare, connections=1)
    assert report.complete
    refused = next(i for i, request in enumerate(server.log) if request.status == status)
    assert server.log[refused + 1].time - server.log[refused].time >= at_least


def test_a_host_that_has_no_requests_left_is_waited_for(tmp_path: Path) -> None:
    files = [Wanted(f"{i}.bin", f"https://origin.test/{i}.bin") for i in range(2)]
    used_up = then(GOOD, headers={"RateLimit": '"resolvers";r=0;t=55'})
    report, server = run(tmp_path, files, lambda s: all_of(s, 2, used_up), connections=1)
    assert report.complete
    assert min(_gaps(server)) >= 55


def test_a_host_that_asks_for_a_day_is_left_alone_until_then(tmp_path: Path) -> None:
    files = [Wanted(f"{i}.bin", f"https://origin.test/{i}.bin") for i in range(5)]
    clock = FakeClock()
    away = then(GOOD, status=429, retry_after="86400")

    def prepare(server: HostileServer) -> None:
        for i in range(5):
            server.in_turn(f"{i}.bin", away, GOOD)

    report, server = run(tmp_path, files, prepare, clock=clock, connections=1, runs=2)
    assert len(server.log) == 1
    assert report.exit_code == 3
    clock.time += 86500
    report, _ = run(tmp_path, files, lambda s: all_of(s, 5, GOOD), clock=clock)
    assert report.complete


def test_a_host_that_is_down_is_not_asked_for_every_file(tmp_path: Path) -> None:
    files = [Wanted(f"{i}.bin", f"https://origin.test/{i}.bin") for i in range(100)]
    down = then(GOOD, status=500)
    report, server = run(tmp_path, files, lambda s: all_of(s, 100, down))
    assert report.exit_code == 3
    assert report.left > 70
    assert len(server.log) < 200


def test_limits_of_bytes_rate_and_hours(tmp_path: Path) -> None:
    files = [Wanted(f"{i}.bin", f"https://origin.test/{i}.bin", len(BODY)) for i in range(5)]
    options = Options(max_bytes=500_000, rate=50_000, quiet=True)
    clock = FakeClock()
    report, _ = run(tmp_path, files, lambda s: all_of(s, 5, GOOD), options=options, clock=clock)
    assert (report.fetched, report.left, report.exit_code) == (2, 3, 0)
    assert clock.time - 1000 >= 400_000 / 50_000 - 2
    with pytest.raises(UsageError):
        Hours("9 to 5", clock)
    with pytest.raises(UsageError):
        Rate(0, clock)


def test_hours_of_the_night(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(time, "localtime", time.gmtime)
    night = Hours("22-06", clock)
    day = clock.wall() // 86400 * 86400
    for hour, seconds in ((23, 0), (0, 0), (5.99, 0), (6, 16 * 3600), (21, 3600)):
        clock.time = day + hour * 3600 - EPOCH
        assert night.closed_for() == pytest.approx(seconds, abs=1)


def test_two_runs_cannot_fetch_into_one_folder(tmp_path: Path) -> None:
    head = plan.save(str(tmp_path), "toy", Listing("v", [PLAIN]), {})
    with hold(plan.folder(str(tmp_path), "toy")), pytest.raises(RootInUse, match="--to"):
        fetch_plan(head, str(tmp_path))


# ---------------------------------------------------------------------------------------------- content


def _tar(end: bool = True) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for i in range(3):
            info = tarfile.TarInfo(f"{i}.gz")
            info.size = 1000
            tar.addfile(info, io.BytesIO(content_of(i, 1000)))
    size = 3 * (512 + 1024)
    return out.getvalue() if end else out.getvalue()[:size]


WALKS = {
    "gzip": (GZ, GZ + b"\0" * 512, [GZ[:-1], GZ[:-1] + bytes([GZ[-1] ^ 1]), GZ + b"x", b"\0" * 99, b""]),
    "bz2": (
        bz2.compress(b"a" * 999) + bz2.compress(b"b"),
        bz2.compress(b"a"),
        [bz2.compress(b"a")[:-1], bz2.compress(b"a") + b"junk"],
    ),
    "tar": (_tar(), _tar(), [_tar(end=False), _tar()[:700], b""]),
    "xml": (b"<a><b/></a>", b"<a/>\n", [b"<a><b/>", b"<a/><b/>", b""]),
}


@pytest.mark.parametrize("kind", WALKS)
def test_a_walk_goes_to_the_last_byte(tmp_path: Path, kind: str) -> None:
    good, also_good, bad = WALKS[kind]
    path = tmp_path / "file"
    for data in (good, also_good):
        path.write_bytes(data)
        walks.walk(str(path), kind)
    for data in bad:
        path.write_bytes(data)
        with pytest.raises(WrongContent):
            walks.walk(str(path), kind)


def test_published_hashes_of_every_kind_are_held_against_the_bytes() -> None:
    checks = {name: hashlib.new(name, BODY).hexdigest() for name in ("sha256", "sha1", "md5")}
    checks["crc32c"] = base64.b64encode((0xE3069283).to_bytes(4, "big")).decode()  # of "123456789", RFC 3720
    digests = content.Digests({"crc32c": checks.pop("crc32c")})
    digests.update(b"123456789")
    assert digests.check() == "crc32c"
    digests = content.Digests(checks)
    digests.update(BODY)
    assert digests.check() == "md5+sha1+sha256"
    digests.update(b"x")
    with pytest.raises(WrongContent):
        digests.check()
