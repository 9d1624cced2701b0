"""TUS 1.0 as a client meets it, and what it must not be talked into."""

from __future__ import annotations

import io

import pytest
from consoles import hospital_of
from hospitals import Sender
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medfed.services.hospital import names, uploads
from medfed.services.trouble import Refused

CONTENT = bytes(range(256)) * 41


@pytest.fixture(scope="module")
def sender(tmp_path_factory) -> Sender:
    """One for all tests here: each has imports of its own."""
    return Sender(hospital_of(tmp_path_factory.mktemp("uploads") / "hospital"))


def kept(sender: Sender, url: str) -> bytes:
    """What the disk holds of a file."""
    here = sender.stage.console.hospital.uploads
    with sender.stage.console.database.read() as session:
        row = session.get(uploads.UploadRow, url.rsplit("/", 1)[-1])
    return here.part(row).read_bytes()


def test_a_file_goes_up_in_pieces(sender):
    url = sender.announce(sender.begin(), "a.raw", len(CONTENT)).headers["Location"]
    head = sender.call("HEAD", url)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("0", "10496")
    assert head.headers["Cache-Control"] == "no-store"
    first = sender.patch(url, 0, CONTENT[:5000])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "5000")
    assert first.headers["Tus-Resumable"] == "1.0.0"
    assert sender.call("HEAD", url).headers["Upload-Offset"] == "5000"
    assert sender.patch(url, 5000, CONTENT[5000:]).headers["Upload-Offset"] == "10496"
    assert kept(sender, url) == CONTENT


@pytest.mark.parametrize("offset", [0, 4999, 5001])
def test_bytes_that_belong_elsewhere_are_refused(sender, offset):
    url = sender.announce(sender.begin(), "a.raw", len(CONTENT)).headers["Location"]
    sender.patch(url, 0, CONTENT[:5000])
    assert sender.patch(url, offset, b"x").status_code == 409
    assert kept(sender, url) == CONTENT[:5000]


def test_what_a_broken_connection_brought_is_kept(sender, monkeypatch):
    monkeypatch.setattr(uploads, "BIT", 100)
    here = sender.stage.console.hospital.uploads
    url = sender.announce(sender.begin(), "a.raw", len(CONTENT)).headers["Location"]
    number = url.rsplit("/", 1)[-1]

    class Broken(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            if self.tell() >= 700:
                raise ConnectionError
            return super().read(size)

    who = sender.stage.console.accounts
    by = uploads.Identity(id=1, name="data-steward", rights=frozenset({"data.*"}))
    assert who is not None
    with pytest.raises(ConnectionError):
        here.append(by, number, 0, Broken(CONTENT))
    assert sender.call("HEAD", url).headers["Upload-Offset"] == "700"
    assert here.append(by, number, 700, io.BytesIO(CONTENT[700:])) == len(CONTENT)
    assert kept(sender, url) == CONTENT


def test_bytes_that_the_disk_may_not_have_are_sent_again(sender):
    url = sender.announce(sender.begin(), "a.raw", len(CONTENT)).headers["Location"]
    sender.patch(url, 0, CONTENT[:5000])
    here = sender.stage.console.hospital.uploads
    with sender.stage.console.database.read() as session:
        row = session.get(uploads.UploadRow, url.rsplit("/", 1)[-1])
    with here.part(row).open("ab") as file:
        file.write(b"written, and never said to be kept")
    assert sender.call("HEAD", url).headers["Upload-Offset"] == "5000"
    sender.patch(url, 5000, CONTENT[5000:])
    assert kept(sender, url) == CONTENT


def test_nobody_sends_a_file_twice_at_a_time(sender):
    url = sender.announce(sender.begin(), "a.raw", len(CONTENT)).headers["Location"]
    here = sender.stage.console.hospital.uploads
    with sender.stage.console.database.read() as session:
        row = session.get(uploads.UploadRow, url.rsplit("/", 1)[-1])
    with here._alone(row):
        assert sender.patch(url, 0, CONTENT).status_code == 409
    assert sender.patch(url, 0, CONTENT).status_code == 204


def test_a_file_larger_than_the_limit_of_other_requests(sender):
    content = bytes(3_000_000)
    url = sender.send(sender.begin(), "large.raw", content)
    assert len(kept(sender, url)) == len(content)


def test_the_method_may_be_named_in_a_header(sender):
    url = sender.announce(sender.begin(), "a.raw", 3).headers["Location"]
    own = {
        "X-HTTP-Method-Override": "PATCH",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    assert sender.call("POST", url, headers=own, data=b"abc").status_code == 204
    assert sender.call("POST", url).status_code == 405


def test_a_file_can_be_forgotten(sender):
    job = sender.begin()
    url = sender.send(job, "a.raw", b"abc")
    assert sender.call("DELETE", url).status_code == 204
    assert sender.call("HEAD", url).status_code == 404
    assert sender.call("GET", f"imports/{job}/files").json["total"] == 0
    assert sender.announce(job, "a.raw", 3).status_code == 201


def test_the_protocol_says_what_it_speaks(sender):
    answer = sender.call("OPTIONS", "uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,termination"
    assert answer.headers["Tus-Max-Size"] == str(uploads.LARGEST)
    url = sender.announce(sender.begin(), "a.raw", 3).headers["Location"]
    other = sender.call("HEAD", url, headers={"Tus-Resumable": "0.2.2"})
    assert (other.status_code, other.headers["Tus-Version"]) == (412, "1.0.0")


def test_more_than_was_announced_is_refused(sender):
    url = sender.announce(sender.begin(), "a.raw", 3).headers["Location"]
    answer = sender.patch(url, 0, b"abcd")
    assert answer.status_code == 422
    assert answer.json["error"]["kind"] == "Refused"
    assert sender.patch(url, 0, b"abc", **{"Content-Type": "text/plain"}).status_code == 415
    assert kept(sender, url) == b""


@pytest.mark.parametrize("length", ["-1", "many", "", "1e3", "٣", "9" * 40])
def test_a_length_that_is_none(sender, length):
    assert sender.announce(sender.begin(), "a.raw", length).status_code == 422


def test_what_is_too_large_or_finds_no_room(sender, monkeypatch):
    job = sender.begin()
    assert sender.announce(job, "a.raw", uploads.LARGEST + 1).status_code == 413
    monkeypatch.setattr(uploads, "SPARE", 2**60)
    assert sender.announce(job, "a.raw", 1).status_code == 507
    monkeypatch.setattr(uploads, "MOST_FILES", 0)
    assert sender.announce(job, "a.raw", 1).status_code == 422


def test_metadata_that_cannot_be_read(sender):
    headers = {"Upload-Length": "3", "Upload-Metadata": "filename ***"}
    assert sender.call("POST", "uploads", headers=headers).status_code == 422


def test_each_name_once(sender):
    job = sender.begin()
    assert sender.announce(job, "p/a.raw", 3).status_code == 201
    assert sender.announce(job, "p/a.raw", 3).status_code == 409


@pytest.mark.parametrize(
    "name",
    [
        "../a.raw", "/etc/a.raw", "a/../../b.raw", "..", ".", "", "a//b.raw", "..\\a.raw",
        "C:\\a.raw", ".hidden.raw", "a/.b/c.raw", "a\0.raw", "a\n.raw", "x" * 201 + ".raw",
        "a/b/c/d/e/f/g/h/i.raw", "program.exe", "page.html", "a.raw.svg", " a.raw",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_or_are_of_no_kind(sender, name):
    assert sender.announce(sender.begin(), name, 3).status_code == 422


@pytest.mark.parametrize(
    "name", ["张伟/CT 1.nii.gz", "IM0001", "1.2.840.1", "a/b.MHD", "manifest.json", "a.csv"]
)
def test_names_that_are_taken(name):
    assert names.checked(name) == name


@settings(suppress_health_check=list(HealthCheck))
@given(st.text(max_size=60))
def test_whatever_the_name_it_stays_in_its_folder(tmp_path, text):
    try:
        name = names.checked(text)
    except Refused:
        return
    assert (tmp_path / name).resolve().is_relative_to(tmp_path.resolve())


def test_what_is_anothers_is_not_there(sender):
    hospital = sender.stage
    job = sender.begin()
    url = sender.send(job, "a.raw", b"abc")
    root = uploads.Identity(id=1, name="admin", rights=frozenset({"user.manage"}))
    accounts = hospital.console.accounts
    accounts.create(root, "other", "", ["data-steward"])
    accounts._set_password(root, accounts.find("other"), "seven quiet herons", must_change=False)
    other = Sender(hospital, "other")
    assert other.call("HEAD", url).status_code == 404
    assert other.patch(url, 3, b"").status_code == 404
    assert other.call("DELETE", url).status_code == 404
    assert other.announce(job, "b.raw", 3).status_code == 404
    assert other.call("GET", f"imports/{job}/files").status_code == 404
    for deed in ("start", "again"):
        assert other.call("POST", f"imports/{job}/{deed}", json={}).status_code == 404
    assert other.call("DELETE", f"imports/{job}").status_code == 404
    assert kept(sender, url) == b"abc"


def test_without_the_right_or_the_token_of_the_page_nothing_is_taken(sender):
    job = sender.begin()
    assert Sender(sender.stage, "clinician").announce(job, "a.raw", 3).status_code == 403
    url = sender.announce(job, "a.raw", 3).headers["Location"]
    assert sender.patch(url, 0, b"abc", **{"X-CSRFToken": ""}).status_code == 400
    assert kept(sender, url) == b""


@pytest.mark.parametrize("known", [False, True])
def test_a_long_form_in_place_of_bytes_is_refused_before_it_is_read(sender, known):
    client = sender.client if known else sender.stage.client()
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    body = io.BytesIO(head + bytes(3_000_000))
    answer = client.patch(
        "/api/v1/uploads/none",
        content_type="multipart/form-data; boundary=x",
        headers={"Tus-Resumable": "1.0.0"},
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": str(uploads.LARGEST)},
    )
    assert answer.status_code == 413
    assert body.tell() == 0


def test_a_request_that_only_looks_changes_nothing(sender):
    url = sender.send(sender.begin(), "a.raw", b"abc")
    own = {"Tus-Resumable": "1.0.0", "X-HTTP-Method-Override": "DELETE"}
    assert sender.client.head(url, headers=own).status_code == 200
    assert sender.call("HEAD", url).status_code == 200


def test_a_name_cannot_be_a_file_and_a_folder(sender):
    job = sender.begin()
    sender.send(job, "a.raw/b.raw", b"abc")
    assert sender.announce(job, "a.raw", 3).status_code == 409
    other = sender.begin()
    sender.send(other, "a.raw", b"abc")
    assert sender.announce(other, "a.raw/b.raw", 3).status_code == 409
    assert sender.announce(other, "a.raw-2/b.raw", 3).status_code == 201
