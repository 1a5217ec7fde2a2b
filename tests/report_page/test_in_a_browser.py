"""The page in a headless Chromium: silent, asks for nothing, sorts by keyboard, fits a phone, has a dark form."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Page, look, needs_chromium

from redpajama_data.facts import READERS, facts
from redpajama_data.report_page.collect import collect
from redpajama_data.report_page.page import render

SECTIONS = (
    *("totals", "missing", "slices", "jobs", "duplicates", "overlap"),
    *("signals", "repairs", "stages", "trouble", "how"),
)
pytestmark = needs_chromium
FIRST = "document.querySelector('table[data-table=totals] tbody th').textContent"


@pytest.fixture(scope="session")
def html(reported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(collect(str(reported), facts(), READERS)))
    return path


def test_it_is_silent_asks_for_nothing_and_has_every_section(html: Path) -> None:
    async def see(page: Page) -> None:
        heights = await page.run(
            "Object.fromEntries([...document.querySelectorAll('main > section')].map(s => [s.id, s.clientHeight]))"
        )
        assert [name for name in SECTIONS if heights.get(name, 0) < 50] == []
        drawn = "[...document.querySelectorAll('figure svg, svg.bar')].every(s => s.closest('details') || "
        assert await page.run(drawn + "s.getBoundingClientRect().height > 5)")
        await page.run("document.querySelectorAll('details').forEach(d => d.open = true)")

    page = look(html.as_uri(), see, width=1280)
    assert page.said == []
    assert page.asked == [html.as_uri()]


def test_a_page_that_asks_or_complains_would_be_noticed(tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<!doctype html><img src='http://127.0.0.1:9/x.png'><script>nosuch()</script>")

    async def see(page: Page) -> None:
        await page.run("1")

    page = look(path.as_uri(), see, width=600)
    assert "http://127.0.0.1:9/x.png" in page.asked
    assert any("Uncaught" in said for said in page.said)


def test_tables_sort_by_keyboard(html: Path) -> None:
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

    assert look(html.as_uri(), see, width=1280).said == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_fits_a_window_of_any_width(html: Path, width: int) -> None:
    async def see(page: Page) -> None:
        await page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert await page.run("document.documentElement.scrollWidth") <= width
        small = "[...document.querySelectorAll('svg text')].filter(t => t.getBoundingClientRect().height > 0 && "
        assert await page.run(small + "t.getBoundingClientRect().height < 9).length") == 0

    look(html.as_uri(), see, width=width)


def test_it_has_a_dark_form_and_keeps_still_when_asked(html: Path) -> None:
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

    look(html.as_uri(), see, width=800)
