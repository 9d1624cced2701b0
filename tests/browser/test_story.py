"""The whole story in one test, in a real browser; and once more as in production.

The first time one console shows both faces, as that of ``medfed demo`` does: hospital-1's, and the
coordinator's, which runs the study over it and hospital-2. The second time each is by itself behind
the nginx of deploy/, with TLS: the coordinator's as two processes of gunicorn on PostgreSQL, and
the hospital's, which knows the folder of its site only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import databases
import pytest
from browser import story
from browser.conftest import Served
from browser.shots import WIDE_DESK, Camera
from browsing import opened
from consoles import serving
from front import Front, behind
from hospitals import zipped
from playwright.sync_api import Browser, Page, expect
from production import Production

from medfed.connectors.phantom import make_phantom
from medfed.services.console import Faces
from medfed.services.sites import create_site
from medfed.web import WebOptions
from medfed.web.server import Server

pytestmark = [
    pytest.mark.needs_package("chromium"),
    pytest.mark.slow,
    pytest.mark.longest,
    pytest.mark.timeout(900),
]

OWN, HERS = "nine brown foxes run", "five grey herons wade"
SEED = 3
WAIT_MS = 120_000
expect.set_options(timeout=WAIT_MS)  # a busy machine is no failure


@dataclass(frozen=True)
class Sent:
    """What the hospitals have: patients to learn from, and a scan to be sent."""

    patients: Path
    scan: Path


@pytest.fixture(scope="module")
def sent(tmp_path_factory) -> Sent:
    """Synthetic patients of both hospitals, and the CT of one of them as DICOM in a zip: a model
    that has learnt anything marks something in it.
    """
    folder = tmp_path_factory.mktemp("phantom")
    make_phantom(folder / "two", hospitals=story.HOSPITALS, patients=4, seed=SEED)
    made = folder / "one"
    make_phantom(made, hospitals=story.HOSPITALS[:1], patients=1, seed=SEED, dicom=True)
    scan = folder / "export.zip"
    scan.write_bytes(zipped(next(made.glob("*/*/dicom"))))
    return Sent(folder / "two", scan)


def test_from_the_first_log_in_to_a_dicom_segmentation(
    sent: Sent, chromium: Browser, tmp_path: Path, pictures: Path
):
    site = tmp_path / "site"
    create_site(site, story.HOSPITALS[0], None)
    faces = Faces(site=site, coordinates=True)
    environment = {"OMP_NUM_THREADS": "1", "MEDFED_DATA": str(sent.patients), "MEDFED_THREADS": "1"}
    server = Server(tmp_path / "console", faces=faces, environment=environment, bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url) as page:
        sit_down(page)
        take = Camera(page, pictures / "story", desk=WIDE_DESK)
        story.log_in_first(page, "admin", server.password or "", OWN)
        take("overview", phone=True)
        tell(page, page, sent, tmp_path, take)


@pytest.mark.needs_package("nginx")
@pytest.mark.needs_package("openssl")
@pytest.mark.needs_package("postgresql")
def test_the_same_through_nginx(sent: Sent, chromium: Browser, tmp_path: Path, postgres: str):
    with (
        coordinator_behind_nginx(tmp_path / "coordinator", postgres, sent.patients) as ours,
        hospital_behind_nginx(tmp_path / "hospital") as theirs,
        opened(chromium, ours.url) as coordinator,
        opened(chromium, theirs.url) as hospital,
    ):
        for page, served in ((coordinator, ours), (hospital, theirs)):
            sit_down(page)
            story.log_in_first(page, "admin", served.password, OWN)
        tell(coordinator, hospital, sent, tmp_path, lambda name, phone=False: None)


def sit_down(page: Page) -> None:
    """A large screen, and all patience."""
    page.set_viewport_size(WIDE_DESK)
    page.set_default_timeout(WAIT_MS)
    page.set_default_navigation_timeout(WAIT_MS)


def tell(coordinator: Page, hospital: Page, sent: Sent, folder: Path, take: story.Take) -> None:
    """The story from where the first people have logged in; the two pages may be the same."""
    given = story.make_the_clinician(hospital, take)
    story.send_a_scan(hospital, sent.scan, take)
    story.write_a_study(coordinator, take)
    story.run_it(coordinator, take)
    files = story.release_it(coordinator, folder, take)
    story.bring_it_in(hospital, files, take)
    hospital.get_by_role("button", name="Log out").click()
    story.log_in_first(hospital, "li.wei", given, HERS)
    story.ask_about_the_scan(hospital, take)
    story.review(hospital, take)
    story.take_the_segmentation(hospital, take)


@contextmanager
def coordinator_behind_nginx(folder: Path, postgres: str, data: Path) -> Iterator[Served]:
    with databases.postgres_database(postgres) as url:
        production = Production(folder, url)
        production.environment |= {"MEDFED_DATA": str(data), "MEDFED_THREADS": "1"}
        try:
            production.start()
            yield Served(production.url, production.first_password())
        finally:
            production.stop()


@contextmanager
def hospital_behind_nginx(folder: Path) -> Iterator[Served]:
    folder.mkdir()
    site, front = folder / "site", Front(folder)
    create_site(site, story.HOSPITALS[0], None)
    options, faces = WebOptions(url=front.url), Faces(site=site, coordinates=False)
    server = Server(site / "console", faces=faces, options=options, bcrypt_rounds=4)
    with serving(server), behind(front, server.port):
        yield Served(front.url, server.password or "")
