"""The findings as one page that needs nothing but itself."""

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from medfed import __version__
from medfed.services.reports.page import render_page

if TYPE_CHECKING:
    from medfed.inference import NodulePredictor
    from medfed.inference.model import Calibration

_HERE = "medfed.services.prediction"


def render(
    about: Mapping[str, Any], pictures: Mapping[str, bytes], predictor: "NodulePredictor"
) -> str:
    """The page as text.

    Args:
        about: What ``findings.json`` says.
        pictures: PNG by file name: the overview and one for each finding.
        predictor: Whose findings they are.
    """
    shown = {name: b64encode(png).decode() for name, png in pictures.items()}
    files = about["files"]
    findings = [
        {**finding, "place": place(finding), "picture": shown.get(name, "")}
        for finding, name in zip(about["findings"], files["pictures"], strict=True)
    ]
    return render_page(
        "prediction.html",
        package=_HERE,
        title="Lung nodules found on a chest CT",
        question="",
        notices=about["notices"],
        medfed=__version__,
        findings=findings,
        sentence=_sentence(about["findings"]),
        tiles=_tiles(about["findings"]),
        overview=shown[files["overview"]],
        notes=about["notes"],
        calibrated=predictor.model.calibration is not None,
        calibration=_calibration(predictor.model.calibration),
        scan=_scan(about),
        model=_model(about, predictor),
        rules=about["rules"],
        files=_files(files),
    )


def place(finding: Mapping[str, Any]) -> str:
    """Where a finding is, in words."""
    if not finding["third"]:
        return "lungs not recognised"
    side = f"{finding['side']} lung" if finding["side"] else "lung, side not told"
    return f"{side}, {finding['third']} third"


def _sentence(findings: list[dict[str, Any]]) -> str:
    if not findings:
        return "The model marked nothing. That does not mean that there is nothing."
    if len(findings) == 1:
        return "The model marked one place that it takes for a nodule."
    return f"The model marked {len(findings)} places that it takes for nodules."


def _tiles(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    tiles = [("findings", str(len(findings)))]
    if findings:
        largest = max(findings, key=lambda f: f["longest_axial_diameter_mm"])
        tiles.append(("largest diameter", f"{largest['longest_axial_diameter_mm']:.1f} mm"))
        sides = [f["side"] for f in findings]
        tiles += [(f"in the {s} lung", str(sides.count(s))) for s in ("right", "left")]
    return tiles


def _scan(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    given = about["input"]
    z, y, x = given["shape_zyx"]
    dz, dy, dx = given["spacing_mm_zyx"]
    rows = [
        ("form", given["form"]),
        ("voxels", f"{x} × {y} × {z}"),
        ("voxel size", f"{dx:.3g} × {dy:.3g} × {dz:.3g} mm"),
        ("digest of voxels and place", given["sha256"]),
    ]
    if given["series_uid"]:
        rows.append(("series", given["series_uid"]))
    return rows


def _model(about: Mapping[str, Any], predictor: "NodulePredictor") -> list[tuple[str, str]]:
    model, words, made = about["model"], predictor.describe, about["made"]
    how = made["execution"]
    return [
        ("study", model["title"] or "–"),
        ("digest of the study", model["study"]),
        ("digest of the model", model["sha256"]),
        ("round", str(model["round"])),
        ("network", str(words.get("model", "–"))),
        ("prepared as in training", str(words.get("inputs", "–"))),
        ("computed", f"{how['precision']} on {how['device']}, {how['threads']} threads"),
        ("made", f"{made['at']} by {made['by']}"),
    ]


def _files(files: Mapping[str, Any]) -> list[tuple[str, str]]:
    known = {
        "mask": "the findings as a mask on the scan's own voxels, numbered as here",
        "overview": "the picture above",
        "segmentation": "the same mask as a DICOM segmentation",
        "measurements": "the table as a DICOM structured report (TID 1500)",
    }
    found = [(str(files[kind]), words) for kind, words in known.items() if files.get(kind)]
    return [("findings.json", "all of this as data"), *found]


def _calibration(table: "Calibration | None") -> Markup | None:
    """How often scores were right on held-out patients, as a chart."""
    if table is None or not table.groups:
        return None
    from medfed.services.reports.charts import reliability

    curve = {"scores": table.scores, "observed": table.observed}
    return reliability("calibration", table.groups, curve)
