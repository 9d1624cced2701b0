"""Imports through the pages and the API, and what they must not be talked into."""

# ruff: noqa: RUF001  # Chinese has colons of its own
from __future__ import annotations

import html
import io
import zipfile

import pytest
import SimpleITK as sitk
from hospitals import Sender, do_jobs, series_zip, zipped
from unit.connectors.dicom_files import ramp

from medfed.connectors.scans import stores
from medfed.services.hospital.jobs import RUNNING
from medfed.storage.database.tables import AuditRow, JobRow

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def sender(hospital) -> Sender:
    return Sender(hospital)


def volume(folder, name: str = "anna") -> dict[str, bytes]:
    """A MetaImage and its voxels."""
    image = sitk.GetImageFromArray(ramp((4, 8, 10)))
    image.SetSpacing((0.7, 0.8, 2.5))
    folder.mkdir(exist_ok=True)
    sitk.WriteImage(image, str(folder / f"{name}.mhd"))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_pair_of_files_becomes_a_scan(sender, tmp_path):
    job = sender.begin()
    for name, content in volume(tmp_path / "own").items():
        sender.send(job, name, content)
    done = sender.run(job)
    assert (done["state"], len(done["result"]["imported"])) == ("finished", 1)
    (scan,) = sender.call("GET", "scans").json["items"]
    assert scan["scan"] == done["result"]["imported"][0]
    assert scan["shape_zyx"] == [4, 8, 10]
    page = sender.client.get("/data/").text
    assert scan["patient"] in page
    assert "anna" not in page
    # What was sent is gone; the same files again change nothing.
    assert not sender.stage.console.hospital.jobs.folder(job).exists()
    again = sender.begin()
    for name, content in volume(tmp_path / "own").items():
        sender.send(again, name, content)
    assert len(sender.run(again)["result"]["unchanged"]) == 1
    assert sender.call("GET", "scans").json["total"] == 1


def test_a_zip_of_dicom_becomes_a_scan(sender, tmp_path):
    done = sender.import_zip(series_zip(tmp_path / "ct", patient="MRN-4711"))
    assert len(done["result"]["imported"]) == 1
    page = sender.client.get(f"/imports/{done['id']}").text
    assert "Taken in" in page
    for secret in ("MRN-4711", "Doe"):
        assert secret not in page + sender.client.get("/data/").text


def test_what_is_refused_is_said_in_words_and_can_be_tried_again(sender, tmp_path):
    content = series_zip(tmp_path / "ct", modality="CT", edit=_burned_in)
    done = sender.import_zip(content)
    assert [one["name"] for one in done["result"]["refused"]] == ["burned-in-text"]
    page = sender.client.get(f"/imports/{done['id']}").text
    assert "The scanner says that text is burned into the picture." in page
    assert '<code class="wrap">' in page
    viewer = sender.stage.client("clinician").get(f"/imports/{done['id']}").text
    assert '<code class="wrap">' not in viewer
    again = sender.call("POST", f"imports/{done['id']}/again", json={"accept_doubts": True})
    assert again.json["state"] == "queued"
    do_jobs(sender.stage)
    done = sender.call("GET", f"imports/{done['id']}").json
    assert len(done["result"]["doubtful"]) == 1
    assert not done["result"]["kept"]


def test_a_damaged_header_is_told_with_what_is_wrong_and_where(sender, tmp_path):
    """Only to whoever may see names of files: they may be called like patients."""
    files = volume(tmp_path / "own")
    files["anna.mhd"] = files["anna.mhd"].replace(b"DimSize = 10 8 4", b"DimSize = 10 x 4")
    job = sender.begin()
    for name, content in files.items():
        sender.send(job, name, content)
    done = sender.run(job)
    wrong = "anna.mhd: DimSize should hold 3 numbers, not '10 x 4'"
    assert done["result"]["refused"][0]["message"] == wrong
    page = html.unescape(sender.client.get(f"/imports/{job}").text)
    assert "The header is damaged or contradicts itself." in page
    assert f"{wrong}." in page
    sender.stage.post(sender.client, "/language", "/profile/", language="zh_Hans_CN")
    assert "anna.mhd：DimSize 应有 3 个数" in sender.client.get(f"/imports/{job}").text
    clinician = sender.stage.client("clinician")
    for path in (f"/imports/{job}", f"/api/v1/imports/{job}", "/api/v1/imports"):
        told = clinician.get(path).text
        assert "header is damaged" in told
        assert "anna" not in told
        assert "DimSize" not in told


def test_the_slice_that_is_damaged_is_named_among_those_that_are_not(sender, tmp_path):
    whole = zipfile.ZipFile(io.BytesIO(series_zip(tmp_path / "ct")))
    names, buffer = whole.namelist(), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            content = whole.read(name)
            archive.writestr(name, content[:-50] if name == names[2] else content)
    done = sender.import_zip(buffer.getvalue())
    assert [one["name"] for one in done["result"]["refused"]] == ["cut-off"]
    assert done["result"]["where"] == [[names[2]]]


def _burned_in(_number, data) -> None:
    data.BurnedInAnnotation = "YES"


def test_volumes_without_a_folder_must_say_whose_they_are(sender, tmp_path):
    job = sender.begin(naming="folder")
    for name, content in volume(tmp_path / "own").items():
        sender.send(job, name, content)
    refused = sender.call("POST", f"imports/{job}/start")
    assert refused.status_code == 422
    assert "no folder" in refused.json["error"]["message"]
    named = sender.begin(naming="folder", patient="Anna")
    for name, content in volume(tmp_path / "own").items():
        sender.send(named, name, content)
    assert len(sender.run(named)["result"]["imported"]) == 1


def test_an_import_begins_with_whole_files_only_and_once(sender, tmp_path):
    job = sender.begin()
    assert sender.call("POST", f"imports/{job}/start").status_code == 422
    url = sender.announce(job, "a.zip", 10).headers["Location"]
    assert sender.call("POST", f"imports/{job}/start").status_code == 409
    sender.patch(url, 0, b"0123456789")
    assert sender.call("POST", f"imports/{job}/start").status_code == 200
    assert sender.call("POST", f"imports/{job}/start").status_code == 409
    assert sender.announce(job, "b.zip", 10).status_code == 409
    assert sender.patch(url, 10, b"").status_code == 409
    assert sender.call("DELETE", url).status_code == 409
    do_jobs(sender.stage)
    done = sender.call("GET", f"imports/{job}").json
    assert [one["name"] for one in done["result"]["refused"]] == ["bad-zip"]
    assert sender.call("DELETE", f"imports/{job}").status_code == 204
    assert sender.call("GET", f"imports/{job}").status_code == 404


@pytest.mark.parametrize("member", ["../../../evil.dcm", "/etc/evil.dcm", "..\\evil.dcm"])
def test_a_zip_that_leads_out_is_refused(sender, member, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, b"x" * 200)
    done = sender.import_zip(buffer.getvalue())
    assert [one["name"] for one in done["result"]["refused"]] == ["unsafe-zip"]
    assert list(tmp_path.parent.rglob("*evil*")) == []


def test_a_zip_bomb_is_refused(sender, monkeypatch):
    monkeypatch.setattr(stores, "SMALL", 10_000_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.dcm", bytes(5_000_000))
    assert len(buffer.getvalue()) < 50_000
    done = sender.import_zip(buffer.getvalue())
    assert [one["name"] for one in done["result"]["refused"]] == ["decompression-bomb"]


def test_a_header_that_points_elsewhere_is_refused(sender, tmp_path):
    files = volume(tmp_path / "own")
    header = files["anna.mhd"].replace(b"anna.raw", b"/etc/passwd")
    job = sender.begin()
    sender.send(job, "anna.mhd", header)
    done = sender.run(job)
    assert [one["name"] for one in done["result"]["refused"]] == ["outside-folder"]


def test_text_from_files_stays_text(sender, tmp_path):
    def odd(_number, data) -> None:
        data.Manufacturer = SCRIPT
        data.ManufacturerModelName = '"><img src=x onerror=alert(1)>'
        data.ConvolutionKernel = "{{ 7*7 }}"

    sender.import_zip(series_zip(tmp_path / "ct", edit=odd))
    job = sender.begin(patient=SCRIPT)
    sender.send(job, "<img src=x onerror=alert(1)>.zip", b"no zip")
    open_page = sender.client.get(f"/imports/{job}").text
    assert "&lt;img" in open_page
    sender.run(job)
    scan = sender.call("GET", "scans").json["items"][0]
    assert SCRIPT.split("<")[1][:6] in scan["manufacturer"]
    for path in ("/data/", f"/imports/{job}", "/imports/", f"/data/{scan['scan']}", "/"):
        text = sender.client.get(path).text
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert ">49<" not in text, path


def test_a_job_that_fails_says_why_and_can_be_tried_again(sender, tmp_path):
    job = sender.begin()
    sender.send(job, "a.zip", zipped(tmp_path))
    lock = sender.stage.console.hospital.site / ".import.lock"
    lock.mkdir()
    done = sender.run(job)
    assert done["state"] == "failed"
    page = sender.client.get(f"/imports/{job}").text
    assert "Try again" in page
    lock.rmdir()
    sender.call("POST", f"imports/{job}/again", json={})
    do_jobs(sender.stage)
    assert sender.call("GET", f"imports/{job}").json["state"] == "finished"


def test_an_unforeseen_failure_tells_the_page_nothing(sender, monkeypatch):
    job = sender.begin()
    sender.send(job, "a.zip", b"x")

    def broken(_kind: str):
        def fail(_work) -> dict:
            raise RuntimeError("MRN-4711")

        return fail

    monkeypatch.setattr("medfed.services.hospital.work.handler", broken)
    done = sender.run(job)
    assert done["state"] == "failed"
    assert "MRN-4711" not in str(done)


def test_what_people_do_is_in_the_record(sender, tmp_path):
    done = sender.import_zip(series_zip(tmp_path / "ct"))
    with sender.stage.console.database.read() as session:
        acts = {(row.action, row.subject) for row in session.query(AuditRow)}
    assert ("data.add", f"import {done['id']}") in acts
    assert ("import.begin", f"import {done['id']}") in acts


def test_a_job_at_work_is_not_dropped(sender):
    job = sender.begin()
    with sender.stage.console.database.write() as session:
        session.get_one(JobRow, job).state = RUNNING
    assert sender.call("DELETE", f"imports/{job}").status_code == 409


def test_the_page_follows_an_import_that_is_at_work(sender):
    job = sender.begin()
    sender.send(job, "a.zip", b"x")
    sender.call("POST", f"imports/{job}/start")
    page = sender.client.get(f"/imports/{job}").text
    assert f'data-job="/api/v1/imports/{job}"' in page
    assert "job.js" in page


def test_a_table_is_checked_and_put_beside_the_scans(sender):
    job = sender.begin()
    sender.send(job, "north.csv", b"age;sex\n50;f\n;m\n")
    sender.send(job, "bad.csv", b"age,sex\n50\n")
    done = sender.run(job)
    (table,) = done["result"]["tables"]
    assert (table["rows"], table["columns"], table["gaps"]) == (2, ["age", "sex"], 1)
    assert [one["name"] for one in done["result"]["refused"]] == ["bad-csv"]
    page = sender.client.get(f"/imports/{job}").text
    assert "rows: 2, columns: 2, gaps: 1" in page
    assert "line 2 of bad.csv has 1 values for 2 columns" in page
    listed = sender.call("GET", "tables").json["items"]
    assert [(one["name"], one["rows"], one["separator"]) for one in listed] == [
        ("north.csv", 2, ";")
    ]
    assert "north.csv" in sender.client.get("/data/").text
    shown = sender.client.get("/tables/north.csv").text
    assert "age" in shown
    columns = shown.partition("<h2>Columns</h2>")[2]  # ids and times above hold any digits
    assert "age" in columns
    assert "50" not in columns


def test_another_table_of_the_same_name_is_refused(sender):
    for content, refused in ((b"a,b\n1,2\n", 0), (b"a,b\n1,2\n", 0), (b"a,b\n3,4\n", 1)):
        job = sender.begin()
        sender.send(job, "t.csv", content)
        assert len(sender.run(job)["result"]["refused"]) == refused
    form = {"csrf_token": sender.headers["X-CSRFToken"], "sure": "on"}
    assert sender.client.post("/tables/t.csv/delete", data=form).status_code == 302
    assert sender.call("GET", "tables").json["total"] == 0
    assert sender.client.get("/tables/t.csv").status_code == 404
    assert sender.call("DELETE", "tables/..%2fsite.toml").status_code == 404
