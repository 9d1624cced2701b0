"""The job of making what is handed on after a person signed."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfed.core.errors import DataError
from medfed.core.files import write_json
from medfed.core.private_files import readable
from medfed.federation.site_folder import SiteFolder
from medfed.services.hospital.work import Work
from medfed.services.inference.desk import Desk
from medfed.services.inference.forgetting import refuse_deleted
from medfed.services.inference.inferences import refuse_unsigned
from medfed.services.inference.keeping import kept_privately
from medfed.services.inference.reviews import Standing
from medfed.services.prediction.folder import appearing
from medfed.services.trouble import Conflict
from medfed.storage.database.tables import AdmittedRow, InferenceRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medfed.connectors.scans import ReadScan
    from medfed.inference import Finding
    from medfed.inference.dicom_common import Reader
    from medfed.inference.model import ModelIdentity

SCHEMA = 1
MASK, REPORT, REVIEWED = "mask.nii.gz", "report.pdf", "reviewed.json"
SEGMENTATION, MEASUREMENTS = "segmentation.dcm", "measurements.dcm"
ALL_REJECTED = (
    "All findings were rejected: the DICOM report says that, and not that there is no nodule. "
    "There is no segmentation."
)
NOTHING_FOUND = (
    "The model found nothing: the DICOM report says that, and not that there is no nodule. "
    "There is no segmentation."
)


def export(work: Work) -> dict[str, Any]:
    """Make mask, DICOM objects and report of the reviewed findings; all of it or nothing."""
    from medfed.connectors.scans import read_scan
    from medfed.inference.dicom_common import Reader
    from medfed.inference.model import ModelIdentity
    from medfed.inference.nifti import write_mask
    from medfed.inference.reviewing import reviewed
    from medfed.services.inference.pdf import write_report

    desk = Desk.open(work.jobs.database, work.console, work.site)
    row = desk.inferences.find(work.job.options["inference"])
    refuse_unsigned(row)
    model = desk.models.find(row.model_id)
    standing = desk.reviews.standing(row.id)
    scan = read_scan(desk.inferences.scan(row.scan)[1])
    _check_same(scan, row)
    labels = _labels(desk.place.found(row.id) / MASK)
    kept, mask = reviewed(
        [s.body for s in standing], desk.reviews.judgements(row.id), scan.volume, labels
    )
    identity = ModelIdentity.read(model.about, model.sha256)
    reader = Reader(row.signer_name or row.signer, SiteFolder(work.site).settings().name)
    with (
        kept_privately(desk.place, desk.place.reviewed(row.id)) as out,
        appearing(out) as part,
    ):
        write_mask(part / MASK, mask, scan.volume.geometry, identity)
        notes = _write_dicom(part, scan, kept, mask, identity, reader, found=len(standing))
        about = _about(row, model, standing, kept, notes)
        words = work.job.options.get("words", {})
        write_report(part / REPORT, about, scan.volume, mask, kept, words)
        write_json(part / REVIEWED, about, durable=False)
    refuse_deleted(desk.inferences, row)
    _keep(work, row, {"at": about["signed"]["at"], "findings": len(kept), "notes": notes})
    return {"findings": len(kept)}


def _check_same(scan: "ReadScan", row: InferenceRow) -> None:
    from medfed.services.prediction.predict import volume_digest

    if volume_digest(scan.volume) != row.result["input"]["sha256"]:
        raise DataError(
            "the scan in the catalogue is no longer the one that the model looked at",
            remedy="Ask the model about it again",
        )


def _labels(path: Path) -> "NDArray[np.uint8]":
    import nibabel as nib
    import numpy as np

    with readable(path) as opened:
        image = nib.load(opened)
        voxels: NDArray[np.uint8] = np.asanyarray(image.dataobj)  # type: ignore[attr-defined]  # an image of voxels
    return np.ascontiguousarray(voxels.transpose(2, 1, 0)).astype(np.uint8, copy=False)


def _write_dicom(
    out: Path,
    scan: "ReadScan",
    kept: "tuple[Finding, ...]",
    mask: "NDArray[np.uint8]",
    model: "ModelIdentity",
    reader: "Reader",
    *,
    found: int,
) -> list[str]:
    """Write the DICOM objects; why there are none, or fewer."""
    if scan.series is None:
        return [f"The scan is {scan.form}: no DICOM object could refer to it, so none is made."]
    from medfed.inference import dicom_seg, dicom_sr
    from medfed.inference.dicom_common import Source, quiet

    try:
        source = Source.of(scan.series.slices, scan.volume.geometry)
    except DataError as error:
        return [f"There are no DICOM objects: {error.message}."]
    with quiet():
        if not kept:
            nothing = dicom_sr.all_rejected if found else dicom_sr.nothing_found
            report = nothing(source, model, reader)
            report.save_as(out / MEASUREMENTS, enforce_file_format=True)
            return [ALL_REJECTED if found else NOTHING_FOUND]
        segments = dicom_seg.segmentation(source, mask, kept, model)
        report = dicom_sr.report(source, segments, kept, model, reader)
        segments.save_as(out / SEGMENTATION, enforce_file_format=True)
        report.save_as(out / MEASUREMENTS, enforce_file_format=True)
    return []


def _about(
    row: InferenceRow,
    model: AdmittedRow,
    standing: "list[Standing] | Any",
    kept: "tuple[Finding, ...]",
    notes: list[str],
) -> dict[str, Any]:
    """``reviewed.json``: what was handed on, and who says so."""
    by_name = {finding.name: finding for finding in kept}
    return {
        "schema": SCHEMA,
        "notices": row.result["notices"],
        "notes": notes,
        "model": {
            **row.result["model"],
            "title": model.title,
            "guideline": model.guideline or None,
        },
        "input": row.result["input"],
        "scan": row.scan,
        "patient": row.patient,
        "signed": {
            "by": row.signer,
            "name": row.signer_name,
            "at": row.signed.isoformat() if row.signed else None,
        },
        "findings": [_finding(each, by_name.get(each.number)) for each in standing],
    }


def _finding(each: Standing, kept: "Finding | None") -> dict[str, Any]:
    """One finding: as the model had it, what was said, and what stands."""
    review = each.review
    if review is None:
        raise Conflict("not all findings were reviewed", remedy="Review each of them first")
    stands = _stands(kept.to_json(), outlined=kept.outlined) if kept else None
    return {
        "number": each.number,
        "verdict": review.verdict,
        "comment": review.comment,
        "reviewer": review.reviewer,
        "at": review.at.isoformat(),
        "changes": review.changes,
        "model": each.body,
        "stands": stands,
    }


def _stands(body: dict[str, Any], *, outlined: bool) -> Mapping[str, Any]:
    """What is handed on; a ball of two figures has no volume and density of its own."""
    given = {k: v for k, v in body.items() if k != "number"}
    if outlined:
        return {**given, "segment": body["number"]}
    unknown = dict.fromkeys(("volume_mm3", "voxels", "mean_hu", "solid_share"))
    return {**given, **unknown, "segment": body["number"]}


def _keep(work: Work, row: InferenceRow, exported: dict[str, Any]) -> None:
    with work.jobs.database.write() as session:
        kept = session.get_one(InferenceRow, row.id, with_for_update=True)
        if kept.signed != row.signed:
            message = "the review was opened again meanwhile"
            raise Conflict(message, remedy="Sign it again when it is done")
        kept.exported = exported
