"""The findings as one page that needs nothing but itself."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from medfed.core.private_files import content
from medfed.services.prediction.caption import caption
from medfed.services.prediction.folder import FINDINGS
from medfed.services.reports.page import render_page
from medfed.services.reports.speech import ENGLISH, Speech, later
from medfed.services.reports.told import made

_HERE = "medfed.services.prediction"
_SIDES = {"right": later("right lung"), "left": later("left lung")}
_NO_SIDE = later("lung, side not told")
_THIRDS = {
    "upper": later("upper third"),
    "middle": later("middle third"),
    "lower": later("lower third"),
}
_KINDS = (later("solid"), later("part-solid"), later("ground-glass"))
_FILES = {
    "mask": later("the findings as a mask on the scan's own voxels, numbered as here"),
    "overview": later("the picture above"),
    "pictures": later("each finding as a picture, in the order of the table"),
    "segmentation": later("the same mask as a DICOM segmentation"),
    "measurements": later("the table as a DICOM structured report (TID 1500)"),
}


def report_in(path: Path, say: Speech) -> bytes:
    """A prediction's report in a language: as it was written, or made from what lies beside it.

    Args:
        path: Its ``report.html``; sealed files are opened.
        say: The language.
    """

    def make() -> str:
        from medfed.inference.pictures import said_below  # brings SciPy

        about = json.loads(content(path.with_name(FINDINGS)))
        below = caption(about["model"], about["notices"], say)
        names = (about["files"]["overview"], *about["files"]["pictures"])
        pictures = {name: said_below(content(path.with_name(name)), below) for name in names}
        return render(about, pictures, say)

    page = None if say.language == ENGLISH.language else made(make)
    return content(path) if page is None else page


def render(about: Mapping[str, Any], pictures: Mapping[str, bytes], say: Speech = ENGLISH) -> str:
    """The page as text.

    Args:
        about: What ``findings.json`` says.
        pictures: PNG by file name: the overview and one for each finding.
        say: What its sentences are said through.
    """
    shown = {name: b64encode(png).decode() for name, png in pictures.items()}
    files, calibration = about["files"], about["described"]["calibration"]
    findings = [
        {
            **finding,
            "place": place(finding, say),
            "attenuation": _kind(finding["attenuation"], say),
            "picture": shown.get(name, ""),
        }
        for finding, name in zip(about["findings"], files["pictures"], strict=True)
    ]
    return render_page(
        "prediction.html",
        package=_HERE,
        say=say,
        title=say("Lung nodules found on a chest CT"),
        question="",
        notices=[say.again(notice) for notice in about["notices"]],
        medfed=about["made"]["by"].removeprefix("medfed "),
        findings=findings,
        sentence=_sentence(len(findings), say),
        tiles=_tiles(about["findings"], say),
        overview=shown[files["overview"]],
        notes=[say.again(note) for note in about["notes"]],
        guideline=about["model"].get("guideline"),
        calibrated=calibration is not None,
        calibration=_chart(calibration, say) if calibration else None,
        scan=_scan(about, say),
        model=_model(about, say),
        rules=about["rules"],
        files=_files(files, say),
    )


def place(finding: Mapping[str, Any], say: Speech = ENGLISH) -> str:
    """Where a finding is, in words."""
    if not finding["third"]:
        return say("lungs not recognised")
    side, third = _SIDES.get(finding["side"], _NO_SIDE), _THIRDS[finding["third"]]
    return say("{side}, {third}", side=say(side), third=say(third))


def _kind(name: str, say: Speech) -> str:
    return say(name) if name in _KINDS else name


def _sentence(many: int, say: Speech) -> str:
    if not many:
        return say("The model marked nothing. That does not mean that there is nothing.")
    if many == 1:
        return say("The model marked one place that it takes for a nodule.")
    return say("The model marked {many} places that it takes for nodules.", many=many)


def _tiles(findings: list[dict[str, Any]], say: Speech) -> list[tuple[str, str]]:
    tiles = [(say("findings"), str(len(findings)))]
    if findings:
        largest = max(findings, key=lambda f: f["longest_axial_diameter_mm"])
        diameter = f"{largest['longest_axial_diameter_mm']:.1f} mm"
        tiles.append((say("largest diameter"), diameter))
        sides = [f["side"] for f in findings]
        tiles.append((say("in the right lung"), str(sides.count("right"))))
        tiles.append((say("in the left lung"), str(sides.count("left"))))
    return tiles


def _scan(about: Mapping[str, Any], say: Speech) -> list[tuple[str, str]]:
    given = about["input"]
    z, y, x = given["shape_zyx"]
    dz, dy, dx = given["spacing_mm_zyx"]
    rows = [
        (say("form"), given["form"]),
        (say("voxels"), f"{x} × {y} × {z}"),
        (say("voxel size"), f"{dx:.3g} × {dy:.3g} × {dz:.3g} mm"),
        (say("digest of voxels and place"), given["sha256"]),
    ]
    if given["series_uid"]:
        rows.append((say("series"), given["series_uid"]))
    return rows


def _model(about: Mapping[str, Any], say: Speech) -> list[tuple[str, str]]:
    model, described, origin = about["model"], about["described"], about["made"]
    how = origin["execution"]
    return [
        (say("study"), model["title"] or "–"),
        (say("digest of the study"), model["study"]),
        (say("digest of the model"), model["sha256"]),
        (say("round"), str(model["round"])),
        (say("network"), say.again(described["network"])),
        (say("prepared as in training"), say.again(described["inputs"])),
        (
            say("computed"),
            say(
                "{precision} on {device}, {threads} threads",
                precision=how["precision"],
                device=how["device"],
                threads=how["threads"],
            ),
        ),
        (say("made"), say("{at} by {by}", at=say.moment(origin["at"]), by=origin["by"])),
    ]


def _files(files: Mapping[str, Any], say: Speech) -> list[tuple[str, str]]:
    found = [(_names(files[kind]), say(words)) for kind, words in _FILES.items() if files.get(kind)]
    return [(FINDINGS, say("all of this as data")), *found]


def _names(files: str | Sequence[str]) -> str:
    return files if isinstance(files, str) else ", ".join(files)


def _chart(calibration: Mapping[str, Any], say: Speech) -> Markup | None:
    """How often scores were right on held-out patients, as a chart."""
    if not calibration["groups"]:
        return None
    from medfed.services.reports.charts import reliability

    return reliability("calibration", calibration["groups"], calibration, say)
