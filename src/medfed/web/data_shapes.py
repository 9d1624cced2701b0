"""A hospital's data as plain data, for the API and for pages that ask again."""

from typing import Any

from medfed.services.imports.report import sentence_of
from medfed.storage.catalogue import ListedScan
from medfed.storage.database.tables import JobRow


def scan(row: ListedScan) -> dict[str, Any]:
    """A scan, under the names that it has here."""
    one = row.scan
    return {
        "scan": one.scan,
        "patient": one.patient,
        "form": one.form,
        "imported": one.imported,
        "shape_zyx": list(one.shape),
        "spacing_mm_zyx": list(one.spacing_mm),
        "study_date": one.study_date,
        "manufacturer": one.manufacturer,
        "model": one.model,
        "kernel": one.kernel,
        "mask": one.mask,
        "synthetic": one.synthetic,
        "doubts": list(one.doubts),
        "bytes": row.bytes,
        "scans_of_patient": row.of_patient,
    }


def job(row: JobRow, *, files: bool = False) -> dict[str, Any]:
    """A job as it stands.

    Args:
        row: The job.
        files: Whether to name the files that were refused, which may be called like patients.
    """
    result = row.result
    if result is not None and not files:
        result = {name: value for name, value in result.items() if name != "where"}
        result["refused"] = [
            {**one, "message": sentence_of(one["name"])} for one in result.get("refused", ())
        ]
    return {
        "id": row.id,
        "state": row.state,
        "owner": row.owner,
        "done": row.done,
        "total": row.total,
        "result": result,
        "message": row.message,
        "remedy": row.remedy,
        "created": row.created.isoformat(),
        "started": row.started.isoformat() if row.started else None,
        "ended": row.ended.isoformat() if row.ended else None,
    }
