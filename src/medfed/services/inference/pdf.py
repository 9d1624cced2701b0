"""The report of a reviewed scan, as a PDF."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from medfed import __version__
from medfed.core.files import write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Volume
    from medfed.inference import Finding

LATIN, HAN = "Helvetica", "STSong-Light"
"""Han characters come from the reader's own font: none is large enough to carry along."""
MOST_PICTURES = 30
NOTE = (
    "Decision support, not a decision: a model marked these places, and the person named here "
    "accepted, corrected or rejected each of them."
)


def write_report(
    path: Path,
    about: Mapping[str, Any],
    volume: "Volume",
    mask: "NDArray[np.uint8]",
    kept: "Sequence[Finding]",
) -> None:
    """Write the report.

    Args:
        path: The file.
        about: What ``reviewed.json`` says.
        volume: The scan.
        mask: The reviewed findings on its grid.
        kept: They themselves.
    """
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.platypus import SimpleDocTemplate

    pdfmetrics.registerFont(UnicodeCIDFont(HAN))
    made = BytesIO()
    document = SimpleDocTemplate(
        made,
        pagesize=A4,
        title="Lung nodules on a chest CT, reviewed",
        author=about["signed"]["name"] or about["signed"]["by"],
        creator=f"medfed {__version__}",
        topMargin=60,
        bottomMargin=60,
    )
    sheet = _Sheet(about, document.width)
    story = [*sheet.head(), *sheet.table(), *sheet.pictures(volume, mask, kept), *sheet.facts()]
    document.build(story, onFirstPage=sheet.frame, onLaterPages=sheet.frame)
    write_atomic(path, made.getvalue(), durable=False)


class _Sheet:
    """The parts of the report."""

    def __init__(self, about: Mapping[str, Any], width: float) -> None:
        from reportlab.lib.styles import getSampleStyleSheet

        self.about = about
        self.width = width
        self.styles = getSampleStyleSheet()

    def text(self, words: str, style: str = "BodyText") -> Any:
        """A paragraph; characters that the plain font lacks in one that has them."""
        from reportlab.platypus import Paragraph

        return Paragraph(_marked(words), self.styles[style])

    def head(self) -> list[Any]:
        """What this is, who says so, and what must be known of it."""
        signed = self.about["signed"]
        name = signed["name"] or signed["by"]
        return [
            self.text("Lung nodules on a chest CT, reviewed", "Title"),
            *(self.text(notice, "Heading4") for notice in self.about["notices"]),
            self.text(NOTE),
            self.text(f"Reviewed and signed by {name} ({signed['by']}), {_moment(signed['at'])}."),
            self.text(f"Patient {self.about['patient']}, scan {self.about['scan']}."),
            *(self.text(note) for note in self.about["notes"]),
        ]

    def table(self) -> list[Any]:
        """All findings of the model, and what became of each."""
        from reportlab.lib import colors
        from reportlab.platypus import Table, TableStyle

        findings = self.about["findings"]
        if not findings:
            words = "The model marked nothing. That does not mean that there is nothing."
            return [self.text("Findings", "Heading2"), self.text(words)]
        heads = ("No.", "Verdict", "Where", "Diameter", "Kind", "Score", "Comment")
        rows = [[self.text(word) for word in heads], *map(self._row, findings)]
        share = (0.08, 0.13, 0.22, 0.13, 0.13, 0.09, 0.22)
        grid = Table(rows, [part * self.width for part in share], repeatRows=1)
        lines = [
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.grey),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
        grid.setStyle(TableStyle(lines))
        return [self.text("Findings", "Heading2"), grid]

    def _row(self, finding: Mapping[str, Any]) -> list[Any]:
        stands, model = finding["stands"], finding["model"]
        shown = stands or model
        diameter = f"{shown['longest_axial_diameter_mm']:.1f} mm"
        if "diameter_mm" in finding["changes"]:
            diameter += f" (model: {model['longest_axial_diameter_mm']:.1f})"
        kind = shown["attenuation"]
        if "attenuation" in finding["changes"]:
            kind += f" (model: {model['attenuation']})"
        cells = (
            str(finding["number"]), finding["verdict"], _place(shown), diameter, kind,
            f"{model['probability']:.2f}", finding["comment"],
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
            title = f"Finding {finding.name} (outline {finding.number})"
            found.append(KeepTogether([self.text(title, "Heading3"), picture]))
        return found

    def facts(self) -> list[Any]:
        """Which model looked at what."""
        model, scan = self.about["model"], self.about["input"]
        rows = [
            f"Study: {model['title']}, digest {model['study']}",
            f"Model: round {model['round']}, SHA-256 {model['sha256']}",
            f"Scan: {scan['form']}, SHA-256 of voxels and place {scan['sha256']}",
        ]
        if scan["series_uid"]:
            rows.append(f"Series: {scan['series_uid']}")
        return [self.text("Model and scan", "Heading2"), *map(self.text, rows)]

    def frame(self, canvas: Any, document: Any) -> None:
        """The notice and the page's number, on every page."""
        from medfed.inference import RESEARCH_USE

        canvas.saveState()
        canvas.setFont(LATIN, 8)
        canvas.drawString(document.leftMargin, 34, RESEARCH_USE)
        canvas.drawRightString(document.leftMargin + self.width, 34, str(canvas.getPageNumber()))
        canvas.restoreState()


def _place(finding: Mapping[str, Any]) -> str:
    from medfed.services.prediction.report import place

    return place(finding)


def _moment(text: str) -> str:
    return text[:16].replace("T", " ") + " UTC"


def _marked(words: str) -> str:
    """Words as a paragraph's markup: none of their own, and Han in a font that has it."""
    parts, plain = [], True
    for character in words:
        latin = ord(character) < 0x2E80
        if latin != plain:
            parts.append("</font>" if latin else f'<font name="{HAN}">')
            plain = latin
        parts.append(escape(character) if character.isprintable() else " ")
    return "".join(parts) + ("" if plain else "</font>")
