"""A hospital's every page, light and dark, on a desk and a phone: axe finds nothing serious."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from accounting import EXAMPLES, PASSWORD, identity
from browser.axe import faults, go, paths
from browsing import log_in, opened
from clinics import HOSPITAL, Clinic, clinic_of
from consoles import SITE, serving
from hospitals import Sender, series_zip
from playwright.sync_api import Page, expect
from working_sites import worked

from medfed.core.files import canonical_json
from medfed.core.ledger import Spend
from medfed.core.mechanism import Cost, NoisyAnswer
from medfed.core.study_file import read_study
from medfed.services.accounts import Identity
from medfed.services.console import Faces
from medfed.services.sites import open_ledger
from medfed.web.server import Server

pytestmark = [pytest.mark.needs_package("chromium"), pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Identity(id=1, name="admin", rights=frozenset({"user.manage"}))
PRIVATE = EXAMPLES / "breast_cancer_dp.toml"
ROLES = ["administrator", "auditor", "clinician", "data-steward"]
ELSEWHERE = ("access.", "people.", "roles.", "profile.", "audit.", "guide.")
"""The coordinator's console has them too: see test_accessible.py."""
TABLE = b"patient,age,diagnosis\n" + b"".join(b"p%d,%d,0\n" % (i, 40 + i) for i in range(9))


@dataclass(frozen=True)
class Lived:
    """A hospital where everything has happened, and what its pages are about."""

    clinic: Clinic
    shown: dict[str, object]
    more: list[str]


@pytest.fixture
def lived(tmp_path: Path) -> Lived:
    """It took part in a run, spent privacy, imported scans and a table; models looked at them."""
    shutil.copytree(worked(), tmp_path / HOSPITAL / SITE)
    clinic = clinic_of(tmp_path)
    console = clinic.stage.console
    user, _ = console.accounts.create(ROOT, "all", "All Rights", ROLES)
    console.accounts._set_password(ROOT, user, PASSWORD, must_change=False)
    steward = identity(console.accounts, "data-steward")
    study = read_study(PRIVATE)
    console.hospital.participation.propose(steward, PRIVATE.read_text("utf-8"))
    cost = Cost("patient", (NoisyAnswer("gaussian", 1.5, 0.2, 9),))
    source = canonical_json(study.source.to_json()).decode()
    work = Spend(study.digest, study.title, "first", "0", 1, "train", source, ("p1", "p2"), cost)
    open_ledger(console.hospital.site).spend(work)
    sender = Sender(clinic.stage)
    job = sender.begin()
    sender.send(job, "scans.zip", series_zip(tmp_path / "more"))
    sender.send(job, "notes.dcm", b"no scan")
    sender.send(job, "north.csv", TABLE)
    sender.run(job)
    signed, open_, risk = clinic.signed(), clinic.looked(), clinic.assessed()
    (run, *_) = console.hospital.receipts.runs()
    shown = {
        "scan": clinic.scan, "job": job, "digest": study.digest, "run": run.run,
        "inference": open_, "number": clinic.nodules,
        "tables.show": {"name": "north.csv"}, "tables.delete": {"name": "north.csv"},
        "inference.form": {"number": clinic.risk},
    }  # fmt: skip
    return Lived(clinic, shown, [f"/inference/{signed}", f"/inference/{risk}"])


@pytest.fixture
def page(lived: Lived, chromium) -> Iterator[Page]:
    site = lived.clinic.stage.console.hospital.site
    lived.clinic.stage.console.close()
    server = Server(site / "console", faces=Faces(site, coordinates=False), bcrypt_rounds=4)
    with serving(server) as url, opened(chromium, url, strict=False) as made:
        yield made


def test_no_page_of_a_hospital_shuts_anybody_out(page: Page, lived: Lived):
    log_in(page, "all")
    found: list[str] = []
    for path in [*paths(lived.clinic.stage.app, lived.shown, without=ELSEWHERE), *lived.more]:
        go(page, path)
        if page.locator("[data-canvas]").count():
            expect(page.locator("canvas[data-ready]")).to_be_visible(timeout=60_000)
        found += faults(page, path)
    assert not found, "\n".join(found)
