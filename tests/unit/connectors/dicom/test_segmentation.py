"""DICOM SEG, as highdicom writes them, on the grid of their CT."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from highdicom.seg import SegmentationTypeValues as Kind
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless
from unit.connectors.dicom_files import ramp, write_series

from medfed.connectors.dicom import dicom_geometry
from medfed.connectors.dicom.segmentation import Segment, read_segmentation, segments
from medfed.connectors.scans import ScanError, read_labels, read_scan
from medfed.imaging.geometry import Geometry

HU = ramp((6, 9, 7))
OBLIQUE = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
GRID = Geometry(HU.shape, (2.5, 0.8, 0.7), (-120.5, 33.25, -400.0), OBLIQUE)
LABELS = np.zeros(HU.shape, dtype=np.uint8)
LABELS[1:4, 2:5, 3:6] = 1
LABELS[4, 6:, :2] = 2


def described(number: int) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"nodule {number}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Nodule,
        algorithm_type="MANUAL",
    )


def write(path: Path, series: tuple, kind: Kind, *, packed: bool = False) -> Path:
    pixels = LABELS
    if kind is Kind.FRACTIONAL:
        pixels = np.stack([(n == LABELS) * (0.9 if n == 1 else 0.2) for n in (1, 2)], axis=-1)
    seg = hd.seg.Segmentation(
        source_images=list(series),
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[described(1), described(2)],
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="medfed tests",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
    )
    if packed:  # by pydicom: GDCM's encoder ends the process
        seg.compress(RLELossless, encoding_plugin="pydicom")
    seg.save_as(path)
    return path


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    folder = write_series(tmp_path_factory.mktemp("ct"), HU, GRID)
    assert dicom_geometry(folder).matches(GRID)
    return read_scan(folder).series.slices


def test_a_binary_segmentation(series: tuple, tmp_path: Path) -> None:
    path = write(tmp_path / "seg.dcm", series, Kind.BINARY)
    mask = read_labels(path, GRID)
    assert mask.dtype == np.uint8
    assert (mask == (LABELS > 0)).all()
    assert (read_segmentation(path, GRID, chosen=[2]) == (LABELS == 2)).all()
    assert (read_labels(tmp_path, GRID) == mask).all()
    assert segments(path) == (
        Segment(1, "nodule 1", "SCT 27925004"),
        Segment(2, "nodule 2", "SCT 27925004"),
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_fractional_segmentation_counts_from_half_on(
    series: tuple, tmp_path: Path, packed: bool
) -> None:
    path = write(tmp_path / "seg.dcm", series, Kind.FRACTIONAL, packed=packed)
    assert (read_labels(path, GRID) == (LABELS == 1)).all()


def test_a_labelmap(series: tuple, tmp_path: Path) -> None:
    path = write(tmp_path / "seg.dcm", series, Kind.LABELMAP)
    assert (read_labels(path, GRID) == (LABELS > 0)).all()
    assert (read_segmentation(path, GRID, chosen=[1]) == (LABELS == 1)).all()


def test_frames_along_another_axis_of_the_grid(series: tuple, tmp_path: Path) -> None:
    """The same place, told by a grid whose axes run otherwise: turned about its normal."""
    path = write(tmp_path / "seg.dcm", series, Kind.BINARY)
    turned = np.asarray(GRID.direction)[:, [1, 0, 2]] * (1, -1, 1)
    corner = GRID.to_world((0, 0, HU.shape[2] - 1))
    like = Geometry(
        (6, 7, 9),
        (2.5, 0.7, 0.8),
        tuple(corner),
        tuple(tuple(row) for row in turned.tolist()),
    )
    expected = np.rot90(LABELS > 0, axes=(1, 2))
    assert (read_labels(path, like) == expected).all()


def test_a_segmentation_of_another_scan(series: tuple, tmp_path: Path) -> None:
    path = write(tmp_path / "seg.dcm", series, Kind.BINARY)
    moved = Geometry(GRID.shape, GRID.spacing_mm, (-120.5, 33.25, -399.5), OBLIQUE)
    smaller = Geometry((3, 9, 7), GRID.spacing_mm, GRID.origin_mm, OBLIQUE)
    finer = Geometry(GRID.shape, (2.5, 0.7, 0.7), GRID.origin_mm, OBLIQUE)
    for like in (moved, smaller, finer):
        with pytest.raises(ScanError) as caught:
            read_labels(path, like)
        assert caught.value.name == "off-grid"


def test_what_is_no_whole_segmentation(series: tuple, tmp_path: Path) -> None:
    path = write(tmp_path / "seg.dcm", series, Kind.BINARY)
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    with pytest.raises(ScanError) as caught:
        read_labels(path, GRID)
    assert caught.value.name == "cut-off"
    path.write_bytes(data)
    (tmp_path / "second.dcm").write_bytes(data)
    with pytest.raises(ScanError, match="one file"):
        read_labels(tmp_path, GRID)
    folder = write_series(tmp_path / "ct", HU[:1])
    with pytest.raises(ScanError, match="no DICOM SEG") as caught:
        read_labels(folder, GRID)
    assert caught.value.name == "unsupported-form"
