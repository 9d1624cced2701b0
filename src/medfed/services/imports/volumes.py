"""MetaImage and NIfTI volumes as candidates: rewritten from their voxels and grid alone.

Their headers may hold any text. Nothing of it is copied: what is written is what was read as
Hounsfield units on a grid.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from medfed.connectors.metaimage_writer import encode_volume
from medfed.connectors.scans import read_labels, read_scan
from medfed.services.imports.candidate import Shelf, Written
from medfed.services.imports.units import stem
from medfed.storage.catalogue import CataloguedScan

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from medfed.connectors.pseudonyms import Pseudonyms
    from medfed.imaging.geometry import Geometry, Volume
    from medfed.services.imports.units import VolumeUnit

FORM = "MetaImage"


@dataclass
class VolumeCandidate:
    """One volume that is a file of its own; see `medfed.services.imports.candidate.Candidate`."""

    scan: str
    identity: str
    original: str
    names: tuple[str, ...]
    where: tuple[str, ...]
    doubts: tuple[str, ...]
    synthetic: bool
    volume: Volume
    mask: Path | None
    pseudonyms: Pseudonyms

    def sources(self) -> frozenset[str]:
        """A keyed digest of the voxels and their grid, and one of the mask."""
        return frozenset(self._source(name, values) for name, values in self._parts().items())

    def write(self, folder: Path, relative: str) -> Written:
        """Write ``ct.mhd`` with its voxels, and the mask alike."""
        shelf, stored = Shelf(folder), []
        for name, values in self._parts().items():
            source = self._source(name, values)
            header, voxels = encode_volume(values, self.volume.geometry, f"{name}.raw")
            stored.append(shelf.add(f"{name}.mhd", header, source))
            stored.append(shelf.add(f"{name}.raw", voxels, source))
        row = CataloguedScan(
            scan=self.scan,
            patient=self.pseudonyms.patient(self.identity),
            folder=relative,
            form=FORM,
            imported=datetime.now(UTC).isoformat(timespec="seconds"),
            shape=self.volume.shape,
            spacing_mm=self.volume.spacing_mm,
            mask=self.mask is not None,
            synthetic=self.synthetic,
            objects=tuple(stored),
        )
        return row, 0

    def _parts(self) -> dict[str, NDArray[Any]]:
        parts: dict[str, NDArray[Any]] = {"ct": self.volume.hu}
        if self.mask is not None:
            parts["mask"] = read_labels(self.mask, self.volume.geometry)
        return parts

    def _source(self, name: str, values: NDArray[Any]) -> str:
        return self.pseudonyms.content(f"{name}|{_content(values, self.volume.geometry)}")


def volume_of(
    unit: VolumeUnit, identity: str, pseudonyms: Pseudonyms, *, synthetic: bool
) -> VolumeCandidate:
    """Read a volume.

    Args:
        unit: its file and its mask.
        identity: what the patient is called.
        pseudonyms: the site's.
        synthetic: whether a program drew it.

    Raises:
        ScanError: it cannot be read.
    """
    volume = read_scan(unit.path).volume
    files = (str(unit.path), *([str(unit.mask)] if unit.mask else []))
    content = f"{pseudonyms.patient(identity)}|{_content(volume.hu, volume.geometry)}"
    return VolumeCandidate(
        scan=pseudonyms.scan(content),
        identity=identity,
        original=stem(unit.path),
        names=(stem(unit.path), *([unit.path.resolve().parent.name] if unit.alone else [])),
        where=files,
        doubts=(),
        synthetic=synthetic,
        volume=volume,
        mask=unit.mask,
        pseudonyms=pseudonyms,
    )


def _content(values: NDArray[Any], grid: Geometry) -> str:
    """A digest of values and their grid."""
    digest = hashlib.sha256(repr(grid).encode())
    digest.update(values.tobytes())
    return digest.hexdigest()
