"""What lies in the folder that is to be imported, cut into pieces that fit into memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from medfed.connectors.scans.problems import ScanError
from medfed.services.imports.findings import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Naming = Literal["folder", "parent", "file"]
"""What a patient is called where the files do not say: their folder, the folder above, the file."""

VOLUME_ENDINGS = (".nii.gz", ".nii", ".mhd", ".mha")
BESIDE = (".raw", ".zraw", ".csv", ".json", ".txt", ".md", ".png", ".jpg", ".pdf", ".htm", ".html")
NO_DICOM = (*VOLUME_ENDINGS, *BESIDE, ".xml", ".exe", ".dll", ".inf", ".zip")
MASK = re.compile(r"(?:^|[-_.])(?:mask|seg|segmentation|labels?)$", re.IGNORECASE)


@dataclass(frozen=True)
class VolumeUnit:
    """One volume that is a file of its own.

    Attributes:
        path: the ``.mhd``, ``.mha`` or ``.nii``.
        mask: its mask; None where there is none.
        alone: whether it is the only volume in its folder.
    """

    path: Path
    mask: Path | None
    alone: bool

    def identity(self, naming: Naming) -> str:
        """What the patient is called."""
        if naming == "file":
            return stem(self.path)
        folder = self.path.resolve().parent
        return folder.name if naming == "folder" else folder.parent.name


@dataclass(frozen=True)
class DicomUnit:
    """A folder, file or zip that may hold DICOM."""

    path: Path


@dataclass(frozen=True)
class LostMask:
    """A mask without a scan."""

    path: Path


@dataclass(frozen=True)
class TableUnit:
    """A table of findings, as LUNA16 has them."""

    path: Path


Unit = VolumeUnit | DicomUnit | LostMask | TableUnit


def units_of(path: Path) -> Iterator[Unit]:
    """The pieces of a file or folder, sorted.

    A folder that holds only folders is taken folder by folder; series do not reach across those.

    Raises:
        ScanError: there is nothing there.
    """
    if not path.exists():
        remedy = "Check how the path is spelt."
        raise ScanError("missing-file", "there is no such file or folder", remedy=remedy)
    if path.is_file():
        if _is_volume(path):
            yield VolumeUnit(path, _mask_of(path, _volumes(path.parent)), alone=True)
        else:
            yield DicomUnit(path)
        return
    yield from _folder(path)


def stem(path: Path) -> str:
    """A volume's name without its ending."""
    name = path.name
    ending = next((e for e in VOLUME_ENDINGS if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)]


def _folder(path: Path, *, covered: bool = False) -> Iterator[Unit]:
    """The pieces of a folder; ``covered`` where its DICOM files belong to one above."""
    inside = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    volumes = _volumes(path)
    scans = [p for p in volumes if not MASK.search(stem(p))]
    masks = {scan: _mask_of(scan, volumes) for scan in scans}
    for scan in scans:
        yield VolumeUnit(scan, masks[scan], alone=len(scans) == 1)
    paired = set(masks.values())
    yield from (LostMask(p) for p in volumes if p not in scans and p not in paired)
    yield from (TableUnit(p) for p in inside if p.name in TABLES and p.is_file())
    zips = [p for p in inside if p.is_file() and p.suffix.lower() == ".zip"]
    yield from (DicomUnit(p) for p in zips)
    loose = not covered and any(p.is_file() and _may_be_dicom(p) for p in inside)
    if loose:
        yield DicomUnit(path)
    for folder in (p for p in inside if p.is_dir() and not p.is_symlink()):
        yield from _folder(folder, covered=covered or loose)


def _may_be_dicom(path: Path) -> bool:
    return path.name != "DICOMDIR" and not path.name.lower().endswith(NO_DICOM)


def _volumes(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and _is_volume(p))


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(VOLUME_ENDINGS) and path.is_file()


def _mask_of(scan: Path, volumes: list[Path]) -> Path | None:
    """The mask beside a scan: named like it, or the only mask beside the only scan."""
    masks = [p for p in volumes if MASK.search(stem(p)) and p != scan]
    own = [p for p in masks if MASK.sub("", stem(p)) == stem(scan)]
    if own:
        return own[0]
    scans = [p for p in volumes if not MASK.search(stem(p))]
    return masks[0] if len(masks) == 1 and scans == [scan] else None
