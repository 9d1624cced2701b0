"""Pages and API of what a hospital takes part in, and of what left it."""

from __future__ import annotations

import io
import json
import shutil
from itertools import count

import pytest
from accounting import BREAST_CANCER, EXAMPLES, identity
from consoles import Stage, csrf_of
from sqlalchemy import update
from working_sites import a_study, worked

from medfed.core.study_file import read_study
from medfed.federation.site_folder import SiteFolder
from medfed.services.accounts import tokens
from medfed.services.neighbours import Neighbour
from medfed.services.reports.toml_text import study_toml
from medfed.storage.database.tables import SessionRow
from medfed.storage.database.types import now

API = "/api/v1"
DIGEST = a_study().digest


@pytest.fixture
def busy(hospital: Stage) -> Stage:
    """A hospital from which something has left."""
    site = hospital.console.hospital.site
    for name in ("receipts", "audit", "key.pem", "key.pub", "site.toml"):
        source, target = worked() / name, site / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return hospital


def test_a_steward_reads_approves_and_withdraws(hospital):
    client = hospital.client("data-steward")
    site = SiteFolder(hospital.console.hospital.site)
    assert "No study asks" in client.get("/participation/").text
    files = {"file": (io.BytesIO(BREAST_CANCER.encode()), "study.toml")}
    form = {"csrf_token": csrf_of(client, "/profile/"), **files}
    sent = client.post("/participation/", data=form, content_type="multipart/form-data")
    path = sent.headers["Location"]
    assert path == f"/participation/{DIGEST}"
    assert "ask for this hospital’s approval: 1" in client.get("/").text
    page = client.get(path).text
    for words in ("What it would do here", "What would leave", "Scans, rows of tables", DIGEST):
        assert words in page
    assert "The coordinator sees what this hospital sends by itself" in page
    assert "no privacy lines" in page
    assert hospital.post(client, f"{path}/approve").status_code == 302
    assert [study.digest for study in site.approvals()] == [DIGEST]
    assert "approved here" in client.get("/participation/").text
    assert hospital.post(client, f"{path}/withdraw").status_code == 302
    assert site.approvals() == []
    assert hospital.post(client, f"{path}/remove").headers["Location"] == "/participation/"
    acts = hospital.client("auditor").get("/audit/?q=participation").text
    assert acts.count(DIGEST) == 4


def test_approving_asks_for_the_password_again_and_comes_back(hospital):
    client = hospital.client("data-steward")
    hospital.post(client, "/participation/", text=BREAST_CANCER)
    with hospital.console.database.write() as session:
        session.execute(update(SessionRow).values(confirmed=now().replace(year=2025)))
    asked = hospital.post(client, f"/participation/{DIGEST}/approve", page="/profile/")
    assert asked.headers["Location"] == f"/confirm?next=/participation/{DIGEST}"
    assert SiteFolder(hospital.console.hospital.site).approvals() == []


def test_what_is_wrong_with_a_file_is_said(hospital):
    client = hospital.client("data-steward")
    answer = hospital.post(client, "/participation/", text='title = "<script>alert(1)</script>"')
    assert answer.status_code == 422
    assert '<b>Hospitals</b> <code class="muted">sites</code>' in answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize("language", ["en", "zh_Hans_CN"])
def test_protections_are_said_in_the_readers_language(hospital, language):
    study = read_study(EXAMPLES / "breast_cancer_secure.toml")
    client = hospital.client("data-steward")
    hospital.post(client, "/participation/", text=study_toml(study))
    hospital.post(client, "/language", language=language)
    page = client.get(f"/participation/{study.digest}").text
    assert ("Does not protect against" in page) == (language == "en")
    assert ("不能防" in page) == (language != "en")


def test_receipts_are_shown_and_loaded(busy):
    client = busy.client("auditor")
    page = client.get("/receipts/").text
    assert "nothing was changed" in page
    (run,) = busy.console.hospital.receipts.runs()
    page = client.get(f"/receipts/{run.run}").text
    assert page.count("No patient&#39;s record was in it.") == run.count
    assert "not good" not in page
    for path in (f"/receipts/{run.run}/receipts.jsonl", "/receipts/receipts.jsonl"):
        answer = client.get(path)
        assert "attachment" in answer.headers["Content-Disposition"]
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line["signature"] for line in lines] == [
            each.content["signature"] for each in busy.console.hospital.receipts.of_run(run.run)
        ]
    busy.post(client, "/language", language="zh_Hans_CN")
    page = client.get(f"/receipts/{run.run}").text
    assert "No patient" not in page
    assert client.get("/receipts/none").status_code == 404


def test_a_changed_record_is_told_on_the_page(busy):
    (file,) = (busy.console.hospital.site / "receipts").glob("*.jsonl")
    file.write_text(file.read_text().replace('"patients": ', '"patients": 1', 1))
    client = busy.client("data-steward")
    assert "not as it was signed" in client.get("/receipts/").text
    assert "not good" in client.get(f"/receipts/{file.stem}").text
    file.write_text("{\n")
    assert "cannot be read" in client.get("/receipts/").text


def test_the_api_tells_and_lets_no_program_approve(busy):
    accounts = busy.console.accounts
    who = identity(accounts, "data-steward")
    secret = tokens.make_token(accounts.database, who, "t", ["participation", "read"], 1)
    client = busy.app.test_client()

    def call(method: str, path: str, **more):
        headers = {"Authorization": f"Bearer {secret}"}
        return client.open(API + path, method=method, headers=headers, **more)

    made = call("POST", "/participation", json={"toml": BREAST_CANCER})
    assert (made.status_code, made.json["approved"]) == (201, None)
    assert call("GET", "/participation").json["total"] == 1
    whole = call("GET", f"/participation/{DIGEST}").json
    assert len(whole["does"]) > 4
    assert whole["protections"] == []
    refused = call("POST", f"/participation/{DIGEST}/approve")
    assert refused.status_code == 422
    assert "a program cannot approve" in refused.text
    busy.console.hospital.participation.approve(who, DIGEST)
    assert call("POST", f"/participation/{DIGEST}/withdraw").json["approved"] is None
    assert call("DELETE", f"/participation/{DIGEST}").status_code == 204
    assert call("GET", f"/participation/{DIGEST}").status_code == 404
    (run,) = call("GET", "/receipts").json["items"]
    rows = call("GET", f"/receipts/runs/{run['run']}?limit=1").json
    assert (rows["total"], len(rows["items"])) == (run["count"], 1)
    assert rows["items"][0]["good"] is True
    assert call("GET", "/receipts/verdict").json["faults"] == []


def test_the_hospitals_own_least_number_of_patients_is_told_where_it_is_higher(hospital):
    site = hospital.console.hospital.site
    settings = (site / "site.toml").read_text()
    (site / "site.toml").write_text(settings.replace("min_patients = 1", "min_patients = 77"))
    client = hospital.client("data-steward")
    hospital.post(client, "/participation/", text=BREAST_CANCER)
    assert "fewer than 77 training patients" in client.get(f"/participation/{DIGEST}").text


def test_a_file_that_is_no_utf_8_is_refused_and_not_changed(hospital):
    client = hospital.client("data-steward")
    content = BREAST_CANCER.replace('title = "', 'title = "\xfc', 1).encode("latin-1")
    files = {"file": (io.BytesIO(content), "study.toml")}
    form = {"csrf_token": csrf_of(client, "/profile/"), **files}
    sent = client.post("/participation/", data=form, content_type="multipart/form-data")
    assert sent.status_code == 422
    assert "not UTF-8" in sent.text
    assert hospital.console.hospital.participation.list() == []


def test_only_what_was_sent_can_be_removed(hospital):
    studies = hospital.console.studies
    who = identity(hospital.console.accounts, "coordinator")
    study = studies.create(who, BREAST_CANCER)
    studies.approve(who, study.id, study.digest)
    client = hospital.client("data-steward")
    path = f"/participation/{DIGEST}"
    assert f"{path}/remove" not in client.get(path).text
    hospital.post(client, "/participation/", text=BREAST_CANCER)
    assert f"{path}/remove" in client.get(path).text


def test_a_page_of_receipts_says_that_they_are_being_written(busy, monkeypatch):
    (file,) = (busy.console.hospital.site / "receipts").glob("*.jsonl")
    file.write_text(file.read_text().replace('"patients": ', '"patients": 1', 1))
    client, times, other = busy.client("auditor"), count(), file.with_name("other.jsonl")
    wait = "medfed.services.hospital.receipts.time.sleep"  # of everybody: a log-in may wait too
    monkeypatch.setattr(wait, lambda _: other.write_text("\n" * next(times)))
    page = client.get("/receipts/").text
    assert "being written just now" in page
    assert "not as it was signed" not in page


def test_a_damaged_receipt_is_said_to_be_that_on_its_page(busy):
    (file,) = (busy.console.hospital.site / "receipts").glob("*.jsonl")
    first, *rest = file.read_text().splitlines(keepends=True)
    broken = {**json.loads(first), "bytes": "many"}
    file.write_text("".join([json.dumps(broken) + "\n", *rest]))
    answer = busy.client("auditor").get(f"/receipts/{file.stem}")
    assert answer.status_code != 500
    assert "a receipt is damaged" in answer.text.lower()


def test_the_demo_says_that_withdrawing_stops_nothing_there(hospital):
    client = hospital.client("data-steward")
    hospital.post(client, "/participation/", text=BREAST_CANCER)
    path = f"/participation/{DIGEST}"
    assert "In this demo" not in client.get(path).text
    hospital.app.extensions["medfed-neighbours"] = (
        Neighbour("north", ""),
        Neighbour("south", "http://127.0.0.1:1", coordinates=True),
    )
    page = client.get(path).text
    assert "stops no run" in page
    assert '<a href="http://127.0.0.1:1">Coordinator, south</a>' in page
    hospital.post(client, "/language", "/profile/", language="zh_Hans_CN")
    assert '<a href="http://127.0.0.1:1">协调端，south</a>' in client.get(path).text  # noqa: RUF001
