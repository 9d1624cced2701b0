"""Lists and tables that are live, in two browsers at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from browsing import log_in, opened
from consoles import WANG, Stage, finish, serving, stage_of
from playwright.sync_api import Browser, Page, expect

from medfed.storage.database.tables import RunRow, SessionRow
from medfed.storage.database.types import now
from medfed.web.people import ONLINE
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow]


@dataclass
class Shown:
    """A console that is served, and a page of a browser."""

    stage: Stage
    url: str
    page: Page


@pytest.fixture
def shown(tmp_path, sqlite_url, chromium) -> Iterator[Shown]:
    stage = stage_of(tmp_path / "console", sqlite_url)
    finish(stage.console, stage.console.runs.start(WANG, stage.study))
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url) as page:
        yield Shown(stage, url, page)


def test_who_is_online_is_shown_live(shown: Shown, chromium: Browser, pictures):
    log_in(shown.page, "administrator")
    shown.page.goto("/users/")
    sessions = shown.page.locator("[data-part=sessions] tbody tr")
    online = shown.page.locator("[data-part=users] .dot.on")
    expect(sessions).to_have_count(1)
    with opened(chromium, shown.url) as other:
        log_in(other, "viewer")
        expect(sessions).to_have_count(2, timeout=20_000)
        expect(online).to_have_count(2)
        shown.page.screenshot(path=pictures / "users-live.png", full_page=True)
        with shown.stage.console.database.write() as session:
            latest = max(row.id for row in shown.stage.console.accounts.sessions())
            session.get_one(SessionRow, latest).seen = now() - ONLINE
        expect(online).to_have_count(1, timeout=20_000)
        expect(sessions).to_have_count(2)
        other.get_by_role("button", name="Log out").click()
    expect(sessions).to_have_count(1, timeout=20_000)


def test_a_run_that_begins_elsewhere_appears_and_nothing_is_lost(shown: Shown, pictures):
    page, console = shown.page, shown.stage.console
    log_in(page, "viewer")
    page.goto("/")
    expect(page.get_by_text("Nothing is running")).to_be_visible()
    link = page.locator("[data-part=overview] a.tile").nth(1)
    link.focus()
    run = shown.stage.run  # its process is said to live: none is begun for it

    def goes_on(state: str, rounds: int) -> None:
        with console.database.write() as session:
            row = session.get_one(RunRow, run)
            row.state, row.round, row.lease = state, rounds, now() + timedelta(hours=1)

    goes_on("running", 0)
    bar = page.locator(f".progress[data-run='{run}']")
    expect(bar).to_contain_text("0 /", timeout=20_000)
    expect(link).to_be_focused()
    goes_on("running", 1)
    expect(bar).to_contain_text("1 /", timeout=20_000)
    page.screenshot(path=pictures / "overview-live.png", full_page=True)
    page.goto("/runs/")
    tick = page.locator("input[type=checkbox]").first
    tick.check()
    goes_on("stopped", 1)
    expect(page.locator(".state.stopped")).to_be_visible(timeout=20_000)
    expect(tick).to_be_checked()
