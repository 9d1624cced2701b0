"""Small DICOM CT series for tests, written by pydicom; and the geometry that they must have.

`write_series` writes one file a slice, `write_enhanced` one multi-frame file. What a test wants
changed, it says by `edit`, a function of the slice's number and its data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from medfed.imaging.geometry import Geometry

Edit = Callable[[int, Dataset], None]
ROOT = "1.2.826.0.1.3680043.8.498."


def uid(*words: object) -> str:
    """A UID that is always the same for the same words."""
    return generate_uid(prefix=ROOT, entropy_srcs=[str(word) for word in words])


def ramp(shape: tuple[int, int, int] = (6, 8, 10), low: int = -1000) -> NDArray[np.int16]:
    """Hounsfield units, each voxel another value."""
    return (np.arange(np.prod(shape)) % 4000 + low).reshape(shape).astype(np.int16)


def write_series(
    folder: Path,
    hu: NDArray[np.int16],
    geometry: Geometry | None = None,
    *,
    series: str = "ct",
    slope: float | Sequence[float] = 1.0,
    intercept: float | Sequence[float] = -1024.0,
    signed: bool = False,
    bits: int = 16,
    tilt_degrees: float = 0.0,
    missing: Iterable[int] = (),
    photometric: str = "MONOCHROME2",
    syntax: str = ExplicitVRLittleEndian,
    shuffled: bool = True,
    modality: str = "CT",
    description: str = "CHEST 3.0 B70f",
    patient: str = "patient",
    edit: Edit | None = None,
) -> Path:
    """A CT series, one file a slice.

    Args:
        folder: made where it is missing.
        hu: Hounsfield units, ``(z, y, x)``; each must be reachable by slope and intercept.
        geometry: the volume's grid; its z axis must be the normal of its slices, either way.
        series: names its UIDs.
        slope: of the rescaling; one, or one a slice.
        intercept: of the rescaling; one, or one a slice.
        signed: how the values are stored.
        bits: stored, of 16.
        tilt_degrees: each slice is moved along its columns, as a tilted gantry does.
        missing: slices that are not written.
        photometric: ``MONOCHROME1`` or ``MONOCHROME2``.
        syntax: transfer syntax UID.
        shuffled: file names tell nothing of the order.
        modality: as it says.
        description: of the series.
        patient: Patient ID.
        edit: called with each slice's number and data set before it is written.

    Returns:
        The folder.
    """
    grid = geometry or Geometry(hu.shape, (2.5, 0.8, 0.7), (-120.5, 33.25, -400.0))
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(5).permutation(len(hu)) if shuffled else np.arange(len(hu))
    direction = np.asarray(grid.direction)
    step = grid.spacing_mm[0] * np.tan(np.radians(tilt_degrees))
    for k in range(len(hu)):
        if k in set(missing):
            continue
        dataset = _slice(uid(series, k), syntax, CTImageStorage)
        _identify(dataset, series, modality, description, patient)
        dataset.InstanceNumber = k + 1
        place = grid.to_world((k, 0, 0)) + k * step * direction[:, 1]
        dataset.ImagePositionPatient = [float(v) for v in place]
        dataset.ImageOrientationPatient = [float(v) for v in direction[:, :2].T.ravel()]
        dataset.PixelSpacing = [float(s) for s in grid.spacing_mm[1:]]
        dataset.SliceThickness = float(grid.spacing_mm[0])
        m, b = (
            float(np.broadcast_to(slope, len(hu))[k]),
            float(np.broadcast_to(intercept, len(hu))[k]),
        )
        dataset.RescaleSlope, dataset.RescaleIntercept = m, b
        dataset.RescaleType = "HU"
        stored = np.rint((hu[k].astype(np.float64) - b) / m)
        _pixels(dataset, stored[None], signed, bits, photometric, syntax)
        if edit:
            edit(k, dataset)
        dataset.save_as(folder / f"{names[k]:04d}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(
    path: Path,
    hu: NDArray[np.int16],
    geometry: Geometry | None = None,
    *,
    series: str = "enhanced",
    shared_measures: bool = True,
    reverse: bool = False,
    intercept: Sequence[float] | float = -1024.0,
    syntax: str = ExplicitVRLittleEndian,
    edit: Callable[[Dataset], None] | None = None,
) -> Path:
    """An Enhanced CT: one file, its frames described by functional groups.

    Args:
        path: of the file.
        hu: Hounsfield units, ``(z, y, x)``.
        geometry: the volume's grid.
        series: names its UIDs.
        shared_measures: spacing and direction stand once for all frames, or with each.
        reverse: the last slice is the first frame.
        intercept: of the rescaling; one, or one a slice.
        syntax: transfer syntax UID.
        edit: called with the data set before it is written.
    """
    grid = geometry or Geometry(hu.shape, (2.5, 0.8, 0.7), (-120.5, 33.25, -400.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = _slice(uid(series), syntax, EnhancedCTImageStorage)
    _identify(dataset, series, "CT", "CHEST enhanced", "patient")
    order = list(range(len(hu)))[:: -1 if reverse else 1]
    intercepts = np.broadcast_to(intercept, len(hu))
    frames = []
    for k in order:
        frame = Dataset()
        place = Dataset()
        place.ImagePositionPatient = [float(v) for v in grid.to_world((k, 0, 0))]
        frame.PlanePositionSequence = Items([place])
        values = Dataset()
        values.RescaleSlope, values.RescaleIntercept = 1.0, float(intercepts[k])
        values.RescaleType = "HU"
        frame.PixelValueTransformationSequence = Items([values])
        if not shared_measures:
            _measures(frame, grid)
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Items(frames)
    common = Dataset()
    if shared_measures:
        _measures(common, grid)
    dataset.SharedFunctionalGroupsSequence = Items([common])
    dataset.NumberOfFrames = len(hu)
    stored = np.stack([hu[k].astype(np.float64) - intercepts[k] for k in order])
    _pixels(dataset, stored, False, 16, "MONOCHROME2", syntax)
    if edit:
        edit(dataset)
    dataset.save_as(path, enforce_file_format=True)
    return path


def _measures(group: Dataset, grid: Geometry) -> None:
    direction = np.asarray(grid.direction)
    orientation = Dataset()
    orientation.ImageOrientationPatient = [float(v) for v in direction[:, :2].T.ravel()]
    group.PlaneOrientationSequence = Items([orientation])
    measures = Dataset()
    measures.PixelSpacing = [float(s) for s in grid.spacing_mm[1:]]
    measures.SliceThickness = float(grid.spacing_mm[0])
    group.PixelMeasuresSequence = Items([measures])


def _slice(own: str, syntax: str, kind: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = own
    meta.TransferSyntaxUID = syntax
    kind_of = meta.TransferSyntaxUID
    dataset = FileDataset(
        "",
        {},
        file_meta=meta,
        preamble=b"\0" * 128,
        is_implicit_VR=kind_of.is_implicit_VR,
        is_little_endian=kind_of.is_little_endian,
    )
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, own
    return dataset


def _identify(dataset: Any, series: str, modality: str, description: str, patient: str) -> None:
    dataset.PatientName, dataset.PatientID = "Doe^Jane", patient
    dataset.PatientBirthDate, dataset.PatientSex = "19500102", "F"
    dataset.StudyInstanceUID = uid(patient, "study")
    dataset.SeriesInstanceUID = uid(series, "series")
    dataset.FrameOfReferenceUID = uid(patient, "frame")
    dataset.StudyDate, dataset.StudyTime = "20200304", "101112"
    dataset.StudyID, dataset.SeriesNumber, dataset.AccessionNumber = "1", 2, "A1"
    dataset.ReferringPhysicianName = ""
    dataset.Manufacturer = "medfed tests"
    dataset.Modality, dataset.SeriesDescription = modality, description
    dataset.BodyPartExamined = "CHEST"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientPosition = "HFS"


def _pixels(
    dataset: Any,
    stored: NDArray[np.float64],
    signed: bool,
    bits: int,
    photometric: str,
    syntax: str,
) -> None:
    values = stored.astype("<i2" if signed else "<u2")
    assert (values == stored).all(), "slope and intercept do not reach these values"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.Rows, dataset.Columns = (int(n) for n in stored.shape[1:])
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    if bits < 16:
        values = (values.view(np.uint16) & (2**bits - 1)).view(values.dtype)
    if not dataset.file_meta.TransferSyntaxUID.is_compressed:
        order = values.astype(values.dtype.newbyteorder(_order(dataset)))
        dataset.PixelData = order.tobytes()
        dataset["PixelData"].VR = "OW"
        return
    frames = [encoded(frame, syntax, signed, bits, photometric) for frame in values]
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _order(dataset: Any) -> str:
    return "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"


def encoded(
    frame: NDArray[Any], syntax: str, signed: bool, bits: int, photometric: str = "MONOCHROME2"
) -> bytes:
    """One frame, compressed: RLE and JPEG-LS by pydicom, JPEG lossless and 2000 by GDCM."""
    if syntax in {JPEGLosslessSV1, JPEG2000Lossless}:
        return _by_gdcm(frame, syntax, signed, bits, photometric)
    assert syntax in {RLELossless, JPEGLSLossless}
    from pydicom.pixels import get_encoder

    return get_encoder(syntax).encode(
        frame.tobytes(),
        rows=frame.shape[0],
        columns=frame.shape[1],
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=bits,
        pixel_representation=int(signed),
        photometric_interpretation=photometric,
        # GDCM's own RLE encoder ends the process at times.
        encoding_plugin="pydicom" if syntax == RLELossless else "",
    )


def _by_gdcm(frame: NDArray[Any], syntax: str, signed: bool, bits: int, photometric: str) -> bytes:
    import gdcm

    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(frame.tobytes())
    writer = gdcm.ImageWriter()  # an image of one's own breaks GDCM's counting of references
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((frame.shape[1], frame.shape[0], 1))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, int(signed)))
    kind = gdcm.PhotometricInterpretation.GetPIType(photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    image.SetDataElement(element)
    change = gdcm.ImageChangeTransferSyntax()
    target = gdcm.TransferSyntax.GetTSType(str(syntax))
    change.SetTransferSyntax(gdcm.TransferSyntax(target))
    change.SetInput(image)
    assert change.Change()
    fragments = change.GetOutput().GetDataElement().GetSequenceOfFragments()
    value = fragments.GetFragment(0).GetByteValue()
    data: bytes = value.GetBuffer().encode("utf-8", "surrogateescape")
    return data
