"""A signed review goes into the hospital's PACS and is read back."""

from __future__ import annotations

import pydicom
import pytest
from clinics import clinic_of
from integration.orthanc import PASSWORD, USER, orthanc

from medfed.connectors.pacs import PacsOptions, Query, open_pacs
from medfed.services.inference.sending import ask_to_send
from medfed.web import WebOptions

__all__ = ["orthanc"]


@pytest.mark.slow
@pytest.mark.needs_package("orthanc")
@pytest.mark.needs_package("orthanc-dicomweb")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_was_signed_is_stored_and_nothing_else(orthanc, tmp_path, monkeypatch):
    orthanc.clear()
    clinic = clinic_of(tmp_path, options=WebOptions(live=False))
    inference, desk = clinic.signed(), clinic.desk
    lines = [f'address = "{orthanc.url}"', f'ca = "{orthanc.ca}"']
    (desk.place.site / "pacs.toml").write_text("\n".join(lines))
    monkeypatch.setenv("MEDFED_PACS_USER", USER)
    monkeypatch.setenv("MEDFED_PACS_PASSWORD", "wrong")
    ask_to_send(desk.inferences, clinic.who(), inference)
    assert clinic.do(inference) == "failed"  # and can be tried again once that is mended
    monkeypatch.setenv("MEDFED_PACS_PASSWORD", PASSWORD)
    desk.inferences.again(clinic.who(), inference)
    assert clinic.do(inference) == "finished"
    row = desk.inferences.find(inference)
    assert (row.sent["objects"], row.sent["by"]) == (2, "clinician")
    page = clinic.stage.client("clinician").get(f"/inference/{inference}").text
    assert "2 objects were sent to" in page
    ours = pydicom.dcmread(desk.inferences.file(inference, "reviewed", "segmentation.dcm")[0])
    pacs = open_pacs(orthanc.url, PacsOptions(ca=orthanc.ca, user=USER, password=PASSWORD))
    found = {
        each.modality: each for each in pacs.find(Query(study=ours.StudyInstanceUID, modality=""))
    }
    assert set(found) == {"SEG", "SR"}
    folder = tmp_path / "sr"
    folder.mkdir()
    assert pacs.fetch(found["SR"], folder) == 1
    report = pydicom.dcmread(next(folder.iterdir()))
    assert report.VerificationFlag == "VERIFIED"
    assert str(report.VerifyingObserverSequence[0].VerifyingObserverName) == "李 明"
