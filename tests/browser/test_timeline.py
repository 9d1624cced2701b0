"""A run's page tells who trains, who is sending, and who waits for the others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from browsing import log_in, opened
from consoles import WANG, serving, stage_of
from playwright.sync_api import Page, expect

from medfed.core.events import ReplyComing, ReplyCounted, RoundStarted, RunStarted
from medfed.services.console.recording import Recorder, recorded
from medfed.storage.database.tables import RunRow
from medfed.storage.database.types import now
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow]
SITES = ("north", "centre", "south")


@pytest.fixture
def under_way(tmp_path, sqlite_url) -> str:
    """A run whose process is said to live: one hospital trains, one sends, one has sent."""
    stage = stage_of(tmp_path / "console", sqlite_url)
    console = stage.console
    row = console.runs.start(WANG, stage.study)
    with console.database.write() as session:
        run = session.get_one(RunRow, row.id)
        run.state, run.fence, run.lease = "running", 1, now() + timedelta(hours=1)
    recorder = Recorder(console.database, row.id, 1)
    with recorded(recorder):
        recorder(RunStarted(row.id, row.digest, row.title, SITES, 3))
        recorder(RoundStarted(1, "train", SITES))
        recorder(ReplyCounted(1, "north", 0.1, 10))
        recorder(ReplyComing("centre"))
    with console.database.write() as session:
        run = session.get_one(RunRow, row.id)
        run.state, run.fence, run.lease = "running", 1, now() + timedelta(hours=1)
    console.close()
    return row.id


@pytest.fixture
def page(tmp_path, sqlite_url, under_way, chromium) -> Iterator[Page]:
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url) as made:
        log_in(made, "viewer")
        yield made


def test_a_reply_that_is_on_its_way_is_shown_as_that(page: Page, under_way, pictures):
    page.goto(f"/runs/{under_way}")
    expect(page.locator("[data-site=centre]")).to_contain_text("is sending its reply")
    expect(page.locator("[data-site=north]")).to_contain_text("waits for the others")
    expect(page.locator("[data-site=south]")).to_contain_text("training")
    expect(page.get_by_text("centre is sending its reply.")).to_be_visible()
    expect(page.locator(".timeline rect.coming")).to_have_count(1)
    page.screenshot(path=pictures / "run-sending.png", full_page=True)
