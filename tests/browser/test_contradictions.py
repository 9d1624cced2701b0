"""What cannot be is refused in the study wizard as it is typed, beside its field, with a remedy."""

# ruff: noqa: RUF001  # Chinese has digits and commas of its own
from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest
from browser.shots import PHONE, Camera
from browsing import log_in, opened
from consoles import serving, stage_of
from playwright.sync_api import Locator, Page, expect

from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow]
WAIT_MS = 60_000
ORDER = "The study is in order."
HAN = re.compile("[一-鿿]")

TYPED = [
    ("Task", "title", "   ", "is blank"),
    ("Task", "task.numeric", "", "the model has no inputs"),
    ("Cohort", "sites", "north\nnorth\nwest", "names north twice"),
    ("Cohort", "sites", "a hospital", "is not a site name"),
    ("Cohort", "cohort.where", "people who are old", "such as"),
    ("Cohort", "cohort.where", "age > 60\nage < 40", "nobody can meet both"),
    ("Cohort", "min_sites", "9", "a round has 3 sites"),
    ("Cohort", "sampling.fraction", "1.5", "Give 1 or less"),
    ("Strategy", "strategy.lr", "fast", "Give a number"),
    ("Strategy", "strategy.lr", "0,1", "Give a number"),
    ("Rounds", "rounds", "-3", "Give 1 or more"),
    ("Rounds", "rounds", "many", "Give a whole number"),
    ("Rounds", "rounds", "2.5", "Give a whole number"),
    ("Rounds", "stop.metric", "dice", "the task does not report"),
    ("Rounds", "seed", "12345678901234567890", "Give a whole number"),
    ("Rounds", "seed", "1e999", "Give a whole number"),
]
"""Step, field, what is typed into it, and some of what is said beneath it."""
CHOSEN = [
    ("Task", {"source": "volumes"}, "source", "Choose another source"),
    ("Strategy", {"strategy": "local-norm"}, "strategy.local", "normalisation layers"),
    ("Aggregation", {"aggregator": "multi-krum"}, "aggregator", "Name 5 sites"),
    ("Aggregation", {"aggregator": "secure-sum", "report": "sites"}, "report", "nobody sees"),
    ("Aggregation", {"aggregator": "secure-sum", "compression": "int8"}, "compression", "Remove"),
]
"""Step, what is chosen on it, and where what is said."""


@pytest.fixture
def page(tmp_path, sqlite_url, chromium) -> Iterator[Page]:
    stage_of(tmp_path / "console", sqlite_url)
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url) as made:
        made.set_default_timeout(WAIT_MS)
        log_in(made, "researcher")
        begin(made)
        yield made


def begin(page: Page) -> None:
    page.goto("/studies/wizard?template=tabular-classification")
    in_order(page)


def in_order(page: Page) -> None:
    expect(page.get_by_text(ORDER, exact=True)).to_be_visible(timeout=WAIT_MS)


def go(page: Page, step: str) -> None:
    page.get_by_role("navigation", name="Steps").get_by_role("button", name=step).click()


def field(page: Page, path: str) -> Locator:
    """A field, which may be folded away."""
    found = page.locator(f'[data-path="{path}"]')
    if not found.is_visible():
        page.locator("details:not([open])", has=found).locator("summary").first.click()
    return found


def complaint(page: Page, path: str) -> Locator:
    return page.locator(f'[data-complaint="{path}"]')


def problem(page: Page, path: str) -> Locator:
    """What leads from the list of problems to a field."""
    named = page.get_by_text(path, exact=True)
    return page.locator("[data-problems] li", has=named).get_by_role("button")


def refused(page: Page, path: str, words: str) -> None:
    expect(complaint(page, path)).to_contain_text(words, ignore_case=True, timeout=WAIT_MS)
    expect(complaint(page, path)).to_be_visible()
    expect(page.locator(f'[data-path="{path}"]')).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    tomllib.loads(page.locator("[data-toml]").inner_text())  # the file beside it can be read


@pytest.mark.timeout(600)
def test_what_is_typed_is_refused_beside_its_field(page: Page, pictures):
    for step, path, typed, words in TYPED:
        go(page, step)
        usual = field(page, path).input_value()
        field(page, path).fill(typed)
        refused(page, path, words)
        # Nothing that was typed is lost by going elsewhere and coming back.
        go(page, "Privacy")
        go(page, step)
        expect(field(page, path)).to_have_value(typed)
        refused(page, path, words)
        field(page, path).fill(usual)
        in_order(page)
    go(page, "Cohort")
    field(page, "cohort.where").fill("age > 60\nage < 40")
    refused(page, "cohort.where", "nobody")
    Camera(page, pictures)("wizard-nobody", phone=True)


def test_what_is_chosen_is_refused_beside_its_field(page: Page):
    for step, choices, path, words in CHOSEN:
        begin(page)
        go(page, step)
        for name, choice in choices.items():
            field(page, name).select_option(choice)
        refused(page, path, words)


def test_parts_that_contradict_each_other_are_refused_where_they_are_mended(page: Page):
    go(page, "Task")
    field(page, "task.hidden").fill("8")
    field(page, "task.norm").select_option("batch")
    go(page, "Privacy")
    page.get_by_role("checkbox", name=re.compile("dp-sgd")).check()
    refused_at = page.locator('[data-complaint="privacy[0].patients"]')
    expect(refused_at).to_contain_text("Is missing", timeout=WAIT_MS)
    field(page, "privacy[0].patients").fill("north = 100\nwest = 100")
    expect(complaint(page, "privacy[0]")).to_contain_text(
        "needs one of epsilon and noise", ignore_case=True
    )
    field(page, "privacy[0].noise").fill("1.2")
    unsaid = "does not say how many patients south has"
    expect(refused_at).to_contain_text(unsaid, ignore_case=True)
    page.get_by_role("checkbox", name=re.compile("local-dp")).check()
    field(page, "privacy[1].epsilon").fill("2")
    expect(complaint(page, "privacy")).to_contain_text("Remove all but one")
    problem(page, "task.norm").click()
    refused(page, "task.norm", "batch normalisation mixes patients")
    go(page, "Strategy")
    field(page, "strategy").select_option("fedbuff")
    go(page, "Cohort")
    field(page, "sampling.fraction").fill("0.5")
    refused(page, "sampling.fraction", "asynchronous")


def test_an_unset_option_that_contradicts_another_field_is_unfolded(page: Page):
    go(page, "Aggregation")
    field(page, "aggregator").select_option("secure-sum")
    field(page, "aggregator.least").fill("9")
    go(page, "Rounds")
    go(page, "Aggregation")
    refused(page, "aggregator.least", "Give 3 or less")


def test_digits_and_commas_of_a_chinese_keyboard_are_numbers(page: Page):
    go(page, "Rounds")
    field(page, "rounds").fill("１２")
    go(page, "Task")
    field(page, "task.hidden").fill("8，4")
    toml = page.locator("[data-toml]")
    expect(toml).to_contain_text("hidden = [8, 4]", timeout=WAIT_MS)
    expect(toml).to_contain_text("rounds = 12")
    in_order(page)


def test_values_are_typed_and_told_as_people_say_them(page: Page):
    go(page, "Task")
    expect(field(page, "task.drop_first").locator("option").first).to_have_text("usual: no")
    field(page, "task.public_ranges").fill("mean radius = 5，30\nmean texture = 5, 40.5")
    field(page, "task.units").fill("mean radius = µm")
    toml = page.locator("[data-toml]")
    expect(toml).to_contain_text("[5, 30]", timeout=WAIT_MS)
    expect(toml).to_contain_text("[5, 40.5]")
    expect(toml).to_contain_text('"µm"')
    go(page, "Rounds")
    go(page, "Task")
    told = "mean radius = 5, 30\nmean texture = 5, 40.5"
    expect(field(page, "task.public_ranges")).to_have_value(told)


def test_what_was_typed_just_before_saving_is_saved(page: Page):
    go(page, "Rounds")
    field(page, "rounds").fill("7")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("draft")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("pre")).to_contain_text("rounds = 7")


def test_a_contradiction_typed_just_before_saving_is_not_saved(page: Page):
    go(page, "Rounds")
    field(page, "rounds").fill("0")
    page.get_by_role("button", name="Save").click()
    refused(page, "rounds", "Give 1 or more")
    expect(page).to_have_url(re.compile("/studies/wizard"))


def test_in_chinese_and_on_a_phone(page: Page, pictures):
    page.get_by_role("button", name="中文").click()
    page.goto("/studies/wizard?template=tabular-classification")
    page.set_viewport_size(PHONE)
    steps = page.locator("[data-steps] button")
    for at, path, typed in ((1, "cohort.where", "age > 60\nage < 40"), (6, "rounds", "-3")):
        steps.nth(at).click()
        field(page, path).clear()
        field(page, path).press_sequentially(typed)
        expect(complaint(page, path)).to_have_text(HAN, timeout=WAIT_MS)
        expect(complaint(page, path)).to_be_in_viewport()
        expect(field(page, path)).to_have_value(typed)
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not page.evaluate(wide), "the page is wider than the phone"
    page.screenshot(path=pictures / "wizard-refused-zh-phone.png", full_page=True)


def test_with_the_keyboard_only(page: Page):
    step = page.get_by_role("navigation", name="Steps").get_by_role("button", name="Rounds")
    reach(page, step)
    page.keyboard.press("Enter")
    reach(page, page.locator('[data-path="rounds"]'))
    page.keyboard.press("Control+a")
    page.keyboard.type("-3")
    refused(page, "rounds", "Give 1 or more")
    reach(page, problem(page, "rounds"))
    page.keyboard.press("Enter")
    expect(page.locator('[data-path="rounds"]')).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("4")
    in_order(page)
    reach(page, page.get_by_role("button", name="Save"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("draft")).to_be_visible(timeout=WAIT_MS)


def reach(page: Page, wanted: Locator) -> None:
    """Press the tabulator until it is there, as whoever has no mouse does."""
    for _ in range(80):
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail("the keyboard does not lead there")
