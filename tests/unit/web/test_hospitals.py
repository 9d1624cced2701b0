"""Hospitals in the console, with a federation and without; settings."""

from __future__ import annotations

import re

import pytest
from consoles import csrf_of, stage_of
from sqlalchemy import select, update

from medfed.core.errors import SiteError
from medfed.federation.enrolment.code import InviteCode
from medfed.federation.enrolment.folder import init_coordinator
from medfed.federation.enrolment.roster import EnrolledSite, add_site
from medfed.federation.keys import fingerprint
from medfed.services.console import Console, Faces
from medfed.storage.database.tables import RunRow, SessionRow
from medfed.storage.database.types import now


@pytest.fixture
def keeper(tmp_path):
    keeper = init_coordinator(tmp_path / "federation", "https://127.0.0.1:8443", name="lungs")
    add_site(
        keeper.path,
        EnrolledSite("north", "", "ab:cd", "", "2026-11-01T10:00:00+00:00", "0.1.0"),
    )
    return keeper


@pytest.fixture
def attached(tmp_path, sqlite_url, keeper):
    return stage_of(tmp_path / "console", sqlite_url, federation=keeper.path)


def test_hospitals_that_runs_met_are_listed(stage):
    client = stage.client("viewer")
    page = client.get("/sites/").text
    assert "north" in page
    assert "on this machine" in page
    assert "/sites/invite" not in page
    (site,) = client.get("/api/v1/sites").json["items"]
    assert (site["name"], site["state"], site["replies"], site["patients"]) == (
        "north",
        "local",
        2,
        4,
    )
    refused = stage.post(stage.client("coordinator"), "/sites/invite", site="south")
    assert refused.status_code == 409
    assert "no federation" in refused.text


def test_hospitals_of_a_run_are_listed_before_their_first_reply(stage):
    with stage.console.database.write() as session:
        run = session.scalars(select(RunRow)).first()
        run.state, run.sites = "running", ["north", "west"]
    sites = stage.client("viewer").get("/api/v1/sites").json["items"]
    assert [(each["name"], each["replies"]) for each in sites] == [("north", 2), ("west", 0)]


def test_a_federation_is_shown_and_its_next_hospital_invited(attached, keeper):
    client = attached.client("coordinator")
    page = client.get("/sites/").text
    assert fingerprint(keeper.public_key()) in page
    assert "ab:cd" in page
    assert "not running" in page
    made = attached.post(client, "/sites/invite", site="south").text
    code = re.search(r"data-secret>([^<]+)<", made)[1]
    assert InviteCode.parse(code).site == "south"
    again = client.get("/sites/").text
    assert code not in again
    assert "south" in again
    assert attached.post(client, "/sites/invite", site="north").status_code == 422
    assert "does not run" in client.get("/").text
    acts = attached.client("auditor").get("/audit/?q=site.invite").text
    assert "site south" in acts
    assert code not in acts


def test_an_invitation_asks_for_the_password_again(attached):
    client = attached.client("coordinator")
    header = {"X-CSRFToken": csrf_of(client, "/sites/")}
    with attached.console.database.write() as session:
        session.execute(update(SessionRow).values(confirmed=now().replace(year=2025)))
    asked = attached.post(client, "/sites/invite", site="south")
    assert asked.headers["Location"] == "/confirm?next=/sites/"
    there = "/api/v1/sites/invitations"
    assert client.post(there, json={"site": "south"}, headers=header).status_code == 403


def test_a_folder_that_is_no_coordinators_is_refused_at_the_start(tmp_path, sqlite_url):
    with pytest.raises(SiteError, match="not a coordinator's folder"):
        Console.open(tmp_path / "console", sqlite_url, faces=Faces(federation=tmp_path))


def test_a_federation_is_a_way_to_run(attached):
    assert attached.console.runs.engines() == ["local", "flower", "federation"]


def test_settings_show_no_secret(stage):
    page = stage.client("administrator").get("/settings/").text
    assert "sqlite" in page
    assert stage.console.place.key.hex() not in page
    assert stage.client("viewer").get("/settings/").status_code == 403


def test_programs_read_the_settings_by_their_keys(stage):
    told = stage.client("coordinator").get("/api/v1/settings").json["groups"]
    found = {
        f"{group['key']}.{fact['key']}": fact["value"] for group in told for fact in group["facts"]
    }
    assert found["database.kind"] == "sqlite"
    assert found["people.shortest_password"] == "12 characters"
    assert found["people.session_unused_minutes"] == "120 minutes"
    assert found["program.folder"] == str(stage.console.place.path)
    assert stage.console.place.key.hex() not in str(told)
    assert stage.client("viewer").get("/api/v1/settings").status_code == 403
