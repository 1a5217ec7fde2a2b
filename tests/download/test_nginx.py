"""Against nginx, as hosts run it: real ranges and real limits. Skipped where Debian's nginx is not installed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from schedules import Killed, killed_after
from trial import content_of

from redpajama_data.download import plan
from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client
from redpajama_data.download.fetch import FetchReport, Options, fetch_async
from redpajama_data.download.hosts import Clock
from redpajama_data.download.parts import Part, Record
from redpajama_data.download.plan import Listing, Wanted

BODY = content_of(21, 3_000_000)
_CONFIG = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  log_format asked '$uri $status "$http_range" "$http_if_range" $body_bytes_sent';
  access_log {folder}/access.log asked;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  gzip on; gzip_types *; gzip_min_length 1;
  limit_conn_zone $binary_remote_addr zone=connections:1m;
  limit_req_zone $binary_remote_addr zone=requests:1m rate=20r/s;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/www;
    location /one/ {{ alias {folder}/www/; limit_conn connections 1; limit_rate 3m; }}
    location /few/ {{ alias {folder}/www/; limit_req zone=requests; limit_req_status 429; }}
    location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
  }}
}}
"""


class FastClock(Clock):
    """A second of it is 5 ms: the waits are true ones, in proportion."""

    faster = 200.0

    def now(self) -> float:
        return time.monotonic() * self.faster

    async def until(self, when: float) -> None:
        while (left := when - self.now()) > 0:
            await asyncio.sleep(left / self.faster)


@dataclass
class Nginx:
    """A server that runs: its address, what it serves, what it was asked."""

    base: str
    www: Path
    log: Path

    def lines(self) -> list[str]:
        """The requests so far: path, status, Range, If-Range, bytes."""
        return self.log.read_text().splitlines()


@pytest.fixture
def nginx() -> Iterator[Nginx]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="rpj-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # a server that was started by root reads as somebody else
        (folder / "www").mkdir()
        (folder / "nginx.conf").write_text(_CONFIG.format(folder=folder, port=port))
        server = subprocess.Popen([program, "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
        try:
            while not _answers(port):
                assert server.poll() is None, (folder / "error.log").read_text()
            yield Nginx(f"http://127.0.0.1:{port}", folder / "www", folder / "access.log")
        finally:
            server.terminate()
            server.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def fetch(
    nginx: Nginx, to: Path, files: list[Wanted], connections: int | None = None, calls: int | None = None
) -> FetchReport:
    """One run over these files of the server, killed at its disk call of number ``calls``."""
    head = plan.save(str(to), "toy", Listing("v", files), {})

    async def work() -> FetchReport:
        client = Client(Addresses({"origin.test": nginx.base}), clock=FastClock(), seed=1, connections=connections)
        try:
            return await fetch_async(head, str(to), Options(quiet=True), client)
        finally:
            await client.close()

    with contextlib.nullcontext() if calls is None else killed_after(calls, halfway=False):
        return asyncio.run(work())


def wanted(name: str = "x.txt", at: str = "") -> Wanted:
    return Wanted(name, f"https://origin.test/{at}{name}")


def test_a_killed_run_goes_on_with_a_range(nginx: Nginx, tmp_path: Path) -> None:
    (nginx.www / "x.txt").write_bytes(BODY)
    os.utime(nginx.www / "x.txt", (1e9, 1e9))
    with pytest.raises(Killed):
        fetch(nginx, tmp_path, [wanted()], calls=5)
    had = (tmp_path / "toy" / "x.txt.part").stat().st_size
    assert 0 < had < len(BODY)
    report = fetch(nginx, tmp_path, [wanted()])
    assert report.complete
    assert report.bytes == len(BODY) - had
    assert (tmp_path / "toy" / "x.txt").read_bytes() == BODY
    assert nginx.lines()[-1].startswith(f'/x.txt 206 "bytes={had}-" "\\x22')  # and with the ETag that it had


def test_a_file_that_changed_meanwhile_comes_whole(nginx: Nginx, tmp_path: Path) -> None:
    (nginx.www / "x.txt").write_bytes(BODY)
    os.utime(nginx.www / "x.txt", (1e9, 1e9))
    with pytest.raises(Killed):
        fetch(nginx, tmp_path, [wanted()], calls=5)
    other = content_of(22, len(BODY))
    (nginx.www / "x.txt").write_bytes(other)
    assert fetch(nginx, tmp_path, [wanted()]).complete
    assert (tmp_path / "toy" / "x.txt").read_bytes() == other
    assert nginx.lines()[-1].startswith('/x.txt 200 "bytes=')


@pytest.mark.parametrize(("more", "statuses"), [(0, ["416"]), (10, ["416", "200"])])
def test_416_is_the_end_or_a_new_beginning(nginx: Nginx, tmp_path: Path, more: int, statuses: list[str]) -> None:
    """nginx answers 416 without an ETag; a published hash tells that the part is the file."""
    (nginx.www / "x.txt").write_bytes(BODY)
    place, checks = tmp_path / "toy", {"sha256": hashlib.sha256(BODY).hexdigest()}
    part = Part(str(place / "x.txt"), str(place / "_download" / "parts" / "x.txt.json"), checks)
    part.open()
    part.begin(Record("https://origin.test/x.txt"))
    part.write(BODY + bytes(more))
    part.keep()
    part.close()
    assert fetch(nginx, tmp_path, [Wanted("x.txt", "https://origin.test/x.txt", None, checks)]).complete
    assert (place / "x.txt").read_bytes() == BODY
    assert [line.split()[1] for line in nginx.lines()] == statuses


def test_a_limit_of_connections_is_kept_or_waited_for(nginx: Nginx, tmp_path: Path) -> None:
    names = [f"{i}.txt" for i in range(4)]
    for name in names:
        (nginx.www / name).write_bytes(BODY[:300_000])
    files = [wanted(name, "one/") for name in names]
    assert fetch(nginx, tmp_path / "one", files, connections=1).complete
    assert {line.split()[1] for line in nginx.lines()} == {"200"}
    before = len(nginx.lines())
    assert fetch(nginx, tmp_path / "two", files, connections=3).complete
    assert {line.split()[1] for line in nginx.lines()[before:]} == {"200", "503"}
    assert len(nginx.lines()) - before < 20  # a few refusals, and no storm of them
    for name in names:
        assert (tmp_path / "two" / "toy" / name).read_bytes() == BODY[:300_000]


def test_a_limit_of_requests_slows_the_run_and_fails_no_file(nginx: Nginx, tmp_path: Path) -> None:
    names = [f"{i}.txt" for i in range(20)]
    for name in names:
        (nginx.www / name).write_bytes(BODY[:10_000])
    assert fetch(nginx, tmp_path, [wanted(name, "few/") for name in names], connections=4).complete
    statuses = [line.split()[1] for line in nginx.lines()]
    assert statuses.count("200") == 20
    assert 0 < statuses.count("429") < 20


def test_what_is_packed_on_the_way_is_asked_for_as_it_is(nginx: Nginx, tmp_path: Path) -> None:
    text = b"the same words " * 10_000
    (nginx.www / "x.txt").write_bytes(text)
    (nginx.www / "y.txt").write_bytes(text)
    report = fetch(nginx, tmp_path, [wanted(), wanted("y.txt", "moved/"), wanted("absent.txt")])
    assert list(report.put_aside) == ["absent.txt"]
    for name in ("x.txt", "y.txt"):
        assert (tmp_path / "toy" / name).read_bytes() == text
