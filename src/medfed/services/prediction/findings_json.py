"""``findings.json``: all that was found, in a documented form."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medfed import __version__

if TYPE_CHECKING:
    from medfed.connectors.scans import ReadScan
    from medfed.inference import ModelIdentity, Prediction

SCHEMA = 1
"""Version of ``findings.json``; `medfed.inference` holds its JSON Schema."""


def findings_json(
    *,
    scan: "ReadScan",
    digest: str,
    model: "ModelIdentity",
    described: Mapping[str, Any],
    found: "Prediction",
    files: Mapping[str, Any],
    notices: Sequence[str],
    notes: Sequence[str],
) -> dict[str, Any]:
    """All that was found, as plain data.

    Args:
        scan: The scan.
        digest: Of its voxels and geometry.
        model: Which model looked at it.
        described: The task's words for it.
        found: What it found.
        files: What else is in the folder, by kind.
        notices: What must be known of the scan, such as that it is synthetic.
        notes: Sentences about the results.
    """
    return {
        "schema": SCHEMA,
        "notices": [*model.said, *notices],
        "made": {
            "by": f"medfed {__version__}",
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "execution": found.execution.to_json(),
        },
        "model": model.to_json(),
        "described": {
            "network": str(described.get("model", "–")),
            "inputs": str(described.get("inputs", "–")),
            "calibration": _curve(model),
        },
        "input": _input(scan, digest),
        "rules": {"threshold": found.threshold, **found.rules.to_json()},
        "notes": [*scan.notes, *found.notes, *_about_scores(model), *notes],
        "findings": [finding.to_json() for finding in found.findings],
        "files": dict(files),
    }


def _input(scan: "ReadScan", digest: str) -> dict[str, Any]:
    grid = scan.volume.geometry
    first = scan.series.slices[0] if scan.series else None
    return {
        "form": scan.form,
        "sha256": digest,
        "study_uid": str(first.get("StudyInstanceUID") or "") or None if first else None,
        "series_uid": scan.series.uid if scan.series else None,
        "shape_zyx": list(grid.shape),
        "spacing_mm_zyx": list(grid.spacing_mm),
        "origin_lps_mm": list(grid.origin_mm),
        "direction": [list(row) for row in grid.direction],
    }


def _curve(model: "ModelIdentity") -> dict[str, Any] | None:
    """How its scores become probabilities; None where nobody measured that."""
    if model.calibration is None:
        return None
    curve = model.calibration
    return {
        "scores": list(curve.scores),
        "observed": list(curve.observed),
        "groups": [dict(group) for group in curve.groups],
    }


def _about_scores(model: "ModelIdentity") -> list[str]:
    if model.calibration:
        count = model.calibration.patients
        return [f"Probabilities are calibrated on {count} held-out patients of the model's study."]
    return ["Probabilities are the network's own scores: nobody has calibrated this model."]
