"""The log-in is lost while a page is open: what asks by itself says so, and leads to it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from accounting import PASSWORD
from browsing import log_in, opened
from consoles import SITE, Stage, hospital_of, serving, stage_of
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from medfed.services.console import Faces
from medfed.services.hospital.imports import KIND
from medfed.services.hospital.jobs import FINISHED, RUNNING
from medfed.storage.database.tables import JobRow, RunRow, SessionRow
from medfed.storage.database.types import now
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow]
LOG_IN = re.compile(r"/login\?next=")
WAIT_MS = 60_000


@dataclass
class Shown:
    """A console that is served, and a page of a browser."""

    stage: Stage
    page: Page

    def log_out_everybody(self) -> None:
        """As if sessions had become too old."""
        with self.stage.console.database.write() as session:
            session.execute(delete(SessionRow))


@pytest.fixture
def coordinator(tmp_path, sqlite_url, chromium) -> Iterator[Shown]:
    stage = stage_of(tmp_path / "console", sqlite_url)
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url, strict=False) as page:
        yield Shown(stage, page)


@pytest.fixture
def hospital(tmp_path, chromium) -> Iterator[Shown]:
    stage = hospital_of(tmp_path)
    faces = Faces(site=tmp_path / SITE, coordinates=False)
    server = Server(tmp_path / SITE / "console", faces=faces, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url, strict=False) as page:
        yield Shown(stage, page)


def log_in_again(page: Page, name: str) -> None:
    """On the page that one was led to."""
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")


def test_a_page_that_is_live_leads_to_the_log_in_and_back(coordinator: Shown):
    page, run = coordinator.page, coordinator.stage.run
    log_in(page, "researcher")
    page.goto(f"/runs/{run}")
    expect(page.locator("[data-link]")).to_have_text("live")
    coordinator.log_out_everybody()
    expect(page).to_have_url(LOG_IN, timeout=WAIT_MS)
    log_in_again(page, "researcher")
    expect(page).to_have_url(re.compile(f"/runs/{run}$"))
    expect(page.locator("[data-link]")).to_have_text("live")


def test_a_list_with_a_run_under_way_leads_to_the_log_in(coordinator: Shown):
    page = coordinator.page
    with coordinator.stage.console.database.write() as session:
        row = session.get_one(RunRow, coordinator.stage.run)
        row.state, row.lease = "running", now() + timedelta(hours=1)
    log_in(page, "researcher")
    page.goto("/studies/1")
    expect(page.locator(".progress[data-run]")).to_be_visible()
    coordinator.log_out_everybody()
    expect(page).to_have_url(LOG_IN, timeout=WAIT_MS)


def test_a_page_without_answers_goes_on_asking(coordinator: Shown):
    """The network is away, then the log-in: only the second leads away from the page."""
    page = coordinator.page
    log_in(page, "researcher")
    # A question under way would be answered by the log-in, which the page then cannot reach.
    with page.expect_response(lambda answer: "x-medfed-unasked" in answer.request.headers):
        page.goto("/")
    page.route("**/*", lambda route: route.abort())
    coordinator.log_out_everybody()
    page.wait_for_timeout(8000)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.unroute("**/*")
    expect(page).to_have_url(re.compile("/login"), timeout=WAIT_MS)


def test_a_job_that_is_followed_says_that_it_cannot_be_seen_any_more(hospital: Shown):
    page, job = hospital.page, JobRow(id=secrets.token_hex(16), kind=KIND, owner="data-steward")
    job.state, job.result = RUNNING, None
    with hospital.stage.console.database.write() as session:
        session.add(job)
    log_in(page, "data-steward")
    page.goto(f"/imports/{job.id}")
    silent = page.get_by_text("does not answer at present")
    expect(silent).not_to_be_visible()
    page.route("**/api/v1/**", lambda route: route.abort())
    expect(silent).to_be_visible()
    page.unroute("**/api/v1/**")
    expect(silent).not_to_be_visible()
    seen = used(hospital)
    time.sleep(3)
    assert used(hospital) == seen, "an open page kept somebody logged in"
    hospital.log_out_everybody()
    expect(page).to_have_url(LOG_IN)
    with hospital.stage.console.database.write() as session:
        session.get_one(JobRow, job.id).state = FINISHED
    log_in_again(page, "data-steward")
    expect(page).to_have_url(re.compile(f"/imports/{job.id}$"))
    expect(page.get_by_text("At work")).to_have_count(0)


def used(shown: Shown) -> list[object]:
    return [row.seen for row in shown.stage.console.accounts.sessions()]


def test_what_was_written_in_the_wizard_outlives_the_log_in(coordinator: Shown):
    page = coordinator.page
    log_in(page, "researcher")
    page.goto("/studies/wizard?template=tabular-classification")
    verdict, save = page.locator("[data-verdict]"), page.get_by_role("button", name="Save")
    expect(verdict).to_contain_text("in order")
    coordinator.log_out_everybody()
    page.get_by_label("Title").fill("Written for an hour")
    expect(verdict).to_contain_text("no longer logged in")
    expect(save).to_be_disabled()
    other = page.context.new_page()
    log_in(other, "researcher")
    expect(verdict).to_contain_text("in order", timeout=WAIT_MS)
    save.click()
    expect(page.get_by_role("heading", name="Written for an hour")).to_be_visible()


def test_files_chosen_before_the_page_is_ready_are_taken(hospital: Shown, tmp_path):
    """A script may come late over a slow network; a person does not wait for it."""
    page = hospital.page
    log_in(page, "data-steward")
    (tmp_path / "north.csv").write_text("age,ill\n61,1\n44,0\n")

    def late(route) -> None:
        time.sleep(2)
        route.continue_()

    page.route("**/upload.js*", late)
    page.goto("/imports/new", wait_until="commit")
    page.locator("[data-files]").set_input_files(tmp_path / "north.csv")
    page.get_by_role("button", name="Send and import").click()
    page.wait_for_url(re.compile("/imports/[0-9a-f]{32}$"))
