"""What a clinician does with a model, in a real browser: ask, look, review, sign, hand on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from accounting import PASSWORD
from browser.conftest import Served
from browser.shots import WIDE_DESK, Camera
from browsing import log_in
from clinics import ANSWERS, GUIDELINE, risk_folder
from consoles import serving
from PIL import Image
from playwright.sync_api import Page, expect
from unit.connectors.dicom_files import write_series
from unit.inference.threshold import run_folder, thorax

from medfed.services.accounts import Identity
from medfed.services.console import Faces
from medfed.services.imports import import_scans
from medfed.services.sites import create_site
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow, pytest.mark.timeout(900)]

DONE_MS = 180_000
NODULES = [(62, 0, 60), (-62, 20, -50), (-50, -30, 20)]
"""World places, mm, LPS: in the left lung, and two in the right."""
expect.set_options(timeout=60_000)  # a busy machine is no failure


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A hospital's console that listens, with a phantom, two models and a clinician."""
    site = tmp_path / "site"
    create_site(site, "north", None)
    phantom = thorax(NODULES)
    series = write_series(tmp_path / "ct", phantom.hu, phantom.geometry, intercept=-2000.0)
    assert import_scans(site, series).imported
    server = Server(site / "console", faces=Faces(site, coordinates=False), bcrypt_rounds=4)
    accounts, desk = server.console.accounts, server.console.desk
    assert desk is not None
    root = Identity(id=1, name="admin", rights=frozenset({"user.manage"}))
    user, _ = accounts.create(root, "clinician", "李 明", ["clinician"])
    accounts._set_password(root, user, PASSWORD, must_change=False)
    desk.models.enter(root, run_folder(tmp_path / "nodules", threshold_hu=250.0))
    desk.models.enter(root, risk_folder(tmp_path / "risk"), guideline=GUIDELINE)
    with serving(server) as url:
        yield Served(url, server.password or "")


def test_from_a_scan_to_a_signed_segmentation(page: Page, pictures):
    picture = Camera(page, pictures / "inference", desk=WIDE_DESK, settle_ms=600)
    page.set_viewport_size(WIDE_DESK)
    log_in(page, "clinician")
    page.get_by_role("link", name="Inference").click()
    picture("none", phone=True)
    ask(page, picture)
    look_around(page, picture)
    review(page, picture)
    hand_on(page, picture)
    assess(page, picture)
    for path in ("inference/", "released/", "released/1", "released/2"):
        page.goto(f"/{path}")
        picture(path.strip("/").replace("/", "-"), phone=True)
    in_chinese_and_dark(page, picture)


def ask(page: Page, picture) -> None:
    page.get_by_role("link", name="Ask a model").first.click()
    expect(page.get_by_label("Model")).to_be_visible()
    picture("new", phone=True)
    page.get_by_role("button", name="Look at the scan").click()
    expect(page.locator("[data-link]")).to_have_text("live")
    picture("waiting", phone=True)
    expect(page.locator("canvas[data-ready]")).to_be_visible(timeout=DONE_MS)
    expect(page.get_by_text("Research use only")).to_be_visible()
    expect(page.get_by_text("3 still to be reviewed")).to_be_visible()


def look_around(page: Page, picture) -> None:
    picture("viewer", phone=True)
    for number in (1, 2, 3):  # a click goes there: the crosshair is in a bright ball
        page.get_by_role("button", name=f"Go to finding {number}").click()
        where = page.locator("[data-where]")
        expect(where).to_have_text(re.compile(r"500 HU$"))
        at = [float(v) for v in where.inner_text().split(" mm")[0].split(" / ")]
        near = min(sum((a - b) ** 2 for a, b in zip(at, nodule, strict=True)) for nodule in NODULES)
        assert near < 9, at
    for name in ("Axial", "Coronal", "Sagittal", "3D", "Mediastinum", "Bone"):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute(
            "aria-pressed", "true"
        )
        picture(f"viewer-{name.lower()}")
    for name in ("All", "Lung"):
        page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_timeout(600)
    grey, yellow = drawn(page)
    assert grey > 0.2
    assert yellow > 0.0005


def test_findings_are_reviewed_with_the_keyboard_one_by_one(page: Page):
    log_in(page, "clinician")
    page.goto("/inference/new")
    page.get_by_role("button", name="Look at the scan").press("Enter")
    expect(page.locator("canvas[data-ready]")).to_be_visible(timeout=DONE_MS)
    correction = page.get_by_label("Longest diameter, mm")
    page.get_by_role("button", name="Save the correction").press("Enter")
    expect(correction).to_be_focused()
    page.keyboard.type("15.5")
    page.get_by_role("button", name="Accept").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("You have typed a correction")
    expect(correction).to_have_value("15.5")
    correction.press("Enter")  # which is not the first button of the form
    expect(page.locator("[data-number='1'] [data-cell=verdict]")).to_have_text("corrected")
    expect(page.locator("[data-number='1'] [data-cell=diameter]")).to_have_text("15.5 mm")
    page.get_by_role("button", name="Go to finding 2").press("Enter")
    accept = page.get_by_role("button", name="Accept")
    accept.focus()
    for _ in range(4):  # held down: Playwright says so of all but the first
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    expect(page.get_by_text("1 still to be reviewed")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(page.get_by_text("1 still to be reviewed")).to_be_visible()
    page.get_by_role("button", name="Reject").press("Enter")
    expect(page.get_by_text("All findings are reviewed.")).to_be_visible()
    expect(page.locator("[data-number='3'] [data-cell=verdict]")).to_have_text("rejected")


def drawn(page: Page) -> tuple[float, float]:
    """Which parts of the picture are grey, as a scan is, and yellow, as the chosen finding is."""
    image = Image.open(BytesIO(page.locator("canvas[data-ready]").screenshot())).convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(image, np.int16), -1, 0)
    grey = (red > 40) & (abs(red - green) < 10) & (abs(red - blue) < 10)
    yellow = (red > 120) & (green > 100) & (blue < red - 40)
    return float(grey.mean()), float(yellow.mean())


def review(page: Page, picture) -> None:
    page.get_by_role("button", name="Go to finding 1").click()
    page.get_by_label("Comment").fill("plain to see")
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("2 still to be reviewed")).to_be_visible()
    page.get_by_role("button", name="Go to finding 2").click()
    page.get_by_role("button", name="Save the correction").click()  # opens the form first
    page.get_by_label("Longest diameter, mm").fill("900")
    page.get_by_label("Longest diameter, mm").fill("15.5")
    page.get_by_label("Kind").select_option("part-solid")
    page.get_by_label("The centre is where the crosshair is").check()
    page.get_by_label("Comment").fill("<b>larger</b>")
    picture("correcting", phone=True)
    page.get_by_role("button", name="Save the correction").click()
    expect(page.get_by_text("1 still to be reviewed")).to_be_visible()
    expect(page.get_by_text("<b>larger</b>")).to_be_visible()
    expect(page.get_by_role("button", name="Sign the review")).to_be_disabled()
    page.get_by_role("button", name="Go to finding 3").click()
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("All findings are reviewed.")).to_be_visible()
    picture("reviewed", phone=True)


def hand_on(page: Page, picture) -> None:
    page.get_by_role("button", name="Sign the review").click()
    expect(page.get_by_text("Signed by 李 明")).to_be_visible()
    link = page.get_by_role("link", name="DICOM segmentation")
    expect(link).to_be_visible(timeout=DONE_MS)  # the page hears by itself that it is made
    expect(page.locator("canvas[data-ready]")).to_be_visible()
    picture("signed", phone=True)
    with page.expect_download() as loaded:
        link.click()
    document = hd.seg.segread(loaded.value.path())
    with page.expect_download() as loaded:
        page.get_by_role("link", name="DICOM structured report").click()
    report = hd.sr.srread(loaded.value.path())
    assert len(report.content.get_volumetric_roi_measurement_groups()) == 2
    assert [s.SegmentLabel for s in document.SegmentSequence] == ["Nodule 1", "Nodule 2"]
    assert "15.5 mm" in document.SegmentSequence[1].SegmentDescription
    assert "part-solid" in document.SegmentSequence[1].SegmentDescription
    with page.expect_download() as loaded:
        page.get_by_role("link", name="Report (PDF)").click()
    assert loaded.value.path().read_bytes().startswith(b"%PDF")


def assess(page: Page, picture) -> None:
    page.goto("/inference/new")
    page.get_by_role("link", name="A risk").click()
    for name in ("age", "size"):
        page.get_by_label(name).fill(str(ANSWERS[name]))
    page.get_by_label("smoker").select_option(str(ANSWERS["smoker"]))
    picture("form", phone=True)
    page.get_by_role("button", name="Compute the risk").click()
    expect(page.get_by_text("43.8 %")).to_be_visible(timeout=DONE_MS)
    expect(page.get_by_role("link", name=GUIDELINE["title"])).to_be_visible()
    picture("risk", phone=True)


def in_chinese_and_dark(page: Page, picture) -> None:
    page.goto("/inference/")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="推理")).to_be_visible()
    page.get_by_role("button", name="浅色或深色").click()
    picture("zh-list", phone=True)
    page.locator("tbody a").last.click()
    expect(page.locator("canvas[data-ready]")).to_be_visible()
    picture("zh-viewer", phone=True)
    page.goto("/inference/")
    page.locator("tbody a").first.click()
    expect(page.get_by_text("由临床医生查看模型的输出")).to_be_visible()
    picture("zh-risk", phone=True)
