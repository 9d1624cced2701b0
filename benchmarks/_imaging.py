"""Scans for the imaging benchmark: made on the spot, of any size, with balls for nodules."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.data import SetName, SiteData
from medfed.imaging.geometry import Volume


class MadeScan:
    """A scan in memory; what the voxels show does not matter to how long a step takes."""

    def __init__(self, patient: str, shape: tuple[int, int, int], spacing_mm: float) -> None:
        rng = np.random.default_rng(sum(map(ord, patient)))
        self.patient = patient
        self.hu = rng.integers(-950, -750, shape, dtype=np.int16)
        self.truth = np.zeros(shape, np.uint8)
        self.spacing = (spacing_mm,) * 3
        for centre in rng.integers(16, np.asarray(shape) - 16, (4, 3)):
            z, y, x = (slice(int(c) - 3, int(c) + 4) for c in centre)
            self.truth[z, y, x] = 1
        self.hu[self.truth > 0] = 40

    def volume(self) -> Volume:
        return Volume(self.hu, self.spacing, (0.0, 0.0, 0.0))

    def mask(self) -> NDArray[np.uint8]:
        return self.truth


class MadeSource:
    """Patients with one scan each."""

    def __init__(self, patients: int, shape: tuple[int, int, int], spacing_mm: float) -> None:
        names = [f"patient-{n}" for n in range(patients)]
        self.scans = {name: MadeScan(name, shape, spacing_mm) for name in names}

    def patients(self) -> list[str]:
        return list(self.scans)

    def strata(self) -> None:
        return None

    def load(self, patients: Any) -> list[MadeScan]:
        return [self.scans[name] for name in patients]


def made_site(patients: int = 4, shape: tuple[int, int, int] = (96, 128, 128)) -> SiteData:
    """A site whose patients are all for training."""
    source = MadeSource(patients, shape, 1.5)
    sets: dict[SetName, tuple[str, ...]] = {
        "train": tuple(source.patients()),
        "valid": (),
        "test": (),
    }
    return SiteData("made", source, sets)
