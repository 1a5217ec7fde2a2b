"""Chromium without a window, driven over its own protocol: what a page shows, says on its console, and asks for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_PATIENCE = 90  # seconds, for a busy machine


class Page:
    """A page. ``complaints`` are errors and warnings of its console, ``requests`` all addresses it asked for."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._listener = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(said["params"]["exceptionDetails"])[:500])
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] in ("error", "warning"):
                self.complaints.append(said["params"]["entry"]["text"])
            elif said["method"] == "Runtime.consoleAPICalled":
                self.complaints.append(json.dumps(said["params"]["args"])[:500])
            elif said["method"] == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])

    async def call(self, method: str, **params: Any) -> Any:
        """A command of the protocol, and its result."""
        self._last += 1
        self._waiting[self._last] = answer = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._last, "method": method, "params": params})
        said = await asyncio.wait_for(answer, _PATIENCE)
        assert "error" not in said, said
        return said["result"]

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        given = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in given, given
        return given["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        look = f"const look = () => ({script}) ? done(true) : requestAnimationFrame(look); look()"
        assert await self.run(f"new Promise(done => {{ {look} }})")

    async def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Move, press or release the left button."""
        await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1, **more)

    async def screenshot(self, path: Path) -> None:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode((await self.call("Page.captureScreenshot"))["data"]))


def look(url: str, steps: Callable[[Page], Awaitable[None]], *, width: int = 1200, height: int = 800) -> None:
    """Open a page and do something with it."""
    asyncio.run(_look(url, steps, width, height))


async def _look(url: str, steps: Callable[[Page], Awaitable[None]], width: int, height: int) -> None:
    assert CHROMIUM
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *_FLAGS,
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr
            port = ""
            while not port:
                line = (await asyncio.wait_for(process.stderr.readline(), _PATIENCE)).decode()
                assert line, "chromium ended"
                port = line.split("127.0.0.1:")[1].split("/")[0] if "DevTools listening" in line else ""
            drain = asyncio.ensure_future(process.stderr.read())
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    target = next(one for one in await answer.json() if one["type"] == "page")
                async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=1 << 28) as socket:
                    page = Page(socket)
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await page.call(f"{domain}.enable")
                    await page.call("Page.navigate", url=url)
                    ready = "document.readyState === 'complete' && document.body.dataset.state !== 'loading'"
                    await page.until(f"location.href !== 'about:blank' && {ready}")
                    await steps(page)
            drain.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
