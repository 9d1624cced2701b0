"""A hospital's data as plain data, for the API and for pages that ask again."""

from typing import Any

from medfed.storage.catalogue import ListedScan


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
