"""DICOM CT series: what is read, in which order, at which place, with which values."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from unit.connectors.dicom_files import ramp, uid, write_enhanced, write_series

from medfed.connectors.dicom import dicom_geometry, find_series
from medfed.connectors.dicom.headers import quiet, read_header
from medfed.connectors.dicom.pixels import stored_values
from medfed.connectors.dicom.planes import Plane, layout_of
from medfed.connectors.scans import ScanError, read_scan
from medfed.connectors.scans.stores import Folder
from medfed.imaging.geometry import Geometry

HU = ramp()
GRID = Geometry(HU.shape, (2.5, 0.8, 0.7), (-120.5, 33.25, -400.0))
TURNED = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
OBLIQUE = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))


def same(folder: Path, hu: np.ndarray = HU, grid: Geometry = GRID) -> None:
    volume = read_scan(folder).volume
    assert volume.hu.dtype == np.int16
    assert volume.geometry.matches(grid)
    assert (volume.hu == hu).all()


def only(folder: Path) -> list[str]:
    """The names of the problems of the one series."""
    (series,) = find_series(folder)
    return [problem.name for problem in series.problems]


def refused(folder: Path, name: str) -> ScanError:
    with pytest.raises(ScanError) as caught:
        read_scan(folder)
    assert caught.value.name == name
    assert caught.value.remedy
    return caught.value


def test_a_series_whose_file_names_tell_no_order(tmp_path: Path) -> None:
    same(write_series(tmp_path / "ct", HU))
    scan = read_scan(tmp_path / "ct")
    assert scan.form == "DICOM"
    assert scan.notes == ()
    assert [s.InstanceNumber for s in scan.series.slices] == [1, 2, 3, 4, 5, 6]
    assert scan.series.uid == uid("ct", "series")
    assert "PixelData" not in scan.series.slices[0]
    assert dicom_geometry(tmp_path / "ct").matches(GRID)


def test_values_and_places_are_those_of_simpleitk(tmp_path: Path) -> None:
    grid = Geometry(HU.shape, (2.5, 0.8, 0.7), (-120.5, 33.25, -400.0), OBLIQUE)
    folder = write_series(tmp_path / "ct", HU, grid)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    volume = read_scan(folder).volume
    assert (sitk.GetArrayFromImage(image) == volume.hu).all()
    for index in ((0, 0, 0), (5, 7, 9), (2, 3, 4)):
        expected = image.TransformIndexToPhysicalPoint(index[::-1])
        assert np.abs(volume.geometry.to_world(index) - expected).max() < 0.01


@pytest.mark.parametrize("direction", [TURNED, OBLIQUE])
def test_sagittal_and_oblique_slices(tmp_path: Path, direction: tuple) -> None:
    grid = Geometry(HU.shape, (2.5, 0.8, 0.7), (-120.5, 33.25, -400.0), direction)
    same(write_series(tmp_path / "ct", HU, grid), grid=grid)


def test_slices_stacked_downwards_come_out_upright(tmp_path: Path) -> None:
    down = Geometry(
        HU.shape, (2.5, 0.8, 0.7), (0.0, 0.0, 0.0), ((1.0, 0, 0), (0, 1.0, 0), (0, 0, -1.0))
    )
    up = Geometry(HU.shape, (2.5, 0.8, 0.7), (0.0, 0.0, -12.5))
    same(write_series(tmp_path / "ct", HU, down), HU[::-1], up)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        RLELossless,
        JPEGLSLossless,
        JPEGLosslessSV1,
        JPEG2000Lossless,
    ],
)
@pytest.mark.parametrize("signed", [False, True])
def test_transfer_syntaxes(tmp_path: Path, syntax: str, signed: bool) -> None:
    hu = HU[:3]
    grid = Geometry(hu.shape, GRID.spacing_mm, GRID.origin_mm)
    same(write_series(tmp_path / "ct", hu, syntax=syntax, signed=signed), hu, grid)


def test_the_bits_above_those_stored_do_not_count(tmp_path: Path) -> None:
    def dirty(k: int, dataset: object) -> None:
        values = np.frombuffer(dataset.PixelData, "<u2")
        dataset.PixelData = (values | 0xF000).tobytes()

    hu = np.clip(HU, -1024, 1000)
    for signed in (False, True):
        folder = tmp_path / str(signed)
        intercept = 0.0 if signed else -1024.0
        write_series(folder, hu, bits=12, signed=signed, intercept=intercept, edit=dirty)
        same(folder, hu)


def test_slope_and_intercept_of_each_slice(tmp_path: Path) -> None:
    hu = (HU // 6 * 6).astype(np.int16)
    slopes, intercepts = [1, 2, 3, 0.5, 1.5, 6], [-1024, -2000, 0, -1024.5, 30, -6000]
    write_series(tmp_path / "ct", hu, slope=slopes, intercept=intercepts, signed=True)
    same(tmp_path / "ct", hu)


def test_monochrome1_turns_the_display_not_the_values(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", HU, photometric="MONOCHROME1")
    same(tmp_path / "ct")
    assert "inverted display" in read_scan(tmp_path / "ct").notes[0]


@pytest.mark.parametrize("padding", [-2000, -2048, -3024])
def test_padding_below_air_stays(tmp_path: Path, padding: int) -> None:
    hu = HU.copy()
    hu[:, 0, :2] = padding

    def declare(k: int, dataset: object) -> None:
        dataset.add_new("PixelPaddingValue", "SS", padding + 1024)

    same(write_series(tmp_path / "ct", hu, signed=True, edit=declare), hu)


def test_padding_that_would_be_tissue_becomes_air(tmp_path: Path) -> None:
    hu = HU.copy()
    hu[hu == 0] = 1
    hu[:, 0, :2] = 0

    def declare(k: int, dataset: object) -> None:
        dataset.add_new("PixelPaddingValue", "SS", 0)

    write_series(tmp_path / "ct", hu, signed=True, intercept=0, edit=declare)
    expected = np.where(hu == 0, -1024, hu)
    same(tmp_path / "ct", expected)
    # Declared and not used: 0 is water, and stays.
    hu[:, 0, :2], hu[:, 4, 4] = -1024, 0
    shutil.rmtree(tmp_path / "ct")
    same(write_series(tmp_path / "ct", hu, signed=True, intercept=0, edit=declare), hu)


def test_values_that_are_no_hounsfield_units(tmp_path: Path) -> None:
    def wild(k: int, dataset: object) -> None:
        dataset.RescaleSlope = 100

    refused(write_series(tmp_path / "ct", HU, edit=wild), "not-hounsfield")


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path: Path) -> None:
    error = refused(write_series(tmp_path / "ct", HU, tilt_degrees=12), "tilted-gantry")
    assert "12.0°" in error.message


def test_rounded_positions_are_evened_out_and_said(tmp_path: Path) -> None:
    def rounded(k: int, dataset: object) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z + 0.03 * (-1) ** k]

    folder = write_series(tmp_path / "ct", HU, edit=rounded)
    assert "by rounding" in read_scan(folder).notes[0]
    volume = read_scan(folder).volume
    assert np.abs(volume.geometry.to_world((3, 4, 5)) - GRID.to_world((3, 4, 5))).max() < 0.07


def test_missing_slices_are_counted(tmp_path: Path) -> None:
    error = refused(write_series(tmp_path / "ct", HU, missing=[2, 3]), "missing-slices")
    assert error.message == "slices that are missing between the first and the last: 2"


def test_one_of_many_slices_missing(tmp_path: Path) -> None:
    hu = ramp((30, 4, 4))
    folder = write_series(tmp_path / "ct", hu, missing=[11])
    assert only(folder) == ["missing-slices"]


def test_duplicate_slices(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", HU)
    write_series(tmp_path / "other", HU + 1, series="other")

    def moved(k: int, dataset: object) -> None:
        dataset.SeriesInstanceUID = uid("ct", "series")

    write_series(folder / "more", HU + 1, series="other", edit=moved, missing=[0, 1, 2, 4, 5])
    error = refused(folder, "duplicate-slices")
    assert error.message.endswith(": 1 of 7")


def test_a_file_copied_twice_counts_once(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", HU)
    shutil.copy(folder / "0002.dcm", folder / "copy.dcm")
    same(folder)
    assert only(folder) == ["repeated-files"]
    assert "several files" in read_scan(folder).notes[0]


def test_two_slices_of_one_name_that_differ(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", HU)
    data = bytearray((folder / "0002.dcm").read_bytes())
    data[-1] ^= 1
    (folder / "copy.dcm").write_bytes(data)
    refused(folder, "duplicate-slices")


def test_uneven_spacing(tmp_path: Path) -> None:
    def moved(k: int, dataset: object) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z + 0.9 * (k == 3)]

    error = refused(write_series(tmp_path / "ct", HU, edit=moved), "uneven-spacing")
    assert "1.60 to 3.40 mm" in error.message


@pytest.mark.parametrize("what", ["size", "direction", "spacing"])
def test_a_series_that_mixes_slices(tmp_path: Path, what: str) -> None:
    def change(k: int, dataset: object) -> None:
        if k != 4:
            return
        if what == "size":
            dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows
        elif what == "direction":
            dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
        else:
            dataset.PixelSpacing = [0.9, 0.7]

    error = refused(write_series(tmp_path / "ct", HU, edit=change), "mixed-series")
    assert error.message.endswith(": 1 of 6")


@pytest.mark.parametrize(
    ("keyword", "value", "name"),
    [
        ("ImagePositionPatient", None, "no-position"),
        ("ImageOrientationPatient", None, "no-position"),
        ("PixelSpacing", None, "no-spacing"),
        ("PixelSpacing", [0.7, -0.7], "bad-spacing"),
        ("PixelSpacing", [0.7, 0], "bad-spacing"),
        ("RescaleSlope", None, "no-rescale"),
        ("RescaleIntercept", None, "no-rescale"),
        ("RescaleSlope", 0, "bad-header"),
        ("ImageOrientationPatient", [1, 0, 0, 0.5, 0.5, 0], "bad-header"),
        ("ImageOrientationPatient", [1, 0, 0], "bad-header"),
        ("SamplesPerPixel", 3, "colour"),
        ("PhotometricInterpretation", "RGB", "colour"),
        ("Rows", None, "bad-header"),
        ("Rows", 4, "too-long"),
        ("Rows", 80, "cut-off"),
        ("BitsAllocated", 64, "unsupported-form"),
        ("HighBit", 14, "unsupported-form"),
        ("PixelData", None, "no-pixels"),
        ("Modality", "MR", "not-ct"),
        ("Modality", None, "not-ct"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"], "localizer"),
        ("NumberOfFrames", 3, "no-position"),
        ("SeriesInstanceUID", None, "no-uid"),
        ("SOPInstanceUID", None, "no-uid"),
    ],
)
def test_headers_that_lack_or_contradict(
    tmp_path: Path, keyword: str, value: object, name: str
) -> None:
    def change(k: int, dataset: object) -> None:
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)

    refused(write_series(tmp_path / "ct", HU, edit=change), name)


def test_one_bad_slice_of_a_series_is_counted(tmp_path: Path) -> None:
    def change(k: int, dataset: object) -> None:
        if k == 5:
            del dataset.ImagePositionPatient

    folder = write_series(tmp_path / "ct", HU, edit=change)
    (series,) = find_series(folder)
    (problem,) = series.problems
    assert (problem.name, len(problem.files)) == ("no-position", 1)
    assert problem.message == "slices do not say where in the patient they lie (files: 1 of 6)"
    assert not series.usable


def test_a_single_slice(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", HU[:1])
    refused(folder, "single-slice")
    refused(next(folder.iterdir()), "single-slice")


def test_a_slice_whose_pixels_are_cut_off(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", HU)
    path = folder / "0003.dcm"
    path.write_bytes(path.read_bytes()[:-7])
    refused(folder, "cut-off")


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless])
def test_compressed_pixels_that_are_cut_off(tmp_path: Path, syntax: str) -> None:
    folder = write_series(tmp_path / "ct", HU, syntax=syntax)
    path = folder / "0003.dcm"
    path.write_bytes(path.read_bytes()[:-120])
    with pytest.raises(ScanError):
        read_scan(folder)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless])
def test_compressed_pixels_of_another_size_are_not_decoded(tmp_path: Path, syntax: str) -> None:
    def change(k: int, dataset: object) -> None:
        dataset.Rows = 9

    folder = write_series(tmp_path / "ct", HU, syntax=syntax, edit=change)
    assert "another size" in refused(folder, "bad-header").message


def test_an_unknown_compression(tmp_path: Path) -> None:
    def change(k: int, dataset: object) -> None:
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # a video

    folder = write_series(tmp_path / "ct", HU, syntax=RLELossless, edit=change)
    refused(folder, "unsupported-compression")


def test_pixels_that_were_compressed_with_loss_are_said_to_be(tmp_path: Path) -> None:
    def change(k: int, dataset: object) -> None:
        dataset.LossyImageCompression = "01"

    folder = write_series(tmp_path / "ct", HU, edit=change)
    assert "with loss" in read_scan(folder).notes[0]


def test_no_message_names_the_patient(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", HU, missing=[3], patient="SECRET")
    assert "SECRET" not in str(refused(folder, "missing-slices"))
    assert "Doe" not in str(refused(folder, "missing-slices"))


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("CT_small.dcm", "CT_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("J2K_pixelrep_mismatch.dcm", "J2K_pixelrep_mismatch.dcm"),
        ("693_J2KI.dcm", "693_J2KI.dcm"),
        ("JPGExtended.dcm", None),
    ],
)
def test_files_of_other_writers(name: str, like: str | None) -> None:
    """The samples that come with pydicom, against its own pixel array."""
    path = Path(get_testdata_file(name))
    store = Folder(path)
    with quiet():
        file = read_header(store, path.name, path.stat().st_size)
        layout = layout_of(file)
        unit = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
        plane = Plane(file, 0, layout, *unit, (1.0, 1.0), 1.0, 0.0, None)
        if like is None:  # 12 bits: no decoder under a free licence
            with pytest.raises(ScanError) as caught:
                list(stored_values(store, [plane]))
            assert caught.value.name == "unsupported-compression"
            return
        (values,) = stored_values(store, [plane])
        expected = pydicom.dcmread(get_testdata_file(like)).pixel_array
    assert (values == expected).all()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
def test_enhanced_multi_frame(tmp_path: Path, shared: bool, reverse: bool, syntax: str) -> None:
    path = tmp_path / "ct.dcm"
    write_enhanced(path, HU, shared_measures=shared, reverse=reverse, syntax=syntax)
    same(path)
    same(tmp_path)
    assert len(read_scan(path).series.slices) == 1


def test_enhanced_frames_with_their_own_rescaling(tmp_path: Path) -> None:
    intercepts = [-1024, -1000, -2000, -1024, -3000, -1500]
    same_values = write_enhanced(tmp_path / "ct.dcm", HU, intercept=intercepts)
    same(same_values)


def test_enhanced_files_that_lie_about_their_frames(tmp_path: Path) -> None:
    def more(dataset: object) -> None:
        dataset.NumberOfFrames = 600

    refused(write_enhanced(tmp_path / "a.dcm", HU, edit=more), "bad-header")

    def cut(dataset: object) -> None:
        dataset.PixelData = dataset.PixelData[:-100]

    refused(write_enhanced(tmp_path / "b" / "b.dcm", HU, edit=cut), "cut-off")


def test_the_real_series(need) -> None:
    (archive,) = need("ct-cptac-lscc-chest-series").glob("*.zip")
    scan = read_scan(archive)
    assert scan.volume.shape == (99, 512, 512)
    assert scan.volume.spacing_mm[0] == pytest.approx(3.0)
    assert (scan.volume.hu.min(), scan.volume.hu.max()) == (-1024, 3071)
    assert len(scan.series.slices) == 99
