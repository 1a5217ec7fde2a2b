"""The engine of downloads on loopback: throughput with SHA-256 checked, beside curl and aria2c, which check nothing;
memory on a plan of many files, and of a run that fetches so many.

python scripts/bench_download.py [--megabytes 1000] [--folder /dev/shm] [--items 100000] [--small 2000]

In /dev/shm the disk is memory: there it is the programs that are measured. On a disk curl and aria2c are followed by
sync, as a file of the engine is on the disk before it has its name. Best of the rounds; processor time is the engine's
or the program's own. nginx serves where it is installed, else aiohttp.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROUNDS = 5  # in turn; the best counts: what else the machine does is not measured
_NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;
events {{}}
http {{ access_log off; sendfile on; keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {folder}/origin; location /small/ {{ return 200 "x"; }} }} }}
"""
_AIOHTTP = """
import sys
from aiohttp import web
async def small(request): return web.Response(text="x")
app = web.Application()
app.router.add_get("/small/{name}", small)
app.router.add_static("/", sys.argv[1])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None, access_log=None)
"""


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--small", type=int, default=2_000)
    parser.add_argument("--folder", default="/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir())
    parser.add_argument("--port", type=int, default=18973)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rpj-bench-", dir=given.folder) as name:
        folder = Path(name)
        folder.chmod(0o755)  # a server that was started by root reads as somebody else
        _memory(folder / "plan", given.items)
        with _server(folder, given.port) as base:
            _small(folder, base, given.small)
            _throughput(folder, base, given.megabytes)


@contextlib.contextmanager
def _server(folder: Path, port: int) -> Iterator[str]:
    (folder / "origin").mkdir()
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx:
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port))
        command = [nginx, "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]
    else:
        command = [sys.executable, "-c", _AIOHTTP, str(folder / "origin"), str(port)]
    server = subprocess.Popen(command)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{base}/small/0").close()
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        else:
            sys.exit("The server of the bench did not start.")
        print(f"server: {'nginx' if nginx else 'aiohttp'}")
        yield base
    finally:
        server.terminate()
        server.wait()


def _throughput(folder: Path, base: str, megabytes: int) -> None:
    digest = hashlib.sha256()
    with open(folder / "origin" / "x.bin", "wb") as file:
        for _ in range(megabytes):
            piece = os.urandom(1_000_000)
            digest.update(piece)
            file.write(piece)
    url, to = f"{base}/x.bin", folder / "to.bin"
    in_memory = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True).stdout == "tmpfs\n"
    ways: dict[str, Callable[[], float]] = {
        "engine": lambda: _engine(folder, url, megabytes, digest.hexdigest()),
        "curl": lambda: _other(["curl", "-s", "-f", "-o", str(to), url], to, sync=not in_memory),
        "aria2c": lambda: _other(
            ["aria2c", "-q", "-x1", "-s1", "--file-allocation=none", "-d", str(folder), "-o", to.name, url],
            to,
            sync=not in_memory,
        ),
    }
    for name in ("curl", "aria2c"):
        if shutil.which(name) is None:
            print(f"{name}: not installed, NOT COMPARED")
            del ways[name]
    best: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            used = _processor()
            seconds = way()
            best[name] = min(best.get(name, (1e9, 0.0)), (seconds, _processor() - used))
    for name, (seconds, used) in best.items():
        print(f"{name}: {megabytes / seconds:,.0f} MB/s, {used / megabytes * 1000:.2f} s of processor a GB")
    if len(best) > 1:
        fastest = min(seconds for name, (seconds, _) in best.items() if name != "engine")
        print(f"engine / faster of the others: {fastest / best['engine'][0]:.2f}")


def _processor() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _other(command: list[str], to: Path, *, sync: bool) -> float:
    to.unlink(missing_ok=True)
    begun = time.perf_counter()
    subprocess.run(command, check=True)
    if sync:
        subprocess.run(["sync", str(to)], check=True)
    return time.perf_counter() - begun


def _small(folder: Path, base: str, count: int) -> None:
    """A run that fetches so many files of a byte each."""
    from redpajama_data.download import plan
    from redpajama_data.download.client import Client
    from redpajama_data.download.fetch import Options, fetch_plan
    from redpajama_data.download.plan import Listing, Wanted

    files = (Wanted(f"{i // 1000:04d}/{i:06d}.txt", f"{base}/small/{i}", 1) for i in range(count))
    head = plan.save(str(folder / "small"), "bench", Listing("1", files), {})
    begun = time.perf_counter()
    with Client(connections=8) as client:
        report = fetch_plan(head, str(folder / "small"), Options(quiet=True), client)
    seconds = time.perf_counter() - begun
    assert report.complete, report
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"run over {count:,} small files: {count / seconds:,.0f} files/s, {peak:,.0f} MiB at most")


def _engine(folder: Path, url: str, megabytes: int, sha256: str) -> float:
    from redpajama_data.download import plan
    from redpajama_data.download.fetch import Options, fetch_plan
    from redpajama_data.download.plan import Listing, Wanted

    to = folder / "to"
    shutil.rmtree(to, ignore_errors=True)
    wanted = Wanted("x.bin", url, megabytes * 1_000_000, {"sha256": sha256})
    head = plan.save(str(to), "bench", Listing("1", [wanted]), {})
    begun = time.perf_counter()
    report = fetch_plan(head, str(to), Options(quiet=True))
    assert report.complete, report
    return time.perf_counter() - begun


def _memory(to: Path, items: int) -> None:
    """A plan of that many files, all of which are here already by their receipts, and a survey of it."""
    from redpajama_data.download import plan
    from redpajama_data.download.plan import Listing, Wanted
    from redpajama_data.download.present import survey

    files = (Wanted(f"segment/{i:06d}/file-{i:08d}.warc.wet.gz", f"https://example.org/{i}", 1) for i in range(items))
    begun = time.perf_counter()
    head = plan.save(str(to), "bench", Listing("1", files), {})
    line = (
        '{{"path":"segment/{0:06d}/file-{0:08d}.warc.wet.gz","bytes":1,"mtime_ns":1,"sha256":"{1}",'
        '"checked":"length","time":"2026"}}\n'
    )
    with open(to / "bench" / "_download" / "receipts.jsonl", "w") as out:
        out.writelines(line.format(i, "0" * 64) for i in range(items))
    survey(head, str(to))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"plan of {items:,} items, saved and surveyed: {peak:,.0f} MiB at most, {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
