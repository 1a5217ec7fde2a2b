"""A headless Chromium, driven over its own protocol: what a page says on the console, asks for, and looks like."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="NO CHROMIUM: the page was not looked at. apt-get install chromium"
)


class Page:
    """A page that is open: ``asked`` are the addresses it asked for, ``said`` what stands on its console."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0
        self._loaded = False
        self.asked: list[str] = []
        self.said: list[str] = []

    async def call(self, method: str, **given: Any) -> dict[str, Any]:
        """The answer to one command; events that come before it are noted."""
        self._last += 1
        await self._socket.send_json({"id": self._last, "method": method, "params": given})
        while True:
            message = await self._next()
            if message.get("id") == self._last:
                assert "error" not in message, message["error"]
                result: dict[str, Any] = message["result"]
                return result

    async def open(self, address: str, *, width: int, height: int = 900) -> None:
        """Open an address in a window of that size, and wait until it is loaded."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.resize(width, height)
        self._loaded = False
        await self.call("Page.navigate", url=address)
        while not self._loaded:
            await self._next()

    async def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        look = f"const look = () => ({script}) ? done(true) : requestAnimationFrame(look); look()"
        assert await self.run(f"new Promise(done => {{ {look} }})")

    async def mouse(self, kind: str, x: float, y: float) -> None:
        """Press, move or release the left button: ``mousePressed``, ``mouseMoved``, ``mouseReleased``."""
        await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str) -> None:
        """A key, down and up."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            code = {"Enter": 13, "Tab": 9}[key]
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        answer = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json(timeout=60)
        given = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(given["request"]["url"])
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.said.append(given["exceptionDetails"]["text"])
            case "Runtime.consoleAPICalled":
                self.said.append(str(given["args"]))
            case "Log.entryAdded":
                self.said.append(given["entry"]["text"])
        return message


def look(address: str, see: Callable[[Page], Awaitable[Any]], *, width: int = 1200, height: int = 900) -> Page:
    """Open an address in a window of that size and do something with it; the page, closed, with what it said and
    asked for."""

    async def all_of_it() -> Page:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            async with _opened(folder) as page:
                await page.open(address, width=width, height=height)
                await see(page)
                return page

    return asyncio.run(all_of_it())


@contextlib.asynccontextmanager
async def _opened(folder: str) -> AsyncIterator[Page]:
    """A browser with an empty page; ``folder`` is an empty one for its profile."""
    assert CHROMIUM
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *_FLAGS,
        f"--user-data-dir={folder}",
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await asyncio.wait_for(_port(process), 60)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                targets = json.loads(await answer.text())
            [target] = [each for each in targets if each["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                yield page
                with contextlib.suppress(Exception):
                    await page.call("Browser.close")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await process.wait()


async def _port(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if found := re.search(rb"ws://[^:/]+:(\d+)/", line):
            return found[1].decode()
    raise AssertionError("Chromium ended before it listened")
