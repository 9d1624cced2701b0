"""The source ``volumes``: CT volumes with masks, a folder for each patient."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medfed.connectors.scans import ScanError, read_grid, read_labels, read_scan
from medfed.core.data import SCANS
from medfed.core.errors import DataError, PartError, Problem
from medfed.core.options import option
from medfed.imaging.geometry import Geometry, Triple, Volume

MANIFEST = "manifest.json"
SYNTHETIC = "The patients are synthetic, drawn by a program: the figures say nothing clinical"


@dataclass(frozen=True)
class Volumes:
    """CT volumes in ``SITE/PATIENT/``, or ``SITE/PATIENT/SCAN/`` where patients have several.

    A scan may have any form that medfed reads: a MetaImage, a NIfTI, a folder or zip of DICOM
    files. Where the image is missing, a folder called like it without its ending serves as well:
    ``medfed data import`` keeps DICOM series in ``ct/``. Nothing is read before it is needed: a
    case is opened when a task asks for its voxels.
    """

    gives: ClassVar[str] = SCANS

    image: str = option("ct.mhd", help="Name of the CT: a file, or a folder of DICOM files")
    mask: str = option("mask.mhd", help="Name of the mask on the CT's grid; an empty name for none")

    def __post_init__(self) -> None:
        given = {"image": self.image, "mask": self.mask}
        problems = [
            Problem(
                f"source.{name}",
                f"{value!r} is no plain file name",
                "Give a name such as ct.nii.gz",
            )
            for name, value in given.items()
            if (value or name == "image") and not _plain(value)
        ]
        if problems:
            raise PartError("the volumes source cannot be used as given", problems)

    def open(self, root: Path | None, site: str, sites: Sequence[str]) -> "VolumeSource":
        """List the site's patients; see `medfed.core.data.SourceOpener`.

        Raises:
            DataError: There is no such folder, or a patient without a CT or mask.
        """
        folder = _folder(root, site)
        cases = {
            patient.name: tuple(self._scans(site, patient))
            for patient in sorted(folder.iterdir())
            if patient.is_dir() and not patient.name.startswith(".")
        }
        without = sum(not scans for scans in cases.values())
        if not cases or without:
            which = f"{without} of the {len(cases)} patients" if cases else "no patient"
            message = f"{which} of site {site} {'lack' if cases else 'has'} {self.image}"
            remedy = f"Each patient is a folder with {self.image}: export them again, or set image"
            raise DataError(message, remedy=remedy)
        self._check_masks(site, cases)
        return VolumeSource(cases, SYNTHETIC if _is_synthetic(folder) else "")

    def _scans(self, site: str, patient: Path) -> Iterator["Case"]:
        inner = [f for f in sorted(patient.iterdir()) if f.is_dir() and not f.name.startswith(".")]
        for folder in (patient, *inner):
            path = folder / self.image
            if not path.exists() and path.with_suffix("").is_dir():
                path = path.with_suffix("")
            if path.exists():
                mask = folder / self.mask if self.mask else None
                yield Case(site, patient.name, path, mask)

    def _check_masks(self, site: str, cases: dict[str, tuple["Case", ...]]) -> None:
        scans = [case for own in cases.values() for case in own]
        without = sum(case.mask_path is not None and not case.mask_path.exists() for case in scans)
        if without:
            message = f"{without} of the {len(scans)} scans of site {site} lack {self.mask}"
            remedy = "Put an empty mask where nothing was found, or set mask in [source]"
            raise DataError(message, remedy=remedy)


@dataclass(frozen=True)
class Case:
    """One scan of one patient; its voxels are read each time they are asked for.

    Attributes:
        site: Whose patient.
        patient: The patient's identifier, local to the site.
        path: The CT.
        mask_path: Its mask; None where the study has none.
    """

    site: str
    patient: str
    path: Path = field(repr=False)
    mask_path: Path | None = field(default=None, repr=False)

    def volume(self) -> Volume:
        """The CT in Hounsfield units, with its place in the patient.

        Raises:
            DataError: It cannot be read; the message names no patient.
        """
        try:
            return read_scan(self.path).volume
        except DataError as error:
            raise self._without_patient(error) from None

    def mask(self) -> NDArray[np.uint8]:
        """The mask, 0 and 1, on the CT's grid.

        Raises:
            DataError: There is none, or it cannot be read or lies on another grid.
        """
        if self.mask_path is None:
            message = f"the scans of site {self.site} have no masks"
            raise DataError(message, remedy="Set mask in [source]")
        try:
            return read_labels(self.mask_path, self.geometry)
        except DataError as error:
            raise self._without_patient(error) from None

    @cached_property
    def geometry(self) -> Geometry:
        """The grid, from the headers alone."""
        try:
            return read_grid(self.path)
        except DataError as error:
            raise self._without_patient(error) from None

    @property
    def spacing_mm(self) -> Triple:
        """Voxel spacing along ``(z, y, x)``, mm."""
        return self.geometry.spacing_mm

    def _without_patient(self, error: DataError) -> DataError:
        """The same complaint fit to leave the hospital: folders are called like patients."""
        text = error.message
        for name in {self.patient, self.path.parent.name}:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "PATIENT", text)
        kind = "MetaImage" if self.path.suffix == ".mhd" else "volume"
        message = f"site {self.site}: a {kind} cannot be used: {text}"
        if isinstance(error, ScanError):
            return ScanError(error.name, message, remedy=error.remedy)
        return DataError(message, remedy=error.remedy or "Export the series again")


@dataclass(frozen=True)
class VolumeSource:
    """One site's patients and their scans.

    Attributes:
        cases: Scans by patient.
        notice: What whoever sees figures of these patients must know; empty for nothing.
    """

    cases: dict[str, tuple[Case, ...]]
    notice: str = ""

    def patients(self) -> Sequence[str]:
        """The patients' folders, sorted."""
        return list(self.cases)

    def strata(self) -> None:
        """None: nothing is known before the volumes are read."""

    def load(self, patients: Sequence[str]) -> Sequence[Case]:
        """All scans of some patients, unread."""
        return [case for patient in patients for case in self.cases[patient]]


def _folder(root: Path | None, site: str) -> Path:
    remedy = (
        "Give the folder that holds a folder for each site with --data DIR; "
        "`medfed data phantom --out DIR` makes a synthetic one"
    )
    if root is None:
        raise DataError("this study reads CT volumes, and no data folder was given", remedy=remedy)
    if not root.is_dir():
        raise DataError(f"there is no data folder {root}", remedy=remedy)
    if not (root / site).is_dir():
        raise DataError(f"there is no folder {site} in {root}", remedy=remedy)
    return root / site


def _plain(name: str) -> bool:
    return Path(name).name == name and "\\" not in name and name not in {"", ".", ".."}


def _is_synthetic(site: Path) -> bool:
    """Whether a manifest of the phantom lies in the site's folder or beside it."""
    for folder in (site, site.parent):
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(manifest, dict) and manifest.get("synthetic") is True:
            return True
    return False
