"""The profile: each attribute of the standard's table, and what hides outside it."""

import datetime as dt
import io
import re
import shutil
import subprocess
import warnings

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import UID
from unit.connectors.dicom_files import ramp, uid, write_series

from medfed.connectors.deidentify import Deidentifier, doubts_about, identity_of
from medfed.connectors.deidentify.table import table
from medfed.connectors.deidentify.values import DUMMY, grouped_age, moved
from medfed.connectors.pseudonyms import Pseudonyms
from medfed.connectors.scans import read_scan

NAMES = Pseudonyms(b"k" * 32)
SECRET = "Rumpelstilzchen"
SECRETS = {
    "DA": "19870605",
    "DT": "19870605040302",
    "TM": "040302",
    "AS": "077Y",
    "UI": "1.2.3.19870605",
    "DS": "19870605",
    "IS": "19870605",
    "UR": f"http://{SECRET}.example",
    **dict.fromkeys(("FD", "FL", "SL", "UL", "SV", "UV"), 19870605),
    **dict.fromkeys(("SS", "US"), 19876),
}


def slice_with(tmp_path, edit=lambda dataset: None) -> pydicom.FileDataset:
    """A whole CT slice, as read from a file."""
    folder = write_series(tmp_path / "ct", ramp((2, 8, 8)), edit=lambda _k, dataset: edit(dataset))
    return pydicom.dcmread(folder / "0000.dcm")


def secret_of(vr: str):
    """A value of a type that names somebody."""
    if vr == "SQ":
        inner = Dataset()
        inner.PatientName, inner.TextValue = SECRET, SECRET
        return [inner]
    return SECRETS.get(vr, SECRET if vr.isalpha() and vr not in {"OB", "OW", "UN"} else b"RUMPEL")


def cleaned(dataset, identity="someone", **options):
    Deidentifier(NAMES, **options).clean(dataset, identity)
    return dataset


def with_every_row() -> Dataset:
    """An object with every attribute of the table that pydicom knows, but for the file's own."""
    dataset = pydicom.dataset.FileDataset("", {}, preamble=b"#!/bin/sh\n".ljust(128))
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag in table():
            if tag >> 16 in {2, 4, 0} or not dictionary_has_tag(tag):
                continue
            vr = dictionary_VR(tag).split(" or ")[0]
            dataset.add_new(tag, vr, secret_of(vr))
    return dataset


def test_the_table_is_the_standards():
    rows = table()
    assert len(rows) == 652
    assert {code for row in rows.values() for code in row.basic.split("/")} == set("DZXU") | {"U*"}
    assert rows[0x00100010].basic == "Z"
    assert rows[0x00100020].basic == "Z/D"
    assert rows[0x00081155].basic == "U"
    assert rows[0x00080012].dates == "C"
    assert rows[0x00101010].characteristics == "K"
    assert {row.safest for row in rows.values()} == {"D", "Z", "X", "U", "U*"}


def test_nothing_of_any_attribute_in_the_table_is_left():
    dataset = cleaned(with_every_row())
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    for secret in (
        SECRET,
        SECRET.upper(),
        "RUMPEL",
        "19870605",
        "1.2.3.19870605",
        "077Y",
        "bin/sh",
    ):
        assert secret.encode() not in content, secret
    assert np.float64(19870605).tobytes() not in content
    assert np.int32(19870605).tobytes() not in content


@pytest.mark.parametrize("code", ["X", "Z", "D", "U"])
def test_each_code_does_what_the_standard_says(code):
    dataset, original = cleaned(with_every_row()), with_every_row()
    checked = 0
    for tag, row in table().items():
        if tag not in original or row.safest[0] != code or tag in {0x00100010, 0x00100020}:
            continue
        vr = original[tag].VR
        if row.dates == "C" and vr in {"DA", "DT", "TM"}:
            continue
        checked += 1
        if code == "X" or (vr == "SQ" and "X/" in row.basic and tag != 0x00400555 and code != "U"):
            assert tag not in dataset, row.name
        elif code == "Z":
            assert dataset[tag].is_empty, row.name
        else:
            assert dataset[tag].value != original[tag].value, row.name
            assert not dataset[tag].is_empty, row.name
        if code == "D" and vr not in {"SQ", "UI"}:
            assert vr == dataset[tag].VR, row.name
    assert checked >= {"X": 280, "Z": 30, "D": 50, "U": 40}[code]


def test_an_object_says_what_was_done_to_it(tmp_path):
    done = cleaned(slice_with(tmp_path))
    assert done.PatientIdentityRemoved == "YES"
    assert done.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in done.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107"]
    assert done.PatientID == str(done.PatientName) == NAMES.patient("someone")
    kept = cleaned(slice_with(tmp_path / "2"), keep_characteristics=True)
    assert [i.CodeValue for i in kept.DeidentificationMethodCodeSequence][-1] == "113108"
    assert kept.PatientSex == "F"
    assert done.PatientSex == ""


def test_what_the_platform_needs_is_kept(tmp_path):
    def scanner(dataset):
        dataset.ConvolutionKernel, dataset.ManufacturerModelName = "B70f", "Sensation 16"
        dataset.KVP = "120"

    folder = write_series(tmp_path / "ct", ramp((4, 8, 8)), edit=lambda _k, d: scanner(d))
    before = read_scan(folder).volume
    (tmp_path / "out").mkdir()
    for file in folder.iterdir():
        dataset = cleaned(pydicom.dcmread(file))
        assert (dataset.ConvolutionKernel, dataset.ManufacturerModelName) == (
            "B70f",
            "Sensation 16",
        )
        assert (dataset.KVP, dataset.Manufacturer) == (120, "medfed tests")
        dataset.save_as(tmp_path / "out" / file.name, enforce_file_format=True)
    after = read_scan(tmp_path / "out").volume
    assert np.array_equal(before.hu, after.hu)
    assert before.geometry.matches(after.geometry, 0.0)


def test_references_still_point_to_each_other(tmp_path):
    def refer(dataset):
        item = Dataset()
        item.ReferencedSOPClassUID = dataset.SOPClassUID
        item.ReferencedSOPInstanceUID = uid("ct", 1)
        dataset.SourceImageSequence = [item]

    folder = write_series(
        tmp_path / "ct", ramp((2, 8, 8)), shuffled=False, edit=lambda _k, d: refer(d)
    )
    first, second = (cleaned(pydicom.dcmread(folder / f"000{k}.dcm")) for k in range(2))
    assert first.SourceImageSequence[0].ReferencedSOPInstanceUID == second.SOPInstanceUID
    assert first.SourceImageSequence[0].ReferencedSOPClassUID == second.SOPClassUID
    assert first.StudyInstanceUID == second.StudyInstanceUID != uid("patient", "study")
    assert second.file_meta.MediaStorageSOPInstanceUID == second.SOPInstanceUID


def test_private_unknown_and_drawn_elements_go_at_every_depth(tmp_path):
    def hide(dataset):
        inner = Dataset()
        inner.CodeValue = "ok"
        for target in (dataset, inner):
            target.private_block(0x0029, "MAKER", create=True).add_new(1, "LO", SECRET)
            target.add_new(0x00180F0F, "LO", SECRET)  # no such attribute
        dataset.add_new(0x60000010, "US", 8)
        dataset.add_new(0x60000022, "LO", SECRET)
        dataset.add_new(0x60003000, "OW", b"\1" * 8)
        dataset.add_new(0x50000005, "US", 1)
        dataset.PatientOrientation = ["L", "P"]
        dataset.AnatomicRegionSequence = [inner]

    done = cleaned(slice_with(tmp_path, hide))
    assert SECRET not in str(done)
    assert not [
        e for e in done.iterall() if e.tag.is_private or e.tag.group & 0xFF00 in {0x5000, 0x6000}
    ]
    assert done.AnatomicRegionSequence[0].CodeValue == "ok"


def test_names_in_fields_where_nobody_expects_them_are_emptied(tmp_path):
    def hide(dataset):
        dataset.ConvolutionKernel = "Jane's B70f"
        dataset.FilterType = "id patient, soft"
        dataset.WindowCenterWidthExplanation = ["DOE", "LUNG"]
        dataset.SoftwareVersions = "Doeton 3"  # another word

    dataset = slice_with(tmp_path, hide)
    assert Deidentifier(NAMES).clean(dataset, "x").texts_emptied == 3
    assert not dataset.ConvolutionKernel
    assert not dataset.FilterType
    assert not dataset.WindowCenterWidthExplanation
    assert dataset.SoftwareVersions == "Doeton 3"


def test_dates_of_a_patient_keep_their_distance_and_lie_in_the_past(tmp_path):
    def dates(dataset):
        dataset.AcquisitionDate, dataset.AcquisitionTime = "20200306", "111213.5"
        dataset.AcquisitionDateTime = "20200306111213.500000+0100"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.ContentDate = "2020.03.07"
            dataset.SeriesDate = "yesterday"

    done = cleaned(slice_with(tmp_path, dates))
    study = dt.date.fromisoformat(done.StudyDate)
    assert dt.date(2020, 3, 4) - study == dt.timedelta(days=NAMES.days_earlier("someone"))
    assert dt.date.fromisoformat(done.AcquisitionDate) - study == dt.timedelta(days=2)
    assert str(done.AcquisitionDateTime).startswith(done.AcquisitionDate + "111213.5")
    assert dt.date.fromisoformat(done.ContentDate) - study == dt.timedelta(days=3)
    assert done.AcquisitionTime == "111213.5"
    assert done.SeriesDate == ""


@given(
    st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
    st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
    st.integers(1, 3650),
)
def test_moved_dates_keep_every_distance(one, other, days):
    new = [dt.date.fromisoformat(moved("DA", f"{d:%Y%m%d}", days)) for d in (one, other)]
    assert new[0] - new[1] == one - other
    assert one - new[0] == dt.timedelta(days=days)


@given(st.sampled_from(["DA", "DT"]), st.text(max_size=30), st.integers(1, 3650))
def test_what_is_no_date_becomes_empty_or_a_moved_date(vr, text, days):
    assert re.fullmatch(r"|\d{8}.*", moved(vr, text, days))


@pytest.mark.parametrize(
    ("age", "kept"),
    [("089Y", "089Y"), ("090Y", "090Y"), ("103Y", "090Y"), ("011M", "011M"), ("?", "")],
)
def test_great_ages_are_one_group(age, kept):
    assert grouped_age(age) == kept


def test_the_same_object_gives_the_same_bytes(tmp_path):
    written = []
    for name in ("one", "two"):
        buffer = io.BytesIO()
        cleaned(slice_with(tmp_path / name)).save_as(buffer, enforce_file_format=True)
        written.append(buffer.getvalue())
    assert written[0] == written[1]


def test_an_object_that_was_anonymised_before_can_be_taken_again(tmp_path):
    done = cleaned(cleaned(slice_with(tmp_path)))
    assert done.PatientIdentityRemoved == "YES"
    assert len(done.DeidentificationMethodCodeSequence) == 2
    named = cleaned(slice_with(tmp_path / "2", lambda d: setattr(d, "PatientName", DUMMY)))
    assert named.PatientName == NAMES.patient("someone")


def test_whose_an_object_is(tmp_path):
    dataset = slice_with(tmp_path)
    assert identity_of(dataset) == "patient"
    dataset.PatientID = " "
    assert identity_of(dataset) == "Doe^Jane|19500102"
    dataset.PatientBirthDate = None
    assert identity_of(dataset) == ""


@pytest.mark.parametrize(
    ("keyword", "value", "doubt"),
    [
        ("BurnedInAnnotation", "YES", ("burned-in-text",)),
        ("BurnedInAnnotation", "NO", ()),
        ("RecognizableVisualFeatures", "YES", ("recognisable-face",)),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7", ("secondary-capture",)),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7.4", ("secondary-capture",)),
        ("ConversionType", "WSD", ("secondary-capture",)),
        ("ImageType", ["DERIVED", "SECONDARY", "SCREEN SAVE"], ("secondary-capture",)),
        ("ImageType", ["DERIVED", "SECONDARY", "REFORMATTED"], ()),
    ],
)
def test_pictures_that_may_show_a_name_are_doubted(tmp_path, keyword, value, doubt):
    assert doubts_about(slice_with(tmp_path, lambda d: setattr(d, keyword, value))) == doubt


def test_damaged_elements_are_removed_and_counted(tmp_path):
    folder = write_series(tmp_path / "ct", ramp((2, 8, 8)))
    content = bytearray((folder / "0000.dcm").read_bytes())
    at = content.index(b"CS\x06\x00CHEST ") + 4
    content[at : at + 6] = b"\xff\xfe\xfd\xfc\xfb\xfa"
    dataset = pydicom.dcmread(io.BytesIO(bytes(content)))
    cleaned(dataset)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    assert pydicom.dcmread(io.BytesIO(buffer.getvalue())).PatientID.startswith("p-")


def test_a_real_series_loses_who_it_was_of(need, tmp_path):
    archive = need("ct-cptac-lscc-chest-series/C3N-00247_LUNG_3.0_B70f.zip")
    shutil.unpack_archive(archive, tmp_path)
    files = sorted(tmp_path.rglob("*.dcm"))[:3]
    for file in files:
        original = pydicom.dcmread(file)
        dataset = cleaned(pydicom.dcmread(file), identity_of(original))
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        content = buffer.getvalue()
        for secret in (
            b"C3N-00247",
            b"20100227",
            b"1598252606449858",
            b"CPTAC",
            b"1.3.6.1.4.1.14519",
        ):
            assert secret not in content
        assert dataset.PixelData == original.PixelData
        assert dataset.ConvolutionKernel == "B70f"


@pytest.mark.needs_package("dicom3tools")
def test_a_cleaned_slice_is_as_good_an_object_as_before(tmp_path):
    """What dciodvfy finds wrong after is no more than what it found before."""

    def more(dataset):
        item, code = Dataset(), Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = uid("class"), uid("study")
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99TEST", "one"
        dataset.ReferencedStudySequence = [item]
        dataset.InstitutionCodeSequence = [code]
        dataset.ReferencedPerformedProcedureStepSequence = [item]
        dataset.ProtocolName, dataset.StationName = "CHEST", "CT01"

    folder = write_series(tmp_path / "ct", ramp((2, 8, 8)), edit=lambda _k, d: more(d))
    assert made_worse(folder / "0000.dcm", tmp_path) == set()


@pytest.mark.needs_package("dicom3tools")
def test_a_real_slice_is_as_good_an_object_as_before(need, tmp_path):
    archive = need("ct-cptac-lscc-chest-series/C3N-00247_LUNG_3.0_B70f.zip")
    shutil.unpack_archive(archive, tmp_path)
    assert made_worse(min(tmp_path.rglob("*.dcm")), tmp_path) == set()


def made_worse(file, tmp_path) -> set[str]:
    """What dciodvfy calls an error after cleaning, and not before."""

    def errors(checked):
        done = subprocess.run(["dciodvfy", checked], capture_output=True, text=True, check=False)
        lines = done.stderr.splitlines()
        assert any("CTImage" in line for line in lines), done.stderr
        return {line for line in lines if line.startswith("Error")}

    after = tmp_path / "after.dcm"
    cleaned(pydicom.dcmread(file)).save_as(after, enforce_file_format=True)
    return errors(after) - errors(file)
