"""One scan through one model, to a folder of results."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfed.core.errors import DataError
from medfed.core.files import write_atomic, write_json
from medfed.services.prediction import folder as folders
from medfed.services.prediction.caption import caption
from medfed.services.prediction.findings_json import findings_json
from medfed.services.prediction.model_file import OpenedModel, open_model, released_near

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medfed.connectors.scans import ReadScan
    from medfed.imaging.geometry import Volume
    from medfed.inference import NodulePredictor, Prediction

Progress = Callable[[int, int], None]
Beside = Callable[[Path, "ReadScan", "Prediction"], None]
"""Told the folder that is being filled, to add what else is wanted of scan and findings."""

MASK, OVERVIEW, REPORT = "mask.nii.gz", "overview.png", "report.html"
SEGMENTATION, MEASUREMENTS = "segmentation.dcm", "measurements.dcm"


@dataclass(frozen=True)
class PredictOptions:
    """What to look at, with what, and where to.

    Attributes:
        model: A run's folder, its ``model.safetensors``, or a ``.pth`` beside the run's records.
        scan: A file, folder or zip.
        out: The folder to make.
        series: Which DICOM series of the scan; the best chest CT if silent.
        threads: Threads; all if silent.
        to_send: Refuse a scan whose results could not be sent to a PACS.
        guideline: Title and address of the guideline to read the results with, where the hospital
            chose another one than the model names.
    """

    model: Path
    scan: Path
    out: Path
    series: str | None = None
    threads: int | None = None
    to_send: bool = False
    guideline: Mapping[str, str] | None = None


@dataclass(frozen=True, eq=False)
class Predicted:
    """What is in the folder.

    Attributes:
        out: The folder.
        findings: What ``findings.json`` says.
        dicom: The DICOM objects, to be sent.
    """

    out: Path
    findings: dict[str, Any]
    dicom: tuple[Path, ...]


def load_predictor(model: Path, threads: int | None = None) -> "NodulePredictor":
    """A run's model ready to look at scans; see `medfed.inference.NodulePredictor`.

    Raises:
        DataError: It cannot be read, or does not say how it was trained.
    """
    return _predictor(open_model(model), threads)


def _predictor(model: OpenedModel, threads: int | None) -> "NodulePredictor":
    from medfed.inference import NodulePredictor

    return NodulePredictor(
        model.tensors, model.about, model.sha256, threads=threads, folders=released_near(model.path)
    )


def predict(
    options: PredictOptions, progress: Progress = lambda *_: None, beside: Beside | None = None
) -> Predicted:
    """Find nodules in a scan, and write all results; the folder is whole or absent.

    Args:
        options: What to look at, with what, and where to.
        progress: Told how far it is.
        beside: Adds files of its own to the folder.

    Raises:
        DataError: The model or scan cannot be used, or the folder holds something else.
    """
    from medfed.connectors.scans import read_scan

    model = open_model(options.model)
    if options.guideline:
        model = replace(model, about={**model.about, "guideline": options.guideline})
    scan = read_scan(options.scan, options.series)
    if options.to_send and scan.series is None:
        message = f"the scan is {scan.form}: only results on a DICOM series can be sent to a PACS"
        raise DataError(message, remedy="Give the DICOM series, or leave out --send")
    same = {"input": volume_digest(scan.volume), "model": model.sha256}
    folders.check_free(options.out, same)
    predictor = _predictor(model, options.threads)  # last: it brings in what is slow to load
    found = predictor.predict(scan.volume, progress)
    with folders.appearing(options.out) as part:
        findings = write_results(part, options.scan, scan, predictor, found, same["input"])
        if beside:
            beside(part, scan, found)
    names = [findings["files"].get(kind) for kind in ("segmentation", "measurements")]
    return Predicted(options.out, findings, tuple(options.out / name for name in names if name))


def write_results(
    out: Path,
    given: Path,
    scan: "ReadScan",
    predictor: "NodulePredictor",
    found: "Prediction",
    digest: str,
) -> dict[str, Any]:
    """Fill a folder; what ``findings.json`` says."""
    from medfed.inference.nifti import write_mask
    from medfed.services.prediction.report import render

    files: dict[str, Any] = {"mask": MASK}
    write_mask(out / MASK, found.labels, scan.volume.geometry, predictor.model)
    below = caption(predictor.model.to_json(), predictor.model.said)
    pictures = _write_pictures(out, scan.volume, found, below)
    files["overview"], files["pictures"] = OVERVIEW, [name for name in pictures if name != OVERVIEW]
    written, why_not = _write_dicom(out, scan, predictor, found)
    files |= written
    about = findings_json(
        scan=scan,
        digest=digest,
        model=predictor.model,
        described=predictor.describe,
        found=found,
        files={**files, "report": REPORT},
        notices=_synthetic_input(given),
        notes=why_not,
    )
    page = render(about, {name: (out / name).read_bytes() for name in pictures})
    write_atomic(out / REPORT, page.encode(), durable=False)
    write_json(out / folders.FINDINGS, about, durable=False)  # last: it says what there is
    return about


def volume_digest(volume: "Volume") -> str:
    """SHA-256 over voxels and geometry: the same scan in whatever file."""
    import numpy as np

    digest = hashlib.sha256()
    numbers = [*volume.shape, *volume.spacing_mm, *volume.origin_mm]
    numbers += [v for row in volume.direction for v in row]
    digest.update(np.round(np.asarray(numbers, np.float64), 6).astype("<f8").tobytes())
    for plane in volume.hu:
        digest.update(np.ascontiguousarray(plane, "<i2").data)
    return digest.hexdigest()


def _write_pictures(out: Path, volume: "Volume", found: "Prediction", below: str) -> list[str]:
    """The pictures' names, the overview first."""
    from medfed.inference.pictures import of_finding, overview

    standing = found.turn.volume(volume)
    labels: NDArray[np.uint8] = found.turn.view(found.labels)
    z, y, x = standing.shape
    focus = found.findings[0].upright_zyx if found.findings else (z / 2, y / 2, x / 2)
    write_atomic(out / OVERVIEW, overview(standing, labels, focus, below), durable=False)
    names = [OVERVIEW]
    for finding in found.findings:
        names.append(f"finding-{finding.number:02d}.png")
        write_atomic(out / names[-1], of_finding(standing, labels, finding, below), durable=False)
    return names


def _write_dicom(
    out: Path, scan: "ReadScan", predictor: "NodulePredictor", found: "Prediction"
) -> tuple[dict[str, str], list[str]]:
    """The DICOM objects' names, and why there are none."""
    if scan.series is None:
        return {}, [f"The scan is {scan.form}: no DICOM object could refer to it, so none is made."]
    from medfed.inference import dicom_seg, dicom_sr
    from medfed.inference.dicom_common import Source, quiet

    try:
        source = Source.of(scan.series.slices, scan.volume.geometry)
    except DataError as error:
        return {}, [f"There are no DICOM objects: {error.message}."]
    with quiet():
        if not found.findings:
            report = dicom_sr.nothing_found(source, predictor.model)
            report.save_as(out / MEASUREMENTS, enforce_file_format=True)
            note = "There is no finding: the DICOM report says so, and there is no segmentation."
            return {"measurements": MEASUREMENTS}, [note]
        mask = dicom_seg.segmentation(source, found.labels, found.findings, predictor.model)
        report = dicom_sr.report(source, mask, found.findings, predictor.model)
        mask.save_as(out / SEGMENTATION, enforce_file_format=True)
        report.save_as(out / MEASUREMENTS, enforce_file_format=True)
    return {"segmentation": SEGMENTATION, "measurements": MEASUREMENTS}, []


def _synthetic_input(given: Path) -> list[str]:
    """Whether the scan is a phantom of ours: its folder's manifest says so."""
    for above in list(given.resolve().parents)[:3]:
        try:
            manifest = json.loads((above / "manifest.json").read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(manifest, dict) and manifest.get("synthetic") is True:
            return ["The scan is synthetic: it shows no patient."]
    return []
