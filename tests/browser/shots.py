"""Pictures of pages for people to look at, and one sheet that shows them all."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from browsing import until
from playwright.sync_api import Page, ViewportSize

DESK: ViewportSize = {"width": 1280, "height": 860}
WIDE_DESK: ViewportSize = {"width": 1600, "height": 950}
PHONE: ViewportSize = {"width": 390, "height": 844}
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
SHEET = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Pictures of the pages</title>
<style>
  body {{ font: 14px sans-serif; margin: 1rem; display: flex; flex-wrap: wrap; gap: 1rem; }}
  h1 {{ flex-basis: 100%; margin: 0; }}
  figure {{ margin: 0; }}
  img {{ height: 22rem; max-width: 40rem; object-fit: cover; object-position: top left; }}
  img {{ border: 1px solid #ccc; }}
</style>
<h1>{count} pictures of the pages, as the tests saw them</h1>
{figures}
"""
FIGURE = """\
<figure><a href="{path}"><img src="{path}" alt="" loading="lazy"></a>
<figcaption>{path}</figcaption></figure>"""


class Camera:
    """Takes pictures of a page: on a desk, and on a phone, where nothing may be too wide."""

    def __init__(
        self, page: Page, folder: Path, desk: ViewportSize = DESK, settle_ms: int = 400
    ) -> None:
        self.page, self.folder, self.desk, self.settle_ms = page, folder, desk, settle_ms

    def __call__(self, name: str, *, phone: bool = False) -> None:
        """Take a picture under a name, of the whole page from its top."""
        self._take(name)
        if phone:
            self.page.set_viewport_size(PHONE)
            self._take(f"{name}-phone")
            self.page.set_viewport_size(self.desk)

    def _take(self, name: str) -> None:
        self.page.evaluate("scrollTo(0, 0)")
        self.page.wait_for_timeout(self.settle_ms)
        until(self.page, f"!({TOO_WIDE})", seconds=10)  # charts follow the screen a little later
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=True)


def write_sheet(folder: Path) -> None:
    """One page with all pictures of a folder; several processes may write it, the last wins."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    figures = "\n".join(FIGURE.format(path=escape(path)) for path in paths)
    own = folder / f"index.{os.getpid()}"
    own.write_text(SHEET.format(count=len(paths), figures=figures), "utf-8")
    own.replace(folder / "index.html")
