"""How often findings of a score were right on patients held out for it."""

from collections.abc import Mapping
from typing import Any

from medfed.services.reports import charts, words
from medfed.services.reports.view import RunView


def section(view: RunView) -> dict[str, Any] | None:
    """The curve beside what was observed; only a sentence where there is no curve."""
    found = view.result.get("calibration")
    if not found:
        return None
    groups = found.get("groups", [])
    return {
        "sentence": sentence(found),
        "chart": charts.reliability("calibration", groups, found) if groups else None,
        "rows": [(f"{g['score']:.3f}", f"{g['observed']:.3f}", g["candidates"]) for g in groups],
    }


def sentence(found: Mapping[str, Any]) -> str:
    """What was counted, and whether it gives a curve."""
    counted = (
        f"{words.count(found['hits'] + found['misses'], 'candidate')} in "
        f"{words.count(found['patients'], 'validation patient')}, {found['hits']} of them on a "
        "nodule"
    )
    if reason := found.get("reason"):
        return f"Scores are not calibrated ({counted}): {reason}."
    return (
        f"Measured on {counted}. Findings of this model are shown with the probability that the "
        "curve gives for their score, on patients like these."
    )
