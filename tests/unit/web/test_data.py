"""The catalogue's pages: searched, looked at, deleted."""

from __future__ import annotations

import io

import numpy as np
import pytest
from consoles import hospital_of
from hospitals import Sender, series_zip, zipped
from PIL import Image
from unit.connectors.dicom_files import ramp, write_series

from medfed.services.imports import list_scans
from medfed.services.viewing import views
from medfed.storage.database.tables import AuditRow


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Sender:
    """A hospital with three scans of two patients, for tests that only look."""
    folder = tmp_path_factory.mktemp("looked-at")
    sender = Sender(hospital_of(folder / "hospital"))
    for patient, name in (("A", "one"), ("A", "two"), ("B", "three")):
        own = folder / name
        write_series(own, ramp((4, 8, 10)), series=name, patient=patient, edit=scanner(name))
    sender.import_zip(zipped(folder / "one"))
    sender.import_zip(zipped(folder / "two"))
    sender.import_zip(zipped(folder / "three"))
    return sender


def scanner(name: str):
    def edit(_number, data) -> None:
        data.Manufacturer = f"Maker {name}"

    return edit


def image_of(answer) -> np.ndarray:
    assert answer.mimetype == "image/png", answer.text
    return np.asarray(Image.open(io.BytesIO(answer.data)))


def test_scans_are_counted_by_patient(shared):
    scans = shared.call("GET", "scans").json["items"]
    assert sorted(one["scans_of_patient"] for one in scans) == [1, 2, 2]
    page = shared.client.get("/data/").text
    assert page.count('class="thumbnail"') == 3
    assert page.index("<b>2</b>") < page.index("<b>3</b>")  # patients, scans


@pytest.mark.parametrize(
    ("words", "count"), [("maker TWO", 1), ("p-", 3), ("DICOM", 3), ("nowhere", 0), ("%", 0)]
)
def test_scans_are_found_by_their_words(shared, words, count):
    found = shared.call("GET", "scans", query_string={"q": words}).json
    assert (found["total"], len(found["items"])) == (count, count)
    page = shared.client.get("/data/", query_string={"q": words}).text
    assert page.count('class="thumbnail"') == count


def test_each_plane_shows_the_patient_upright(shared):
    scan = shared.call("GET", "scans?q=maker+one").json["items"][0]["scan"]
    hu = views.Views(shared.stage.console.place.path)
    view = shared.stage.console.hospital.scans.view(scan)
    assert hu.console.joinpath("views", scan).exists()
    assert view.counts == {"axial": 4, "coronal": 8, "sagittal": 10}
    np.testing.assert_array_equal(view.hu, ramp((4, 8, 10)))
    # A voxel that is bright in a window appears where radiologists expect it.
    bright = np.full((4, 8, 10), -2000, np.int16)
    bright[3, 0, 0] = 3000  # head, front, right
    shown = views.View(bright, None, (1.0, 1.0, 1.0))
    for plane, index in (("axial", 3), ("coronal", 0), ("sagittal", 0)):
        picture = image_of_png(shown.png(plane, index, "wide"))
        assert picture[0, 0] == picture.max() > picture[-1, -1], plane


def image_of_png(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_pixels_are_square_whatever_the_spacing(shared):
    shown = views.View(np.zeros((4, 8, 10), np.int16), None, (5.0, 1.0, 1.0))
    rows, columns = image_of_png(shown.png("coronal", 0)).shape
    assert rows / columns == pytest.approx(4 * 5 / 10, abs=0.01)


def test_a_mask_is_outlined_when_it_is_asked_for():
    mask = np.zeros((4, 8, 10), np.uint8)
    mask[1, 2:5, 3:6] = 1
    shown = views.View(np.zeros((4, 8, 10), np.int16), mask, (1.0, 1.0, 1.0))
    coloured = image_of_png(shown.png("axial", 1, outlined=True))
    assert coloured.shape[2] == 3
    assert ((coloured[..., 1] > 150) & (coloured[..., 0] == 0)).any()
    assert image_of_png(shown.png("axial", 1)).ndim == 2


def test_a_slice_over_pages_and_api(shared):
    scan = shared.call("GET", "scans").json["items"][0]["scan"]
    page = shared.client.get(f"/data/{scan}/axial/2.png?window=bone")
    assert image_of(page).shape[0] > 100
    assert page.headers["Cache-Control"] == "no-store"
    over_api = shared.call("GET", f"scans/{scan}/axial/2?window=bone")
    np.testing.assert_array_equal(image_of(over_api), image_of(page))
    assert image_of(shared.client.get(f"/data/{scan}/thumbnail.png")).shape[0] <= 112
    assert "data-slices" in shared.client.get(f"/data/{scan}").text


@pytest.mark.parametrize(
    "path",
    [
        "SCAN/axial/4.png", "SCAN/upward/1.png", "SCAN/axial/1.png?window=x", "s-none",
        "s-none/axial/1.png", "s-none/thumbnail.png", "SCAN/axial/-1.png", "..%2fsite.toml",
        "s-none/delete",
    ],
)  # fmt: skip
def test_what_is_not_there(shared, path):
    scan = shared.call("GET", "scans").json["items"][0]["scan"]
    assert shared.client.get(f"/data/{path.replace('SCAN', scan)}").status_code == 404


def test_only_the_last_scans_stay_ready(shared, monkeypatch):
    monkeypatch.setattr(views, "KEPT", 1)
    scans = [one["scan"] for one in shared.call("GET", "scans").json["items"]]
    for scan in scans[:2]:
        shared.stage.console.hospital.scans.view(scan)
    folder = shared.stage.console.place.path / "views"
    assert [path.name for path in folder.iterdir()] == [scans[1]]


def test_who_may_not_look_sees_no_pictures(shared):
    scan = shared.call("GET", "scans").json["items"][0]["scan"]
    auditor = shared.stage.client("auditor")
    assert "thumbnail" not in auditor.get("/data/").text
    for path in ("", "/axial/1.png", "/thumbnail.png"):
        assert auditor.get(f"/data/{scan}{path}").status_code == 403


def test_a_scan_is_deleted_once_somebody_is_sure(hospital, tmp_path):
    sender = Sender(hospital)
    done = sender.import_zip(series_zip(tmp_path / "ct"), keep_links=True)
    scan = done["result"]["imported"][0]
    sender.client.get(f"/data/{scan}")
    folder, _ = list_scans(hospital.console.hospital.site)
    form = {"csrf_token": sender.headers["X-CSRFToken"]}
    assert "Delete this scan?" in sender.client.post(f"/data/{scan}/delete", data=form).text
    assert len(list(folder.glob("p-*"))) == 1
    assert hospital.client("clinician").get(f"/data/{scan}/delete").status_code == 403
    answer = sender.client.post(f"/data/{scan}/delete", data={**form, "sure": "on"})
    assert answer.status_code == 302
    assert list(folder.glob("p-*")) == []
    assert sender.call("GET", "scans").json["total"] == 0
    place = hospital.console.place.path
    assert not (place / "views" / scan).exists()
    assert not (place / "thumbnails" / f"{scan}.png").exists()
    assert (hospital.console.hospital.site / "links.jsonl").read_text() == ""
    with hospital.console.database.read() as session:
        acts = [(row.action, row.subject, row.actor) for row in session.query(AuditRow)]
    assert ("data.delete", f"scan {scan}", "data-steward") in acts


def test_a_scan_is_deleted_over_the_api_and_can_come_again(hospital, tmp_path):
    sender = Sender(hospital)
    content = series_zip(tmp_path / "ct")
    scan = sender.import_zip(content)["result"]["imported"][0]
    assert sender.call("DELETE", f"scans/{scan}").status_code == 204
    assert sender.call("DELETE", f"scans/{scan}").status_code == 404
    assert sender.import_zip(content)["result"]["imported"] == [scan]
