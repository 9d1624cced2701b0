"""Import: every form, once, whole, under other names; what is bad stops nothing else."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes
from unit.connectors.dicom_files import ramp, uid, write_series

from medfed.connectors.annotated_volumes import AnnotatedVolumes
from medfed.connectors.annotations import read_annotations
from medfed.connectors.phantom import make_phantom
from medfed.connectors.scans import read_scan
from medfed.connectors.volumes import Volumes
from medfed.core.errors import DataError, SiteError
from medfed.services.imports import ImportOptions, import_scans, list_scans
from medfed.services.imports.place import open_place
from medfed.services.sites import create_site

SHAPE = (4, 8, 10)
SECRETS = (b"Doe", b"Jane", b"19500102", b"20200304", b"CHEST 3.0", b"MRN-4711", b"Anna")


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    create_site(folder, "north", None)
    return folder


@pytest.fixture
def series(tmp_path):
    return write_series(tmp_path / "Doe, Jane" / "ct", ramp(SHAPE), patient="MRN-4711")


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_volume(path, hu):
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10.0, 20.0, -300.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def write_segmentation(folder, truth):
    """A DICOM SEG of a series, beside it."""
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Doe's nodule",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Nodule,
        algorithm_type="MANUAL",
    )
    made = hd.seg.Segmentation(
        source_images=list(read_scan(folder).series.slices),
        pixel_array=truth,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="medfed tests",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
    )
    made.save_as(folder / "seg.dcm")
    return folder / "seg.dcm"


def test_a_series_becomes_a_scan_of_the_site(site, series):
    report = import_scans(site, series)
    assert (len(report.imported), report.troubles, report.record) == (1, [], None)
    folder, (scan,) = list_scans(site)
    assert folder == site / "data" / "north"
    assert scan.folder == f"north/{scan.patient}/{scan.scan}"
    assert (scan.form, scan.shape, scan.manufacturer) == ("DICOM", SHAPE, "medfed tests")
    ct = folder / scan.patient / scan.scan / "ct"
    before, after = read_scan(series).volume, read_scan(ct).volume
    assert np.array_equal(before.hu, after.hu)
    assert before.geometry.matches(after.geometry)
    assert {p.name for p in ct.iterdir()} == {f"{n:06d}.dcm" for n in range(1, 5)}
    for stored in scan.objects:
        content = (ct.parent / stored.name).read_bytes()
        assert len(content) == stored.bytes
        assert hashlib.sha256(content).hexdigest() == stored.sha256


def test_nobody_is_named_anywhere_in_the_site(site, series, tmp_path):
    write_volume(tmp_path / "in" / "Anna" / "scan.nii.gz", ramp(SHAPE))
    import_scans(site, series)
    import_scans(site, tmp_path / "in")
    for name, content in files_of(site).items():
        for secret in (*SECRETS, uid("ct", "series").encode(), b"Doe, Jane"):
            assert secret not in content, name
            assert secret.decode() not in name


def test_only_the_owner_can_read_scans_and_catalogue(site, series):
    import_scans(site, series)
    for path in [*(site / "data" / "north").rglob("*.dcm"), site / "catalogue.sqlite"]:
        assert path.stat().st_mode & 0o077 == 0


def test_the_same_import_again_changes_nothing(site, series):
    first = import_scans(site, series)
    before = files_of(site)
    again = import_scans(site, series)
    assert again.unchanged == first.imported
    assert again.imported == again.completed == []
    assert {k: v for k, v in files_of(site).items() if "catalogue" not in k} == {
        k: v for k, v in before.items() if "catalogue" not in k
    }


def test_the_source_volumes_reads_what_was_imported(site, tmp_path):
    made = make_phantom(tmp_path / "phantom", ["clinic"], 2, "small", seed=1).out
    import_scans(site, made)
    source = Volumes().open(site / "data", "north", ["north"])
    assert "synthetic" in source.notice
    assert len(source.patients()) == 2
    cases = {case.patient: case for case in source.load(source.patients())}
    originals = sorted(path.parent.name for path in made.rglob("ct.mhd"))
    with open_place(site) as place:
        for name in originals:
            case = cases[place.pseudonyms.patient(name)]
            original = read_scan(made / "clinic" / name / "ct.mhd").volume
            assert np.array_equal(case.volume().hu, original.hu)
            assert case.geometry.matches(original.geometry)
            assert case.mask().any()


def test_a_dicom_scan_is_read_by_the_source_volumes_as_it_lies(site, series):
    import_scans(site, series)
    source = Volumes(mask="").open(site / "data", "north", ["north"])
    (case,) = source.load(source.patients())
    assert case.path.is_dir()
    assert np.array_equal(case.volume().hu, read_scan(series).volume.hu)


def test_bad_series_are_named_and_the_rest_goes_on(site, tmp_path):
    root = tmp_path / "in"
    write_series(root / "a", ramp(SHAPE), series="good", patient="one")
    write_series(root / "b", ramp((7, 8, 10)), series="holes", missing=[2], patient="two")
    write_series(root / "c", ramp(SHAPE), series="mr", modality="MR", patient="three")
    write_series(
        root / "d",
        ramp(SHAPE),
        series="two people",
        edit=lambda k, d: setattr(d, "PatientID", f"p{k // 2}"),
    )
    write_series(
        root / "e",
        ramp(SHAPE),
        series="burned",
        edit=lambda _k, d: setattr(d, "BurnedInAnnotation", "YES"),
    )
    write_series(
        root / "f",
        ramp(SHAPE),
        series="nobody",
        patient="",
        edit=lambda _k, d: d.__delattr__("PatientName"),
    )
    (root / "g").mkdir()
    (root / "g" / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    (root / "h").mkdir()
    (root / "h" / "cut.nii").write_bytes(b"\x5c\x01\0\0" + b"\0" * 30)
    report = import_scans(site, root)
    assert len(report.imported) == 1
    names = sorted(one.name for one in report.refused)
    assert {"missing-slices", "several-patients", "burned-in-text", "no-patient"} <= set(names)
    assert len(names) == 6
    assert report.left_out == {"not-ct": 1}
    assert "Doe" not in json.dumps(report.to_json())
    assert report.record.stat().st_mode & 0o777 == 0o600
    told = json.loads(report.record.read_text())
    assert any("cut.nii" in file for one in told["refused"] for file in one["where"])


def test_doubtful_pictures_come_in_only_when_asked_and_stay_marked(site, tmp_path):
    folder = write_series(
        tmp_path / "in", ramp(SHAPE), edit=lambda _k, d: setattr(d, "BurnedInAnnotation", "YES")
    )
    assert not import_scans(site, folder).useful
    report = import_scans(site, folder, ImportOptions(accept_doubts=True))
    assert report.doubtful == report.imported
    assert list_scans(site)[1][0].doubts == ("burned-in-text",)


def test_a_zip_and_a_folder_of_the_same_series_are_one_scan(site, series, tmp_path):
    shutil.make_archive(str(tmp_path / "packed"), "zip", series)
    assert import_scans(site, tmp_path / "packed.zip").imported
    assert import_scans(site, series).unchanged


def test_a_series_that_grew_is_completed_and_one_that_changed_is_not(site, tmp_path):
    some = write_series(tmp_path / "some", ramp((6, 8, 10)), missing=[4, 5])
    whole = write_series(tmp_path / "whole", ramp((6, 8, 10)))
    other = write_series(tmp_path / "other", ramp((6, 8, 10), low=-900))
    first = import_scans(site, some)
    done = import_scans(site, whole)
    assert done.completed == first.imported
    assert list_scans(site)[1][0].shape == (6, 8, 10)
    report = import_scans(site, other)
    assert [one.name for one in report.refused] == ["differs-from-catalogue"]
    folder, (scan,) = list_scans(site)
    kept = read_scan(folder / scan.patient / scan.scan / "ct").volume
    assert np.array_equal(kept.hu, ramp((6, 8, 10)))


def test_files_that_vanished_are_written_again(site, series):
    (name,) = import_scans(site, series).imported
    folder, (scan,) = list_scans(site)
    (folder / scan.patient / name / "ct" / "000002.dcm").unlink()
    report = import_scans(site, series)
    assert report.completed == [name]
    assert (folder / scan.patient / name / "ct" / "000002.dcm").exists()


@pytest.mark.parametrize("name", ["ct.mhd", "ct.mha", "ct.nii", "ct.nii.gz"])
def test_volumes_come_in_from_every_form_without_their_headers(site, tmp_path, name):
    path = write_volume(tmp_path / "in" / "Anna" / name, ramp(SHAPE))
    if name.endswith(".mhd"):
        path.write_text("Comment = Anna Doe\n" + path.read_text())
    import_scans(site, tmp_path / "in")
    folder, (scan,) = list_scans(site)
    lies = folder / scan.patient / scan.scan
    assert {p.name for p in lies.iterdir()} == {"ct.mhd", "ct.raw"}
    assert b"Anna" not in (lies / "ct.mhd").read_bytes()
    before, after = read_scan(path).volume, read_scan(lies / "ct.mhd").volume
    assert np.array_equal(before.hu, after.hu)
    assert before.geometry.matches(after.geometry)


def test_a_patient_of_a_folder_is_the_patient_of_that_number_in_dicom(site, tmp_path):
    write_series(tmp_path / "dicom", ramp(SHAPE), patient="4711")
    write_volume(tmp_path / "in" / "4711" / "scan.nii", ramp(SHAPE))
    import_scans(site, tmp_path / "dicom")
    import_scans(site, tmp_path / "in")
    _, scans = list_scans(site)
    assert len(scans) == 2
    assert len({scan.patient for scan in scans}) == 1


@pytest.mark.parametrize(("naming", "patients"), [("folder", 1), ("file", 2), ("parent", 1)])
def test_what_names_a_patient_is_for_the_hospital_to_say(site, tmp_path, naming, patients):
    for k, name in enumerate(("a.nii", "b.nii")):
        write_volume(tmp_path / "in" / name, ramp(SHAPE, low=-1000 + k))
    report = import_scans(site, tmp_path / "in", ImportOptions(naming=naming))
    assert len({scan.patient for scan in list_scans(site)[1]}) == patients
    assert bool(report.notes) == (naming == "folder")


def test_masks_go_with_their_scans_and_lost_ones_are_named(site, tmp_path):
    folder = tmp_path / "in"
    for name in ("a", "b"):
        write_volume(folder / f"{name}.nii", ramp(SHAPE, low=-1000 - ord(name)))
    write_volume(folder / "a_mask.nii", np.ones(SHAPE, np.uint8))
    write_volume(folder / "c_mask.nii", np.ones(SHAPE, np.uint8))
    write_volume(folder / "d" / "ct.nii", ramp(SHAPE))
    write_volume(folder / "d" / "mask.nii", np.ones((3, 8, 10), np.uint8))
    report = import_scans(site, folder)
    assert sorted(one.name for one in report.refused) == ["mask-without-scan", "off-grid"]
    assert sorted(scan.mask for scan in list_scans(site)[1]) == [False, True]


def test_a_mask_that_comes_later_joins_its_scan(site, tmp_path):
    write_volume(tmp_path / "in" / "Anna" / "ct.nii", ramp(SHAPE))
    (name,) = import_scans(site, tmp_path / "in").imported
    write_volume(tmp_path / "in" / "Anna" / "mask.nii", np.ones(SHAPE, np.uint8))
    assert import_scans(site, tmp_path / "in").completed == [name]
    assert list_scans(site)[1][0].mask


def test_links_are_written_only_where_asked_and_once(site, series):
    import_scans(site, series)
    assert not (site / "links.jsonl").exists()
    for _ in range(2):
        import_scans(site, series, ImportOptions(keep_links=True))
    (line,) = (site / "links.jsonl").read_text().splitlines()
    link = json.loads(line)
    assert (link["hospital_patient"], link["hospital_scan"]) == ("MRN-4711", uid("ct", "series"))
    assert link["patient"] == list_scans(site)[1][0].patient
    assert (site / "links.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_site_with_data_elsewhere_gets_its_scans_there(tmp_path, series):
    data = tmp_path / "data"
    data.mkdir()
    create_site(tmp_path / "site", "north", data)
    assert import_scans(tmp_path / "site", series).folder == data / "north"
    assert (data / "north").is_dir()


def test_what_cannot_be_is_said(tmp_path, site, series):
    with pytest.raises(SiteError, match=r"not a site's folder.*site init"):
        import_scans(tmp_path / "nowhere", series)
    with pytest.raises(DataError, match="no such file or folder"):
        import_scans(site, tmp_path / "nothing")
    with open_place(site), pytest.raises(SiteError, match="another import"):
        import_scans(site, series)


def test_a_lost_key_is_never_replaced(site, series):
    import_scans(site, series)
    (site / "pseudonyms.key").unlink()
    with pytest.raises(SiteError, match=r"is missing.*backup"):
        import_scans(site, series)
    assert not (site / "pseudonyms.key").exists()


KILLED_AT = """
    import os, signal, sys
    from pathlib import Path
    from medfed.services.imports import import_scans
    import medfed.services.imports.place as place
    import medfed.services.imports.candidate as candidate
    from medfed.storage.catalogue import Catalogue

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    kind = sys.argv[3]
    if kind == "writing":
        add, count = candidate.Shelf.add, []
        def add_some(self, *given):
            count.append(1)
            return add(self, *given) if len(count) < 3 else die()
        candidate.Shelf.add = add_some
    elif kind == "placed":
        place.sync = die
    else:
        Catalogue.put = die
    import_scans(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("kind", ["writing", "placed", "cataloguing"])
def test_a_kill_leaves_no_half_scan_and_the_next_import_completes_it(site, series, kind):
    program = [sys.executable, "-c", textwrap.dedent(KILLED_AT), site, series, kind]
    done = subprocess.run(program, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert list_scans(site)[1] == []
    scans = site / "data" / "north"
    for patient in (p for p in scans.iterdir() if not p.name.startswith(".")):
        for scan in patient.iterdir():
            assert len(list((scan / "ct").iterdir())) == len(list(series.iterdir()))
    report = import_scans(site, series)
    assert len(report.imported) == 1
    assert [p.name for p in scans.iterdir() if p.name.startswith(".")] == []
    assert len(list(scans.rglob("*.dcm"))) == len(list(series.iterdir()))


def test_a_full_disk_stops_the_import_in_a_sentence(site, series, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("medfed.services.imports.candidate.Shelf.add", full)
    with pytest.raises(DataError, match=r"No space left.*goes on from there"):
        import_scans(site, series)
    monkeypatch.undo()
    assert list_scans(site)[1] == []
    assert import_scans(site, series).imported


def test_a_segmentation_beside_its_series_becomes_the_mask(site, series):
    truth = np.zeros(SHAPE, np.uint8)
    truth[1:3, 2:6, 3:7] = 1
    write_segmentation(series, truth)
    report = import_scans(site, series)
    assert len(report.imported) == 1
    assert report.troubles == []
    source = Volumes().open(site / "data", "north", ["north"])
    (case,) = source.load(source.patients())
    assert np.array_equal(case.mask(), truth)
    assert list_scans(site)[1][0].mask
    assert import_scans(site, series).unchanged == report.imported
    assert b"Doe" not in b"".join(files_of(site).values())


def test_a_segmentation_of_another_series_is_left_out(site, series, tmp_path):
    other = write_series(tmp_path / "other", ramp(SHAPE), series="other")
    written = write_segmentation(other, np.ones(SHAPE, np.uint8))
    shutil.move(written, series / "seg.dcm")
    report = import_scans(site, series)
    assert report.left_out == {"not-ct": 1}
    assert not list_scans(site)[1][0].mask


def test_a_synthetic_series_says_so_after_its_names_are_gone(site, tmp_path):
    folder = write_series(
        tmp_path / "in",
        ramp(SHAPE),
        edit=lambda _k, d: setattr(d, "ImageComments", "SYNTHETIC: shows no person"),
    )
    import_scans(site, folder)
    data, (scan,) = list_scans(site)
    assert scan.synthetic
    assert json.loads((data / "manifest.json").read_text()) == {"synthetic": True}
    file = data / scan.patient / scan.scan / "ct" / "000001.dcm"
    assert pydicom.dcmread(file).SyntheticData == "YES"


def test_tables_of_findings_come_along_under_the_new_names(site, tmp_path):
    made = make_phantom(tmp_path / "phantom", ["clinic"], 2, "small", seed=1).out / "clinic"
    dicom = write_series(tmp_path / "in", ramp(SHAPE), patient="other")
    line = f"{uid('ct', 'series')},1.5,2.5,-3.5,7.25"
    (tmp_path / "in" / "annotations.csv").write_text(
        f"seriesuid,coordX,coordY,coordZ,diameter_mm,reader\n{line},Doe\n9.9,1,2,3,4,Doe\n"
    )
    (tmp_path / "in" / "annotations_excluded.csv").write_text("seriesuid,coordX\n1,2\n")
    import_scans(site, made)
    report = import_scans(site, tmp_path / "in")
    assert [one.name for one in report.refused] == ["bad-table"]
    before = files_of(site / "data")
    import_scans(site, made)
    import_scans(site, dicom)
    assert files_of(site / "data") == before
    table = (site / "data" / "north" / "annotations.csv").read_text()
    assert f"{report.imported[0]},1.5,2.5,-3.5,7.25" in table
    assert "Doe" not in table
    assert "9.9" not in table
    source = AnnotatedVolumes(mask="").open(site / "data", "north", ["north"])
    found = [finding for case in source.load(source.patients()) for finding in case.known]
    original = read_annotations(made / "annotations.csv")
    assert any(not f.relevant for f in found), "the phantom's mimics come along too"
    wanted = sorted([a.centre_mm for a in original] + [(1.5, 2.5, -3.5)])
    assert np.allclose(sorted(f.centre_mm for f in found if f.relevant), wanted)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hits=st.lists(st.tuples(st.integers(132, 1400), st.integers(0, 255)), max_size=8))
def test_damaged_bytes_stop_no_import_and_name_nobody(tmp_path_factory, hits):
    root = tmp_path_factory.mktemp("fuzz")
    create_site(root / "site", "north", None)
    folder = write_series(root / "in" / "bad", ramp((3, 8, 10)), patient="MRN-4711")
    write_series(root / "in" / "good", ramp((3, 8, 10)), series="good", patient="MRN-4711")
    file = folder / "0001.dcm"
    content = bytearray(file.read_bytes())
    for at, value in hits:
        content[at % len(content)] = value
    file.write_bytes(content)
    report = import_scans(root / "site", root / "in")
    scans = list_scans(root / "site")[1]
    assert len(scans) == len(report.imported) >= 1, report.troubles
    for scan in scans:
        ct = report.folder / scan.patient / scan.scan / "ct"
        for stored in ct.iterdir():
            assert b"MRN-4711" not in stored.read_bytes()
            assert pydicom.dcmread(stored).PatientIdentityRemoved == "YES"
