"""axe on pages: nothing serious and nothing critical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from browser.shots import DESK, PHONE
from flask import Flask
from playwright.sync_api import Page

GRAVE = {"serious", "critical"}
LOOKS = (("light", DESK), ("dark", DESK), ("light", PHONE))
NOT_THERE = "/there-is-no-such-page"
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
NO_PAGES = (
    "api.", "aliases.", "health.", "openapi.", "static", "runs.download", "runs.report",
    "data.picture", "data.thumbnail", "receipts.download", "inference.view_file",
    "inference.report", "inference.download", "comparisons.file", "outside.", "audit.export",
)  # fmt: skip
"""Files, data for programs, the reports, which are files too, and the way to another log-in."""


def paths(app: Flask, fill: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> list[str]:
    """Every page that there is.

    Args:
        app: Whose pages.
        fill: What stands for an argument of an address: by its name, or, where that differs from
            page to page, by the page's; there also what stands behind the question mark.
        without: Pages that are looked at elsewhere, by how their names begin.
    """
    found = [NOT_THERE]
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            if "GET" in rule.methods and not rule.endpoint.startswith(NO_PAGES + without):
                own = fill.get(rule.endpoint, {})
                known = {name: fill[name] for name in rule.arguments & set(fill)} | own
                assert rule.arguments <= set(known), f"{rule.endpoint}: say which to look at"
                found.append(app.url_for(rule.endpoint, **known))
    return sorted(set(found))


def go(page: Page, path: str) -> None:
    """Open a page; its own, and not one that says that it is not there."""
    answer = page.goto(path)
    assert answer is not None
    assert answer.ok or path == NOT_THERE, f"{path}: {answer.status}"


def faults(page: Page, where: str) -> list[str]:
    """What is grave on the page that is open: light, dark, and on a phone."""
    page.wait_for_load_state("networkidle")
    found = []
    for theme, size in LOOKS:
        page.set_viewport_size(size)
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.evaluate(DRAWN)
        found += [
            f"{where}, {theme}, {size['width']}: {each['id']}: {node['html'][:160]} "
            f"{node['failureSummary']}"
            for each in Axe().run(page).response["violations"]
            if each["impact"] in GRAVE
            for node in each["nodes"]
        ]
    return found
