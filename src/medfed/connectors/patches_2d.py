"""The source ``msd-lung-patches``: axial CT patches of lung tumours, 13 patients of one data set.

Task 06 (lung) of the Medical Segmentation Decathlon (Antonelli et al., Nature Communications 13,
2022; CC BY-SA 4.0) at 2 mm, cut to 48 x 48 pixels by github.com/shizoda/data, where it is the file
``msd/lung_2mm/val_patches.h5``: 10 patches of each of 13 patients, one patient after the other
(the file does not number them; patches of a block look alike, those of two blocks do not). The
intensities are scaled to 0 … 1, from which window of Hounsfield units is not said.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from medfed.connectors.fetch import RemoteFile, is_intact
from medfed.core.data import PATCHES
from medfed.core.errors import DataError
from medfed.core.no_pickles import unpickling_refused
from medfed.core.options import option
from medfed.core.seeding import generator

FILE = RemoteFile(
    "val_patches.h5", 3596288, "116939983bad76268a88844ccad1eb614303ed2ff8d0a6ea40f28bad610dd675"
)
FOLDERS = ("", "msd-lung-patches-val", "msd-lung-patches")
PATIENTS, EACH = 13, 10


@dataclass(frozen=True, eq=False)
class PatchCase:
    """The patches of one patient.

    Attributes:
        patient: Whose.
        images: float32 in 0 … 1, shape (patches, y, x).
        masks: uint8, 0 and 1, the same shape.
    """

    patient: str
    images: NDArray[np.float32] = field(repr=False)
    masks: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True)
class MsdLungPatches:
    """Real CT patches with lung tumours (Medical Segmentation Decathlon), 13 patients.

    The patients come from one data set, not from hospitals: they are shuffled and dealt out among
    the sites of the study, one after the other.
    """

    gives: ClassVar[str] = PATCHES

    seed: int = option(0, help="Seed of the shuffle by which patients are dealt to sites", low=0)

    def open(self, root: Path | None, site: str, sites: Sequence[str]) -> "PatchSource":
        """A site's share of the patients; see `medfed.core.data.SourceOpener`.

        Raises:
            DataError: No data, a file that is not the published one, or more sites than patients.
        """
        if site not in sites:
            raise DataError(f'the study has no site "{site}"')
        if len(sites) > PATIENTS:
            message = f"{PATIENTS} patients cannot be dealt out among {len(sites)} sites"
            raise DataError(message, remedy="Name fewer sites")
        images, masks = _read(_find(root))
        order = generator(self.seed, "msd-lung-patches").permutation(PATIENTS)
        mine = np.sort(order[list(sites).index(site) :: len(sites)])
        cases = [
            PatchCase(f"lung-{number + 1:02d}", images[part], masks[part])
            for number in mine.tolist()
            for part in [slice(number * EACH, (number + 1) * EACH)]
        ]
        return PatchSource({case.patient: case for case in cases})


@dataclass(frozen=True)
class PatchSource:
    """One site's patients.

    Attributes:
        cases: Patches by patient.
    """

    cases: dict[str, PatchCase]

    def patients(self) -> Sequence[str]:
        """Their numbers in the file, from 1."""
        return list(self.cases)

    def strata(self) -> None:
        """None: every patient has a tumour."""

    def load(self, patients: Sequence[str]) -> Sequence[PatchCase]:
        """The patches of some patients."""
        return [self.cases[patient] for patient in patients]


def _find(root: Path | None) -> Path:
    paths = [root / folder / FILE.name for folder in FOLDERS] if root else []
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        place = f"in {root}" if root else "because no data folder was given"
        remedy = f"Point --data DIR or MEDFED_DATA to a folder that has {FOLDERS[1]}/{FILE.name}"
        raise DataError(f"the lung patches were not found {place}", remedy=remedy)
    try:
        intact = is_intact(path, FILE)
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror})"
        raise DataError(message, remedy="Check the file and its permissions") from None
    if not intact:
        message = f"{path} was altered, it is not the file that was published"
        raise DataError(message, remedy="Get it again; the data are not read as they are")
    return path


@unpickling_refused()
def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    import h5py

    with h5py.File(path) as file:
        images: Any = file["images"][:, 0]
        labels: Any = file["labels"][:, 0]
    return images.astype(np.float32, copy=False), (labels > 0.5).astype(np.uint8)
