"""Charts in a real browser: the federation's map, how unlike hospitals are, importance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from browsing import log_in, opened, until
from consoles import WANG, Stage, serving, stage_of
from playwright.sync_api import Page, expect

from medfed.core.events import (
    ReplyComing,
    ReplyCounted,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    Scored,
)
from medfed.services.console.recording import Recorder, recorded
from medfed.storage.database.tables import RunRow
from medfed.storage.database.types import now
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow]
SITES = ("north", "centre", "south")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 860}
INPUTS = {
    f"measure number {n}": {"value": 0.2 / n, "low": 0.15 / n, "high": 0.3 / n} for n in range(1, 9)
}


def rounds(recorder: Recorder, count: int) -> None:
    """Rounds as a study that shows each hospital's figures tells them."""
    for number in range(1, count + 1):
        recorder(RoundStarted(number, "train", SITES))
        for site in SITES:
            recorder(ReplyCounted(number, site, 0.1, 10_000))
        each = {site: {"auc": 0.6 + 0.03 * number + 0.04 * i} for i, site in enumerate(SITES)}
        recorder(Scored(number - 1, {"auc": 0.6 + 0.03 * number}, each, "test"))
        change = {
            site: {"cosine": 0.9 - 0.2 * i - 0.01 * number, "norm": 0.3 / number, "weight": 120.0}
            for i, site in enumerate(SITES)
        }
        traffic = dict.fromkeys(SITES, 30_000), dict.fromkeys(SITES, 40_000)
        losses = dict.fromkeys(SITES, 0.7 / number)
        recorder(RoundFinished(number, SITES, 0.5, 90_000, 120_000, 0.7, losses, *traffic, change))


@pytest.fixture
def shown(tmp_path, sqlite_url, chromium) -> Iterator[tuple[Stage, str, Page]]:
    """A finished run on tables, and one whose process is said to live."""
    stage = stage_of(tmp_path / "console", sqlite_url)
    console = stage.console
    folder = console.place.run_folder(stage.run)
    (folder / "result.json").write_text(json.dumps({"importance": INPUTS, "privacy": None}))
    row = console.runs.start(WANG, stage.study)
    goes_on(stage, row.id)
    recorder = Recorder(console.database, row.id, 1)
    with recorded(recorder):
        recorder(RunStarted(row.id, row.digest, row.title, SITES, 12))
        rounds(recorder, 8)
        recorder(RoundStarted(9, "train", SITES))
        recorder(ReplyCounted(9, "north", 0.1, 5_000))  # of a round that is not over
        recorder(ReplyComing("centre"))
    goes_on(stage, row.id)
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url) as page:
        log_in(page, "viewer")
        yield stage, row.id, page


def goes_on(stage: Stage, run: str) -> None:
    with stage.console.database.write() as session:
        row = session.get_one(RunRow, run)
        row.state, row.fence, row.lease = "running", 1, now() + timedelta(hours=1)


def looked_at(page: Page, pictures, name: str) -> None:
    """On a desk and on a phone, where nothing may be wider than the screen."""
    page.wait_for_timeout(400)
    page.screenshot(path=pictures / f"{name}.png", full_page=True)
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(400)
    assert not page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    page.screenshot(path=pictures / f"{name}-phone.png", full_page=True)
    page.set_viewport_size(DESK)


def test_the_map_and_the_unlikeness_of_a_run_that_goes_on(shown, pictures):
    _stage, run, page = shown
    page.goto(f"/runs/{run}")
    drawing = page.locator("[data-map] svg")
    for text in ("Coordinator", "north", "south", "has sent, waits for the others"):
        expect(drawing.get_by_text(text, exact=True)).to_have_count(1)
    expect(page.locator("[data-unlike] svg")).to_be_visible()
    words = page.locator("[data-unlike-words]")
    expect(words).to_contain_text("round 8: from 0.420 (south) to 0.820 (north)")
    page.locator("[data-unlike-of]").select_option("auc")
    expect(words).to_contain_text("round 7: from 0.840 (north) to 0.920 (south), 0.0800 apart")
    rows = page.locator("[data-map-table] tr")
    page.locator("details:has([data-map-table]) summary").focus()
    page.keyboard.press("Enter")
    expect(rows.first).to_contain_text("245.0 kB")
    expect(rows.last).to_contain_text("240.0 kB")
    looked_at(page, pictures, "charts-run-live")


def test_the_overview_draws_the_map_anew_when_something_happens(shown, pictures):
    stage, run, page = shown
    page.goto("/")
    drawing = page.locator("[data-map] svg")
    expect(drawing.get_by_text("is sending its reply", exact=True)).to_have_count(1)
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="north"))
    expect(row).to_contain_text("245.0 kB")
    looked_at(page, pictures, "charts-overview")
    recorder = Recorder(stage.console.database, run, 1)
    with recorded(recorder):
        recorder(RoundFinished(9, SITES, 0.5, 90, 120, 0.7))
        recorder(RunFinished(9, "done"))
    expect(drawing.get_by_text("on this machine", exact=True)).to_have_count(3, timeout=20_000)
    page.goto("/sites/")
    expect(page.locator("[data-map] svg")).to_be_visible()
    looked_at(page, pictures, "charts-sites")


def test_in_chinese_and_dark_with_what_inputs_are_worth(shown, pictures):
    stage, run, page = shown
    page.get_by_role("button", name="中文").click()
    page.get_by_role("button", name="浅色或深色").click()
    page.goto(f"/runs/{stage.run}")
    drawing = page.locator("[data-importance] svg")
    expect(drawing.get_by_text("measure number 1", exact=True)).to_have_count(1)
    looked_at(page, pictures, "charts-importance-zh")
    page.goto(f"/runs/{run}")
    expect(page.locator("[data-map] svg").get_by_text("协调端", exact=True)).to_have_count(1)
    until(page, "document.querySelectorAll('[data-unlike] svg path').length > 20")
    looked_at(page, pictures, "charts-run-live-zh")
    page.goto("/")
    looked_at(page, pictures, "charts-overview-zh")
