"""The study wizard's statistics, and what a study costs as one chooses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.shots import DESK, PHONE
from browsing import log_in, opened
from consoles import serving, stage_of
from playwright.sync_api import Page, expect

from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow]
WAIT_MS = 60_000


@pytest.fixture
def page(tmp_path, sqlite_url, chromium) -> Iterator[Page]:
    stage_of(tmp_path / "console", sqlite_url)
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url) as made:
        log_in(made, "researcher")
        yield made


def look(page: Page, pictures, name: str) -> None:
    for theme, size in (("light", DESK), ("dark", DESK), ("light", PHONE)):
        page.set_viewport_size(size)
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.wait_for_timeout(250)
        where = "phone" if size is PHONE else theme
        page.screenshot(path=pictures / f"wizard-{name}-{where}.png", full_page=True)
        found = Axe().run(page).response["violations"]
        assert [e["id"] for e in found if e["impact"] in ("serious", "critical")] == [], name
    page.set_viewport_size(DESK)


def test_statistics_are_asked_for_and_their_cost_is_told(page: Page, pictures):
    page.goto("/studies/wizard")
    cost = page.locator("[data-cost]")
    expect(cost).not_to_be_visible()
    page.get_by_role("button", name="Statistics").click()
    expect(cost).to_contain_text("Nothing here costs privacy")
    page.get_by_role("button", name="Add a statistic").click()
    page.get_by_label("Kind").select_option("dp-mean")
    expect(page.locator('[data-complaint="statistics[0].epsilon"]')).to_contain_text("missing")
    expect(cost).to_contain_text("once the study is in order")
    page.locator('[data-path="statistics[0].epsilon"]').fill("0.5")
    page.locator('[data-path="statistics[0].column"]').fill("mean radius")
    page.locator('[data-path="statistics[0].bounds"]').fill("5, 30")
    expect(cost).to_contain_text("Protects each patient", timeout=WAIT_MS)
    expect(cost).to_contain_text("for 1 asked once")
    look(page, pictures, "statistics")
    page.get_by_role("button", name="Add a statistic").click()
    expect(page.get_by_role("group", name="Statistics 2")).to_be_visible()
    page.get_by_role("button", name="Remove").last.click()
    expect(page.get_by_role("group", name="Statistics 2")).to_have_count(0)
    expect(page.get_by_role("group", name="Statistics 1")).to_be_visible()
    expect(page.locator("[data-toml]")).to_contain_text("[[statistics]]")
    page.get_by_role("button", name="Aggregation").click()
    expect(cost).not_to_be_visible()
    page.locator('[data-path="aggregator"]').select_option("secure-sum")
    page.get_by_role("button", name="Privacy").click()
    expect(cost).to_contain_text("Does not protect against the coordinator", timeout=WAIT_MS)
    look(page, pictures, "cost")


def test_fields_have_names_beside_their_identifiers_and_choices_are_explained(page, pictures):
    page.goto("/studies/wizard")
    page.get_by_role("button", name="Strategy").click()
    field = page.locator(".field", has=page.locator('[data-path="strategy.lr"]'))
    expect(field).to_contain_text("Learning rate")
    expect(field.locator("code")).to_have_text("lr")
    expect(field.locator("small").first).to_have_text(
        "Learning rate of the first round · more than 0"
    )
    page.get_by_text("What each of them does").click()
    expect(page.locator(".each dt").filter(has_text="scaffold")).to_be_visible()
    select = page.locator('[data-path="strategy"]')
    select.select_option("fedprox")
    expect(select.locator("option:checked")).to_have_text(
        "FedProx: hospitals that differ (fedprox)"
    )
    expect(page.locator("[data-toml]")).to_contain_text('name = "fedprox"')
    look(page, pictures, "strategy")
    page.get_by_role("button", name="Rounds").click()
    page.locator('[data-path="keep"]').select_option(label="The last one (last)")
    page.get_by_role("button", name="中文").click()
    page.get_by_role("button", name="隐私").click()
    page.get_by_role("checkbox", name="dp-sgd").check()
    expect(page.locator(".field").filter(has_text="裁剪长度")).to_be_attached()
    page.wait_for_timeout(300)
    page.screenshot(path=pictures / "wizard-labels-zh.png", full_page=True)


def test_the_step_where_one_is_can_be_seen_on_a_phone(page: Page):
    page.set_viewport_size(PHONE)
    page.goto("/studies/wizard")
    steps = page.get_by_role("navigation", name="Steps")
    expect(steps.get_by_role("button", name="Rounds")).not_to_be_in_viewport()
    for _ in range(6):
        page.get_by_role("button", name="Go on").click()
    expect(steps.get_by_role("button", name="Rounds")).to_be_in_viewport(ratio=0.9)


def test_a_check_that_got_lost_is_asked_for_again(page: Page):
    page.goto("/studies/wizard?template=tabular-classification")
    verdict, save = page.locator("[data-verdict]"), page.get_by_role("button", name="Save")
    expect(verdict).to_contain_text("in order")
    lost = "**/api/v1/studies/compose"
    page.route(lost, lambda route: route.fulfill(body="cut off"))
    page.get_by_label("Title").fill("Another one")
    expect(verdict).to_contain_text("could not be checked")
    expect(save).to_be_disabled()
    page.unroute(lost)
    expect(verdict).to_contain_text("in order")
    expect(save).to_be_enabled()
