"""The sources in miniature on loopback, and a whole reproduction over them: ``python -m tests.download.offline DIR``.

In DIR it writes ``rpj.yaml``, with the address of every host, and runs `rpj download --all`, `rpj run --all` and
`rpj count-tokens` there, as a user would. No network is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from redpajama_data import sample
from redpajama_data.download.addresses import PREFIX
from tests.download import miniatures
from tests.download.miniatures import Site

HOSTS = (
    "data.commoncrawl.org", "huggingface.co", "storage.googleapis.com", "dumps.wikimedia.org",
    "dumps.wikimedia.your.org", "archive.org", "gutenberg.pglaf.org",
)  # fmt: skip
BUCKETS = ("arxiv",)
COMMANDS = (
    ("download", "--all", "--accept-licence", "arxiv", "--accept-cost", "1"),
    ("run", "--all"),
    ("count-tokens",),
)
ACCOUNT = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}  # who asks pays, so somebody must ask


class Offline:
    """A server for a :class:`Site`: ``http://127.0.0.1:PORT/<host>/x`` is ``https://<host>/x``, or ``s3://<host>/x``.

    Ranges as in RFC 9110, with ETags; an object of S3 only to who pays. ``log`` has (host, path, range) of each
    request.
    """

    def __init__(self, site: Site) -> None:
        self.site, self.log, self.base = site, list[tuple[str, str, str]](), ""

    async def answer(self, request: web.Request) -> web.Response:
        """One request."""
        _, host, path = request.raw_path.split("/", 2)
        self.log.append((host, path, request.headers.get("Range", "")))
        if host in BUCKETS:
            found = self.site.find(f"s3://{host}/{path.partition('?')[0]}")
            if request.headers.get("x-amz-request-payer") != "requester":
                return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        else:
            found = self.site.find(f"https://{host}/{path}")
        if found is None:
            return web.Response(status=404)
        etag = f'"{hashlib.md5(found.body).hexdigest()}"'
        headers = {**found.headers, "ETag": etag, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if not asked or request.headers.get("If-Range", etag) != etag:
            return web.Response(body=found.body, headers=headers)
        first, size = int(asked[1]), len(found.body)
        if first >= size:
            return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        return web.Response(status=206, body=found.body[first:], headers=headers)

    @contextlib.contextmanager
    def running(self) -> Iterator[Offline]:
        """Serve in a thread while the block runs."""
        loop = asyncio.new_event_loop()

        async def start() -> web.ServerRunner:
            runner = web.ServerRunner(web.Server(self.answer))  # type: ignore[arg-type]
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.base = "http://{}:{}".format(*runner.addresses[0][:2])
            return runner

        runner = loop.run_until_complete(start())
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    def addresses(self) -> dict[str, str]:
        """For ``addresses:`` of a configuration."""
        return {host: f"{self.base}/{host}" for host in HOSTS} | dict.fromkeys(BUCKETS, self.base)


def whole_site(folder: Path) -> Site:
    """Every source over the files of the sample, without those that the sample breaks on purpose."""
    sample.build(folder)
    site = Site()
    miniatures.whole(site, folder)
    return site


def configuration(addresses: Mapping[str, str]) -> dict[str, Any]:
    """``rpj.yaml`` for the miniatures: where hosts are asked, what of a source is there, the sample's small models."""
    from redpajama_data.sample.common_crawl import model_paths

    paths = model_paths()
    models = {"lm_dir": os.path.dirname(paths["en.arpa.bin"]), "classifier": str(paths["wikiref.bin"])}
    return {
        "addresses": dict(addresses),
        "download": {"common_crawl": {"dumps": ["2022-05", "2023-06"], "shards": 0}, "github": {"bucket": "mine"}},
        "slices": {"common_crawl": models, "wikipedia": {"languages": ["de", "en"]}},
    }


def main(folder: str) -> int:
    """The whole reproduction in ``folder``, which is emptied first."""
    place = Path(folder)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with Offline(whole_site(place / "origin")).running() as server:
        text = yaml.safe_dump(configuration(server.addresses()), sort_keys=False)
        (place / "rpj.yaml").write_text(text)
        for command in COMMANDS:
            print(f"\n$ rpj {' '.join(command)}", flush=True)
            done = subprocess.run(
                [sys.executable, "-m", "redpajama_data", *command], cwd=place, env={**environment, **ACCOUNT}
            )
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
