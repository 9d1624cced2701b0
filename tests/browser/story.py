"""The whole story, step by step, as people do it in their browsers: from log-in to a segmentation.

Each step begins where the menu is seen. Which server stands behind the pages is nobody's business
here: one console may show the coordinator's pages and the hospital's, or each has its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

import highdicom as hd
from browsing import until
from playwright.sync_api import Page, expect

HOSPITALS = ("hospital-1", "hospital-2")
TITLE = "Nodules of two hospitals"
ROUNDS = 6
DONE_MS = 240_000
POINTS = """Chart.getChart(document.querySelector('[data-chart=metric]'))
  ?.data.datasets[0]?.data"""
IN_ORDER = "The study is in order."
ANSWERS = {
    "Task": {
        "title": TITLE,
        "task.filters": "8, 16, 32",
        "task.patch": "16",
        "task.spacing_mm": "4.0",
        "task.positive": "0.5",
        "task.threshold": "0.6",
        "split.test": "0.25",
        "split.valid": "0.25",
    },
    "Cohort": {"sites": "\n".join(HOSPITALS)},
    "Strategy": {
        "strategy.local_steps": "20",
        "strategy.batch_size": "8",
        "strategy.lr": "0.006",
    },
    "Rounds": {"rounds": str(ROUNDS)},
}
"""What is written in the wizard: step by step, the fields by their paths."""
CHOICES = {
    "Task": {"split": "shuffle"},
    "Strategy": {"strategy.optimizer": "adam", "strategy.lr_schedule": "cosine"},
}
"""What is chosen there from a list."""


class Take(Protocol):
    """Takes a picture of the page."""

    def __call__(self, name: str, *, phone: bool = False) -> None: ...


def to(page: Page, name: str) -> None:
    """Go where the menu leads."""
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def log_in_first(page: Page, name: str, given: str, own: str) -> None:
    """Log in with a password that somebody else gave, and choose one's own."""
    page.goto("/")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(given)
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_text("set by somebody else")).to_be_visible()
    page.get_by_label("Present password").fill(given)
    page.get_by_label("New password", exact=True).fill(own)
    page.get_by_label("New password once more").fill(own)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()


def make_the_clinician(page: Page, take: Take) -> str:
    """A user is made; the password that is shown once."""
    to(page, "Users")
    page.get_by_role("link", name="New user").click()
    page.get_by_label("User name").fill("li.wei")
    page.get_by_label("Full name").fill("Li Wei")
    page.get_by_role("checkbox", name=re.compile("^clinician")).check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("shown only now")).to_be_visible()
    given = page.locator("[data-secret]").inner_text()
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("link", name="li.wei")).to_be_visible()
    take("users", phone=True)
    return given


def send_a_scan(page: Page, scan: Path, take: Take) -> None:
    """A CT as it comes from a scanner, in one zip."""
    to(page, "Data")
    page.get_by_role("link", name="Add the first scans").click()
    page.locator("[data-files]").set_input_files(scan)
    take("upload", phone=True)
    page.get_by_role("button", name="Send and import").click()
    page.wait_for_url(re.compile("/imports/[0-9a-f]{32}$"))
    expect(page.locator(".tile", has_text="Taken in").locator("b")).to_have_text("1")
    take("taken-in", phone=True)
    page.get_by_role("link", name="To the data").click()
    expect(page.locator("img.thumbnail")).to_have_count(1)
    until(page, "[...document.querySelectorAll('img.thumbnail')].every((p) => p.naturalWidth > 0)")
    take("data", phone=True)


def write_a_study(page: Page, take: Take) -> None:
    """In the wizard, and approved."""
    to(page, "Studies")
    page.get_by_role("link", name="New study").click()
    page.locator("a[href$='template=nodule-segmentation']").click()
    expect(page.get_by_text(IN_ORDER, exact=True)).to_be_visible()
    for step, answers in ANSWERS.items():
        page.get_by_role("navigation", name="Steps").get_by_role("button", name=step).click()
        for path, choice in CHOICES.get(step, {}).items():
            _shown(page, path).select_option(choice)
        for path, given in answers.items():
            _shown(page, path).fill(given)
        take(f"wizard-{step.lower()}", phone=True)
    expect(page.locator("[data-toml]")).to_contain_text(f"rounds = {ROUNDS}")
    expect(page.get_by_text(IN_ORDER, exact=True)).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("draft")).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("The study is approved.")).to_be_visible()
    take("study", phone=True)


def _shown(page: Page, path: str):
    """A field of the wizard, which may be folded away."""
    field = page.locator(f'[data-path="{path}"]')
    if not field.is_visible():
        page.locator("details:not([open])", has=field).locator("summary").first.click()
    return field


def run_it(page: Page, take: Take) -> None:
    """Live to the end: the curves move by themselves, and go up."""
    page.get_by_role("button", name="Start a run").click()
    expect(page.locator("[data-link]")).to_have_text("live")
    started = page.get_by_text(f"Started: {len(HOSPITALS)} hospitals, {ROUNDS} rounds.")
    expect(started).to_be_visible(timeout=DONE_MS)
    expect(page.get_by_text(re.compile("Round 2 is finished"))).to_be_visible(timeout=DONE_MS)
    until(page, f"({POINTS}?.length ?? 0) >= 2", seconds=120)
    seen = page.evaluate(f"{POINTS}.length")
    take("run-live", phone=True)
    # Nobody loads the page again.
    until(page, f"{POINTS}.length > {seen}", seconds=240)
    expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=DONE_MS)
    expect(page.get_by_text(f"Finished after {ROUNDS} rounds.")).to_be_visible()
    until(page, f"{POINTS}?.length === {ROUNDS + 1}")
    values = page.evaluate(f"{POINTS}.map((point) => point.y ?? point)")
    assert max(values) > values[0], f"it did not learn: {values}"
    take("run-finished", phone=True)


def release_it(page: Page, folder: Path, take: Take) -> list[Path]:
    """Approve the model for the hospital; its files, as a person keeps them."""
    to(page, "Models")
    page.get_by_role("link", name=TITLE).click()
    page.get_by_label("Hospital").fill(HOSPITALS[0])
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("approved for hospitals: 1")).to_be_visible()
    kept = []
    for link in ("Download", "Markdown"):
        with page.expect_download() as loaded:
            page.get_by_role("link", name=link, exact=True).click()
        kept.append(folder / loaded.value.suggested_filename)
        loaded.value.save_as(kept[-1])
    take("model", phone=True)
    assert [file.name.partition("-")[2] for file in kept] == ["model.safetensors", "model_card.md"]
    return kept


def bring_it_in(page: Page, files: list[Path], take: Take) -> None:
    """Approve the model at the hospital."""
    model, card = files
    to(page, "Released models")
    take("released-none", phone=True)
    page.locator("[name=model]").set_input_files(model)
    page.locator("[name=card]").set_input_files(card)
    page.get_by_role("button", name="Approve for this hospital").click()
    expect(page.get_by_text("The model is approved for this hospital.")).to_be_visible()
    take("released", phone=True)


def ask_about_the_scan(page: Page, take: Take) -> None:
    """From the scan to what the model marks in it."""
    to(page, "Data")
    page.locator("tbody a", has_text="s-").first.click()
    until(page, "[...document.querySelectorAll('.frame img')].every((p) => p.naturalWidth > 0)")
    take("scan", phone=True)
    page.get_by_role("link", name="Ask a model").click()
    take("ask", phone=True)
    page.get_by_role("button", name="Look at the scan").click()
    expect(page.locator("canvas[data-ready]")).to_be_visible(timeout=DONE_MS)
    expect(page.get_by_text("Research use only")).to_be_visible()
    take("findings", phone=True)


def review(page: Page, take: Take) -> None:
    """The first finding is accepted, every other one rejected."""
    count = page.locator("[data-findings] tbody tr").count()
    assert count >= 1, "the model marked nothing"
    for number in range(1, count + 1):
        page.get_by_role("button", name=f"Go to finding {number}", exact=True).click()
        page.get_by_role("button", name="Accept" if number == 1 else "Reject", exact=True).click()
        left = count - number
        said = f"{left} still to be reviewed" if left else "All findings are reviewed."
        expect(page.get_by_text(said, exact=True)).to_be_visible()
    take("reviewed", phone=True)
    page.get_by_role("button", name="Sign the review").click()
    expect(page.get_by_text("Signed by Li Wei")).to_be_visible()


def take_the_segmentation(page: Page, take: Take) -> None:
    """It has the one finding that was accepted, on the grid of the scan that was sent."""
    link = page.get_by_role("link", name="DICOM segmentation")
    expect(link).to_be_visible(timeout=DONE_MS)  # the page hears by itself that it is made
    expect(page.locator("canvas[data-ready]")).to_be_visible()
    take("signed", phone=True)
    with page.expect_download() as loaded:
        link.click()
    document = hd.seg.segread(loaded.value.path())
    assert [each.SegmentLabel for each in document.SegmentSequence] == ["Nodule 1"]
    assert (document.Rows, document.Columns) == (96, 96)
    assert document.pixel_array.any()
