"""What a hospital takes part in: shown, approved by digest by a person, withdrawn, recorded."""

from __future__ import annotations

import errno
import json
from dataclasses import replace

import pytest
from accounting import BREAST_CANCER, identity
from consoles import Stage, stage_of
from sqlalchemy import event
from sqlalchemy.orm import Session
from working_sites import a_study

from medfed.core.errors import AccessError, Refused, StudyError
from medfed.federation.audit.log import AuditLog
from medfed.federation.keys import load_key
from medfed.federation.site_folder import SiteFolder
from medfed.services.accounts.login import Unconfirmed
from medfed.services.audit import entries
from medfed.services.hospital.participation import Participation
from medfed.services.reports.toml_text import study_toml
from medfed.services.trouble import Conflict, Missing
from medfed.services.trouble import Refused as Unfit
from medfed.storage.database.tables import SessionRow
from medfed.storage.database.types import now

DIGEST = a_study().digest


@pytest.fixture
def here(hospital: Stage) -> Participation:
    assert hospital.console.hospital is not None
    return hospital.console.hospital.participation


@pytest.fixture
def steward(hospital: Stage):
    return identity(hospital.console.accounts, "data-steward")


def test_a_study_is_proposed_approved_and_withdrawn(hospital, here, steward):
    folder = SiteFolder(hospital.console.hospital.site)
    here.propose(steward, BREAST_CANCER)
    (asking,) = here.list()
    assert (asking.study.digest, asking.approved) == (DIGEST, None)
    with pytest.raises(Refused):
        folder.approved(DIGEST)  # looking at it approved nothing
    done = here.approve(steward, DIGEST)
    assert (done.by, done.approved is not None) == ("data-steward", True)
    assert folder.approved(DIGEST) == a_study()
    with pytest.raises(Conflict, match="already"):
        here.approve(steward, DIGEST)
    assert here.withdraw(steward, DIGEST).approved is None
    with pytest.raises(Refused):
        folder.approved(DIGEST)
    here.dismiss(steward, DIGEST)
    assert here.list() == []
    rows = entries(hospital.console.database, words="participation")
    said = [(row.actor, row.subject, row.reason) for row in reversed(rows)]
    assert said == [
        ("data-steward", f"study {DIGEST}", reason)
        for reason in ("added, asks for approval", "approved", "withdrawn", "removed")
    ]


def test_the_canonical_json_is_the_same_study(here, steward):
    text = json.dumps({**a_study().to_json(), "digest": "whatever it says"})
    assert here.propose(steward, text).digest == DIGEST


def test_what_was_approved_at_the_machine_is_shown_too(hospital, here):
    SiteFolder(hospital.console.hospital.site).approve(a_study())
    (row,) = here.list()
    assert (row.by, row.approved is not None) == ("", True)


def test_a_name_does_not_outlive_its_approval(hospital, here, steward):
    here.propose(steward, BREAST_CANCER)
    here.approve(steward, DIGEST)
    folder = SiteFolder(hospital.console.hospital.site)
    folder.revoke(DIGEST)  # at the machine, of which the console's record knows nothing
    folder.approve(a_study())
    assert here.find(DIGEST).by == ""


@pytest.mark.parametrize("when", ["before_flush", "before_commit"])
def test_what_cannot_be_recorded_is_not_approved(hospital, here, steward, when):
    here.propose(steward, BREAST_CANCER)
    folder = SiteFolder(hospital.console.hospital.site)

    def fail(session, *_):
        if session.new if when == "before_flush" else folder.approvals():
            raise OSError("the database is gone")

    event.listen(Session, when, fail)
    try:
        with pytest.raises(OSError, match="the database is gone"):
            here.approve(steward, DIGEST)
    finally:
        event.remove(Session, when, fail)
    assert folder.approvals() == []
    assert here.find(DIGEST).approved is None
    assert here.approve(steward, DIGEST).by == "data-steward"


def test_a_full_disk_keeps_nobody_from_withdrawing(hospital, here, steward, monkeypatch):
    here.propose(steward, BREAST_CANCER)
    here.approve(steward, DIGEST)

    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("medfed.services.hospital.participation.write_atomic", full)
    assert here.withdraw(steward, DIGEST).approved is None
    with pytest.raises(Refused):
        SiteFolder(hospital.console.hospital.site).approved(DIGEST)
    assert entries(hospital.console.database, words="participation")[0].reason == "withdrawn"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("rounds = ", StudyError, "TOML"),
        ('title = "x"', StudyError, "problems"),
        ("{}", StudyError, "no study"),
        ('{"sites": 3}', StudyError, "no study"),
        ('{"a": ' + "[" * 90_000, StudyError, "no study"),
        ("x" * 200_000, StudyError, "at most"),
        (study_toml(a_study(sites=("west", "south", "east"))), Unfit, "does not ask north"),
    ],
)
def test_what_is_no_study_for_this_hospital_is_refused_and_not_kept(
    here, steward, text, error, words
):
    with pytest.raises(error, match=words):
        here.propose(steward, text)
    assert here.list() == []


def test_only_a_steward_who_has_just_shown_who_they_are_approves(hospital, here, steward):
    here.propose(steward, BREAST_CANCER)
    for name in ("clinician", "viewer", "auditor", "administrator", "coordinator"):
        with pytest.raises(AccessError, match="none of your roles"):
            here.approve(identity(hospital.console.accounts, name), DIGEST)
    with pytest.raises(AccessError, match="a program"):
        here.approve(replace(steward, scopes=frozenset({"participation.*"})), DIGEST)
    with hospital.console.database.write() as session:
        session.get_one(SessionRow, steward.session).confirmed = now().replace(year=2025)
    with pytest.raises(Unconfirmed):
        here.approve(steward, DIGEST)
    assert here.find(DIGEST).approved is None


@pytest.mark.parametrize("digest", ["0" * 64, "../key", "", "."])
def test_what_is_not_there_is_missing(here, steward, digest):
    for act in (here.approve, here.withdraw, here.dismiss):
        with pytest.raises(Missing):
            act(steward, digest)


def test_a_study_that_was_changed_on_the_disk_is_no_longer_there(here, steward):
    here.propose(steward, BREAST_CANCER)
    (file,) = here._proposed.iterdir()
    file.write_text(json.dumps(a_study(rounds=99).to_json()))
    assert here.list() == []


def test_what_the_coordinator_asked_for_in_vain_is_told(hospital, here, steward):
    site = hospital.console.hospital.site
    log = AuditLog(site, "north", load_key(site))
    for order in ("1", "2"):
        asked = {"run": "r", "study": DIGEST, "order": order, "name": "not-approved"}
        log.add("refusal", asked)
    log.add("refusal", {"run": "r", "study": "ab", "order": "3", "name": "too-few-patients"})
    (turned,) = here.turned_away()
    assert (turned.digest, turned.times) == (DIGEST, 2)
    here.propose(steward, BREAST_CANCER)
    assert here.turned_away() == []


def test_studies_of_a_console_with_both_faces_ask_by_themselves(tmp_path, sqlite_url):
    stage = stage_of(tmp_path / "console", sqlite_url)
    from medfed.services.sites import create_site

    create_site(tmp_path / "site", "north", None)
    create_site(tmp_path / "other", "elsewhere", None)
    for name, count in (("site", 1), ("other", 0)):
        found = Participation(tmp_path / name, stage.console.database, tmp_path / "console")
        assert len(found.list()) == count
