"""Pages and API of inference: asked, looked over, signed, handed on; and whom they let in."""

from __future__ import annotations

import gzip
import io
import os
import re
from contextlib import closing
from pathlib import Path
from tempfile import SpooledTemporaryFile

import pytest
from accounting import identity
from clinics import ANSWERS, GUIDELINE, Clinic, clinic_of
from consoles import csrf_of
from flask import request
from hospitals import Sender, series_zip
from markupsafe import escape
from unit.inference.threshold import GUIDELINE as OWN
from unit.web.test_live import news
from unit.web.test_reports import english_in, structure

from medfed.connectors.scans import read_scan
from medfed.core import memory_folders, private_files
from medfed.services.accounts import tokens
from medfed.services.at_rest import encrypt_site
from medfed.services.console import Console, Faces
from medfed.services.inference.keeping import aside

API = "/api/v1"
PNG = re.compile(r"data:image/png;base64,[^\"]*")


@pytest.fixture
def clinic(make_clinic) -> Clinic:
    return make_clinic()


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> tuple[Clinic, str]:
    made = clinic_of(tmp_path_factory.mktemp("signed"))
    return made, made.signed()


def read_with(guideline: dict[str, str]) -> str:
    """A link to a guideline as pages write it."""
    to, title = escape(guideline["url"]), escape(guideline["title"])
    return f'<a href="{to}" rel="noopener noreferrer" target="_blank">{title}</a>'


def told(clinic: Clinic, client, path: str, **given):
    """Post JSON as the page's script does."""
    token = csrf_of(client, "/profile/")
    return client.post(path, json=given, headers={"X-CSRFToken": token})


def test_a_clinician_asks_reviews_signs_and_downloads(clinic: Clinic):
    client = clinic.stage.client("clinician")
    page = client.get("/inference/new")
    assert clinic.scan in page.text
    asked = clinic.stage.post(client, "/inference/look", model=clinic.nodules, scan=clinic.scan)
    path = asked.headers["Location"]
    inference = path.rsplit("/", 1)[-1]
    waiting = client.get(path).text
    assert "data-progress" in waiting
    assert clinic.do(inference) == "finished"
    page = client.get(path).text
    assert page.count("data-go=") == 3
    assert read_with(OWN) in page
    for notice in ("Research use only", "Decision support, not a decision"):
        assert notice in page
    for number, verdict in ((1, "accepted"), (2, "rejected")):
        answer = told(clinic, client, f"{path}/findings/{number}", verdict=verdict)
        assert answer.status_code == 200, answer.text
    changes = {"attenuation": "part-solid"}
    answer = told(clinic, client, f"{path}/findings/3", verdict="corrected", changes=changes)
    assert answer.json["findings"][2]["reviews"][0]["changes"] == changes
    seen = max(review["id"] for each in answer.json["findings"] for review in each["reviews"])
    assert clinic.stage.post(client, f"{path}/sign").status_code == 409
    assert clinic.stage.post(client, f"{path}/sign", last=seen - 1).status_code == 409
    assert clinic.stage.post(client, f"{path}/sign", last=seen).status_code == 302
    assert clinic.do(inference) == "finished"
    page = client.get(path).text
    for name in ("segmentation.dcm", "measurements.dcm", "report.pdf"):
        assert f"/files/reviewed/{name}" in page
        with client.get(f"{path}/files/reviewed/{name}") as loaded:
            assert loaded.status_code == 200
            assert len(loaded.data) > 500
            assert "attachment" in loaded.headers["Content-Disposition"]
    assert "Signed by" in page
    assert clinic.stage.post(client, f"{path}/send").status_code == 409
    assert clinic.stage.post(client, f"{path}/reopen").status_code == 302
    assert client.get(f"{path}/files/reviewed/segmentation.dcm").status_code == 404


def test_what_is_wrong_with_a_review_is_said_in_the_readers_language(clinic: Clinic):
    inference = clinic.looked()
    client = clinic.stage.client("clinician")
    path = f"/inference/{inference}/findings/1"
    answer = told(clinic, client, path, verdict="corrected", changes={"diameter_mm": 1e9})
    assert answer.status_code == 422
    assert answer.json["message"] == "A diameter lies between 1 and 200 mm."
    clinic.stage.post(client, "/language", language="zh_Hans_CN")
    answer = told(clinic, client, path, verdict="corrected", changes={})
    assert answer.json["message"] == "没有任何修正。"
    told(clinic, client, path, verdict="accepted")
    stale = told(clinic, client, path, verdict="rejected")
    assert (stale.status_code, stale.json["message"]) == (409, "期间已有人审阅了此所见。")
    for nonsense in ([], {"verdict": 3, "changes": [], "last": "x"}, {"comment": {}}):
        token = csrf_of(client, "/profile/")
        answer = client.post(path, json=nonsense, headers={"X-CSRFToken": token})
        assert answer.status_code == 422


def test_text_that_people_write_stays_text(signed):
    clinic, inference = signed
    client = clinic.stage.client("clinician")
    page = client.get(f"/inference/{inference}").text
    assert "<b>更大" not in page
    assert "\\u003cb\\u003e" in page
    card = client.get(f"/released/{clinic.risk}").text
    assert "<script>alert" not in card


def test_a_risk_is_explained_with_its_guideline(clinic: Clinic):
    client = clinic.stage.client("clinician")
    page = client.get(f"/inference/form/{clinic.risk}").text
    assert "mean 60 years, standard deviation 10 years" in page
    assert "mean 8, standard deviation 4" in page
    assert "Where no unit stands" in page, "of the size the study says none"
    wrong = clinic.stage.post(client, f"/inference/form/{clinic.risk}", age="old", smoker="1")
    assert wrong.status_code == 422
    assert "age" in wrong.text
    form = {name: str(value) for name, value in ANSWERS.items()}
    asked = clinic.stage.post(client, f"/inference/form/{clinic.risk}", **form)
    path = asked.headers["Location"]
    assert clinic.do(path.rsplit("/", 1)[-1]) == "finished"
    page = client.get(path).text
    assert "43.8 %" in page
    assert "80 years" in page
    assert read_with(GUIDELINE) in page
    assert page.index("+1.00") < page.index("not the disease")
    assert "Research use only" in page


def test_a_steward_approves_and_withdraws_models(clinic: Clinic, tmp_path):
    client = clinic.stage.client("data-steward")
    content = (tmp_path / "risk" / "model.safetensors").read_bytes()

    def send(blob: bytes, **form):
        files = {"model": (io.BytesIO(blob), "model.safetensors")}
        data = {"csrf_token": csrf_of(client, "/profile/"), **files, **form}
        return client.post("/released/", data=data, content_type="multipart/form-data")

    assert send(b"nothing").status_code == 422
    assert send(content, url="javascript:alert(1)").status_code == 422
    done = send(content, title="Another", url="https://other.example/")
    assert done.headers["Location"] == f"/released/{clinic.risk}"
    assert "https://other.example/" in client.get(done.headers["Location"]).text
    assert clinic.stage.post(client, f"/released/{clinic.risk}/withdraw").status_code == 302
    assert "withdrawn" in client.get(f"/released/{clinic.risk}").text
    clinician = clinic.stage.client("clinician")
    assert clinician.get(f"/inference/form/{clinic.risk}").status_code == 409


def test_only_whoever_approves_models_may_send_much(clinic: Clinic):
    for name, status in (("clinician", 413), ("data-steward", 422)):
        client = clinic.stage.client(name)
        headers = {"X-CSRFToken": csrf_of(client, "/profile/")}
        form, part = "multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; "
        body = part + b'name="x"; filename="f"\r\n\r\n' + bytes(2_000_000) + b"\r\n--x--\r\n"
        with client.post("/released/", data=body, headers=headers, content_type=form) as answer:
            assert answer.status_code == status, answer.text


def test_the_api_does_what_the_pages_do(clinic: Clinic):
    accounts = clinic.stage.console.accounts
    who = identity(accounts, "clinician")
    secret = tokens.make_token(accounts.database, who, "t", ["inference", "models"], 1)
    client = clinic.stage.app.test_client()

    def call(method: str, path: str, **more):
        headers = {"Authorization": f"Bearer {secret}"}
        return client.open(API + path, method=method, headers=headers, **more)

    models = call("GET", "/released").json["items"]
    assert {each["kind"] for each in models} == {"scan", "table"}
    asked = call("GET", f"/released/{clinic.risk}").json["questions"]
    assert [each["name"] for each in asked] == ["age", "size", "smoker"]
    both = {"model": clinic.risk, "scan": clinic.scan, "answers": {}}
    assert call("POST", "/inferences", json=both).status_code == 422
    made = call("POST", "/inferences", json={"model": clinic.nodules, "scan": clinic.scan})
    assert (made.status_code, made.json["state"]) == (201, "queued")
    inference = made.json["id"]
    assert clinic.do(inference) == "finished"
    assert call("GET", "/inferences").json["total"] == 1
    whole = call("GET", f"/inferences/{inference}").json
    assert whole["result"]["findings"][0]["number"] == 1
    for number in (1, 2, 3):
        path = f"/inferences/{inference}/findings/{number}/reviews"
        done = call("POST", path, json={"verdict": "accepted"})
        assert done.status_code == 201, done.json
    found = call("GET", f"/inferences/{inference}/findings").json["items"]
    assert [each["reviews"][0]["reviewer"] for each in found] == ["clinician"] * 3
    seen = max(each["reviews"][0]["id"] for each in found)
    refused = call("POST", f"/inferences/{inference}/sign", json={"last": seen})
    assert "a program cannot sign" in refused.text  # a person does
    clinic.desk.reviews.sign(who, inference)
    assert clinic.do(inference) == "finished"
    with call("GET", f"/inferences/{inference}/files/reviewed/report.pdf") as loaded:
        assert loaded.data[:4] == b"%PDF"
    for part, name in (("view", "view-ct.nii.gz"), ("found", "..%2f..%2fsecrets.json"), ("x", "y")):
        assert call("GET", f"/inferences/{inference}/files/{part}/{name}").status_code == 404


def test_the_models_report_is_in_the_readers_language(signed):
    clinic, inference = signed
    path, client = f"/inference/{inference}/report", clinic.stage.client("clinician")
    english = client.get(path).text
    clinic.stage.post(client, "/language", "/", language="zh_Hans_CN")
    chinese = client.get(path).text
    assert structure(chinese) == structure(english)
    said_twice = list(zip(PNG.findall(english), PNG.findall(chinese), strict=True))
    assert said_twice
    assert all(first != second for first, second in said_twice)  # the line below them
    about = clinic.desk.inferences.find(inference).result
    cited = "Scholten et al., European Radiology; Fleischner Society; U-Net, DynUNet"
    named = [about[part] for part in ("model", "made", "input", "files")]
    assert english_in(chinese, *named, cited) == set()


@pytest.mark.parametrize("name", ["viewer", "auditor", "administrator", "data-steward"])
def test_whoever_is_no_clinician_sees_nothing_of_patients(signed, name):
    clinic, inference = signed
    client = clinic.stage.client(name)
    token = csrf_of(client, "/profile/")
    for path in ("", "/report", "/view/view-ct.nii.gz", "/files/reviewed/report.pdf"):
        assert client.get(f"/inference/{inference}{path}").status_code == 403, path
    for path in ("", "/findings", "/files/found/findings.json"):
        assert client.get(f"{API}/inferences/{inference}{path}").status_code == 403, path
    for path in ("findings/1", "sign", "reopen", "send", "again"):
        answer = client.post(f"/inference/{inference}/{path}", headers={"X-CSRFToken": token})
        assert answer.status_code == 403, path
    page = client.get("/inference/")
    assert page.status_code == (403 if name == "viewer" else 200)
    if page.status_code == 200:
        assert f"/inference/{inference}" not in page.text


def test_a_page_is_told_how_far_an_inference_is(clinic: Clinic):
    client = clinic.stage.client("clinician")
    live = clinic.stage.app.extensions["medfed-live"]
    socket = live.test_client(clinic.stage.app, flask_test_client=client)
    assert socket.is_connected()
    row = clinic.desk.inferences.look(clinic.who(), clinic.nodules, clinic.scan)
    answer = socket.emit("follow", {"inference": row.id}, callback=True)
    assert answer == {"following": row.id}
    assert clinic.do(row.id) == "finished"
    found = news(socket, lambda each: each["inference"]["state"] == "finished")
    assert found[-1]["inference"]["findings"] == 3
    assert "result" not in found[-1]["inference"]
    refused = socket.emit("follow", {"inference": "none"}, callback=True)
    assert refused == {"error": "there is no such inference"}
    viewer = live.test_client(clinic.stage.app, flask_test_client=clinic.stage.client("viewer"))
    assert viewer.is_connected()  # to follow the overview, and that only
    assert "error" in viewer.emit("follow", {"inference": row.id}, callback=True)
    assert not viewer.get_received()


@pytest.mark.parametrize("kind", ["scan", "table"])
def test_what_a_withdrawn_model_said_is_shown_as_that(clinic: Clinic, kind):
    number = clinic.nodules if kind == "scan" else clinic.risk
    if kind == "scan":
        inference = clinic.looked()
    else:
        inference = clinic.desk.inferences.assess(clinic.who(), number, ANSWERS).id
        assert clinic.do(inference) == "finished"
    client = clinic.stage.client("clinician")
    assert "Withdrawn: do not use" not in client.get(f"/inference/{inference}").text
    clinic.desk.models.withdraw(clinic.who("data-steward"), number)
    assert "Withdrawn: do not use" in client.get(f"/inference/{inference}").text


@pytest.mark.parametrize("encrypted", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_in_an_encrypted_hospital_no_voxel_lies_open_and_all_works(encrypted, tmp_path):
    """Imported, looked at, asked about, signed: slices and masks are looked for on the disk.

    So are a model that was approved, and files that are being sent.
    """
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    clinic = clinic_of(tmp_path, encrypt_with=str(key) if encrypted else None)
    client = clinic.stage.client("clinician")
    scans = clinic.stage.console.hospital.scans
    view = scans.view(clinic.scan)
    assert view.png("axial", 3)[:4] == b"\x89PNG"
    assert scans.thumbnail(clinic.scan)[:4] == b"\x89PNG"
    inference = clinic.signed()
    parts = ("view/view-ct.nii.gz", "report", "files/reviewed/segmentation.dcm")
    packed, report, segments = (got(client, f"/inference/{inference}/{part}") for part in parts)
    site = clinic.stage.console.hospital.site
    raw = read_scan(next((site / "data" / "north").glob("p-*/s-*/ct"))).series.slices[8]
    secrets = [view.hu[8].tobytes(), gzip.decompress(packed)[-4000:], report[-2000:]]
    secrets += [segments[-600:], str(raw.SOPInstanceUID).encode(), b"part-solid"]
    assert clinic.do(clinic.desk.inferences.assess(clinic.who(), clinic.risk, ANSWERS).id)
    model = (tmp_path / "risk" / "model.safetensors").read_bytes()
    secrets += [model[8:100], model[-16:]]
    sender, sent = Sender(clinic.stage), series_zip(tmp_path / "sent", patient="MRN-4711")
    job = sender.begin()
    sender.send(job, "ages.csv", b"patient,age\nMRN-4712,61\n")
    half = sender.announce(job, "Roe.zip", len(sent)).headers["Location"]
    assert sender.patch(half, 0, sent[:-50]).status_code == 204
    secrets += [sent[:100], b"MRN-4711", b"MRN-4712", b"Roe.zip"]
    found = [any(secret in content for content in opened(site)) for secret in secrets]
    assert found == [not encrypted] * len(secrets)
    copies = f"{memory_folders.PREFIX}{os.getpid()}-*"
    assert not list(memory_folders.MEMORY.glob(copies)), "working copies are gone"


@pytest.mark.slow
def test_a_hospital_that_worked_in_the_open_is_encrypted_with_its_console(tmp_path):
    clinic = clinic_of(tmp_path)
    clinic.stage.console.hospital.scans.view(clinic.scan)
    inference = clinic.signed()
    console = clinic.stage.console
    before = console.desk.inferences.findings(inference)
    console.database.close()
    site = console.hospital.site
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    encrypt_site(site, str(key))
    assert not any(b"part-solid" in content or b"DICM" in content for content in opened(site))
    again = Console.open(site / "console", faces=Faces(site=site, coordinates=False))
    assert [one.body for one in again.desk.inferences.findings(inference)] == [
        one.body for one in before
    ]
    path, _ = again.desk.inferences.file(inference, "reviewed", "segmentation.dcm")
    assert private_files.content(path)[128:132] == b"DICM"
    assert again.hospital.scans.view(clinic.scan).png("axial", 3)[:4] == b"\x89PNG"
    again.database.close()


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_model_that_is_sent_touches_no_disk_of_an_encrypted_hospital(encrypted, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    clinic = clinic_of(tmp_path, encrypt_with=str(key) if encrypted else None)
    files = {"model": (io.BytesIO(b"model"), "model.safetensors")}
    asked = clinic.stage.app.test_request_context("/released/", method="POST", data=files)
    with asked, closing(request.files["model"]) as sent:
        assert sent.read() == b"model"
        on_disk = isinstance(sent.stream, SpooledTemporaryFile)  # as soon as it is large
        assert on_disk is not encrypted
        if encrypted:
            lies = Path(f"/proc/self/fd/{sent.stream.fileno()}").readlink()
            assert lies.is_relative_to(memory_folders.MEMORY)
    place, seen = clinic.desk.place, []
    with aside(place) as folder:
        seen.append(folder)
    assert seen[0].is_relative_to(memory_folders.MEMORY) is encrypted
    assert not seen[0].exists()


def got(client, path):
    with client.get(path) as answer:
        assert answer.status_code == 200
        return answer.data


def opened(folder):
    """The content of each file below a folder, unpacked where anybody could unpack it."""
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            yield gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
