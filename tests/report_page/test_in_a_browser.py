"""The page in a headless Chromium: silent, asks for nothing, sorts by keyboard, fits a phone, has a dark form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import browser
import pytest
from browser import Page

from redpajama_data.cli.facts import facts
from redpajama_data.cli.report import READERS
from redpajama_data.report_page.collect import collect
from redpajama_data.report_page.page import render

SECTIONS = ("totals", "missing", "slices", "jobs", "duplicates", "overlap", "signals", "repairs", "trouble", "how")
FIRST = "document.querySelector('table[data-table=totals] tbody th').textContent"


@pytest.fixture(scope="session")
def html(reported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(collect(str(reported), facts(), READERS)))
    return path


def look(program: str, path: Path, folder: Path, width: int, see: Callable[[Page], Awaitable[Any]]) -> Page:
    """Open a page, and what ``see`` does with it."""

    async def all_of_it() -> Page:
        async with browser.opened(program, folder) as page:
            await page.open(path.as_uri(), width=width)
            await see(page)
            return page

    return asyncio.run(all_of_it())


@pytest.fixture(scope="session")
def program() -> str:
    found = browser.chromium()
    if found is None:
        pytest.skip("no Chromium is there: the page was not looked at in a browser (apt-get install chromium)")
    return found


def test_it_is_silent_asks_for_nothing_and_has_every_section(program: str, html: Path, tmp_path: Path) -> None:
    async def see(page: Page) -> None:
        heights = await page.run(
            "Object.fromEntries([...document.querySelectorAll('main > section')].map(s => [s.id, s.clientHeight]))"
        )
        assert [name for name in SECTIONS if heights.get(name, 0) < 50] == []
        drawn = "[...document.querySelectorAll('figure svg, svg.bar')].every(s => s.closest('details') || "
        assert await page.run(drawn + "s.getBoundingClientRect().height > 5)")
        await page.run("document.querySelectorAll('details').forEach(d => d.open = true)")

    page = look(program, html, tmp_path, 1280, see)
    assert page.said == []
    assert page.asked == [html.as_uri()]


def test_a_page_that_asks_or_complains_would_be_noticed(program: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<!doctype html><img src='http://127.0.0.1:9/x.png'><script>nosuch()</script>")

    async def see(page: Page) -> None:
        await page.run("1")

    page = look(program, path, tmp_path / "profile", 600, see)
    assert "http://127.0.0.1:9/x.png" in page.asked
    assert any("Uncaught" in said for said in page.said)


def test_tables_sort_by_keyboard(program: str, html: Path, tmp_path: Path) -> None:
    async def see(page: Page) -> None:
        assert await page.run(FIRST) == "common_crawl"
        await page.run("document.querySelectorAll('table[data-table=totals] th button')[4].focus()")  # tokens
        await page.press("Enter")
        sort = "document.querySelectorAll('table[data-table=totals] th')[4].getAttribute('aria-sort')"
        assert (await page.run(FIRST), await page.run(sort)) == ("books", "descending")
        await page.press("Enter")
        assert (await page.run(FIRST) != "books", await page.run(sort)) == (True, "ascending")
        await page.press("Enter")
        assert (await page.run(FIRST), await page.run(sort)) == ("common_crawl", None)
        await page.press("Tab")
        await page.press("Enter")
        assert await page.run("document.activeElement.textContent") == "share"
        assert await page.run(FIRST) == "books"

    assert look(program, html, tmp_path, 1280, see).said == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_fits_a_window_of_any_width(program: str, html: Path, tmp_path: Path, width: int) -> None:
    async def see(page: Page) -> None:
        await page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert await page.run("document.documentElement.scrollWidth") <= width
        small = "[...document.querySelectorAll('svg text')].filter(t => t.getBoundingClientRect().height > 0 && "
        assert await page.run(small + "t.getBoundingClientRect().height < 9).length") == 0

    look(program, html, tmp_path, width, see)


def test_it_has_a_dark_form_and_keeps_still_when_asked(program: str, html: Path, tmp_path: Path) -> None:
    async def see(page: Page) -> None:
        colours = []
        for scheme, motion in (("light", "no-preference"), ("dark", "reduce")):
            features = [
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": motion},
            ]
            await page.call("Emulation.setEmulatedMedia", features=features)
            style = "getComputedStyle(document.body)"
            colours.append(await page.run(f"[{style}.backgroundColor, {style}.color]"))
            still = await page.run("getComputedStyle(document.documentElement).scrollBehavior")
            assert still == {"light": "smooth", "dark": "auto"}[scheme]
        assert colours[0][0] != colours[1][0]
        assert colours[0][1] != colours[1][1]

    look(program, html, tmp_path, 800, see)
