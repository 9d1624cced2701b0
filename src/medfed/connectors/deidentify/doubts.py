"""Reasons to doubt that the picture itself shows nobody: no profile of headers can help there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

BURNED_IN = "burned-in-text"
SECONDARY = "secondary-capture"
FACE = "recognisable-face"

DOUBTS = {
    BURNED_IN: "The scanner says that text is burned into the picture.",
    SECONDARY: "The picture is a screen capture or was scanned in: names are often burned into it.",
    FACE: "The scanner says that the patient's face can be recognised.",
}
"""Public names, and what each means."""

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SCREENS = frozenset({"SECONDARY CAPTURE", "SCREEN SAVE", "SCREENSAVE", "DOSE_INFO", "DOSE INFO"})


def doubts_about(dataset: Dataset) -> tuple[str, ...]:
    """Names of the doubts that an original header raises, some of `DOUBTS`."""
    header: Any = dataset
    found = []
    if _says_yes(header, "BurnedInAnnotation"):
        found.append(BURNED_IN)
    kind = str(header.get("SOPClassUID", ""))
    capture = kind == SECONDARY_CAPTURE or kind.startswith(f"{SECONDARY_CAPTURE}.")
    values = header.get("ImageType") or ()
    words = {str(v).upper() for v in ([values] if isinstance(values, str) else values)}
    if capture or words & SCREENS or header.get("ConversionType"):
        found.append(SECONDARY)
    if _says_yes(header, "RecognizableVisualFeatures"):
        found.append(FACE)
    return tuple(found)


def _says_yes(header: Any, keyword: str) -> bool:
    return str(header.get(keyword, "")).strip().upper() == "YES"
