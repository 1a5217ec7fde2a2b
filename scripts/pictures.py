"""The pictures of the README: the report and the map of documents of the embedded sample, as Chromium shows them.

make tour && .venv/bin/python scripts/pictures.py       # writes redpajama_data/docs/report.png and explore.png
"""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from browser import CHROMIUM, Page, look  # noqa: E402  (the tests' Chromium)

# By the picture: the page that `make tour` leaves in build/, the width and height of the window in pixels, and what to
# wait for or to show there.
PICTURES = {
    "report.png": ("report.html", 1000, 700, "(document.getElementById('slice-github').scrollIntoView(), true)"),
    "explore.png": ("explorer/explorer.html", 1100, 640, "document.body.dataset.state === 'ready'"),
}


def main() -> int:
    """Take the pictures; exit status 1 when there is no Chromium, or no page."""
    if CHROMIUM is None:
        print("No Chromium is there: apt-get install chromium", file=sys.stderr)
        return 1
    for name, (page, width, height, shown) in PICTURES.items():
        source, picture = REPOSITORY / "build" / page, REPOSITORY / "redpajama_data" / "docs" / name
        if not source.exists():
            print(f"{source} is not there: make tour", file=sys.stderr)
            return 1
        take(source, picture, width, height, shown)
        print(f"{picture.relative_to(REPOSITORY)}: {picture.stat().st_size / 1000:.0f} KB")
    return 0


def take(source: Path, picture: Path, width: int, height: int, shown: str) -> None:
    """Open a page in a window, wait until the expression ``shown`` is true, and save what is seen."""

    async def see(page: Page) -> None:
        await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        await page.until(shown)
        await page.picture(picture)

    look(source.as_uri(), see, width=width, height=height)


if __name__ == "__main__":
    sys.exit(main())
