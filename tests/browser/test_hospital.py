"""What people of a hospital do with their console: send scans, look at them, delete one."""

from __future__ import annotations

import base64
import re
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from accounting import PASSWORD, accounts_of
from browser.conftest import Served
from browser.shots import Camera
from browsing import log_in, until
from consoles import WANG, serving
from hospitals import zipped
from playwright.sync_api import Browser, Page, expect

from medfed.connectors.phantom import make_phantom
from medfed.services.console import Faces
from medfed.services.sites import create_site
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow]

WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)  # a busy machine is no failure


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    """Two patients of a hospital that does not exist, and one as a zip of DICOM."""
    folder = tmp_path_factory.mktemp("phantom") / "two"
    make_phantom(folder, hospitals=1, patients=2, seed=5)
    third = folder.parent / "third"
    make_phantom(third, hospitals=["other"], patients=1, seed=6, dicom=True)
    series = next(third.glob("other/*/dicom"))
    (folder.parent / "third.zip").write_bytes(zipped(series))
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A hospital's console with a user for each role."""
    site = tmp_path / "site"
    create_site(site, "north", None)
    faces = Faces(site=site, coordinates=False)
    server = Server(site / "console", faces=faces, bcrypt_rounds=4)
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


def test_from_an_empty_hospital_to_a_scan_that_is_looked_at(page: Page, phantom, pictures):
    picture = partial(Camera(page, pictures / "hospital"), phone=True)
    log_in(page, "data-steward")
    expect(page.get_by_role("link", name="Studies")).to_have_count(0)
    picture("overview-empty")
    page.get_by_role("navigation").get_by_role("link", name="Data", exact=True).click()
    picture("data-empty")
    send_a_folder(page, phantom, picture)
    send_a_zip(page, phantom.parent / "third.zip")
    look(page, picture)
    delete(page, picture)
    page.get_by_role("button", name="中文").click()
    for path in ("", "data/", "imports/", "imports/new", "help/"):
        page.goto(f"/{path}")
        picture(f"zh-{path.strip('/').replace('/', '-') or 'overview'}")
    page.goto("/imports/")
    page.locator("tbody a").last.click()
    picture("zh-import")


def send_a_folder(page: Page, phantom: Path, picture) -> None:
    page.get_by_role("link", name="Add the first scans").click()
    expect(page.get_by_role("button", name="Send and import")).to_be_disabled()
    picture("import-new")
    page.locator("[data-folder]").set_input_files(phantom)
    expect(page.get_by_text("README.txt is of no kind that can be taken")).to_be_visible()
    expect(page.get_by_role("radio", name="Each patient has a folder")).to_be_checked()
    picture("import-chosen")
    page.get_by_role("button", name="Send and import").click()
    page.wait_for_url(re.compile("/imports/[0-9a-f]{32}$"))
    expect(page.get_by_role("link", name="To the data")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".tile", has_text="Taken in").locator("b")).to_have_text("2")
    picture("import-done")
    page.get_by_role("link", name="To the data").click()
    expect(page.locator("img.thumbnail")).to_have_count(2)


def send_a_zip(page: Page, file: Path) -> None:
    """Dropped on the page, as a browser does it."""
    page.get_by_role("link", name="Add scans").click()
    content = base64.b64encode(file.read_bytes()).decode()
    dropped = page.evaluate_handle(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "third.zip"));
          return transfer;
        }""",
        content,
    )
    page.locator("[data-drop]").dispatch_event("drop", {"dataTransfer": dropped})
    expect(page.locator("[data-list] li")).to_have_count(1)
    page.get_by_role("button", name="Send and import").click()
    page.wait_for_url(re.compile("/imports/[0-9a-f]{32}$"))
    expect(page.locator(".tile", has_text="Taken in").locator("b")).to_have_text("1")
    page.get_by_role("link", name="To the data").click()


def look(page: Page, picture) -> None:
    expect(page.locator("img.thumbnail")).to_have_count(3)
    until(page, "[...document.querySelectorAll('img.thumbnail')].every((p) => p.naturalWidth > 0)")
    picture("data")
    page.get_by_role("searchbox").fill("MetaImage")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("img.thumbnail")).to_have_count(2)
    page.locator("tbody a", has_text="s-").first.click()
    axial = page.locator("[data-plane=axial]")
    before = axial.locator("[data-number]").inner_text()
    axial.locator(".frame").hover()
    page.mouse.wheel(0, 120)
    expect(axial.locator("[data-number]")).not_to_have_text(before)
    axial.locator(".frame").press("ArrowDown")
    expect(axial.locator("[data-number]")).to_have_text(before)
    page.get_by_label("Window").select_option("soft-tissue")
    page.locator("[data-plane=coronal] .frame").click(position={"x": 40, "y": 30})
    expect(axial.locator("[data-number]")).not_to_have_text(before)
    until(
        page,
        "[...document.querySelectorAll('.frame img')].every((p) => p.complete && p.naturalWidth)",
    )
    picture("scan-soft-tissue")
    page.get_by_label("Window").select_option("lung")
    picture("scan")


def delete(page: Page, picture) -> None:
    page.get_by_role("link", name="Delete").click()
    picture("scan-delete")
    page.get_by_role("checkbox", name="I want it deleted").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The scan is deleted.")).to_be_visible()
    expect(page.locator("img.thumbnail")).to_have_count(2)


WRONG = {
    "noise.nii": (b"no picture" * 99, "noise.nii is no NIfTI"),
    "ct.mhd": (b"NDims = 3", "ct.mhd is no MetaImage header: it lacks DimSize"),
    "torn.zip": (b"PK" + b"torn" * 99, "The zip file is damaged"),
    "letters.zip": (None, "Nothing was taken in"),
    "gaps.csv": (b"age,sex\n1,2,3\n", "line 2 of gaps.csv has 3 values for 2 columns"),
}
"""Files of each kind that are no such thing, and some of what is said of them."""


def test_a_wrong_file_of_each_kind_is_refused_in_words(page: Page, tmp_path, pictures):
    log_in(page, "data-steward")
    with zipfile.ZipFile(tmp_path / "letters.zip", "w") as packed:
        packed.writestr("letter.txt", "Dear colleague")
    for name, (content, words) in WRONG.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        page.goto("/imports/new")
        page.locator("[data-files]").set_input_files(tmp_path / name)
        page.get_by_role("button", name="Send and import").click()
        page.wait_for_url(re.compile("/imports/[0-9a-f]{32}$"))
        expect(page.get_by_role("main")).to_contain_text(words)
        expect(page.locator(".tile", has_text="Taken in").locator("b")).to_have_text("0")
        Camera(page, pictures / "hospital")(f"wrong-{name}")


def test_a_table_is_sent_looked_at_and_deleted(page: Page, tmp_path):
    log_in(page, "data-steward")
    (tmp_path / "north.csv").write_text("age,sex,ill\n61,F,1\n44,M,0\n,F,0\n", "utf-8")
    page.goto("/imports/new")
    page.locator("[data-files]").set_input_files(tmp_path / "north.csv")
    page.get_by_role("button", name="Send and import").click()
    page.wait_for_url(re.compile("/imports/[0-9a-f]{32}$"))
    expect(page.get_by_role("main")).to_contain_text("rows: 3, columns: 3, gaps: 1")
    expect(page.locator(".tile", has_text="Taken in").locator("b")).to_have_text("1")
    page.get_by_role("link", name="north.csv").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("north.csv")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("checkbox", name="I want it deleted").check()
    page.get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("/data/"))
    expect(page.get_by_role("link", name="north.csv")).to_have_count(0)


def test_what_is_sent_survives_a_page_that_is_loaded_again(chromium: Browser, tmp_path, server):
    """A person closes the page in the middle, comes back, chooses the same file, and goes on."""
    # A page of its own: this one may complain of a network that is gone.
    context = chromium.new_context(base_url=f"http://127.0.0.1:{server.port}", locale="en-GB")
    page = context.new_page()
    content = bytes(range(256)) * 400_000
    file = tmp_path / "large.nii"
    file.write_bytes(content)
    log_in(page, "data-steward")
    page.goto("/imports/new")
    page.locator("[data-files]").set_input_files(file)
    # The first piece arrives whole; then the network is gone.
    sent = []

    def only_once(route) -> None:
        sent.append(route.request)
        if len(sent) == 1:
            route.continue_()
        else:
            route.abort()

    page.route(re.compile("/api/v1/uploads/"), only_once)
    page.get_by_role("button", name="Send and import").click()
    expect(page.get_by_text("connection lost")).to_be_visible()
    uploads = server.console.hospital.uploads
    job = page.url.partition("import=")[2]
    (row,) = uploads.of_job(job)
    assert 0 < row.received < len(content)
    page.unroute_all()
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.locator("[data-files]").set_input_files(file)
    page.get_by_role("button", name="Send and import").click()
    page.wait_for_url(re.compile("/imports/[0-9a-f]{32}$"))
    kept = server.console.hospital.jobs.folder(job) / "files" / "large.nii"
    expect(page.get_by_role("heading", name="Refused")).to_be_visible()
    assert kept.read_bytes() == content
    context.close()
