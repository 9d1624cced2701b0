"""Files are sent and imported alike, whichever database keeps count."""

from __future__ import annotations

from consoles import hospital_of
from hospitals import Sender, do_jobs, series_zip

from medfed.services.hospital.keeper import Keeper


def test_an_import_from_its_files_to_the_catalogue(database, tmp_path):
    url = database.url.render_as_string(hide_password=False)
    stage = hospital_of(tmp_path / "hospital", url)
    console = stage.console
    keeper = Keeper(console.database, console.place.path, console.hospital)
    sender = Sender(stage)
    content = series_zip(tmp_path / "ct")
    job = sender.begin()
    location = sender.announce(job, "scan.zip", len(content)).headers["Location"]
    sender.patch(location, 0, content[:100])
    assert sender.call("HEAD", location).headers["Upload-Offset"] == "100"
    assert sender.announce(job, "scan.zip", 3).status_code == 409
    sender.patch(location, 100, content[100:])
    keeper.forget_old()
    sender.call("POST", f"imports/{job}/start")
    taken = keeper._next()
    assert (taken.id, taken.attempts) == (job, 1)
    keeper._lost(job)  # its process never was
    done = sender.call("GET", f"imports/{job}").json
    assert done["state"] == "queued"
    do_jobs(stage)
    done = sender.call("GET", f"imports/{job}").json
    assert (done["state"], len(done["result"]["imported"])) == ("finished", 1)
    assert sender.call("GET", "imports").json["total"] == 1
    console.close()
