"""The report of a reviewed scan, as a PDF."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from medfed import __version__
from medfed.core.files import write_atomic
from medfed.imaging.fonts import CHINESE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Volume
    from medfed.inference import Finding

CARRIED, READERS = "medfed Chinese", "STSong-Light"
"""Fonts of what the page's own Latin font lacks: one in the file, and one of the reader's."""
MOST_PICTURES = 30
TITLE = "Lung nodules on a chest CT, reviewed"
NOTE = (
    "Decision support, not a decision: a model marked these places, and the person named here "
    "accepted, corrected or rejected each of them."
)
HEADS = ("No.", "Verdict", "Where", "Diameter", "Kind", "Score", "Comment")
NOTHING = "The model marked nothing. That does not mean that there is nothing."
SIGNED = "Reviewed and signed by {0} ({1}), {2}."
WHOSE = "Patient {0}, scan {1}."
FINDING = "Finding {0} (outline {1})"
CORRECTED = "{0} (model: {1})"
PLACE = "{0}, {1}"
FACTS = (
    "Study: {0}, digest {1}",
    "Model: round {0}, SHA-256 {1}",
    "Scan: {0}, SHA-256 of voxels and place {1}",
    "Series: {0}",
    "Read it with: {0}, {1}",
)
VALUES = (
    *("accepted", "corrected", "rejected", "solid", "part-solid", "ground-glass"),
    *("lungs not recognised", "lung, side not told", "right lung", "left lung"),
    *("upper third", "middle third", "lower third"),
)
SENTENCES = (
    *(TITLE, NOTE, NOTHING, SIGNED, WHOSE, FINDING, CORRECTED, PLACE, "Findings", "Model and scan"),
    *(*HEADS, *FACTS, *VALUES),
)
"""All that the report says by itself; ``words`` may hold each in another language."""


def write_report(
    path: Path,
    about: Mapping[str, Any],
    volume: "Volume",
    mask: "NDArray[np.uint8]",
    kept: "Sequence[Finding]",
    words: Mapping[str, str],
) -> None:
    """Write the report.

    Args:
        path: The file.
        about: What ``reviewed.json`` says.
        volume: The scan.
        mask: The reviewed findings on its grid.
        kept: They themselves.
        words: Its `SENTENCES`, the scan's notices and its notes in the signer's language, by their
            English; what is missing stays English.
    """
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import SimpleDocTemplate

    made = BytesIO()
    document = SimpleDocTemplate(
        made,
        pagesize=A4,
        title=words.get(TITLE, TITLE),
        author=about["signed"]["name"] or about["signed"]["by"],
        creator=f"medfed {__version__}",
        topMargin=60,
        bottomMargin=60,
    )
    sheet = _Sheet(about, document.width, words)
    story = [*sheet.head(), *sheet.table(), *sheet.pictures(volume, mask, kept), *sheet.facts()]
    document.build(story, onFirstPage=sheet.frame, onLaterPages=sheet.frame)
    write_atomic(path, made.getvalue(), durable=False)


class _Sheet:
    """The parts of the report."""

    def __init__(self, about: Mapping[str, Any], width: float, words: Mapping[str, str]) -> None:
        from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet

        self.about = about
        self.words = words
        self.width = width
        self.font_of = _fonts()
        self.styles = getSampleStyleSheet()
        self.styles.add(ParagraphStyle("Foot", self.styles["Normal"], fontSize=8, leading=10))

    def say(self, sentence: str, *values: object) -> str:
        """A sentence in the signer's language, with what stands in its places."""
        return self.words.get(sentence, sentence).format(*values)

    def text(self, words: str, style: str = "BodyText") -> Any:
        """A paragraph; characters that the plain font lacks in one that has them."""
        from reportlab.platypus import Paragraph

        return Paragraph(_marked(words, self.font_of), self.styles[style])

    def head(self) -> list[Any]:
        """What this is, who says so, and what must be known of it."""
        signed = self.about["signed"]
        name = signed["name"] or signed["by"]
        return [
            self.text(self.say(TITLE), "Title"),
            *(self.text(self._known(notice), "Heading4") for notice in self.about["notices"]),
            self.text(self.say(NOTE)),
            self.text(self.say(SIGNED, name, signed["by"], _moment(signed["at"]))),
            self.text(self.say(WHOSE, self.about["patient"], self.about["scan"])),
            *(self.text(self._known(note)) for note in self.about["notes"]),
        ]

    def _known(self, text: str) -> str:
        """What another layer said, which may hold braces of its own."""
        return self.words.get(text, text)

    def table(self) -> list[Any]:
        """All findings of the model, and what became of each."""
        from reportlab.lib import colors
        from reportlab.platypus import Table, TableStyle

        findings = self.about["findings"]
        if not findings:
            return [self.text(self.say("Findings"), "Heading2"), self.text(self.say(NOTHING))]
        rows = [[self.text(self.say(word)) for word in HEADS], *map(self._row, findings)]
        share = (0.08, 0.11, 0.22, 0.16, 0.13, 0.09, 0.21)
        grid = Table(rows, [part * self.width for part in share], repeatRows=1)
        lines = [
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.grey),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
        grid.setStyle(TableStyle(lines))
        return [self.text(self.say("Findings"), "Heading2"), grid]

    def _row(self, finding: Mapping[str, Any]) -> list[Any]:
        stands, model = finding["stands"], finding["model"]
        shown = stands or model
        diameter = f"{shown['longest_axial_diameter_mm']:.1f} mm"
        if "diameter_mm" in finding["changes"]:
            was = f"{model['longest_axial_diameter_mm']:.1f}"
            diameter = self.say(CORRECTED, diameter, was)
        kind = self.say(shown["attenuation"])
        if "attenuation" in finding["changes"]:
            kind = self.say(CORRECTED, kind, self.say(model["attenuation"]))
        cells = (
            str(finding["number"]), self.say(finding["verdict"]), self._place(shown),
            diameter, kind, f"{model['probability']:.2f}", finding["comment"],
        )  # fmt: skip
        return [self.text(cell) for cell in cells]

    def pictures(
        self, volume: "Volume", mask: "NDArray[np.uint8]", kept: "Sequence[Finding]"
    ) -> list[Any]:
        """The findings that stand, each in three directions."""
        from reportlab.platypus import Image, KeepTogether

        from medfed.imaging.orientation import upright
        from medfed.inference.pictures import of_finding

        turn = upright(volume.geometry)
        standing, labels = turn.volume(volume), turn.view(mask)
        found: list[Any] = []
        for finding in kept[:MOST_PICTURES]:
            picture = Image(BytesIO(of_finding(standing, labels, finding)))
            scale = self.width / picture.imageWidth
            picture.drawWidth, picture.drawHeight = self.width, picture.imageHeight * scale
            title = self.say(FINDING, finding.name, finding.number)
            found.append(KeepTogether([self.text(title, "Heading3"), picture]))
        return found

    def facts(self) -> list[Any]:
        """Which model looked at what."""
        model, scan = self.about["model"], self.about["input"]
        study, which, looked_at, series, read_with = FACTS
        rows = [
            self.say(study, model["title"], model["study"]),
            self.say(which, model["round"], model["sha256"]),
            self.say(looked_at, scan["form"], scan["sha256"]),
        ]
        if scan["series_uid"]:
            rows.append(self.say(series, scan["series_uid"]))
        if model["guideline"]:
            rows.append(self.say(read_with, model["guideline"]["title"], model["guideline"]["url"]))
        return [self.text(self.say("Model and scan"), "Heading2"), *map(self.text, rows)]

    def _place(self, finding: Mapping[str, Any]) -> str:
        """Where a finding is."""
        from medfed.services.prediction.report import place

        parts = [self.say(part) for part in _parts(place(finding))]
        return self.say(PLACE, *parts) if len(parts) == 2 else parts[0]

    def frame(self, canvas: Any, document: Any) -> None:
        """The notice and the page's number, on every page."""
        from medfed.inference import RESEARCH_USE

        notice = self.text(self._known(RESEARCH_USE), "Foot")
        _, high = notice.wrap(self.width - 40, 40)
        notice.drawOn(canvas, document.leftMargin, 44 - high)
        canvas.saveState()
        canvas.setFont("Helvetica", 8)
        canvas.drawRightString(document.leftMargin + self.width, 34, str(canvas.getPageNumber()))
        canvas.restoreState()


def _parts(place: str) -> list[str]:
    """A place's side and third: the comma of a side that is not told stays in it."""
    side, comma, third = place.rpartition(", ")
    return [side, third] if comma and third.endswith("third") else [place]


def _moment(text: str) -> str:
    return text[:16].replace("T", " ") + " UTC"


def _fonts() -> Callable[[str], str]:
    """Which font writes a character; an empty name is the page's own."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    if CARRIED not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(CARRIED, CHINESE))
        pdfmetrics.registerFont(UnicodeCIDFont(READERS))
    carried = pdfmetrics.getFont(CARRIED).face.charToGlyph

    def font_of(character: str) -> str:
        if character.encode("cp1252", "ignore"):
            return ""
        return CARRIED if ord(character) in carried else READERS

    return font_of


def _marked(words: str, font_of: Callable[[str], str]) -> str:
    """Words as a paragraph's markup: none of their own, and each in a font that has them."""
    printable = (character if character.isprintable() else " " for character in words)
    runs = ((font, escape("".join(run))) for font, run in groupby(printable, font_of))
    return "".join(f'<font name="{font}">{text}</font>' if font else text for font, text in runs)
