"""A hospital's steward reads what a study would do, approves it, and reads what left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from accounting import EXAMPLES, PASSWORD, accounts_of
from axe_playwright_python.sync_playwright import Axe
from browser.conftest import Served
from browser.shots import DESK, PHONE, TOO_WIDE
from browsing import log_in
from consoles import WANG, serving
from playwright.sync_api import Page, expect
from working_sites import worked

from medfed.core.files import canonical_json
from medfed.core.ledger import Spend
from medfed.core.mechanism import Cost, NoisyAnswer
from medfed.core.study_file import read_study
from medfed.services.console import Faces
from medfed.services.sites import open_ledger
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow]

WAIT_MS = 60_000
GRAVE = {"serious", "critical"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The console of a hospital that has taken part in a run."""
    site = tmp_path / "north"
    shutil.copytree(worked(), site)
    server = Server(site / "console", faces=Faces(site, coordinates=False), bcrypt_rounds=4)
    accounts = accounts_of(server.console.database)
    accounts.passwords = server.console.accounts.passwords
    for user in accounts.users():
        accounts._set_password(WANG, user, PASSWORD, must_change=False)
    with serving(server):
        yield server


@pytest.fixture
def served(server: Server) -> Served:
    """Where it answers."""
    return Served(f"http://127.0.0.1:{server.port}", server.password or "")


@pytest.fixture
def picture(page: Page, pictures):
    """Takes a picture of the page as it is on a desk, on a phone, in the dark; axe looks too."""

    def take(name: str) -> None:
        for theme, size in (("light", DESK), ("dark", DESK), ("light", PHONE)):
            page.set_viewport_size(size)
            page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
            page.wait_for_timeout(250)
            assert not page.evaluate(TOO_WIDE), f"{name} is wider than a phone"
            where = "phone" if size is PHONE else theme
            page.screenshot(path=pictures / f"participation-{name}-{where}.png", full_page=True)
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in GRAVE] == [], name
        page.set_viewport_size(DESK)

    return take


def test_from_a_file_to_an_approval_and_what_left(page: Page, picture):
    log_in(page, "data-steward")
    page.get_by_role("link", name="Participation").click()
    picture("list")
    page.get_by_label("File").set_input_files(EXAMPLES / "breast_cancer_dp.toml")
    page.get_by_role("button", name="Explain this study").click()
    expect(page.get_by_text("Protects each training patient as a whole")).to_be_visible(
        timeout=WAIT_MS
    )
    picture("study")
    page.get_by_role("button", name="Approve for this hospital").click()
    expect(page.get_by_text("The study is approved for this hospital.")).to_be_visible()
    picture("approved")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("Nothing of this study leaves any more.")).to_be_visible()
    page.get_by_role("link", name="What left").click()
    expect(page.get_by_text("nothing was changed")).to_be_visible()
    picture("receipts")
    page.locator("tbody a").first.click()
    expect(page.get_by_text("No patient's record was in it.").first).to_be_visible()
    picture("receipts-run")
    with page.expect_download() as loaded:
        page.get_by_role("link", name="JSON").click()
    assert loaded.value.suggested_filename.startswith("receipts-north-")
    page.get_by_role("button", name="中文").click()
    for path in ("participation", "receipts"):
        page.goto(f"/{path}/")
        page.locator("tbody a").last.click()
        picture(f"zh-{path}")


def test_what_is_left_of_privacy_and_a_new_limit(server: Server, page: Page, picture):
    page.set_default_timeout(WAIT_MS)  # counting ε takes a while where others work too
    log_in(page, "data-steward")
    page.get_by_role("link", name="Privacy spent").click()
    expect(page.get_by_text("Nothing is spent yet")).to_be_visible()
    picture("privacy-empty")
    study = read_study(EXAMPLES / "breast_cancer_dp.toml")
    site, source = server.console.hospital.site, canonical_json(study.source.to_json()).decode()
    people = tuple(f"p{i}" for i in range(150))
    for run, patients, rounds in (
        ("first", people[:130], (1, 2, 2)),
        ("second", people[90:], (1,)),
    ):
        for order, round_ in enumerate(rounds):
            cost = Cost("patient", (NoisyAnswer("gaussian", 1.5, 0.2, 9),))
            work = (study.digest, study.title, run, f"{order}", round_, "train", source)
            open_ledger(site).spend(Spend(*work, patients, cost))
    page.reload()
    expect(page.get_by_text("rounds paid for again: 1")).to_be_visible()
    picture("privacy")
    card = page.locator("#patient")
    card.get_by_text("Change the limit").click()
    card.get_by_label("Limit (ε)").fill("4")
    picture("privacy-limit")
    card.get_by_role("button", name="Set the limit").click()
    expect(page.get_by_text("The limit is set.")).to_be_visible()
    assert open_ledger(site).balance().limit == 4.0
    page.get_by_role("button", name="中文").click()
    picture("zh-privacy")
    page.goto("/participation/")
    page.locator("input[type=file]").set_input_files(EXAMPLES / "breast_cancer_dp.toml")
    page.locator("button.main").last.click()
    expect(page.locator(f"code:text-is('{study.digest}')").first).to_be_visible(timeout=WAIT_MS)
    picture("zh-price")
