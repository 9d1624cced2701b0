"""Files sent to an encrypted hospital: nothing of them lies open, and all goes as elsewhere."""

from __future__ import annotations

import io

import pytest
from consoles import copy_of, hospital_of
from hospitals import Sender, do_jobs, series_zip
from unit.connectors.dicom_files import ramp, write_series
from unit.web.test_imports import volume
from unit.web.test_uploads import CONTENT

from medfed.privacy.at_rest.envelope import Secret
from medfed.services.at_rest import encrypt_site, rotate_site
from medfed.services.hospital import parts, uploads
from medfed.services.hospital.parts import Pieces, folder_of
from medfed.services.sites import site_vault

IDENTITIES = (b"MRN-4711", b"Doe-Jane", b"anna")


@pytest.fixture(params=[True, pytest.param(False, marks=pytest.mark.slow)])
def encrypted(request) -> bool:
    return request.param


@pytest.fixture
def sender(tmp_path, encrypted, monkeypatch) -> Sender:
    monkeypatch.setattr(parts, "PIECE", 4000)
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    made = hospital_of(tmp_path / "hospital", encrypt_with=str(key) if encrypted else None)
    return Sender(made)


def lying(sender: Sender) -> bytes:
    """All names and bytes below the site's folder."""
    site = sender.stage.console.hospital.site
    files = [file for file in sorted(site.rglob("*")) if file.is_file()]
    return b"".join(bytes(file) + file.read_bytes() for file in files)


def test_a_file_goes_up_in_pieces_and_on_after_a_break(sender, encrypted, monkeypatch):
    monkeypatch.setattr(uploads, "BIT", 100)
    here = sender.stage.console.hospital.uploads
    url = sender.announce(sender.begin(), "Doe-Jane/a.raw", len(CONTENT)).headers["Location"]
    number = url.rsplit("/", 1)[-1]
    assert sender.patch(url, 0, CONTENT[:5000]).headers["Upload-Offset"] == "5000"

    class Broken(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            if self.tell() >= 4300:
                raise ConnectionError
            return super().read(size)

    by = uploads.Identity(id=1, name="data-steward", rights=frozenset({"data.*"}))
    with pytest.raises(ConnectionError):
        here.append(by, number, 5000, Broken(CONTENT[5000:]))
    assert sender.call("HEAD", url).headers["Upload-Offset"] == "9300"
    assert sender.patch(url, 9000, b"x").status_code == 409
    assert sender.patch(url, 9300, CONTENT[9300:]).headers["Upload-Offset"] == "10496"
    path = here.part(here.find(by, number))
    if encrypted:
        vault = site_vault(sender.stage.console.hospital.site)
        found = Pieces(folder_of(path), vault, len(CONTENT)).read(0, len(CONTENT))
    else:
        found = path.read_bytes()
    assert found == CONTENT
    raw = lying(sender)
    assert (CONTENT[:100] in raw) is not encrypted
    assert sender.call("DELETE", url).status_code == 204
    assert not path.exists()
    assert not folder_of(path).exists()


def test_nobody_sends_a_sealed_file_twice_at_a_time(sender):
    here = sender.stage.console.hospital.uploads
    url = sender.announce(sender.begin(), "a.raw", len(CONTENT)).headers["Location"]
    by = uploads.Identity(id=1, name="data-steward", rights=frozenset({"data.*"}))
    with here._alone(here.find(by, url.rsplit("/", 1)[-1])):
        assert sender.patch(url, 0, CONTENT).status_code == 409
    assert sender.patch(url, 0, CONTENT).status_code == 204


def test_a_full_disk_is_said_and_what_it_kept_counts(sender, encrypted, monkeypatch):
    url = sender.announce(sender.begin(), "a.raw", len(CONTENT)).headers["Location"]
    assert sender.patch(url, 0, CONTENT[:3000]).status_code == 204

    def full(*_args):
        raise OSError(28, "full")

    with monkeypatch.context() as patched:
        kind = parts.SealedPart if encrypted else parts.OpenPart
        patched.setattr(kind, "_keep", full)
        assert sender.patch(url, 3000, CONTENT[3000:]).status_code == 507
    assert sender.call("HEAD", url).headers["Upload-Offset"] == "3000"
    assert sender.patch(url, 3000, CONTENT[3000:]).status_code == 204


def test_all_that_is_sent_is_taken_in_and_lies_open_nowhere(sender, encrypted, tmp_path):
    """A zip, a folder of DICOM, a volume with its voxels, a table; looked for before and after."""
    job = sender.begin(naming="folder")
    zipped = series_zip(tmp_path / "a", patient="MRN-4711")
    sender.send(job, "Doe-Jane/scans.zip", zipped)
    loose = write_series(tmp_path / "b", ramp((4, 8, 10)), series="b", patient="MRN-4711")
    slices = sorted(file for file in loose.rglob("*") if file.is_file())
    for number, file in enumerate(slices):
        sender.send(job, f"Doe-Jane/b/IM{number:04d}", file.read_bytes())
    own = volume(tmp_path / "own")
    header = own["anna.mhd"].replace(b"anna.raw", b"voxels.raw")
    sender.send(job, "anna/anna.mhd", header)
    sender.send(job, "anna/voxels.raw", own["anna.raw"])
    table = b"patient,age\nMRN-4711,61\nMRN-4712,47\n"
    sender.send(job, "ages.csv", table)
    secrets = [*IDENTITIES, b"DICM", own["anna.raw"][:64], zipped[40:200], table]
    before = lying(sender)
    assert [secret in before for secret in secrets[2:]] == [not encrypted] * 5
    assert not (encrypted and any(secret in before for secret in secrets))
    done = sender.run(job)
    assert done["state"] == "finished", done
    assert done["result"]["refused"] == []
    assert len(done["result"]["imported"]) == 3
    assert [each["rows"] for each in done["result"]["tables"]] == [2]
    assert not sender.stage.console.hospital.jobs.folder(job).exists()
    after = lying(sender)
    assert not (encrypted and any(secret in after for secret in secrets))


def test_what_was_refused_stays_sealed_for_another_try(sender, encrypted, tmp_path):
    job = sender.begin()
    sender.send(job, "Doe-Jane.zip", b"PK\x03\x04 is no zip MRN-4711")
    sender.send(job, "good.zip", series_zip(tmp_path / "a", patient="MRN-4711"))
    done = sender.run(job)
    assert done["result"]["kept"]
    assert len(done["result"]["imported"]) == len(done["result"]["refused"]) == 1
    assert done["result"]["where"] == [["Doe-Jane.zip"]]
    raw = lying(sender)
    assert any(secret in raw for secret in (b"MRN-4711", b"Doe-Jane")) is not encrypted
    again = sender.call("POST", f"imports/{job}/again", json={"accept_doubts": False})
    assert again.status_code == 200, again.text
    do_jobs(sender.stage)
    found = sender.call("GET", f"imports/{job}").json
    assert len(found["result"]["unchanged"]) == 1
    assert sender.call("DELETE", f"imports/{job}").status_code == 204
    assert not sender.stage.console.hospital.jobs.folder(job).exists()


@pytest.mark.slow
def test_a_file_that_was_half_sent_goes_on_when_the_site_is_encrypted_and_rotated(tmp_path):
    sender = Sender(hospital_of(tmp_path / "hospital"))
    job, content = sender.begin(), series_zip(tmp_path / "ct", patient="MRN-4711")
    url = sender.announce(job, "Doe-Jane.zip", len(content)).headers["Location"]
    sender.patch(url, 0, content[:5000])
    kept = sender.begin()
    sender.send(kept, "bad.zip", b"PK\x03\x04 is no zip MRN-4711")
    assert sender.run(kept)["result"]["kept"]
    site, keys = sender.stage.console.hospital.site, [tmp_path / "old", tmp_path / "new"]
    sender.stage.console.close()
    for number, key in enumerate(keys):
        key.write_bytes(bytes(range(number, number + 32)))
    encrypt_site(site, str(keys[0]))
    rotate_site(site, Secret.named(str(keys[1])), str(keys[1]))
    keys[0].unlink()
    assert b"MRN-4711" not in lying(sender)
    again = Sender(copy_of(sender.stage, tmp_path / "hospital"))
    assert again.call("HEAD", url).headers["Upload-Offset"] == "5000"
    assert again.patch(url, 5000, content[5000:]).status_code == 204
    assert len(again.run(job)["result"]["imported"]) == 1
    retried = again.call("POST", f"imports/{kept}/again", json={"accept_doubts": False})
    assert retried.status_code == 200
    do_jobs(again.stage)
    (refused,) = again.call("GET", f"imports/{kept}").json["result"]["refused"]
    assert refused["name"] == "bad-zip"
    assert b"MRN-4711" not in lying(again)


def test_a_damaged_piece_refuses_its_own_file_by_name_and_no_other(sender, encrypted, tmp_path):
    if not encrypted:
        pytest.skip("nothing is sealed")
    job, place = sender.begin(naming="file"), sender.stage.console.hospital.jobs
    sender.send(job, "good.zip", series_zip(tmp_path / "a", patient="MRN-4711"))
    sent = {"annotations.csv": b"seriesuid,coordX", "ages.csv": b"patient,age\nMRN-4711,61\n"}
    for folder in ("anna", "berta"):
        sent |= {f"{folder}/{name}": each for name, each in volume(tmp_path / folder).items()}
    for name, each in sent.items():
        before = set((place.folder(job) / "parts").iterdir())
        sender.send(job, name, each)
        (new,) = set((place.folder(job) / "parts").iterdir()) - before
        first = new / "000000"
        if name in ("anna/anna.raw", "annotations.csv"):
            *kept, last = first.read_bytes()
            first.write_bytes(bytes([*kept, last ^ 1]))
        elif name in ("berta/anna.raw", "ages.csv"):
            first.unlink()
    done = sender.run(job)
    assert done["state"] == "finished", done
    assert len(done["result"]["imported"]) == 1
    assert {one["name"] for one in done["result"]["refused"]} == {"unreadable-file"}
    found = {name for each in done["result"]["where"] for name in each}
    assert found == {"anna/anna.mhd", "berta/anna.mhd", "annotations.csv", "ages.csv"}
