"""Where a hospital's console keeps models and what they found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

INFERENCES = "inferences"
FOUND: Mapping[str, str] = {
    "findings.json": "application/json",
    "mask.nii.gz": "application/gzip",
    "report.html": "text/html; charset=utf-8",
}
"""What the model said, before anybody looked at it."""
REVIEWED: Mapping[str, str] = {
    "report.pdf": "application/pdf",
    "segmentation.dcm": "application/dicom",
    "measurements.dcm": "application/dicom",
    "mask.nii.gz": "application/gzip",
    "reviewed.json": "application/json",
}
"""What is handed on after a person signed."""
VIEW: Mapping[str, str] = {
    "view-ct.nii.gz": "application/gzip",
    "view-marks.nii.gz": "application/gzip",
}
"""What the viewer loads."""


@dataclass(frozen=True, slots=True)
class InferencePlace:
    """Folders of a console and its site.

    ::

        CONSOLE/models/SHA256.safetensors      released models that are used here
        CONSOLE/inferences/ID/found/           what the model said
        CONSOLE/inferences/ID/reviewed/        what is handed on
        SITE/pacs.toml                         where results may be sent

    Attributes:
        console: The console's folder.
        site: The site's own folder.
    """

    console: Path
    site: Path

    @property
    def models(self) -> Path:
        """Of released models."""
        return self.console / "models"

    def model_file(self, sha256: str) -> Path:
        """A released model."""
        return self.models / f"{sha256}.safetensors"

    def folder(self, inference: str) -> Path:
        """Of one inference."""
        return inference_folder(self.console, inference)

    def found(self, inference: str) -> Path:
        """What the model said."""
        return self.folder(inference) / "found"

    def reviewed(self, inference: str) -> Path:
        """What is handed on."""
        return self.folder(inference) / "reviewed"


def inference_folder(console: Path, inference: str) -> Path:
    """Of one inference, in the console's folder."""
    return console / INFERENCES / inference
