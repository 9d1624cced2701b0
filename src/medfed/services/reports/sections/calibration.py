"""How often findings of a score were right on patients held out for it."""

from collections.abc import Mapping
from typing import Any

from medfed.services.reports import charts
from medfed.services.reports.speech import ENGLISH, Speech
from medfed.services.reports.view import RunView


def section(view: RunView) -> dict[str, Any] | None:
    """The curve beside what was observed; only a sentence where there is no curve."""
    found = view.result.get("calibration")
    if not found:
        return None
    groups = found.get("groups", [])
    return {
        "sentence": sentence(found, view.say),
        "chart": charts.reliability("calibration", groups, found, view.say) if groups else None,
        "rows": [(f"{g['score']:.3f}", f"{g['observed']:.3f}", g["candidates"]) for g in groups],
    }


def sentence(found: Mapping[str, Any], say: Speech = ENGLISH) -> str:
    """What was counted, and whether it gives a curve."""
    many = found["hits"] + found["misses"]
    counted = say(
        "{candidates} in {patients}, {hits} of them on a nodule",
        candidates=say.many("{many} candidate", "{many} candidates", many),
        patients=say.many(
            "{many} validation patient", "{many} validation patients", found["patients"]
        ),
        hits=found["hits"],
    )
    if reason := found.get("reason"):
        return say(
            "Scores are not calibrated ({counted}): {reason}.",
            counted=counted,
            reason=say.again(reason),
        )
    return say(
        "Measured on {counted}. Findings of this model are shown with the probability that the "
        "curve gives for their score, on patients like these.",
        counted=counted,
    )
