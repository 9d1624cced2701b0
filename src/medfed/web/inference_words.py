"""What the pages of inference call things, in the reader's language."""

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from medfed.inference import RESEARCH_USE
from medfed.inference.model import SYNTHETIC
from medfed.services.inference import exporting, pdf
from medfed.services.reports.words import first_capital
from medfed.web.said import said

WORK = {
    "look": _l("looking at the scan"),
    "assess": _l("computing the risk"),
    "export": _l("making what is handed on"),
    "send": _l("sending to the PACS"),
}
VERDICTS = {
    "": _l("to be reviewed"),
    "accepted": _l("accepted"),
    "corrected": _l("corrected"),
    "rejected": _l("rejected"),
}
KINDS = {
    "solid": _l("solid"),
    "part-solid": _l("part-solid"),
    "ground-glass": _l("ground-glass"),
}
SIDES = {"right": _l("right lung"), "left": _l("left lung"), None: _l("lung, side not told")}
THIRDS = {"upper": _l("upper third"), "middle": _l("middle third"), "lower": _l("lower third")}
NOTICES = {
    RESEARCH_USE: _l(
        "Research use only. Not a medical device: its findings must not guide diagnosis or "
        "treatment."
    ),
    SYNTHETIC: _l(
        "The model was trained on synthetic patients: what it finds says nothing clinical."
    ),
    "The scan is synthetic: it shows no patient.": _l(
        "The scan is synthetic: it shows no patient."
    ),
}
"""What must be known of models and scans, by its English."""
REPORT = {
    pdf.TITLE: _l("Lung nodules on a chest CT, reviewed"),
    pdf.NOTE: _l(
        "Decision support, not a decision: a model marked these places, and the person named here "
        "accepted, corrected or rejected each of them."
    ),
    pdf.NOTHING: _l("The model marked nothing. That does not mean that there is nothing."),
    pdf.SIGNED: _l("Reviewed and signed by {0} ({1}), {2}."),
    pdf.WHOSE: _l("Patient {0}, scan {1}."),
    pdf.FINDING: _l("Finding {0} (outline {1})"),
    pdf.CORRECTED: _l("{0} (model: {1})"),
    pdf.PLACE: _l("{0}, {1}"),
    "Findings": _l("Findings"),
    "Model and scan": _l("Model and scan"),
    "No.": _l("No."),
    "Verdict": _l("Verdict"),
    "Where": _l("Where"),
    "Diameter": _l("Diameter"),
    "Kind": _l("Kind"),
    "Score": _l("Score"),
    "Comment": _l("Comment"),
    pdf.FACTS[0]: _l("Study: {0}, digest {1}"),
    pdf.FACTS[1]: _l("Model: round {0}, SHA-256 {1}"),
    pdf.FACTS[2]: _l("Scan: {0}, SHA-256 of voxels and place {1}"),
    pdf.FACTS[3]: _l("Series: {0}"),
    pdf.FACTS[4]: _l("Read it with: {0}, {1}"),
    **{name: word for name, word in {**VERDICTS, **KINDS}.items() if name},
    "lungs not recognised": _l("lungs not recognised"),
    "lung, side not told": SIDES[None],
    **{f"{name} lung": word for name, word in SIDES.items() if name},
    **{f"{name} third": word for name, word in THIRDS.items()},
}
"""What the PDF says by itself, by its English."""
NOTES = (exporting.ALL_REJECTED, exporting.NOTHING_FOUND)
FILES = {
    "report.pdf": _l("Report (PDF)"),
    "segmentation.dcm": _l("DICOM segmentation"),
    "measurements.dcm": _l("DICOM structured report"),
    "mask.nii.gz": _l("Mask (NIfTI)"),
    "reviewed.json": _l("Review (JSON)"),
    "findings.json": _l("The model’s findings (JSON)"),
    "report.html": _l("The model’s report"),
}


def report() -> dict[str, str]:
    """What a signed review's report says, in the language of whoever signs it."""
    known = {**NOTICES, **REPORT}
    return {
        **{english: str(text) for english, text in known.items()},
        **{english: said(english) for english in NOTES},
    }


def work(name: str) -> str:
    """What a job does."""
    return str(WORK.get(name, name))


def verdict(name: str) -> str:
    """What was said of a finding."""
    return str(VERDICTS.get(name, name))


def notice(text: str) -> str:
    """A notice; one of a later program as it is."""
    return str(NOTICES.get(text, text))


def file(name: str) -> str:
    """What a file is."""
    return str(FILES.get(name, name))


def place(finding: Mapping[str, Any]) -> str:
    """Where a finding is."""
    if not finding["third"]:
        return first_capital(_("lungs not recognised"))
    where = _("%(side)s, %(third)s", side=SIDES[finding["side"]], third=THIRDS[finding["third"]])
    return first_capital(where)


def script() -> dict[str, Any]:
    """What the scripts of these pages say."""
    return {
        "verdicts": {name: str(word) for name, word in VERDICTS.items()},
        "kinds": {name: first_capital(str(word)) for name, word in KINDS.items()},
        "work": {name: str(word) for name, word in WORK.items()},
        "live": _("live"),
        "away": _("connection lost, trying again"),
        "waiting": _("waiting for its turn"),
        "percent": _("%(done)s of %(total)s", done="{done}", total="{total}"),
        "noView": _("The viewer could not be started: this browser shows no WebGL 2."),
        "noScan": _("The scan could not be loaded; it may have been deleted."),
        "loading": _("Loading the scan…"),
        "opening": {
            "look": _("Reading the scan and opening the model."),
            "assess": _("Opening the model."),
        },
        "notSaved": _("That could not be saved; are you still logged in?"),
        "typed": _("You have typed a correction: save it, or empty its fields first."),
        "by": _("%(who)s, %(when)s", who="{who}", when="{when}"),
        "diameter": _("Diameter"),
        "centre": _("Centre"),
        "attenuation": _("Kind"),
        "fact": _("%(name)s: %(value)s", name="{name}", value="{value}"),
        "left": _("%(number)s still to be reviewed", number="{}"),
        "all": _("All findings are reviewed."),
    }
